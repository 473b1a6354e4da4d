import numpy as np
import pytest

from stability import Generation, Purpose, TrainingSet, stream
from stability.wasserstein import wasserstein
from toy.densities import standard_normal
from toy.metrics import Distances, noise_floor


def generation(t, *samples):
    data = TrainingSet(np.zeros((2, 2)), real=2)
    return Generation(t, (data,) * len(samples), samples)


def truth_of(seed, replica, t, n=30):
    return standard_normal(n, stream(seed, Purpose.TRUTH, replica, t))


def test_distances_to_the_draws_of_the_replica(rng):
    samples = [standard_normal(40, rng) for _ in range(3)]  # more than are measured
    observe = Distances(standard_normal, 30, seed=4, replicas=[0, 1, 0], workers=2)
    records = observe(generation(0, *samples), np.zeros((3, 5)))
    for x, replica, record in zip(samples, [0, 1, 0], records, strict=True):
        assert (record["w1"], record["w2"]) == wasserstein(x[:30], truth_of(4, replica, 0))
    at_the_truth = observe(generation(1, *(truth_of(4, r, 1) for r in (0, 1, 0))), np.zeros((3, 5)))
    assert [(record["w1"], record["w2"]) for record in at_the_truth] == [(0.0, 0.0)] * 3


def test_parameters_are_measured_from_generation_zero_even_after_a_restart():
    start, end = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])
    observe = Distances(standard_normal, 5, seed=0, replicas=[0, 1])
    x = np.zeros((5, 2))
    assert [r["parameter_distance"] for r in observe(generation(0, x, x), start)] == [0, 0]
    resumed = Distances(standard_normal, 5, seed=0, replicas=[0, 1])
    resumed.load_state_dict(observe.state_dict())
    for each in (observe, resumed):
        assert [r["parameter_distance"] for r in each(generation(2, x, x), end)] == [5, 0]


def test_a_start_without_generation_zero_is_refused():
    with pytest.raises(ValueError, match="parameters of generation 0 are not known"):
        Distances(standard_normal, 5, seed=0, replicas=[0])(generation(1, np.zeros((5, 2))), np.zeros((1, 2)))


def test_the_noise_floor_is_what_a_perfect_model_reaches(rng):
    """A perfect sampler's distances come from the same distribution as the floor's pairs: a two-sample rank bound."""
    floor = noise_floor(standard_normal, 50, seed=int(rng.integers(2**32)), workers=2)
    perfect = [wasserstein(standard_normal(50, rng), standard_normal(50, rng)) for _ in range(32)]
    for (mean, sd), values in zip((floor.w1, floor.w2), np.transpose(perfect), strict=True):
        assert values.std(ddof=1) / 4 < sd < values.std(ddof=1) * 4
        # the means of 32 each differ by less than 6 standard errors
        assert abs(values.mean() - mean) < 6 * sd * (2 / 32) ** 0.5
    assert floor == noise_floor(standard_normal, 50, seed=0) or floor.w1 != noise_floor(standard_normal, 50, seed=0).w1


def test_the_floor_falls_with_the_number_of_points():
    few, many = (noise_floor(standard_normal, n, seed=1, pairs=8).w1[0] for n in (10, 200))
    assert many < few
