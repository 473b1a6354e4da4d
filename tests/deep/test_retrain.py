"""python -m deep.retrain, in this process and killed in others."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import deep.metrics.feature_choice
import deep.retraining.figures
from deep import checkpoint
from deep.data import load_images
from deep.formats.checkpoint_record import own_copy
from deep.metrics.label_encoder import EncoderTraining
from deep.models.edm import EDM
from deep.networks.unet_edm import EDMNetwork
from deep.retrain import PresetChoice, commands, main
from deep.retraining.presets import PAPER_LAMBDAS, PRESETS, Retrain, RetrainEDM
from deep.training.trainer import TrainConfig
from stability.loop.regimes import Accumulate, FullySynthetic, Mix, ReplaceFraction, Subsample
from stability.loop.retraining import RetrainingError
from stability.runs.atomic import PARTIAL_SUFFIX
from stability.runs.command_line import UsageError, command, parse
from stability.runs.run_directory import RunDirectoryError
from stability.runs.state_file import read_state
from stability.runs.study_file import read_study_file
from tests.conftest import FIXTURES
from tests.support.figures import leave_out_page
from tests.support.official import randomised, snapshot
from tests.support.states import equal

ROOT = Path(__file__).parents[2]
NETWORK = EDMNetwork(
    resolution=8,
    channels=1,
    model_channels=8,
    channel_mult=(1,),
    num_blocks=1,
    attn_resolutions=(),
    dropout=0.1,
    augment_dim=0,
)
MIX, ALONE = {"mix": {"lam": 1.0}}, {"fully-synthetic": {}}
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.deep.test_retrain"])


def config(folder, **changes):
    """A tiny run; `changes` go to whichever part has such a field."""
    parts = {
        "run": Retrain(
            real=60,
            retrainings=2,
            images_per_retraining=64,
            first_images=160,
            grid=4,
            metrics=("fd", "kd", "pr"),
            sample_batch=30,
            threads=1,
            device="cpu",
            checkpoint_seconds=0.0,
            out=folder / "run",
            cache=folder / "cache",
        ),
        "network": NETWORK,
        "model": EDM(augment=0.0, steps=3),
        "training": TrainConfig(batch=16),
    }
    for name, value in changes.items():
        part = next(part for part in parts if hasattr(parts[part], name))
        parts[part] = replace(parts[part], **{name: value})
    if parts["run"].init:  # generation 0 is a file: it is not trained
        parts["run"] = replace(parts["run"], first_images=Retrain.first_images)
    return RetrainEDM(**parts)


def short_encoder(seed):
    return EncoderTraining(seed=seed, steps=5, width=8)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without the slowest parts of a tiny run."""
    monkeypatch.setattr(deep.metrics.feature_choice, "EncoderTraining", short_encoder)
    monkeypatch.setattr("deep.retraining.figures.draw_figures", lambda run: [])
    leave_out_page(monkeypatch)


def history(folder):
    return [
        json.loads(line) for line in (folder / "run" / "history.jsonl").read_text().splitlines()
    ]


def references(folder):
    """Real images of each reference."""
    study = read_study_file(folder / "run")
    assert study is not None
    about = [quantity.about for quantity in study.quantities if quantity.about]
    return {one["reference"]: one["reference_images"] for one in about}


def grid(folder, t):
    with np.load(folder / "run" / "samples" / f"grid-{t:04d}.npz") as file:
        return file["images"]


def samples(folder, t):
    with np.load(folder / "run" / "samples" / f"generation-{t:04d}.npz") as file:
        return [file[name] for name in file.files]


def at_end_of(folder, t):
    return read_state(folder / "run" / "checkpoints" / f"generation-{t:04d}.pt")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tiny run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deep.metrics.feature_choice, "EncoderTraining", short_encoder)
        main(config(folder))
    return folder


# What a run leaves


