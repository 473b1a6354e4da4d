import contextlib
import copy
import hashlib
import io
import json
import os
import pickle
import struct
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings

from deep.checkpoint import Checkpoint, CheckpointError, CheckpointFile, export, main, read, write
from deep.formats.edm_pickle import network_arguments
from deep.formats.safetensors_file import safetensors_content
from deep.networks.unet_edm import DIGITS, EDMNetwork
from stability.runs.atomic import PARTIAL_SUFFIX
from stability.runs.command_line import command
from tests.conftest import FIXTURES
from tests.support.edm_networks import edm_networks
from tests.support.hostile_weights import own_file
from tests.support.official import (
    ddpm_fixture,
    otcfm_fixture,
    randomised,
    snapshot,
    torch_bytes,
    unpacked,
)

SNAPSHOTS = ["edm_tiny.pkl", "edm_tiny_legacy.pkl"]


@cache
def edm_tiny():
    return read(FIXTURES / "edm_tiny.pkl")


def edm_fixture(tmp_path):
    return copy.deepcopy(edm_tiny())


KINDS = {"edm": edm_fixture, "ddpm": ddpm_fixture, "otcfm": otcfm_fixture}


@pytest.fixture(params=KINDS)
def checkpoint(request, tmp_path):
    return KINDS[request.param](tmp_path)


def assert_same_state(one, two):
    assert (one is None) == (two is None)
    if one is not None:
        assert list(one) == list(two)
        assert all(torch.equal(one[name], two[name]) for name in one)


def assert_same_optimizer(one, two):
    assert (one is None) == (two is None)
    if one is not None:
        assert one["param_groups"] == two["param_groups"]
        assert one["state"].keys() == two["state"].keys()
        for i, moments in one["state"].items():
            assert moments.keys() == two["state"][i].keys()
            assert all(torch.equal(value, two["state"][i][name]) for name, value in moments.items())


# Official files, both ways


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_reads_the_official_edm_snapshot(name):
    checkpoint = read(FIXTURES / name)
    assert checkpoint.kind == "edm"
    assert checkpoint.network == DIGITS  # the tiny configuration of the fixture
    assert checkpoint.state is None
    assert checkpoint.optimizer is None
    assert len(checkpoint.weights()) == 147
    assert checkpoint.extra["augment_pipe"]["p"] == 0.12
    assert checkpoint.extra["loss_fn"]["class_name"] == "EDMLoss"


def test_both_official_generations_of_the_edm_snapshot_hold_the_same():
    new, old = (read(FIXTURES / name) for name in SNAPSHOTS)
    assert_same_state(new.ema, old.ema)
    assert new.extra == old.extra


def test_reads_the_official_ddpm_file(tmp_path):
    checkpoint = ddpm_fixture(tmp_path)
    file = torch.load(io.BytesIO(unpacked("ddpm_tiny.pt.xz")), weights_only=True)
    assert checkpoint.kind == "ddpm"
    assert checkpoint.step == 390_000
    assert checkpoint.assumed == ("resolution", "dropout")
    assert checkpoint.extra["epoch"] == 1000
    assert_same_state(checkpoint.state, file["model"])
    assert_same_state(checkpoint.ema, file["ema"]["shadow"])
    assert_same_optimizer(checkpoint.optimizer, file["optimizer"])


def test_reads_the_official_otcfm_file(tmp_path):
    checkpoint = otcfm_fixture(tmp_path)
    file = torch.load(io.BytesIO(unpacked("otcfm_tiny.pt.xz")), weights_only=True)
    assert checkpoint.kind == "otcfm"
    assert checkpoint.step == 400_000
    assert checkpoint.assumed == ("resolution", "head_channels", "dropout")
    assert_same_state(checkpoint.state, file["net_model"])
    assert_same_state(checkpoint.ema, file["ema_model"])
    assert_same_optimizer(checkpoint.optimizer, file["optim"])


@pytest.mark.parametrize(
    ("fixture", "archive"), [(ddpm_fixture, "ddpm_tiny"), (otcfm_fixture, "otcfm_tiny")]
)
def test_writes_the_official_ddpm_and_otcfm_files(fixture, archive, tmp_path):
    """The content of the fixture is written as the fixture is."""
    export(tmp_path / "out.pt", fixture(tmp_path))
    got = torch.load(tmp_path / "out.pt", weights_only=True)
    expected = torch.load(io.BytesIO(unpacked(f"{archive}.pt.xz")), weights_only=True)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        if name in ("model", "net_model", "ema_model"):
            assert_same_state(got[name], value)
        elif name in ("optimizer", "optim"):
            assert_same_optimizer(got[name], value)
        elif name == "ema":
            assert_same_state(got[name].pop("shadow"), value.pop("shadow"))
            assert got[name] == value
        else:
            assert got[name] == value


