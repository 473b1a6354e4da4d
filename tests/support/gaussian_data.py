"""N(0, Σ) in two dimensions: its exact denoiser, and whether samples have the moments that the
width map says.
"""

import numpy as np
import torch
from scipy.stats import chi2, norm

from tests.conftest import FALSE_ALARM

ANGLE = 0.4
AXES = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
VARIANCES = np.array([0.05, 0.6]) ** 2


def denoiser(scale, noise):
    """x -> E[x₀ | scale·x₀ + noise·ε = x] for x₀ ~ N(0, AXES diag(VARIANCES) AXESᵀ)."""
    gain = AXES @ np.diag(scale * VARIANCES / (scale**2 * VARIANCES + noise**2)) @ AXES.T
    matrix = torch.from_numpy(gain)
    return lambda x: (x.double() @ matrix).to(x.dtype)


def assert_moments(samples, variances):
    """Mean 0 and covariance AXES diag(variances) AXESᵀ, up to Monte-Carlo error: exact quantiles
    of the normal law.
    """
    n = len(samples)
    along = samples.astype(float) @ AXES / np.sqrt(variances)  # independent N(0, 1) if so
    assert np.abs(along.mean(axis=0)).max() * n**0.5 < norm.isf(FALSE_ALARM / 12)
    low, high = chi2.isf([1 - FALSE_ALARM / 12, FALSE_ALARM / 12], n)
    squares = (along**2).sum(axis=0)
    assert (low < squares).all(), squares / n
    assert (squares < high).all(), squares / n
    # the sum and the difference of the coordinates are as wide as each other if there is no
    # correlation
    for sign in (-1, 1):
        assert low < ((along[:, 0] + sign * along[:, 1]) ** 2).sum() / 2 < high