def test_the_history_says_what_each_generation_saw(whole):
    lines = history(whole)
    assert [line["t"] for line in lines] == [0, 1, 2]
    for line in lines:
        mixed, alone = line["chains"]
        assert (mixed["regime"], alone["regime"]) == (MIX, ALONE)
        counts = [(c["n"], c["m"]) for c in line["chains"]]
        assert counts == ([(60, 60), (0, 60)] if line["t"] else [(60, 0)] * 2)
        seen = [chain["measured"]["images_seen"] for chain in line["chains"]]
        assert seen == [160 + 64 * line["t"]] * 2
    assert lines[0]["chains"][0]["measured"] == lines[0]["chains"][1]["measured"]
    assert lines[2]["chains"][0]["measured"] != lines[2]["chains"][1]["measured"]


def test_each_metric_stands_beside_its_floor_for_both_references(whole):
    study = read_study_file(whole / "run")
    assert study is not None
    series = [one for one in study.quantities if "reference" in one.about]
    assert {(q.about["reference"], q.about["reference_images"]) for q in series} == {
        ("train", 60),
        ("held-out", 1737),
    }
    assert {q.about["features"] for q in series} == {"digits-encoder"}
    assert {q.key.split(" ")[0] for q in series} == {
        f"{name}_60"
        for name in (
            "fd-digits-encoder",
            "kd-digits-encoder",
            "precision",
            "recall",
            "density",
            "coverage",
        )
    }
    assert set(study.floors) == {q.key for q in series}
    assert set(study.floors) <= set(history(whole)[1]["chains"][0]["measured"])


def test_the_data_of_a_retraining_are_the_real_images_and_what_the_model_drew(whole):
    digits = load_images("digits").images
    first, second = (at_end_of(whole, t) for t in (1, 2))
    mixed, alone = (data["points"] for data in second["training"])
    drawn = first["samples"]
    np.testing.assert_array_equal(mixed[60:], drawn[0])
    np.testing.assert_array_equal(alone, drawn[1])
    np.testing.assert_array_equal(mixed[:60], first["training"][0]["points"][:60])
    rows = {row.tobytes() for row in digits}
    assert all(row.tobytes() in rows for row in mixed[:60])
    assert not np.array_equal(mixed[:60], digits[:60])  # a random choice: they are sorted by writer


def test_parameter_distances_are_those_of_the_averages(whole):
    origin = at_end_of(whole, 2)["observers"]["0"]["origin"][0]
    random = history(whole)[0]["chains"][0]["measured"]["random_parameter_distance"]
    for t, line in enumerate(history(whole)):
        for r, chain in enumerate(line["chains"]):
            measured = chain["measured"]
            assert measured["parameters"] == sum(value.numel() for value in origin.values())
            if t:
                average = at_end_of(whole, t)["learner"]["states"][r]["ema"]
                squares = sum(
                    float(((average[name] - value).double() ** 2).sum())
                    for name, value in origin.items()
                )
                assert measured["parameter_distance"] == pytest.approx(squares**0.5, rel=1e-5)
            else:
                assert measured["parameter_distance"] == 0
            assert measured["random_parameter_distance"] == random
    assert random > 3 * history(whole)[2]["chains"][0]["measured"]["parameter_distance"]


def test_grids_show_the_same_latents(whole):
    """Those of generation 0, in every generation and chain."""
    grids = [grid(whole, t) for t in range(3)]
    assert all(images.shape == (2, 4, 1, 8, 8) for images in grids)
    np.testing.assert_array_equal(grids[0][0], grids[0][1])
    # another batch rounds differently
    assert np.abs(grids[0][0].astype(int) - samples(whole, 0)[0][:4]).max() <= 1
    far = np.abs(samples(whole, 1)[0][:4].astype(int) - samples(whole, 0)[0][:4]).mean()
    assert np.abs(grids[1][0].astype(int) - grids[0][0]).mean() < far / 2


def test_a_finished_run_is_not_repeated(whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "copy")
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "copy" / "run" / "samples").iterdir()
    }
    main(config(tmp_path / "copy"))
    said = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert all(
        word in said
        for word in ("floor", "precision", "λ = 1", "fully synthetic", "history.jsonl", "60", "∞")
    )


