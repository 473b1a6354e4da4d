"""Lemma A.1: the one-dimensional Gaussian loop, (15)-(16): σ shrinks by the factor χ_{n−1}/√(n−1) a
generation.

Its proof calls the square root strictly convex where it is strictly concave, and iii) is printed
"∀t ≤ 1" for "∀t ≥ 1" (erratum E8); the statements hold as meant.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import chi, chi2, norm

from stability.gaussian.alpha import alpha
from stability.statements.verdict import Verdict, compare

__all__ = ["GRID", "check", "controls", "require_chains"]

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
        mu0: The start, sigma0 > 0.
        sigma0: See `mu0`.
        chains: Independent runs; time and memory grow as n · chains.
        false_alarm: Of each verdict that uses randomness.

    Raises:
        ValueError: If out of range, or if `chains` is too small for a normal tail (see
            `require_chains`).
    """
    return _check(n, t, rng, mu0, sigma0, chains, false_alarm)


def controls(rng: np.random.Generator) -> list[Verdict]:
    """Each part with a spoiled constant: each is `violated`."""
    n, t = 5, 3
    return [
        _check(n, t, rng, divisor=n)[0],  # 1/n for 1/(n − 1) in (17)
        _check(n, t, rng, freedom=n)[1],  # χ_n for χ_{n−1} in (18)
        _check(n, t, rng, chains=100_000, spoil=0.97)[2],  # 0.97 α^t for α^t in (19)
        _check(n, t, rng, freedom=n)[3],  # E χ_n for E χ_{n−1} in α(n)
        _check(n, t, rng, spoil=1.1)[4],  # 1.1 α(n) for α(n)
    ]


def _check(
    n: int,
    t: int,
    rng: np.random.Generator,
    mu0: float = -3.0,
    sigma0: float = 1.5,
    chains: int = 50_000,
    false_alarm: float = 1e-6,
    *,
    divisor: int | None = None,
    freedom: int | None = None,
    spoil: float = 1.0,
) -> list[Verdict]:
    _require_range(n, t, sigma0, false_alarm)
    divisor, freedom = divisor or n - 1, freedom or n - 1
    z_limit = float(norm.isf(false_alarm / 4))
    require_chains(n, t, chains, z_limit)
    mu, sigma = np.full(chains, float(mu0)), np.full(chains, float(sigma0))
    ratio, gap = np.empty(0), 0.0
    for generation in range(t):
        z = rng.standard_normal((chains, n))
        x = mu[:, None] + sigma[:, None] * z  # (15)
        mu, new = x.mean(axis=1), x.var(axis=1, ddof=1)  # (16)
        if generation == 0:
            stated = np.square(z - z.mean(axis=1, keepdims=True)).sum(axis=1) / divisor * sigma**2
            gap = float(np.abs(new - stated).max() / sigma0**2)
            ratio = (n - 1) * new / sigma0**2
        sigma = np.sqrt(new)

    instance, rate = f"n = {n}, t = {t}, {chains} chains", float(alpha(n))
    rounding = 1e-12 * (1 + abs(mu0) / sigma0)
    distance, allowed = (
        _distance(ratio, freedom),
        math.sqrt(math.log(2 / false_alarm) / (2 * chains)),
    )
    stated_mean, error = (
        spoil * rate**t * sigma0,
        sigma0 * math.sqrt((1 - rate ** (2 * t)) / chains),
    )
    low, high = max(0.0, math.sqrt(freedom) - 12), math.sqrt(freedom) + 12
    mean, _ = quad(lambda r: r * chi.pdf(r, freedom), low, high, epsabs=0, epsrel=1e-12, limit=200)
    integral = mean / math.sqrt(n - 1)
    return [
        Verdict(
            claim="Lemma A.1 i",
            words="σ²_{t+1} = σ²_t Σ (z_j − z̄)² / (n−1)",
            instance=instance,
            measured=gap,
            relation="==",
            stated=0.0,
            status=compare(gap, "==", 0.0, rounding),
            method="largest difference over σ²_0, each side computed from the same normals; "
            "tolerance: rounding",
            tolerance=rounding,
        ),
        Verdict(
            claim="Lemma A.1 ii",
            words="σ_{t+1} = σ_t √S/√(n−1) with √S ~ χ_{n−1}",
            instance=instance,
            measured=distance,
            relation="==",
            stated=0.0,
            status=compare(distance, "==", 0.0, allowed),
            method="Kolmogorov distance of (n−1)σ²_1/σ²_0 from χ²; tolerance: "
            "Dvoretzky-Kiefer-Wolfowitz-Massart",
            tolerance=allowed,
            false_alarm=false_alarm,
        ),
        Verdict(
            claim="Lemma A.1 iii",
            words="E σ_t = α(n)^t σ_0 for all t >= 1",
            instance=instance,
            measured=float(sigma.mean()),
            relation="==",
            stated=stated_mean,
            status=compare(float(sigma.mean()), "==", stated_mean, z_limit * error),
            method="simulation of (15), (16); tolerance: normal tail, doubled for skewness, exact "
            "standard error",
            tolerance=z_limit * error,
            false_alarm=false_alarm,
            erratum="E8",
            note="printed for t ≤ 1; meant for t ≥ 1, as here",
        ),
        Verdict(
            claim="Lemma A.1 iii",
            words="α(n) = E χ_{n−1} / √(n−1)",
            instance=f"n = {n}",
            measured=integral,
            relation="==",
            stated=rate,
            status=compare(integral, "==", rate, 1e-10),
            method="quadrature of the density of χ against the closed form; tolerance: of the "
            "quadrature",
            tolerance=1e-10,
        ),
        Verdict(
            claim="Lemma A.1 iii",
            words="α(n) < 1",
            instance=f"n = {n}",
            measured=spoil * rate,
            relation="<",
            stated=1.0,
            status=compare(spoil * rate, "<", 1.0),
            method="closed form",
            erratum="E8",
            note="Jensen's inequality for the strictly concave square root; printed: strictly "
            "convex",
        ),
    ]


def require_chains(n: float, t: int, chains: int, z: float, power: int = 1) -> None:
    """ValueError unless a mean of σ_t^power, power 1 or 2, over the chains is normal enough at z
    standard errors.

    (σ_t/σ_0)² is a product of t independent χ²_{n−1}/(n−1), so its skewness is known. The mean's is
    that over √chains, and multiplies a tail at z by about e^{skewness z³/6} (Cramér): it must be at
    most 2.
    """
    freedom, rate = n - 1, float(alpha(n))
    if power == 1:
        one, two, three = rate**t, 1.0, (rate * (freedom + 1) / freedom) ** t
    else:
        one, two, three = 1.0, (1 + 2 / freedom) ** t, ((1 + 2 / freedom) * (1 + 4 / freedom)) ** t
    variance = two - one**2
    # lost to cancellation: n is so large that σ_t is normal for any number of chains
    if variance * freedom < 1e-3 * t:
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
