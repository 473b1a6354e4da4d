"""Lemma A.1: the one-dimensional Gaussian loop, (15)-(16): σ shrinks by the factor χ_{n−1}/√(n−1) a
generation.

Its proof calls the square root strictly convex where it is strictly concave, and iii) is printed
"∀t ≤ 1" for "∀t ≥ 1" (erratum E8); the statements hold as meant.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import poch
from scipy.stats import chi, chi2, norm

from stability.gaussian.alpha import alpha
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "require_chains"]

_claim = partial(
    Claim,
    source="Lemma A.1",
    no_evidence="Chains whose standard deviation is multiplied by a χ that was drawn for it: here "
    "the normals themselves are drawn, and refitted.",
)

ONE_STEP = _claim(
    id="Lemma A.1 i",
    words="σ²_{t+1} = σ²_t Σ (z_j − z̄)² / (n−1)",
    relation="==",
    falsified_by="Normals for which the refitted variance differs by more than rounding.",
)
CHI = _claim(
    id="Lemma A.1 ii",
    words="σ_{t+1} = σ_t √S/√(n−1) with √S ~ χ_{n−1}",
    relation="==",
    falsified_by="A Kolmogorov distance from χ² that so many independent draws do not reach.",
    error_rate=ERROR_RATE,
)
MEAN = _claim(
    id="Lemma A.1 iii",
    words="E σ_t = α(n)^t σ_0 for all t >= 1",
    relation="==",
    falsified_by="An average over chains farther from α(n)^t σ_0 than its exact standard error.",
    erratum="E8",
    error_rate=ERROR_RATE,
)
INTEGRAL = _claim(
    id="Lemma A.1 iii, α(n)",
    words="α(n) = E χ_{n−1} / √(n−1)",
    relation="==",
    falsified_by="A quadrature of the density of χ that differs from the closed form.",
)
BELOW_ONE = _claim(
    id="Lemma A.1 iii, α(n) < 1",
    words="α(n) < 1",
    relation="<",
    falsified_by="One n >= 2 with α(n) >= 1.",
    erratum="E8",
)

GRID: tuple[dict[str, Any], ...] = ({"n": 2, "t": 2}, {"n": 5, "t": 3}, {"n": 100, "t": 5})


def check(
    n: int,
    t: int,
    rng: np.random.Generator,
    mu0: float = -3.0,
    sigma0: float = 1.5,
    chains: int = 50_000,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """i) to iii) on chains that draw their n normals a generation and refit, as (15) and (16) say.

    Args:
        n: Samples a generation, >= 2.
        t: Generations, >= 1.
        rng: Source of all draws.
        mu0: The start, sigma0 > 0.
        sigma0: See `mu0`.
        chains: Independent runs; time and memory grow as n · chains.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range, or if `chains` is too small for a normal tail (see
            `require_chains`).
    """
    _require_range(n, t, sigma0, false_alarm)
    z_limit = float(norm.isf(false_alarm / 4))
    require_chains(n, t, chains, z_limit)

    gap, first, last = _chains(n, t, rng, float(mu0), float(sigma0), chains)
    case, rate = f"n = {n}, t = {t}, {chains} chains", float(alpha(n))
    error = sigma0 * math.sqrt(max(0.0, 1 - _shrinkage(n) ** (2 * t)) / chains)
    return [
        ONE_STEP.verdict(
            case,
            measured=gap,
            claimed=0.0,
            tolerance=1e-12 * (1 + abs(mu0) / sigma0),
            scale=1.0,
            method="largest difference over σ²_0, each side computed from the same normals; "
            "tolerance: rounding",
        ),
        CHI.verdict(
            case,
            measured=_distance((n - 1) * first / sigma0**2, n - 1),
            claimed=0.0,
            tolerance=math.sqrt(math.log(2 / false_alarm) / (2 * chains)),
            method="Kolmogorov distance of (n−1)σ²_1/σ²_0 from χ²; tolerance: "
            "Dvoretzky-Kiefer-Wolfowitz-Massart",
            false_alarm=false_alarm,
        ),
        MEAN.verdict(
            case,
            measured=float(np.sqrt(last).mean()),
            claimed=rate**t * sigma0,
            tolerance=z_limit * error,
            method="simulation; tolerance: normal tail, doubled for skewness, exact standard error",
            false_alarm=false_alarm,
            note="printed for t ≤ 1; meant for t ≥ 1, as here",
        ),
        *_shrink_factor(n),
    ]


def _shrink_factor(n: int) -> list[Verdict]:
    """α(n) by quadrature, and α(n) < 1."""
    rate = float(alpha(n))
    return [
        INTEGRAL.verdict(
            f"n = {n}",
            measured=_mean_of_chi(n - 1) / math.sqrt(n - 1),
            claimed=rate,
            tolerance=1e-10,
            method="quadrature of the density of χ against the closed form; tolerance: of the "
            "quadrature",
        ),
        BELOW_ONE.verdict(
            f"n = {n}",
            measured=rate,
            claimed=1.0,
            method="closed form",
            note="Jensen's inequality for the strictly concave square root; printed: strictly "
            "convex",
        ),
    ]


_CASE = {"n": 5, "t": 3}
_HERE = "stability.statements.lemma_a1"

MUTATIONS = (
    Mutation(ONE_STEP, f"{_HERE}._refit", "1/n for 1/(n − 1) in (17)", _CASE, scaled(4 / 5)),
    Mutation(
        CHI,
        f"{_HERE}._distance",
        "χ_n for χ_{n−1} in (18)",
        _CASE,
        lambda right: lambda sample, freedom: right(sample, freedom + 1),
    ),
    Mutation(MEAN, "stability.gaussian.alpha.alpha", "α(n)", {**_CASE, "chains": 100_000}),
    Mutation(
        INTEGRAL,
        f"{_HERE}._mean_of_chi",
        "E χ_n for E χ_{n−1} in α(n)",
        _CASE,
        lambda right: lambda freedom: right(freedom + 1),
    ),
    Mutation(BELOW_ONE, "stability.gaussian.alpha.alpha", "1.1 α(n)", _CASE, scaled(1.1)),
)
"""Slips, and the claim that each must break."""


def _chains(
    n: int, t: int, rng: np.random.Generator, mu0: float, sigma0: float, chains: int
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Error of (17) at the first refit, over σ²_0; then σ²_1 and σ²_t of each chain."""
    mu, variance = np.full(chains, mu0), np.full(chains, sigma0**2)
    first, gap = np.empty(0), 0.0
    for generation in range(t):
        z = rng.standard_normal((chains, n))
        x = mu[:, None] + np.sqrt(variance)[:, None] * z  # (15)
        mu, new = x.mean(axis=1), x.var(axis=1, ddof=1)  # (16)
        if generation == 0:
            gap = float(np.abs(new - _refit(z, variance)).max() / sigma0**2)
            first = new
        variance = new
    return gap, first, variance


