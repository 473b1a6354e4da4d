"""The command as a user runs it, and its parts."""

import json
import shutil
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deep import checkpoint
from deep.data import load_images
from deep.models.edm import EDM
from deep.train import _commands, main
from deep.training.figures import image_grid, loss_curve
from deep.training.presets import PRESETS, Run, TrainEDM
from deep.training.trainer import TrainConfig
from stability.loop.retraining import RetrainingError
from stability.runs.atomic import PARTIAL_SUFFIX
from stability.runs.command_line import UsageError, parse
from stability.runs.run_directory import RunDirectoryError
from tests.support.console_command import module_command
from tests.support.warm_process import start

SMALL = [
    "--images",
    "1600",
    "--batch",
    "16",
    "--samples",
    "12",
    "--threads",
    "1",
    "--checkpoint-seconds",
    "0",
]
SMALL += ["--model-channels", "8", "--channel-mult", "1", "--attn-resolutions", "--steps", "8"]
# so that two processes draw the same dropout as one
SMALL += ["--dropout", "0.1", "--microbatch", "8"]


def run(*arguments, launcher=("-m", "deep.train")):
    """Exit status, output and errors of the command."""
    command = start(*launcher, *arguments, environment={"OMP_NUM_THREADS": "1"})
    out, err = command.communicate()
    return command.returncode, out, err


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    code, out, err = run("edm", *SMALL, "--out", folder)
    assert (code, err) == (0, "")
    assert "1,600 in 100 steps" in out
    assert all(Path(line).exists() for line in out.splitlines() if line.startswith("/"))
    return folder


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(whole, tmp_path):
    """It is killed before it writes its second and last state: 50 steps are lost."""
    folder = tmp_path / "killed"
    function = "stability.runs.state_file.write_state"
    launcher = ("-m", "tests.support.killed", function, "2", "deep.train")
    assert run("edm", *SMALL, "--out", folder, launcher=launcher)[0] == -signal.SIGKILL
    state = folder / "checkpoints" / "training.pt"
    steps = len(torch.load(state, weights_only=True)["losses"])
    assert steps == 50
    assert not (folder / "network.safetensors").exists()

    code, _, err = run("edm", *SMALL, "--out", folder)
    assert (code, err) == (0, "")
    for name in ("network.safetensors", "history.jsonl", "figures/samples.png"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert not list(folder.rglob(f"*{PARTIAL_SUFFIX}"))


def test_two_processes_equal_one(whole, tmp_path):
    """torchrun, gloo.

    Sums are rounded differently, and Adam turns a rounding error into a step where the true
    gradient is 0: that of a key's bias is, for all queries alike it drops out of the softmax.
    """
    folder = tmp_path / "two"
    launcher = (
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "deep.train",
    )
    code, out, err = run("edm", *SMALL, "--out", folder, launcher=launcher)
    assert code == 0, err
    assert out.count("1,600 in 100 steps") == 1  # only the first process speaks
    two, one = (checkpoint.read(path / "network.safetensors") for path in (folder, whole))
    losses = [[line["loss"] for line in history(path)] for path in (folder, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    for which in ("state", "ema"):
        for name, value in one.weights(which).items():
            if not name.endswith("qkv.bias"):
                torch.testing.assert_close(
                    two.weights(which)[name], value, rtol=1e-2, atol=2e-3, msg=name
                )
    samples = [
        load_images(path / "samples" / "samples.npz").images.astype(int) for path in (folder, whole)
    ]
    assert np.abs(samples[0] - samples[1]).max() <= 2


# In this process


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["edm", "--batch", "0"], ["--batch", ">= 1", "0"]),
        (["ddpm", "--data", "/no/such.zip"], ["--data", "/no/such.zip", "no such file"]),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, words, monkeypatch, capsys):
    done = module_command(monkeypatch, capsys, "deep.train", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert all(word in done.stderr for word in words), done.stderr


def config(out, **changes):
    """A training of two steps; `changes` go to whichever part has such a field."""
    preset = PRESETS["edm"]
    assert isinstance(preset, TrainEDM)
    parts = {
        "run": Run(images=32, samples=3, out=out, device="cpu", threads=1),
        "network": replace(
            preset.network, model_channels=8, channel_mult=(1,), attn_resolutions=()
        ),
        "model": EDM(augment=0.0, steps=3),
        "training": TrainConfig(batch=16),
    }
    for name, value in changes.items():
        part = next(part for part in parts if hasattr(parts[part], name))
        parts[part] = replace(parts[part], **{name: value})
    return TrainEDM(**parts)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    main(config(folder))
    return folder / "network.safetensors"


@pytest.fixture
def no_curve(monkeypatch):
    """The slowest part of a tiny run."""
    monkeypatch.setattr("deep.train.save_figure", lambda figure, path: [])


def state(path):
    found = checkpoint.read(path)
    return torch.cat([value.flatten() for value in found.weights("state").values()])


def test_what_a_run_leaves(trained):
    folder = trained.parent
    found = checkpoint.read(trained)
    assert (found.step, found.images) == (2, 32)
    assert load_images(folder / "samples" / "samples.npz").images.shape == (3, 1, 8, 8)
    assert [line["images_seen"] for line in history(folder)] == [32]
    recorded = json.loads((folder / "config.json").read_text())
    assert recorded["config"]["churn_max"] == "Infinity"
    assert recorded["environment"]["threads"] == 1
    with Image.open(folder / "figures" / "samples.png") as image:
        assert min(image.size) >= 700


def test_a_finished_run_is_not_repeated(trained, capsys, no_curve):
    before, file = trained.read_bytes(), trained.parent / "checkpoints" / "training.pt"
    written = file.stat().st_mtime_ns
    main(config(trained.parent))
    assert "done before" in capsys.readouterr().out
    assert file.stat().st_mtime_ns == written
    assert trained.read_bytes() == before


@pytest.mark.parametrize("carry", ["optimizer", "ema"])
def test_going_on_from_a_file(carry, trained, tmp_path, no_curve):
    """With the optimiser it is one longer training, but for the draws; with the average it
    starts anew from that.
    """
    said = (
        pytest.warns(UserWarning, match="learning_rate 1e-09")
        if carry == "optimizer"
        else nullcontext()
    )
    with said:
        main(config(tmp_path / "a", init=trained, carry=carry, learning_rate=1e-9))
    start, end = checkpoint.read(trained), checkpoint.read(tmp_path / "a" / "network.safetensors")
    expected = torch.cat(
        [v.flatten() for v in start.weights("state" if carry == "optimizer" else "ema").values()]
    )
    torch.testing.assert_close(
        state(tmp_path / "a" / "network.safetensors"), expected, rtol=0, atol=1e-7
    )
    assert end.step == (4 if carry == "optimizer" else 2)
    assert end.images == (64 if carry == "optimizer" else 32)
    assert end.optimizer is not None
    assert end.optimizer["state"][0]["step"] == (4 if carry == "optimizer" else 2)


def test_the_optimizer_is_carried_when_nothing_is_said(trained, tmp_path, no_curve):
    for name, carry in (("said", "optimizer"), ("unsaid", None), ("other", "ema")):
        main(config(tmp_path / name, init=trained, carry=carry))
    said, unsaid, other = (
        state(tmp_path / name / "network.safetensors") for name in ("said", "unsaid", "other")
    )
    assert torch.equal(said, unsaid)
    assert not torch.equal(said, other)


def test_moments_of_another_memory_layout_are_carried_exactly(trained, tmp_path, no_curve):
    """A file keeps tensors in the plain layout; the fused Adam takes memory as it lies, and
    would mix them up.
    """
    for name in (True, False):
        main(config(tmp_path / str(name), init=trained, channels_last=name))
    one, two = (state(tmp_path / str(name) / "network.safetensors") for name in (True, False))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_another_network_is_refused(trained, tmp_path, no_curve):
    with pytest.raises(
        UsageError, match=r"--init: .* is of a network with --model-channels 8, not 16"
    ):
        main(config(tmp_path / "a", init=trained, model_channels=16))
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(UsageError, match=r"--init: .*text.pt"):
        main(config(tmp_path / "b", init=tmp_path / "text.pt"))
    main(config(tmp_path / "c", init=trained, dropout=0.1))  # is free to change


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"p_mean": 0.5},
        {"p_std": 0.3},
        {"learning_rate": 0.1},
        {"ramp_images": 320},
        {"ramp_from_zero": False, "ramp_images": 320},
        {"batch": 8},
        {"clip": 0.01},
        {"precision": "bf16"},
        {"dropout": 0.5},
        {"num_blocks": 2},
        {"images": 16},
    ],
)
def test_each_option_changes_the_network(change, trained, tmp_path, no_curve):
    main(config(tmp_path / "run", **change))
    changed = state(tmp_path / "run" / "network.safetensors")
    same = state(trained)
    assert len(changed) != len(same) or not torch.equal(changed, same)


