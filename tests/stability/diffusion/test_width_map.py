import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.diffusion.flow import Dopri5, Euler, Flow
from stability.diffusion.width_map import (
    SAMPLERS,
    fixed_points,
    folds,
    lam_of_fixed_point,
    limit,
    orbit,
    slope,
)

names = st.sampled_from(sorted(SAMPLERS))
LARGE, SMALL, DDIM, HEUN = (
    SAMPLERS[name]
    for name in ("DDPM 100, fixed-large", "DDPM 100, fixed-small", "DDIM 100", "EDM Heun 18")
)

ONE_ROUND = {  # output over input standard deviation at s = 0.02, 0.05, 0.1, 0.3, 1
    "DDPM 100, fixed-large": (0.884, 1.106, 1.085, 1.032, 0.999),
    "DDPM 100, fixed-small": (0.491, 0.700, 0.801, 0.908, 0.960),
    "DDIM 100": (0.513, 0.774, 0.881, 0.957, 0.982),
    "DDPM 1000, fixed-large": (0.971, 1.008, 1.008, 1.003, 1.000),
    "DDPM 1000, fixed-small": (0.817, 0.926, 0.963, 0.988, 0.996),
    "DDIM 1000": (0.862, 0.959, 0.983, 0.995, 0.998),
    "EDM Heun 10": (1.612, 1.454, 1.357, 1.254, 1.175),
    "EDM Heun 18": (1.143, 1.111, 1.090, 1.065, 1.045),
    "EDM Heun 40": (1.020, 1.018, 1.016, 1.011, 1.008),
    "flow, Euler 99": (0.813, 0.919, 0.956, 0.981, 0.987),
}


@pytest.mark.parametrize("name", ONE_ROUND)
def test_one_round(name):
    """docs/theory/width-map.md, first table."""
    s = np.array([0.02, 0.05, 0.1, 0.3, 1.0])
    np.testing.assert_allclose(
        np.sqrt(SAMPLERS[name].variance(s**2)) / s, ONE_ROUND[name], atol=5.1e-4
    )


def test_generations():
    """docs/theory/width-map.md: collapse faster than geometric, and spreading."""
    shrinking = [0.080, 0.062, 0.045, 0.031, 0.019, 0.0088, 0.0023, 1.7e-4, 9.3e-7, 2.7e-11]
    np.testing.assert_allclose(np.sqrt(orbit(SMALL, 0.01, math.inf, 10)[1:]), shrinking, rtol=0.03)
    spreading = np.sqrt(orbit(LARGE, 0.01, math.inf, 100)[[1, 10, 20, 100]])
    np.testing.assert_allclose(spreading, [0.109, 0.193, 0.290, 0.799], atol=5e-4)


@pytest.mark.parametrize(
    ("sampler", "s0", "lam", "expected"),
    [
        *(
            (LARGE, 0.05, *pair)
            for pair in ((1, 0.057), (4, 0.096), (8, 0.173), (20, 0.373), (100, 0.766))
        ),
        *(
            (HEUN, 0.1, *pair)
            for pair in ((1, 0.111), (4, 0.167), (8, 0.437), (20, 5.35), (1000, 15.4))
        ),
        (SMALL, 0.1, 1, 0.0847),
        (LARGE, 0.1, 1, 0.1096),
        (DDIM, 0.1, 1, 0.0896),
    ],
)
def test_where_the_mixed_loop_settles(sampler, s0, lam, expected):
    """docs/theory/width-map.md: standard deviations, to the digits printed there."""
    assert math.sqrt(limit(sampler, s0**2, lam)) == pytest.approx(expected, rel=2e-3, abs=5e-4)


def test_the_threshold_of_fixed_large():
    low, high = fixed_points(LARGE, 1.0, math.inf)
    assert (math.sqrt(low.variance), math.sqrt(high.variance)) == (
        pytest.approx(0.0266, abs=5e-5),
        pytest.approx(0.9745, abs=5e-5),
    )
    assert not low.stable
    assert high.stable
    for start, end in ((0.99 * low.variance, 0.0), (1.01 * low.variance, high.variance)):
        assert limit(LARGE, 1.0, math.inf, start) == pytest.approx(end)
        # both ways: the orbit itself, with the slope at the threshold, needs a few hundred rounds
        assert orbit(LARGE, 1.0, math.inf, 3000, start)[-1] == pytest.approx(
            end, rel=1e-6, abs=1e-20
        )


