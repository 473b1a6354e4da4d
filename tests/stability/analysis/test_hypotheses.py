"""Families that are none, each refused in one line."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from stability.analysis.hypotheses import heavy_tails, require_exact_sampling
from stability.analysis.local_analysis import analyse
from stability.analysis.operators import NoMaximum
from stability.analysis.total_mass import require_unit_mass
from tests.support.small_families import Normal, StudentT, vector

PAGE = Path(__file__).parents[3] / "docs/how-to/own-family.md"
LINE = np.linspace(-1.0, 1.0, 200)[:, None]
SPACE = np.random.default_rng(0).normal(size=(400, 3))


class Wide(Normal):
    """A sampler twice as wide as its density."""

    def sample(self, theta, n, generator):
        mean = theta if self.d else theta[0]
        return mean + 2 * (super().sample(theta, n, generator) - mean)


class Energy(Normal):
    """exp(−‖x‖² e^θ/2), not normalised, though its sampler knows the scale."""

    def log_prob(self, theta, x):
        return -(x**2).sum(1) * torch.exp(theta[0]) / 2

    def sample(self, theta, n, generator):
        z = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        return z * torch.exp(-theta[0] / 2)


class Column(Normal):
    def log_prob(self, theta, x):
        return super().log_prob(theta, x)[:, None]


class Numpy(Normal):
    def log_prob(self, theta, x):
        return torch.from_numpy(-((x.numpy() - theta.numpy()) ** 2).sum(1) / 2)


class Item(Normal):
    def log_prob(self, theta, x):
        scale = math.exp(theta[1].item())
        return -(((x[:, 0] - theta[0]) / scale) ** 2) / 2 - math.log(scale)


class Single(Normal):
    def log_prob(self, theta, x):
        return super().log_prob(theta, x).float()


class Constant(Normal):
    def log_prob(self, theta, x):
        return -(x**2).sum(1) / 2 - math.log(2 * math.pi) / 2


class Standardised(Normal):
    """Each point's density depends on the others: a batch norm."""

    def log_prob(self, theta, x):
        return super().log_prob(theta, (x - x.mean(0)) / 2)


class Global(Normal):
    def sample(self, theta, n, generator):
        clock = np.random.default_rng()
        return theta[0] + torch.from_numpy(clock.normal(size=(n, 1)))


class Stuck(Normal):
    def sample(self, theta, n, generator):
        return super().sample(theta, n, torch.Generator().manual_seed(3))


class Flat(Normal):
    def sample(self, theta, n, generator):
        return super().sample(theta, n, generator)[:, 0]


class Edge:
    """An exponential law with a rate of at least 1, on data with a smaller one."""

    def in_domain(self, theta):
        return bool(theta[0] >= 1)

    def log_prob(self, theta, x):
        return torch.log(theta[0]) - theta[0] * x[:, 0]

    def sample(self, theta, n, generator):
        return -torch.log(torch.rand(n, 1, generator=generator, dtype=torch.float64)) / theta[0]


class Twice(Normal):
    """Twice a density: no derivative in θ shows it."""

    def log_prob(self, theta, x):
        return super().log_prob(theta, x) + math.log(2)


class HalfLine(Normal):
    support = ((0.0, math.inf),)


class NaN(Normal):
    def log_prob(self, theta, x):
        return super().log_prob(theta, x) * math.nan


class Counts:
    """A Poisson law that does not say that it lives on whole numbers."""

    def log_prob(self, theta, x):
        return x[:, 0] * theta[0] - torch.exp(theta[0]) - torch.lgamma(x[:, 0] + 1)

    def sample(self, theta, n, generator):
        return torch.poisson(torch.exp(theta[0]).expand(n, 1), generator=generator)


