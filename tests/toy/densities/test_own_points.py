"""A user's own points: two halves without a point in common, and files that are refused."""

import numpy as np
import pytest

from stability.runs.command_line import UsageError
from toy.densities.own_points import read_own_points


def saved(array, tmp_path, name="points.npy"):
    np.save(tmp_path / name, array)
    return tmp_path / name


def test_each_point_is_in_one_half(rng, tmp_path):
    points = rng.standard_normal((101, 2)).astype(np.float32)
    own = read_own_points(saved(points, tmp_path), 50, seed=3)
    both = np.concatenate([own.real.points, own.truth])

    assert len(own.truth) == 50
    assert own.truth.dtype == np.float32
    np.testing.assert_array_equal(np.sort(both.view("f,f"), axis=0), np.sort(points.view("f,f"), 0))
    drawn = own(7, rng)
    assert len({tuple(p) for p in drawn} & {tuple(p) for p in own.truth}) == 7


def test_the_halves_are_those_of_the_seed(rng, tmp_path):
    path = saved(rng.standard_normal((400, 2)), tmp_path)
    one, again, other = (read_own_points(path, 10, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.truth, again.truth)
    assert not np.array_equal(one.truth, other.truth)
    assert one.digest == other.digest


def test_the_digest_is_of_the_points_not_of_the_path(rng, tmp_path):
    points = rng.standard_normal((20, 2))
    paths = saved(points, tmp_path), saved(points, tmp_path, "other.npy")
    first, second = (read_own_points(path, 5, 0).digest for path in paths)
    assert first == second
    assert read_own_points(saved(points + 1, tmp_path), 5, 0).digest != first


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((10, 3)), r"must hold numbers \(N, 2\), holds float64 \(10, 3\)"),
        (np.zeros(10), r"must hold numbers \(N, 2\), holds float64 \(10,\)"),
        (np.zeros((10, 2), complex), r"holds complex128 \(10, 2\)"),
        (np.array([[0, 0], [0, np.nan]]), "row 1 is not finite"),
        (np.zeros((9, 2)), "holds 9 points, but the run needs 10: one half"),
    ],
)
def test_other_arrays_are_refused(array, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        read_own_points(saved(array, tmp_path), 5, 0)


def test_what_is_no_array_is_refused(tmp_path):
    (tmp_path / "text.npy").write_text("1,2\n")
    for name in ("text.npy", "none.npy"):
        with pytest.raises(UsageError, match=f"--data {tmp_path / name}: "):
            read_own_points(tmp_path / name, 5, 0)