@given(name=names, s=st.floats(1e-3, 10))
def test_the_slope_is_the_derivative(name, s):
    v, h = s**2, 1e-4 * s**2
    sampler = SAMPLERS[name]
    difference = (sampler.variance(v + h) - sampler.variance(v - h)) / (2 * h)
    assert slope(sampler, v) == pytest.approx(float(difference), rel=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_phi_increases(name):
    assert (slope(SAMPLERS[name], np.geomspace(1e-12, 1e8, 2000)) > 0).all()


@given(name=names, s=st.floats(1e-3, 3), lam=st.floats(0.01, 100))
def test_the_loop_goes_straight_to_its_limit_and_is_stable_there(name, s, lam):
    sampler, v0 = SAMPLERS[name], s**2
    path, end = orbit(sampler, v0, lam, 60), limit(sampler, v0, lam)
    moves = np.diff(path) * np.sign(end - v0)
    assert (moves >= -1e-12 * path[1:]).all()
    assert (np.abs(path - end) <= abs(v0 - end) * (1 + 1e-9)).all()
    (here,) = [p for p in fixed_points(sampler, v0, lam) if p.variance == end]
    assert here.stable
    # the distance to the limit shrinks at the rate of the slope, in the end
    far = path[-2] - end
    if abs(far) > 1e-9 * end and abs(far) < 1e-3 * end:
        assert (path[-1] - end) / far == pytest.approx(here.slope, rel=0.05)


@given(name=names, s=st.floats(1e-3, 3), lam=st.floats(0.01, 100))
def test_the_curve_of_fixed_points(name, s, lam):
    sampler = SAMPLERS[name]
    for point in fixed_points(sampler, s**2, lam):
        assert lam_of_fixed_point(sampler, s**2, point.variance) == pytest.approx(lam, rel=1e-5)
    # φ(v) − v is 0 up to rounding at a fixed point of φ: nan, a negative λ or a huge one, never a
    # small one
    other = lam_of_fixed_point(
        sampler, s**2, (s / 1e6) ** 2 if sampler.variance(s**2) > s**2 else (1e3 * s) ** 2
    )
    assert np.isnan(other) or other > 1


@pytest.mark.parametrize("s0", [0.0141, 0.05])
def test_two_stable_widths_above_the_fold_and_one_below(s0):
    """Starting at the width of the data or far from it ends in the same place below the fold,
    not above it.
    """
    (fold,) = folds(LARGE, s0**2)
    assert fold.appear
    for lam, count in ((0.9 * fold.lam, 1), (1.1 * fold.lam, 3)):
        points = fixed_points(LARGE, s0**2, lam)
        assert [p.stable for p in points] == [True, False, True][:count]
        ends = {limit(LARGE, s0**2, lam, start) for start in (1e-8, s0**2, 4.0)}
        assert len(ends) == {1: 1, 3: 2}[count]
    (birth,) = [p for p in fixed_points(LARGE, s0**2, 1.0001 * fold.lam) if not p.stable]
    assert birth.variance == pytest.approx(fold.variance, rel=0.1)
    assert birth.slope == pytest.approx(1, abs=0.02)


def test_at_the_threshold_the_fold_is_where_linear_theory_puts_it():
    """Data as wide as the unstable fixed point: it is one for all λ, and loses its stability at
    λ = 1/(φ' − 1).
    """
    threshold = fixed_points(LARGE, 1.0, math.inf)[0]
    lam = 1 / (threshold.slope - 1)
    v0 = threshold.variance
    for factor, stable in ((0.98, True), (1.02, False)):
        here = min(fixed_points(LARGE, v0, factor * lam), key=lambda p: abs(p.variance - v0))
        assert here.variance == pytest.approx(v0, rel=1e-6)
        assert here.stable is stable
    assert min(fold.lam for s in (0.02, 0.0266, 0.03) for fold in folds(LARGE, s**2)) > 0.9 * lam


@pytest.mark.parametrize(
    "name", ["DDPM 100, fixed-small", "DDIM 1000", "flow, Euler 99", "flow, exact, σ = 0.1"]
)
def test_the_others_have_one_stable_width(name):
    for s0 in (0.01, 0.1, 1.0):
        assert folds(SAMPLERS[name], s0**2) == []
        assert len(fixed_points(SAMPLERS[name], s0**2, 1000.0)) == 1


def test_to_first_order_the_bias_is_lam_times_that_of_one_round():
    for sampler in (SMALL, LARGE, HEUN):
        one = float(sampler.variance(0.01)) / 0.01 - 1
        assert (limit(sampler, 0.01, 1e-5) / 0.01 - 1) == pytest.approx(1e-5 * one, rel=1e-3)


def test_a_neutral_map_keeps_the_width_of_the_real_data():
    for flow in (Flow(Dopri5()), Flow(Euler(50), correlation=1.0)):
        assert fixed_points(flow, 0.2, math.inf) == []
        assert [p.variance for p in fixed_points(flow, 0.2, 3.0)] == [pytest.approx(0.2)]
        assert limit(flow, 0.2, 3.0) == pytest.approx(0.2)
        assert limit(flow, 0.2, math.inf) == pytest.approx(0.2)


def test_path_noise_leads_to_the_width_of_the_source():
    """φ(v) = (v + σ²)/(1 + σ²): each round forgets σ²/(1 + σ²) of the distance of v to 1."""
    path = orbit(Flow(Dopri5(), sigma=0.5), 0.01, math.inf, 20)
    np.testing.assert_allclose(1 - path, 0.99 / 1.25 ** np.arange(21), rtol=1e-9)


def test_orbits_are_elementwise():
    v0, start = np.array([0.01, 0.04, 1.0]), np.array([0.02, 0.02, 0.5])
    path = orbit(LARGE, v0, 2.0, 3, start)
    assert path.shape == (4, 3)
    for k in range(3):
        np.testing.assert_allclose(path[:, k], orbit(LARGE, v0[k], 2.0, 3, start[k]), rtol=1e-12)


@pytest.mark.parametrize("lam", [-1.0, math.nan])
def test_bad_lam(lam):
    with pytest.raises(ValueError, match="lam must be >= 0 or inf"):
        orbit(LARGE, 1.0, lam, 1)
