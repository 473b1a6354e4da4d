import numpy as np
import pytest
import torch
from scipy.stats import chi2

from stability import FullySynthetic, Mix, retrain
from stability.diffusion.multistep import UniPC
from stability.diffusion.schedules import linear_alphas_cumprod
from stability.diffusion.width_map import SAMPLERS
from tests.conftest import FALSE_ALARM
from toy.densities.mixtures import IsotropicMixture
from toy.densities.shapes import eight_gaussians
from toy.learners.exact import ExactDiffusion, expectation_maximisation
from toy.learners.settings import DDPMConfig
from toy.measures.modes import mode_profile

MAPS = {
    "fixed-large": SAMPLERS["DDPM 100, fixed-large"],
    "fixed-small": SAMPLERS["DDPM 100, fixed-small"],
    "ddim": SAMPLERS["DDIM 100"],
    "unipc": UniPC().over(linear_alphas_cumprod()),
}


def test_one_component_is_fitted_in_closed_form(rng):
    x = rng.standard_normal((500, 2)) * 0.7 + [3, -1]
    start = IsotropicMixture(np.zeros((1, 2)), 1.0)
    fitted = expectation_maximisation(x, start)
    np.testing.assert_allclose(fitted.centres[0], x.mean(axis=0), rtol=1e-9)
    assert fitted.sds[0] == pytest.approx(np.sqrt(np.square(x - x.mean(axis=0)).mean()), rel=1e-9)
    np.testing.assert_allclose(fitted.shares, [1])


def test_the_likelihood_has_no_slope_at_the_fit(rng):
    """Overlapping components: the gradient of the mean log likelihood vanishes, by central
    differences.
    """
    truth = IsotropicMixture(
        np.array([[0.0, 0], [2, 0], [0, 2]]), np.array([0.8, 0.5, 1.0]), np.array([0.5, 0.2, 0.3])
    )
    x = truth(3000, rng)
    fitted = expectation_maximisation(x, truth)
    assert fitted.log_prob(x).mean() >= truth.log_prob(x).mean()

    def likelihood(centres, sds, shares):
        return IsotropicMixture(centres, sds, shares / shares.sum()).log_prob(x).mean()

    parts, h = [fitted.centres, fitted.sds, fitted.shares], 1e-4
    for part in range(3):
        for index in np.ndindex(parts[part].shape):
            values = []
            for sign in (-1, 1):
                moved = [p.copy() for p in parts]
                moved[part][index] += sign * h
                values.append(likelihood(*moved))
            # of a scale of 1: where the iteration stops
            assert abs(values[1] - values[0]) / (2 * h) < 5e-3


def test_a_component_without_points_stays_where_it_is(rng):
    start = IsotropicMixture(np.array([[0.0, 0], [1e4, 0]]), np.array([1.0, 0.5]))
    fitted = expectation_maximisation(rng.standard_normal((100, 2)), start)
    assert fitted.shares[1] == 0
    np.testing.assert_array_equal(fitted.centres[1], [1e4, 0])
    assert fitted.sds[1] == 0.5


@pytest.mark.parametrize("sampler", MAPS)
def test_a_round_follows_the_width_map(sampler, rng):
    """One component: the samples' variance, given the fit, is φ of the fit's variance. n points,
    2n squares.
    """
    truth, n = IsotropicMixture(np.zeros((1, 2)), 0.1), 4000
    learner = ExactDiffusion(2, DDPMConfig(sampler=sampler), truth)
    regimes = [FullySynthetic(), Mix(1.0)]
    low, high = chi2.isf([1 - FALSE_ALARM / 12, FALSE_ALARM / 12], 2 * n)
    for generation in retrain(
        learner, [truth(n, rng)] * 2, regimes, 2, seed=int(rng.integers(2**32))
    ):
        for mixture, x in zip(learner.mixtures, generation.samples, strict=True):
            # a shifted centre is reproduced by the sampler but for √ᾱ_T: spread about the samples'
            # mean, 2n − 2 squares
            spread = np.square(x.astype(float) - x.mean(axis=0, dtype=float)).sum()
            assert low < spread / MAPS[sampler].variance(mixture.sds[0] ** 2) + 1 < high + 2


def test_eight_modes_follow_it_too_as_long_as_they_lie_apart(rng):
    """Figure 3 without learning error: fully synthetic collapses onto the modes' means, λ = 1 does
    not.

    In each round a mode's spread, given the fit, is φ of the fit's: n_k points about their mean, 2
    n_k − 2 squares.
    """
    n, rounds = 2000, 3
    learner = ExactDiffusion(2, DDPMConfig(sampler="fixed-large"), eight_gaussians)
    real, one = eight_gaussians(n, rng), MAPS["fixed-large"]
    alarm = FALSE_ALARM / (2 * 2 * (rounds + 1) * 8)
    regimes = [FullySynthetic(), Mix(1.0)]
    samples = []
    for generation in retrain(
        learner, [real, real], regimes, rounds, seed=int(rng.integers(2**32))
    ):
        samples = generation.samples
        for mixture, x in zip(learner.mixtures, samples, strict=True):
            mode = np.linalg.norm(x[:, None] - eight_gaussians.centres, axis=2).argmin(axis=1)
            for k, sd in enumerate(mixture.sds):
                own = x[mode == k].astype(float)
                squares = np.square(own - own.mean(axis=0)).sum() / one.variance(sd**2)
                low, high = chi2.isf([1 - alarm, alarm], 2 * len(own) - 2)
                assert low < squares < high
    collapsed, mixed = (mode_profile(x, eight_gaussians) for x in samples)
    # predicted 0.013 and 0.460; the rounds' noise adds up to 17 % and 3 %
    assert collapsed["width"] < 0.05 < 0.35 < mixed["width"]
    assert collapsed["covered"] == mixed["covered"] == 8
    assert collapsed["high_quality"] == 1


def test_going_on_from_a_state_is_exact(rng):
    learner, other = (ExactDiffusion(2, DDPMConfig(), eight_gaussians) for _ in range(2))
    from stability import TrainingSet

    learner.fit([TrainingSet(eight_gaussians(n, rng), n) for n in (50, 80)], rng.spawn(2))
    other.load_state_dict(learner.state_dict())
    np.testing.assert_array_equal(other.parameters, learner.parameters)
    seeds = [[np.random.default_rng([4, r]) for r in range(2)] for _ in range(2)]
    for one, two in zip(
        learner.sample([5, 3], seeds[0]), other.sample([5, 3], seeds[1]), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    learner.reset(rng.spawn(2))
    np.testing.assert_array_equal(learner.mixtures[1].centres, eight_gaussians.centres)
    with pytest.raises(ValueError, match=r"parameters of shape \(2, 32\), got \(2, 3\)"):
        learner.load_state_dict({"parameters": torch.zeros(2, 3)})
