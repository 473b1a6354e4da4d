import json
import tarfile
import warnings

import numpy as np
import pytest
import torch

import deep.measure
import deep.metrics.feature_choice
from deep.data import load_images
from deep.measure import Measure, main
from deep.metrics.label_encoder import EncoderTraining
from stability.runs.command_line import command
from tests.conftest import FIXTURES


class Means(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean(dim=3).flatten(1)


@pytest.fixture
def files(tmp_path, rng, monkeypatch):
    """Half of the digits as a training set, the other half, and noisy copies of the first; a
    short training.
    """
    monkeypatch.setattr(
        deep.metrics.feature_choice,
        "EncoderTraining",
        lambda seed: EncoderTraining(seed=seed, steps=5, width=8),
    )
    digits = load_images("digits")
    assert digits.labels is not None
    order = rng.permutation(1797)
    own, other = order[:200], order[200:350]
    np.savez(tmp_path / "train.npz", images=digits.images[own], labels=digits.labels[own])
    np.savez(tmp_path / "held.npz", images=digits.images[other])
    noisy = (digits.images[own[:150]] // 2 + rng.integers(0, 128, (150, 1, 8, 8))).astype(np.uint8)
    np.savez(tmp_path / "noisy.npz", images=noisy)
    return tmp_path


def run(files, *options, samples="noisy.npz"):
    arguments = [
        str(files / samples),
        "--cache",
        str(files / "cache"),
        "--threads",
        "1",
        *map(str, options),
    ]
    command(Measure, main, arguments)


def test_the_table_and_the_file(files, capsys):
    out = files / "out.json"
    run(files, "--reference", files / "train.npz", "--held-out", files / "held.npz", "--out", out)
    shown = capsys.readouterr().out
    content = json.loads(out.read_text())
    assert "FD-train-encoder, k = 3" in shown
    assert "FID" not in shown
    assert str(out) in shown
    assert content["features"] == "train-encoder"
    assert not content["published_inception"]
    assert content["config"]["k"] == 3
    names = [
        "fd-train-encoder",
        "kd-train-encoder",
        "precision",
        "recall",
        "density",
        "coverage",
        "w2",
    ]
    assert [one["metric"] for one in content["measurements"]] == [
        f"{name}_150" for name in names
    ] * 2
    for one in content["measurements"]:
        assert one["metric"] in shown
        assert f"{one['value']:.4g}" in shown
        assert f"{one['floor']:.4g}" in shown
    fd = content["measurements"][0]
    assert fd["value"] > 2 * fd["floor"]


def test_options_reach_what_they_are_for(files, capsys):
    def measured(*options):
        out = files / "out.json"
        run(
            files,
            "--reference",
            files / "train.npz",
            "--metrics",
            "pr",
            "kd",
            "--out",
            out,
            *options,
        )
        capsys.readouterr()
        return [one["value"] for one in json.loads(out.read_text())["measurements"]]

    default = measured()
    # rounded otherwise
    assert measured("--batch", "7", "--device", "cpu") == pytest.approx(default, rel=1e-3)
    for option in (("--k", "5"), ("--kid-subsets", "3"), ("--seed", "1")):
        assert measured(*option) != default


def test_a_torchscript_network_only_if_it_is_named_as_trusted(files, capsys):
    path = files / "network.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(Means().eval()), path)
    # which has no labels
    run(files, "--reference", files / "held.npz", "--trust-torchscript", path)
    assert "FD-torchscript-" in capsys.readouterr().out
    refused(
        capsys,
        f"{path} is not a PyTorch state dict",
        files,
        "--reference",
        "digits",
        "--inception",
        path,
    )


def test_the_test_batch_of_cifar10_is_what_is_held_out(files, tmp_path, monkeypatch):
    class CaughtError(Exception):
        pass

    def catch(space, train, held_out, samples, **options):
        seen.append((train, held_out))
        raise CaughtError

    seen = []
    monkeypatch.setattr(deep.measure, "ImageMetrics", catch)
    archive = FIXTURES / "cifar10_tiny.tar.gz"
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    np.savez(files / "colours.npz", images=np.zeros((9, 3, 32, 32), np.uint8))
    for source in (archive, tmp_path, tmp_path / "cifar-10-batches-py"):
        with pytest.raises(CaughtError):
            run(files, "--reference", source, "--held-out", source, samples="colours.npz")
    for train, held_out in seen:
        np.testing.assert_array_equal(train, load_images(archive).images)
        assert len(held_out) == 4
        assert not (held_out[:, None] == train[None]).all((2, 3, 4)).any()


def refused(capsys, message, files, *options, samples="noisy.npz"):
    with pytest.raises(SystemExit) as left:
        run(files, *options, samples=samples)
    shown = capsys.readouterr().err
    assert left.value.code == 2
    assert message in shown
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--k", "0"], "--k must be >= 1, got 0"),
        (["--kid-subsets", "-1"], "--kid-subsets must be >= 0, got -1"),
        (["--k", "400"], "noisy.npz has 150 images; it must have 401 or more"),
        (["--inception", "a", "--trust-torchscript", "b"], "exclude each other"),
        (["--resize", "tensorflow"], "--resize tensorflow has no meaning without --inception"),
        (["--inception", "missing.pth"], "No such file or directory: missing.pth"),
        (["--held-out", "missing.npz"], "--held-out: missing.npz: no such file"),
        (["--metrics", "fid"], "fid"),
    ],
)
def test_bad_options_are_one_line(files, capsys, options, message):
    refused(capsys, message, files, "--reference", files / "train.npz", *options)


