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
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from stability.families import Gaussian, GaussianFull
from stability.families.gaussian import symmetric_basis
from stability.laws.family import Family, hessians, scores
from stability.statements.verdict import Status, Verdict, compare

__all__ = ["GRID", "alpha", "check", "controls", "counterexamples"]

GRID: tuple[dict[str, Any], ...] = (
    {"mean": (0.5,), "covariance": ((0.25,),)},
    {"mean": (-1.0,), "covariance": ((100.0,),)},
    {"mean": (1.0, -2.0), "covariance": ((2.0, 0.6), (0.6, 0.5))},
    {"mean": (0.0, 0.0), "covariance": ((1.0, 0.0), (0.0, 1e-4))},
    {"mean": (1.0, 0.0, -1.0), "covariance": ((3.0, 1.0, 0.0), (1.0, 2.0, 0.5), (0.0, 0.5, 1.0))},
)

_STEP = 1e-4
"""Of central differences, in standard errors of one observation."""


def alpha(covariance: ArrayLike) -> float:
    """α of Assumption 2 for well-specified data: min(λmin(Σ⁻¹), ½ λmin(Σ)²) > 0.   covariance:
    (d, d).
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
        points: Drawn at twice the model's width, >= 2.

    Raises:
        ValueError: For bad arguments.
    """
    return _check(mean, covariance, rng, points)


def controls(rng: np.random.Generator) -> list[Verdict]:
    """Each with a spoiled constant or sign: each is `violated`."""
    spoiled = {"mean": (1.0, -2.0), "covariance": ((2.0, 0.6), (0.6, 0.5)), "rng": rng}
    return [
        *_check(**spoiled, share=1.0)[:2],  # −Σ in (59), as printed (E2)
        *_check(**spoiled, half=0.51)[2:4],  # 0.51 (Σ ⊗ Σ) in (60)
        _check(**spoiled, sign=-1.0)[4],  # −log p
        _check(**spoiled, factor=1.01)[5],  # 1.01 α
        *_check(**spoiled, lipschitz=0.99)[6:],  # L = 0.99
    ]


def counterexamples() -> list[Verdict]:
    """(59) as printed, at d = 1 and x = μ (E2), and E ∇² log p ≺ 0 with all d² entries of Σ⁻¹
    free, at d = 2.
    """
    one, two = Gaussian(1), GaussianFull(2)
    gradient = -scores(one, _vector(0.0, 1.0), torch.zeros(1, 1, dtype=torch.float64))[0, 1].item()
    full = _expected_hessian(two, _vector(0, 0, 1, 0, 0, 1), np.zeros(2), np.eye(2))
    largest = float(np.linalg.eigvalsh(full)[-1])
    return [
        Verdict(
            claim="Proposition 2, (59) as printed",
            words="the gradient of −log p in Σ⁻¹ is ½(x − μ)(x − μ)ᵀ − Σ",
            instance="N(0, 1) at x = 0",
            measured=gradient,
            relation="==",
            stated=-1.0,
            status=compare(gradient, "==", -1.0, 1e-12),
            method="automatic differentiation; tolerance: rounding",
            tolerance=1e-12,
            erratum="E2",
            note="it is ½(x − μ)(x − μ)ᵀ − ½Σ",
        ),
        Verdict(
            claim="Proposition 2, in all d² entries",
            words="E ∇² log p ≺ 0 with Σ⁻¹ any matrix, as (58) and (60) are printed",
            instance="N(0, I), d = 2",
            measured=largest,
            relation="<",
            stated=0.0,
            status=compare(largest, "<", 0.0),
            method="automatic differentiation of (58), averaged exactly",
            note="½ on the antisymmetric direction, where (60) has the wrong sign; ≺ 0 on "
            "symmetric perturbations",
        ),
    ]


