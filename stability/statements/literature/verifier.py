"""A verifier in place of real data: what it repairs, and where the loop ends.

N(θ, 1) is refitted to n of its own samples that a verifier accepts, those with |y − c| <= u. One
round takes θ to the mean of N(θ, 1) on the window. Its slope at the verifier's centre c is the
variance of the accepted points,

    g = 1 − 2uφ(u)/(2Φ(u) − 1) < 1,

so the loop contracts to c by g a round and scatters about it by g/(n(1 − g²)) to first order in
1/n. One round on a fit of variance s², with a verifier that is off by b and m accepted points, has
the mean squared error ((1−g)b)² + g²s² + g/m to first order: it helps if that is below s².
Repeated, the error tends to the verifier's own, b. Yi et al. (arXiv:2510.16657) prove bounds of
this form; the closed form of g and the exact numbers are ours.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import norm, truncnorm

from stability.gaussian.mean import known_variance
from stability.laws.monte_carlo import bounded_mean_slack
from stability.loop.regimes import FullySynthetic, Verified
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "accepted_mean",
    "check",
    "contraction",
    "counterexamples",
    "one_round_error",
    "repeated_limit",
    "scatter",
    "stationary_variance",
]

_claim = partial(
    Claim,
    source="Yi et al., arXiv:2510.16657; closed form here",
    no_evidence="That the iterates stay bounded: the window is.",
)

SLOPE = _claim(
    id="Verifier, contraction",
    words="near its centre a verifier contracts by g = 1 − 2uφ(u)/(2Φ(u) − 1) a round",
    relation="==",
    falsified_by="A numerical derivative of the accepted points' mean that is another.",
)
ROUND = _claim(
    id="Verifier, one round",
    words="one round takes θ to the mean of N(θ, 1) on the window",
    relation="==",
    falsified_by="A mean over chains further off than Hoeffding's bound allows.",
    error_rate=ERROR_RATE,
)
SCATTER = _claim(
    id="Verifier, scatter",
    words="for long windows of n the variance about the centre is g/(n(1 − g²))(1 + O(1/n))",
    relation="==",
    falsified_by="Stationary variances at n and 2n that extrapolate to another limit.",
)
FIRST_ORDER_ALWAYS = _claim(
    id="Verifier, scatter at any n",
    words="the variance about the centre is within a fifth of g/(n(1 − g²)) at n = 50",
    source="our own first order, taken for exact",
    relation="<=",
    falsified_by="The window u = 3.",
    refuted_because="At u = 3 a round contracts by 0.973 only, so that iterates wander to where "
    "the window cuts much more than at its centre.",
)
ONE_ROUND = _claim(
    id="Verifier, error of one round",
    words="one round has the mean squared error ((1−g)b)² + g²s² + g/m to first order",
    relation="==",
    falsified_by="An exact mean squared error that differs by more than its second order.",
)
REPEATED = _claim(
    id="Verifier, repeated",
    words="repeated, the mean tends to the verifier's centre: its bias becomes the loop's",
    relation="==",
    falsified_by="A window for which the iterated map ends elsewhere.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"u": 0.5},
    {"u": 1.0},
    {"u": 2.0},
)

_N = 50
_GRID_POINTS = 200


def contraction(u: float) -> float:
    """g, the variance of N(0, 1) on [−u, u] and the slope of one round.

    Args:
        u: Half width of the window in standard deviations, > 0.

    Returns:
        A number in (0, 1).

    Raises:
        ValueError: If u is not finite and > 0.
    """
    if not (math.isfinite(u) and u > 0):
        raise ValueError(f"u must be finite and > 0, got {u}")
    return 1 - 2 * u * float(norm.pdf(u)) / (2 * float(norm.cdf(u)) - 1)


def scatter(u: float) -> float:
    """n times the stationary variance about the verifier's centre, to first order.

    Args:
        u: Half width of the window, > 0.

    Returns:
        g/(1 − g²).
    """
    g = contraction(u)
    return g / (1 - g**2)


def one_round_error(u: float, b: float, s2: float, m: int) -> float:
    """Mean squared error of one round, to first order.

    Args:
        u: Half width of the window, > 0.
        b: Centre of the verifier, seen from the truth.
        s2: Variance of the fit before, unbiased.
        m: Accepted points.

    Returns:
        ((1−g)b)² + g²s² + g/m.
    """
    g = contraction(u)
    return ((1 - g) * b) ** 2 + g**2 * s2 + g / m


def accepted_mean(theta: float, u: float, c: float = 0.0) -> float:
    """Mean of N(θ, 1) on [c − u, c + u].

    Args:
        theta: θ.
        u: Half width of the window, > 0.
        c: Its centre.

    Returns:
        E of one round, given θ.
    """
    low, high = c - u - theta, c + u - theta
    mass = norm.cdf(high) - norm.cdf(low)
    return float(theta - (norm.pdf(high) - norm.pdf(low)) / mass)


def stationary_variance(u: float, n: int) -> float:
    """Variance about the centre in the long run, from the exact transition density of the mean.

    The mean of n accepted points has the n-th power of their characteristic function; a fast
    Fourier transform inverts it on a grid of θ.

    Args:
        u: Half width of the window, > 0.
        n: Accepted points a round, >= 8, so that the density is smooth.

    Returns:
        E θ² of the stationary law, up to the grid.
    """
    theta = np.linspace(-u, u, _GRID_POINTS, endpoint=False) + u / _GRID_POINTS
    step = theta[1] - theta[0]

    # transition[i, j]: density at theta[j] of the mean of n points of N(theta[i], 1) on the window
    density = norm.pdf(theta[None, :] - theta[:, None])
    density /= density.sum(axis=1, keepdims=True)  # mass on each cell
    frequency = 2 * np.pi * np.fft.fftfreq(_GRID_POINTS, step)
    # of one point divided by n, exactly for the cells' centres
    characteristic = density @ np.exp(1j * theta[:, None] * frequency[None, :] / n)
    back = np.exp(-1j * frequency[:, None] * theta[None, :]) / _GRID_POINTS
    transition = np.maximum((characteristic**n @ back).real, 0)
    transition /= transition.sum(axis=1, keepdims=True)

    # law @ transition = law, with the last equation replaced by the sum of the law
    system = transition.T - np.eye(_GRID_POINTS)
    system[-1] = 1
    law = np.linalg.solve(system, np.eye(_GRID_POINTS)[-1])
    return float(law @ theta**2)


def check(
    u: float,
    rng: np.random.Generator,
    points: int = 20_000,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The slope, one round through Algorithm 1, the scatter and both errors for one window.

    Args:
        u: Half width of the window in standard deviations, > 0.
        rng: For the simulation.
        points: Accepted points of the simulated round.
        false_alarm: Of the one verdict that uses randomness.

    Returns:
        The verdicts.
    """
    h, g = 1e-4, contraction(u)
    slope = (accepted_mean(h, u) - accepted_mean(-h, u)) / (2 * h)
    # twice n leaves half of the error of first order: what remains is of second order
    coarse, fine = (n * stationary_variance(u, n) for n in (_N, 2 * _N))
    return [
        SLOPE.verdict(
            f"u = {u:g}",
            measured=slope,
            claimed=g,
            tolerance=1e-7,
            method="central difference of the mean; tolerance: its third order",
        ),
        _through_the_loop(u, rng, points, false_alarm),
        SCATTER.verdict(
            f"u = {u:g}, n = {_N} and {2 * _N}",
            measured=2 * fine - coarse,
            claimed=scatter(u),
            tolerance=0.03 * scatter(u),
            method="transition density by Fourier transform, extrapolated; tolerance: 1/n²",
        ),
        _one_round(u),
        _repeated(u),
    ]


