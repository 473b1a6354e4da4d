"""Families of all kinds, analysed as a user would, beside values that are known by other means.

Known are closed forms, or values by a rule on a grid with finite differences of a plain NumPy
log-density: nothing of the analysis is used for them. Each family runs in a process of its own.

    python -m benchmarks.family_audit
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
import tyro
from scipy import optimize, special, stats
from torch import Tensor

from benchmarks.family_coverage import Product, Sampler
from benchmarks.family_scale import memory
from stability.analysis.local_analysis import LocalAnalysis, analyse
from stability.families import GaussianMixtureFreeSd, StudentT
from stability.laws.law import Member, NormalMixture

LAM = 0.5
_DRAWS = 20_000
_GRID = 20_001
_NEWTON = 3
"""Steps of Newton's method after the search for θ*."""
_STEP = 1e-4
"""Step of finite differences of a log-density."""

Known = Mapping[str, Any]
"""Number of a `LocalAnalysis` -> its value by other means."""


@dataclass(frozen=True)
class Case:
    """Outcome of one family.

    Attributes:
        found: The analysis, or the line that refused it.
        known: Values by other means.
    """

    found: LocalAnalysis | str
    known: Known


class VonMises:
    """Angles: θ = (mean, log concentration)."""

    support = ((-math.pi, math.pi),)

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            theta: Parameters, mean and log concentration, (2,).
            x: Angles, (n, 1).

        Returns:
            (n,).
        """
        kappa = torch.exp(theta[1])
        level = torch.log(2 * math.pi * torch.special.i0e(kappa)) + kappa
        return kappa * torch.cos(x[:, 0] - theta[0]) - level

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw angles.

        Args:
            theta: Parameters, mean and log concentration, (2,).
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 1).
        """
        seed = int(torch.randint(2**31, (1,), generator=generator))
        kappa = float(torch.exp(theta[1]))
        drawn = np.random.default_rng(seed).vonmises(float(theta[0]), kappa, (n, 1))
        return torch.from_numpy(drawn)


@dataclass(frozen=True)
class TwoDirections:
    """0.7 of one von Mises law and 0.3 of another."""

    support = ((-math.pi, math.pi),)
    parts = ((0.7, -0.5, 1.1), (0.3, 1.0, 0.4))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            x: Angles, (n, 1).

        Returns:
            (n,).
        """
        terms = [
            math.log(weight) + VonMises().log_prob(torch.tensor(at, dtype=torch.float64), x)
            for weight, *at in self.parts
        ]
        return torch.logsumexp(torch.stack(terms), 0)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw angles.

        Args:
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 1).
        """
        first, second = (
            VonMises().sample(torch.tensor(at, dtype=torch.float64), n, generator)
            for _, *at in self.parts
        )
        picked = torch.rand(n, 1, generator=generator) < self.parts[0][0]
        return torch.where(picked, first, second)


class Weibull:
    """θ = (log shape, log scale)."""

    support = ((0.0, math.inf),)

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            theta: Parameters, log shape and log scale, (2,).
            x: Points > 0, (n, 1).

        Returns:
            (n,).
        """
        log_x = torch.log(x[:, 0])
        z = torch.exp(theta[0]) * (log_x - theta[1])
        return theta[0] - log_x + z - torch.exp(z)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            theta: Parameters, log shape and log scale, (2,).
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 1).
        """
        uniform = torch.rand(n, 1, generator=generator, dtype=torch.float64)
        return torch.exp(theta[1] + torch.exp(-theta[0]) * torch.log(-torch.log1p(-uniform)))


@dataclass(frozen=True)
class Lognormal:
    """exp(σ z)."""

    sigma: float
    support = ((0.0, math.inf),)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            x: Points > 0, (n, 1).

        Returns:
            (n,).
        """
        z = torch.log(x[:, 0]) / self.sigma
        return -z.square() / 2 - torch.log(x[:, 0] * self.sigma) - math.log(2 * math.pi) / 2

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 1).
        """
        return torch.exp(self.sigma * torch.randn(n, 1, generator=generator, dtype=torch.float64))


