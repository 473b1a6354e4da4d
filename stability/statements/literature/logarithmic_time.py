"""Accumulating is the loop in logarithmic time: every round moves the pool by a share that falls as
1/t, so that what a mix does in t rounds takes e^t of them.

Let a pool keep everything, n points a round (λn of them synthetic, or all but a share α real: "the
web"), and let a model answer a change of its training set by J times that change. Then

    a deviation shrinks by   Π_{k≤t} (1 − λ(1−J)/(1+λk)) = Γ(t+a−1+J)Γ(a)/(Γ(a−1+J)Γ(t+a)),
    a = 1 + 1/λ: a power t^{−(1−J)},

where a mix shrinks it by cJ a round. With new real points, a share α = 1/(1+λ) of every batch,
1 − (1−α)J takes the place of 1 − J, and the variance of an unbiased mean obeys

    v_t = (1 − α/(t+1))² v_{t−1} + 1/(t+1)²,

which falls like t^{−min(1, 2α)}: half real data are a threshold, beyond which more of them do not
make it faster (the rates are those of Wang, Niu and Li, arXiv:2602.16065, as their abstract has
them). All of this is in `AccumulateFresh`.

A Gaussian sampled at temperature τ has J = τ for its variance: it narrows like t^{−(1−τ)} in a
pool, and settles at 1/(1+λ(1−τ)) in a mix. Gerstgrasser et al. (arXiv:2404.01413) showed that
accumulating unbiased models is safe; J is what is added here.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.special import gammaln
from scipy.stats import norm

from stability.gaussian.learner import GaussianLearner
from stability.gaussian.mean import paths
from stability.laws.monte_carlo import mean_square_slack
from stability.loop.regimes import Accumulate, AccumulateFresh, synthetic_count
from stability.loop.retraining import retrain
from stability.loop.temperature import Tempered
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "check",
    "finite_pool",
    "mix_floor",
    "pooled_factor",
    "web_error",
    "web_exponent",
]

_claim = partial(
    Claim,
    source="own derivation; accumulation: Gerstgrasser et al., arXiv:2404.01413",
    no_evidence="A pool of few rounds: over less than a decade a power looks like a limit.",
)

PRODUCT = _claim(
    id="Logarithmic time",
    words="accumulating at temperature τ multiplies Σ by Π (1 − λ(1−τ)/(1+λk)), by Γ functions",
    relation="==",
    falsified_by="A product of the factors that is another number.",
)
EXPONENT = _claim(
    id="Logarithmic time, exponent",
    words="accumulating at temperature τ: Σ_t falls like t^{−(1−τ)}",
    relation="==",
    falsified_by="Another slope of log Σ_t over log t.",
)
POOL = _claim(
    id="Logarithmic time, Algorithm 1",
    words="E Σ_t/Σ_0 of a cooled Gaussian that accumulates, at finite n",
    relation="==",
    falsified_by="A mean over chains outside its confidence interval.",
    error_rate=ERROR_RATE,
)
FLOOR = _claim(
    id="Logarithmic time, mix",
    words="in a mix the cooled variance settles at Σ_0/(1 + λ(1−τ))",
    relation="==",
    falsified_by="An orbit of the variance with another limit.",
)

WEB = _claim(
    id="Logarithmic time, new real data",
    words="with a real share α of each batch a mean's error is v ← (1 − α/(t+1))² v + 1/(t+1)²",
    relation="==",
    falsified_by="A mean square over chains further off than χ² allows.",
    error_rate=ERROR_RATE,
)
HALF = _claim(
    id="Logarithmic time, half real",
    words="with a real share α of each batch the error of a mean falls like t^{−min(1, 2α)}",
    relation="==",
    source="Wang, Niu and Li, arXiv:2602.16065 (abstract); exact recursion: own derivation",
    falsified_by="Another slope of log v over log t, away from α = ½.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"lam": 1.0, "tau": 0.5},
    {"lam": 1.0, "tau": 0.9},
    {"lam": 0.5, "tau": 0.7},
    {"lam": 1.0, "tau": 1.2},
    {"lam": 4.0, "tau": 0.8},
)


def pooled_factor(lam: float, response: float, t: float) -> float:
    """Π_{k≤t} (1 − λ(1−J)/(1+λk)): what is left of a deviation of the pool after t rounds.

    Args:
        lam: Synthetic points a round over real points, > 0.
        response: J >= 0.
        t: Rounds, >= 0.

    Returns:
        The factor, by Γ functions: as fast at t = 1e9 as at t = 1.
    """
    a = 1 + 1 / lam
    return math.exp(
        gammaln(t + a - 1 + response) - gammaln(a - 1 + response) + gammaln(a) - gammaln(t + a)
    )


def finite_pool(n: int, lam: float, tau: float, t: int) -> tuple[float, float]:
    """Mean and variance of Σ_t/Σ_0 for one variable, Σ_0 = 1 the true variance, at finite n.

    With N points before a round and m new ones, the unbiased variance is multiplied by
    (N − 1 + τ(χ²_{m−1} + N χ²_1/(N + m)))/(N + m − 1), independent factors.

    Args:
        n: Real points, >= 2.
        lam: λ; m = floor(λn) new points a round.
        tau: Temperature τ > 0.
        t: Rounds.

    Returns:
        Both moments.
    """
    m, total = synthetic_count(lam, n), n
    mean, square = 1.0, 1 + 2 / (n - 1)
    for _ in range(t):
        kept = total / (total + m)
        centre = (total - 1 + tau * (m - 1 + kept)) / (total + m - 1)
        spread = 2 * tau**2 * (m - 1 + kept**2) / (total + m - 1) ** 2
        mean, square = mean * centre, square * (centre**2 + spread)
        total += m
    return mean, square - mean**2


def web_error(alpha: float, t: int) -> float:
    """Error of a mean over σ²/n when each batch of n points has the real share α.

    Args:
        alpha: Real share of the batches after the first.
        t: Rounds, >= 0.

    Returns:
        v_t.
    """
    v = 1.0
    for k in range(2, t + 2):
        v = (1 - alpha / k) ** 2 * v + 1 / k**2
    return v


def web_exponent(alpha: float) -> float:
    """−min(1, 2α).

    Args:
        alpha: Real share, in (0, 1].

    Returns:
        The power of t.
    """
    return -min(1.0, 2 * alpha)


def mix_floor(lam: float, tau: float) -> float:
    """1/(1 + λ(1−τ)), where the variance of a cooled Gaussian settles in a mix.

    Args:
        lam: λ >= 0.
        tau: Temperature with λ(τ − 1) < 1; beyond it the mix diverges.

    Returns:
        The limit over the variance of the real data.
    """
    return 1 / (1 + lam * (1 - tau))


def check(
    lam: float,
    tau: float,
    rng: np.random.Generator,
    t: int = 10,
    n: int = 50,
    chains: int = 400,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The product, its power, the same at finite n through Algorithm 1, and the mix.

    Args:
        lam: λn whole.
        tau: Temperature.
        rng: For the simulation.
        t: Rounds of the simulation.
        n: Real points of the simulation.
        chains: Chains of the simulation.
        false_alarm: Of the verdicts that simulate.

    Returns:
        The verdicts.
    """
    case = f"λ = {lam:g}, τ = {tau:g}"
    k = np.arange(1, 41)
    early, late = (math.log(pooled_factor(lam, tau, rounds)) for rounds in (1e4, 1e5))

    variance = 1.0
    for _ in range(2000):
        variance = (1 + lam * tau * variance) / (1 + lam)

    return [
        PRODUCT.verdict(
            f"{case}, t = 40",
            measured=float(np.prod(1 - lam * (1 - tau) / (1 + lam * k))),
            claimed=pooled_factor(lam, tau, 40),
            tolerance=1e-11,
            method="the product of 40 factors; tolerance: rounding of log Γ",
        ),
        EXPONENT.verdict(
            case,
            measured=(late - early) / math.log(10),
            claimed=_exponent(tau),
            tolerance=1e-4,
            method="slope of the product from t = 1e4 to 1e5; tolerance: O(1/t)",
        ),
        _simulated(case, lam, tau, t, n, chains, rng, false_alarm / 2),
        *_web(1 / (1 + lam), t, 5 * chains, rng, false_alarm / 2),
        FLOOR.verdict(
            case,
            measured=variance,
            claimed=mix_floor(lam, tau),
            tolerance=1e-9,
            method="2000 rounds of the variance; tolerance: rounding",
            note=f"in a pool {pooled_factor(lam, tau, 40):.4f} is left after 40 rounds",
        ),
    ]


