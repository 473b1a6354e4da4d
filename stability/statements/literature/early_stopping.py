"""Perfect scores still drift: reverse diffusion that is stopped early, in a loop with fresh data.

Forward dX = −½X dt + dB, an exact score, and reverse diffusion that ends at t₀ instead of 0: the
model's law is that of its training set after a time t₀ of the forward process. With a share α of
real data, p ← OU_{t₀}[α p_data + (1−α) p], which tends to

    Σ_{k≥0} α(1−α)^k OU_{(k+1)t₀} p_data:

its j-th Hermite mode is that of the data times α e^{−jt₀/2}/(1 − (1−α)e^{−jt₀/2}), a low-pass
filter. Khelifa, Turner and Venkataramanan (arXiv:2606.13796) show that exact scores do not keep a
loop from drifting; the closed form is an own derivation. An exact score of n training points gives
draws of those points, shrunk and with noise, so that Algorithm 1 runs without any network.
"""

import math
from collections import deque
from functools import partial
from typing import Any

import numpy as np
from numpy.polynomial import hermite_e
from scipy.stats import norm

from stability.gaussian.smoothed_bootstrap import SmoothedBootstrap
from stability.loop.regimes import FreshReal
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "kept_mode", "kept_wave"]

_claim = partial(
    Claim,
    source="own derivation; drift with exact scores: Khelifa et al., arXiv:2606.13796",
    no_evidence="The mean and the variance of normalised data: modes 1 and 2 hardly move.",
)

MODES = _claim(
    id="Early stopping",
    words="in the limit Hermite mode j is that of the data times αa/(1 − (1−α)a), a = e^{−jt₀/2}",
    relation="==",
    falsified_by="A mode of the iterated law that is another multiple.",
)
RUN = _claim(
    id="Early stopping, Algorithm 1",
    words="E cos ωx after t rounds with fresh real data, exactly at finite n",
    relation="==",
    falsified_by="A mean over chains outside its confidence interval.",
    error_rate=ERROR_RATE,
)
ANNEALED = _claim(
    id="Early stopping, annealed",
    words="where t₀ falls to 0 from round to round every mode comes back",
    relation="==",
    falsified_by="A mode that stays away from that of the data.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"alpha": 0.3, "stop": 0.05},
    {"alpha": 0.5, "stop": 0.2},
    {"alpha": 0.25, "stop": 0.01},
)

_MODE, _SD = 0.9, 0.3
"""The data: N(±0.9, 0.09) with weight ½ each; its variance is not 1, where mode 2 would be 0."""


def kept_mode(j: int, alpha: float, stop: float) -> float:
    """αa/(1 − (1−α)a), a = e^{−jt₀/2}: what is kept of Hermite mode j in the limit.

    Args:
        j: Degree, >= 1.
        alpha: Share of real data, in (0, 1].
        stop: t₀ >= 0.

    Returns:
        The factor, in (0, 1].
    """
    left = math.exp(-j * stop / 2)
    return alpha * left / (1 - (1 - alpha) * left)


def _component(time: float) -> tuple[float, float]:
    """Mean and variance of the right mode of the data after a time of the forward process."""
    left = math.exp(-time)
    return _MODE * math.sqrt(left), _SD**2 * left + 1 - left


def _weights(alpha: float, stop: float, t: int) -> list[tuple[float, float]]:
    """Weight and time of each part of the model's law after t rounds."""
    parts = [(alpha * (1 - alpha) ** k, (k + 1) * stop) for k in range(t)]
    return [*parts, ((1 - alpha) ** t, (t + 1) * stop)]


def kept_wave(omega: float, alpha: float, stop: float, t: int) -> float:
    """E cos ωx of the model after t rounds.

    Args:
        omega: ω.
        alpha: Share of real data.
        stop: t₀.
        t: Rounds >= 0.

    Returns:
        The expectation, at every n.
    """
    total = 0.0
    for weight, time in _weights(alpha, stop, t):
        mean, variance = _component(time)
        total += weight * math.cos(omega * mean) * math.exp(-(omega**2) * variance / 2)
    return total


def _mode(j: int, time: float) -> float:
    """E He_j of the data after a time of the forward process, by Gauss–Hermite quadrature."""
    x, weights = hermite_e.hermegauss(40)
    mean, variance = _component(time)
    values = [
        hermite_e.hermeval(sign * mean + math.sqrt(variance) * x, [0] * j + [1]) for sign in (-1, 1)
    ]
    return float(weights @ np.mean(values, axis=0)) / math.sqrt(2 * math.pi)