class Banana:
    """x₁ ~ N(0, e^{2a}), x₂ ~ N(b + c x₁², e^{2s}): θ = (a, b, c, s)."""

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            theta: Parameters a, b, c and s, (4,).
            x: Points, (n, 2).

        Returns:
            (n,).
        """
        a, b, c, s = theta
        u = x[:, 0] * torch.exp(-a)
        v = (x[:, 1] - b - c * x[:, 0] ** 2) * torch.exp(-s)
        return -(u**2 + v**2) / 2 - a - s - math.log(2 * math.pi)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            theta: Parameters a, b, c and s, (4,).
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 2).
        """
        a, b, c, s = theta
        z = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        x = torch.exp(a) * z[:, 0]
        return torch.stack([x, b + c * x**2 + torch.exp(s) * z[:, 1]], 1)


@dataclass(frozen=True)
class MixedBanana:
    """A banana whose first coordinate is a mixture of two normal laws about 0."""

    first = NormalMixture((0.6, 0.4), (0.0, 0.0), (0.6, 1.4))
    rest = (0.3, 0.5, -0.4)
    """b, c and s."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            x: Points, (n, 2).

        Returns:
            (n,).
        """
        b, c, s = self.rest
        v = (x[:, 1] - b - c * x[:, 0] ** 2) * math.exp(-s)
        second = -(v**2) / 2 - s - math.log(2 * math.pi) / 2
        return self.first.log_prob(x[:, :1]) + second

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 2).
        """
        b, c, s = self.rest
        x = self.first.sample(n, generator)[:, 0]
        z = torch.randn(n, generator=generator, dtype=torch.float64)
        return torch.stack([x, b + c * x**2 + math.exp(s) * z], 1)


class Boltzmann:
    """Seven spins 0 or 1, all coupled: θ = (7 fields, 21 couplings); sums over 128 states."""

    atoms = np.array(list(product((0.0, 1.0), repeat=7)))
    pairs = np.triu_indices(7, 1)

    def statistics(self, x: Tensor) -> Tensor:
        """Spins and products of two.

        Args:
            x: States, (n, 7).

        Returns:
            (n, 28).
        """
        i, j = (torch.from_numpy(each) for each in self.pairs)
        return torch.cat([x, x[:, i] * x[:, j]], 1)

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-probability of each state.

        Args:
            theta: Fields and couplings, (28,).
            x: States, (n, 7).

        Returns:
            (n,).
        """
        every = self.statistics(torch.from_numpy(self.atoms)) @ theta
        return self.statistics(x) @ theta - torch.logsumexp(every, 0)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw states.

        Args:
            theta: Fields and couplings, (28,).
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 7).
        """
        atoms = torch.from_numpy(self.atoms)
        masses = torch.softmax(self.statistics(atoms) @ theta, 0)
        return atoms[torch.multinomial(masses, n, replacement=True, generator=generator)]


@dataclass(frozen=True)
class CholeskyGaussian:
    """N(m, Σ) with Σ⁻¹ = R Rᵀ, R lower triangular with a positive diagonal: θ = (m, R)."""

    d: int

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        i, j = torch.tril_indices(self.d, self.d)
        R = theta.new_zeros(self.d, self.d).index_put((i, j), theta[self.d :])
        diagonal = R.diagonal()
        return theta[: self.d], R - torch.diag(diagonal) + torch.diag(torch.exp(diagonal))

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            theta: Mean, then R row by row with the log of its diagonal, (P,).
            x: Points, (n, d).

        Returns:
            (n,).
        """
        mean, R = self._split(theta)
        z = (x - mean) @ R
        level = R.diagonal().log().sum() - self.d * math.log(2 * math.pi) / 2
        return level - z.square().sum(1) / 2

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            theta: Mean, then R row by row with the log of its diagonal, (P,).
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, d).
        """
        mean, R = self._split(theta)
        z = torch.randn(n, self.d, generator=generator, dtype=torch.float64)
        return mean + torch.linalg.solve_triangular(R.T, z.T, upper=True).T


class SquaredMean:
    """N(θ², 1): singular at 0."""

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            theta: Root of the mean, (1,).
            x: Points, (n, 1).

        Returns:
            (n,).
        """
        return -((x[:, 0] - theta[0] ** 2) ** 2) / 2 - math.log(2 * math.pi) / 2

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            theta: Root of the mean, (1,).
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 1).
        """
        return theta[0] ** 2 + torch.randn(n, 1, generator=generator, dtype=torch.float64)


def _analysed(family: Any, data: Any, start: Any = None, **options: Any) -> LocalAnalysis | str:
    begin = None if start is None else torch.as_tensor(start, dtype=torch.float64)
    try:
        return analyse(family, data, LAM, begin, **options)
    except (ValueError, ArithmeticError) as error:
        return str(error)


def on_a_grid(
    log_prob: Callable[[np.ndarray, np.ndarray], np.ndarray],
    weights: np.ndarray,
    grid: np.ndarray,
    step: np.ndarray,
    start: np.ndarray,
) -> Known:
    """θ*, ρ and the largest price of retraining by sums over a grid and finite differences.

    Args:
        log_prob: Of θ and points, (n,), in NumPy.
        weights: Density of the data on the grid, (n,).
        grid: Points, (n,).
        step: What a point counts for in an integral, (n,).
        start: (P,) near θ*.

    Returns:
        The numbers.
    """
    mass = weights * step
    mass = mass / mass.sum()

    def loss(theta: np.ndarray) -> float:
        return -float(mass @ log_prob(theta, grid))

    theta = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-6}).x
    for _ in range(_NEWTON):
        score, hessian = _derivatives(log_prob, theta, grid)
        theta = theta - np.linalg.solve(hessian @ mass, score @ mass)

    score, hessian = _derivatives(log_prob, theta, grid)
    A = hessian @ mass
    F = (score * np.exp(log_prob(theta, grid)) * step) @ score.T
    C = (score * mass) @ score.T
    return {"theta": theta, **_prices(A, -F, C)}


def _derivatives(
    log_prob: Callable[[np.ndarray, np.ndarray], np.ndarray], theta: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Score (P, n) and second derivatives (P, P, n), by central differences."""
    steps = _STEP * np.eye(len(theta))

    def at(offset: np.ndarray) -> np.ndarray:
        return log_prob(theta + offset, x)

    score = np.stack([(at(e) - at(-e)) / (2 * _STEP) for e in steps])
    second = [
        (at(e + f) - at(e - f) - at(f - e) + at(-e - f)) / (4 * _STEP**2)
        for e in steps
        for f in steps
    ]
    return score, np.stack(second).reshape(len(theta), len(theta), -1)


