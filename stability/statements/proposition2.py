"""Proposition 2: Gaussians in θ = (μ, Σ⁻¹) meet Assumptions 1 and 2, with L = 1 and α =
min(λmin(Σ⁻¹), ½ λmin(Σ)²).

True on symmetric perturbations of Σ⁻¹, which are all that a covariance can make. Two of the proof's
formulas need care: in (59) the gradient in Σ⁻¹ is ½(x − μ)(x − μ)ᵀ − ½Σ, and not − Σ (erratum E2);
and the block ½(Σ ⊗ Σ) of (60), with all d² entries of Σ⁻¹ as variables, is right on symmetric
perturbations alone: on antisymmetric ones the second derivative of −log p has the opposite sign, so
there the expected Hessian of log p is not negative.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from stability.families import Gaussian, GaussianFull
from stability.families.gaussian import symmetric_basis
from stability.laws.family import Family, hessians, scores
from stability.statements.claim import Claim
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "alpha", "check", "counterexamples"]

_claim = partial(
    Claim,
    source="Proposition 2",
    relation="==",
    no_evidence="Points at the mean alone, where several terms vanish.",
)
_difference = partial(
    _claim, falsified_by="One entry at one point that differs by more than the tolerance."
)

GRADIENT = _difference(
    id="Proposition 2, (59)",
    words="−∇ log p = (Σ⁻¹(μ − x), ½(x − μ)(x − μ)ᵀ − ½Σ)",
    erratum="E2",
)
HESSIAN = _difference(
    id="Proposition 2, (60)",
    words="−∇² log p has the blocks Σ⁻¹, (μ − x) ⊗ I and ½(Σ ⊗ Σ), on symmetric perturbations",
)
CONCAVE = _claim(
    id="Proposition 2",
    words="E_{p_θ} ∇² log p_θ ≺ 0 (Assumption 2)",
    relation="<",
    falsified_by="One Gaussian with an eigenvalue >= 0.",
)
ALPHA = _claim(
    id="Proposition 2, α",
    words="α = min(λmin(Σ⁻¹), ½ λmin(Σ)²)",
    falsified_by="One Gaussian with another smallest eigenvalue.",
)
LIPSCHITZ = _claim(
    id="Proposition 2, Lipschitz",
    words="‖∇² log p_θ(x) − ∇² log p_θ(y)‖₂ = ‖x − y‖: L = 1 (Assumption 1)",
    falsified_by="One pair of points with another ratio.",
)
PRINTED_GRADIENT = _claim(
    id="Proposition 2, (59) as printed",
    words="the gradient of −log p in Σ⁻¹ is ½(x − μ)(x − μ)ᵀ − Σ",
    falsified_by="N(0, 1) at x = 0.",
    erratum="E2",
    refuted_because="log det Σ⁻¹ has the factor ½: the gradient is ½(x − μ)(x − μ)ᵀ − ½Σ.",
)
ALL_ENTRIES = _claim(
    id="Proposition 2, in all d² entries",
    words="E ∇² log p ≺ 0 with Σ⁻¹ any matrix, as (58) and (60) are printed",
    relation="<",
    falsified_by="N(0, I) in two dimensions, on an antisymmetric direction.",
    erratum="E2",
    refuted_because="On antisymmetric perturbations of Σ⁻¹ the block ½(Σ ⊗ Σ) has the wrong sign.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"mean": (0.5,), "covariance": ((0.25,),)},
    {"mean": (-1.0,), "covariance": ((100.0,),)},
    {"mean": (1.0, -2.0), "covariance": ((2.0, 0.6), (0.6, 0.5))},
    {"mean": (0.0, 0.0), "covariance": ((1.0, 0.0), (0.0, 1e-4))},
    {"mean": (1.0, 0.0, -1.0), "covariance": ((3.0, 1.0, 0.0), (1.0, 2.0, 0.5), (0.0, 0.5, 1.0))},
)

_STEP = 1e-4
"""Step of central differences, in standard errors of one observation."""


def alpha(covariance: ArrayLike) -> float:
    """α of Assumption 2 for well-specified data: min(λmin(Σ⁻¹), ½ λmin(Σ)²) > 0.

    Args:
        covariance: Σ, (d, d), symmetric positive definite.

    Returns:
        α.
    """
    variances = np.linalg.eigvalsh(np.asarray(covariance, dtype=float))
    return float(min(1 / variances[-1], variances[0] ** 2 / 2))


def check(
    mean: ArrayLike, covariance: ArrayLike, rng: np.random.Generator, points: int = 6
) -> list[Verdict]:
    """(59) and (60) against automatic differentiation and differences, E ∇² log p ≺ 0, α, and L.

    What is claimed holds at each point, so that the draws bring no false alarm.

    Args:
        mean: (d,).
        covariance: (d, d), symmetric positive definite.
        rng: Source of all draws.
        points: Drawn at twice the model's width, >= 2.

    Returns:
        The verdicts.

    Raises:
        ValueError: For bad arguments.
    """
    mu, sigma = _gaussian(mean, covariance, points)
    d, family = len(mu), Gaussian(len(mu))
    precision = torch.from_numpy(np.linalg.inv(sigma))
    precision = (precision + precision.T) / 2
    theta = family.join(torch.from_numpy(mu), precision)
    x = torch.from_numpy(mu + 2 * rng.standard_normal((points, d)) @ np.linalg.cholesky(sigma).T)
    # one standard error along each column
    unit = np.linalg.inv(np.linalg.cholesky(family.fisher(theta).numpy())).T

    least = -float(np.linalg.eigvalsh(_expected_hessian(family, theta, mu, sigma))[-1])
    slopes = _slopes(family, theta, mu, precision, x)
    eigenvalues = ", ".join(f"{value:.3g}" for value in np.linalg.eigvalsh(sigma)[::-1])
    case = f"d = {d}, Σ with eigenvalues {eigenvalues}"
    assumptions = {"α": least, "L": next(iter(slopes.values()))}
    exactly = "automatic differentiation, averaged exactly (it is affine in x)"
    return [
        *_derivatives(family, theta, mu, sigma, x, unit, case),
        CONCAVE.verdict(
            case,
            measured=-least,
            claimed=0.0,
            method=f"λmax by {exactly}",
            assumptions=assumptions,
        ),
        ALPHA.verdict(
            case,
            measured=least,
            claimed=alpha(sigma),
            tolerance=1e-9 * alpha(sigma),
            method=f"−λmax by {exactly}; tolerance: rounding",
            assumptions=assumptions,
        ),
        *(
            LIPSCHITZ.verdict(
                case,
                measured=slope,
                claimed=lipschitz(),
                tolerance=1e-9,
                method=f"automatic differentiation, on {coordinates}: the ratio farthest from 1, "
                "of all pairs of points; tolerance: rounding",
                assumptions=assumptions,
            )
            for coordinates, slope in slopes.items()
        ),
    ]


def _slopes(
    family: Gaussian, theta: Tensor, mu: np.ndarray, precision: Tensor, x: Tensor
) -> dict[str, float]:
    """L on a sample x (n, d), by the coordinates in which Σ⁻¹ may move."""
    entries = torch.cat([torch.from_numpy(mu), precision.flatten()])
    full = hessians(GaussianFull(len(mu)), entries, x)
    return {
        "symmetric perturbations of Σ⁻¹": _slope(hessians(family, theta, x).numpy(), x.numpy()),
        "all d² entries of Σ⁻¹": _slope(full.numpy(), x.numpy()),
    }


def counterexamples() -> list[Verdict]:
    """(59) as printed, at d = 1 and x = μ (E2), and E ∇² log p ≺ 0 with all d² entries of Σ⁻¹
    free, at d = 2.
    """
    one, two = Gaussian(1), GaussianFull(2)
    gradient = -scores(one, _vector(0.0, 1.0), torch.zeros(1, 1, dtype=torch.float64))[0, 1].item()
    full = _expected_hessian(two, _vector(0, 0, 1, 0, 0, 1), np.zeros(2), np.eye(2))
    largest = float(np.linalg.eigvalsh(full)[-1])

    return [
        PRINTED_GRADIENT.verdict(
            "N(0, 1) at x = 0",
            measured=gradient,
            claimed=-1.0,
            tolerance=1e-12,
            method="automatic differentiation; tolerance: rounding",
            note="it is ½(x − μ)(x − μ)ᵀ − ½Σ",
        ),
        ALL_ENTRIES.verdict(
            "N(0, I), d = 2",
            measured=largest,
            claimed=0.0,
            method="automatic differentiation of (58), averaged exactly",
            note="½ on the antisymmetric direction, where (60) has the wrong sign; ≺ 0 on "
            "symmetric perturbations",
        ),
    ]


_CASE = {"mean": (1.0, -2.0), "covariance": ((2.0, 0.6), (0.6, 0.5))}
_HERE = "stability.statements.proposition2"

MUTATIONS = (
    Mutation(
        GRADIENT,
        f"{_HERE}.gradient",
        "−Σ in (59), as printed",
        _CASE,
        lambda right: lambda mu, sigma, x, share=0.5: right(mu, sigma, x, 1.0),
    ),
    Mutation(
        HESSIAN,
        f"{_HERE}.hessian",
        "0.51 (Σ ⊗ Σ) in (60)",
        _CASE,
        lambda right: lambda mu, sigma, x, half=0.5: right(mu, sigma, x, 0.51),
    ),
    Mutation(CONCAVE, f"{_HERE}._expected_hessian", "the sign of log p", _CASE, scaled(-1.0)),
    Mutation(ALPHA, f"{_HERE}.alpha", "α", _CASE),
    Mutation(LIPSCHITZ, f"{_HERE}.lipschitz", "L", _CASE),
)
"""Slips, and the claim that each must break."""


def lipschitz() -> float:
    """L of Assumption 1 for Gaussians in (μ, Σ⁻¹)."""
    return 1.0


def _gaussian(mean: ArrayLike, covariance: ArrayLike, points: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the covariance as arrays.   ValueError if an argument is out of range."""
    mu, sigma = np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float)
    d = len(mu)
    if points < 2:
        raise ValueError(f"points must be >= 2, got {points}")
    if not np.isfinite(mu).all():
        raise ValueError(f"mean must be finite, got {mean}")
    symmetric = sigma.shape == (d, d) and np.array_equal(sigma, sigma.T)
    if not (symmetric and np.linalg.eigvalsh(sigma)[0] > 0):
        raise ValueError(
            f"covariance must be symmetric positive definite, of shape ({d}, {d}), got {covariance}"
        )
    return mu, sigma