def test_images_that_do_not_fit_the_network_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 3, 16, 16), np.uint8))
    with pytest.raises(
        UsageError, match="3 channels and 16 pixels a side; the network is for --channels 1"
    ):
        main(config(tmp_path / "run", data=str(tmp_path / "x.npy")))


def test_a_loss_that_blows_up_stops_with_its_step(tmp_path):
    with pytest.raises(RetrainingError, match="step 0: a weight is not finite after it"):
        main(config(tmp_path / "run", learning_rate=1e38, images=16))


def test_a_damaged_checkpoint_stops_and_stays(tmp_path, no_curve):
    main(config(tmp_path / "run"))
    file = tmp_path / "run" / "checkpoints" / "training.pt"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1000] = bytes(byte ^ 255 for byte in content[middle : middle + 1000])
    file.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"training.pt is damaged"):
        main(config(tmp_path / "run"))
    assert file.read_bytes() == content


def test_other_data_and_other_weights_are_refused_on_resume(trained, tmp_path, no_curve):
    """As many images of the same size, and weights of the same network."""
    digits = load_images("digits").images[:40]
    data, init = tmp_path / "data.npz", tmp_path / "init.safetensors"
    np.savez(data, images=digits)
    shutil.copy(trained, init)
    options: dict[str, Any] = {"data": str(data), "init": init}
    main(config(tmp_path / "run", **options))
    before = (tmp_path / "run" / "history.jsonl").read_bytes()

    np.savez(data, images=255 - digits)
    with pytest.raises(
        RunDirectoryError, match=r"holds a run with other content of data \(digest \w+, now \w+\)"
    ):
        main(config(tmp_path / "run", **options))
    np.savez(data, images=digits)
    shutil.copy(tmp_path / "run" / "network.safetensors", init)
    with pytest.raises(RunDirectoryError, match="holds a run with other content of init"):
        main(config(tmp_path / "run", **options))
    shutil.copy(trained, init)
    main(config(tmp_path / "run", **options))
    assert (tmp_path / "run" / "history.jsonl").read_bytes() == before


