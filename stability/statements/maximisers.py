"""Which maximiser is taken: the canonical θ_0 (1), of least norm, and the next θ_{t+1} (3), the
closest to θ_t.

On Gaussian mixtures, where relabelling the components makes K! copies of each maximiser. (3)
decides wherever θ_t is near one of them. (1) does not: with the last logit 0 the least norm belongs
to all copies that relabel the other components, (K − 1)! of them, and for K = 2 to both. It does
not matter which is taken: relabelling carries the whole iteration along.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.operators import finite_map, maximum_likelihood
from stability.families import GaussianMixture
from stability.statements.verdict import Verdict, compare

__all__ = ["GRID", "check", "controls", "copies", "counterexamples"]

GRID: tuple[dict[str, Any], ...] = (
    {"theta": (0.4, -2.5, 2.5), "lam": 0.5},
    {"theta": (0.5, -0.3, -4.5, 0.0, 4.0), "lam": 1.0},
)

_TOLERANCE = 1e-6
"""Between norms and distances of maximisers, which Newton's method finds to rounding."""


def copies(theta: Tensor) -> list[Tensor]:
    """The K! parameters (2K − 1,) of a `GaussianMixture` that are one law, `theta` first."""
    K = (len(theta) + 1) // 2
    logits, means = torch.cat([theta[: K - 1], theta.new_zeros(1)]), theta[K - 1 :]
    orders = [list(order) for order in itertools.permutations(range(K))]
    return [torch.cat([(logits[order] - logits[order[-1]])[:-1], means[order]]) for order in orders]


def check(
    theta: tuple[float, ...], lam: float, rng: np.random.Generator, n: int = 300
) -> list[Verdict]:
    """(1) on n points of a mixture of `GaussianMixture`, from all K! orders of its components, and
    (3) near each copy.

    Args:
        theta: (2K − 1,) logits and means, components at least 4 standard deviations apart (the sd
            is 1).
        lam: Finite, >= 0.
        n: Real points.

    Raises:
        ValueError: For bad arguments.
    """
    return _check(theta, lam, rng, n)


def controls(rng: np.random.Generator) -> list[Verdict]:
    """The longest maximiser for the canonical one, and another copy for the closest: each is
    `violated`.
    """
    return _check((0.5, -0.3, -4.5, 0.0, 4.0), 1.0, rng, 300, spoil=True)


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
        Verdict(
            claim="Eq. (1), canonical θ_0",
            words="one maximiser has the least norm",
            instance="two Gaussian components with a logit and two means, 75 points",
            measured=float(least),
            relation="==",
            stated=1.0,
            status=compare(float(least), "==", 1.0),
            method="number of maximisers whose norm is the least, to 1e-6",
            note="(l, μ₁, μ₂) and (−l, μ₂, μ₁) are one law and have one norm; either may be taken",
        )
    ]


def _check(
    theta: tuple[float, ...], lam: float, rng: np.random.Generator, n: int, *, spoil: bool = False
) -> list[Verdict]:
    """spoil: take the longest maximiser, and of the images the copy that is farthest away."""
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
    norm, least = float(norms.max() if spoil else canonical.theta.norm()), float(norms.min())

    G, excess = finite_map(family, real, lam), 0.0
    for near in same + 0.3 * torch.randn(same.shape, generator=generator, dtype=torch.float64):
        image = G(near, generator).theta
        distances = (torch.stack(copies(image)) - near).norm(dim=1)
        taken = distances.max() if spoil else distances[0]
        excess = max(excess, float(taken - distances.min()))
    instance = f"mixture of {K}, n = {n}"
    return [
        Verdict(
            claim="Eq. (1)",
            words="θ_0 is a maximiser of the likelihood of least norm",
            instance=instance,
            measured=norm,
            relation="==",
            stated=least,
            status=compare(norm, "==", least, _TOLERANCE),
            method=f"Newton's method from {math.factorial(K)} starts, against all copies of what "
            "it finds",
            tolerance=_TOLERANCE,
            note=f"{int((norms < least + _TOLERANCE).sum())} of {math.factorial(K)} copies have "
            "the least norm",
        ),
        Verdict(
            claim="Eq. (3)",
            words="θ_{t+1} is the local maximiser closest to θ_t",
            instance=f"{instance}, λ = {lam:g}",
            measured=excess,
            relation="==",
            stated=0.0,
            status=compare(excess, "==", 0.0, _TOLERANCE),
            method=f"Gⁿ from near each of {math.factorial(K)} maximisers; distance from θ_t less "
            "that of the closest "
            "copy, the largest",
            tolerance=_TOLERANCE,
        ),
    ]
