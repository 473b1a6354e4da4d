"""Folders as diffusers writes them, made here from networks of our own: diffusers itself is not
needed.
"""

import json

import pytest
import safetensors.torch
import torch

from deep.checkpoint import CheckpointError, read
from deep.formats.diffusers_folder import network_from_config
from deep.networks.unet_ddpm import CIFAR10
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
        ({"attention_head_dim": 8}, "attention_head_dim = 8; only None is known"),
        ({"freq_shift": 0}, "freq_shift = 0; only 1 is known"),
        ({"norm_eps": 1e-5}, "norm_eps = 1e-05; only 1e-06 is known"),
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


@pytest.mark.parametrize("missing", ["flip_sin_to_cos", "downsample_padding", "sample_size"])
def test_what_must_be_said_must_be_said(missing, tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    config = {name: value for name, value in CONFIG.items() if name != missing}
    with pytest.raises(CheckpointError, match=missing):
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
        ("num_train_timesteps", 100),
        ("beta_start", 0.001),
        ("beta_end", 0.01),
        ("trained_betas", [0.1, 0.2]),
        ("rescale_betas_zero_snr", True),
    ],
)
def test_another_diffusion_is_refused_and_its_weights_alone_are_read(name, value, tmp_path):
    path = pipeline(tmp_path / "model", **{name: value})
    with pytest.raises(
        CheckpointError, match=f"has a scheduler with {name} = .* which is not read"
    ):
        read(path)
    assert read(path / "unet").network == TINY


def test_an_average_beside_the_weights_is_refused_and_each_is_read_alone(tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    folder(tmp_path / "model" / "unet", CONFIG, state)
    folder(
        tmp_path / "model" / "unet_ema", CONFIG, {name: value + 1 for name, value in state.items()}
    )
    with pytest.raises(
        CheckpointError, match=r"\(unet\) and their average \(unet_ema\): name the sub-folder"
    ):
        read(tmp_path / "model")
    one, two = (read(tmp_path / "model" / name).weights() for name in ("unet", "unet_ema"))
    assert all(torch.equal(one[name] + 1, value) for name, value in two.items())


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["diffusion_pytorch_model.bin"], "as a pickle .* use_safetensors=False"),
        (["diffusion_pytorch_model.fp16.safetensors"], "in half precision alone .* variant='fp16'"),
        (["diffusion_pytorch_model.fp16.bin"], "in half precision alone"),
        (
            [
                "diffusion_pytorch_model.safetensors.index.json",
                "diffusion_pytorch_model-00001-of-00002.safetensors",
            ],
            r"in several files \(diffusion_pytorch_model.safetensors.index.json\).* max_shard_size",
        ),
        ([], r"without diffusion_pytorch_model\.safetensors"),
    ],
)
def test_other_files_of_weights_are_named_with_the_way_to_convert_them(files, words, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=words) as refusal:
        read(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("size", [[8, 8], None, "8"])
def test_a_size_that_is_no_number_is_refused_with_what_to_write(size, tmp_path):
    state = diffusers_state(TINY.build(torch.Generator()).state_dict())
    with pytest.raises(CheckpointError) as refusal:
        read(folder(tmp_path / "model", {**CONFIG, "sample_size": size}, state))
    assert f"has sample_size = {json.dumps(size)}; write the one side" in str(refusal.value)
