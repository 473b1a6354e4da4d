"""Gaussian images N(m, S), for which the best network of each model is known and every sampler
is linear.
"""

import numpy as np
import torch
from scipy.stats import chi2, norm
from torch import Tensor

from deep.models.ddpm import DDPM
from tests.conftest import FALSE_ALARM


class Gaussian:
    """Images of shape (c, h, w) whose pixels are N(mean, covariance): (d,) and (d, d), d = c h
    w, in float64.
    """

    def __init__(self, mean, covariance, shape):
        self.mean = torch.as_tensor(mean, dtype=torch.float64)
        self.covariance = torch.as_tensor(covariance, dtype=torch.float64)
        self.shape = shape
        self.variances, self.axes = torch.linalg.eigh(self.covariance)

    @classmethod
    def independent(cls, sds):
        """Mean 0 and one pixel a standard deviation."""
        return cls(
            torch.zeros(len(sds)),
            torch.diag(torch.tensor(sds, dtype=torch.float64) ** 2),
            (1, 1, len(sds)),
        )

    def apply(self, function, x: Tensor) -> Tensor:
        """f(S) x, f acting on the eigenvalues; x: (n, c, h, w) -> the same, in float64."""
        flat = x.double().flatten(1) @ self.axes
        return ((flat * function(self.variances)) @ self.axes.T).reshape(x.shape)

    def draw(self, n, rng) -> Tensor:
        """(n, c, h, w) in float64."""
        z = torch.from_numpy(rng.standard_normal((n, *self.shape)))
        return self.plus_mean(self.apply(torch.sqrt, z))

    def centred(self, x: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        return x.double() - scale * self.mean.reshape(self.shape)

    def plus_mean(self, x: Tensor) -> Tensor:
        return x + self.mean.reshape(self.shape)


class Denoiser(Gaussian):
    """E[y | y + σ ε], as EDM's network."""

    sigma_data, sigma_min, sigma_max, augment_dim = 0.5, 0.0, float("inf"), 0

    def __call__(self, x, sigma, augment_labels=None):
        level = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1, 1) ** 2
        return self.plus_mean(self.apply(lambda s: s / (s + level), self.centred(x))).to(x.dtype)


class NoisePredictor(Gaussian):
    """E[ε | x_t], as DDPM's network."""

    def __init__(self, mean, covariance, shape, diffusion=None):
        super().__init__(mean, covariance, shape)
        self.alphas_cumprod = torch.from_numpy((diffusion or DDPM()).alphas_cumprod)

    def __call__(self, x, t):
        alpha = self.alphas_cumprod[t][:, None]
        centred = self.centred(x, alpha.sqrt()[..., None, None])
        return self.apply(lambda s: (1 - alpha).sqrt() / (alpha * s + 1 - alpha), centred).to(
            x.dtype
        )


class Velocity(Gaussian):
    """E[x_1 − x_0 | x_t] with x_0 ~ N(0, I): independent of x_1, or its partner in the optimal
    plan.
    """

    optimal = False

    def __call__(self, t, x):
        t = torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1)

        def slope(s):
            if self.optimal:
                return (s.sqrt() - 1) / (1 - t + t * s.sqrt())
            return (t * s - (1 - t)) / (t**2 * s + (1 - t) ** 2)

        return self.plus_mean(self.apply(slope, self.centred(x, t[..., None, None]))).to(x.dtype)


def law(model, network):
    """Mean (d,) and covariance (d, d) of what the sampler of `model` draws with such a network:
    exact, no sampling.

    A sample is a + Σ B_j z_j, z_j being the noise of the sampler's j-th draw. Row 0 is drawn with
    no noise: it is a. Every other row has one pixel of one draw at h and everything else at 0: it
    is a + h times a column of a B_j.
    """
    pixels = int(np.prod(network.shape))
    draws = 0

    def count():
        nonlocal draws
        draws += 1
        return torch.zeros(1, *network.shape)

    model.sample(network, count)
    h, rows, draw = 0.05, 1 + draws * pixels, 0  # small, so that nothing is clipped

    def probe():
        nonlocal draw
        z = torch.zeros(rows, pixels)
        places = torch.arange(pixels)
        z[1 + draw * pixels + places, places] = h
        draw += 1
        return z.reshape(rows, *network.shape)

    drawn = model.sample(network, probe).double().flatten(1)
    columns = (drawn[1:] - drawn[0]) / h
    return drawn[0], columns.T @ columns


def correlated(rng, sd, kind, **options):
    """A Gaussian over 2 × 2 correlated pixels, whose means and standard deviations are of size
    `sd`.
    """
    factor = rng.standard_normal((4, 6))
    covariance = sd**2 * (factor @ factor.T / 6 + 0.2 * np.eye(4))
    return kind(sd * rng.standard_normal(4), covariance, (1, 2, 2), **options)


def assert_drawn_from(samples, mean, covariance):
    """Samples (n, d) are from N(mean, covariance), as far as means and covariances tell.

    Exact tests, two-sided, sharing FALSE_ALARM: a normal one for each mean, a χ² one for the sum of
    squares along each pixel and each sum of two pixels; these determine the covariance.
    """
    n, d = samples.shape
    samples, mean, covariance = (
        np.asarray(torch.as_tensor(x).double().numpy()) for x in (samples, mean, covariance)
    )
    centred = samples - mean
    directions = [np.eye(d)[i] + np.eye(d)[j] * (i != j) for i in range(d) for j in range(i + 1)]
    level = FALSE_ALARM / (d + len(directions)) / 2
    for i in range(d):
        z = centred[:, i].mean() / np.sqrt(covariance[i, i] / n)
        assert norm.sf(abs(z)) > level, f"mean of pixel {i}: {z:.1f} standard errors off"
    for direction in directions:
        ratio = ((centred @ direction) ** 2).sum() / (direction @ covariance @ direction)
        assert min(chi2.sf(ratio, n), chi2.cdf(ratio, n)) > level, (
            f"variance along {direction}: {ratio / n:.3f} times"
        )
