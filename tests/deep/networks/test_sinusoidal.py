import numpy as np
import pytest
import torch

from deep.networks.sinusoidal import sines_and_cosines


@pytest.mark.parametrize(("endpoint", "last"), [(True, 1e-4), (False, 1e-4 ** (3 / 4))])
def test_frequencies_fall_from_one_to_one_in_ten_thousand(endpoint, last):
    sines, cosines = sines_and_cosines(torch.tensor([0.0, 1.0, 900.0]), 8, endpoint)
    frequencies = np.geomspace(1, last, 4)
    angles = np.array([0.0, 1.0, 900.0])[:, None] * frequencies
    np.testing.assert_allclose(sines, np.sin(angles), atol=1e-4)  # angles of 900 in float32
    np.testing.assert_allclose(cosines, np.cos(angles), atol=1e-4)
    assert sines.dtype == torch.float32


def test_integers_are_positions_too():
    for a, b in zip(
        sines_and_cosines(torch.tensor([3, 999]), 16, True),
        sines_and_cosines(torch.tensor([3.0, 999.0]), 16, True),
        strict=True,
    ):
        assert torch.equal(a, b)
