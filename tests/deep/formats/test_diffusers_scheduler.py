"""Schedulers of diffusers, as our samplers: against what the library drew (the fixture holds its
configurations and its samples, of version 0.42.1), and against the library where it is installed.
"""

import json

import numpy as np
import pytest
import torch

from deep.formats.checkpoint_error import CheckpointError
from deep.formats.diffusers_scheduler import model_of_scheduler
from deep.models.ddpm import DDPM
from tests.conftest import FIXTURES

FIXTURE = FIXTURES / "diffusers_schedulers.npz"
SHORT = {"num_train_timesteps": 20, "beta_start": 0.001, "beta_end": 0.4}
CASES = {
    "ddpm": ("DDPMScheduler", SHORT, 20),
    "ddpm-large": (
        "DDPMScheduler",
        {**SHORT, "variance_type": "fixed_large", "clip_sample": False},
        20,
    ),
    "ddpm-range": ("DDPMScheduler", {**SHORT, "clip_sample_range": 0.3}, 20),
    "ddim": ("DDIMScheduler", SHORT, 7),
    "ddim-unclipped": ("DDIMScheduler", {**SHORT, "clip_sample": False}, 7),
    "ddim-long": ("DDIMScheduler", {}, 50),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}, 50),
    "dpm": ("DPMSolverMultistepScheduler", {}, 20),
    "dpm-few": ("DPMSolverMultistepScheduler", {}, 6),
}
"""Name -> class, settings that are not the defaults, steps."""


def predicted(x, t):
    """A noise that a network may predict: it bends, and estimates leave the range of pixels."""
    return 0.9 * x + 0.5 * torch.sin(3 * x + 0.01 * t)


def drawn(name, file):
    """Samples of our sampler for the scheduler's configuration, from the library's noise."""
    kind, _, steps = CASES[name]
    said = json.loads(str(file[f"{name}/config"]))
    assert said["_class_name"] == kind
    model = model_of_scheduler(said)
    if model.sampler == "ddim-linear":
        model = DDPM(**{**vars(model), "ddim_steps": steps})
    elif model.sampler == "dpm++2m":
        model = DDPM(**{**vars(model), "solver_steps": steps})
    noises = iter(torch.from_numpy(file["noises"]).double())
    schedule = model.alphas_cumprod

    def denoise(x, t):
        return (x - np.sqrt(1 - schedule[t]) * predicted(x, t)) / np.sqrt(schedule[t])

    x = torch.from_numpy(file["x"]).double()
    return model.make_sampler().sample(denoise, x, lambda step: next(noises))


@pytest.mark.parametrize("name", CASES)
def test_the_sampler_is_the_one_of_the_library(name):
    with np.load(FIXTURE) as file:
        ours, theirs = drawn(name, file), torch.from_numpy(file[name]).double()
    # the library computes its coefficients in float32: 3e-6 at most
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4


def test_the_comparison_tells_samplers_apart():
    """Each case differs from the next one by far more than the tolerance."""
    with np.load(FIXTURE) as file:
        for one, two in (("ddpm", "ddpm-large"), ("ddpm", "ddpm-range"), ("ddim", "ddpm")):
            assert np.abs(file[one] - file[two]).max() > 0.02 * np.abs(file[one]).max()
        said = json.loads(str(file["ddim/config"]))
        assert not model_of_scheduler(said).clipped_noise
        kept, clipped = (file[name] for name in ("ddim", "ddim-unclipped"))
        assert np.abs(kept - clipped).max() > 0.02 * np.abs(kept).max()


NOISELESS = [name for name, (kind, *_) in CASES.items() if kind != "DDPMScheduler"]


@pytest.mark.parametrize("name", NOISELESS)  # the library's DDPM draws its noise itself
def test_the_library_draws_what_the_fixture_holds(name):
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    kind, settings, steps = CASES[name]
    scheduler = getattr(diffusers, kind)(**settings)
    scheduler.set_timesteps(steps)
    with np.load(FIXTURE) as file:
        x = torch.from_numpy(file["x"]).double() * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            noise = predicted(scheduler.scale_model_input(x, t).double(), int(t))
            x = scheduler.step(noise, t, x).prev_sample.double()
        np.testing.assert_allclose(x.numpy(), file[name], rtol=1e-3, atol=1e-3)


def test_what_a_scheduler_says_is_what_is_set():
    model = model_of_scheduler({"_class_name": "DDPMScheduler", **SHORT}, DDPM(flip=False))
    assert model == DDPM(
        timesteps=20, beta_first=0.001, beta_last=0.4, flip=False, sampler="fixed-small"
    )
    assert model_of_scheduler({"clip_sample_range": 2}).x0_clip == 2.0
    assert model_of_scheduler({"_class_name": "DDIMScheduler"}).ddim_steps == 50
    assert model_of_scheduler({"_class_name": "DDIMScheduler", **SHORT}).ddim_steps == 20


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"_class_name": "PNDMScheduler"}, "has the scheduler PNDMScheduler; known are DDPM"),
        ({"_class_name": 3}, "has the scheduler 3"),
        ({"variance_type": "learned_range"}, "variance_type = learned_range"),
        ({"thresholding": True}, "thresholding = True"),
        ({"thresholding": 0}, "thresholding = 0"),
        ({"_class_name": "DDIMScheduler", "timestep_spacing": "trailing"}, "= trailing"),
        ({"_class_name": "DDIMScheduler", "set_alpha_to_one": False}, "set_alpha_to_one = False"),
        ({"_class_name": "EulerDiscreteScheduler"}, "timestep_spacing = linspace"),
        (
            {"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True},
            "use_karras_sigmas = True",
        ),
        ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3}, "solver_order = 3"),
        ({"num_train_timesteps": 10**9}, "num_train_timesteps = 1000000000"),
        ({"num_train_timesteps": "many"}, "num_train_timesteps = many"),
        ({"beta_start": 0.5}, "a scheduler that cannot be used: 0 < beta_first"),
        ({"beta_end": "much"}, "beta_end = much; it must be a number"),
        ({"beta_end": float("nan")}, "beta_end = nan"),
        ({"clip_sample_range": -1}, "x0_clip must be finite and > 0"),
    ],
)
def test_another_algorithm_is_refused_in_a_line(said, words):
    with pytest.raises(CheckpointError) as refusal:
        model_of_scheduler(said)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
