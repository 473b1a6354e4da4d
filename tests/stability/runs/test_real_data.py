"""The data that chains are trained on and measured against."""

import numpy as np
import pytest

from stability.runs.real_data import NotEnoughDataError, Pool, Rounds, real_data

X = np.arange(40.0).reshape(20, 2)


def law(n, rng):
    return rng.standard_normal((n, 2))


def ids(points):
    """The rows of X that they are."""
    return [int(point[0]) // 2 for point in points]


def test_an_array_is_its_first_points_for_every_seed():
    data = real_data(X, None, 15, None, 0, 0)
    assert (data.n, data.draws, data.compared) == (15, 15, 15)
    assert data.real_of(0) is data.real_of(3)
    assert ids(data.real_of(0)) == list(range(15))
    assert data.fresh is None


def test_floors_of_an_array_never_use_a_point_twice(rng):
    data = real_data(X, None, None, None, 0, 0)
    draw = data.floor_draw()
    points = np.concatenate([draw(8, rng), draw(12, rng)])
    assert sorted(ids(points)) == list(range(20))
    with pytest.raises(NotEnoughDataError, match="20 true points are too few"):
        draw(1, rng)
    assert len(data.floor_draw()(20, rng)) == 20  # another floor begins anew


def test_another_truth_is_compared_as_far_as_it_goes(rng):
    truth = X[:6] + 100
    data = real_data(X, truth, None, 50, 0, 0)
    assert (data.draws, data.compared) == (50, 6)
    assert np.array_equal(data.truth_of(0, 0), data.truth_of(2, 5))
    urn = data.floor_draw()(26, rng)  # under no change, real and true points are alike
    assert {tuple(p) for p in urn} == {tuple(p) for p in np.concatenate([X, truth])}


def test_a_pool_sets_new_points_aside_for_each_round(rng):
    data = real_data(Pool(X), None, 4, None, 0, 3)
    assert isinstance(data.fresh, Rounds)
    rounds = [ids(data.fresh.of_generation(t)(4, rng)) for t in (1, 2, 3)]
    aside = [point for of in rounds for point in of]
    assert len(set(aside)) == 12
    for seed in range(5):
        own = ids(data.real_of(seed))
        assert len(set(own)) == 4
        assert not set(own) & set(aside)
    with pytest.raises(ValueError, match="real must have at least 24 points, of which 20 are new"):
        real_data(Pool(X), None, 4, None, 0, 5)


def test_a_law_is_drawn_for_each_seed_and_generation_by_its_key():
    data, again = (real_data(law, None, 5, None, 7, 0) for _ in range(2))
    other = real_data(law, None, 5, None, 8, 0)
    for one, two in (
        (data.real_of(1), again.real_of(1)),
        (data.truth_of(1, 2), again.truth_of(1, 2)),
    ):
        assert np.array_equal(one, two)
    # continuous draws of different streams are equal with probability 0, and in floats below 1e-30
    seen = [data.real_of(0), data.real_of(1), other.real_of(0), data.truth_of(0, 0)]
    seen += [data.truth_of(0, 1), data.truth_of(1, 0)]
    assert len({array.tobytes() for array in seen}) == len(seen)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((3, None, 5), TypeError, "real must be an array, a Pool or a function"),
        ((law, None, None), ValueError, "samples must be given where real is a function"),
        ((Pool(X), None, None), ValueError, "samples must be given where real is a Pool"),
        ((X, None, 21), ValueError, "samples must be <= 20, the points of real, got 21"),
        ((X, 3, None), TypeError, "truth must be an array or a function"),
    ],
)
def test_what_is_refused(arguments, kind, message):
    real, truth, samples = arguments
    with pytest.raises(kind, match=message):
        real_data(real, truth, samples, None, 0, 0)