def test_writes_official_edm_names_and_constructor_arguments(tmp_path):
    checkpoint = edm_fixture(tmp_path)
    export(tmp_path / "edm.pt", checkpoint)
    file = torch.load(tmp_path / "edm.pt", weights_only=True)
    assert_same_state(file["ema"], checkpoint.ema)
    assert file["network_kwargs"] == {
        "model_type": "SongUNet",
        "embedding_type": "positional",
        "encoder_type": "standard",
        "decoder_type": "standard",
        "channel_mult_noise": 1,
        "resample_filter": [1, 1],
        "img_resolution": 8,
        "img_channels": 1,
        "model_channels": 16,
        "channel_mult": [1, 2],
        "num_blocks": 1,
        "attn_resolutions": [4],
        "augment_dim": 9,
        "dropout": 0.13,
        "channel_mult_emb": 4,
        "sigma_data": 0.5,
    }
    again = read(tmp_path / "edm.pt")
    assert again.network == checkpoint.network
    assert_same_state(again.ema, checkpoint.ema)


def test_equal_checkpoints_make_equal_bytes(tmp_path):
    """Ten times: the metadata, a table of Rust's, has another order from call to call."""
    content = safetensors_content(edm_fixture(tmp_path))
    assert all(safetensors_content(edm_fixture(tmp_path)) == content for _ in range(10))
    assert len(safetensors.torch.load(content)) > 10


def test_official_fixture_through_our_format_and_back(checkpoint, tmp_path):
    write(tmp_path / "out.safetensors", checkpoint)
    again = read(tmp_path / "out.safetensors")
    assert again.network == checkpoint.network
    assert_same_state(again.state, checkpoint.state)
    assert_same_state(again.ema, checkpoint.ema)
    assert_same_optimizer(again.optimizer, checkpoint.optimizer)
    assert (again.step, again.images, again.assumed) == (
        checkpoint.step,
        checkpoint.images,
        checkpoint.assumed,
    )
    assert again.extra == checkpoint.extra
    assert not list(tmp_path.glob(f"*{PARTIAL_SUFFIX}"))


@pytest.mark.parametrize("fixture", [ddpm_fixture, otcfm_fixture])
def test_the_official_optimizer_goes_on(fixture, tmp_path):
    """Adam takes the state, and its next step is the one that its moments tell."""
    checkpoint = fixture(tmp_path)
    parameters = list(checkpoint.build("state").parameters())
    moments = checkpoint.optimizer["state"][17]
    count = int(moments["step"]) + 1
    mean = 0.9 * moments["exp_avg"] / (1 - 0.9**count)
    square = 0.999 * moments["exp_avg_sq"] / (1 - 0.999**count)
    expected = parameters[17].detach() - 2e-4 * mean / (square.sqrt() + 1e-8)
    adam = torch.optim.Adam(parameters)
    adam.load_state_dict(checkpoint.optimizer)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    adam.step()
    torch.testing.assert_close(parameters[17].detach(), expected, rtol=1e-6, atol=1e-8)


def test_a_ddpm_of_our_own_has_all_that_the_official_trainer_resumes_from(tmp_path):
    official = ddpm_fixture(tmp_path)
    own = Checkpoint(official.network, official.state, official.ema, official.optimizer, step=500)
    export(tmp_path / "own.pt", own)
    file = torch.load(tmp_path / "own.pt", weights_only=True)
    network = own.build("state")
    adam = torch.optim.Adam(network.parameters(), lr=2e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda k: min((k + 1) / 5000, 1.0))
    network.load_state_dict(file["model"])
    adam.load_state_dict(file["optimizer"])
    schedule.load_state_dict(file["scheduler"])
    adam.step()
    schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(2e-4 * 502 / 5000)]
    assert file["epoch"] == 0
    assert file["ema"].keys() == {"decay", "shadow", "num_updates"}


@given(config=edm_networks())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edm_snapshot_is_read(config, monkeypatch, tmp_path):
    network = config.build(torch.Generator())
    (tmp_path / "any.pkl").write_bytes(snapshot(config, network, monkeypatch))
    checkpoint = read(tmp_path / "any.pkl")
    assert checkpoint.network == config
    assert_same_state(checkpoint.ema, network.state_dict())


