import numpy as np
import pytest
import torch

from stability import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    Mix,
    Purpose,
    TrainingSet,
    retrain,
    stream,
)
from stability.analysis.likelihood_learner import LikelihoodLearner
from stability.analysis.operators import climb, finite_map, maximum_likelihood
from stability.families import FAMILIES, Logistic, StudentT
from stability.laws.law import Member, draw
from stability.loop.retraining import RetrainingError

POINTS = {
    "gaussian_2d": (0.2, -0.1, 1.0, 0.3, 2.0),
    "gamma": (2.0, 1.5),
    "student_t": (0.5, -0.3),
    "curved_normal": (1.2,),
    "sinh_arcsinh": (0.0, 0.1, 0.2, 0.0),
    "logistic": (-1.0, 0.4),
    "binomial": (0.3,),
    "linkage": (0.4,),
}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def draws(name, n, rng):
    law = Member(FAMILIES[name](), tensor(POINTS[name]))
    return draw(law, n, torch.Generator().manual_seed(int(rng.integers(2**63)))).numpy()


@pytest.mark.parametrize("name", POINTS)
def test_chains_of_any_size_side_by_side_climb_as_each_alone(name, rng):
    """Against the safeguarded climb of `operators`, on 5 data sets of different sizes: so large
    that the four parameters of sinh-arcsinh have a maximum. With 200 they sometimes have none.
    """
    start = tensor(POINTS[name])
    data = [draws(name, size, rng) for size in (2000, 1500, 3000, 2000, 2501)]
    learner = LikelihoodLearner(FAMILIES[name](), start.expand(5, -1))
    learner.fit([TrainingSet(x, real=len(x)) for x in data], [rng] * 5)
    for x, theta in zip(data, learner.theta, strict=True):
        alone = climb(
            FAMILIES[name](),
            torch.as_tensor(x),
            torch.full((len(x),), 1 / len(x), dtype=theta.dtype),
            start,
        )
        np.testing.assert_allclose(theta, alone.theta, atol=1e-7)


@pytest.mark.parametrize("name", POINTS)
def test_a_point_of_weight_two_counts_as_two_points(name, rng):
    x, repeats = draws(name, 2000, rng), rng.integers(0, 4, 2000)
    learner = LikelihoodLearner(FAMILIES[name](), tensor(POINTS[name]).expand(2, -1))
    repeated = np.repeat(x, repeats, axis=0)
    learner.fit(
        [TrainingSet(x, 2000, weights=0.3 * repeats), TrainingSet(repeated, len(repeated))],
        [rng] * 2,
    )
    np.testing.assert_allclose(learner.theta[0], learner.theta[1], atol=1e-7)


@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_a_retraining_in_algorithm_1_is_the_finite_map(lam, rng):
    """Gⁿ_λ of eqs. (2), (3), drawing from generators that are seeded alike."""
    family, seed = StudentT(), int(rng.integers(2**62))
    real = [draws("student_t", n, rng) for n in (60, 80)]
    learner = LikelihoodLearner(family, tensor(POINTS["student_t"]).expand(2, -1))
    thetas = [learner.theta.clone() for _ in retrain(learner, real, [Mix(lam)] * 2, 2, seed=seed)]
    for r, x in enumerate(real):
        np.testing.assert_allclose(
            thetas[0][r], maximum_likelihood(family, x, thetas[1][r]).theta, atol=1e-8
        )
        image = finite_map(family, x, lam)
        for t in (0, 1):
            key = int(stream(seed, Purpose.SAMPLE, r, t).integers(2**63))
            expected = image(thetas[t][r], torch.Generator().manual_seed(key)).theta
            np.testing.assert_allclose(thetas[t + 1][r], expected, atol=1e-8)


