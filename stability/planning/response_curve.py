"""The response of a learner along the loop's own direction: s − r as a curve in r.

Refits on mixes of real and drawn points give pairs (r, s) of a functional's mean over a training
set and over the model. A constant, a line or a parabola in r is fitted to s − r, as the points
allow. Outside the range of r that was seen the curve is an extrapolation, and is called one.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ResponseCurve", "fit_curve"]

MOST_DEGREE = 2


@dataclass(frozen=True, eq=False)
class ResponseCurve:
    """s − r = Σ_k c_k ((r − origin)/width)^k, at one size of the training set.

    Attributes:
        size: Points of the training sets.
        origin: r at which `coefficients[0]` is the value: the real points' mean.
        width: Unit of r, > 0.
        coefficients: (degree + 1,).
        covariance: (degree + 1, degree + 1), of the coefficients.
        excess: Variance of one fit about the curve beyond that of the draws that measure it.
        low: Least r that was seen.
        high: Greatest r that was seen.
        at: (g,), values of r in ascending order, at which `spread` was measured.
        spread: (g,), variance of f of one draw of the model.
        misfit: Largest deviation of a group of refits from the curve, in its standard errors.
    """

    size: int
    origin: float
    width: float
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    excess: float
    low: float
    high: float
    at: NDArray[np.float64]
    spread: NDArray[np.float64]
    misfit: float = 0.0

    @property
    def bias(self) -> tuple[float, float]:
        """δ at the real points' mean, and its standard error."""
        return float(self.coefficients[0]), math.sqrt(self.covariance[0, 0])

    @property
    def response(self) -> tuple[float, float]:
        """J at the real points' mean, and its standard error; (1, 0) of a constant curve."""
        if len(self.coefficients) == 1:
            return 1.0, 0.0
        slope = float(self.coefficients[1]) / self.width
        return 1 + slope, math.sqrt(self.covariance[1, 1]) / self.width

    def deviation(self, r: NDArray) -> NDArray[np.float64]:
        """Standard deviation of f of one draw of the model.

        Args:
            r: (k,), means over training sets.

        Returns:
            (k,); beyond the measurements, as at the end.
        """
        return np.sqrt(np.interp(r, self.at, self.spread))

    def draws(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Coefficients that the refits are compatible with.

        Args:
            count: Number of draws.
            rng: For the draws.

        Returns:
            (count, degree + 1), normal about the estimate.
        """
        root = np.linalg.cholesky(self.covariance + 1e-300 * np.eye(len(self.coefficients)))
        noise = rng.standard_normal((count, len(self.coefficients)))
        return self.coefficients + noise @ root.T

    def shift(self, r: NDArray, coefficients: NDArray) -> NDArray[np.float64]:
        """s − r.

        Args:
            r: (k,), means over training sets.
            coefficients: (k, degree + 1), those of `draws`.

        Returns:
            (k,).
        """
        # beyond what was seen a parabola may turn round: continue its tangent
        x = (r - self.origin) / self.width
        inside = np.clip(x, *((np.array([self.low, self.high]) - self.origin) / self.width))
        powers = np.arange(coefficients.shape[1])
        value = (coefficients * inside[:, None] ** powers).sum(axis=1)
        slopes = powers[1:] * coefficients[:, 1:]
        slope = (slopes * inside[:, None] ** powers[:-1]).sum(axis=1) if powers.size > 1 else 0.0
        return value + slope * (x - inside)


def fit_curve(
    r: NDArray,
    s: NDArray,
    groups: NDArray,
    spread: NDArray,
    *,
    size: int,
    origin: float,
    draws: int,
) -> ResponseCurve:
    """Fit a curve to refits at one size.

    The degree is the one with the least AICc. Standard errors come from the scatter of the refits
    about the curve, at least that of the draws that measure s.

    Args:
        r: (k,), means over the training sets.
        s: (k,), means over draws of the models.
        groups: (k,), refits of one composition have one number.
        spread: (k,), variances of f over those draws, not all 0.
        size: Points of the training sets.
        origin: The real points' mean.
        draws: Draws that measure each model.

    Returns:
        The curve.
    """
    y = s - r
    noise = float(spread.mean()) / draws
    width = float(max(np.abs(r - origin).max(), 1e-12))
    x = (r - origin) / width
    most = min(MOST_DEGREE, len(np.unique(groups)) - 2, len(y) - 3)
    best = min(range(max(most, 0) + 1), key=lambda degree: _criterion(x, y, degree, noise))

    design = np.vander(x, best + 1, increasing=True).astype(np.float64)
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    residual = y - design @ coefficients
    freedom = max(len(y) - best - 1, 1)
    variance = max(float(residual @ residual) / freedom, noise)
    misfit = max(
        abs(residual[groups == g].mean()) * math.sqrt((groups == g).sum() / variance)
        for g in np.unique(groups)
    )
    return ResponseCurve(
        size=size,
        origin=origin,
        width=width,
        coefficients=np.asarray(coefficients, dtype=np.float64),
        covariance=np.asarray(variance * np.linalg.pinv(design.T @ design), dtype=np.float64),
        excess=max(variance - noise, 0.0),
        low=float(r.min()),
        high=float(r.max()),
        at=np.sort(r),
        spread=np.array([spread[groups == g].mean() for g in groups[np.argsort(r)]]),
        misfit=float(misfit),
    )


def _criterion(x: NDArray, y: NDArray, degree: int, noise: float) -> float:
    """AICc of a polynomial of some degree."""
    residual, count = _residual(x, y, degree), degree + 2
    # no fit is better than the draws that measure it
    scatter = max(float(residual @ residual) / len(y), noise)
    penalty = 2 * count * len(y) / max(len(y) - count - 1, 0.5)
    return len(y) * math.log(scatter) + float(residual @ residual) / scatter + penalty


def _residual(x: NDArray, y: NDArray, degree: int) -> NDArray[np.float64]:
    design = np.vander(x, degree + 1, increasing=True)
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
