"""Kernel estimates in a mix: Scott's kernels grow with the data, and beyond a critical λ the loop
diverges although the real data stay.

With bandwidth² κ·covariance, κ = N^{−2/(d+4)} at N = n(1+λ) points, a draw of the model has the
variance (1 + κ)V of its training set, so that to first order

    V ← (v_0 + λ(1 + κ)V)/(1 + λ),    stable iff λκ < 1.

With an absolute bandwidth h the loop is stable at every λ, and its variance is (1 + λ)h² too large:
the price of a bias h² a round. Both are exact at finite n with two numbers in place of one, the
expected variance of a draw and the expected square of how far the training set's mean has moved.
Own results.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.stats import norm

from stability.gaussian.smoothed_bootstrap import SmoothedBootstrap
from stability.loop.regimes import Mix
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "check",
    "critical_lambda",
    "first_order_critical_lambda",
    "rate",
    "variances",
]

_claim = partial(
    Claim,
    source="own derivation",
    no_evidence="Few rounds near the critical λ: there a variance grows by a percent a round.",
)

PATH = _claim(
    id="Kernels, Algorithm 1",
    words="Scott's kernels: the expected variance of a draw after t rounds, exactly at finite n",
    relation="==",
    falsified_by="A mean over chains outside its confidence interval.",
    error_rate=ERROR_RATE,
)
CRITICAL = _claim(
    id="Kernels, critical λ",
    words="Scott's kernels: the loop diverges iff λκ ≥ 1, κ = N^{−2/(d+4)}, up to O(1/n)",
    relation="==",
    falsified_by="A spectral radius of the exact recursion that passes 1 at another λ.",
)
BEYOND = _claim(
    id="Kernels, finite n",
    words="at finite n the exact critical λ is larger than that with λκ = 1",
    relation=">",
    falsified_by="An n at which the exact recursion diverges earlier.",
)
ABSOLUTE = _claim(
    id="Kernels, absolute bandwidth",
    words="an absolute bandwidth h ends at v_0 + (1 + λ)h² for n → ∞, stable at every λ",
    relation="==",
    falsified_by="A fixed point of the recursion elsewhere.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"n": 20, "lam": 3.0},
    {"n": 20, "lam": 8.0},
    {"n": 50, "lam": 1.0},
)


def scott(points: float, dimension: int) -> float:
    """κ = N^{−2/(d+4)}, bandwidth² over the covariance by Scott's rule.

    Args:
        points: N.
        dimension: d.

    Returns:
        The factor.
    """
    return points ** (-2 / (dimension + 4))


def _round(
    n: float, m: float, dimension: int, bandwidth: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(2, 2) and (2,): (W, D) ← step @ (W, D) + shift, for real data of unit variance.

    W is the expected variance of a draw, D that of the training set's mean about the real data's.
    """
    total = n + m
    # squares about the new mean: the real points', the synthetic ones', and between their means
    squares = np.array([m - 1 + n / total, n * m / total])
    mean = (m / total) ** 2 * np.array([1 / m, 1.0])
    widened = 1 / total
    if bandwidth is None:
        widened += scott(total, dimension) / (total - 1)
    shift = np.array([widened * (n - 1) + (bandwidth or 0.0) ** 2, 0.0])
    return np.array([widened * squares, mean]), shift


def variances(
    n: int, lam: float, t: int, dimension: int = 2, bandwidth: float | None = None
) -> NDArray[np.float64]:
    """Expected variance of a draw of generations 0 … t, over that of the real data.

    Args:
        n: Real points.
        lam: λ; λn whole.
        t: Retrainings.
        dimension: d.
        bandwidth: h, over the real standard deviation; None: Scott's rule.

    Returns:
        (t + 1,) variances.
    """
    step, shift = _round(n, lam * n, dimension, bandwidth)
    first = (n - 1) / n + (scott(n, dimension) if bandwidth is None else bandwidth**2)
    state = np.array([first, 0.0])
    path = [state[0]]
    for _ in range(t):
        state = step @ state + shift
        path.append(state[0])
    return np.array(path)


def rate(n: float, lam: float, dimension: int = 2, bandwidth: float | None = None) -> float:
    """Factor by which a round multiplies a deviation of the variance, at finite n.

    Args:
        n: Real points.
        lam: λ.
        dimension: d.
        bandwidth: h; None: Scott's rule.

    Returns:
        The spectral radius of the exact recursion.
    """
    step, _ = _round(n, lam * n, dimension, bandwidth)
    return float(np.abs(np.linalg.eigvals(step)).max())


def critical_lambda(n: float, dimension: int = 2) -> float:
    """The λ from which on Scott's kernels diverge, exactly at finite n.

    Args:
        n: Real points.
        dimension: d.

    Returns:
        λ_c.
    """
    return _root(lambda lam: rate(n, lam, dimension) - 1, n)


