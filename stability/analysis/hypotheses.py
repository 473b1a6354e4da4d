"""Tests that a family meets what an analysis assumes: its interface and S1's hypothesis, exact
sampling.

Where log p_θ is a normalised density and `sample` draws from it, E s = 0 and E[∂²log p + s²] = 0
along any direction of θ (Bartlett's identities); both are tested on draws of `sample`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp

from stability.laws.capabilities import Bounded, Discrete, in_domain
from stability.laws.family import Family, scores
from stability.laws.law import Member, draw

__all__ = ["heavy_tails", "require_exact_sampling", "require_interface"]

_DRAWS = 4000
_LOOKED_AT = 16
"""Directions of θ along which Bartlett's identities are tested."""
_STANDARD_ERRORS = 7.0
"""A mean that is farther from 0 is not 0: by chance once in 4e11 normal means."""
_DIFFERENCE = 1e-6
"""Step of finite differences in θ, relative to 1 + ‖θ‖."""
_TIED, _DISTINCT = 400, 0.75
"""Draws that are looked at, and the share of different ones below which a law is discrete: those of
a density differ all, even in single precision but for one pair in 200 such sets."""
_CARRIED = 0.2
"""Share of a sum of squares that one of many draws may carry."""
_TORCH = "log_prob must be made of torch operations that torch.func can differentiate and map"


def require_interface(family: Family, theta: Tensor, x: Tensor) -> None:
    """Refuse a family that cannot be analysed, in one line that says what to change.

    Args:
        family: What the user gave.
        theta: (P,) where the search begins.
        x: (n, d) some points of the data.

    Raises:
        ValueError: If a method fails, or returns something else than it must.
    """
    name = type(family).__name__
    if not in_domain(family, theta):
        raise ValueError(f"start must be in the domain of {name}, got {theta.tolist()}")
    _require_inside(family, x, name)

    few = x[:3]
    value = _called(lambda: family.log_prob(theta, few), f"{name}.log_prob(theta, x)", theta, few)
    if not isinstance(value, Tensor) or value.shape != (len(few),):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"log_prob must return one number a point, ({len(few)},) for x of shape "
            f"{tuple(few.shape)}, got {shape}"
        )
    if value.dtype != torch.float64:
        raise ValueError(f"log_prob must return float64 as theta and x are, got {value.dtype}")

    if value.isnan().any():
        raise ValueError(
            f"log_prob must not be NaN, got that at x = {few[value.isnan()][0].tolist()} for "
            f"{name} at theta = {theta.tolist()}"
        )
    alone = torch.cat([family.log_prob(theta, point[None]) for point in few])
    if not torch.allclose(value, alone, rtol=1e-6, atol=1e-6, equal_nan=True):
        raise ValueError("log_prob must treat points one by one, got a value that others change")

    _require_derivatives(family, theta, few)
    _require_sampler(family, theta, few)


def _require_inside(family: Family, x: Tensor, name: str) -> None:
    """ValueError if points lie where the family says that it has no density."""
    support = family.support if isinstance(family, Bounded) else None
    if support is None or len(support) != x.shape[1]:  # the latter is refused where it is used
        return
    low, high = torch.as_tensor(support, dtype=x.dtype).T
    outside = ((x < low) | (x > high)).any(dim=1)
    if outside.any():
        raise ValueError(
            f"data must lie in the support of {name}, {tuple(map(tuple, support))}; "
            f"{int(outside.sum())} of {len(x)} points do not, such as {x[outside][0].tolist()}"
        )


def _require_derivatives(family: Family, theta: Tensor, few: Tensor) -> None:
    try:
        first = scores(family, theta, few)
    except Exception as error:
        raise ValueError(
            f"{_TORCH}: no numpy, no .item(), no branches on values; {_first_line(error)}"
        ) from error
    if not first.any() and not scores(family, theta + 0.1, few).any():
        raise ValueError(f"log_prob must depend on theta; {_TORCH}: no .item(), no detach()")
    _require_true_slope(family, theta, few, first)


def _require_true_slope(family: Family, theta: Tensor, few: Tensor, slopes: Tensor) -> None:
    """ValueError where differences of log p say otherwise than its derivative: a detached θ."""
    h = _DIFFERENCE * (1 + float(theta.norm()))
    for v in torch.eye(len(theta), dtype=torch.float64)[:_LOOKED_AT]:
        ends = theta + h * v, theta - h * v
        if not all(in_domain(family, end) for end in ends):
            continue
        seen = (family.log_prob(ends[0], few) - family.log_prob(ends[1], few)) / (2 * h)
        said = slopes @ v
        both = torch.isfinite(seen) & torch.isfinite(said)
        if ((seen - said).abs() > 1e-3 * (1 + seen.abs() + said.abs()))[both].any():
            raise ValueError(
                f"{_TORCH}: no .item(), no detach(); its derivative says {said[both].tolist()} "
                f"where differences say {seen[both].tolist()}"
            )