TWO, THREE = vector(0.0, 0.0), torch.zeros(3, dtype=torch.float64)
MISUSES = {
    "a sampler twice as wide, d = 1": (Wide(), LINE, TWO, "sample and log_prob must be of one law"),
    "a sampler twice as wide, d = 3": (Wide(3), SPACE, THREE, "sample and log_prob must be of one"),
    "an unnormalised energy, d = 3": (Energy(3), SPACE, vector(0.0), "not normalised|no maximum"),
    "a mass of 2, d = 3": (Twice(3), SPACE, THREE, r"normalised density, got mass (1\.9|2)"),
    "a mass of 2, d = 1": (Twice(), LINE, TWO, "normalised density, got mass 2"),
    "log_prob of shape (n, 1)": (Column(), LINE, TWO, r"one number a point, \(3,\).*got \(3, 1\)"),
    "log_prob through numpy": (Numpy(), LINE, TWO, "must be made of torch operations"),
    "log_prob through .item()": (Item(), LINE, TWO, "must be made of torch operations"),
    "log_prob in float32": (Single(), LINE, TWO, "must return float64"),
    "log_prob without theta": (Constant(), LINE, TWO, "must depend on theta"),
    "log_prob of a batch": (Standardised(), LINE, TWO, "must treat points one by one"),
    "a start of the wrong length": (Normal(3), SPACE, TWO, "failed at theta of shape"),
    "a sampler with a clock": (Global(), LINE, TWO, "must draw from its generator alone"),
    "a sampler that is stuck": (Stuck(), LINE, TWO, "must draw from its generator, got equal"),
    "a sampler of shape (n,)": (Flat(), LINE, TWO, r"must return finite points \(5, d\)"),
    "data of another dimension": (Normal(3), LINE, THREE, "must have one dimension, got 1 and 3"),
    "data outside the support": (
        HalfLine(),
        LINE,
        TWO,
        r"must lie in the support of HalfLine, \(\(0\.0, inf\),\); 100 of 200 points do not",
    ),
    "a log_prob that is NaN": (NaN(), LINE, TWO, "log_prob must not be NaN, got that at x"),
    "a discrete law without atoms": (
        Counts(),
        LINE.round() + 1,
        vector(1.0),
        r"must list its points in `atoms`, \(k, d\)",
    ),
    "a maximum on the edge": (
        Edge(),
        2 + LINE,
        vector(3.0),
        r"edge of the domain: .* theta\[0\] = 1 falls",
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_each_misuse_is_one_line(name):
    family, data, start, message = MISUSES[name]
    with pytest.raises((ValueError, NoMaximum), match=message) as caught:
        analyse(family, data, 0.5, start, draws=4000)
    text = str(caught.value)
    assert "\n" not in text
    # our documentation shows it, but for digits
    shown = f"`` {text} ``" if "`" in text else f"`{text}`"
    assert _without_digits(f"| {name} | {shown} |") in _without_digits(PAGE.read_text("utf-8"))


class SinglePrecision(Normal):
    """A family whose start is of torch's default type."""

    def start(self, x):
        return torch.zeros(2)


def test_a_start_of_single_precision_is_taken():
    found = analyse(SinglePrecision(), LINE, 0.5)
    assert found.theta.tolist() == analyse(Normal(), LINE, 0.5, torch.zeros(2)).theta.tolist()


def _without_digits(text):
    return re.sub(r"-?\d[\d.e-]*", "#", text)


@pytest.mark.parametrize(
    ("family", "theta"), [(Normal(), TWO), (StudentT(), TWO), (Normal(3), THREE)]
)
def test_an_exact_sampler_passes_for_any_seed(family, theta, rng):
    """Sixteen identities at most, each off by seven standard errors with probability 1e-11."""
    require_exact_sampling(family, theta, int(rng.integers(2**31)))


@pytest.mark.parametrize("d", [3, 10])
def test_a_density_has_mass_one_in_any_dimension(d, rng):
    """Both weights of a normal law are bounded; off by seven standard errors by chance 1e-11."""
    theta = torch.zeros(d, dtype=torch.float64)
    assert require_unit_mass(Normal(d), theta, int(rng.integers(2**31))) == ""
    with pytest.raises(ValueError, match="got mass"):
        require_unit_mass(Twice(d), theta, int(rng.integers(2**31)))


def test_heavy_tails_are_noticed(rng):
    assert heavy_tails(torch.from_numpy(rng.standard_normal((5000, 3)))) == ""
    scores = torch.from_numpy(rng.standard_normal((5000, 1)))
    scores[7] = 1e4
    assert "carries 100% of E s sᵀ" in heavy_tails(scores)
