import numpy as np
import pytest
import torch
from scipy.stats import norm
from scipy.stats import t as student_t

from stability import Accumulate, FreshReal, FullySynthetic, GaussianLearner, Mix
from stability.analysis.jacobian import jacobian
from stability.analysis.likelihood_learner import LikelihoodLearner
from stability.analysis.local_analysis import analyse
from stability.families import StudentT
from stability.gaussian.alpha import alpha
from stability.laws.law import NormalMixture, draw
from stability.loop.contraction import Displacement, coupled, gaps, rate, shares
from tests.conftest import FALSE_ALARM


def normals(pairs, n, d, rng):
    return list(rng.standard_normal((pairs, n, d)))


def shift(vector):
    return Displacement(lambda x: x + vector, lambda x: x @ np.ones(x.shape[1]))


def by(move):
    """A displacement whose share nobody asks for."""
    return Displacement(move, move)


def curve(learner, real, displacements, regimes, rounds, rng, **options):
    """Gaps and shares, (T + 1, S) each."""
    seed = int(rng.integers(2**62))
    generations = list(coupled(learner, real, displacements, regimes, rounds, seed=seed, **options))
    return np.array([gaps(g) for g in generations]), np.array(
        [shares(g, displacements) for g in generations]
    )


@pytest.mark.parametrize("lam", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("n", [10, 200])
def test_a_gaussian_mean_contracts_by_exactly_lambda_over_one_plus_lambda(lam, n, rng):
    """At every n, in every round and for every seed, without an average: the noise cancels."""
    vectors = rng.standard_normal((3, 2))
    learner = GaussianLearner(6, 2, covariance=np.eye(2))
    moves = [shift(v) for v in vectors]
    distances, left = curve(learner, normals(3, n, 2, rng), moves, [Mix(lam)] * 3, 4, rng, draws=n)
    np.testing.assert_allclose(distances[0], np.linalg.norm(vectors, axis=1), rtol=1e-12)
    np.testing.assert_allclose(distances[1:] / distances[:-1], lam / (1 + lam), rtol=1e-9)
    np.testing.assert_allclose(
        left, np.outer((lam / (1 + lam)) ** np.arange(5), np.ones(3)), atol=1e-12
    )
    for measured in (rate(distances), rate(left, 1), rate(left, 0, 1)):
        assert measured.value == pytest.approx(lam / (1 + lam), rel=1e-9)
        assert measured.error < 1e-9


@pytest.mark.parametrize(
    ("regime", "factors"),
    [
        (FullySynthetic(), [1, 1, 1]),
        (FreshReal(1.0), [1 / 2, 1 / 2, 1 / 2]),
        (Accumulate(1.0), [1 / 2, 1, 1]),
    ],
)
def test_other_regimes_have_the_factors_of_their_recursion(regime, factors, rng):
    """Accumulating: Δ_1 = Δ_0/2, Δ_2 = (Δ_0 + Δ_1)/3 = Δ_0/2, Δ_3 = (Δ_0 + Δ_1 + Δ_2)/4: nothing
    more is forgotten.
    """
    learner = GaussianLearner(4, 1, covariance=np.eye(1))
    fresh = {"fresh": lambda n, rng: rng.standard_normal((n, 1))}
    distances, _ = curve(
        learner, normals(2, 10, 1, rng), [shift(1.0)] * 2, [regime] * 2, 3, rng, draws=10, **fresh
    )
    np.testing.assert_allclose(
        distances[1:] / distances[:-1], np.repeat(factors, 2).reshape(3, 2), rtol=1e-9
    )


def test_accumulating_does_not_keep_the_displaced_data(rng):
    learner = GaussianLearner(2, 1, covariance=np.eye(1))
    real = normals(1, 10, 1, rng)
    generations = coupled(learner, real, [shift(1.0)], [Accumulate(1.0)], 2, seed=0)
    for generation in generations:
        one, two = generation.training
        np.testing.assert_array_equal(one.points[:10], real[0])
        np.testing.assert_array_equal(two.points[:10], real[0])


def test_chains_that_start_together_stay_together(rng):
    regimes = [Mix(1.0), Accumulate(1.0)]
    real, seed = normals(2, 10, 2, rng), int(rng.integers(2**62))
    generations = coupled(
        GaussianLearner(4, 2), real, [by(lambda x: x)] * 2, regimes, 3, seed=seed, draws=5
    )
    distances = np.array([gaps(g) for g in generations])
    assert not distances.any()
    with pytest.raises(ValueError, match="finite and with a positive sum"):
        rate(distances)


def test_a_pair_does_not_depend_on_the_pairs_beside_it_and_can_be_resumed(rng):
    real, seed, moves = normals(2, 10, 2, rng), int(rng.integers(2**62)), [shift(1.0)] * 2
    whole = list(coupled(GaussianLearner(4, 2), real, moves, [Mix(1.0)] * 2, 3, seed=seed))
    alone = coupled(
        GaussianLearner(2, 2), real[1:], moves[1:], [Mix(1.0)], 3, seed=seed, streams=[1]
    )
    np.testing.assert_array_equal([gaps(g)[1:] for g in whole], [gaps(g) for g in alone])
    learner = GaussianLearner(4, 2)
    *_, stopped = coupled(learner, real, moves, [Mix(1.0)] * 2, 1, seed=seed)
    rest = coupled(learner, real, moves, [Mix(1.0)] * 2, 3, seed=seed, after=stopped)
    np.testing.assert_array_equal([gaps(g) for g in whole[2:]], [gaps(g) for g in rest])


def test_without_real_data_the_scale_is_forgotten_as_it_collapses(rng):
    """σ'_t/σ_t is the same in all rounds, so the difference shrinks as σ_t does: on average by
    α(n) (Proposition 1).
    """
    n, pairs, rounds = 8, 400, 5
    learner, seed = GaussianLearner(2 * pairs, 1), int(rng.integers(2**62))
    real, regimes = normals(pairs, n, 1, rng), [FullySynthetic()] * pairs
    sigmas = np.array(
        [
            np.sqrt(learner.covariance[:, 0, 0]).reshape(2, pairs)
            for _ in coupled(
                learner, real, [by(lambda x: 1.5 * x)] * pairs, regimes, rounds, seed=seed, draws=n
            )
        ]
    )  # (T + 1, 2, S)
    np.testing.assert_allclose(sigmas[:, 1] / sigmas[:, 0], 1.5, rtol=1e-9)
    measured = rate(sigmas[:, 1] - sigmas[:, 0])
    # a ratio of averages of 400, each term skewed by less than 1: within half a unit of normal
    # quantiles
    assert abs(measured.value - alpha(n)) < (norm.isf(FALSE_ALARM / 2) + 1) * measured.error
    assert measured.error < 0.01  # so that 1, the eigenvalue of J, is told from α(8) = 0.965


def test_a_misspecified_student_t_shows_both_eigenvalues_of_its_jacobian(rng):
    """A ≠ B: an affine map of the data displaces the fit of (μ, log s) in any direction, here
    along eigenvectors.
    """
    lam, n, pairs, rounds, size = 1.0, 1000, 24, 2, 0.01
    law = NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))
    local = analyse(StudentT(5.0), law, lam)
    (centre, log_scale), generator = (
        local.theta,
        torch.Generator().manual_seed(int(rng.integers(2**62))),
    )
    real = [draw(law, n, generator).numpy() for _ in range(pairs)]
    values, vectors = np.linalg.eig(jacobian(local.A, local.B, lam))
    moves = [
        by(lambda x, v=v: centre + size * v[0] + np.exp(size * v[1]) * (x - centre))
        for v in vectors.T
        for _ in real
    ]
    learner = LikelihoodLearner(
        StudentT(5.0), torch.tensor([centre, log_scale]).expand(4 * pairs, -1)
    )
    seed, distances = int(rng.integers(2**62)), []
    for _ in coupled(learner, [*real, *real], moves, [Mix(lam)] * (2 * pairs), rounds, seed=seed):
        one, two = learner.theta.numpy().reshape(2, 2, pairs, 2)
        distances.append(np.linalg.norm(two - one, axis=2))
    for value, of_pairs in zip(values, np.moveaxis(np.array(distances), 1, 0), strict=True):
        measured = rate(of_pairs)
        # pairs are independent: Student's t; the second order of a displacement of 1 % is below 1 %
        # of the rate, and so is the bias of a ratio
        slack = student_t.isf(FALSE_ALARM / 4, pairs - 1) * measured.error + 0.02 * value
        assert abs(measured.value - value) < slack, (measured, value)
        # the rate of all exponential families is rejected
        assert abs(measured.value - lam / (1 + lam)) > slack