def test_figures_and_animation(whole, monkeypatch, tmp_path):
    monkeypatch.undo()
    from deep.retraining.figures import draw_figures

    shutil.copytree(whole / "run", tmp_path / "run")
    paths = draw_figures(tmp_path / "run")
    assert all(path.stat().st_size > 1000 for path in paths)
    names = {path.name for path in paths}
    assert names >= {"metrics.png", "metrics.pdf", "parameters.png", "samples.png", "samples.gif"}
    with Image.open(tmp_path / "run" / "figures" / "samples.gif") as gif:
        assert gif.n_frames == 3  # type: ignore[attr-defined]


# Options


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"lam": (0.5,)},
        {"regime": "accumulate", "lam": (1.0,), "fully_synthetic": True},
        {"regime": "replace", "lam": (1.0,), "fully_synthetic": True},
        {"regime": "fresh", "lam": (1.0,), "fully_synthetic": True},
        {"metrics": ("w2",)},
        {"held_out": "digits"},
    ],
)
def test_regimes_and_references_change_the_history(change, whole, tmp_path):
    """All other options: tests/deep/test_retrain_options.py."""
    main(config(tmp_path, **{"retrainings": 1, "cache": whole / "cache", **change}))
    assert history(tmp_path) != history(whole)[:2]


def test_shared_latents_are_the_same_each_time(tmp_path):
    main(
        config(
            tmp_path, latents="shared", lam=(0.0,), images_per_retraining=1, grid=30, retrainings=1
        )
    )
    np.testing.assert_array_equal(samples(tmp_path, 1)[0][:30], grid(tmp_path, 1)[0])


def test_new_real_images_are_new_in_every_round(tmp_path):
    main(config(tmp_path, regime="fresh", lam=(0.5, 1.0)))
    first, second = (at_end_of(tmp_path, t)["training"] for t in (1, 2))
    start = second[0]["points"][:60], first[0]["points"][:60]
    seen = {row.tobytes() for points in start for row in points}
    digits = {row.tobytes() for row in load_images("digits").images}
    assert len(seen) == 120
    assert seen <= digits
    for one, two in (first, second):
        # common random numbers
        np.testing.assert_array_equal(one["points"][:60], two["points"][:60])
    (held_out,) = set(references(tmp_path).values()) - {60}
    assert held_out == 1797 - 60 - 120


def test_too_few_new_images_are_found_out_at_the_start(tmp_path):
    message = (
        "regime fresh needs 1340 new real images in all, and digits has 1127 beside the "
        "670 of --real"
    )
    with pytest.raises(UsageError, match=message):
        main(config(tmp_path, regime="fresh", real=670))
    assert not (tmp_path / "run").exists()


def test_generation_0_is_shared_by_runs_with_other_regimes(whole, tmp_path):
    shutil.copytree(whole / "cache", tmp_path / "cache")
    kept = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "generation-0").iterdir()
    }
    main(config(tmp_path, lam=(0.25,)))
    assert {
        path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "generation-0").glob("*.pt")
    } == {path: time for path, time in kept.items() if path.suffix == ".pt"}
    np.testing.assert_array_equal(samples(tmp_path, 0)[0], samples(whole, 0)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lam": (-1.0,)}, "lam must be finite and >= 0, got -1"),
        ({"lam": (1.0, 1.0)}, "lam must not repeat a value, got 1 1"),
        ({"lam": (1.0,), "regime": "synthetic"}, "lam has no meaning for regime synthetic"),
        ({"retrainings": -1}, "retrainings must be >= 0, got -1"),
        ({"images_per_retraining": 0}, "images_per_retraining must be >= 1, got 0"),
        ({"grid": 0}, "grid must be >= 1, got 0"),
        (
            {"checkpoint_seconds": float("nan")},
            "checkpoint_seconds must be finite and >= 0, got nan",
        ),
        (
            {"init": Path("a.pkl"), "from_scratch": True},
            "from_scratch has no meaning with init a.pkl",
        ),
        ({"metrics": ()}, "metrics must name at least one of fd, kd, pr, w2"),
        ({"resize": "tensorflow"}, "resize tensorflow has no meaning without inception"),
        ({"augment": 0.5}, "augment 0.5 needs augment_dim 9"),
    ],
)
def test_bad_options(change, message, tmp_path):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        config(tmp_path, **change)