def _require_sampler(family: Family, theta: Tensor, few: Tensor) -> None:
    def draws(seed: int) -> Tensor:
        member = Member(family, theta)
        return _called(
            lambda: draw(member, 5, torch.Generator().manual_seed(seed)),
            f"{type(family).__name__}.sample(theta, n, generator)",
            theta,
            few,
        )

    one = draws(0)
    if one.shape[1] != few.shape[1]:
        raise ValueError(
            f"data and family must have one dimension, got {few.shape[1]} and {one.shape[1]}"
        )
    if not torch.equal(one, draws(0)):
        raise ValueError("sample must draw from its generator alone, got other draws at its seed")
    if torch.equal(one, draws(1)):
        raise ValueError("sample must draw from its generator, got equal draws at two seeds")
    _require_atoms_if_discrete(family, theta)


def _require_atoms_if_discrete(family: Family, theta: Tensor) -> None:
    """ValueError for a law on few points that does not list them: it would be integrated."""
    if isinstance(family, Discrete) and family.atoms is not None:
        return
    x = draw(Member(family, theta), _TIED, torch.Generator().manual_seed(0))
    distinct = len(torch.unique(x, dim=0))
    if distinct < _DISTINCT * _TIED:
        raise ValueError(
            f"a discrete family must list its points in `atoms`, (k, d), got {distinct} different "
            f"points in {_TIED} draws of {type(family).__name__}"
        )


def _called(call: Callable[[], Tensor], what: str, theta: Tensor, x: Tensor) -> Tensor:
    try:
        return call()
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f"{what} failed at theta of shape {tuple(theta.shape)} and x of shape "
            f"{tuple(x.shape)}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def require_exact_sampling(family: Family, theta: Tensor, seed: int = 0) -> None:
    """Test Bartlett's identities on draws of `sample` at θ.

    They fail for a sampler that is wider than its density, and for a density whose mass depends on
    θ. A false alarm has probability about 1e-10.

    Args:
        family: Log-density and sampler.
        theta: (P,).
        seed: Of the draws and directions, >= 0.

    Raises:
        ValueError: If an identity fails.
    """
    generator = torch.Generator().manual_seed(seed + 2)
    x = draw(Member(family, theta), _DRAWS, generator)
    P = len(theta)
    directions = torch.eye(P, dtype=torch.float64)
    if P > _LOOKED_AT:
        directions = torch.randn(_LOOKED_AT, P, generator=generator, dtype=torch.float64)
        directions = directions / directions.norm(dim=1, keepdim=True)

    for k, v in enumerate(directions):
        first, second = _along(family, theta, x, v)
        where = f"theta[{k}]" if P <= _LOOKED_AT else "a direction of theta"
        for words, values in (("E s", first), ("E[∂² log p + s²]", second + first**2)):
            kept = values[torch.isfinite(values)]
            error = float(kept.std()) / math.sqrt(len(kept))
            mean = float(kept.mean())
            if abs(mean) > _STANDARD_ERRORS * error + 1e-9 * (1 + float(kept.abs().mean())):
                raise ValueError(
                    f"sample and log_prob must be of one law, got {words} = {mean:.3g} ± "
                    f"{error:.1g} instead of 0 along {where}, over {_DRAWS} draws: the sampler is "
                    "not exact, or log_prob is not normalised"
                )


def _along(family: Family, theta: Tensor, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivative of log p along v at each point, (n,) each."""

    def value(t: Tensor) -> Tensor:
        return family.log_prob(theta + t * v, x)

    def first(t: Tensor) -> Tensor:
        return jvp(value, (t,), (torch.ones_like(t),))[1]

    zero = theta.new_zeros(())
    slope, bend = jvp(first, (zero,), (torch.ones_like(zero),))[:2]
    return slope, bend


def heavy_tails(score: Tensor) -> str:
    """Say whether one draw dominates the mean of s sᵀ, which then may not exist.

    Args:
        score: (n, P) of independent draws.

    Returns:
        A line for people, or "".
    """
    squares = (score / score.std(0).clamp(min=1e-300)).square().sum(1)
    share = float(squares.max() / squares.sum().clamp(min=1e-300))
    if len(squares) < 200 or share < _CARRIED:
        return ""
    return (
        f"one of {len(squares)} draws of the data carries {share:.0%} of E s sᵀ: C, V and the "
        "costs may not exist"
    )
