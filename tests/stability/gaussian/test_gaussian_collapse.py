import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import polygamma
from scipy.stats import chi2, norm

from stability import FullySynthetic, GaussianLearner, retrain
from stability.gaussian.alpha import alpha
from stability.gaussian.collapse import _scaled_svd, simulate
from stability.gaussian.lyapunov import lyapunov_spectrum
from tests.conftest import FALSE_ALARM

COVARIANCE = np.array([[2.0, 0.8, 0.1], [0.8, 1.0, -0.3], [0.1, -0.3, 0.5]])


def assert_same_law(one, two, comparisons, same=True):
    """Kolmogorov distance of two samples; by Dvoretzky-Kiefer-Wolfowitz-Massart each is that
    near to its law.
    """
    points = np.sort(np.concatenate([one, two]))
    distance = np.abs(
        np.searchsorted(np.sort(one), points, "right") / len(one)
        - np.searchsorted(np.sort(two), points, "right") / len(two)
    ).max()
    allowed = sum(
        math.sqrt(math.log(4 * comparisons / FALSE_ALARM) / (2 * len(x))) for x in (one, two)
    )
    assert (distance < allowed) == same, (distance, allowed)


def functionals(roots):
    """Parts of √Σ_t that are compared, (chains, d, d): its entries in two places, a mixed one, its
    trace and determinant.
    """
    yield from (roots[:, 0, 0], roots[:, -1, -1], roots[:, 0, -1], roots.trace(axis1=1, axis2=2))
    yield np.linalg.slogdet(roots)[1]


FUNCTIONALS = 5


def roots_of(covariances):
    values, vectors = np.linalg.eigh(covariances)
    return (vectors * np.sqrt(values.clip(min=0))[:, None]) @ vectors.swapaxes(1, 2)


def direct(n, covariance, t, chains, rng):
    """√Σ_t by drawing n normals a chain and generation: eqs. (4) and (5)."""
    root = np.tile(roots_of(np.asarray(covariance)[None]), (chains, 1, 1))
    mean = np.zeros((chains, 1, len(covariance)))
    for _ in range(t):
        x = mean + rng.standard_normal((chains, n, len(covariance))) @ root
        mean = x.mean(axis=1, keepdims=True)
        root = roots_of((x - mean).swapaxes(1, 2) @ (x - mean) / (n - 1))
    return root


@pytest.mark.parametrize(("n", "t"), [(4, 1), (6, 3)])
def test_same_law_as_drawing_all_normals(n, t, rng):
    drawn = list(functionals(direct(n, COVARIANCE, t, 20_000, rng)))
    ours = functionals(simulate(n, COVARIANCE, [t], 20_000, rng).last_root)
    for one, two in zip(ours, drawn, strict=True):
        assert_same_law(one, two, comparisons=2 * FUNCTIONALS)
    # negative control: one sample a generation more is seen in the determinant
    wrong = list(functionals(simulate(n + 1, COVARIANCE, [t], 20_000, rng).last_root))
    assert_same_law(wrong[-1], drawn[-1], comparisons=2 * FUNCTIONALS, same=False)


def test_same_law_as_the_gaussian_learner_in_the_loop(rng):
    """Algorithm 1 with the closed-form learner, all of it, from real data with covariance Σ_0."""
    n, t, chains = 6, 3, 3000
    # orthonormal, mean 0
    gap = np.linalg.qr(rng.standard_normal((n, 4)) * [0, 1, 1, 1] + [1, 0, 0, 0])[0][:, 1:]
    data = gap @ roots_of(COVARIANCE[None])[0] * math.sqrt(n - 1)
    np.testing.assert_allclose(np.cov(data.T), COVARIANCE, atol=1e-12)
    learner = GaussianLearner(chains, 3)
    for _ in retrain(
        learner, [data] * chains, [FullySynthetic()] * chains, t, seed=int(rng.integers(2**62))
    ):
        pass
    ours = functionals(simulate(n, COVARIANCE, [t], 30_000, rng).last_root)
    looped = list(functionals(roots_of(learner.covariance)))
    for one, two in zip(ours, looped, strict=True):
        assert_same_law(one, two, comparisons=FUNCTIONALS)
    wrong = list(functionals(simulate(n, COVARIANCE, [t + 1], 30_000, rng).last_root))
    assert_same_law(wrong[-1], looped[-1], comparisons=FUNCTIONALS, same=False)


