"""Every level of every network sees the time; a group of one channel would hide it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import deep.retrain
import deep.train
from deep.checkpoint import Checkpoint, CheckpointError, export, read, write
from deep.networks import unet_cfm, unet_ddpm, unet_edm
from deep.networks.groups import blind_widths
from deep.networks.unet_cfm import CFMBlock, CFMUNet
from deep.networks.unet_ddpm import DDPMBlock
from deep.networks.unet_edm import EDMBlock
from deep.training.network_inputs import weights_for
from deep.training.presets import PRESETS
from deep.training.trainer import TrainConfig
from stability.runs.command_line import UsageError, command
from stability.runs.loop_options import recorded_options
from tests.support.official import randomised

SMALL = [name for name in PRESETS if "-" not in name]
ROUNDING = 5e-5
TIMES = {"edm": (0.01, 2.0), "ddpm": (5, 800), "otcfm": (0.0, 1.0)}


def changes(kind, config, rng):
    """Relative change of each residual block's output, for the same features and two times."""
    network: Any = randomised(config.build(torch.Generator()), rng).eval()
    shape = (2, config.channels, config.resolution, config.resolution)
    x = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    heard: dict[str, list[Any]] = {}
    blocks = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, EDMBlock | DDPMBlock | CFMBlock)
    }

    def listening(name: str) -> Any:
        def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            heard.setdefault(name, []).append([value.clone() for value in inputs])

        return keep

    hooks = [block.register_forward_pre_hook(listening(name)) for name, block in blocks.items()]
    with torch.inference_mode():
        for t in TIMES[kind]:
            at = torch.full((2,), t)
            network(*((at, x) if isinstance(network, CFMUNet) else (x, at)))
        for hook in hooks:
            hook.remove()

        found = {}
        for name, ((features, early), (_, late)) in heard.items():
            one, two = (blocks[name](features.clone(), told) for told in (early, late))
            found[name] = float((one - two).abs().max() / one.abs().max())
    return found


@pytest.mark.parametrize("kind", SMALL)
def test_every_block_of_every_small_preset_sees_the_time(kind, rng):
    config = PRESETS[kind].network
    found = changes(kind, config, rng)
    levels = len(config.channel_mult)
    assert len(found) >= levels * (2 * config.num_blocks + 1) + 2
    # above 0.001 in 45 trials. To be ten times less, the largest of 16 and more channels, each
    # normal, must be: with a probability below 0.1^16.
    assert min(found.values()) > ROUNDING, found


@pytest.mark.parametrize("name", PRESETS)
def test_every_normalisation_behind_the_time_has_two_channels_a_group(name):
    with torch.device("meta"):
        network = PRESETS[name].network.build()
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    assert norms
    assert all(norm.num_channels >= 2 * norm.num_groups for norm in norms)


def test_groups_of_one_channel_hide_the_time(rng):
    """The reason for `norm_groups` in docs/experiments/images.md: the control of the others."""
    ddpm = replace(unet_ddpm.DIGITS, norm_groups=32, dropout=0.0)
    assert max(changes("ddpm", ddpm, rng).values()) < ROUNDING
    cfm = replace(unet_cfm.DIGITS, norm_groups=32, dropout=0.0)
    assert max(changes("otcfm", cfm, rng).values()) < ROUNDING


def test_official_networks_keep_their_groups():
    """So that what was trained with them is the same network."""
    for config in (unet_ddpm.CIFAR10, unet_cfm.CIFAR10):
        assert config.norm_groups == 32
        assert blind_widths(config.norm_groups, config.widths) == []
    with torch.device("meta"):
        network = unet_edm.CIFAR10.build()
    assert {m.num_groups for m in network.modules() if isinstance(m, nn.GroupNorm)} == {32}


@pytest.mark.parametrize("kind", ["ddpm", "otcfm"])
def test_a_new_network_with_a_blind_level_is_refused_before_anything_is_written(
    kind, tmp_path, capsys
):
    for module in (deep.train, deep.retrain):
        groups = ("--norm-groups", "32", "--out", str(tmp_path / "run"), "--device", "cpu")
        commands = module._commands if module is deep.train else module.commands
        preset = module.StartChoice if module is deep.train else module.PresetChoice
        with pytest.raises(SystemExit) as leaving:
            command(commands, module.main, [kind, *groups], preset=preset)
        assert leaving.value.code == 2
        assert "--norm-groups 32 leaves one channel a group where a level has 32 channels" in (
            capsys.readouterr().err
        )
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["ddpm", "otcfm"])
def test_runs_and_files_of_other_groups_are_told_apart(kind, tmp_path):
    """A run's configuration names the groups; a file of the earlier preset is of 32."""
    new = PRESETS[kind].network
    old = replace(new, norm_groups=32)
    assert recorded_options(new)["norm_groups"] == 8
    weights = old.build(torch.Generator()).state_dict()
    write(tmp_path / "old.safetensors", Checkpoint(old, weights))
    assert read(tmp_path / "old.safetensors").network == old
    with pytest.raises(UsageError, match="is of a network with --norm-groups 32, not 8"):
        weights_for(new, tmp_path / "old.safetensors", TrainConfig(), "ema")
    assert weights_for(old, tmp_path / "old.safetensors", TrainConfig(), "ema").network == old


@pytest.mark.parametrize("kind", ["ddpm", "otcfm"])
def test_the_official_code_cannot_have_other_groups(kind, tmp_path):
    network = PRESETS[kind].network
    found = Checkpoint(network, network.build(torch.Generator()).state_dict())
    with pytest.raises(CheckpointError, match="norm_groups = 8; the official code has 32 always"):
        export(tmp_path / "official.pt", found)
    assert not (tmp_path / "official.pt").exists()


def test_the_levels_that_would_be_blind_are_named():
    assert blind_widths(32, [32, 64, 16, 32]) == [16, 32]
    assert blind_widths(8, [32, 64]) == []