def test_rows(tmp_path):
    def regimes(**changes):
        return config(tmp_path, **changes).run.regimes()

    assert regimes() == [Mix(1.0), FullySynthetic()]
    assert regimes(fully_synthetic=True) == [FullySynthetic()]
    assert regimes(lam=(0.0, 0.5)) == [Mix(0.0), Mix(0.5)]
    assert regimes(lam=(0.5,), fully_synthetic=True) == [Mix(0.5), FullySynthetic()]
    assert regimes(regime="synthetic") == [FullySynthetic()]
    assert regimes(regime="accumulate") == [Accumulate(1.0)]
    assert regimes(regime="replace", lam=(2.0,)) == [ReplaceFraction(2.0)]
    assert regimes(regime="subsample", lam=(1.0,)) == [Subsample(Accumulate(1.0))]


# Presets


def test_without_options_it_is_the_digits_with_a_small_network_beside_one_another():
    preset = parse(commands, ["edm"], PresetChoice)
    assert preset == PRESETS["edm", "digits"]
    assert preset.run.retrainings == 5
    assert preset.run.regimes() == [Mix(1.0), FullySynthetic()]
    with torch.device("meta"):
        assert sum(p.numel() for p in preset.network.build().parameters()) <= 200_000


@pytest.mark.parametrize(
    ("arguments", "retrainings", "images", "batch", "steps"),
    [
        (["edm", "--preset", "cifar10"], 20, 1_000_000, 256, 18),
        (["edm", "--preset=ffhq64"], 20, 1_400_000, 128, 40),
        (["ddpm", "--preset", "cifar10"], 5, 1_000_000, 128, None),
        (["otcfm", "--data", "somewhere/cifar-10-python.tar.gz"], 20, 1_000_000, 128, None),
    ],
)
def test_settings_of_the_paper(arguments, retrainings, images, batch, steps):
    """Sections 5, G.3 and G.4; Figure 5's legend."""
    preset = parse(commands, arguments, PresetChoice)
    assert (preset.run.retrainings, preset.run.images_per_retraining) == (retrainings, images)
    assert preset.training.batch == batch
    assert steps is None or preset.model.steps == steps
    assert preset.run.regimes() == [*map(Mix, PAPER_LAMBDAS), FullySynthetic()]
    assert PAPER_LAMBDAS == (0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    assert preset.run.carry == ("ema" if arguments[0] == "edm" else "optimizer")


def test_a_preset_that_a_model_does_not_have_is_refused(capsys):
    with pytest.raises(SystemExit) as leaving:
        run_command("ddpm", "--preset", "ffhq64")
    assert leaving.value.code == 2
    assert capsys.readouterr().err == "error: --preset ffhq64 is for edm, not for ddpm\n"


# Data and weights in the official formats


def run_command(*arguments):
    command(commands, main, arguments, PresetChoice)


@pytest.mark.parametrize(
    ("data", "side", "n"), [("cifar10_tiny.tar.gz", 32, 20), ("edm_dataset_labelled.zip", 16, 12)]
)
def test_official_files_from_end_to_end(data, side, n, tmp_path, rng, monkeypatch):
    """An archive as CIFAR-10's or a zip as EDM's, weights from a snapshot as EDM's, two
    retrainings.
    """
    network = replace(NETWORK, resolution=side, channels=3, augment_dim=9, channel_mult=(1, 1))
    weights = randomised(network.build(torch.Generator().manual_seed(0)), rng)
    (tmp_path / "network-snapshot-000001.pkl").write_bytes(snapshot(network, weights, monkeypatch))
    options = [
        "--data",
        str(FIXTURES / data),
        "--init",
        str(tmp_path / "network-snapshot-000001.pkl"),
    ]
    options += [
        "--resolution",
        str(side),
        "--channels",
        "3",
        "--model-channels",
        "8",
        "--channel-mult",
        "1",
        "1",
    ]
    options += [
        "--num-blocks",
        "1",
        "--attn-resolutions",
        "--augment-dim",
        "9",
        "--steps",
        "3",
        "--batch",
        "16",
    ]
    options += [
        "--lambda",
        "0.5",
        "--fully-synthetic",
        "--retrainings",
        "2",
        "--images-per-retraining",
        "32",
    ]
    options += [
        "--threads",
        "1",
        "--out",
        str(tmp_path / "run"),
        "--cache",
        str(tmp_path / "cache"),
    ]
    run_command("edm", *options)
    lines = history(tmp_path)
    assert [[(c["n"], c["m"]) for c in line["chains"]] for line in lines] == [
        [(n, 0), (n, 0)],
        [(n, n // 2), (0, n)],
        [(n, n // 2), (0, n)],
    ]
    seen = [line["chains"][0]["measured"]["images_seen"] for line in lines]
    assert seen == [0, 32, 64]
    assert references(tmp_path) == (
        {"train": 20, "held-out": 4} if side == 32 else {"train": 12, "rest of train": 6}
    )
    origin = at_end_of(tmp_path, 2)["observers"]["0"]["origin"][0]
    for name, value in weights.named_parameters():
        assert torch.equal(origin[name], value.detach()), name
    assert samples(tmp_path, 2)[1].shape == (n, 3, side, side)


def test_it_goes_on_from_a_file_of_this_project(whole, tmp_path):
    state = at_end_of(whole, 2)["learner"]["states"][0]
    file = tmp_path / "network.safetensors"
    checkpoint.write(
        file,
        checkpoint.Checkpoint(
            NETWORK,
            own_copy(state["network"]),
            own_copy(state["ema"]),
            state["adam"],
            state["updates"],
            state["images_seen"],
        ),
    )
    main(config(tmp_path, init=file, retrainings=1))
    origin = at_end_of(tmp_path, 1)["observers"]["0"]["origin"][0]
    assert all(torch.equal(origin[name], state["ema"][name]) for name in origin)
    assert at_end_of(tmp_path, 1)["learner"]["states"][0]["updates"] == state["updates"] + 4


# Faults


def child(folder, file_bytes=0, **changes):
    """A run in a process of its own, as the command does it;

    Args:
        file_bytes: None larger than this can be written.
    """
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    deep.metrics.feature_choice.EncoderTraining = short_encoder  # type: ignore[assignment]
    deep.retraining.figures.draw_figures = lambda run: []  # type: ignore[attr-defined]
    sys.stdout = (folder / "out").open("w")
    sys.stderr = (folder / "err").open("w")
    if file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    command(commands, lambda _: main(config(folder, **changes)), ["edm"], PresetChoice)


def run_child(folder, kill_after=None, **options):
    """Its exit status; minus 9 if it was still at work after so many seconds."""
    process = FORKS.Process(target=child, args=(folder,), kwargs=options)
    process.start()
    process.join(timeout=kill_after or 300)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


def same_as(whole, folder):
    """Tell whether histories and samples are the same bytes, weights and all else of the last
    generation the same bits, and nothing is left of what was under way.
    """
    for name in (
        "history.jsonl",
        *(path.relative_to(whole / "run") for path in (whole / "run" / "samples").iterdir()),
    ):
        assert (folder / "run" / name).read_bytes() == (whole / "run" / name).read_bytes(), name
    assert equal(at_end_of(folder, 2), at_end_of(whole, 2))
    assert not list((folder / "run" / "checkpoints" / "unfinished").iterdir())
    return not list(folder.rglob(f"*{PARTIAL_SUFFIX}"))


def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, tmp_path, rng):
    """SIGKILL, in training, sampling, measuring or recording: wherever it is by then."""
    ends = [run_child(tmp_path, kill_after=rng.uniform(0.3, 1.5)) for _ in range(3)]
    assert -signal.SIGKILL in ends
    assert set(ends) <= {-signal.SIGKILL, 0}
    assert run_child(tmp_path) == 0
    assert same_as(whole, tmp_path)


def test_a_full_disk_is_one_line_and_the_run_goes_on_where_it_was(whole, tmp_path):
    """Full when generation 0 is kept, when a generation is recorded, and when it is not."""
    for file_bytes in (30_000, 250_000):
        assert run_child(tmp_path, file_bytes=file_bytes) == 2
        said = (tmp_path / "err").read_text()
        assert said.startswith("error: File too large: ")
        assert said.count("\n") == 1
        assert not list(tmp_path.rglob(f"*{PARTIAL_SUFFIX}"))
    assert run_child(tmp_path) == 0
    assert same_as(whole, tmp_path)


def test_lost_data_and_weights_are_one_line(whole, tmp_path, capsys):
    for option, name in (("--data", "lost.npz"), ("--init", "lost.pkl")):
        with pytest.raises(SystemExit) as leaving:
            run_command(
                "edm",
                option,
                str(tmp_path / name),
                "--out",
                str(tmp_path / "run"),
                "--threads",
                "1",
            )
        assert leaving.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert name in said
        assert said.count("\n") == 1


def test_damaged_weights_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(UsageError, match=r"--init: .*text.pt"):
        main(config(tmp_path, init=tmp_path / "text.pt"))


def test_a_damaged_checkpoint_is_passed_over(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    file = tmp_path / "copy" / "run" / "checkpoints" / "generation-0002.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    with (
        pytest.warns(
            UserWarning, match=r"history.jsonl is cut to 2 lines, .* is in history-kept-1.jsonl"
        ),
        pytest.warns(UserWarning, match=r"generation-0002.pt is damaged"),
    ):
        main(config(tmp_path / "copy"))
    assert same_as(whole, tmp_path / "copy")


def test_other_options_and_other_data_are_refused(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    with pytest.raises(RunDirectoryError, match="holds a run with k = 3, not 4"):
        main(config(tmp_path / "copy", k=4))
    digits = load_images("digits")
    assert digits.labels is not None
    np.savez(tmp_path / "data.npz", images=digits.images, labels=digits.labels)
    options = {"data": str(tmp_path / "data.npz"), "retrainings": 0}
    main(config(tmp_path, **options))
    np.savez(tmp_path / "data.npz", images=digits.images[1:], labels=digits.labels[1:])
    with pytest.raises(RunDirectoryError, match="holds a run with other content of data"):
        main(config(tmp_path, **options))


def test_too_few_images_to_measure(tmp_path):
    with pytest.raises(UsageError, match="samples must have at least 4 images, got 3"):
        main(config(tmp_path, samples=3))


def test_a_loss_that_blows_up_stops_with_generation_and_step(tmp_path):
    with pytest.raises(RetrainingError, match=r"generation 0: chain 0: step \d+: "):
        main(config(tmp_path, learning_rate=1e38))


@pytest.mark.slow
def test_two_processes_agree_with_one(whole, tmp_path):
    """torchrun, gloo; only the first one writes and speaks.

    Sums are rounded differently, and Adam turns a rounding error into a step where the true
    gradient is 0.
    """
    options = (
        "--real 60 --retrainings 1 --images-per-retraining 64 --first-images 160 --grid 4 "
        "--sample-batch 30 "
    )
    options += (
        "--threads 1 --device cpu --steps 3 --model-channels 8 --channel-mult 1 "
        "--attn-resolutions --batch 16 "
    )
    options += "--metrics fd --out {0}/run --cache {0}/cache"
    two, one = (options.format(folder).split() for folder in (tmp_path, tmp_path / "one"))
    launcher = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "deep.retrain",
        "edm",
    ]
    done = subprocess.run(
        [sys.executable, *launcher, *two],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("What generation 1 was trained on") == 1
    run_command("edm", *one)
    for t in (0, 1):
        both = [
            np.stack(samples(folder, t)).astype(float) for folder in (tmp_path, tmp_path / "one")
        ]
        assert np.abs(both[0] - both[1]).mean() < 1, t