@pytest.mark.parametrize("n", [2, 2.5, 30, 1e9])
def test_one_generation_in_one_dimension_is_chi_square(n, rng):
    """(n−1) Σ_1/Σ_0 ~ χ²_{n−1}, also for n between whole numbers; distance by the DKW
    inequality.
    """
    chains = 20_000
    ratio = np.square(simulate(n, [[3.0]], [1], chains, rng).last_root[:, 0, 0]) / 3
    F = chi2.cdf(np.sort(ratio) * (n - 1), n - 1)
    distance = np.abs(F - (np.arange(chains) + 0.5) / chains).max()
    assert distance < math.sqrt(math.log(2 * 4 / FALSE_ALARM) / (2 * chains)) + 0.5 / chains


@pytest.mark.parametrize(("n", "t"), [(5, 4), (100, 40), (10**9, 100)])
def test_every_fixed_direction_follows_the_one_dimensional_law(n, t, rng):
    """vᵀΣ_t v/vᵀΣ_0 v is a product of t independent χ²_{n−1}/(n−1), whatever v and Σ_0 are: mean
    1, root's mean α^t.
    """
    chains, v = 20_000, np.array([1.0, -2.0, 0.5])
    square = np.square(simulate(n, COVARIANCE, [t], chains, rng).last_root @ v).sum(axis=1) / (
        v @ COVARIANCE @ v
    )
    limit = norm.isf(FALSE_ALARM / (4 * 3 * 2))  # normal tail, doubled for skewness
    # the logarithm is a sum of t logarithms, of mean 2 γ_1 and variance ψ'((n−1)/2)
    error = math.sqrt(t * polygamma(1, (n - 1) / 2) / chains)
    assert abs(np.log(square).mean() - 2 * t * lyapunov_spectrum(n, 1)[0]) < limit * error
    if n == 100:
        spread = math.sqrt(1 - float(alpha(n)) ** (2 * t))
        assert abs(np.sqrt(square).mean() - float(alpha(n)) ** t) < limit * spread / math.sqrt(
            chains
        )


def test_the_mean_covariance_stays(rng):
    seen = simulate(40, COVARIANCE, [0, 1, 10], 20_000, rng)
    np.testing.assert_allclose(seen.covariance[0], COVARIANCE, atol=1e-14)
    np.testing.assert_allclose(seen.root[0], roots_of(COVARIANCE[None])[0], atol=1e-14)
    z = (seen.covariance[1:] - COVARIANCE) / seen.covariance_error[1:]
    assert np.abs(z).max() < norm.isf(FALSE_ALARM / (4 * 12))  # normal tail, doubled for skewness
    assert (seen.root[2].diagonal() < seen.root[1].diagonal()).all()


def test_dimensions_collapse_one_by_one_at_the_lyapunov_exponents(rng):
    """After 3000 generations the eigenvalues of √Σ_t are e^−400 … e^−4000; the logarithms grow as
    γ_i t.

    log det Σ_t is a random walk with known mean and variance: its check is exact up to a normal
    tail. For the exponents the mean's deviation from γ_i t stays bounded as the gaps open; 3 are
    allowed, beside the noise.
    """
    n, d, t, chains = 5, 4, 3000, 400
    seen = simulate(n, np.eye(d), [t], chains, rng)
    gamma, limit = lyapunov_spectrum(n, d), norm.isf(FALSE_ALARM / (4 * (d + 1)))
    spread = np.sqrt([t * polygamma(1, (n - i) / 2) / 4 for i in range(1, d + 1)])
    total = seen.last_log_eigenvalues.sum(axis=1).mean()
    assert abs(total - t * gamma.sum()) < limit * np.sqrt(np.square(spread).sum() / chains)
    off = np.abs(seen.log_eigenvalues[0] - t * gamma)
    assert (off < 3 + limit * 1.2 * spread / math.sqrt(chains)).all(), off
    # far too close to be mistaken for a neighbour's
    assert (off[:-1] < np.abs(np.diff(gamma)) * t / 50).all()


def test_nothing_overflows_far_below_the_range_of_floats(rng):
    seen = simulate(4, np.diag([1.0, 1e-300, 1e-20]), [0, 20_000], 2, rng)
    assert np.isfinite(seen.last_log_eigenvalues).all()
    assert (seen.last_log_eigenvalues < -2_000).all()  # √Σ_t is of order e^−3700 … e^−19000
    assert (seen.last_root == 0).all()
    np.testing.assert_allclose(seen.log_eigenvalues[0], np.log([1.0, 1e-10, 1e-150]))