def check(
    alpha: float,
    stop: float,
    rng: np.random.Generator,
    t: int = 6,
    chains: int = 120,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The limit's modes, Algorithm 1 at finite n, and annealing.

    Args:
        alpha: Share of real data; 1/α − 1 times the 60 points of the simulation whole.
        stop: t₀ > 0.
        rng: For the simulation.
        t: Rounds of the simulation.
        chains: Chains of the simulation.
        false_alarm: Of the verdict that simulates.

    Returns:
        The verdicts.
    """
    case = f"α = {alpha:g}, t₀ = {stop:g}"
    rounds = math.ceil(-30 / math.log1p(-alpha))
    law = _weights(alpha, stop, rounds)
    modes = [
        MODES.verdict(
            f"{case}, mode {j}",
            measured=sum(weight * _mode(j, time) for weight, time in law) / _mode(j, 0.0),
            claimed=kept_mode(j, alpha, stop),
            tolerance=1e-9,
            method=f"the law after {rounds} rounds, a mixture, by quadrature; tolerance: e^{{−30}} "
            "and rounding",
        )
        for j in (2, 4, 6, 8)
    ]

    return [
        *modes,
        _simulated(case, alpha, stop, t, chains, rng, false_alarm),
        ANNEALED.verdict(
            f"{case}/k, mode 4",
            measured=_annealed(alpha, stop, 20_000),
            claimed=annealed_limit(4, alpha, stop),
            tolerance=1e-2,
            method="20,000 rounds, t₀/k in round k; tolerance: 2t₀/(αk)",
        ),
    ]


def annealed_limit(j: int, alpha: float, stop: float) -> float:
    """1: what is kept of a mode where t₀ falls to 0.

    Args:
        j: Degree.
        alpha: Share of real data.
        stop: First t₀.

    Returns:
        1.
    """
    return 1.0


def _annealed(alpha: float, stop: float, rounds: int) -> float:
    """Remainder of mode 4 where round k stops at t₀/k."""
    kept = 1.0
    for k in range(1, rounds + 1):
        kept = math.exp(-2 * stop / k) * (alpha + (1 - alpha) * kept)
    return kept


def _data(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 1) points of the two modes."""
    sides = rng.choice([-_MODE, _MODE], size=(n, 1))
    return sides + _SD * rng.standard_normal((n, 1))


def _simulated(
    case: str,
    alpha: float,
    stop: float,
    t: int,
    chains: int,
    rng: np.random.Generator,
    false_alarm: float,
    n: int = 60,
    omega: float = 3.0,
) -> Verdict:
    """Mean over chains of the mean of cos ωx over the last model's draws."""
    model = SmoothedBootstrap(chains, 1, math.exp(-stop / 2), math.sqrt(-math.expm1(-stop)))
    lam = round((1 / alpha - 1) * n) / n
    generations = retrain(
        model,
        [_data(n, rng) for _ in range(chains)],
        [FreshReal(lam)] * chains,
        t,
        seed=int(rng.integers(2**62)),
        fresh=_data,
    )
    last = deque(generations, maxlen=1).pop()
    seen = np.array([np.cos(omega * x).mean() for x in last.samples])

    return RUN.verdict(
        f"{case}, n = {n}, t = {t}, ω = {omega:g}",
        measured=float(seen.mean()),
        claimed=kept_wave(omega, alpha, stop, t),
        tolerance=2 * float(norm.isf(false_alarm / 2)) * float(seen.std(ddof=1) / chains**0.5),
        method=f"Algorithm 1, {chains} chains with the exact score of their points; tolerance: "
        "normal tail, doubled",
        false_alarm=false_alarm,
        note=f"of the data {kept_wave(omega, 1.0, 0.0, 0):.4f}",
    )


_CASE = {"alpha": 0.5, "stop": 0.2}
_FEW = {**_CASE, "chains": 2}
_HERE = "stability.statements.literature.early_stopping"

MUTATIONS = (
    Mutation(
        MODES,
        f"{_HERE}.kept_mode",
        "e^{−jt₀} for e^{−jt₀/2}",
        _FEW,
        lambda right: lambda j, alpha, stop: right(2 * j, alpha, stop),
    ),
    Mutation(
        MODES,
        f"{_HERE}.kept_mode",
        "k for k + 1",
        _FEW,
        lambda right: lambda j, alpha, stop: right(j, alpha, stop) * math.exp(j * stop / 2),
    ),
    Mutation(
        RUN,
        f"{_HERE}.kept_wave",
        "no drift",
        _CASE,
        lambda right: lambda omega, alpha, stop, t: right(omega, alpha, 0.0, t),
    ),
    Mutation(
        ANNEALED,
        f"{_HERE}.annealed_limit",
        "the limit at the first t₀",
        _FEW,
        lambda right: kept_mode,
    ),
)
"""Slips, and the claim that each must break."""
