"""Negative extrapolation: away from the model that was trained on its own samples (Neon,
arXiv:2510.03597), θ_w = θ − w(θ_self − θ), and the weight that undoes a sampler's bias.

For a perfect learner of N(0, v) whose sampler turns variance v into φ(v), θ_self is φ(v), and the
samples of the merged model have the variance φ(v − w(φ(v) − v)). They have the real variance at a
weight that is to first order in the bias

    w* = 1/φ'(v),

for a Gaussian sampled at temperature τ exactly 1/τ. So w* > 0 for samplers that spread as well as
for those that shrink; it depends on the width, so that one weight is not right for all modes, and
w = 1 may do more harm than good. The formula is an own derivation.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import root_scalar
from scipy.stats import norm

from stability.diffusion.sampler import Sampler
from stability.diffusion.width_map import SAMPLERS, slope
from stability.gaussian.learner import GaussianLearner
from stability.loop.extrapolation import extrapolating
from stability.loop.regimes import Extrapolated, FullySynthetic
from stability.loop.retraining import retrain
from stability.loop.temperature import Tempered
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "best_weight", "check", "counterexamples", "first_order", "merged"]

_claim = partial(
    Claim,
    source="own derivation; negative extrapolation: Neon, arXiv:2510.03597",
    no_evidence="A weight that improves samples: many do, and the best one is not seen by that.",
)

FIRST_ORDER = _claim(
    id="Negative extrapolation",
    words="the weight that undoes a sampler's bias is 1/φ'(v) to first order",
    relation="==",
    falsified_by="An exact weight that is off by more than twice the term of second order.",
)
SIGN = _claim(
    id="Negative extrapolation, sign",
    words="the weight is positive, for samplers that spread as well as for those that shrink",
    relation=">",
    falsified_by="A sampler whose bias a weight below 0 undoes.",
)
REMAINS = _claim(
    id="Negative extrapolation, what remains",
    words="one merge with w = 1 leaves the part 1 − φ'(v) of a sampler's bias, to first order",
    relation="==",
    falsified_by="A part that is off by more than twice the term of second order.",
)
COOLED = _claim(
    id="Negative extrapolation, temperature",
    words="a loop of cooled Gaussians that extrapolates by 1/τ keeps the real variance, on average",
    relation="==",
    falsified_by="A mean over chains outside its confidence interval.",
    error_rate=ERROR_RATE,
)
ALWAYS = _claim(
    id="Negative extrapolation, w = 1",
    words="one merge with w = 1 brings the width of the samples closer to that of the data",
    relation="<",
    falsified_by="A sampler whose width is farther off after the merge.",
    refuted_because="Where the bias is large φ is steep, and w = 1 goes too far.",
)

GRID: tuple[dict[str, Any], ...] = tuple(
    {"sampler": name, "width": width}
    for name in (
        "DDPM 100, fixed-small",
        "DDPM 100, fixed-large",
        "DDIM 100",
        "EDM Heun 18",
        "EDM Heun 10",
        "flow, Euler 99",
    )
    for width in (0.1, 1.0)
)


def merged(sampler: Sampler, v: float, w: float) -> float:
    """Variance of the samples after a merge, φ(v − w(φ(v) − v)).

    Args:
        sampler: The sampler.
        v: Variance of the data, > 0.
        w: Weight, such that the merged variance is > 0.

    Returns:
        The variance.
    """
    return float(sampler.variance(v - w * (float(sampler.variance(v)) - v)))


def best_weight(sampler: Sampler, v: float) -> float:
    """The weight at which the samples have the variance of the data, exactly.

    Args:
        sampler: The sampler, φ increasing.
        v: Variance of the data, > 0, where φ(v) is not v.

    Returns:
        w*.
    """
    bias = float(sampler.variance(v)) - v
    # φ increases: the variance to which it answers with v
    needed = root_scalar(
        lambda u: float(sampler.variance(u)) - v, bracket=(1e-6 * v, 1e3 * v), xtol=1e-15 * v
    ).root
    return (v - float(needed)) / bias


def first_order(sampler: Sampler, v: float) -> float:
    """1/φ'(v).

    Args:
        sampler: The sampler.
        v: Variance of the data, > 0.

    Returns:
        The weight.
    """
    return 1 / float(slope(sampler, v))


def remainder(sampler: Sampler, v: float) -> float:
    """1 − φ'(v): what one merge with w = 1 leaves of the bias, to first order.

    Args:
        sampler: The sampler.
        v: Variance of the data, > 0.

    Returns:
        The part; negative where the merge goes too far.
    """
    return 1 - float(slope(sampler, v))


def cooled_weight(tau: float) -> float:
    """1/τ.

    Args:
        tau: Temperature > 0.

    Returns:
        The weight.
    """
    return 1 / tau


def check(
    sampler: str, width: float, rng: np.random.Generator, false_alarm: float = ERROR_RATE
) -> list[Verdict]:
    """The exact weight against 1/φ', its sign, and a cooled Gaussian through Algorithm 1.

    Args:
        sampler: A name in `SAMPLERS`.
        width: Standard deviation of the data, > 0.
        rng: For the simulation.
        false_alarm: Of the verdict that simulates.

    Returns:
        The verdicts.
    """
    map_, v = SAMPLERS[sampler], width**2
    exact, case = best_weight(map_, v), f"{sampler}, √v = {width:g}"
    bias = float(map_.variance(v)) / v - 1
    # φ(v − wb) = v gives wφ' = 1 + φ''w²b/2 + …
    h = 1e-4 * v
    curvature = float(slope(map_, v + h) - slope(map_, v - h)) / (2 * h)
    second = abs(curvature * bias * v) / float(slope(map_, v)) ** 3 / 2
    after = merged(map_, v, 1.0) / v - 1
    verdicts = [
        FIRST_ORDER.verdict(
            case,
            measured=exact,
            claimed=first_order(map_, v),
            tolerance=2 * second + 1e-6,
            method="root of φ(u) = v; tolerance: twice the term of second order in the bias",
            note=f"width of the samples {100 * (math.sqrt(1 + bias) - 1):+.1f} %, after a merge "
            f"with w = 1 {100 * (math.sqrt(1 + after) - 1):+.1f} %",
        ),
        SIGN.verdict(case, measured=exact, claimed=0.0, method="root of φ(u) = v"),
        REMAINS.verdict(
            case,
            measured=after / bias,
            claimed=remainder(map_, v),
            # φ(v − b) = φ(v) − bφ' + b²φ''/2 − …
            tolerance=abs(curvature * bias * v) + 1e-6,
            method="φ(v − (φ(v) − v)); tolerance: twice the term of second order in the bias",
        ),
    ]
    if sampler == GRID[0]["sampler"]:
        tau = 0.7 if width < 1 else 1.3
        verdicts += _cooled(tau, rng, false_alarm)
    return verdicts


def _cooled(
    tau: float, rng: np.random.Generator, false_alarm: float, n: int = 400, chains: int = 400
) -> list[Verdict]:
    """Variance of the samples of a fully synthetic loop that extrapolates, round by round.

    n is so large that no extrapolated variance is negative: that takes a χ²/(n−1) of 1.7 or more.
    """
    model = GaussianLearner(chains, 1)
    regimes = [Extrapolated(FullySynthetic(), cooled_weight(tau))] * chains
    generations = retrain(
        extrapolating(Tempered(model, tau), regimes),
        list(rng.standard_normal((chains, n, 1))),
        regimes,
        2,
        seed=int(rng.integers(2**62)),
    )
    # θ ~ χ²/(n−1), θ_self = τ · θ · an independent χ²/(n−1), weights as at w = 1/τ
    square = tau**2 * (1 + 2 / (n - 1)) * (tau**-2 + 2 / (n - 1))
    return [
        COOLED.verdict(
            f"τ = {tau:g}, n = {n}, t = {t}",
            measured=float(tau * model.covariance.mean()),
            claimed=1.0,
            tolerance=2
            * float(norm.isf(false_alarm / 6))
            * math.sqrt((square ** (t + 1) - 1) / chains),
            method=f"Algorithm 1, {regimes[0]}, {chains} chains; tolerance: normal tail with the "
            "exact variance, doubled for skewness",
            false_alarm=false_alarm / 3,
        )
        for t, _ in enumerate(generations)
    ]


def counterexamples() -> list[Verdict]:
    """Heun's method with 10 steps: from a third too wide to two fifths too narrow."""
    sampler, v = SAMPLERS["EDM Heun 10"], 0.01
    before = abs(math.sqrt(float(sampler.variance(v)) / v) - 1)
    return [
        ALWAYS.verdict(
            "EDM Heun 10, √v = 0.1",
            measured=abs(math.sqrt(merged(sampler, v, 1.0) / v) - 1),
            claimed=before,
            method="widths in closed form",
        )
    ]


_CASE = {"sampler": "DDPM 100, fixed-small", "width": 0.1}
_HERE = "stability.statements.literature.negative_extrapolation"

MUTATIONS = (
    Mutation(
        FIRST_ORDER,
        f"{_HERE}.first_order",
        "φ' for 1/φ'",
        _CASE,
        lambda right: lambda sampler, v: 1 / right(sampler, v),
    ),
    Mutation(
        SIGN,
        f"{_HERE}.best_weight",
        "θ + w(θ_self − θ)",
        _CASE,
        lambda right: lambda sampler, v: -right(sampler, v),
    ),
    Mutation(
        REMAINS,
        f"{_HERE}.merged",
        "θ + w(θ_self − θ)",
        _CASE,
        lambda right: lambda sampler, v, w: right(sampler, v, -w),
    ),
    Mutation(
        COOLED,
        f"{_HERE}.cooled_weight",
        "−1/τ for 1/τ",
        _CASE,
        lambda right: lambda tau: -1 / tau,
    ),
)
"""Slips, and the claim that each must break."""
