import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.laws.axis import AlgebraicAxis, Axis

ENDS = [(-math.inf, math.inf), (2.0, math.inf), (-math.inf, 2.0), (-1.0, 3.0)]


@pytest.mark.parametrize("kind", [Axis, AlgebraicAxis])
@pytest.mark.parametrize(("lower", "upper"), ENDS)
@given(t=st.floats(-0.7, 0.7))
def test_a_map_goes_there_and_back_and_its_slope_is_its_derivative(kind, lower, upper, t):
    axis = kind(lower, upper, 0.5, 1.5)
    step = 1e-5
    left, place, right = (torch.tensor(t + k * step, dtype=torch.float64) for k in (-1, 0, 1))
    x = axis.x(place)
    assert lower < float(x) < upper
    assert float(axis.t(x)) == pytest.approx(t, abs=1e-12)
    # central differences: step² times a third derivative that is moderate for |t| <= 0.7
    difference = (float(axis.x(right)) - float(axis.x(left))) / (2 * step)
    assert float(axis.slope(place)) == pytest.approx(difference, rel=1e-6)


def test_all_scales_are_resolved():
    axis = Axis(-math.inf, math.inf, 0.0, 1.0)
    x = 10.0 ** torch.arange(-12, 290, 7, dtype=torch.float64)
    assert torch.allclose(axis.x(axis.t(x)), x, rtol=1e-9, atol=0)
    half = Axis(0.0, math.inf, 1.0, 1.0)
    small = 10.0 ** torch.arange(-280, 280, 7, dtype=torch.float64)
    assert torch.allclose(half.x(half.t(small)), small, rtol=1e-9, atol=0)
