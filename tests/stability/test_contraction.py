import math

import numpy as np
import pytest
import torch
from scipy.special import polygamma, psi
from scipy.stats import norm
from scipy.stats import t as student_t

from stability import Accumulate, FreshReal, FullySynthetic, GaussianLearner, Mix
from stability.contraction import coupled, decay, gaps
from stability.expectation import NormalMixture, draw
from stability.families import StudentT
from stability.likelihood_learner import LikelihoodLearner
from stability.local_analysis import analyse, jacobian
from tests.conftest import FALSE_ALARM


def normals(pairs, n, d, rng):
    return list(rng.standard_normal((pairs, n, d)))


def curve(learner, real, displaced, regimes, rounds, rng, **options):
    seed = int(rng.integers(2**62))
    return np.array([gaps(g) for g in coupled(learner, real, displaced, regimes, rounds, seed=seed, **options)])


@pytest.mark.parametrize("lam", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("n", [10, 200])
def test_a_gaussian_mean_contracts_by_exactly_lambda_over_one_plus_lambda(lam, n, rng):
    """At every n, in every round and for every seed, without an average: the noise cancels."""
    real = normals(3, n, 2, rng)
    displaced = [x + rng.standard_normal(2) for x in real]
    learner = GaussianLearner(6, 2, covariance=np.eye(2))
    distances = curve(learner, real, displaced, [Mix(lam)] * 3, 4, rng, draws=n)
    shift = [np.linalg.norm(y[0] - x[0]) for x, y in zip(real, displaced, strict=True)]
    np.testing.assert_allclose(distances[0], shift, rtol=1e-12)
    np.testing.assert_allclose(distances[1:] / distances[:-1], lam / (1 + lam), rtol=1e-9)
    measured = decay(distances)
    assert measured.rate == pytest.approx(lam / (1 + lam), rel=1e-9)
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
    """Accumulating: Δ_1 = Δ_0/2, Δ_2 = (Δ_0 + Δ_1)/3 = Δ_0/2, Δ_3 = (Δ_0 + Δ_1 + Δ_2)/4: nothing more is forgotten."""
    real = normals(2, 10, 1, rng)
    learner = GaussianLearner(4, 1, covariance=np.eye(1))
    distances = curve(
        learner,
        real,
        [x + 1 for x in real],
        [regime] * 2,
        3,
        rng,
        draws=10,
        fresh=lambda n, rng: rng.standard_normal((n, 1)),
    )
    np.testing.assert_allclose(distances[1:] / distances[:-1], np.repeat(factors, 2).reshape(3, 2), rtol=1e-9)


def test_chains_that_start_together_stay_together(rng):
    real = normals(2, 10, 2, rng)
    distances = curve(GaussianLearner(4, 2), real, real, [Mix(1.0), Accumulate(1.0)], 3, rng, draws=5)
    assert not distances.any()
    with pytest.raises(ValueError, match="must be finite and > 0 in two rounds or more"):
        decay(distances)


def test_a_pair_does_not_depend_on_the_pairs_beside_it(rng):
    real, seed = normals(2, 10, 2, rng), int(rng.integers(2**62))
    displaced = [x + 1 for x in real]
    both = [gaps(g) for g in coupled(GaussianLearner(4, 2), real, displaced, [Mix(1.0)] * 2, 3, seed=seed)]
    alone = coupled(GaussianLearner(2, 2), real[1:], displaced[1:], [Mix(1.0)], 3, seed=seed, replicas=[1])
    np.testing.assert_array_equal(np.array(both)[:, 1:], np.array([gaps(g) for g in alone]))


def test_without_real_data_the_scale_is_forgotten_at_the_rate_of_collapse(rng):
    """log σ_t differs by the same amount in all rounds, so differences shrink as σ_t does: S5's Lyapunov exponent."""
    n, pairs, rounds = 8, 400, 6
    real = normals(pairs, n, 1, rng)
    displaced = [1.5 * x for x in real]
    learner = GaussianLearner(2 * pairs, 1)
    sigmas = []
    for _ in coupled(
        learner, real, displaced, [FullySynthetic()] * pairs, rounds, seed=int(rng.integers(2**62)), draws=n
    ):
        sigmas.append(np.sqrt(learner.covariance[:, 0, 0]).reshape(2, pairs))
    sigmas = np.array(sigmas)  # (T + 1, 2, S)
    np.testing.assert_allclose(sigmas[:, 1] / sigmas[:, 0], 1.5, rtol=1e-9)
    measured = decay(sigmas[:, 1] - sigmas[:, 0])
    exponent = (psi((n - 1) / 2) + math.log(2 / (n - 1))) / 2
    # log σ is ½ log χ²: its variance is ψ'((n−1)/2)/4, and the sum of 2400 terms is normal up to a skewness of 0.02
    sd = math.sqrt(polygamma(1, (n - 1) / 2) / 4 / (pairs * rounds))
    assert abs(math.log(measured.rate) - exponent) < norm.isf(FALSE_ALARM / 4) * sd


def test_a_misspecified_student_t_shows_both_eigenvalues_of_its_jacobian(rng):
    """A ≠ B: an affine map of the data displaces the fit of (μ, log s) in any direction, here along eigenvectors."""
    lam, n, pairs, rounds, size = 1.0, 1000, 24, 2, 0.01
    law = NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))
    local = analyse(StudentT(5.0), law, lam)
    (centre, log_scale), generator = local.theta, torch.Generator().manual_seed(int(rng.integers(2**62)))
    real = [draw(law, n, generator).numpy() for _ in range(pairs)]
    values, vectors = np.linalg.eig(jacobian(local.A, local.B, lam))
    displaced = [centre + shift + np.exp(stretch) * (x - centre) for shift, stretch in size * vectors.T for x in real]
    learner = LikelihoodLearner(StudentT(5.0), torch.tensor([centre, log_scale]).expand(4 * pairs, -1))
    seed, distances = int(rng.integers(2**62)), []
    for _ in coupled(learner, [*real, *real], displaced, [Mix(lam)] * (2 * pairs), rounds, seed=seed):
        one, two = learner.theta.numpy().reshape(2, 2, pairs, 2)
        distances.append(np.linalg.norm(two - one, axis=2))
    for value, of_pairs in zip(values, np.moveaxis(np.array(distances), 1, 0), strict=True):
        measured = decay(of_pairs)
        # pairs are independent: Student's t; the second order of a displacement of 1 % is below 1 % of the rate, and
        # so is the bias of a geometric mean
        slack = student_t.isf(FALSE_ALARM / 4, pairs - 1) * measured.error + 0.02 * value
        assert abs(measured.rate - value) < slack, (measured, value)
        assert abs(measured.rate - lam / (1 + lam)) > slack  # the rate of all exponential families is rejected