def _exponent(tau: float) -> float:
    """−(1 − τ), the power of t."""
    return tau - 1


def _simulated(
    case: str,
    lam: float,
    tau: float,
    t: int,
    n: int,
    chains: int,
    rng: np.random.Generator,
    false_alarm: float,
) -> Verdict:
    """E Σ_t/Σ_0 by chains of cooled Gaussians that keep everything."""
    model = GaussianLearner(chains, 1)
    real = list(rng.standard_normal((chains, n, 1)))
    generations = retrain(
        Tempered(model, tau), real, [Accumulate(lam)] * chains, t, seed=int(rng.integers(2**62))
    )
    for _ in generations:
        pass
    mean, spread = finite_pool(n, lam, tau, t)
    return POOL.verdict(
        f"{case}, n = {n}, t = {t}",
        measured=float(model.covariance.mean()),
        claimed=mean,
        tolerance=2 * float(norm.isf(false_alarm / 2)) * math.sqrt(spread / chains),
        method=f"Algorithm 1, {chains} chains; tolerance: normal tail with the exact variance, "
        "doubled for skewness",
        false_alarm=false_alarm,
        note=f"{pooled_factor(lam, tau, t):.4f} for n → ∞",
    )


def _web(
    alpha: float, t: int, chains: int, rng: np.random.Generator, false_alarm: float
) -> list[Verdict]:
    """The mean with new real data through Algorithm 1; its power of t away from α = ½."""
    n, case = 30, f"α = {alpha:.3g}"
    errors = paths(AccumulateFresh(alpha), n, t, chains, rng)[-1]
    law = web_error(alpha, t)
    verdicts = [
        WEB.verdict(
            f"{case}, n = {n}, t = {t}",
            measured=n * float(np.square(errors).mean()),
            claimed=law,
            tolerance=law * mean_square_slack(chains, false_alarm / 2),
            method=f"Algorithm 1, {chains} chains; tolerance: χ², exact",
            false_alarm=false_alarm,
        )
    ]

    if abs(alpha - 0.5) > 0.1:
        ends = [math.log(web_error(alpha, rounds)) for rounds in (3_000, 30_000)]
        verdicts.append(
            HALF.verdict(
                case,
                measured=(ends[1] - ends[0]) / math.log(10),
                claimed=web_exponent(alpha),
                tolerance=0.1,
                method="slope of the recursion from t = 3,000 to 30,000; tolerance: the other of "
                "the powers t^{−1} and t^{−2α}",
            )
        )
    return verdicts