def _prices(A: np.ndarray, B: np.ndarray, C: np.ndarray | None = None) -> Known:
    """ρ, and with C what retraining costs at most, of the textbook formulas."""
    J = LAM * np.linalg.inv(A + LAM * B) @ B
    rho = float(np.abs(np.linalg.eigvals(J)).max())
    if C is None:
        return {"rho": rho}
    K = np.linalg.inv(A + LAM * B)
    V = np.zeros_like(A)
    for _ in range(500):  # V = J V Jᵀ + λ K F K
        V = J @ V @ J.T + LAM * K @ -B @ K
    S = np.linalg.inv(A) @ C @ np.linalg.inv(A)
    return {
        "rho": rho,
        "retraining": float(np.linalg.eigvals(np.linalg.solve(S, S + V)).real.max()),
    }


def _line(end: float, count: int = _GRID) -> tuple[np.ndarray, np.ndarray]:
    """Points sinh(u), dense in the middle, and what each counts for."""
    u = np.linspace(-math.asinh(end), math.asinh(end), count)
    return np.sinh(u), np.cosh(u) * (u[1] - u[0])


_ALIKE = {"rho": LAM / (1 + LAM)}
"""The case A = B: all μ are 1."""
_WELL = {**_ALIKE, "retraining": (1 + 3 * LAM) / (1 + 2 * LAM)}
"""The well-specified law: A = B = −C."""


