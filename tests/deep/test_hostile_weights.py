"""Files of weights that somebody else made, or spoiled: a result or one line, and nothing is run
(`tests.support.hostile`).
"""

import contextlib
import io
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import deep.metrics.inception
from deep.checkpoint import CheckpointFile, main, write
from deep.formats.checkpoint_record import Checkpoint
from deep.metrics.inception import InceptionError, Unit, load_inception
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork
from stability.runs.command_line import UsageError
from tests.support.diffusers_folders import CONFIG, TINY, diffusers_state
from tests.support.hostile import Outcome, Reader, examine, fuzz
from tests.support.hostile_weights import HOSTILE
from tests.support.official import snapshot, torch_bytes

EDM = EDMNetwork(
    resolution=8, channels=1, model_channels=4, channel_mult=(1,), num_blocks=1, attn_resolutions=()
)


def _state(network: EDMNetwork | DDPMNetwork = EDM):
    return network.build(torch.Generator().manual_seed(1)).state_dict()


def _trained():
    """A checkpoint with Adam's state."""
    network = EDM.build(torch.Generator().manual_seed(1))
    adam = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam.step()
    return Checkpoint(
        EDM,
        network.state_dict(),
        _state(),
        adam.state_dict(),
        step=1,
        images=8,
        extra={"note": "a note"},
    )


def _torch_files(folder: Path) -> list[Path]:
    found = _trained()
    ddpm_torch = {
        "model": found.state,
        "optimizer": found.optimizer,
        "ema": {"decay": 0.99, "num_updates": 1, "shadow": found.ema},
        "scheduler": {"base_lrs": [2e-4], "last_epoch": 1, "_last_lr": [2e-4]},
        "epoch": 1,
    }
    torchcfm = {
        "net_model": found.state,
        "ema_model": {f"module._orig_mod.{name}": value for name, value in _state().items()},
        "optim": found.optimizer,
        "sched": {"base_lrs": [2e-4], "last_epoch": 1, "_last_lr": [2e-4], "lr_lambdas": [None]},
        "step": 0,
    }
    for name, content in (("ddpm", ddpm_torch), ("cfm", torchcfm), ("bare", _state())):
        (folder / f"{name}.pt").write_bytes(torch_bytes(content))
    torch.save(ddpm_torch, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    return sorted(folder.glob("*.pt"))


def _snapshots(folder: Path) -> list[Path]:
    network = EDM.build(torch.Generator().manual_seed(1))
    with pytest.MonkeyPatch.context() as patch:
        (folder / "network.pkl").write_bytes(snapshot(EDM, network, patch))
    return [folder / "network.pkl"]


def _safetensors(folder: Path) -> list[Path]:
    write(folder / "own.safetensors", _trained())
    safetensors.torch.save_file(_state(), folder / "bare.safetensors")
    return sorted(folder.glob("*.safetensors"))


def _diffusers(folder: Path) -> list[Path]:
    unet = folder / "model" / "unet"
    unet.mkdir(parents=True)
    (folder / "model" / "scheduler").mkdir()
    (unet / "config.json").write_text(json.dumps(CONFIG))
    safetensors.torch.save_file(
        diffusers_state(_state(TINY)), unet / "diffusion_pytorch_model.safetensors"
    )
    scheduler = {
        "_class_name": "DDPMScheduler",
        "beta_schedule": "linear",
        "num_train_timesteps": 1000,
    }
    (folder / "model" / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    return [folder / "model"]


def _command(path: Path) -> None:
    """python -m deep.checkpoint PATH; what it prints can be shown by a terminal as it is."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(CheckpointFile(path, resolution=8))
    shown = out.getvalue()
    assert all(c.isprintable() or c == "\n" for c in shown), shown
    assert len(shown) < 50_000


class _SmallInception(nn.Module):
    def __init__(self, resize: str = "half-pixel") -> None:
        super().__init__()
        self.first = Unit(3, 8, 3, 2, 0)
        self.fc = nn.Linear(8, 4)


def _inception_files(folder: Path) -> list[Path]:
    (folder / "weights.pth").write_bytes(torch_bytes(_SmallInception().state_dict()))
    return [folder / "weights.pth"]


def _inception(path: Path) -> None:
    """`load_inception`, of a network with fewer layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deep.metrics.inception, "Inception", _SmallInception)
        load_inception(path)


READERS = [
    Reader("torch", _command, _torch_files, (UsageError,)),
    Reader("snapshot", _command, _snapshots, (UsageError,)),
    Reader("safetensors", _command, _safetensors, (UsageError,)),
    Reader("diffusers", _command, _diffusers, (UsageError,)),
    Reader("inception", _inception, _inception_files, (InceptionError,)),
]


def test_mutated_files_are_read_or_refused_in_one_line(tmp_path, rng):
    counts = fuzz(__name__, tmp_path, 40, rng)
    assert counts["refusal"] > 40
    assert counts["result"] + counts["refusal"] == 40 * len(READERS)


@pytest.mark.slow
def test_thousands_of_mutated_files_are_read_or_refused_in_one_line(tmp_path, rng):
    counts = fuzz(__name__, tmp_path, 1000, rng)
    assert counts["refusal"] > 1000


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("hostile")
    files = {}
    for i, (name, hostile) in enumerate(HOSTILE.items()):
        hostile.make(folder / f"{i}.file")
        files[name] = ("torch", folder / f"{i}.file")
    return examine(__name__, folder / "child", files)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(name, outcomes):
    assert outcomes[name].fault == ""
    assert HOSTILE[name].words in (outcomes[name].message or "a result"), outcomes[name]