def test_what_an_edm_snapshot_does_not_say_has_the_official_default(monkeypatch, tmp_path):
    config = EDMNetwork(
        resolution=16, channels=1, model_channels=4, channel_mult=(1, 1), augment_dim=0
    )
    network = config.build(torch.Generator())
    silent = dict.fromkeys(
        ["num_blocks", "attn_resolutions", "augment_dim", "channel_mult_emb", "sigma_data"]
    )
    (tmp_path / "any.pkl").write_bytes(snapshot(config, network, monkeypatch, **silent))
    assert read(tmp_path / "any.pkl").network == config
    labelled = EDMNetwork(
        resolution=16,
        channels=1,
        model_channels=4,
        channel_mult=(1, 1),
        augment_dim=9,
        label_dim=10,
    )
    network = labelled.build(torch.Generator())
    (tmp_path / "any.pkl").write_bytes(snapshot(labelled, network, monkeypatch, **silent))
    assert read(tmp_path / "any.pkl").network == labelled


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"label_dim": 10}, "lacks the tensor model.map_label.weight"),
        ({"label_dim": 257}, "label_dim must be from 0 to 256, got 257"),
        ({"embedding_type": "fourier"}, "embedding_type = 'fourier'; only 'positional' is known"),
        ({"model_type": "DhariwalUNet"}, "model_type = 'DhariwalUNet'; only 'SongUNet' is known"),
        ({"resample_filter": [1, 3, 3, 1]}, "resample_filter = [1, 3, 3, 1]; only [1, 1] is known"),
        ({"heads": 4}, "unknown argument heads = 4"),
        ({"channel_mult": None}, "without the argument channel_mult"),
        ({"num_blocks": 10**9}, "num_blocks must be from 1 to 100, got 1000000000"),
        (
            {"model_channels": 32},
            "tensor model.map_augment.weight has shape (16, 9); it must have (32, 9)",
        ),
        ({"dropout": 2.0}, "dropout must be >= 0 and < 1, got 2.0"),
    ],
)
def test_an_edm_snapshot_of_another_network_is_refused(arguments, words, monkeypatch, tmp_path):
    network = DIGITS.build(torch.Generator())
    (tmp_path / "other.pkl").write_bytes(snapshot(DIGITS, network, monkeypatch, **arguments))
    assert_refused(tmp_path / "other.pkl", words)


# Files that are not what they should be


def assert_refused(path, *words):
    with pytest.raises(CheckpointError) as refusal:
        read(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert all(word in message for word in words), message


class Malicious:
    """An object whose unpickling writes a file."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(target):
    """Pickles that would make `target`, and a word of what must be said about each."""
    touch = f"open({str(target)!r}, 'w').close()"
    yield pickle.dumps(Malicious(os.system, f"touch {target}")), "system"
    yield pickle.dumps({"ema": Malicious(exec, touch)}, protocol=4), "builtins.exec"
    yield pickle.dumps({"ema": Malicious(Path.touch, target)}, protocol=5), "pathlib"
    # OBJ
    yield (
        b"\x80\x02(cposix\nsystem\nX" + struct.pack("<I", 9) + b"touch xyz" + b"o.",
        "posix.system",
    )
    # INST
    yield b"\x80\x02(X" + struct.pack("<I", 9) + b"touch xyz" + b"iposix\nsystem\n.", "posix.system"
    # a name with a dot, behind one that is allowed
    yield b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93.", "OrderedDict.fromkeys"
    # attributes of what is allowed
    yield (
        b"\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93N}\x8c\x01xK\x01s\x86b.",
        "sets the attributes of a function",
    )
    yield (
        b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93}\x8c\x01xK\x01sb.",
        "sets the attributes of a type",
    )


@pytest.mark.parametrize("i", range(8))
def test_a_malicious_pickle_is_refused_and_writes_nothing(i, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil").mkdir()
    target = tmp_path / "evil" / "written"
    content, word = list(attacks(target))[i]
    (tmp_path / "evil.pkl").write_bytes(content)
    assert_refused(tmp_path / "evil.pkl", word, "refused, nothing was run")
    assert not list((tmp_path / "evil").iterdir())
    assert not (tmp_path / "xyz").exists()


def test_the_attacks_are_real(tmp_path):
    """Negative control: Python's own unpickler runs what is refused above."""
    target = tmp_path / "written"
    for content, _ in list(attacks(target))[:3]:
        pickle.loads(content)
        assert target.exists()
        target.unlink()
    assert len(list(attacks(target))) == 8


def test_a_malicious_torch_file_is_refused_and_writes_nothing(tmp_path):
    target = tmp_path / "written"
    (tmp_path / "evil.pt").write_bytes(
        torch_bytes({"model": Malicious(os.system, f"touch {target}")})
    )
    assert_refused(tmp_path / "evil.pt", "system", "refused, nothing was run")
    assert not target.exists()


def test_a_tensor_larger_than_its_numbers_is_refused(monkeypatch, tmp_path):
    """Strides of 0 would make gigabytes of a few bytes, other strides read beyond the end."""
    network = DIGITS.build(torch.Generator())
    state = dict(network.state_dict())
    name = "model.enc.8x8_conv.weight"
    (tmp_path / "bomb.pkl").write_bytes(
        snapshot(DIGITS, network, monkeypatch, {**state, name: torch.zeros(1).expand(10**6, 10**6)})
    )
    assert_refused(tmp_path / "bomb.pkl", "(1000000, 1000000)", "1 numbers")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("edm", "model.enc.8x8_block999999999.conv0.weight"),
        ("ddpm", "downsamples.level_999999999.0.conv1.weight"),
        ("otcfm", "input_blocks.999999999.0.conv1.weight"),
    ],
)
def test_a_name_that_counts_to_a_billion_is_refused(kind, name, tmp_path):
    state = {**KINDS[kind](tmp_path).weights(), name: torch.zeros(1)}
    (tmp_path / "bomb.pt").write_bytes(torch_bytes(state))
    assert_refused(tmp_path / "bomb.pt", f"holds a tensor {name}, but only {len(state)} tensors")


