import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, multivariate_normal

from tests.conftest import FALSE_ALARM
from toy.densities.mixtures import IsotropicMixture


@st.composite
def mixtures(draw):
    k = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return IsotropicMixture(
        rng.uniform(-3, 3, (k, 2)), rng.uniform(0.1, 1, k), rng.dirichlet(np.ones(k))
    )


def noised(mixture, scale, noise):
    """The law of scale·x₀ + noise·ε, which is a mixture too."""
    sd = np.sqrt((scale * mixture.sds) ** 2 + noise**2)
    return IsotropicMixture(scale * mixture.centres, sd, mixture.shares)


@given(mixture=mixtures(), seed=st.integers(0, 2**32))
def test_the_density_is_that_of_its_components(mixture, seed):
    x = np.random.default_rng(seed).uniform(-4, 4, (5, 2))
    parts = zip(mixture.shares, mixture.centres, mixture.sds, strict=True)
    expected = sum(w * multivariate_normal(c, s**2 * np.eye(2)).pdf(x) for w, c, s in parts)
    np.testing.assert_allclose(np.exp(mixture.log_prob(x)), expected, rtol=1e-9, atol=1e-300)
    responsibilities = mixture.responsibilities(x)
    assert responsibilities.shape == (5, len(mixture.centres))
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1, rtol=1e-12)


@given(
    mixture=mixtures(), seed=st.integers(0, 2**32), scale=st.floats(0.1, 1), noise=st.floats(0.1, 2)
)
def test_the_denoiser_obeys_tweedies_formula(mixture, seed, scale, noise):
    """E[x₀ | x] = (x + noise² ∇ log p(x))/scale, the gradient by central differences."""
    x, h = np.random.default_rng(seed).uniform(-3, 3, (5, 2)), 1e-5
    log_prob = noised(mixture, scale, noise).log_prob
    gradient = np.stack(
        [(log_prob(x + h * e) - log_prob(x - h * e)) / (2 * h) for e in np.eye(2)], axis=1
    )
    np.testing.assert_allclose(
        mixture.denoise(x, scale, noise),
        (x + noise**2 * gradient) / scale,
        rtol=1e-4,
        atol=1e-4 / scale,
    )


def test_weights_and_widths_of_the_draws(rng):
    """Components so far apart that each point's is known."""
    mixture = IsotropicMixture(
        np.array([[0.0, 0], [100, 0], [0, 100]]), np.array([0.5, 1, 2]), np.array([0.2, 0.0, 0.8])
    )
    n = 20_000
    x = mixture(n, rng).astype(float)
    mode = np.linalg.norm(x[:, None] - mixture.centres, axis=2).argmin(axis=1)
    counts = np.bincount(mode, minlength=3)
    assert counts[1] == 0
    expected = n * mixture.shares[[0, 2]]
    assert ((counts[[0, 2]] - expected) ** 2 / expected).sum() < chi2.isf(FALSE_ALARM / 3, 1)
    for k in (0, 2):
        squares = ((x[mode == k] - mixture.centres[k]) ** 2).sum() / mixture.sds[k] ** 2
        low, high = chi2.isf([1 - FALSE_ALARM / 6, FALSE_ALARM / 6], 2 * counts[k])
        assert low < squares < high


def test_a_narrow_component_far_away_is_no_nan():
    mixture = IsotropicMixture(
        np.array([[0.0, 0], [5, 5]]), np.array([1e-6, 1e-6]), np.array([1.0, 0.0])
    )
    far = np.array([[1e3, -1e3]], dtype=np.float32)
    assert np.isfinite(mixture.denoise(far, 0.9, 0.1)).all()
    assert mixture.denoise(far, 0.9, 0.1).dtype == np.float32
    np.testing.assert_array_equal(mixture.responsibilities(far), [[1, 0]])


@pytest.mark.parametrize("sd", [0.3, np.array([0.3, 0.3])])
def test_one_width_for_all_is_that_width_for_each(sd):
    mixture = IsotropicMixture(np.array([[0.0, 0], [1, 1]]), sd)
    np.testing.assert_array_equal(mixture.sds, [0.3, 0.3])
    np.testing.assert_array_equal(mixture.shares, [0.5, 0.5])