def first_order_critical_lambda(n: float, dimension: int = 2) -> float:
    """The λ with λκ = 1.

    Args:
        n: Real points.
        dimension: d.

    Returns:
        λ.
    """
    return _root(lambda lam: lam * scott(n * (1 + lam), dimension) - 1, n)


def _root(function: Any, n: float) -> float:
    return float(root_scalar(function, bracket=(1e-3, 10 * n + 10), xtol=1e-12).root)


def check(
    n: int,
    lam: float,
    rng: np.random.Generator,
    t: int = 5,
    chains: int = 200,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The variances through Algorithm 1, the critical λ, and an absolute bandwidth.

    Args:
        n: Real points, in the plane.
        lam: λ; λn whole.
        rng: For the simulation.
        t: Retrainings.
        chains: Chains of the simulation.
        false_alarm: Of the verdict that simulates.

    Returns:
        The verdicts.
    """
    many, h, case = 1e7, 0.3, f"n = {n}"
    step, shift = _round(many, lam * many, 2, h)
    settled = np.linalg.solve(np.eye(2) - step, shift)[0]

    return [
        _simulated(n, lam, t, chains, rng, false_alarm),
        CRITICAL.verdict(
            "n = 1e7",
            measured=critical_lambda(many),
            claimed=first_order_critical_lambda(many),
            tolerance=1e-3 * first_order_critical_lambda(many),
            method="root of the exact recursion's spectral radius − 1; tolerance: O(1/n) of κ",
        ),
        BEYOND.verdict(
            case,
            measured=critical_lambda(n),
            claimed=first_order_critical_lambda(n),
            method="root of the exact recursion's spectral radius − 1",
        ),
        ABSOLUTE.verdict(
            f"h = {h:g}, λ = {lam:g}",
            measured=float(settled),
            claimed=1 + added_variance(lam, h),
            tolerance=1e-5,
            method="fixed point of the exact recursion at n = 1e7; tolerance: O(1/n)",
            note=f"left of a deviation a round: {rate(many, lam, bandwidth=h):.4f}",
        ),
    ]


def added_variance(lam: float, bandwidth: float) -> float:
    """(1 + λ)h².

    Args:
        lam: λ.
        bandwidth: h.

    Returns:
        What is added to the variance in the end.
    """
    return (1 + lam) * bandwidth**2


def _simulated(
    n: int, lam: float, t: int, chains: int, rng: np.random.Generator, false_alarm: float
) -> Verdict:
    """Mean variance of a draw, over chains and directions."""
    model = SmoothedBootstrap(chains, 2)
    real = list(rng.standard_normal((chains, n, 2)))
    for _ in retrain(model, real, [Mix(lam)] * chains, t, seed=int(rng.integers(2**62))):
        pass
    seen = model.variances.mean(axis=1)
    spread = float(seen.std(ddof=1)) / math.sqrt(chains)
    return PATH.verdict(
        f"n = {n}, d = 2, λ = {lam:g}, t = {t}",
        measured=float(seen.mean()),
        claimed=float(variances(n, lam, t)[-1]),
        tolerance=2 * float(norm.isf(false_alarm / 2)) * spread,
        method=f"Algorithm 1, {chains} chains; tolerance: normal tail, doubled for skewness",
        false_alarm=false_alarm,
        note=f"critical λ {critical_lambda(n):.3g}, {first_order_critical_lambda(n):.3g} to first "
        "order",
    )


_CASE = {"n": 20, "lam": 3.0}
_FEW = {**_CASE, "chains": 2}
_HERE = "stability.statements.literature.kernel_estimate"

MUTATIONS = (
    Mutation(
        PATH,
        f"{_HERE}.scott",
        "half of κ in the law",
        _CASE,
        lambda right: lambda points, dimension: right(points, dimension) / 2,
    ),
    Mutation(
        CRITICAL,
        f"{_HERE}.first_order_critical_lambda",
        "λκ = 2",
        _FEW,
        lambda right: (
            lambda n, dimension=2: _root(lambda lam: lam * scott(n * (1 + lam), dimension) - 2, n)
        ),
    ),
    Mutation(
        BEYOND,
        f"{_HERE}.critical_lambda",
        "λκ = ½",
        _FEW,
        lambda right: (
            lambda n, dimension=2: _root(lambda lam: lam * scott(n * (1 + lam), dimension) - 0.5, n)
        ),
    ),
    Mutation(
        ABSOLUTE,
        f"{_HERE}.added_variance",
        "h² for (1+λ)h²",
        _FEW,
        lambda right: lambda lam, bandwidth: bandwidth**2,
    ),
)
"""Slips, and the claim that each must break."""
