"""Ways to the same numbers that do not go through the implementation, and what every family must
satisfy.
"""

import itertools
import math

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.func import vmap

from stability.families import ParametricFamily
from stability.laws.family import Family, hessians, scores
from tests.conftest import FALSE_ALARM

STEP = 2e-3
STENCIL = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
"""Central first derivative of order 6: the error is STEP⁶ f⁽⁷⁾/140."""


def finite_differences(family: Family, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (n, P) and Hessian (n, P, P) of log p in θ, from values of `log_prob` alone."""
    P = len(theta)
    offsets = STEP * torch.tensor(list(STENCIL), dtype=theta.dtype)
    weights = torch.tensor(list(STENCIL.values()), dtype=theta.dtype) / STEP
    unit = torch.eye(P, dtype=theta.dtype)
    once = offsets[:, None, None] * unit  # (6, P, P)
    twice = once[:, None, :, None] + once[None, :, None, :]  # (6, 6, P, P, P)
    log_prob = vmap(family.log_prob, (0, None))
    gradient = log_prob((theta + once).reshape(-1, P), x).reshape(6, P, -1)
    hessian = log_prob((theta + twice).reshape(-1, P), x).reshape(6, 6, P, P, -1)
    return (
        torch.einsum("a,apn->np", weights, gradient),
        torch.einsum("a,b,abpqn->npq", weights, weights, hessian),
    )


def assert_close(measured, expected, tolerance: float) -> None:
    """Element by element, within `tolerance` of the largest expected entry or of 1."""
    measured, expected = np.asarray(measured), np.asarray(expected)
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(measured, expected, rtol=0, atol=tolerance * scale)


def assert_derivatives(family: Family, theta: Tensor, x: Tensor) -> None:
    """Autodiff against finite differences: rounding of second differences is 1e-15 |log p| /
    STEP², about 1e-8.
    """
    gradient, hessian = finite_differences(family, theta, x)
    assert_close(scores(family, theta, x), gradient, 1e-8)
    assert_close(hessians(family, theta, x), hessian, 1e-6)


def real_line(
    centre: float, scale: float, end: float = 9.0, n: int = 3001
) -> tuple[Tensor, Tensor]:
    """Points (n, 1) and weights (n,) for ∫ f dx: the trapezoidal rule in t, x = centre + scale sinh
    t, |t| <= end.

    It converges exponentially for analytic f; what lies beyond `end` is negligible for tails like
    |x|^(−5) or lighter.
    """
    t = torch.linspace(-end, end, n, dtype=torch.float64)
    return (centre + scale * torch.sinh(t))[:, None], scale * torch.cosh(t) * (t[1] - t[0])


def half_line(scale: float, start: float, n: int = 4001) -> tuple[Tensor, Tensor]:
    """The same for x > 0, x = scale e^t, start <= t <= 6."""
    t = torch.linspace(start, 6, n, dtype=torch.float64)
    x = scale * torch.exp(t)
    return x[:, None], x * (t[1] - t[0])


def normal_rule(mean: Tensor, covariance: Tensor, n: int = 5) -> tuple[Tensor, Tensor]:
    """Points (n^d, d) and probabilities for E f under N(mean, covariance): exact for polynomials
    of degree 2n − 1.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    d = len(mean)
    z = torch.tensor(list(itertools.product(nodes, repeat=d)), dtype=torch.float64)
    p = torch.tensor(
        [math.prod(w) for w in itertools.product(weights / weights.sum(), repeat=d)],
        dtype=torch.float64,
    )
    return mean + z @ torch.linalg.cholesky(covariance).T, p


def normal_log_density(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """log density of N(mean, covariance) at x (n, d), by whitening."""
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, (x - mean).T).T
    return stats.norm.logpdf(z).sum(1) - np.log(np.diag(factor)).sum()


def assert_bends_at_most(matrix, curvature, left: np.ndarray, right: np.ndarray) -> None:
    """On each cell: second differences of `matrix` (n,) -> (n, P, P) are at most `curvature(left,
    right)`.

    Differences over an eighth of the cell, at its middle and near both ends.
    """
    h = (right - left) / 8
    bound = curvature(left, right)
    largest = np.zeros_like(bound)
    for middle in (left + h, (left + right) / 2, right - h):
        second = (matrix(middle + h) - 2 * matrix(middle) + matrix(middle - h)) / h[
            :, None, None
        ] ** 2
        largest = np.maximum(largest, np.linalg.norm(second, 2, axis=(1, 2)))
    assert (largest <= bound * (1 + 1e-6)).all()


def assert_information(
    family: ParametricFamily, theta: Tensor, x: Tensor, p: Tensor, tolerance: float = 1e-8
) -> None:
    """With probabilities p on the points x: they add up to 1, E score = 0, E score scoreᵀ = −E
    Hessian = Fisher.
    """
    score = scores(family, theta, x)
    information = torch.einsum("n,np,nq->pq", p, score, score)
    assert_close(p.sum(), 1.0, tolerance)
    assert_close(p @ score, torch.zeros(len(theta)), tolerance)
    assert_close(-torch.einsum("n,npq->pq", p, hessians(family, theta, x)), information, tolerance)
    if hasattr(family, "fisher"):
        assert_close(family.fisher(theta), information, tolerance)  # pyright: ignore[reportAttributeAccessIssue]


def density_weights(family: Family, theta: Tensor, x: Tensor, weights: Tensor) -> Tensor:
    """Probabilities p_θ(x) dx at quadrature points."""
    return torch.exp(family.log_prob(theta, x)) * weights


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def assert_follows(u: np.ndarray, comparisons: int) -> None:
    """u are independent uniforms: the Kolmogorov–Smirnov test with its exact law. u = CDF of
    draws, n <= 5000.
    """
    p_value = stats.kstest(u, "uniform", method="exact").pvalue
    assert p_value > FALSE_ALARM / comparisons, f"p = {p_value}"


def assert_sampler(
    family: ParametricFamily, theta: Tensor, cdf, rng: np.random.Generator, comparisons: int = 1
) -> None:
    """1-D draws against a CDF that comes from elsewhere; rows do not depend on how many follow;
    a shift is noticed.
    """
    x = family.sample(theta, 4000, torch_generator(rng))
    assert x.shape == (4000, 1)
    assert x.dtype == torch.float64
    assert_follows(cdf(x[:, 0].numpy()), comparisons)
    spoiled = stats.kstest(cdf(x[:, 0].numpy()) ** 1.3, "uniform", method="exact").pvalue
    assert spoiled < 1e-6, "the test has no power"
    assert_prefix(family, theta)


def assert_prefix(family: ParametricFamily, theta: Tensor) -> None:
    """Draw i depends on the generator and on i, not on how many follow."""
    few, many = (family.sample(theta, n, torch.Generator().manual_seed(5)) for n in (3, 40))
    # SIMD and scalar code may round differently
    torch.testing.assert_close(many[:3], few, rtol=1e-14, atol=1e-14)
    assert len(family.sample(theta, 0, torch.Generator())) == 0


def quotients(family: Family, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """‖H(x) − H(y)‖₂ / ‖x − y‖ of pairs of points."""
    difference = hessians(family, theta, x) - hessians(family, theta, y)
    return torch.linalg.matrix_norm(difference, 2) / torch.linalg.vector_norm(x - y, dim=1)


def assert_lipschitz(
    family: ParametricFamily, theta: Tensor, centre: float, scale: float, rng, end: float = 8.0
) -> None:
    """Never exceeded by pairs near and far, and approached by neighbours on a fine mesh of |x| <=
    scale sinh(end).

    A mesh of 40001 points in asinh x misses a supremum in its interior by a share of order 1e-6.
    Negative control: a constant 1 % smaller is exceeded.
    """
    L = family.lipschitz(theta).value
    mesh = real_line(centre, scale, end, 40001)[0]
    largest = quotients(family, theta, mesh[1:], mesh[:-1]).max().item()
    x, y = (
        centre + scale * torch.from_numpy(np.sinh(rng.uniform(-end, end, (4000, 1))))
        for _ in range(2)
    )
    apart = ((x - y).abs() > 1e-3 * scale)[:, 0]  # closer pairs measure rounding
    random = quotients(family, theta, x[apart], y[apart]).max().item()
    # rounding of the Hessian over the distance of neighbours
    assert max(largest, random) <= L * (1 + 1e-6)
    assert largest >= L * (1 - 1e-4)
    assert not max(largest, random) <= 0.99 * L


def assert_constant_hessian(family: ParametricFamily, theta: Tensor, x: Tensor) -> None:
    """L = 0: the Hessian at all points is that at the first."""
    hessian = hessians(family, theta, x)
    assert family.lipschitz(theta).value == 0
    assert_close(hessian, hessian[:1].expand_as(hessian), 1e-10)


def assert_unbounded(family: ParametricFamily, theta: Tensor, x: Tensor) -> None:
    """L = inf: quotients of successive points grow, a thousandfold in all."""
    growth = quotients(family, theta, x[1:], x[:-1])
    assert family.lipschitz(theta).value == math.inf
    assert (growth.diff() > 0).all()
    assert growth[-1] > 1000 * growth[0]