def test_a_checkpoint_of_another_run_is_refused(trained, tmp_path, no_curve):
    main(config(tmp_path / "run", seed=1))
    shutil.copy(
        trained.parent / "checkpoints" / "training.pt",
        tmp_path / "run" / "checkpoints" / "training.pt",
    )
    with pytest.raises(
        RunDirectoryError, match=r"training.pt is of another run; restore it or use overwrite=True"
    ):
        main(config(tmp_path / "run", seed=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 0}, "images must be >= 1, got 0"),
        ({"sample_batch": 0}, "sample_batch must be >= 1"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds must be finite and >= 0"),
        ({"carry": "ema"}, "carry ema needs init"),
        ({"augment": 0.5}, "augment 0.5 needs augment_dim 9"),
    ],
)
def test_bad_settings(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        config(tmp_path, **change)


# Presets


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("edm-cifar10", 55_733_891),
        ("edm-ffhq64", 61_805_571),
        ("ddpm-cifar10", 35_746_307),
        ("otcfm-cifar10", 35_746_307),
    ],
)
def test_official_networks(name, parameters):
    with torch.device("meta"):
        network = PRESETS[name].network.build()
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_official_trainings():
    """Rates and averages at the places where the official codes are easy to evaluate by hand."""
    edm, ddpm, otcfm = (PRESETS[f"{name}-cifar10"].training for name in ("edm", "ddpm", "otcfm"))
    assert (edm.rate(0), edm.rate(5_000_000), edm.rate(20_000_000)) == pytest.approx(
        (0, 5e-4, 1e-3)
    )
    assert (ddpm.rate(0), ddpm.rate(4_999 * 128)) == pytest.approx((2e-4 / 5000, 2e-4))
    assert (otcfm.rate(0), otcfm.rate(4_999 * 128)) == pytest.approx((0, 2e-4 * 4999 / 5000))
    assert edm.ema.decay(512, 1_000_000, 0, ramp=True) == pytest.approx(0.5 ** (512 / 50_000))
    assert (ddpm.ema.decay(128, 0, 0, True), ddpm.ema.decay(128, 0, 10**6, True)) == (0.1, 0.9999)
    assert otcfm.ema.decay(128, 0, 0, True) == 0.9999
    assert (edm.clip, ddpm.clip, otcfm.clip) == (0, 1, 1)


def test_every_preset_is_a_command_and_those_without_a_data_set_s_name_are_small():
    for name, preset in PRESETS.items():
        assert parse(_commands(), [name]) == preset
        if "-" not in name:
            with torch.device("meta"):
                assert sum(p.numel() for p in preset.network.build().parameters()) < 1_000_000


# Figures


def test_image_grid():
    images = np.stack([np.full((3, 2, 2), value, np.uint8) for value in (10, 20, 30)])
    grid = np.asarray(image_grid(images, columns=2))
    size = len(grid)
    assert grid.shape == (size, size, 3)
    assert size >= 700
    one, two = size // 4, 3 * size // 4
    assert (grid[one, one, 0], grid[one, two, 0], grid[two, one, 0]) == (10, 20, 30)
    assert grid[two, two, 0] == 128  # nothing there
    assert image_grid(images[:, :1]).mode == "L"


def test_loss_curve():
    losses = np.linspace(2, 1, 200)
    axes = loss_curve(losses, batch=8).axes[0]
    seen, medians = np.asarray(axes.lines[0].get_xydata()).T
    np.testing.assert_array_equal(seen, np.arange(4, 201, 4) * 8)
    np.testing.assert_allclose(medians, losses.reshape(50, 4).mean(axis=1))