def test_bad_sets_are_one_line(files, capsys):
    refused(capsys, "--reference: nothing: no such file", files, "--reference", "nothing")
    refused(capsys, "SAMPLES: ", files, "--reference", "digits", samples="missing.npz")
    np.savez(files / "rgb.npz", images=np.zeros((9, 3, 8, 8), np.uint8))
    np.savez(files / "wide.npz", images=np.zeros((9, 1, 16, 16), np.uint8))
    np.savez(files / "few.npz", images=np.zeros((3, 1, 8, 8), np.uint8))
    np.savez(files / "class.npz", images=np.zeros((9, 1, 8, 8), np.uint8), labels=np.full(9, 3))
    colours = (
        "rgb.npz has images of 8 × 8 pixels and 3 channels, and --reference digits of 8 × 8 "
        "pixels and 1 channel"
    )
    refused(capsys, colours, files, "--reference", "digits", samples="rgb.npz")
    refused(capsys, "--held-out", files, "--reference", "digits", "--held-out", files / "rgb.npz")
    refused(
        capsys, "wide.npz has images of 16 × 16", files, "--reference", "digits", samples="wide.npz"
    )
    refused(
        capsys,
        "few.npz has 3 images; it must have 4 or more",
        files,
        "--reference",
        "digits",
        samples="few.npz",
    )
    refused(
        capsys,
        "few.npz has 3 images; it must have 8 or more",
        files,
        "--reference",
        files / "few.npz",
    )
    refused(
        capsys,
        "few.npz has 3 images; it",
        files,
        "--reference",
        "digits",
        "--held-out",
        files / "few.npz",
    )


@pytest.mark.parametrize("labels", [None, np.full(150, 3)])
def test_without_classes_the_encoder_tells_how_images_are_turned(files, labels):
    images = np.load(files / "held.npz")["images"]
    given = {} if labels is None else {"labels": labels}
    np.savez(files / "plain.npz", images=images, **given)
    out = files / "out.json"
    run(files, "--reference", files / "plain.npz", "--out", out)
    content = json.loads(out.read_text())
    assert content["features"] == "plain-turns-encoder"
    # half noise: far from digits in any features
    train, other = (m for m in content["measurements"] if m["metric"].startswith("fd-"))
    # of 30 seeds the logarithm of the ratio is 2.2 with sd 0.35: 0 is 6 sd away
    assert train["value"] > (train["floor"] or other["floor"])


def test_images_are_turned_by_right_angles(rng):
    images = rng.integers(0, 256, (3, 2, 4, 4), np.uint8)
    turned, turns = deep.metrics.feature_choice._turned(images, seed=0)
    assert turned.shape == (12, 2, 4, 4)
    for k in range(4):
        back = np.rot90(turned[turns == k], -k, axes=(2, 3))
        np.testing.assert_array_equal(back, images)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"chain-000": np.zeros((9, 2)), "chain-001": np.zeros((9, 2))},
            "points or features, not images",
        ),
        ({"images": np.zeros((9, 1, 8, 8), np.float32)}, "got float32 from 0 to 0: convert with"),
        ({"mu": np.zeros(4), "sigma": np.eye(4)}, "statistics of features (mu, sigma), not images"),
    ],
)
def test_other_things_than_images_are_one_line(files, capsys, arrays, message):
    np.savez(files / "other.npz", **arrays)
    refused(capsys, message, files, "--reference", "digits", samples="other.npz")
    refused(capsys, "--reference", files, "--reference", files / "other.npz")


def test_each_chain_of_a_run_is_measured_as_a_file_of_its_own(files, capsys, rng):
    """Different numbers of images, too; the rows say which chain they are of."""
    noisy = load_images(files / "noisy.npz").images
    chains = {"chain-000": noisy[:90], "chain-001": noisy[60:]}
    np.savez(files / "generation-0001.npz", allow_pickle=False, **chains)
    options = (
        "--reference",
        files / "train.npz",
        "--metrics",
        "fd",
        "pr",
        "--out",
        files / "out.json",
    )

    run(files, *options, samples="generation-0001.npz")
    shown = capsys.readouterr().out
    together = json.loads((files / "out.json").read_text())["measurements"]
    for chain, images in chains.items():
        np.savez(files / "one.npz", images=images)
        run(files, *options, samples="one.npz")
        alone = json.loads((files / "out.json").read_text())["measurements"]
        assert [one for one in together if one["chain"] == chain] == [
            {"chain": chain, **one} for one in alone
        ]
        assert chain in shown
        assert chain not in capsys.readouterr().out


def test_a_set_that_is_the_reference_is_said(files, capsys):
    images = load_images(files / "train.npz").images
    np.savez(files / "copies.npz", images=images[::-1][:100])
    np.savez(files / "almost.npz", images=np.concatenate([images[:100], 255 - images[:1]]))
    options = ("--reference", files / "train.npz", "--metrics", "fd")
    for more, samples, name in (
        ((), "copies.npz", "SAMPLES"),
        (("--held-out", files / "copies.npz"), "noisy.npz", "--held-out"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # one line on standard error
            run(files, *options, *more, samples=samples)
        said = capsys.readouterr().err
        assert (
            f"warning: all images of {name} {files / 'copies.npz'} are images of --reference"
            in said
        )
        assert said.count("\n") == 1
    run(files, *options, samples="almost.npz")  # the control: warnings are errors
