"""A user's own function as an observer."""

import numpy as np
import pytest

from stability.observers.user_function import UserFunction
from stability.runs.observer import NOISE_FLOOR, OF_THE_TRUTH
from tests.support.views import view_of


def law(n, rng):
    return rng.standard_normal((n, 2))


def test_it_is_given_samples_or_samples_and_true_points(rng):
    x, y = np.ones((5, 2)), np.zeros((5, 2))
    assert UserFunction("top", np.max)(view_of(x, y)) == {"top": 1}
    gap = UserFunction("gap", lambda a, b: np.abs(a - b).max(), compares=True)
    assert gap(view_of(x, y)) == {"gap": 1}
    assert gap.floor(law, 5, rng)["gap"] > 0  # of two draws
    assert UserFunction("same", lambda x: len(x)).floor(law, 7, rng) == {"same": 7}


def test_its_floor_is_called_what_it_is():
    assert UserFunction("a", np.max).quantities[0].floor == OF_THE_TRUTH
    assert UserFunction("a", np.max, "A title", compares=True).quantities[0].floor == NOISE_FLOOR
    assert UserFunction("a", np.max, "A title").quantities[0].title == "A title"


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"function of 'a' must return a number, got \(2,\)"):
        UserFunction("a", lambda x: x[0])(view_of(np.zeros((3, 2)), np.zeros((3, 2))))