def _derivatives(
    family: Gaussian,
    theta: Tensor,
    mu: np.ndarray,
    sigma: np.ndarray,
    x: Tensor,
    unit: np.ndarray,
    case: str,
) -> list[Verdict]:
    """(59) and (60), each by automatic differentiation and by central differences."""
    points, second = x.numpy(), unit.T @ hessian(mu, sigma, x.numpy()) @ unit
    seen = -scores(family, theta, x).numpy() @ unit
    steps = -_differences(lambda at: family.log_prob(at, x)[:, None], theta, unit)[:, 0]
    second_seen = unit.T @ -hessians(family, theta, x).numpy() @ unit
    second_steps = unit.T @ -_differences(lambda at: scores(family, at, x), theta, unit)
    units = "; the largest difference, in standard errors of one observation; tolerance: "
    by_autodiff = f"automatic differentiation{units}rounding", 1e-9
    by_steps = (
        f"central differences{units}the square of their step, {_STEP}, times a third derivative",
        1e-6,
    )

    verdicts = []
    for measured, (method, tolerance) in ((seen, by_autodiff), (steps, by_steps)):
        verdicts.append(
            _gradient_verdict(measured, mu, sigma, points, unit, case, method, tolerance)
        )
    for measured, (method, tolerance) in ((second_seen, by_autodiff), (second_steps, by_steps)):
        verdicts.append(
            HESSIAN.verdict(
                case,
                measured=float(np.abs(measured - second).max()),
                claimed=0.0,
                tolerance=tolerance,
                scale=float(np.abs(second).max()),
                method=method,
                note="" if len(mu) == 1 else "on antisymmetric ones ½(Σ ⊗ Σ) has the wrong sign",
            )
        )
    return verdicts


