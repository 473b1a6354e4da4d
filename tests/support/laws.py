"""Laws for tests: a normal one, and others from a log-density and a sampler."""

import math
from typing import Any

import torch

from stability.laws.law import NormalMixture


def normal(mean=0.0, sd=1.0):
    return NormalMixture((1.0,), (float(mean),), (float(sd),))


class Custom:
    """A law from a log-density and inverse-CDF or other sampler; extra attributes as given."""

    def __init__(self, log_prob: Any, sample: Any, **attributes: Any):
        self.log_prob, self.sample = log_prob, sample
        vars(self).update(attributes)


def gamma(shape, **attributes):
    """Density x^(shape−1) e^(−x)/Γ(shape) on x > 0, for integer shapes, or ½ (a singularity at
    0).
    """

    def log_prob(x):
        safe = x[:, 0].clamp(min=1e-300)
        value = (shape - 1) * safe.log() - safe - math.lgamma(shape)
        return torch.where(x[:, 0] > 0, value, -torch.inf)

    def sample(n, generator):
        if shape == 0.5:
            return torch.randn(n, 1, generator=generator, dtype=torch.float64) ** 2 / 2
        uniform = torch.rand(n, shape, generator=generator, dtype=torch.float64)
        return -torch.log1p(-uniform).sum(1, keepdim=True)

    return Custom(log_prob, sample, **attributes)


def correlated(rho, sds):
    """A centred Gaussian in the plane."""
    covariance = torch.tensor(
        [[sds[0] ** 2, rho * sds[0] * sds[1]], [rho * sds[0] * sds[1], sds[1] ** 2]]
    ).double()
    root, precision = torch.linalg.cholesky(covariance), torch.linalg.inv(covariance)
    constant = -math.log(2 * math.pi) - float(torch.linalg.slogdet(covariance)[1]) / 2
    return covariance, Custom(
        lambda x: constant - torch.einsum("ni,ij,nj->n", x, precision, x) / 2,
        lambda n, generator: torch.randn(n, 2, generator=generator, dtype=torch.float64) @ root.T,
    )
