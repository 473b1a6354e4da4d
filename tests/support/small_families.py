"""Families of a few lines, each with one property that a statement or an optimiser meets."""

import math

import torch


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


class Normal:
    """N(μ, e^{2s}), θ = (μ, s); or in R^d with identity covariance where `d` is given, θ = μ."""

    def __init__(self, d=0):
        self.d = d

    def log_prob(self, theta, x):
        if self.d:
            return -((x - theta) ** 2).sum(1) / 2 - self.d * math.log(2 * math.pi) / 2
        z = (x[:, 0] - theta[0]) * torch.exp(-theta[1])
        return -(z**2) / 2 - theta[1] - math.log(2 * math.pi) / 2

    def sample(self, theta, n, generator):
        z = torch.randn(n, self.d or 1, generator=generator, dtype=torch.float64)
        return theta + z if self.d else theta[0] + theta[1].exp() * z


class StudentT:
    """μ + e^s t₅, θ = (μ, s)."""

    def log_prob(self, theta, x):
        return torch.distributions.StudentT(5.0, theta[0], theta[1].exp()).log_prob(x[:, 0])

    def sample(self, theta, n, generator):
        z = torch.randn(n, 6, generator=generator, dtype=torch.float64)
        return (theta[0] + theta[1].exp() * z[:, 0] / (z[:, 1:] ** 2).mean(1).sqrt())[:, None]


class Variance:
    """N(0, v), θ = v > 0: not defined outside."""

    def in_domain(self, theta):
        return bool(theta[0] > 0)

    def log_prob(self, theta, x):
        return -(x[:, 0] ** 2) / theta[0] / 2 - theta[0].log() / 2 - math.log(2 * math.pi) / 2

    def sample(self, theta, n, generator):
        return theta[0].sqrt() * torch.randn(n, 1, generator=generator, dtype=torch.float64)


class TwoPeaks:
    """N(θ² − θ + shift, 1): two parameters for each mean, θ and 1 − θ, so two equal maxima with
    norms apart.
    """

    def log_prob(self, theta, x):
        return -((x[:, 0] - theta[0] ** 2 + theta[0]) ** 2) / 2 - math.log(2 * math.pi) / 2

    def sample(self, theta, n, generator):
        return (
            theta[0] ** 2 - theta[0] + torch.randn(n, 1, generator=generator, dtype=torch.float64)
        )


class FreeMixture:
    """½ N(0, 1) + ½ N(μ, e^{2s}), θ = (μ, s): unbounded likelihood on points."""

    def log_prob(self, theta, x):
        wide = -(x[:, 0] ** 2) / 2
        narrow = -(((x[:, 0] - theta[0]) * torch.exp(-theta[1])) ** 2) / 2 - theta[1]
        return torch.logaddexp(wide, narrow) - math.log(2) - math.log(2 * math.pi) / 2

    def sample(self, theta, n, generator):
        z = torch.randn(n, 1, generator=generator, dtype=torch.float64)
        wide = torch.rand(n, 1, generator=generator, dtype=torch.float64) < 0.5
        return torch.where(wide, z, theta[0] + torch.exp(theta[1]) * z)


class Redundant:
    """N(θ₁ + θ₂, 1): a whole line of maxima."""

    def log_prob(self, theta, x):
        return -((x[:, 0] - theta.sum()) ** 2) / 2 - math.log(2 * math.pi) / 2

    def sample(self, theta, n, generator):
        return theta.sum() + torch.randn(n, 1, generator=generator, dtype=torch.float64)
