import math

import numpy as np
import pytest

from toy.densities.mixtures import IsotropicMixture
from toy.densities.shapes import eight_gaussians
from toy.measures.modes import mode_profile

TRUTH = IsotropicMixture(np.array([[0.0, 0], [10, 0], [0, 10]]), 0.5)


def cross(centre, radius):
    """Four points around a centre; their mean is the centre."""
    return np.asarray(centre) + radius * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])


def test_a_set_made_by_hand():
    x = np.concatenate([cross([0, 0], 1.0), cross([10, 1], 1.0), cross([10, 1], 1.0), [[4, 0]]])
    profile = mode_profile(x, TRUTH)
    assert profile["weights"] == [pytest.approx(5 / 13), pytest.approx(8 / 13), 0]
    assert profile["entropy"] == pytest.approx(
        -5 / 13 * math.log(5 / 13) - 8 / 13 * math.log(8 / 13)
    )
    # within 1.5 of a centre: the first cross; of the second (10, 0) and, at √2, (11, 1) and (9, 1),
    # each twice
    assert profile["high_quality"] == pytest.approx((4 + 6) / 13)
    assert profile["covered"] == 2
    # means (0.8, 0) and (10, 1); squares about them 4 + 16 − 5·0.64 = 16.8 and 8; 13 points less 2
    # means, 2 coordinates
    assert profile["width"] == pytest.approx(math.sqrt(24.8 / (2 * 11)) / 0.5)
    assert profile["shift"] == pytest.approx(math.sqrt((0.8**2 + 1) / 2) / 0.5)
    # medians (0, 0) and (10, 1): all but one of the squared distances are 1
    assert profile["width_median"] == pytest.approx(1 / math.sqrt(2 * math.log(2)) / 0.5)


def test_far_samples_are_not_cut_off():
    near = np.concatenate([cross([0, 0], 0.5)] * 100)
    far = np.concatenate([near, [[-1000.0, 0.0]]])
    assert mode_profile(far, TRUTH)["width"] > 20 * mode_profile(near, TRUTH)["width"]
    assert mode_profile(far, TRUTH)["width_median"] == pytest.approx(
        mode_profile(near, TRUTH)["width_median"], rel=0.2
    )


@pytest.mark.parametrize("widening", [0.1, 1.0, 5.0])
def test_the_width_of_wider_or_narrower_modes(widening, rng):
    """Modes 77 true standard deviations apart."""
    n = 20_000
    mixture = IsotropicMixture(eight_gaussians.centres, widening * eight_gaussians.sds)
    profile = mode_profile(mixture(n, rng), eight_gaussians)
    # a sum of 2(n − 8) squares has relative sd √(1/n), a root half of it; the median's is 1.44
    # times that
    assert abs(profile["width"] / widening - 1) < 6 * 0.5 / math.sqrt(n)
    assert abs(profile["width_median"] / widening - 1) < 6 * 0.75 / math.sqrt(n)
    good = -math.expm1(-4.5 / widening**2)
    assert abs(profile["high_quality"] - good) < 6 * math.sqrt(good * (1 - good) / n) + 1e-9
    assert profile["covered"] == 8
    assert profile["entropy"] == pytest.approx(math.log(8), abs=40 / n)  # ln 8 − χ²_7/(2n)
    assert profile["shift"] < 8 * widening / math.sqrt(n / 8)


def test_points_on_top_of_the_centres():
    profile = mode_profile(eight_gaussians.centres, eight_gaussians)
    assert (profile["width"], profile["shift"], profile["high_quality"], profile["covered"]) == (
        0,
        0,
        1,
        8,
    )
    assert mode_profile(np.zeros((1, 2)), TRUTH)["width"] == 0