def _refit(z: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(17): the variance that is fitted to normals z (chains, n) of a model with this one."""
    gap = z - z.mean(axis=1, keepdims=True)
    return np.square(gap).sum(axis=1) / (z.shape[1] - 1) * variance


def _mean_of_chi(freedom: int) -> float:
    """E χ with `freedom` degrees of freedom, by quadrature of its density."""
    low, high = max(0.0, math.sqrt(freedom) - 12), math.sqrt(freedom) + 12
    mean, _ = quad(lambda r: r * chi.pdf(r, freedom), low, high, epsabs=0, epsrel=1e-12, limit=200)
    return mean


def _shrinkage(n: float) -> float:
    """E χ_{n−1}/√(n−1) by SciPy: how many chains are enough does not rest on the α under test."""
    return math.sqrt(2 / (n - 1)) * float(poch((n - 1) / 2, 0.5))


def require_chains(n: float, t: int, chains: int, z: float, power: int = 1) -> None:
    """Refuse chains too few for the mean of σ_t^power over them to be normal enough.

    (σ_t/σ_0)² is a product of t independent χ²_{n−1}/(n−1), so its skewness is known. The mean's is
    that over √chains, and multiplies a tail at z by about e^{skewness z³/6} (Cramér): it must be at
    most 2.

    Args:
        n: Samples a generation, >= 2.
        t: Generations, >= 1.
        chains: Independent runs.
        z: Distance in standard errors at which the tail is used.
        power: Power of σ_t whose mean is taken, 1 or 2.

    Raises:
        ValueError: If `chains` is too small.
    """
    freedom, rate = n - 1, _shrinkage(n)
    if power == 1:
        one, two, three = rate**t, 1.0, (rate * (freedom + 1) / freedom) ** t
    else:
        one, two, three = 1.0, (1 + 2 / freedom) ** t, ((1 + 2 / freedom) * (1 + 4 / freedom)) ** t
    variance = two - one**2
    # n is so large that σ_t is normal for any number of chains, and skewness lost to cancellation
    if variance < 1e-8:
        return
    skewness = (three - 3 * one * two + 2 * one**3) / variance**1.5
    needed = math.ceil((skewness * z**3 / (6 * math.log(2))) ** 2)
    if chains < needed:
        raise ValueError(
            f"chains must be >= {needed} for a normal tail at n = {n}, t = {t}, got {chains}"
        )


def _require_range(n: int, t: int, sigma0: float, false_alarm: float) -> None:
    if n != int(n) or n < 2 or t != int(t) or t < 1:
        raise ValueError(f"n must be a whole number >= 2 and t one >= 1, got n = {n} and t = {t}")
    if not (math.isfinite(sigma0) and sigma0 > 0):
        raise ValueError(f"sigma0 must be finite and > 0, got {sigma0}")
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")


def _distance(sample: NDArray[np.float64], freedom: int) -> float:
    """Kolmogorov distance between a sample (N,) and χ²: sup |F_N − F|."""
    F = chi2.cdf(np.sort(sample), freedom)
    steps = np.arange(len(sample) + 1) / len(sample)
    return float(max((steps[1:] - F).max(), (F - steps[:-1]).max()))