def contents(tmp_path):
    """A good file of each format: suffix -> bytes."""
    write(tmp_path / "good.safetensors", otcfm_fixture(tmp_path))
    return {
        ".pkl": (FIXTURES / "edm_tiny.pkl").read_bytes(),
        ".pt": unpacked("ddpm_tiny.pt.xz"),
        ".safetensors": (tmp_path / "good.safetensors").read_bytes(),
    }


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".safetensors"])
def test_a_truncated_file_is_one_error(suffix, tmp_path, rng):
    content = contents(tmp_path)[suffix]
    path = tmp_path / f"cut{suffix}"
    for length in [0, 1, 9, 100, *rng.integers(0, len(content), 12), len(content) - 1]:
        path.write_bytes(content[:length])
        assert_refused(path)


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".safetensors"])
def test_a_damaged_file_is_one_error_or_read(suffix, tmp_path, rng):
    content = contents(tmp_path)[suffix]
    path = tmp_path / f"damaged{suffix}"
    for _ in range(20):
        damaged = bytearray(content)
        # anywhere, and where the structure is: at the beginning and at the end
        for position in (
            rng.integers(len(content)),
            rng.integers(2000),
            len(content) - 1 - rng.integers(2000),
        ):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):  # anything else fails the test
            read(path, resolution=8, head_channels=16)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is neither a pickle"]),
        (b"hello, world\n", ["is neither a pickle"]),
        (pickle.dumps([1, 2]), ["no network 'ema'"]),
        (pickle.dumps({"ema": 3}), ["no network 'ema'"]),
        (torch_bytes([1, 2]), ["holds a list, not a checkpoint"]),
        (torch_bytes({}), ["holds a dict, not a checkpoint"]),
        (torch_bytes({"epoch": 3}), ["holds epoch: nothing that is known"]),
        (torch_bytes({"model": None}), ["no network that is known"]),
        (torch_bytes({"model": {"a": 3}}), ["'a' of a state dict is a int, not a tensor"]),
        (torch_bytes({"weight": torch.zeros(2)}), ["no network that is known: weight"]),
        (safetensors.torch.save({"weight": torch.zeros(2)}), ["no network that is known: weight"]),
        (
            safetensors.torch.save({"a": torch.zeros(2)}, {"checkpoint": '{"version": 9}'}),
            ["version 9"],
        ),
    ],
)
def test_what_is_not_a_checkpoint_is_one_error(content, words, tmp_path):
    (tmp_path / "file").write_bytes(content)
    assert_refused(tmp_path / "file", *words)


def test_a_file_that_does_not_exist_is_an_operating_system_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing.pt")


def broken(state, rng):
    """The state dict with a tensor less, one more, one of another shape, one of integers, one
    with a NaN.
    """
    names = list(state)
    name = names[rng.integers(len(names))]
    yield {n: v for n, v in state.items() if n != name}, [name]
    yield (
        {**state, f"{name}_too": torch.zeros(2)},
        [f"{name}_too, which this network does not have"],
    )
    yield {**state, name: torch.zeros(*state[name].shape, 2)}, [f"tensor {name} has shape"]
    yield (
        {**state, name: torch.zeros(state[name].shape, dtype=torch.int64)},
        [f"tensor {name} has type torch.int64"],
    )
    yield (
        {**state, name: torch.full(state[name].shape, np.nan)},
        [f"tensor {name} has values that are not finite"],
    )


