"""The choice among maximisers: the canonical θ_0 (1), of least norm, the next θ_{t+1} (3), the
closest to θ_t, and what makes a critical point a maximiser.

On Gaussian mixtures, where relabelling the components makes K! copies of each maximiser. (3)
decides wherever θ_t is near one of them. (1) does not: with the last logit 0 the least norm belongs
to all copies that relabel the other components, (K − 1)! of them, and for K = 2 to both. It does
not matter which is taken: relabelling carries the whole iteration along.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.operators import finite_map, maximum_likelihood
from stability.families import GaussianMixture
from stability.laws.family import Family
from stability.statements.claim import Claim, Premise
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "copies", "counterexamples", "largest_eigenvalue"]

_claim = partial(
    Claim,
    no_evidence="Families with one maximiser: there is then nothing to choose.",
)

CANONICAL = _claim(
    id="Eq. (1)",
    words="θ_0 is a maximiser of the likelihood of least norm",
    relation="==",
    source="eq. (1), footnote 2",
    falsified_by="A maximiser that is shorter than the one that is taken.",
)
CLOSEST = _claim(
    id="Eq. (3)",
    words="θ_{t+1} is the local maximiser closest to θ_t",
    relation="==",
    source="eq. (3), footnotes 2 and 3",
    falsified_by="A copy of the maximiser that is nearer to θ_t.",
)
LOCAL = Claim(
    id="Footnote 1",
    words="∇f(θ) = 0 and ∇²f(θ) ≺ 0 make θ a local maximum of f: the mean log-likelihood falls in "
    "all directions",
    relation="<",
    source="footnote 1",
    falsified_by="A critical point with ∇²f ≺ 0 and a near point of larger likelihood.",
    no_evidence="Saddle points, where ∇²f ≺ 0 is false: the claim is vacuous there.",
    needs=(Premise("‖∇f‖", "<=", 1e-6), Premise("λmax(∇²f)", "<", 0.0)),
)
UNIQUE = _claim(
    id="Eq. (1), canonical θ_0",
    words="one maximiser has the least norm",
    relation="==",
    source="eq. (1)",
    falsified_by="Two maximisers of equal norm.",
    refuted_because="Relabelling the components of a mixture of two keeps the norm.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"theta": (0.4, -2.5, 2.5), "lam": 0.5},
    {"theta": (0.5, -0.3, -4.5, 0.0, 4.0), "lam": 1.0},
)

_TOLERANCE = 1e-6
"""Between norms and distances of maximisers, which Newton's method finds to rounding."""
_STEP = 0.01
"""Distance at which the likelihood is compared with that at a critical point."""


def copies(theta: Tensor) -> list[Tensor]:
    """The K! parameters of a `GaussianMixture` that are one law, `theta` first.

    Args:
        theta: K − 1 logits and K means, (2K − 1,).

    Returns:
        K! parameters, (2K − 1,) each.
    """
    K = (len(theta) + 1) // 2
    logits, means = torch.cat([theta[: K - 1], theta.new_zeros(1)]), theta[K - 1 :]
    orders = [list(order) for order in itertools.permutations(range(K))]
    return [torch.cat([(logits[order] - logits[order[-1]])[:-1], means[order]]) for order in orders]


def check(
    theta: tuple[float, ...], lam: float, rng: np.random.Generator, n: int = 300
) -> list[Verdict]:
    """(1) on n points of a mixture of `GaussianMixture`, from all K! orders of its components, (3)
    near each copy, and footnote 1 at θ_0 and at a saddle point.

    Args:
        theta: (2K − 1,) logits and means, components at least 4 standard deviations apart (the sd
            is 1).
        lam: Finite, >= 0.
        rng: Source of all draws.
        n: Real points.

    Returns:
        The verdicts.

    Raises:
        ValueError: For bad arguments.
    """
    truth = torch.tensor(theta, dtype=torch.float64)
    K = (len(theta) + 1) // 2
    if K < 2 or len(theta) != 2 * K - 1 or float(truth[K - 1 :].sort().values.diff().min()) < 4:
        raise ValueError(
            f"theta must be K − 1 logits and K means at least 4 apart, K >= 2, got {theta}"
        )
    family, generator = GaussianMixture(K), torch.Generator().manual_seed(int(rng.integers(2**62)))
    real = family.sample(truth, n, generator)
    canonical = maximum_likelihood(family, real, torch.stack(copies(truth)))
    same = torch.stack(copies(canonical.theta))
    norms = same.norm(dim=1)
    least = float(norms.min())

    G, excess = finite_map(family, real, lam), 0.0
    for near in same + 0.3 * torch.randn(same.shape, generator=generator, dtype=torch.float64):
        image = G(near, generator).theta
        distances = (torch.stack(copies(image)) - near).norm(dim=1)
        excess = max(excess, float(distances[0] - distances.min()))
    case, orders = f"mixture of {K}, n = {n}", math.factorial(K)
    return [
        CANONICAL.verdict(
            case,
            measured=float(canonical.theta.norm()),
            claimed=least,
            tolerance=_TOLERANCE,
            method=f"Newton's method from {orders} starts, against all copies of what it finds",
            note=f"{int((norms < least + _TOLERANCE).sum())} of {orders} copies have the least "
            "norm",
        ),
        CLOSEST.verdict(
            f"{case}, λ = {lam:g}",
            measured=excess,
            claimed=0.0,
            tolerance=_TOLERANCE,
            scale=1.0,
            method=f"Gⁿ from near each of {orders} maximisers; distance from θ_t less that of the "
            "closest copy, the largest",
        ),
        _falls_around(f"{case}, θ_0", family, real, canonical.theta),
        _falls_around(f"{case}, all components at the mean", family, real, _saddle(real, K)),
    ]