def von_mises() -> Case:
    """Von Mises on a mixture, by a grid on the circle.

    Returns:
        The analysis, and values by other means.
    """
    grid = np.linspace(-math.pi, math.pi, _GRID)
    weights = sum(
        w * stats.vonmises.pdf(grid, math.exp(k), loc=m) for w, m, k in TwoDirections.parts
    )

    def log_prob(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        kappa = math.exp(theta[1])
        level = math.log(2 * math.pi * special.i0e(kappa)) + kappa
        return kappa * np.cos(x - theta[0]) - level

    step = np.full(_GRID, grid[1] - grid[0])
    step[[0, -1]] /= 2
    known = on_a_grid(log_prob, np.asarray(weights), grid, step, np.array([-0.2, 0.3]))
    return Case(_analysed(VonMises(), TwoDirections(), (0.0, 0.0)), known)


def weibull() -> Case:
    """Weibull on lognormal, in closed form: under the lognormal k(log x − b) is N(−½, 1).

    Returns:
        The analysis, and values by other means.
    """
    sigma, gamma = 0.6, float(np.euler_gamma)
    k = 1 / sigma
    A = np.array([[-9 / 4, k / 2], [k / 2, -(k**2)]])
    slope = k * (1 - gamma)
    B = np.array([[-(math.pi**2) / 6 - (1 - gamma) ** 2, slope], [slope, -(k**2)]])
    known = {"theta": np.array([math.log(k), sigma / 2]), **_prices(A, B)}
    return Case(_analysed(Weibull(), Lognormal(sigma), (0.0, 0.0)), known)


def banana() -> Case:
    """Banana on a mixture, in closed form by moments of x₁.

    Returns:
        The analysis, and values by other means.
    """
    law, (b, c, s) = MixedBanana(), MixedBanana.rest
    second = sum(w * sd**2 for w, sd in ((0.6, 0.6), (0.4, 1.4)))
    fourth = sum(w * 3 * sd**4 for w, sd in ((0.6, 0.6), (0.4, 1.4)))

    def matrix(m2: float, m4: float) -> np.ndarray:
        result = np.diag([-2.0, 0.0, 0.0, -2.0])
        result[1:3, 1:3] = -np.array([[1, m2], [m2, m4]]) * math.exp(-2 * s)
        return result

    A, B = matrix(second, fourth), matrix(second, 3 * second**2)
    C = -A.copy()
    C[0, 0] = fourth / second**2 - 1
    known = {"theta": np.array([math.log(second) / 2, b, c, s]), **_prices(A, B, C)}
    return Case(_analysed(Banana(), law, (0.1, 0.0, 0.1, 0.1)), known)


def boltzmann() -> Case:
    """Boltzmann machine, an exponential family: A = B on any data.

    Returns:
        The analysis, and values by other means.
    """
    rng = np.random.default_rng(0)
    points = (rng.standard_normal((1000, 7)) + rng.standard_normal((1000, 1)) > 0).astype(float)
    return Case(_analysed(Boltzmann(), points, np.zeros(28)), _ALIKE)


def student_5d() -> Case:
    """Product of five Student-t lines, each by a grid.

    Returns:
        The analysis, and values by other means.
    """
    d = 5
    grid, step = _line(1e6)
    known = on_a_grid(
        lambda theta, x: stats.t.logpdf((x - theta[0]) / math.exp(theta[1]), 5) - theta[1],
        stats.t.pdf(grid, 9),
        grid,
        step,
        np.zeros(2),
    )
    known = {**known, "theta": np.tile(known["theta"], d)}
    law = Member(StudentT(9.0), torch.zeros(2, dtype=torch.float64))
    found = _analysed(Product((StudentT(5.0),) * d), Sampler((law,) * d), draws=_DRAWS)
    return Case(found, known)


def gaussian_10d() -> Case:
    """Gaussian in ten dimensions, an exponential family.

    A = B on any data; θ* is known by the moments of the points.

    Returns:
        The analysis, and values by other means.
    """
    rng, d = np.random.default_rng(0), 10
    points = rng.standard_t(6, size=(5000, d)) @ (np.eye(d) + 0.3 * rng.standard_normal((d, d)))
    precision = np.linalg.inv(np.cov(points.T, bias=True))
    root = np.linalg.cholesky(precision)
    root[np.diag_indices(d)] = np.log(root.diagonal())
    theta = np.concatenate([points.mean(0), root[np.tril_indices(d)]])
    found = _analysed(CholeskyGaussian(d), points, np.zeros(len(theta)), draws=_DRAWS)
    return Case(found, {"theta": theta, **_ALIKE})


def flow(d: int, transforms: int, hidden: int, draws: int, scale: float = 1.0) -> Case:
    """Masked autoregressive flow on draws of itself, which are known as draws alone.

    Args:
        d: Dimension.
        transforms: Number of transforms.
        hidden: Units in the hidden layer of each.
        draws: Number of draws of each law.
        scale: Factor of the weights: the larger, the farther is the law from a normal one.

    Returns:
        The analysis, and values by other means.
    """
    import zuko

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = zuko.flows.MAF(
            d, transforms=transforms, hidden_features=(hidden,), activation=torch.nn.Tanh
        )
        with torch.no_grad():
            for each in module.parameters():
                each.mul_(scale)
    from stability.analysis.torch_family import TorchFamily

    family = TorchFamily(module)
    law = Member(family, family.start(torch.zeros(1, d)))
    return Case(_analysed(module, Sampler((law,)), draws=draws, bounds=False), _WELL)


def flow_18() -> Case:
    """Flow with 18 parameters, well specified.

    Returns:
        The analysis, and values by other means.
    """
    return flow(2, 1, 2, 5000)


def flow_404() -> Case:
    """Flow with 404 parameters, well specified.

    Returns:
        The analysis, and values by other means.
    """
    return flow(5, 2, 12, 20_000, scale=2.0)


def mixture_of_five() -> Case:
    """Mixture of five normal laws on five Student-t laws, by a grid.

    Returns:
        The analysis, and values by other means.
    """
    means, wider = np.array([-6.0, -3.0, 0.0, 3.5, 7.0]), np.array([0.9, 0.7, 0.8, 1.0, 1.1])
    shares = np.array([0.15, 0.25, 0.2, 0.25, 0.15])
    grid, step = _line(60.0, 2001)
    pieces = shares * stats.t.pdf((grid[:, None] - means) / wider, 8) / wider

    def log_prob(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        logits = np.append(theta[:4], 0.0)
        terms = stats.norm.logpdf(x[:, None], theta[4:9], np.exp(theta[9:])) + logits
        return np.logaddexp.reduce(terms, axis=1) - np.logaddexp.reduce(logits)

    start = np.concatenate([np.log(shares[:4] / shares[4]), means, np.log(wider)])
    known = on_a_grid(log_prob, pieces.sum(1), grid, step, start)
    return Case(_analysed(GaussianMixtureFreeSd(5), _Pieces(), start), known)


class _Pieces:
    """Five t(8) laws."""

    landmarks = np.array([[-6.0], [-3.0], [0.0], [3.5], [7.0]])
    widths = torch.tensor([0.9, 0.7, 0.8, 1.0, 1.1], dtype=torch.float64)
    shares = torch.tensor([0.15, 0.25, 0.2, 0.25, 0.15], dtype=torch.float64)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            x: Points, (n, 1).

        Returns:
            (n,).
        """
        z = (x - torch.from_numpy(self.landmarks)[:, 0]) / self.widths
        terms = StudentT(8.0).log_prob(torch.zeros(2).double(), z.reshape(-1, 1)).reshape(z.shape)
        return torch.logsumexp(terms + torch.log(self.shares / self.widths), 1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, 1).
        """
        picked = torch.multinomial(self.shares, n, replacement=True, generator=generator)
        z = StudentT(8.0).sample(torch.zeros(2, dtype=torch.float64), n, generator)
        return torch.from_numpy(self.landmarks)[picked] + self.widths[picked, None] * z


def heavy(nu: float) -> Case:
    """Student-t with ν = 5 on data of another ν, by a grid.

    Args:
        nu: Degrees of freedom ν of the data, > 0.

    Returns:
        The analysis, and values by other means.
    """
    grid, step = _line(1e9)
    known = on_a_grid(
        lambda theta, x: stats.t.logpdf((x - theta[0]) / math.exp(theta[1]), 5) - theta[1],
        stats.t.pdf(grid, nu),
        grid,
        step,
        np.array([0.0, 0.3]),
    )
    law = Member(StudentT(nu), torch.zeros(2, dtype=torch.float64))
    return Case(_analysed(StudentT(5.0), law), known)


def squared_mean() -> Case:
    """N(θ², 1) away from 0, in closed form: θ* = √mean, A = B = −4θ*².

    Returns:
        The analysis, and values by other means.
    """
    law = NormalMixture((1.0,), (0.25,), (1.0,))
    return Case(_analysed(SquaredMean(), law, (1.0,)), {"theta": np.array([0.5]), **_WELL})


def singular() -> Case:
    """N(θ², 1) at mean 0, where the Fisher information vanishes: to be refused.

    Returns:
        The line that refused it; nothing is known.
    """
    return Case(_analysed(SquaredMean(), NormalMixture((1.0,), (0.0,), (1.0,)), (1.0,)), {})


CASES: Mapping[str, Callable[[], Case]] = {
    "von Mises on a mixture": von_mises,
    "Weibull on lognormal": weibull,
    "banana": banana,
    "Boltzmann machine": boltzmann,
    "t(5) on t(9), d = 5": student_5d,
    "Gaussian by Cholesky, d = 10": gaussian_10d,
    "flow, 18 parameters": flow_18,
    "flow, 404 parameters": flow_404,
    "mixture of five": mixture_of_five,
    "t(5) on t(1.8)": lambda: heavy(1.8),
    "t(5) on Cauchy data": lambda: heavy(1.0),
    "N(θ², 1)": squared_mean,
    "N(θ², 1) at θ = 0": singular,
}


def _run(name: str) -> tuple[float, float, list[str], list[str]]:
    """Seconds of processor time, GB, cells of the table and lines below it."""
    torch.set_num_threads(1)
    before = time.process_time()
    case = CASES[name]()
    taken = time.process_time() - before
    if isinstance(case.found, str):
        return taken, memory(), ["", "refused", "", "", ""], [case.found]
    found, known = case.found, case.known
    cells = [str(len(found.theta)), *_theta(found, known)]
    cells += [_compared(found, known, each) for each in ("rho", "retraining")]
    taken = time.process_time() - before
    said = [f"ε {found.eps:.3g}; Theorem 1's condition: {found.theorem1_condition}"]
    if found.flat.size:
        flat = found.flat.shape[1] - found.unresolved
        said.append(f"directions left out: {flat} flat, {found.unresolved} unresolved")
    said += [found.note] * bool(found.note)
    said += [] if found.routes_agree else ["the two routes to J DISAGREE"]
    return taken, memory(), cells, said


def _theta(found: LocalAnalysis, known: Known) -> list[str]:
    """Count the entries of θ* that are within their errors, and the largest deviation."""
    if "theta" not in known:
        return ["", ""]
    gap = np.abs(found.theta - known["theta"])
    inside = gap <= np.asarray(found.error("theta")) + 1e-6
    return [f"{inside.sum()}/{len(gap)}", f"{gap.max():.1g}"]


def _compared(found: LocalAnalysis, known: Known, name: str) -> str:
    value, error = (
        float(np.max(np.atleast_1d(v)[:1])) for v in (getattr(found, name), found.error(name))
    )
    true = f"{known[name]:.5g}" if name in known else "?"
    return f"{value:.5g} ± {error:.1g} ({true})"


def main(only: tuple[str, ...] = ()) -> None:
    """Print the table.

    Args:
        only: Parts of names of families; all by default.
    """
    names = [name for name in CASES if not only or any(part in name for part in only)]
    print(f"λ = {LAM:g}; in brackets what is known; θ*: entries within their errors, largest gap")
    print(
        f"{'family':29}{'s':>6}{'GB':>6}{'P':>5}{'θ*':>9}{'gap':>8}"
        f"{'ρ':>30}{'price of retraining':>30}"
    )
    context = get_context("forkserver")
    context.set_forkserver_preload(["torch", "stability.analysis.local_analysis"])
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for name, (taken, peak, cells, said) in zip(names, pool.map(_run, names), strict=True):
            P, theta, gap, rho, price = cells
            print(f"{name:29}{taken:6.1f}{peak:6.2f}{P:>5}{theta:>9}{gap:>8}{rho:>30}{price:>30}")
            print("".join(f"    {line}\n" for line in said), end="", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
