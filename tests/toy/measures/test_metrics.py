import numpy as np
import pytest
from scipy.stats import binom

from stability import Generation, Purpose, TrainingSet, stream
from stability.transport.wasserstein import wasserstein
from tests.conftest import FALSE_ALARM
from toy.densities.shapes import eight_gaussians, standard_normal
from toy.measures.metrics import (
    Distances,
    noise_floor,
    resemblance,
    resemblance_floor,
    sliced_wasserstein,
)


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
        Distances(standard_normal, 5, seed=0, replicas=[0])(
            generation(1, np.zeros((5, 2))), np.zeros((1, 2))
        )


def test_the_noise_floor_is_what_a_perfect_model_reaches(rng):
    """A perfect sampler's distances come from the same distribution as the floor's pairs: a
    two-sample rank bound.
    """
    floor = noise_floor(standard_normal, 50, seed=int(rng.integers(2**32)), workers=2)
    perfect = [wasserstein(standard_normal(50, rng), standard_normal(50, rng)) for _ in range(32)]
    for (mean, sd), values in zip((floor.w1, floor.w2), np.transpose(perfect), strict=True):
        assert values.std(ddof=1) / 4 < sd < values.std(ddof=1) * 4
        # the means of 32 each differ by less than 6 standard errors
        assert abs(values.mean() - mean) < 6 * sd * (2 / 32) ** 0.5
    assert (
        floor == noise_floor(standard_normal, 50, seed=0)
        or floor.w1 != noise_floor(standard_normal, 50, seed=0).w1
    )


def test_the_floor_falls_with_the_number_of_points():
    few, many = (noise_floor(standard_normal, n, seed=1, pairs=8).w1[0] for n in (10, 200))
    assert many < few


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
    floor = resemblance_floor(standard_normal, 200, seed)
    assert set(floor) == {"sliced", "memorised"}
    mean, sd = floor["memorised"]
    assert 0.02 < sd < 0.06  # binomial of 200 would be 0.035; nearest points are shared
    assert abs(mean - 0.5) < 7 * sd / 32**0.5  # Student's t with 31 degrees of freedom at 1e-6 is 6
    known = resemblance_floor(eight_gaussians, 200, seed)["nll"]
    entropy = np.log(8) + np.log(2 * np.pi * np.e * (0.02**2 / 2.0004))  # modes do not overlap
    assert abs(known[0] - entropy) < 7 * known[1] / 32**0.5