def _gradient_verdict(
    seen: np.ndarray,
    mu: np.ndarray,
    sigma: np.ndarray,
    x: np.ndarray,
    unit: np.ndarray,
    case: str,
    method: str,
    tolerance: float,
) -> Verdict:
    """(59) as corrected; the printed formula, with −Σ, stands beside it."""
    stated = gradient(mu, sigma, x) @ unit
    printed = gradient(mu, sigma, x, 1.0) @ unit
    numbers: dict[str, Any] = {"claimed": 0.0, "tolerance": tolerance, "method": method}

    return GRADIENT.verdict(
        case,
        measured=float(np.abs(seen - stated).max()),
        scale=float(np.abs(stated).max()),
        in_place_of=PRINTED_GRADIENT.verdict(
            case, measured=float(np.abs(seen - printed).max()), **numbers
        ),
        note="printed with −Σ for −½Σ",
        **numbers,
    )


def gradient(mu: np.ndarray, sigma: np.ndarray, x: np.ndarray, share: float = 0.5) -> np.ndarray:
    """−∇ log p by (59), with `share` of Σ, in the coordinates of `Gaussian`.

    Args:
        mu: Mean, (d,).
        sigma: Covariance, (d, d).
        x: Points, (n, d).
        share: Factor on Σ; 1/2 is right.

    Returns:
        (n, P).
    """
    gap = x - mu
    blocks = gap[:, :, None] * gap[:, None] / 2 - share * sigma
    by_precision = np.einsum("kij,nij->nk", symmetric_basis(len(mu)).numpy(), blocks)
    return np.concatenate([-gap @ np.linalg.inv(sigma), by_precision], 1)