_CASE = {"lam": 1.0, "tau": 0.5}
_FEW = {**_CASE, "chains": 2}
_HERE = "stability.statements.literature.logarithmic_time"

MUTATIONS = (
    Mutation(
        PRODUCT,
        f"{_HERE}.pooled_factor",
        "k − 1 for k",
        _FEW,
        lambda right: lambda lam, response, t: right(lam, response, t - 1),
    ),
    Mutation(
        EXPONENT,
        f"{_HERE}._exponent",
        "1 for 1 − τ",
        _FEW,
        lambda right: lambda tau: -1.0,
    ),
    Mutation(
        POOL,
        f"{_HERE}.finite_pool",
        "the mix",
        _CASE,
        lambda right: lambda n, lam, tau, t: (mix_floor(lam, tau), right(n, lam, tau, t)[1]),
    ),
    Mutation(FLOOR, f"{_HERE}.mix_floor", "the limit", _FEW),
    Mutation(
        WEB,
        f"{_HERE}.web_error",
        "no new real data",
        _CASE,
        lambda right: lambda alpha, t: right(0.0, t),
    ),
    Mutation(
        HALF,
        f"{_HERE}.web_exponent",
        "min(1, α) for min(1, 2α)",
        {"lam": 4.0, "tau": 0.8, "chains": 2},
        lambda right: lambda alpha: -min(1.0, alpha),
    ),
)
"""Slips, and the claim that each must break."""