@pytest.mark.parametrize("defect", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_dict_with_a_bad_tensor_is_one_error_that_names_it(kind, defect, tmp_path, rng):
    state = dict(KINDS[kind](tmp_path).weights())
    state.pop("model.map_augment.weight", None)  # without it this is another network of EDM's
    bad, words = list(broken(state, rng))[defect]
    (tmp_path / "bare.pt").write_bytes(torch_bytes(bad))
    assert_refused(tmp_path / "bare.pt", *words)


@pytest.mark.parametrize("defect", range(5))
def test_an_edm_snapshot_with_a_bad_tensor_is_one_error_that_names_it(
    defect, monkeypatch, tmp_path, rng
):
    network = randomised(DIGITS.build(torch.Generator()), rng)
    bad, words = list(broken(dict(network.state_dict()), rng))[defect]
    (tmp_path / "bad.pkl").write_bytes(snapshot(DIGITS, network, monkeypatch, bad))
    assert_refused(tmp_path / "bad.pkl", *words)


def test_the_names_of_data_parallelism_and_half_precision_are_taken_too(checkpoint, tmp_path):
    state = checkpoint.weights()
    (tmp_path / "bare.pt").write_bytes(
        torch_bytes({f"module.{name}": value.half() for name, value in state.items()})
    )
    bare = read(tmp_path / "bare.pt")
    assert bare.kind == checkpoint.kind
    assert_same_state(bare.state, {name: value.half().float() for name, value in state.items()})
    assert bare.network.channel_mult == checkpoint.network.channel_mult


def test_what_a_file_does_not_tell_can_be_told_but_not_contradicted(tmp_path):
    (tmp_path / "otcfm.pt").write_bytes(unpacked("otcfm_tiny.pt.xz"))
    told: Any = read(tmp_path / "otcfm.pt", 8, 16).network
    untold: Any = read(tmp_path / "otcfm.pt").network
    assert (told.resolution, told.head_channels, told.attn_resolutions) == (8, 16, (4,))
    assert (untold.resolution, untold.head_channels, untold.attn_resolutions) == (32, 64, (16,))
    assert read(FIXTURES / "edm_tiny.pkl", resolution=8).network == DIGITS
    with pytest.raises(CheckpointError, match="is of a network with resolution = 8, not 16"):
        read(FIXTURES / "edm_tiny.pkl", resolution=16)
    with pytest.raises(CheckpointError, match="is of a network with head_channels = None, not 16"):
        read(FIXTURES / "edm_tiny.pkl", head_channels=16)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda optimizer: optimizer["state"][0].pop("exp_avg"), "not Adam's state dict"),
        (lambda optimizer: optimizer.pop("state"), "not Adam's state dict"),
        (lambda optimizer: optimizer["param_groups"][0]["params"].pop(), "has 127 parameters"),
        (
            lambda optimizer: optimizer["state"][5].update(exp_avg=torch.zeros(3)),
            "of parameter 5 do not fit",
        ),
        (
            lambda optimizer: optimizer["state"].update({200: optimizer["state"][0]}),
            "of parameter 200 do not fit",
        ),
    ],
)
def test_an_optimizer_that_does_not_fit_is_one_error(change, words, tmp_path):
    file = torch.load(io.BytesIO(unpacked("ddpm_tiny.pt.xz")), weights_only=True)
    change(file["optimizer"])
    (tmp_path / "bad.pt").write_bytes(torch_bytes(file))
    assert_refused(tmp_path / "bad.pt", words)


def test_a_checkpoint_has_weights_and_counts():
    state = DIGITS.build(torch.Generator()).state_dict()
    with pytest.raises(CheckpointError, match="holds no weights"):
        Checkpoint(DIGITS)
    with pytest.raises(CheckpointError, match="step must be a count, got -1"):
        Checkpoint(DIGITS, state, step=-1)
    with pytest.raises(CheckpointError, match=r"images must be a count, got 1\.5"):
        Checkpoint(DIGITS, state, images=1.5)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"resample_filter must be 0\.25 everywhere"):
        Checkpoint(
            DIGITS, {n: 2 * v if n.endswith("resample_filter") else v for n, v in state.items()}
        )


def test_what_is_built_has_memory_of_its_own(checkpoint):
    network = checkpoint.build()
    with torch.no_grad():
        for value in network.state_dict().values():
            value.zero_()
    assert any(value.any() for value in checkpoint.weights().values())


# The format of this project


def test_any_reader_of_safetensors_finds_the_weights_and_the_description(checkpoint, tmp_path):
    write(tmp_path / "out.safetensors", checkpoint)
    with safetensors.safe_open(tmp_path / "out.safetensors", framework="np") as file:
        names, description = set(file.keys()), json.loads(file.metadata()["checkpoint"])
        name, value = next(iter(checkpoint.weights().items()))
        assert np.array_equal(file.get_tensor(f"ema/{name}"), value.numpy())
    assert {f"ema/{name}" for name in checkpoint.weights()} <= names
    assert description["kind"] == checkpoint.kind
    assert description["network"]["channel_mult"] == [1, 2]


def test_a_channels_last_network_and_numbers_of_steps_as_numbers_are_written_too(tmp_path, rng):
    network: Any = randomised(DIGITS.build(torch.Generator()), rng)
    network.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam.step()
    moments = adam.state_dict()
    # as torch 1.11 had it
    moments["state"] = {i: {**state, "step": 1} for i, state in moments["state"].items()}
    write(
        tmp_path / "out.safetensors",
        Checkpoint(DIGITS, network.state_dict(), optimizer=moments, images=128),
    )
    again: Any = read(tmp_path / "out.safetensors")
    assert again.images == 128
    assert all(
        torch.equal(again.state[name], value) for name, value in network.state_dict().items()
    )
    adam.load_state_dict(again.optimizer)
    assert float(next(iter(adam.state.values()))["step"]) == 1


# Command line


def run(*arguments):
    command(CheckpointFile, main, [str(argument) for argument in arguments])


def test_the_command_shows_and_converts(tmp_path, capsys):
    ours, theirs = tmp_path / "edm.safetensors", tmp_path / "edm.pt"
    run(FIXTURES / "edm_tiny.pkl", "--convert", ours, "--export", theirs)
    out = capsys.readouterr().out
    for words in (
        "edm",
        "188,913",
        "attn_resolutions",
        "(4,)",
        "average",
        "AugmentPipe",
        "edm.safetensors",
        "edm.pt",
    ):
        assert words in out
    for path in (ours, theirs):
        assert_same_state(read(path).ema, read(FIXTURES / "edm_tiny.pkl").ema)


