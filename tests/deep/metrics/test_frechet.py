import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from deep.metrics.frechet import FeatureMoments, frechet_distance, moments
from stability.transport.wasserstein_1d import gaussian_w2
from tests.conftest import FIXTURES

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(2, 12)


def normal(rng, n, d, decades=0.0):
    """(n, d) float64 with a random mean and standard deviations that span so many decades in
    random directions.
    """
    scale = 10 ** -rng.uniform(0, decades, d)
    return torch.from_numpy(
        rng.standard_normal(d) + (rng.standard_normal((n, d)) * scale) @ rotation(rng, d)
    )


def rotation(rng, d):
    return scipy.stats.ortho_group.rvs(d, random_state=rng) if d > 1 else np.ones((1, 1))


def distance(x, y):
    return frechet_distance(moments(x), moments(y))


def textbook(x, y):
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) with the general matrix square root, as pytorch-fid
    computes it.
    """
    (m1, c1), (m2, c2) = (
        (np.mean(s, 0), np.atleast_2d(np.cov(s, rowvar=False))) for s in (x.numpy(), y.numpy())
    )
    return np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2 * np.real(scipy.linalg.sqrtm(c1 @ c2)))


def exact_of_few(x, y):
    """From the points themselves: the singular values of their centred inner products, without
    any covariance.
    """
    a, b = ((s - s.mean(0)) / (len(s) - 1) ** 0.5 for s in (x, y))
    overlap = torch.linalg.svdvals(a @ b.T).sum()
    return float(
        (x.mean(0) - y.mean(0)).square().sum() + a.square().sum() + b.square().sum() - 2 * overlap
    )


def fifty_digits(x, y):
    """From the points themselves, ‖μ₁ − μ₂‖² + ‖A‖² + ‖B‖² − 2 tr (ABᵀBAᵀ)^½ with centred points
    A and B.
    """
    with mpmath.workdps(60):
        means, centred = [], []
        for points in (x, y):
            mean = [
                mpmath.fsum(map(mpmath.mpf, column)) / len(points) for column in points.T.tolist()
            ]
            root = mpmath.sqrt(len(points) - 1)
            means.append(mean)
            centred.append(
                mpmath.matrix(
                    [
                        [(v - m) / root for v, m in zip(p, mean, strict=True)]
                        for p in points.tolist()
                    ]
                )
            )
        a, b = centred
        overlap = a * b.T
        gram = overlap * overlap.T if overlap.rows <= overlap.cols else overlap.T * overlap
        fidelity = mpmath.fsum(
            mpmath.sqrt(max(value, 0)) for value in mpmath.eigsy(gram, eigvals_only=True)
        )
        shift = mpmath.fsum((m1 - m2) ** 2 for m1, m2 in zip(*means, strict=True))
        return float(
            shift + mpmath.fsum(v**2 for v in a) + mpmath.fsum(v**2 for v in b) - 2 * fidelity
        )


@pytest.fixture(scope="module")
def published():
    return np.load(FIXTURES / "metrics.npz")


def test_published_values(published):
    value = distance(torch.from_numpy(published["real"]), torch.from_numpy(published["fake"]))
    assert value == pytest.approx(float(published["fid_float64"]), rel=1e-10)
    for other in ("fid_fld", "fid_torch_fidelity"):  # which take the means in float32
        assert value == pytest.approx(float(published[other]), rel=2e-7)


def test_dividing_by_n_is_caught(published):
    """Negative control: the convention of StyleGAN3 is told from ours."""
    real, fake = (torch.from_numpy(published[name]).double() for name in ("real", "fake"))
    by_n = [FeatureMoments(x.mean(0), x.T.cov(correction=0)) for x in (real, fake)]
    assert frechet_distance(*by_n) != pytest.approx(float(published["fid_float64"]), rel=1e-4)


@given(seed=seeds, d=st.integers(1, 6), extra=st.tuples(sizes, sizes))
def test_the_textbook_formula(seed, d, extra):
    rng = np.random.default_rng(seed)
    x, y = (normal(rng, d + n, d, decades=2) for n in extra)
    assert distance(x, y) == pytest.approx(textbook(x, y), rel=1e-6, abs=1e-6)


@given(seed=seeds, n=sizes, m=sizes, d=st.integers(1, 40), decades=st.floats(0, 3))
def test_singular_covariances(seed, n, m, d, decades):
    rng = np.random.default_rng(seed)
    x, y = normal(rng, n, d, decades), normal(rng, m, d, decades)
    assert distance(x, y) == pytest.approx(exact_of_few(x, y), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "m", "d"), [(14, 11, 4), (4, 6, 7), (9, 3, 6)], ids=["full", "few", "fewer"]
)
@pytest.mark.parametrize("ratio", [1e3, 1e5, 1e8])
def test_one_feature_with_another_scale(rng, n, m, d, ratio):
    """Covariances of full rank and of less.

    Values of the large feature recur, so that the small ones decide.
    """
    x, y = rng.standard_normal((n, d)), 1.1 * rng.standard_normal((m, d)) + 0.1
    x[:, 0] = ratio * np.resize([1, -1], n)
    y[:, 0] = ratio * np.resize([1, -1], m)
    expected = fifty_digits(x, y)
    assert distance(*map(torch.from_numpy, (x, y))) == pytest.approx(expected, rel=1e-9, abs=0)


@given(seed=seeds, d=st.integers(1, 6), decades=st.floats(0, 8))
def test_every_feature_with_its_own_scale(seed, d, decades):
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.uniform(-decades, decades, d)
    x, y = rng.standard_normal((d + 4, d)) * scale, (rng.standard_normal((d + 2, d)) + 0.2) * scale
    value = distance(*map(torch.from_numpy, (x, y)))
    assert value == pytest.approx(fifty_digits(x, y), rel=1e-9, abs=0)
    order = rng.permutation(d)
    assert distance(*map(torch.from_numpy, (x[:, order], y[:, order]))) == pytest.approx(
        value, rel=1e-9, abs=0
    )


def test_traces_that_cancel_are_caught(rng):
    """Negative control: tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½ as it stands loses the small features
    beside a large one.
    """
    x, y = rng.standard_normal((14, 4)), 1.1 * rng.standard_normal((14, 4)) + 0.1
    x[:, 0] = y[:, 0] = 1e10 * np.resize([1, -1], 14)
    one, two = (moments(torch.from_numpy(s)) for s in (x, y))
    overlap = torch.linalg.svdvals(one.factor @ two.factor.T).sum()
    plain = float(
        (one.mean - two.mean).square().sum()
        + one.covariance.trace()
        + two.covariance.trace()
        - 2 * overlap
    )
    expected = fifty_digits(x, y)
    assert abs(plain / expected - 1) > 1e-3
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-6)


@given(seed=seeds, n=sizes, m=sizes)
def test_features_that_are_always_zero_change_nothing(seed, n, m):
    rng = np.random.default_rng(seed)
    x, y = normal(rng, n, 4), normal(rng, m, 4)
    padded = [torch.nn.functional.pad(s, (1, 3)) for s in (x, y)]
    assert distance(*padded) == pytest.approx(distance(x, y), rel=1e-9, abs=1e-9)


@given(mean=st.tuples(*[st.floats(-9, 9)] * 2), sd=st.tuples(*[st.floats(0, 9)] * 2))
def test_the_squared_w2_of_gaussians_on_the_line(mean, sd):
    one, two = (
        FeatureMoments(
            torch.tensor([m], dtype=torch.float64), torch.tensor([[s**2]], dtype=torch.float64)
        )
        for m, s in zip(mean, sd, strict=True)
    )
    assert frechet_distance(one, two) == pytest.approx(
        (mean[0] - mean[1]) ** 2 + (sd[0] - sd[1]) ** 2, abs=1e-12
    )


@given(seed=seeds, d=st.integers(1, 8))
def test_the_squared_w2_of_gaussians(seed, d):
    rng = np.random.default_rng(seed)
    one, two = moments(normal(rng, d + 9, d)), moments(normal(rng, d + 9, d))
    w2 = gaussian_w2(
        one.mean.numpy(), one.covariance.numpy(), two.mean.numpy(), two.covariance.numpy()
    )
    assert frechet_distance(one, two) == pytest.approx(w2**2, rel=1e-9, abs=1e-9)


@given(seed=seeds, n=sizes, m=sizes, d=st.integers(1, 8))
def test_it_is_symmetric_and_no_rotation_or_order_changes_it(seed, n, m, d):
    rng = np.random.default_rng(seed)
    x, y = normal(rng, n, d), normal(rng, m, d)
    value = distance(x, y)
    turn = torch.from_numpy(rotation(rng, d))
    order = torch.from_numpy(rng.permutation(n))
    close = pytest.approx(value, rel=1e-9, abs=1e-9)
    assert distance(y, x) == close
    assert distance(x @ turn, y @ turn) == close
    assert distance(x[order], y) == close
    assert distance(3 * x, 3 * y) == pytest.approx(9 * value, rel=1e-9, abs=1e-8)


@given(seed=seeds, n=sizes, d=st.integers(1, 40), shift=st.floats(-5, 5))
def test_of_equal_sets_it_is_zero_and_of_a_shifted_one_the_squared_shift(seed, n, d, shift):
    x = normal(np.random.default_rng(seed), n, d)
    assert distance(x, x) == pytest.approx(0, abs=1e-6 * d)
    assert distance(x, x + shift) == pytest.approx(d * shift**2, abs=1e-6 * d)


def test_many_blocks(monkeypatch, rng):
    x = normal(rng, 50, 4)
    monkeypatch.setattr("deep.metrics.frechet.BLOCK", 7)
    found = moments(x)
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.numpy(), rowvar=False), rtol=1e-12)


def test_bad_arguments():
    with pytest.raises(ValueError, match="n >= 2"):
        moments(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="equal dimension, got 3 and 2"):
        frechet_distance(moments(torch.zeros(4, 3)), moments(torch.zeros(4, 2)))