def _saddle(real: Tensor, K: int) -> Tensor:
    """A critical point that is no maximum: K equal components at the mean of the points."""
    return torch.cat([real.new_zeros(K - 1), real.mean().expand(K)])


def _falls_around(case: str, family: Family, real: Tensor, theta: Tensor) -> Verdict:
    """Check that f, the mean log-likelihood, falls around a critical point along all axes."""

    def f(at: Tensor) -> Tensor:
        return family.log_prob(at, real).mean()

    gradient, hessian = torch.func.grad(f)(theta), torch.func.hessian(f)(theta)
    axes = _STEP * torch.linalg.eigh(hessian).eigenvectors.T
    gains = [float(f(theta + step) - f(theta)) for step in torch.cat([axes, -axes])]
    return LOCAL.verdict(
        case,
        measured=max(gains) / (_STEP**2 / 2),
        claimed=0.0,
        method=f"largest gain over half the square of the distance, {_STEP:g}, along both ends of "
        "each axis of ∇²f",
        assumptions={"‖∇f‖": float(gradient.norm()), "λmax(∇²f)": largest_eigenvalue(hessian)},
    )


def largest_eigenvalue(matrix: Tensor) -> float:
    """Largest eigenvalue of a symmetric matrix.

    Args:
        matrix: The matrix, (P, P).

    Returns:
        The eigenvalue.
    """
    return float(torch.linalg.eigvalsh(matrix)[-1])


def counterexamples() -> list[Verdict]:
    """The argmin of (1) need not be one point."""
    real = torch.special.ndtri((torch.arange(50, dtype=torch.float64) + 0.5) / 50)[:, None]
    real = torch.cat([real - 2.5, real[::2] + 2.5])
    found = maximum_likelihood(
        GaussianMixture(2), real, torch.tensor([0.5, -2.0, 2.0], dtype=torch.float64)
    )
    norms = torch.stack(copies(found.theta)).norm(dim=1)
    least = int((norms < norms.min() + _TOLERANCE).sum())
    return [
        UNIQUE.verdict(
            "two Gaussian components with a logit and two means, 75 points",
            measured=float(least),
            claimed=1.0,
            method="number of maximisers whose norm is the least, to 1e-6",
            note="(l, μ₁, μ₂) and (−l, μ₂, μ₁) are one law and have one norm; either may be",
        )
    ]


_CASE = {"theta": (0.5, -0.3, -4.5, 0.0, 4.0), "lam": 1.0}


def _longest(right: Callable[..., Any]) -> Callable[..., Any]:
    """A search that takes the longest of the maximisers."""

    def search(family: Any, real: Any, starts: Tensor) -> Any:
        found = right(family, real, starts)
        return replace(found, theta=max(copies(found.theta), key=lambda theta: float(theta.norm())))

    return search


def _relabelled(right: Callable[..., Any]) -> Callable[..., Any]:
    """A map that takes another copy of the closest maximiser."""

    def make(*arguments: Any) -> Callable[..., Any]:
        G = right(*arguments)

        def other(theta: Tensor, generator: torch.Generator) -> Any:
            found = G(theta, generator)
            return replace(found, theta=copies(found.theta)[-1])

        return other

    return make


MUTATIONS = (
    Mutation(
        CANONICAL,
        "stability.analysis.operators.maximum_likelihood",
        "the longest maximiser",
        _CASE,
        _longest,
    ),
    Mutation(
        CLOSEST, "stability.analysis.operators.finite_map", "another copy", _CASE, _relabelled
    ),
    Mutation(
        LOCAL,
        "stability.statements.maximisers.largest_eigenvalue",
        "the smallest eigenvalue",
        _CASE,
        lambda right: lambda matrix: -right(-matrix),
    ),
)
"""Slips, and the claim that each must break."""
