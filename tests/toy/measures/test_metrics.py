from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from scipy.stats import binom

from stability import Generation, Purpose, TrainingSet, stream
from stability.runs.observer import View, as_floor
from stability.transport.wasserstein import wasserstein
from tests.conftest import FALSE_ALARM
from toy.densities.shapes import eight_gaussians, standard_normal
from toy.measures.metrics import (
    ExactDistances,
    Likelihood,
    ParametersMoved,
    Resemblance,
    resemblance,
    sliced_wasserstein,
)


def view(x, real, truth, log_prob=None, seed=0):
    data = TrainingSet(real, len(real))
    return View(1, 0, seed, x, data, truth, real, log_prob, np.random.default_rng(0))


def test_distances_are_those_of_as_many_points(rng):
    x, truth = (standard_normal(40, rng) for _ in range(2))
    found = ExactDistances(30)(view(x, x, truth))
    assert (found["w1"], found["w2"]) == wasserstein(x[:30], truth[:30])
    assert ExactDistances(30)(view(x, x, x)) == {"w1": 0.0, "w2": 0.0}


def test_parameters_are_measured_from_generation_zero_even_after_a_restart():
    start, end = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])
    observe, views = ParametersMoved(), [cast(View, None)] * 2

    def at(t, parameters, observer):
        generation = Generation(t, (), ())
        measured = observer.measure(generation, SimpleNamespace(parameters=parameters), views)
        return [record["parameter_distance"] for record in measured]

    assert at(0, start, observe) == [0, 0]
    resumed = ParametersMoved()
    resumed.load_state_dict(observe.state_dict())
    for each in (observe, resumed):
        assert at(2, end, each) == [5, 0]
    with pytest.raises(ValueError, match="parameters of generation 0 are not known"):
        at(1, start, ParametersMoved())


def floors(observer, truth, n, seed):
    """Mean and sd over 32 draws, as of a study."""
    drawn = [observer.floor(truth, n, stream(seed, Purpose.FLOOR, k)) for k in range(32)]
    return {key: as_floor([values[key] for values in drawn]) for key in drawn[0]}


def test_the_noise_floor_is_what_a_perfect_model_reaches(rng):
    """A perfect sampler's distances come from the same distribution as the floor's pairs."""
    floor = floors(ExactDistances(50), standard_normal, 50, int(rng.integers(2**32)))
    perfect = [wasserstein(standard_normal(50, rng), standard_normal(50, rng)) for _ in range(32)]
    for one, values in zip(floor.values(), np.transpose(perfect), strict=True):
        assert values.std(ddof=1) / 4 < one.sd < values.std(ddof=1) * 4
        # the means of 32 each differ by less than 6 standard errors
        assert abs(values.mean() - one.mean) < 6 * one.sd * (2 / 32) ** 0.5


def test_the_floor_falls_with_the_number_of_points(rng):
    seed = int(rng.integers(2**32))
    few, many = (floors(ExactDistances(n), standard_normal, n, seed)["w1"].mean for n in (10, 200))
    assert many < few


def test_likelihood_is_that_of_the_true_points(rng):
    truth = eight_gaussians(50, rng)
    found = Likelihood()(view(truth, truth, truth, eight_gaussians.log_prob))
    assert found["nll"] == pytest.approx(-eight_gaussians.log_prob(truth).mean())
    assert Likelihood()(view(truth, truth, truth)) == {}
    assert Likelihood().floor(standard_normal, 9, rng) == {}  # this truth has no density


def test_sliced_distance_of_a_shift_and_of_a_stretch(rng):
    """A shift v moves projections by v·u, of mean square |v|²/2; a stretch a by (a − 1) times
    the projections'.
    """
    x = rng.standard_normal((60, 2)) * (2, 0.5)
    v = rng.standard_normal(2)
    assert sliced_wasserstein(x, rng.permutation(x + v)) == pytest.approx(
        np.linalg.norm(v) / 2**0.5
    )
    stretched = sliced_wasserstein(x, rng.permutation(1.5 * x))
    assert stretched == pytest.approx(0.5 * (np.square(x).sum(axis=1).mean() / 2) ** 0.5)
    assert sliced_wasserstein(x, x) == 0
    with pytest.raises(ValueError, match=r"must be of the same shape \(n, 2\)"):
        sliced_wasserstein(x, x[1:])


def test_sliced_distance_is_at_most_w2_over_the_root_of_two(rng):
    x, y = rng.standard_normal((80, 2)), rng.standard_exponential((80, 2))
    assert 0 < sliced_wasserstein(x, y) <= wasserstein(x, y, (2,))[0] / 2**0.5 + 1e-12


def test_copies_are_memorised_and_independent_samples_are_not(rng):
    real, fresh = standard_normal(400, rng), standard_normal(400, rng)
    near = real + 1e-4 * standard_normal(400, rng)
    assert resemblance(near, real, fresh)["memorised"] == 1
    assert resemblance(near, fresh, real)["memorised"] == 0
    # a collapsed model that never saw the training points: one point, nearer to one set or the
    # other; many such models
    points = [np.tile(standard_normal(1, rng), (3, 1)) for _ in range(300)]
    sets = [(standard_normal(3, rng), standard_normal(3, rng)) for _ in points]
    share = np.mean(
        [resemblance(x, *pair)["memorised"] for x, pair in zip(points, sets, strict=True)]
    )
    assert (
        binom.ppf(FALSE_ALARM / 2, 300, 0.5) <= 300 * share <= binom.isf(FALSE_ALARM / 2, 300, 0.5)
    )


def test_the_floor_of_resemblance(rng):
    seed = int(rng.integers(2**32))
    floor = floors(Resemblance(), standard_normal, 200, seed)
    assert set(floor) == {"sliced", "memorised"}
    memorised = floor["memorised"]
    assert 0.02 < memorised.sd < 0.06  # binomial of 200 would be 0.035; nearest points are shared
    # Student's t with 31 degrees of freedom at 1e-6 is 6
    assert abs(memorised.mean - 0.5) < 7 * memorised.sd / 32**0.5
    known = floors(Likelihood(), eight_gaussians, 200, seed)["nll"]
    entropy = np.log(8) + np.log(2 * np.pi * np.e * (0.02**2 / 2.0004))  # modes do not overlap
    assert abs(known.mean - entropy) < 7 * known.sd / 32**0.5
    assert Resemblance(shown=False).floor(standard_normal, 9, rng) == {}
