"""Folders as diffusers writes them, made here from networks of our own: diffusers itself is not
needed.
"""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from deep.checkpoint import (
    CheckpointError,
    CheckpointFile,
    export_diffusers,
    file_digest,
    main,
    read,
    write,
)
from deep.formats.checkpoint_record import Checkpoint
from deep.formats.diffusers_folder import network_from_config
from deep.networks.unet_ddpm import CIFAR10
from stability.runs.command_line import UsageError
from tests.support.diffusers_folders import ATTENTION, CONFIG, TINY, diffusers_state
from tests.support.official import randomised


# ddpm-torch's name -> that of diffusers, whose ascending blocks count from the lowest resolution
def folder(path, config, state):
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(state, path / "diffusion_pytorch_model.safetensors")
    return path


@pytest.mark.parametrize("inside", [".", "unet"])
@pytest.mark.parametrize("attention", ATTENTION, ids=["present", "earlier"])
def test_the_network_is_that_of_ddpm_torch_under_other_names(attention, inside, tmp_path, rng):
    network = randomised(TINY.build(torch.Generator()), rng)
    folder(tmp_path / "model" / inside, CONFIG, diffusers_state(network.state_dict(), attention))
    checkpoint = read(tmp_path / "model")
    assert checkpoint.network == TINY
    assert checkpoint.ema is None
    assert all(
        torch.equal(checkpoint.weights()[name], value)
        for name, value in network.state_dict().items()
    )


