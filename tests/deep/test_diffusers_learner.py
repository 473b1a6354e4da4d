"""A folder of diffusers as the model that is trained and retrained: from end to end."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from deep import retrain, train
from deep.checkpoint import export_diffusers, read
from deep.data import load_images
from deep.metrics.label_encoder import EncoderTraining
from deep.training.network_inputs import of_folder
from deep.training.presets import PRESETS, TrainDDPM
from stability.runs.command_line import command
from tests.support.diffusers_folders import CONFIG, TINY, diffusers_state
from tests.support.figures import leave_out_page
from tests.support.official import randomised

SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 40,
    "beta_start": 0.001,
    "beta_end": 0.2,
    "clip_sample_range": 1.0,
}


@pytest.fixture
def pipeline(tmp_path, rng):
    """A pipeline with a tiny network, as diffusers writes it."""
    folder = tmp_path / "pipeline"
    network = randomised(TINY.build(torch.Generator()), rng)
    for part in ("unet", "scheduler"):
        (folder / part).mkdir(parents=True)
    (folder / "unet/config.json").write_text(json.dumps(CONFIG))
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULER))
    safetensors.torch.save_file(
        diffusers_state(network.state_dict()),
        folder / "unet/diffusion_pytorch_model.safetensors",
    )
    return folder


def run(module, *arguments):
    commands, choice = (
        (retrain.commands, retrain.PresetChoice)
        if module is retrain
        else (train._commands, train.StartChoice)
    )
    command(commands, module.main, list(map(str, arguments)), preset=choice)


def test_the_folder_gives_network_diffusion_and_sampler(pipeline):
    base = PRESETS["ddpm"]
    assert isinstance(base, TrainDDPM)
    network, model = of_folder(pipeline, base.network, base.model)
    assert network == TINY
    assert (model.timesteps, model.beta_last, model.sampler) == (40, 0.2, "ddim-linear")
    assert (model.ddim_steps, model.clipped_noise, model.flip) == (40, False, base.model.flip)


def test_train_and_save_a_pipeline(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "save_figure", lambda *arguments: [])
    out = ("--out", tmp_path / "run", "--threads", 1, "--device", "cpu")
    run(train, "ddpm", "--init", pipeline, "--images", 64, "--batch", 32, "--samples", 4,
        "--ddim-steps", 3, *out)  # fmt: skip
    recorded = json.loads((tmp_path / "run/config.json").read_text())["config"]
    assert (recorded["timesteps"], recorded["sampler"], recorded["ddim_steps"]) == (
        40,
        "ddim-linear",
        3,
    )
    trained = read(tmp_path / "run/network.safetensors")
    assert trained.extra["scheduler"] == SCHEDULER
    assert trained.images == 64

    export_diffusers(tmp_path / "saved", trained)
    saved = read(tmp_path / "saved")
    assert saved.network == TINY
    assert saved.extra["scheduler"] == SCHEDULER
    before = read(pipeline).weights()
    assert any(not torch.equal(saved.weights()[name], before[name]) for name in before)


def test_retrain(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "deep.metrics.feature_choice.EncoderTraining",
        lambda seed: EncoderTraining(seed=seed, steps=5, width=8),
    )
    monkeypatch.setattr("deep.retraining.figures.draw_figures", lambda run: [])
    leave_out_page(monkeypatch)
    run(retrain, "ddpm", "--init", pipeline, "--lambda", 0.5, "--retrainings", 1, "--real", 40,
        "--images-per-retraining", 40, "--batch", 20, "--ddim-steps", 3, "--grid", 2,
        "--metrics", "fd", "--sample-batch", 20, "--threads", 1, "--device", "cpu",
        "--out", tmp_path / "run", "--cache", tmp_path / "cache")  # fmt: skip
    lines = (tmp_path / "run/history.jsonl").read_text().splitlines()
    assert len(lines) >= 2
    with np.load(tmp_path / "run/samples/generation-0001.npz") as file:
        assert file[file.files[0]].shape[1:] == load_images("digits").images.shape[1:]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--timesteps", 1000), "its scheduler has --timesteps 40, not 1000"),
        (("--beta-last", 0.02), "its scheduler has --beta-last 0.2, not 0.02"),
        (("--model-channels", 64), "is of a network with --model-channels 32, not 64"),
    ],
)
def test_options_that_contradict_the_folder_are_refused(
    arguments, words, pipeline, tmp_path, capsys
):
    with pytest.raises(SystemExit) as leaving:
        run(train, "ddpm", "--init", pipeline, *arguments, "--out", tmp_path / "run")
    assert leaving.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_scheduler_that_is_not_known_is_one_line(pipeline, tmp_path, capsys):
    said = {**SCHEDULER, "_class_name": "PNDMScheduler"}
    (pipeline / "scheduler/scheduler_config.json").write_text(json.dumps(said))
    with pytest.raises(SystemExit) as leaving:
        run(retrain, "ddpm", "--init", pipeline, "--out", tmp_path / "run")
    assert leaving.value.code == 2
    said = capsys.readouterr().err
    assert "has the scheduler PNDMScheduler; known are DDPMScheduler" in said
    assert len(said.splitlines()) == 1
