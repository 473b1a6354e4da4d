"""Distances of samples to true points, in any dimension and of any shape."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import t as student_t
from scipy.stats import wasserstein_distance

from stability.observers.distances import Distances, sliced_wasserstein
from stability.transport.wasserstein import wasserstein
from tests.conftest import FALSE_ALARM
from tests.support.views import floors_of, view_of


def test_they_are_those_of_an_assignment_in_five_dimensions(rng):
    x, y = rng.standard_normal((40, 5)), rng.standard_normal((40, 5)) + 1
    cost = np.linalg.norm(x[:, None] - y[None], axis=2)
    measured = Distances()(view_of(x, y))
    for key, p in (("w1", 1), ("w2", 2)):
        rows, columns = linear_sum_assignment(cost**p)
        assert measured[key] == pytest.approx((cost**p)[rows, columns].mean() ** (1 / p))


def test_numbers_are_compared_as_points_of_one_dimension(rng):
    x, y = rng.standard_normal(50), rng.standard_normal(50)
    measured = Distances()(view_of(x, y))
    assert measured["w1"] == pytest.approx(wasserstein_distance(x, y))
    assert measured["sliced"] == pytest.approx(measured["w2"])


def test_images_are_flattened(rng):
    x, y = rng.integers(0, 255, (2, 20, 3, 4, 4)).astype(np.uint8)
    flat = Distances()(view_of(x.reshape(20, -1), y.reshape(20, -1)))
    assert Distances()(view_of(x, y)) == flat


@pytest.mark.parametrize("d", [1, 2, 7])
def test_a_shift_is_known_to_sliced_distances(d, rng):
    x = rng.standard_normal((300, d))
    shift = rng.standard_normal(d)
    found = sliced_wasserstein(x, x + shift)
    assert found <= np.linalg.norm(shift) * (1 + 1e-12)
    if d <= 2:  # of equally spaced lines exactly
        assert found == pytest.approx(np.linalg.norm(shift) / np.sqrt(d))
    assert sliced_wasserstein(x, x) == 0
    assert sliced_wasserstein(3 * x, 3 * (x + shift)) == pytest.approx(3 * found)


def test_only_so_many_points_are_transported_exactly(rng):
    x, y = rng.standard_normal((30, 2)), rng.standard_normal((30, 2))
    few, cut = Distances(most=10)(view_of(x, y)), Distances()(view_of(x[:10], y[:10]))
    assert few["w1"] == cut["w1"]
    assert few["sliced"] != cut["sliced"]  # of all points


def test_what_is_asked_is_measured_and_nothing_else(rng):
    x = rng.standard_normal((10, 2))
    for exact, sliced in ((True, False), (False, True)):
        observer = Distances(exact=exact, sliced=sliced)
        keys = {quantity.key for quantity in observer.quantities}
        assert set(observer(view_of(x, x))) == keys == set(observer.floor(law, 10, rng))
    with pytest.raises(ValueError, match="must not both be False"):
        Distances(exact=False, sliced=False)
    with pytest.raises(ValueError, match="most must be >= 1"):
        Distances(most=0)


def law(n, rng):
    return rng.standard_normal((n, 2))


def test_distances_are_those_of_as_many_points(rng):
    x, truth = (rng.standard_normal((40, 2)) for _ in range(2))
    found = Distances(30, sliced=False)(view_of(x, truth))
    assert (found["w1"], found["w2"]) == wasserstein(x[:30], truth[:30])
    assert Distances(30, sliced=False)(view_of(x, x)) == {"w1": 0.0, "w2": 0.0}


def test_the_noise_floor_is_what_a_perfect_model_reaches(rng):
    """A perfect sampler's distances come from the same distribution as the floor's pairs."""
    floor = floors_of(Distances(50, sliced=False), law, 50, int(rng.integers(2**32)))
    perfect = [wasserstein(law(50, rng), law(50, rng)) for _ in range(32)]
    for one, values in zip(floor.values(), np.transpose(perfect), strict=True):
        assert values.std(ddof=1) / 4 < one.sd < values.std(ddof=1) * 4
        # two means of 32 each, which the spread of one of them judges
        error = one.sd * (2 / 32) ** 0.5
        assert abs(values.mean() - one.mean) < student_t.isf(FALSE_ALARM / 4, 31) * error


def test_the_floor_falls_with_the_number_of_points(rng):
    seed = int(rng.integers(2**32))
    few, many = (floors_of(Distances(n, sliced=False), law, n, seed)["w1"].mean for n in (10, 200))
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
    with pytest.raises(ValueError, match=r"must be of the same shape \(n, d\)"):
        sliced_wasserstein(x, x[1:])


def test_sliced_distance_is_at_most_w2_over_the_root_of_two(rng):
    x, y = rng.standard_normal((80, 2)), rng.standard_exponential((80, 2))
    assert 0 < sliced_wasserstein(x, y) <= wasserstein(x, y, (2,))[0] / 2**0.5 + 1e-12