def test_units_and_turns_of_the_data_do_not_matter(rng):
    """Scaling Σ_0 scales every Σ_t (same draws); turning it turns them (in law, here for the
    mean root).
    """
    seed = int(rng.integers(2**62))
    one, two = (
        simulate(8, c * COVARIANCE, [2], 100, np.random.default_rng(seed)) for c in (1.0, 1e40)
    )
    np.testing.assert_allclose(two.last_root, 1e20 * one.last_root, rtol=1e-12, atol=1e8)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    straight, turned = (
        simulate(8, c, [2], 20_000, rng).last_root for c in (COVARIANCE, turn @ COVARIANCE @ turn.T)
    )
    for a, b in zip(functionals(turn @ straight @ turn.T), functionals(turned), strict=True):
        assert_same_law(a, b, comparisons=FUNCTIONALS)


def test_statistics_are_those_of_the_chains(rng):
    chains = 10_001  # three blocks, the last incomplete
    seen = simulate(9, COVARIANCE, [3], chains, rng)
    roots = seen.last_root
    np.testing.assert_allclose(seen.root[0], roots.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        seen.root_error[0], roots.std(axis=0, ddof=1) / math.sqrt(chains), rtol=1e-10
    )
    np.testing.assert_allclose(seen.covariance[0], (roots @ roots).mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(
        seen.log_eigenvalues[0], seen.last_log_eigenvalues.mean(axis=0), rtol=1e-12
    )
    np.testing.assert_allclose(
        np.log(np.linalg.eigvalsh(roots))[:, ::-1], seen.last_log_eigenvalues, atol=1e-8
    )
    assert seen.t.tolist() == [3]


def test_blocks_do_not_depend_on_how_many_follow(rng):
    seed = int(rng.integers(2**62))
    few, many = (
        simulate(9, COVARIANCE, [0, 2, 5], c, np.random.default_rng(seed)) for c in (4096, 9000)
    )
    np.testing.assert_array_equal(few.last_root, many.last_root[:4096])


@given(
    entries=arrays(float, (4, 4), elements=st.floats(-1, 1)),
    logs=arrays(float, (4,), elements=st.floats(-12, 12)),
)
# columns change places
@example(entries=np.diag([1.0, 0.0], k=-2), logs=np.array([0.0, 0.5, 1.0, 1.0]))
def test_scaled_singular_values_are_numpys(entries, logs):
    columns = np.tril(entries) + 2 * np.eye(4)
    columns /= np.linalg.norm(columns, axis=0)
    singular, vectors = _scaled_svd(columns[..., None], logs[:, None])
    singular, vectors = singular[:, 0], vectors[..., 0]
    matrix = columns * np.exp(logs)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), atol=1e-12)
    rebuilt = (vectors * np.exp(2 * singular)) @ vectors.T
    np.testing.assert_allclose(rebuilt, matrix @ matrix.T, atol=1e-12 * np.exp(2 * logs.max()))
    # log |det|
    assert singular.sum() == pytest.approx(np.log(np.abs(np.diag(matrix))).sum(), abs=1e-10)
    values = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(np.exp(singular), values, atol=1e-13 * values[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"covariance": np.ones((2, 3))}, r"finite square matrix, got shape \(2, 3\)"),
        ({"covariance": [[np.nan]]}, "finite square matrix"),
        ({"covariance": [[1.0, 0.5], [0.0, 1.0]]}, "symmetric"),
        ({"covariance": np.diag([1.0, 0.0])}, "positive definite, got smallest eigenvalue 0"),
        ({"n": 2}, r"n must be finite and >= d \+ 1 = 3, got 2"),
        ({"n": math.inf}, "n must be finite"),
        ({"generations": []}, "generations must be increasing and >= 0, at least one"),
        ({"generations": [3, 3]}, r"generations must be increasing .* got \[3, 3\]"),
        ({"generations": [-1]}, "generations must be increasing"),
        ({"chains": 1}, "chains must be >= 2, got 1"),
    ],
)
def test_bad_arguments(change, message):
    good = {
        "n": 5,
        "covariance": np.eye(2),
        "generations": [1],
        "chains": 2,
        "rng": np.random.default_rng(0),
    }
    with pytest.raises(ValueError, match=message):
        simulate(**(good | change))