def test_newton_alone_fails_from_afar_and_the_climb_takes_over(rng):
    """From 40 scales away the t likelihood is convex; from there a Newton step leads farther
    away.
    """
    x = draws("student_t", 100, rng)
    far, near = (LikelihoodLearner(StudentT(), tensor([[mu, -0.3]])) for mu in (40.0, 0.5))
    for learner in (far, near):
        learner.fit([TrainingSet(x, real=100)], [rng])
    np.testing.assert_allclose(far.theta, near.theta, atol=1e-7)


def test_a_chain_does_not_depend_on_the_chains_beside_it(rng):
    seed, real = int(rng.integers(2**62)), [draws("logistic", 40, rng) for _ in range(3)]
    regimes = [Mix(0.5), FullySynthetic(), Accumulate(1.0)]
    start = tensor(POINTS["logistic"])
    together, alone = (
        LikelihoodLearner(Logistic(), start.expand(3, -1)),
        LikelihoodLearner(Logistic(), start[None]),
    )
    for _ in retrain(together, real, regimes, 3, seed=seed):
        pass
    for _ in retrain(alone, real[2:], regimes[2:], 3, seed=seed, streams=[2]):
        pass
    np.testing.assert_allclose(together.theta[2], alone.theta[0], atol=1e-9)


def test_fresh_real_data_and_a_restart_from_scratch(rng):
    learner = LikelihoodLearner(Logistic(), tensor([POINTS["logistic"]]))
    arguments = {"seed": 1, "fresh": lambda n, rng: draws("logistic", n, rng), "from_scratch": True}
    generations = list(
        retrain(learner, [draws("logistic", 30, rng)], [FreshReal(1.0)], 2, **arguments)
    )
    assert [g.training[0].synthetic for g in generations] == [0, 30, 30]
    assert not np.array_equal(
        generations[1].training[0].points[:30], generations[2].training[0].points[:30]
    )
    learner.reset([rng])
    np.testing.assert_array_equal(learner.theta, [POINTS["logistic"]])


def test_log_prob_and_sample_alone_will_do(rng):
    class Exponential:
        def log_prob(self, theta, x):
            return theta[0] - theta[0].exp() * x[:, 0]

        def sample(self, theta, n, generator):
            return -torch.log1p(
                -torch.rand(n, 1, generator=generator, dtype=torch.float64)
            ) * torch.exp(-theta[0])

    x = rng.exponential(2.0, (50, 1))
    learner = LikelihoodLearner(Exponential(), torch.zeros(1, 1, dtype=torch.float64))
    learner.fit([TrainingSet(x, real=50)], [rng])
    assert learner.theta.item() == pytest.approx(-np.log(x.mean()), abs=1e-10)


def test_a_family_without_a_maximum_names_chain_and_generation(rng):
    real = [draws("student_t", 20, rng), np.ones((20, 1))]
    learner = LikelihoodLearner(StudentT(), tensor([[0.5, -0.3]] * 2))
    with pytest.raises(RetrainingError, match="generation 0: chain 1: "):
        list(retrain(learner, real, [Mix(1.0)] * 2, 1, seed=0))


def test_state_goes_there_and_back(rng):
    learner, other = (LikelihoodLearner(Logistic(), tensor([[0.0, 0.0]])) for _ in range(2))
    learner.fit([TrainingSet(draws("logistic", 30, rng), real=30)], [rng])
    state = learner.state_dict()
    learner.theta += 1  # the state is a copy
    other.load_state_dict(state)
    np.testing.assert_allclose(other.theta + 1, learner.theta, atol=1e-15)
    assert other.chains == 1


@pytest.mark.parametrize(
    "start",
    [
        torch.zeros(2, dtype=torch.float64),
        torch.zeros(2, 2),
        torch.zeros(0, 2, dtype=torch.float64),
        tensor([[np.nan]]),
    ],
)
def test_bad_start(start):
    with pytest.raises(ValueError, match=r"start must be a finite float64 tensor \(R, P\)"):
        LikelihoodLearner(StudentT(), start)
