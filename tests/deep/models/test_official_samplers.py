"""The samplers and losses of the official systems with their own networks: fixtures that the
official code made.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchdiffeq

from deep.checkpoint import read
from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.pixels import floored_uint8, rounded_uint8
from stability.diffusion.dopri5 import dopri5, row_norm
from stability.diffusion.heun import Heun
from stability.diffusion.schedules import edm_noise_levels
from stability.diffusion.step_samplers import Ancestral
from tests.conftest import FIXTURES
from tests.support.official import ddpm_fixture, otcfm_fixture, outputs

TOLERANCE = {"rtol": 0, "atol": 1e-4}


@pytest.fixture(scope="module", autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def edm():
    return read(FIXTURES / "edm_tiny.pkl").build().eval(), outputs("edm_tiny_io.npz")


@pytest.fixture(scope="module")
def ddpm(tmp_path_factory):
    network = ddpm_fixture(tmp_path_factory.mktemp("ddpm")).build("ema").eval()
    return network, outputs("ddpm_tiny_io.npz")


@pytest.fixture(scope="module")
def otcfm(tmp_path_factory):
    network = otcfm_fixture(tmp_path_factory.mktemp("otcfm")).build("ema").eval()
    return network, outputs("otcfm_tiny_io.npz")


# EDM


@pytest.mark.parametrize("steps", [18, 40])
def test_official_edm_samples(steps, edm):
    network, expected = edm
    model = EDM(steps=steps)
    samples = model.sample(network, lambda: expected["latents"])
    assert samples.dtype == torch.float64
    torch.testing.assert_close(samples, expected[f"heun{steps}_final"], **TOLERANCE)
    pixels = model.to_uint8(samples).int() - expected[f"heun{steps}_images_uint8"].int()
    assert pixels.abs().max() <= 1


def test_official_edm_noise_levels(edm):
    for steps in (18, 40):
        levels = torch.from_numpy(edm_noise_levels(steps))
        asked = torch.cat([levels[:1], levels[1:].repeat_interleave(2)])
        torch.testing.assert_close(
            asked, edm[1][f"heun{steps}_sigmas_evaluated"], rtol=1e-12, atol=0
        )


def test_official_edm_states_on_the_way(edm):
    network, expected = edm
    asked = []

    def denoise(x, sigma):
        asked.append(x)
        return network(x.float(), torch.tensor([sigma], dtype=torch.float32)).double()

    Heun(edm_noise_levels(18)).sample(denoise, expected["latents"].double(), lambda step: None)
    states = torch.stack(asked[::2])  # every other call is at the end of a step of Euler
    torch.testing.assert_close(states, expected["heun18_states"], rtol=1e-6, atol=1e-4)


def test_official_edm_samples_with_churn(edm):
    network, expected = edm
    model = EDM(churn=40, churn_min=0.05, churn_max=50, churn_noise=1.003)
    levels = edm_noise_levels(18)
    drawn = [
        noise
        for noise, sigma in zip(expected["churn18_noise"], levels, strict=True)
        if 0.05 <= sigma <= 50
    ]
    noise = iter([expected["latents"], *drawn])
    torch.testing.assert_close(
        model.sample(network, lambda: next(noise)), expected["churn18_final"], **TOLERANCE
    )


def test_official_edm_loss(edm):
    network, expected = edm
    model, clean = EDM(), expected["loss_images"]
    sigma = (model.p_mean + model.p_std * expected["loss_rnd_normal"].flatten()).exp()
    losses = model.denoising_losses(network, clean, sigma, expected["loss_unit_noise"], None)
    torch.testing.assert_close(losses, expected["loss_map"], rtol=1e-4, atol=1e-4)
    assert float(losses.sum() / len(losses)) == pytest.approx(
        float(expected["loss_scalar"]), rel=1e-5
    )


# DDPM


def test_official_ddpm_schedule_and_diffusion(ddpm):
    expected, model = ddpm[1], DDPM()
    schedule = model.alphas_cumprod
    np.testing.assert_allclose(schedule, expected["alphas_bar"], rtol=1e-9)
    large, small = (Ancestral(noise).over(schedule).sd ** 2 for noise in ("large", "small"))
    np.testing.assert_allclose(large[1:], expected["betas"][1:], rtol=1e-9)
    np.testing.assert_allclose(small, expected["posterior_var"], rtol=1e-9, atol=1e-18)
    assert list(model.make_sampler().times) == expected["ddim_quadratic_100"].tolist()
    linear = DDPM(sampler="ddim-linear", ddim_steps=50).make_sampler()
    assert list(linear.times) == expected["ddim_linear_50"].tolist()
    diffused = model.diffused(expected["x0"], expected["t"], expected["noise"])
    torch.testing.assert_close(diffused, expected["q_sample"], rtol=0, atol=1e-6)


def test_official_ddpm_losses(ddpm):
    network, expected = ddpm
    images = rounded_uint8(expected["x0"])

    class Given(DDPM):
        # the official images are no whole numbers of grey values
        def diffused(self, clean, t, noise):
            return super().diffused(expected["x0"], t, noise)

    losses = Given().losses(network, images, expected["t"], expected["noise"])
    torch.testing.assert_close(losses, expected["losses"], rtol=1e-4, atol=1e-6)


def test_official_ddpm_steps(ddpm):
    network, expected = ddpm
    model = DDPM()
    samplers = {noise: Ancestral(noise).over(model.alphas_cumprod) for noise in ("large", "small")}
    for i, t in enumerate(expected["t"].tolist()):
        x = expected["x"][i : i + 1]
        clean = model.denoise(network, x, t).clip(-1, 1)
        # at the noisiest step the network's error is divided by √ᾱ = 0.006
        atol = 5e-4 if t == 999 else 1e-4
        torch.testing.assert_close(clean[0], expected["fixed_large_pred_x0"][i], rtol=0, atol=atol)
        mean = samplers["large"].to_x0[t] * clean + samplers["large"].to_x[t] * x
        torch.testing.assert_close(mean[0], expected["fixed_large_mean"][i], rtol=0, atol=1e-4)
        if t > 0:
            for noise, sampler in samplers.items():
                variance = sampler.sd[t] ** 2
                assert variance == pytest.approx(float(expected[f"fixed_{noise}_var"][i]), rel=1e-5)
                assert np.log(variance) == pytest.approx(
                    float(expected[f"fixed_{noise}_logvar"][i]), rel=1e-5
                )


def test_official_ddim_samples(ddpm):
    network, expected = ddpm
    quadratic, linear = DDPM(), DDPM(sampler="ddim-linear", ddim_steps=50)
    samples = quadratic.sample(network, lambda: expected["latents"])
    torch.testing.assert_close(samples, expected["ddim_quadratic_100_final"], **TOLERANCE)
    pixels = quadratic.to_uint8(samples).int() - expected["images_uint8"].int()
    assert pixels.abs().max() <= 1
    samples = linear.sample(network, lambda: expected["latents"])
    torch.testing.assert_close(samples, expected["ddim_linear_50_final"], **TOLERANCE)


def test_official_ddim_states_on_the_way(ddpm):
    """Most end points are clipped; these are not."""
    network, expected = ddpm

    class Watched(DDPM):
        def __init__(self):
            super().__init__()
            object.__setattr__(self, "states", [])

        def denoise(self, network, x, t):
            self.states.append(x)  # type: ignore[attr-defined]
            return super().denoise(network, x, t)

    model = Watched()
    model.sample(network, lambda: expected["latents"])
    for index, state in zip(
        expected["ddim_quadratic_100_states_after_index"].tolist(),
        expected["ddim_quadratic_100_states"],
        strict=True,
    ):
        after = model.states[100 - index]  # type: ignore[attr-defined]  # step `index` of 99 … 0 is the (100 − index)th
        torch.testing.assert_close(after, state, **TOLERANCE)


# OT-CFM


def test_official_euler_samples(otcfm):
    network, expected = otcfm
    model = OTCFM(integrator="euler", euler_steps=100)
    torch.testing.assert_close(
        model.sample(network, lambda: expected["latents"]), expected["euler_100_final"], **TOLERANCE
    )


def test_official_dopri5_samples_with_the_error_taken_over_the_batch_as_there(otcfm):
    network, expected = otcfm
    calls = 0

    def field(t, x):
        nonlocal calls
        calls += 1
        return network(t, x)

    def batch_norm(error):
        return row_norm(error.reshape(1, -1)).expand(len(error))

    samples = dopri5(field, expected["latents"], 1e-5, batch_norm)
    torch.testing.assert_close(samples, expected["dopri5_1e-5_final"], **TOLERANCE)
    assert calls == int(expected["dopri5_1e-5_nfe"])


def test_dopri5_with_steps_of_each_image_s_own(otcfm):
    """As torchdiffeq draws each image alone, and as near to the exact end points as the official
    tolerance is.
    """
    network, expected = otcfm
    samples = OTCFM().sample(network, lambda: expected["latents"])
    times = torch.tensor([0.0, 1.0])
    for sample, latent in zip(samples, expected["latents"], strict=True):
        alone = torchdiffeq.odeint(
            network, latent[None], times, rtol=1e-5, atol=1e-5, method="dopri5"
        )
        assert isinstance(alone, torch.Tensor)
        torch.testing.assert_close(sample, alone[-1, 0], **TOLERANCE)
    torch.testing.assert_close(samples.double(), expected["exact_final_float64"], rtol=0, atol=2e-3)


def test_fixture_pixels():
    """The official conversions, on the official numbers: no pixel differs."""
    for file, pairs, convert in (
        (
            "edm_tiny_io.npz",
            [("heun18_final", "heun18_images_uint8"), ("heun40_final", "heun40_images_uint8")],
            floored_uint8,
        ),
        ("ddpm_tiny_io.npz", [("ddim_quadratic_100_final", "images_uint8")], rounded_uint8),
    ):
        data = outputs(file)
        for numbers, pixels in pairs:
            assert torch.equal(convert(data[numbers]), data[pixels])


def test_another_schedule_misses_the_official_fixture(edm):
    """Control: the end points are not blind to the sampler."""
    network, expected = edm
    other = replace(EDM(), rho=6.0).sample(network, lambda: expected["latents"])
    assert (other - expected["heun18_final"]).abs().max() > 1e-3