def counterexamples() -> list[Verdict]:
    """The first order of the scatter, at a window so wide that the loop hardly contracts."""
    u = 3.0
    exact, first = stationary_variance(u, _N), scatter(u) / _N
    return [
        FIRST_ORDER_ALWAYS.verdict(
            f"u = {u:g}, n = {_N}",
            measured=abs(exact / first - 1),
            claimed=0.2,
            method="transition density by Fourier transform",
            note=f"{exact:.3g} against {first:.3g}",
        )
    ]


def _through_the_loop(
    u: float, rng: np.random.Generator, points: int, false_alarm: float
) -> Verdict:
    """One retraining of a model that stands at θ = 0.8."""
    theta, learner = 0.8, known_variance(1, 1)
    *_, last = retrain(
        learner,
        [np.full((points, 1), theta)],
        [Verified(FullySynthetic(), lambda x: np.abs(x[:, 0]) <= u, tries=8)],
        1,
        seed=int(rng.integers(2**62)),
    )
    accepted = last.training[0].points
    return ROUND.verdict(
        f"u = {u:g}, θ = {theta:g}",
        measured=float(learner.mean[0, 0]),
        claimed=accepted_mean(theta, u),
        tolerance=bounded_mean_slack(
            accepted_mean(theta, u) + u, 2 * u, len(accepted), false_alarm / 2
        ),
        method=f"Algorithm 1, {len(accepted)} accepted points; tolerance: exact, Hoeffding",
        false_alarm=false_alarm,
    )


def _one_round(u: float) -> Verdict:
    """The exact error by quadrature over the fit before."""
    b, s2, m = 0.05, 0.01, 1000
    z, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    error = 0.0
    for theta, weight in zip(math.sqrt(s2) * z, weights, strict=True):
        window = truncnorm(b - u - theta, b + u - theta, loc=theta)
        error += weight * float(window.mean() ** 2 + window.var() / m)
    return ONE_ROUND.verdict(
        f"u = {u:g}, b = {b:g}, s² = {s2:g}, m = {m}",
        measured=error,
        claimed=one_round_error(u, b, s2, m),
        tolerance=0.03 * one_round_error(u, b, s2, m),
        method="quadrature over the fit before; tolerance: of relative order s² and b²",
    )


def _repeated(u: float) -> Verdict:
    """The map iterated from the truth, with a verifier that is off by 0.3."""
    b, theta = 0.3, 0.0
    for _ in range(500):
        theta = accepted_mean(theta, u, b)
    return REPEATED.verdict(
        f"u = {u:g}, b = {b:g}",
        measured=theta,
        claimed=repeated_limit(b),
        tolerance=1e-9,
        method="500 rounds of the exact map",
    )


def repeated_limit(b: float) -> float:
    """Limit of the mean of the loop: the verifier's centre.

    Args:
        b: The centre.

    Returns:
        b.
    """
    return b


_CASE = {"u": 1.0}

MUTATIONS = (
    Mutation(
        SLOPE, f"{__name__}.contraction", "g² for g", _CASE, lambda right: lambda u: right(u) ** 2
    ),
    Mutation(ROUND, f"{__name__}.accepted_mean", "the mean", _CASE),
    Mutation(
        SCATTER,
        f"{__name__}.contraction",
        "g² for g",
        _CASE,
        lambda right: lambda u: right(u) ** 2,
    ),
    Mutation(
        ONE_ROUND,
        f"{__name__}.contraction",
        "g² for g",
        _CASE,
        lambda right: lambda u: right(u) ** 2,
    ),
    Mutation(REPEATED, f"{__name__}.repeated_limit", "the limit", _CASE),
)
"""Slips, and the claim that each must break."""