def test_the_command_says_what_it_assumes(tmp_path, capsys):
    (tmp_path / "otcfm.pt").write_bytes(unpacked("otcfm_tiny.pt.xz"))
    run(tmp_path / "otcfm.pt", "--head-channels", 16, "--resolution", 8)
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.split()}
    assert "16  (not in the file)" in rows["head_channels"]
    assert "8  (not in the file)" in rows["resolution"]
    assert "not in the file" not in rows["channel_mult"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["edm_tiny.pkl", "--convert", "out.pt"],
            "--convert must name a .safetensors file, got out.pt",
        ),
        (["edm_tiny.pkl", "--export", "out.pkl"], "--export must name a .pt file, got out.pkl"),
        (["edm_tiny.pkl", "--resolution", "0"], "--resolution must be >= 1, got 0"),
        (["edm_tiny.pkl", "--resolution", "16"], "resolution = 8, not 16"),
        (["README.md"], "README.md: is neither a pickle"),
        (["nothing.pt"], "No such file or directory: nothing.pt"),
        (["edm_tiny.pkl", "--export", "otcfm_mlp.pt"], "otcfm_mlp.pt exists already"),
    ],
)
def test_a_bad_command_is_one_line_and_status_2(arguments, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("edm_tiny.pkl", "README.md"):
        (tmp_path / name).write_bytes((FIXTURES / name).read_bytes())
    (tmp_path / "otcfm_mlp.pt").touch()
    with pytest.raises(SystemExit) as leaving:
        run(*arguments)
    assert leaving.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err
    assert {path.name for path in tmp_path.iterdir()} == {
        "edm_tiny.pkl",
        "README.md",
        "otcfm_mlp.pt",
    }


# Digests


def flipped(content, rng):
    """The content with one bit changed."""
    damaged = bytearray(content)
    damaged[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def test_every_flipped_bit_of_our_own_files_is_noticed(tmp_path, rng):
    write(
        tmp_path / "good.safetensors",
        Checkpoint(DIGITS_LIKE, DIGITS_LIKE.build(torch.Generator()).state_dict()),
    )
    content = (tmp_path / "good.safetensors").read_bytes()
    header = int.from_bytes(content[:8], "little") + 8
    for i in range(40):  # a third of them in the header
        start = content[:header] if i % 3 == 0 else content
        (tmp_path / "bad.safetensors").write_bytes(flipped(start, rng) + content[len(start) :])
        assert_refused(tmp_path / "bad.safetensors")


def test_a_flipped_bit_of_other_formats_changes_the_digest_of_the_weights(tmp_path, rng):
    """The reader does not notice it: EDM's snapshots hold no checksum."""
    content, noticed = (FIXTURES / "edm_tiny.pkl").read_bytes(), 0
    expected = read(FIXTURES / "edm_tiny.pkl")
    for _ in range(10):
        (tmp_path / "bad.pkl").write_bytes(flipped(content, rng))
        try:
            found = read(tmp_path / "bad.pkl")
        except CheckpointError:
            noticed += 1
            continue
        same = all(
            torch.equal(value, expected.weights()[name]) for name, value in found.weights().items()
        )
        assert same == (found.digest == expected.digest)
    assert noticed < 10


def test_the_digest_of_the_weights_is_that_of_any_format(checkpoint, tmp_path):
    write(tmp_path / "own.safetensors", checkpoint)
    assert read(tmp_path / "own.safetensors").digest == checkpoint.digest
    (tmp_path / "bare.pt").write_bytes(
        torch_bytes({"model": checkpoint.state, "ema": checkpoint.ema})
    )
    if checkpoint.kind != "edm":
        assert (
            read(tmp_path / "bare.pt", 8, 16 if checkpoint.kind == "otcfm" else None).digest
            == checkpoint.digest
        )


def test_a_file_of_version_1_is_read_and_said_to_carry_no_digest(checkpoint, tmp_path, capsys):
    write(tmp_path / "new.safetensors", checkpoint)
    with safetensors.safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(file.metadata()["checkpoint"])
    del description["sha256"]
    for version, words in ((1, "no digest in the file"), (2, "does not have the digest")):
        text = json.dumps({**description, "version": version})
        safetensors.torch.save_file(tensors, tmp_path / "old.safetensors", {"checkpoint": text})
        if version == 2:
            assert_refused(tmp_path / "old.safetensors", words)
            continue
        assert read(tmp_path / "old.safetensors").digest == checkpoint.digest
        run(tmp_path / "old.safetensors")
        assert words in capsys.readouterr().out


@pytest.mark.parametrize("of", ["weights", "file", "another"])
def test_an_expected_digest_is_compared(of, tmp_path, capsys):
    path = FIXTURES / "edm_tiny.pkl"
    digests = {
        "weights": read(path).digest,
        "file": hashlib.sha256(path.read_bytes()).hexdigest(),
        "another": "0" * 64,
    }
    if of != "another":
        run(path, "--sha256", digests[of].upper())
        out = capsys.readouterr().out
        assert digests["weights"] in out
        assert digests["file"] in out
        return
    with pytest.raises(SystemExit) as leaving:
        run(path, "--sha256", digests[of])
    assert leaving.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert digests["weights"] in err


def test_a_file_cannot_overwrite_rows_of_the_table(tmp_path, capsys):
    file = torch.load(io.BytesIO(unpacked("ddpm_tiny.pt.xz")), weights_only=True)
    said = {
        "kind": "bank",
        "parameters": "1",
        "holds": "[red]nothing[/red]",
        "\x1b[31mred": "\x1b[0m",
    }
    (tmp_path / "rows.pt").write_bytes(
        torch_bytes({**file, **said, **{f"row{i}": i for i in range(100)}})
    )
    run(tmp_path / "rows.pt", "--resolution", 8)
    out = capsys.readouterr().out
    rows = {line.split("  ")[0].strip(): line for line in out.splitlines()}
    assert "ddpm" in rows["kind"]
    assert "bank" in rows["file: kind"]
    assert "[red]nothing[/red]" in rows["file: holds"]
    assert "\x1b" not in out
    assert len(out.splitlines()) < 80


# Averages and prefixes


def ddpm_state(tmp_path) -> tuple[dict[str, Any], dict[str, Any]]:
    found: Any = ddpm_fixture(tmp_path)
    return dict(found.state), dict(found.ema)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_names_of_data_parallelism_and_compilation_are_taken(prefix, tmp_path):
    state, _ = ddpm_state(tmp_path)
    mixed = {
        (prefix if i % 2 else "") + name: value for i, (name, value) in enumerate(state.items())
    }
    for names in ({prefix + name: value for name, value in state.items()}, mixed):
        (tmp_path / "wrapped.pt").write_bytes(torch_bytes(names))
        assert_same_state(read(tmp_path / "wrapped.pt", 8).state, state)
    name = next(iter(state))
    (tmp_path / "twice.pt").write_bytes(torch_bytes({**state, prefix + name: state[name] + 1}))
    assert_refused(tmp_path / "twice.pt", f"holds the tensor {name} twice")


def test_an_average_beside_the_weights_is_taken_whatever_wraps_it(tmp_path):
    state, ema = ddpm_state(tmp_path)
    averaged = {
        "n_averaged": torch.tensor(7),
        **{f"module.{name}": value for name, value in ema.items()},
    }
    both = {f"online_model.{n}": v for n, v in state.items()} | {
        f"ema_model.{n}": v for n, v in ema.items()
    }
    both |= {"initted": torch.tensor(True), "step": torch.tensor(7)}
    for content, has_state in (
        ({"model": state, "ema": ema}, True),
        ({"model": state, "ema": {"shadow": ema, "decay": 0.99}}, True),
        ({"model": state, "ema": averaged}, True),
        ({"ema": ema}, False),
        ({"ema_model": both}, True),
        (both, True),
        (averaged, False),
    ):
        (tmp_path / "file.pt").write_bytes(torch_bytes(content))
        found = read(tmp_path / "file.pt", 8)
        assert_same_state(found.ema, ema)
        assert_same_state(found.state, state if has_state else None)


@pytest.mark.parametrize(
    "average",
    [
        lambda ema: {"ema": list(ema.values())},
        lambda ema: {"ema": {"shadow_params": list(ema.values()), "decay": 0.99}},
        lambda ema: {"ema": {"shadow": list(ema.values())}},
        lambda ema: {"ema": {}},
        lambda ema: {"model_ema": ema},
        lambda ema: {"ema_state_dict": list(ema.values())},
    ],
)
def test_an_average_that_is_not_read_is_refused_not_ignored(average, tmp_path):
    state, ema = ddpm_state(tmp_path)
    (tmp_path / "file.pt").write_bytes(torch_bytes({"model": state, **average(ema)}))
    assert_refused(tmp_path / "file.pt", "average of the weights", "not read")
    (tmp_path / "file.pt").write_bytes(
        torch_bytes({"model": state, "ema": None, "ema_decay": 0.99})
    )
    assert read(tmp_path / "file.pt", 8).ema is None


# Adam


def spoil(name, value, **group):
    def change(optimizer):
        if name:
            optimizer["state"][5][name] = value(optimizer["state"][5][name])
        optimizer["param_groups"][0].update(group)

    return change


BAD_ADAM = {
    "no step": (lambda optimizer: optimizer["state"][5].pop("step"), "parameter 5 has no step"),
    "NaN step": (
        spoil("step", lambda _: torch.tensor(np.nan)),
        "step of parameter 5 must be a count",
    ),
    "step of text": (spoil("step", lambda _: "7"), "step of parameter 5 must be a count"),
    "half a step": (spoil("step", lambda _: 1.5), "step of parameter 5 must be a count"),
    "two counts": (spoil("step", lambda step: step + 1), "for one parameter and"),
    "NaN": (
        spoil("exp_avg", lambda m: m * np.nan),
        "exp_avg of parameter 5 has values that are not finite",
    ),
    "infinite": (
        spoil("exp_avg_sq", lambda m: m + np.inf),
        "exp_avg_sq of parameter 5 has values that are not",
    ),
    "negative": (
        spoil("exp_avg_sq", lambda m: -m - 1),
        "exp_avg_sq of parameter 5 has negative values",
    ),
    "of integers": (
        spoil("exp_avg", lambda m: m.long()),
        "exp_avg of parameter 5 has type torch.int64",
    ),
    "a list": (spoil("exp_avg", lambda m: [0.0]), "parameter 5 do not fit"),
    "misshapen": (spoil("exp_avg", lambda m: m[None]), "parameter 5 do not fit"),
    "of another optimiser": (
        lambda optimizer: optimizer["state"][5].update(max_exp_avg_sq=torch.zeros(1)),
        "holds max_exp_avg_sq of parameter 5: not of plain Adam",
    ),
    "rate of text": (spoil("", None, lr="0.1"), "learning rate must be finite and >= 0, got '0.1'"),
    "rate NaN": (spoil("", None, lr=np.nan), "learning rate must be finite and >= 0, got nan"),
    "rate infinite": (
        spoil("", None, initial_lr=np.inf),
        "learning rate must be finite and >= 0, got inf",
    ),
    "rate negative": (
        spoil("", None, lr=-1e-4),
        "learning rate must be finite and >= 0, got -0.0001",
    ),
    "no rate": (lambda optimizer: optimizer["param_groups"][0].pop("lr"), "has no learning rate"),
    "eps of text": (spoil("", None, eps="1"), "eps is no number"),
}


@pytest.mark.parametrize("kind", ["ddpm-torch", "torchcfm", "EDM", "own"])
@pytest.mark.parametrize("bad", BAD_ADAM)
def test_a_state_that_no_adam_has_is_one_error_in_every_format(bad, kind, adam_files, tmp_path):
    change, words = BAD_ADAM[bad]
    file, key = copy.deepcopy(adam_files[kind])
    change(file[key])
    path = tmp_path / "bad.file"
    if kind != "own":
        path.write_bytes(torch_bytes(file))
    elif all(isinstance(v, torch.Tensor) for m in file[key]["state"].values() for v in m.values()):
        path.write_bytes(own_adam(file, key))
        words = "is not JSON" if bad in ("rate NaN", "rate infinite") else words
    else:
        pytest.skip("this format holds tensors alone")
    assert_refused(path, words)


def own_adam(file, key):
    """This project's format, written by hand: its own writer would refuse."""
    tensors = {f"state/{name}": value for name, value in file["net"].items()}
    for i, moments in file[key]["state"].items():
        tensors |= {f"optimizer/{i}/{name}": value.contiguous() for name, value in moments.items()}
    groups = json.loads(json.dumps(file[key]["param_groups"]))
    return own_file(tensors, asdict(DIGITS_LIKE), param_groups=groups)


DIGITS_LIKE = EDMNetwork(8, 1, 4, (1,), 1, (), 0, 0.0)


@pytest.fixture(scope="module")
def adam_files():
    """A small file of each format with Adam's state, and the key that it has there."""
    network = DIGITS_LIKE.build(torch.Generator())
    adam = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam.step()
    state, moments = network.state_dict(), adam.state_dict()
    edm = {
        "network_kwargs": network_arguments(DIGITS_LIKE),
        "net": state,
        "optimizer_state": moments,
    }
    return {
        "ddpm-torch": ({"model": state, "optimizer": moments}, "optimizer"),
        "torchcfm": ({"net_model": state, "optim": moments, "step": 0}, "optim"),
        "EDM": (edm, "optimizer_state"),
        "own": ({"net": state, "optimizer_state": moments}, "optimizer_state"),
    }


def test_good_files_of_the_same_kind_are_read(adam_files, tmp_path):
    """Negative control of the test above."""
    for kind, (file, key) in adam_files.items():
        (tmp_path / kind).write_bytes(own_adam(file, key) if kind == "own" else torch_bytes(file))
        found: Any = read(tmp_path / kind)
        assert found.optimizer["state"][5]["step"] == 1
        assert found.optimizer["param_groups"][0]["lr"] == 1e-3


@pytest.mark.parametrize("name", ["base_lrs", "_last_lr"])
@pytest.mark.parametrize("value", [["0.1"], [float("nan")], "0.1", [-1.0]])
def test_a_schedule_without_numbers_is_one_error(name, value, tmp_path):
    for archive, key in (("ddpm_tiny", "scheduler"), ("otcfm_tiny", "sched")):
        file = torch.load(io.BytesIO(unpacked(f"{archive}.pt.xz")), weights_only=True)
        file[key][name] = value
        (tmp_path / "bad.pt").write_bytes(torch_bytes(file))
        assert_refused(tmp_path / "bad.pt", "learning rate")
