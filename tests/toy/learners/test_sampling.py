import numpy as np
import pytest
import torch

from stability.diffusion.heun import Heun
from stability.diffusion.multistep import DPMSolver2M, UniPC
from stability.diffusion.schedules import edm_noise_levels, linear_alphas_cumprod
from stability.diffusion.step_samplers import DDIM, Ancestral
from toy.learners import sampling
from toy.learners.sampling import draw, first_rows

SAMPLERS = {
    "large": Ancestral("large").over(linear_alphas_cumprod(6)),
    "small": Ancestral("small").over(linear_alphas_cumprod(6)),
    "ddim": DDIM().over(linear_alphas_cumprod(6)),
    "heun": Heun(edm_noise_levels(6)),
    "churn": Heun(edm_noise_levels(6), churn=5.0),
    "2M": DPMSolver2M().over(linear_alphas_cumprod(6)),
    "unipc": UniPC().along(edm_noise_levels(6)),
}


def rngs(count):
    return [np.random.default_rng([7, r]) for r in range(count)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_point_depends_on_its_own_stream_and_place_only(name, monkeypatch):
    whole = draw(SAMPLERS[name], lambda x, level: 0.3 * x, 11, rngs(3)).numpy()
    assert whole.shape == (3, 11, 2)
    assert whole.dtype == np.float32
    monkeypatch.setattr(sampling, "POINTS_AT_ONCE", {"cpu": 4})
    alone = draw(SAMPLERS[name], lambda x, level: 0.3 * x, 6, rngs(2)[1:]).numpy()
    np.testing.assert_allclose(alone[0], whole[1, :6], rtol=1e-6)


def test_each_chain_gets_as_many_rows_as_it_asks_for():
    x = torch.arange(3 * 4 * 2).reshape(3, 4, 2)
    rows = first_rows(x, [4, 1, 2])
    for own, all_rows, count in zip(rows, x.numpy(), [4, 1, 2], strict=True):
        np.testing.assert_array_equal(own, all_rows[:count])


def test_all_samplers_of_a_stream_start_at_the_same_points():
    starts = {}
    for name, sampler in SAMPLERS.items():

        def denoise(x, level, name=name):
            starts.setdefault(name, x.numpy().copy())
            return 0 * x

        draw(sampler, denoise, 3, rngs(1))
    for name in ("small", "ddim", "2M"):
        np.testing.assert_array_equal(starts[name], starts["large"])
    for name in ("heun", "unipc"):
        np.testing.assert_allclose(starts[name] / 80, starts["large"], rtol=1e-6)