def test_the_configuration_of_the_published_model():
    config = {
        **CONFIG,
        "block_out_channels": [128, 256, 256, 256],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        "in_channels": 3,
        "out_channels": 3,
        "layers_per_block": 2,
        "sample_size": 32,
        "dropout": 0.1,
    }
    assert network_from_config(config) == CIFAR10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attention_head_dim": 24}, "head_channels must divide the widths [64] with attention"),
        ({"attention_head_dim": "8"}, 'attention_head_dim = "8", which is of another type'),
        ({"norm_num_groups": "8"}, 'norm_num_groups = "8", which is of another type'),
        ({"norm_num_groups": 7}, "model_channels must be a multiple of norm_groups 7, got 32"),
        ({"freq_shift": 2}, "freq_shift must be 0 or 1, got 2"),
        ({"downsample_padding": True}, "downsample_padding = true, which is of another type"),
        ({"norm_eps": 0.0}, "norm_eps must be > 0 and < 1, got 0.0"),
        ({"resnet_time_scale_shift": "scale_shift"}, "only 'default' is known"),
        ({"_class_name": "UNet2DConditionModel"}, "_class_name = 'UNet2DConditionModel'"),
        ({"num_class_embeds": 10}, "num_class_embeds = 10; only None is known"),
        ({"up_block_types": ["UpBlock2D", "AttnUpBlock2D"]}, "the same upwards are known"),
        (
            {"down_block_types": ["ResnetDownsampleBlock2D", "DownBlock2D"]},
            "the same upwards are known",
        ),
        ({"block_out_channels": [32, 48]}, "has the widths [32, 48]"),
        ({"out_channels": 2}, "1 channels in and 2 out"),
        ({"sample_size": 7}, "resolution must be a multiple of 2"),
        (
            {"block_out_channels": [64, 128]},
            "tensor time_embedding.linear_1.weight has shape (128, 32)",
        ),
    ],
)
def test_another_network_is_refused(change, words, tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    with pytest.raises(CheckpointError) as refusal:
        read(folder(tmp_path / "model", {**CONFIG, **change}, state))
    assert words in str(refusal.value)
    assert str(refusal.value).startswith(f"{tmp_path / 'model'}: ")


def test_what_is_not_said_has_the_default_of_the_library():
    """The defaults of `UNet2DModel` in diffusers 0.42.1."""
    left = ("flip_sin_to_cos", "freq_shift", "downsample_padding", "norm_eps", "norm_num_groups")
    left += ("attention_head_dim",)
    found = network_from_config({name: v for name, v in CONFIG.items() if name not in left})
    assert found == replace(
        TINY,
        cosines_first=True,
        freq_shift=0,
        downsample_padding=1,
        norm_eps=1e-5,
        norm_groups=32,
        head_channels=8,
    )


def test_the_size_of_images_must_be_said(tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    config = {name: value for name, value in CONFIG.items() if name != "sample_size"}
    with pytest.raises(CheckpointError, match="has no sample_size"):
        read(folder(tmp_path / "model", config, state))


def test_a_bad_tensor_is_named_as_it_is_called_there(tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    name = "mid_block.attentions.0.to_k.weight"
    without = {n: v for n, v in state.items() if n != name}
    for bad, words in (
        (without, f"lacks the tensor {name}"),
        ({**state, "surplus.weight": torch.zeros(1)}, "holds a tensor surplus.weight"),
        ({**state, name: torch.zeros(64, 63)}, f"tensor {name} has shape (64, 63)"),
        (
            {**without, "mid_block.attentions.0.key.weight": torch.zeros(63, 64)},
            "attentions.0.key.weight has shape",
        ),
    ):
        with pytest.raises(CheckpointError) as refusal:
            read(folder(tmp_path / "model", CONFIG, bad))
        assert words in str(refusal.value)


def test_a_folder_with_nothing_in_it_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder without config\.json"):
        read(tmp_path)


# What would be ignored is refused


def pipeline(path, **scheduler):
    """A folder of a pipeline: the network, and a scheduler that says this."""
    folder(path / "unet", CONFIG, diffusers_state(TINY.build(torch.Generator()).state_dict()))
    (path / "scheduler").mkdir()
    (path / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    return path


def test_ddpms_own_scheduler_is_accepted_and_kept(tmp_path):
    said = {
        "_class_name": "DDPMScheduler",
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "num_train_timesteps": 1000,
    }
    assert read(pipeline(tmp_path / "model", **said)).extra["scheduler"] == said
    beside = folder(
        tmp_path / "beside", CONFIG, diffusers_state(TINY.build(torch.Generator()).state_dict())
    )
    (beside / "scheduler_config.json").write_text(json.dumps({"prediction_type": "v_prediction"}))
    with pytest.raises(CheckpointError, match="prediction_type = v_prediction"):
        read(beside)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prediction_type", "v_prediction"),
        ("beta_schedule", "squaredcos_cap_v2"),
        ("trained_betas", [0.1, 0.2]),
        ("rescale_betas_zero_snr", True),
    ],
)
def test_another_kind_of_diffusion_is_refused_and_its_weights_alone_are_read(name, value, tmp_path):
    path = pipeline(tmp_path / "model", **{name: value})
    with pytest.raises(
        CheckpointError, match=f"has a scheduler with {name} = .* which is not read"
    ):
        read(path)
    assert read(path / "unet").network == TINY


def test_an_average_beside_the_weights_is_read_with_them(tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    more = {name: value + 1 for name, value in state.items()}
    folder(tmp_path / "model" / "unet", CONFIG, state)
    folder(tmp_path / "model" / "unet_ema", CONFIG, more)
    both = read(tmp_path / "model")
    one, two = both.weights("state"), both.weights("ema")
    assert all(torch.equal(one[name] + 1, value) for name, value in two.items())
    for name, expected in (("unet", one), ("unet_ema", two)):
        alone = read(tmp_path / "model" / name).weights()
        assert all(torch.equal(alone[tensor], value) for tensor, value in expected.items())
    other = {**CONFIG, "sample_size": 16, "attention_head_dim": None}
    folder(tmp_path / "model" / "unet_ema", other, more)
    with pytest.raises(CheckpointError, match="two networks of different configurations"):
        read(tmp_path / "model")


def written(path, kind, state):
    """The weights in one of the ways in which diffusers writes them."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    stem, names = "diffusion_pytorch_model", sorted(state)
    half = {name: value.half() for name, value in state.items()}
    if kind == "bin":
        torch.save(state, path / f"{stem}.bin")
    elif kind == "fp16":
        safetensors.torch.save_file(half, path / f"{stem}.fp16.safetensors")
    elif kind == "fp16.bin":
        torch.save(half, path / f"{stem}.fp16.bin")
    else:
        files = [f"{stem}-0000{i}-of-00002.{kind}" for i in (1, 2)]
        parts = {files[0]: names[::2], files[1]: names[1::2]}
        save = safetensors.torch.save_file if kind == "safetensors" else torch.save
        for file, part in parts.items():
            save({name: state[name] for name in part}, path / file)
        index = {name: file for file, part in parts.items() for name in part}
        (path / f"{stem}.{kind}.index.json").write_text(json.dumps({"weight_map": index}))
    return path


@pytest.mark.parametrize("kind", ["bin", "fp16", "fp16.bin", "safetensors", "bin in two"])
def test_weights_in_other_files_are_the_same_weights(kind, tmp_path, rng):
    network = randomised(TINY.build(torch.Generator()), rng)
    state = diffusers_state(network.state_dict())
    if kind == "bin in two":
        path = written(tmp_path / "model", "safetensors", state)
        for part in path.glob("*.safetensors"):
            torch.save(safetensors.torch.load_file(part), part.with_suffix(".bin"))
            part.unlink()
        index = path / "diffusion_pytorch_model.safetensors.index.json"
        text = index.read_text().replace(".safetensors", ".bin")
        index.with_name("diffusion_pytorch_model.bin.index.json").write_text(text)
        index.unlink()
    else:
        path = written(tmp_path / "model", kind, state)
    weights = read(path).weights()
    for name, value in network.state_dict().items():
        expected = value.half().float() if "fp16" in kind else value
        assert torch.equal(weights[name], expected)
    assert len(file_digest(path)) == 64


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({}, "has no weight_map"),
        ({"weight_map": {"a": "../x.safetensors"}}, "which is no .safetensors file beside it"),
        ({"weight_map": {"a": "/x.safetensors"}}, "which is no .safetensors file beside it"),
        ({"weight_map": {"a": "x.bin"}}, "which is no .safetensors file beside it"),
        ({"weight_map": {"a": 3}}, "which is no .safetensors file beside it"),
        ({"weight_map": {"a": "x.safetensors"}}, "is a folder without x.safetensors, which"),
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(index, words, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=re.escape(words)):
        read(tmp_path)


def test_a_tensor_in_two_files_is_refused(tmp_path):
    path = written(
        tmp_path / "model",
        "safetensors",
        diffusers_state(TINY.build(torch.Generator()).state_dict()),
    )
    one, two = sorted(path.glob("*.safetensors"))
    safetensors.torch.save_file(
        safetensors.torch.load_file(one) | safetensors.torch.load_file(two), two
    )
    with pytest.raises(CheckpointError, match=r"holds the tensor .* in two files"):
        read(path)


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(CheckpointError, match=r"without diffusion_pytorch_model\.safetensors"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("size", "given", "expected"), [([8, 8], None, 8), (None, 16, 16), (None, None, 32)]
)
def test_sizes_that_are_lists_or_null(size, given, expected, tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    path = folder(tmp_path / "model", {**CONFIG, "sample_size": size}, state)
    checkpoint = read(path, resolution=given)
    assert checkpoint.network.resolution == expected
    assert ("resolution" in checkpoint.assumed) == (size is None)


@pytest.mark.parametrize("size", [[8, 4], [8], "8", 8.0])
def test_a_size_that_is_no_square_is_refused(size, tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    with pytest.raises(CheckpointError) as refusal:
        read(folder(tmp_path / "model", {**CONFIG, "sample_size": size}, state))
    assert f"has sample_size = {json.dumps(size)}; only square images" in str(refusal.value)


# Folders for diffusers


def average_of(rng):
    """A checkpoint whose average differs from its weights."""
    state, ema = (dict(randomised(TINY.build(torch.Generator()), rng).state_dict()) for _ in "ab")
    return Checkpoint(TINY, state=state, ema=ema)


def test_what_is_written_for_diffusers_is_read_back_as_the_average(tmp_path, rng):
    checkpoint = average_of(rng)
    export_diffusers(tmp_path / "model", checkpoint)
    back = read(tmp_path / "model")
    assert back.network == TINY
    for name, value in checkpoint.weights("ema").items():
        assert torch.equal(back.weights()[name], value)
    theirs = safetensors.torch.load_file(
        tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    )
    expected = diffusers_state(checkpoint.weights("ema"))
    assert {name: value.shape for name, value in theirs.items()} == {
        name: value.shape for name, value in expected.items()
    }
    assert all(torch.equal(theirs[name], value) for name, value in expected.items())


def test_a_network_that_diffusers_cannot_hold_is_refused(tmp_path):
    network = replace(TINY, label_dim=10)
    checkpoint = Checkpoint(network, state=dict(network.build(torch.Generator()).state_dict()))
    with pytest.raises(CheckpointError, match="no DDPM network without classes"):
        export_diffusers(tmp_path / "model", checkpoint)
    assert not (tmp_path / "model").exists()


def test_the_command_writes_it_and_refuses_what_it_cannot(tmp_path, rng, capsys):
    write(tmp_path / "a.safetensors", average_of(rng))
    command = CheckpointFile(tmp_path / "a.safetensors", export_diffusers=tmp_path / "model")
    main(command)
    assert f"wrote {tmp_path / 'model'}" in capsys.readouterr().out
    assert read(tmp_path / "model").network == TINY
    with pytest.raises(UsageError, match=r"--export-diffusers: .* exists already"):
        main(command)
    network = replace(TINY, label_dim=10)
    state = dict(network.build(torch.Generator()).state_dict())
    write(tmp_path / "b.safetensors", Checkpoint(network, state=state))
    with pytest.raises(UsageError, match=r"--export-diffusers: .* is no DDPM network without"):
        main(CheckpointFile(tmp_path / "b.safetensors", export_diffusers=tmp_path / "other"))


THEIRS = {
    "as ddpm-torch": {},
    "their defaults": {
        "norm_groups": 8,
        "norm_eps": 1e-5,
        "head_channels": 8,
        "cosines_first": True,
        "freq_shift": 0,
        "downsample_padding": 1,
    },
}


@pytest.mark.parametrize("details", THEIRS.values(), ids=THEIRS)
def test_the_library_loads_it_and_computes_the_same(details, tmp_path, rng):
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    network = replace(TINY, **details)
    weights = dict(randomised(network.build(torch.Generator()), rng).state_dict())
    checkpoint = Checkpoint(network, ema=weights)
    export_diffusers(tmp_path / "model", checkpoint)
    with torch.random.fork_rng():  # the library draws weights before it loads them
        pipeline = diffusers.DDPMPipeline.from_pretrained(tmp_path / "model")
    x = torch.from_numpy(rng.standard_normal((2, 1, 8, 8), dtype=np.float32))
    t = torch.tensor([5, 800])
    with torch.inference_mode():
        theirs, ours = pipeline.unet(x, t).sample, checkpoint.build("ema").eval()(x, t)
    assert float((theirs - ours).abs().max() / ours.abs().max()) < 1e-4
    assert pipeline.scheduler.config.num_train_timesteps == 1000
    for options in ({"max_shard_size": "100KB"}, {"safe_serialization": False}):
        pipeline.unet.save_pretrained(tmp_path / "again", **options)
        again = read(tmp_path / "again")
        assert again.network == network
        assert all(torch.equal(again.weights()[n], v) for n, v in weights.items())
        shutil.rmtree(tmp_path / "again")


SCHEDULERS = {
    "DDPMScheduler": "DDPMPipeline",
    "DDIMScheduler": "DDIMPipeline",
    "DPMSolverMultistepScheduler": "DDPMPipeline",
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_scheduler_goes_with_the_weights(name, tmp_path, rng):
    said = {"_class_name": name, "num_train_timesteps": 50, "beta_end": 0.3}
    path = pipeline(tmp_path / "model", **said)
    found = read(path)
    write(tmp_path / "kept.safetensors", found)
    export_diffusers(tmp_path / "again", read(tmp_path / "kept.safetensors"))
    scheduler = json.loads((tmp_path / "again/scheduler/scheduler_config.json").read_text())
    assert scheduler == said
    index = json.loads((tmp_path / "again/model_index.json").read_text())
    assert index["_class_name"] == SCHEDULERS[name]
    assert index["scheduler"] == ["diffusers", name]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_library_draws_with_what_was_written(name, tmp_path):
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")
    said = {"_class_name": name, "num_train_timesteps": 50, "beta_end": 0.3}
    export_diffusers(tmp_path / "again", read(pipeline(tmp_path / "model", **said)))
    with torch.random.fork_rng():  # the library draws from the global generator
        loaded = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "again")
        loaded.set_progress_bar_config(disable=True)
        drawn = loaded(num_inference_steps=5, output_type="np").images
    assert type(loaded).__name__ == SCHEDULERS[name]
    assert type(loaded.scheduler).__name__ == name
    assert loaded.scheduler.config.beta_end == 0.3
    assert drawn.shape == (1, 8, 8, 1)
    assert np.isfinite(drawn).all()
