"""The mass of a density in any dimension by importance sampling, in both directions.

With g a multivariate t of the draws' mean and covariance, E_g p/g is the mass Z. With g a normal
law of half their covariance, E_p g/p is 1/Z: draws of p are at hand. The first misses mass in tails
that are heavier than g's, the second counts too much where p has holes; a wrong Z shows in both.

Source: importance sampling, and its reverse (Gelfand and Dey 1994).
"""

import math

import torch
from torch import Tensor

from stability.laws.family import Family
from stability.laws.law import Member, draw

__all__ = ["require_unit_mass"]

_DRAWS = 20_000
_FREEDOM = 5.0
"""Degrees of freedom of the multivariate t."""
_NARROWER = 0.5
"""Covariance of the normal law over that of the draws."""
_UNEVEN = 0.05
"""Share of all weights that one draw may carry."""
_STANDARD_ERRORS, _SLACK = 7.0, 0.01
"""Distance from 1 at which a mass is wrong: by chance once in 4e11, if weights are normal."""


def require_unit_mass(family: Family, theta: Tensor, seed: int = 0) -> str:
    """Refuse a density whose mass is not 1.

    Args:
        family: Log-density and sampler on R^d, without atoms.
        theta: (P,).
        seed: Of the draws, >= 0.

    Returns:
        A line that says that the mass is not known where weights are too uneven, else "".

    Raises:
        ValueError: If importance sampling in both directions finds another mass.
    """
    generator = torch.Generator().manual_seed(seed + 5)
    own = draw(Member(family, theta), _DRAWS, generator)
    centre, spread = own[::2].mean(0), torch.atleast_2d(torch.cov(own[::2].T))
    root, failed = torch.linalg.cholesky_ex(spread)
    if failed or not torch.isfinite(root).all():
        return "the mass of p_θ* is not known: its draws have no covariance"

    z = torch.randn(_DRAWS, len(centre), generator=generator, dtype=torch.float64)
    chi = torch.randn(_DRAWS, int(_FREEDOM), generator=generator, dtype=torch.float64)
    wide = centre + (z / (chi.square().mean(1, keepdim=True)).sqrt()) @ root.T
    forward = _mean(family.log_prob(theta, wide) - _log_t(wide, centre, root))
    rest = own[1::2]
    backward = _mean(_log_normal(rest, centre, root) - family.log_prob(theta, rest))
    if forward is None or backward is None:
        return "the mass of p_θ* is not known: importance weights are too uneven"

    (mass, error), (inverse, its_error) = forward, backward
    off = [
        (value - 1) / (_STANDARD_ERRORS * sd + _SLACK)
        for value, sd in ((mass, error), (1 / inverse, its_error / inverse**2))
    ]
    if min(off) > 1 or max(off) < -1:
        raise ValueError(
            f"log_prob must be a normalised density, got mass {mass:.4g} ± {2 * error:.1g} by "
            "importance sampling"
        )
    return ""


def _mean(log_weights: Tensor) -> tuple[float, float] | None:
    """Mean of weights and its standard error; None where one of them carries too much."""
    weights = torch.nan_to_num(log_weights, nan=-math.inf, posinf=math.inf).exp()
    total = float(weights.sum())
    if not (0 < total < math.inf) or float(weights.max()) > _UNEVEN * total:
        return None
    return total / len(weights), float(weights.std()) / math.sqrt(len(weights))


def _squares(x: Tensor, centre: Tensor, root: Tensor) -> Tensor:
    """Mahalanobis' distances squared, (n,)."""
    return torch.linalg.solve_triangular(root, (x - centre).T, upper=False).square().sum(0)


def _log_t(x: Tensor, centre: Tensor, root: Tensor) -> Tensor:
    """log density of the multivariate t, (n,)."""
    d = len(centre)
    level = (
        math.lgamma((_FREEDOM + d) / 2)
        - math.lgamma(_FREEDOM / 2)
        - d / 2 * math.log(_FREEDOM * math.pi)
        - float(root.diagonal().log().sum())
    )
    return level - (_FREEDOM + d) / 2 * torch.log1p(_squares(x, centre, root) / _FREEDOM)


def _log_normal(x: Tensor, centre: Tensor, root: Tensor) -> Tensor:
    """log density of the narrower normal law, (n,)."""
    d, narrow = len(centre), math.sqrt(_NARROWER) * root
    level = -d / 2 * math.log(2 * math.pi) - float(narrow.diagonal().log().sum())
    return level - _squares(x, centre, narrow) / 2
