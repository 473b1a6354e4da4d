import numpy as np
import pytest
import torch

from stability.diffusion.clipping import clipped, require_linear


@pytest.mark.parametrize("array", [np.array, torch.tensor], ids=["NumPy", "torch"])
def test_coordinates_beyond_the_bound_are_moved_to_it(array):
    x = array([[-3.0, -1.0], [0.5, 2.0]])
    assert clipped(x, 1.0).tolist() == [[-1, -1], [0.5, 1]]
    assert clipped(x, None) is x


def test_a_clipped_sampler_has_no_variance_in_closed_form():
    require_linear(None)
    with pytest.raises(ValueError, match=r"clips x̂₀ \(x0_clip = 2\)"):
        require_linear(2.0)