def _check(
    mean: ArrayLike,
    covariance: ArrayLike,
    rng: np.random.Generator,
    points: int = 6,
    *,
    share: float = 0.5,
    half: float = 0.5,
    sign: float = 1.0,
    factor: float = 1.0,
    lipschitz: float = 1.0,
) -> list[Verdict]:
    """Args:
    share: Of Σ in (59), of Σ ⊗ Σ in (60).
    half: See `share`.
    sign: Of E ∇² log p.
    factor: Of α.
    lipschitz: L.
    """
    mu, sigma = np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float)
    d = len(mu)
    if points < 2:
        raise ValueError(f"points must be >= 2, got {points}")
    if not np.isfinite(mu).all():
        raise ValueError(f"mean must be finite, got {mean}")
    definite = (
        sigma.shape == (d, d)
        and np.array_equal(sigma, sigma.T)
        and np.linalg.eigvalsh(sigma)[0] > 0
    )
    if not definite:
        raise ValueError(
            f"covariance must be symmetric positive definite, of shape ({d}, {d}), got {covariance}"
        )
    family, full = Gaussian(d), GaussianFull(d)
    precision = torch.from_numpy(np.linalg.inv(sigma))
    precision = (precision + precision.T) / 2
    theta = family.join(torch.from_numpy(mu), precision)
    x = torch.from_numpy(mu + 2 * rng.standard_normal((points, d)) @ np.linalg.cholesky(sigma).T)
    # one standard error along each column
    unit = np.linalg.inv(np.linalg.cholesky(family.fisher(theta).numpy())).T

    gradient = _gradient(mu, sigma, x.numpy(), share) @ unit
    second = unit.T @ _hessian(mu, sigma, x.numpy(), half) @ unit
    gradient_seen = -scores(family, theta, x).numpy() @ unit
    second_seen = unit.T @ -hessians(family, theta, x).numpy() @ unit
    gradient_steps = -_differences(lambda at: family.log_prob(at, x)[:, None], theta, unit)[:, 0]
    second_steps = unit.T @ -_differences(lambda at: scores(family, at, x), theta, unit)
    least = -sign * float(np.linalg.eigvalsh(_expected_hessian(family, theta, mu, sigma))[-1])
    entries = torch.cat([torch.from_numpy(mu), precision.flatten()])
    slopes = [
        _slope(hessians(each, at, x).numpy(), x.numpy())
        for each, at in ((family, theta), (full, entries))
    ]

    eigenvalues = ", ".join(f"{value:.3g}" for value in np.linalg.eigvalsh(sigma)[::-1])
    common: dict[str, Any] = {
        "instance": f"d = {d}, Σ with eigenvalues {eigenvalues}",
        "assumptions": {"α": least, "L": slopes[0]},
    }
    verdicts = []
    for seen, steps, stated, rest in (
        (
            gradient_seen,
            gradient_steps,
            gradient,
            {
                "claim": "Proposition 2, (59)",
                "words": "−∇ log p = (Σ⁻¹(μ − x), ½(x − μ)(x − μ)ᵀ − ½Σ)",
                "erratum": "E2",
                "note": "printed with −Σ for −½Σ",
            },
        ),
        (
            second_seen,
            second_steps,
            second,
            {
                "claim": "Proposition 2, (60)",
                "words": "−∇² log p has the blocks Σ⁻¹, (μ − x) ⊗ I and ½(Σ ⊗ Σ), on symmetric "
                "perturbations",
                "note": "" if d == 1 else "on antisymmetric ones ½(Σ ⊗ Σ) has the wrong sign",
            },
        ),
    ):
        units = "; the largest difference, in standard errors of one observation; tolerance: "
        by_autodiff = f"automatic differentiation{units}rounding"
        by_steps = (
            f"central differences{units}the square of their step, {_STEP}, times a third derivative"
        )
        verdicts.append(
            _equal(float(np.abs(seen - stated).max()), 1e-9, method=by_autodiff, **rest, **common)
        )
        verdicts.append(
            _equal(float(np.abs(steps - stated).max()), 1e-6, method=by_steps, **rest, **common)
        )

    exactly = "automatic differentiation, averaged exactly (it is affine in x)"
    verdicts.append(
        Verdict(
            claim="Proposition 2",
            words="E_{p_θ} ∇² log p_θ ≺ 0 (Assumption 2)",
            measured=-least,
            relation="<",
            stated=0.0,
            status=compare(-least, "<", 0.0),
            method=f"λmax by {exactly}",
            **common,
        )
    )
    limit = factor * alpha(sigma)
    verdicts.append(
        Verdict(
            claim="Proposition 2, α",
            words="α = min(λmin(Σ⁻¹), ½ λmin(Σ)²)",
            measured=least,
            relation="==",
            stated=limit,
            status=compare(least, "==", limit, 1e-9 * limit),
            method=f"−λmax by {exactly}; tolerance: rounding",
            tolerance=1e-9 * limit,
            **common,
        )
    )
    for slope, coordinates in zip(
        slopes, ("symmetric perturbations of Σ⁻¹", "all d² entries of Σ⁻¹"), strict=True
    ):
        verdicts.append(
            Verdict(
                claim="Proposition 2, Lipschitz",
                words="‖∇² log p_θ(x) − ∇² log p_θ(y)‖₂ = ‖x − y‖: L = 1 (Assumption 1)",
                measured=slope,
                relation="==",
                stated=lipschitz,
                status=compare(slope, "==", lipschitz, 1e-9),
                method=f"automatic differentiation, on {coordinates}: the ratio farthest from 1, "
                "of all pairs of "
                "points; tolerance: rounding",
                tolerance=1e-9,
                **common,
            )
        )
    return verdicts


def _gradient(mu: np.ndarray, sigma: np.ndarray, x: np.ndarray, share: float) -> np.ndarray:
    """−∇ log p by (59), with `share` of Σ, in the coordinates of `Gaussian`: (n, P)."""
    gap = x - mu
    blocks = gap[:, :, None] * gap[:, None] / 2 - share * sigma
    by_precision = np.einsum("kij,nij->nk", symmetric_basis(len(mu)).numpy(), blocks)
    return np.concatenate([-gap @ np.linalg.inv(sigma), by_precision], 1)


def _hessian(mu: np.ndarray, sigma: np.ndarray, x: np.ndarray, half: float) -> np.ndarray:
    """−∇² log p by (60), with `half` of Σ ⊗ Σ, in the coordinates of `Gaussian`: (n, P, P)."""
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


def _slope(hessian: np.ndarray, x: np.ndarray) -> float:
    """‖∇² log p(x) − ∇² log p(y)‖₂ / ‖x − y‖ of that pair for which it is farthest from 1: (n,
    P, P), (n, d).
    """
    i, j = np.triu_indices(len(x), 1)
    slopes = np.linalg.norm(hessian[i] - hessian[j], 2, axis=(1, 2)) / np.linalg.norm(
        x[i] - x[j], axis=1
    )
    return float(slopes[np.abs(slopes - 1).argmax()])


def _equal(measured: float, tolerance: float, **rest: Any) -> Verdict:
    """A verdict on a difference that must be 0; with an erratum, the printed formula is known to
    fail everywhere.
    """
    status = compare(measured, "==", 0.0, tolerance)
    if status is Status.HOLDS and "erratum" in rest:
        status = Status.CORRECTED
    return Verdict(
        measured=measured, relation="==", stated=0.0, status=status, tolerance=tolerance, **rest
    )


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
