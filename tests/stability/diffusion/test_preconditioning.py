import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.diffusion.preconditioning import c_in, c_noise, c_out, c_skip, weight

levels = st.floats(1e-3, 1e3)


@given(sigma=levels, data=st.floats(0.01, 100))
def test_input_and_target_of_the_network_have_unit_variance(sigma, data):
    """The two conditions that Karras et al. derive the factors from, for x = y + σε, y ~ N(0,
    σ_data²).
    """
    assert c_in(sigma, data) ** 2 * (data**2 + sigma**2) == pytest.approx(1, rel=1e-12)
    target = (1 - c_skip(sigma, data)) ** 2 * data**2 + c_skip(sigma, data) ** 2 * sigma**2
    assert target == pytest.approx(c_out(sigma, data) ** 2, rel=1e-9)
    assert weight(sigma, data) * c_out(sigma, data) ** 2 == pytest.approx(1, rel=1e-12)


@given(
    sigma=levels,
    data=st.floats(0.01, 100),
    off=st.floats(-0.1, 0.1).filter(lambda x: abs(x) > 1e-3),
)
def test_c_skip_makes_the_target_as_small_as_can_be(sigma, data, off):
    def variance(skip):
        return (1 - skip) ** 2 * data**2 + skip**2 * sigma**2

    assert variance(c_skip(sigma, data)) < variance(c_skip(sigma, data) + off)


def test_the_noise_level_as_the_network_is_told_it():
    assert float(c_noise(torch.tensor(math.e**2))) == pytest.approx(0.5)


def test_tensors_stay_tensors_of_their_type():
    sigma = torch.tensor([0.5, 2.0])
    for factor in (c_in, c_out, c_skip, weight):
        assert factor(sigma, 0.5).dtype == torch.float32
