"""Every distance and metric against what must not change it, or must change it in a known way.

`METRICS` lists quantities of two sets of points, with their degree of homogeneity in units of x.
Each of them is tested against each change of both sets; where a metric answers otherwise by
definition, `OTHERWISE` says why and where it is tested instead. `pytest --collect-only -q
tests/test_invariances.py` prints the table, a test for each pair.

Tolerances: a shift rounds the points themselves, by `eps · |shift|`, and a distance between them
follows by as much times a condition number of order 1. Otherwise nothing but the rounding of the
metric itself remains.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deep.metrics.frechet import frechet_distance, moments
from deep.metrics.kernel_distance import kernel_distance
from deep.metrics.label_encoder import LabelEncoder
from deep.metrics.parameter_distance import parameter_distance
from deep.metrics.precision_recall import neighbourhoods, precision_recall
from stability.observers.distances import sliced_wasserstein
from stability.transport.wasserstein import wasserstein
from stability.transport.wasserstein_1d import gaussian_w2
from toy.measures.metrics import resemblance

SCALES = (1e-8, 1e-3, 1e3, 1e8)
SHIFTS = (1.0, 1e3, 1e7)
FAR = (1e3, 1e6, 1e8)
EPS = np.finfo(float).eps


def tensors(x, y):
    return torch.from_numpy(x), torch.from_numpy(y)


def shares(name):
    def measure(x, y):
        real, fake = (neighbourhoods(points, 3) for points in tensors(x, y))
        return getattr(precision_recall(real, fake), name)

    return measure


def frechet(x, y):
    return frechet_distance(*(moments(points) for points in tensors(x, y)))


def gaussian(x, y):
    one, two = (moments(points) for points in tensors(x, y))
    return gaussian_w2(
        one.mean.numpy(), one.covariance.numpy(), two.mean.numpy(), two.covariance.numpy()
    )


def parameters(x, y):
    return parameter_distance({"weight": torch.from_numpy(x)}, {"weight": torch.from_numpy(y)}).norm


def memorised(x, y):
    return resemblance(x[: len(x) // 2], x[len(x) // 2 :], y[: len(x) // 2])["memorised"]


@dataclass(frozen=True)
class Metric:
    """Attributes:
    degree: Of homogeneity in units of x.
    equal: Needs sets of equal size.
    symmetric: In its arguments.
    """

    of: Callable[[np.ndarray, np.ndarray], float]
    degree: int
    equal: bool = False
    symmetric: bool = True


METRICS = {
    "W1": Metric(lambda x, y: wasserstein(x, y, (1,))[0], 1),
    "W2": Metric(lambda x, y: wasserstein(x, y, (2,))[0], 1),
    "W1 equal sizes": Metric(lambda x, y: wasserstein(x, y, (1,))[0], 1, equal=True),
    "W2 equal sizes": Metric(lambda x, y: wasserstein(x, y, (2,))[0], 1, equal=True),
    "sliced W2": Metric(sliced_wasserstein, 1, equal=True),
    "W2 of Gaussians": Metric(gaussian, 1),
    "Frechet distance": Metric(frechet, 2),
    "precision": Metric(shares("precision"), 0, symmetric=False),
    "recall": Metric(shares("recall"), 0, symmetric=False),
    "density": Metric(shares("density"), 0, symmetric=False),
    "coverage": Metric(shares("coverage"), 0, symmetric=False),
    "kernel distance": Metric(lambda x, y: kernel_distance(*tensors(x, y)).value, 0),
    "memorised": Metric(memorised, 0, equal=True, symmetric=False),
    "parameter distance": Metric(parameters, 1, equal=True),
}

OTHERWISE = {
    (
        "kernel distance",
        "scale",
    ): "the kernel (xᵀy/d + 1)³ has a scale of its own; see the rational oracle of its test",
    ("kernel distance", "shift"): "the kernel has an origin; see the rational oracle of its test",
    ("kernel distance", "duplicate"): "pairs of copies count, pairs of a point with itself do not",
    (
        "kernel distance",
        "far point",
    ): "a far point is all of the kernel's moment; see the rational oracle of its test",
    ("Frechet distance", "duplicate"): "covariances divide by n − 1; tested with that factor",
    ("W2 of Gaussians", "duplicate"): "covariances divide by n − 1; tested with that factor",
    (
        "Frechet distance",
        "far point",
    ): "a far point moves both means and covariances; see the scales of its own test",
    (
        "W2 of Gaussians",
        "far point",
    ): "as the Fréchet distance; its square root of products resolves 1e-8 of the scale",
    ("precision", "duplicate"): "the nearest other point becomes the copy",
    ("recall", "duplicate"): "the nearest other point becomes the copy",
    ("density", "duplicate"): "the nearest other point becomes the copy",
    ("coverage", "duplicate"): "the nearest other point becomes the copy",
    (
        "precision",
        "far point",
    ): "two more points: n + 1 of each; see the definition in its own test",
    ("recall", "far point"): "two more points: n + 1 of each; see the definition in its own test",
    ("density", "far point"): "two more points: n + 1 of each; see the definition in its own test",
    ("coverage", "far point"): "two more points: n + 1 of each; see the definition in its own test",
    ("memorised", "duplicate"): "sets change by their halves",
    ("memorised", "far point"): "sets change by their halves",
    ("memorised", "permute"): "sets change by their halves",
    (
        "memorised",
        "rotate",
    ): "nearest points are decided by less than rounding of a rotation only in ties",
    ("parameter distance", "duplicate"): "a norm over all parameters: √2 times; tested so",
    ("parameter distance", "permute"): "parameters have names: both are permuted alike",
    (
        "parameter distance",
        "far point",
    ): "a parameter that is equal in both adds nothing; tested so",
}
SHAPES = {"W1": (14, 9), "W2": (14, 9)}


def two_sets(seed, name, d=2):
    """Points of spread 1, not of equal law."""
    rng = np.random.default_rng(seed)
    n, m = (12, 12) if METRICS[name].equal else SHAPES.get(name, (14, 10))
    x, y = rng.standard_normal((n, d)), 1.3 * rng.standard_normal((m, d)) + 0.3
    return rng, x, y


def pairs(change):
    return [name for name in METRICS if (name, change) not in OTHERWISE]


def close(value, rounding, degree=1):
    """Args:
    rounding: Of the points, in units of their spread. Of a share (degree 0) only a tie may
        change: none here.
    """
    return pytest.approx(
        value, rel=0 if degree == 0 else 1e-9, abs=1e-9 if degree == 0 else 100 * rounding
    )


seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=10)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", pairs("scale"))
@few
@given(seed=seeds)
def test_scale(name, scale, seed):
    _, x, y = two_sets(seed, name)
    metric = METRICS[name]
    assert metric.of(scale * x, scale * y) / scale**metric.degree == close(
        metric.of(x, y), 0, metric.degree
    )


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("name", pairs("shift"))
@few
@given(seed=seeds)
def test_shift(name, shift, seed):
    """The shifted points are rounded, and so compared with the points that they are the exact
    shift of.
    """
    rng, x, y = two_sets(seed, name)
    move = shift * rng.uniform(-1, 1, 2)
    x, y = ((points + move) - move for points in (x, y))
    metric = METRICS[name]
    assert metric.of(x + move, y + move) == close(metric.of(x, y), shift * EPS, metric.degree)


@pytest.mark.parametrize("name", pairs("rotate"))
@few
@given(seed=seeds)
def test_rotate(name, seed):
    rng, x, y = two_sets(seed, name)
    turn = scipy.stats.ortho_group.rvs(2, random_state=rng)
    if name == "sliced W2":  # 64 lines, equally spaced: a rotation by one step permutes them
        angle = np.pi / 64 * rng.integers(1, 64)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert METRICS[name].of(x @ turn, y @ turn) == close(METRICS[name].of(x, y), 10 * EPS)


@pytest.mark.parametrize("name", pairs("permute"))
@few
@given(seed=seeds)
def test_permute(name, seed):
    rng, x, y = two_sets(seed, name)
    assert METRICS[name].of(rng.permutation(x), rng.permutation(y)) == close(
        METRICS[name].of(x, y), EPS
    )


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.symmetric])
@few
@given(seed=seeds)
def test_swap(name, seed):
    _, x, y = two_sets(seed, name)
    assert METRICS[name].of(y, x) == close(METRICS[name].of(x, y), EPS)


@few
@given(seed=seeds)
def test_swap_of_precision_and_recall(seed):
    _, x, y = two_sets(seed, "precision")
    assert METRICS["precision"].of(x, y) == METRICS["recall"].of(y, x)


@pytest.mark.parametrize("name", pairs("duplicate"))
@few
@given(seed=seeds)
def test_duplicate(name, seed):
    """Every point twice: the same law. One set alone too, where sizes may differ."""
    _, x, y = two_sets(seed, name)
    metric, value = METRICS[name], METRICS[name].of(x, y)
    assert metric.of(np.repeat(x, 2, axis=0), np.tile(y, (2, 1))) == close(value, EPS)
    if not name.startswith(("sliced", "W1 equal", "W2 equal")):
        assert metric.of(np.tile(x, (3, 1)), y) == close(value, EPS)


@few
@given(seed=seeds)
def test_duplicate_divides_covariances(seed):
    """Twice the points about their mean, divided by 2n − 1 instead of n − 1, in each set."""
    _, x, y = two_sets(seed, "Frechet distance")
    factors = [(2 * len(s) - 2) / (2 * len(s) - 1) for s in (x, y)]
    shrunk = [s.mean(0) + f**0.5 * (s - s.mean(0)) for s, f in zip((x, y), factors, strict=True)]
    for name in ("Frechet distance", "W2 of Gaussians"):
        value = METRICS[name].of(np.repeat(x, 2, axis=0), np.repeat(y, 2, axis=0))
        assert value == pytest.approx(METRICS[name].of(*shrunk), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("name", pairs("far point"))
@few
@given(seed=seeds)
def test_far_point(name, far, seed):
    """One point far away with as much mass in both sets, at the same place: the rest is moved as
    before.

    Sliced W2 projects onto lines, none of which is nearer than π/128 to being perpendicular to the
    first axis: there the far point is the farthest on each of them.
    """
    _, x, y = two_sets(seed, name)
    n = 10  # as many points in both, so that the far one has the same mass
    x, y = x[:n], y[:n] if len(y) >= n else np.resize(y, (n, 2))
    copies = 1 if METRICS[name].equal else 2  # of y: another size
    more_x = np.vstack([x, [[far, 0]]])
    more_y = np.repeat(np.vstack([y, [[far, 0]]]), copies, axis=0)
    share = n / (n + 1)
    expected = METRICS[name].of(x, np.repeat(y, copies, axis=0))
    factor = share if name.startswith("W1") else share**0.5
    assert METRICS[name].of(more_x, more_y) == close(
        factor * expected, far * EPS if name == "sliced W2" else EPS
    )


@few
@given(seed=seeds)
def test_parameters_permuted_alike_doubled_or_with_an_equal_one_far_away(seed):
    rng, x, y = two_sets(seed, "parameter distance")
    value, order = parameters(x, y), rng.permutation(len(x))
    assert parameters(x[order], y[order]) == pytest.approx(value, rel=1e-12)
    assert parameters(np.tile(x, (2, 1)), np.tile(y, (2, 1))) == pytest.approx(
        2**0.5 * value, rel=1e-12
    )
    far = np.full((1, 2), 1e8)
    assert parameters(np.vstack([x, far]), np.vstack([y, far])) == pytest.approx(value, rel=1e-12)


def test_the_encoder_looks_at_one_image_at_a_time(rng):
    """Features of an image do not depend on its neighbours in the batch, nor on their order; up
    to float32.
    """
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**32)))
    with torch.random.fork_rng():
        encoder = LabelEncoder(1, 8, 3, 5).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch_rng) / 3)
        images = torch.from_numpy(rng.integers(0, 256, (9, 1, 8, 8)).astype(np.uint8))
        order = torch.from_numpy(rng.permutation(9))
        features = encoder(images)
        torch.testing.assert_close(encoder(images[order]), features[order])
        torch.testing.assert_close(encoder(images[:1]), features[:1])


def test_every_exception_is_a_pair_of_the_table():
    changes = ("scale", "shift", "rotate", "permute", "duplicate", "far point")
    assert all(name in METRICS and change in changes for name, change in OTHERWISE)


def test_what_is_not_invariant_is_caught():
    """Negative control: a distance with an absolute tolerance, as POT's network simplex has,
    fails the scales.
    """

    def rounded(x, y):
        return np.round(wasserstein(x, y, (2,))[0] ** 2, 12) ** 0.5

    _, x, y = two_sets(0, "W2")
    assert rounded(1e-8 * x, 1e-8 * y) / 1e-8 != close(rounded(x, y), 0)