def hessian(mu: np.ndarray, sigma: np.ndarray, x: np.ndarray, half: float = 0.5) -> np.ndarray:
    """−∇² log p by (60), with `half` of Σ ⊗ Σ, in the coordinates of `Gaussian`.

    Args:
        mu: Mean, (d,).
        sigma: Covariance, (d, d).
        x: Points, (n, d).
        half: Factor on Σ ⊗ Σ; 1/2 is right.

    Returns:
        (n, P, P).
    """
    d, basis = len(mu), symmetric_basis(len(mu)).numpy()
    result = np.empty((len(x), d + len(basis), d + len(basis)))
    result[:, :d, :d] = np.linalg.inv(sigma)
    result[:, :d, d:] = np.einsum("kij,nj->nik", basis, mu - x)
    result[:, d:, :d] = result[:, :d, d:].swapaxes(1, 2)
    result[:, d:, d:] = half * np.einsum("kij,jl,mlo,oi->km", basis, sigma, basis, sigma)
    return result


def _expected_hessian(
    family: Family, theta: Tensor, mu: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """E ∇² log p under N(μ, Σ): the mean over the 2d points μ ± √d Σ^½ eᵢ, exact up to degree 3
    in x.
    """
    offsets = math.sqrt(len(mu)) * np.linalg.cholesky(sigma).T
    points = torch.from_numpy(np.concatenate([mu + offsets, mu - offsets]))
    return hessians(family, theta, points).mean(0).numpy()


def _differences(
    function: Callable[[Tensor], Tensor], theta: Tensor, unit: np.ndarray
) -> np.ndarray:
    """Derivatives of a function (P,) -> (n, c) along the columns of `unit`, (n, c, P), by
    central differences.
    """
    steps = [torch.from_numpy(_STEP * column) for column in unit.T]
    return np.stack(
        [(function(theta + h) - function(theta - h)).numpy() / (2 * _STEP) for h in steps], 2
    )


def _slope(second: np.ndarray, x: np.ndarray) -> float:
    """‖∇² log p(x) − ∇² log p(y)‖₂ / ‖x − y‖ of that pair for which it is farthest from 1: (n,
    P, P), (n, d).
    """
    i, j = np.triu_indices(len(x), 1)
    slopes = np.linalg.norm(second[i] - second[j], 2, axis=(1, 2)) / np.linalg.norm(
        x[i] - x[j], axis=1
    )
    return float(slopes[np.abs(slopes - 1).argmax()])


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
