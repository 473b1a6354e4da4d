"""`verify` finds what is damaged or lost in a run, and changes nothing."""

import numpy as np
import pytest

from stability.planning.verify import verify
from stability.runs.command_line import UsageError
from tests.support.small_run import finish


@pytest.fixture
def folder(tmp_path):
    finish(tmp_path / "run")
    return tmp_path / "run"


def state_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_run(folder):
    before = state_of(folder)
    assert verify(folder) == (
        True,
        "whole; generations 0 to 2, every line and sample file as recorded",
    )
    assert state_of(folder) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("history.jsonl", "line 1 is missing or changed"),
        ("samples/generation-0001.npz", "generation-0001.npz"),
        ("checkpoints/generation-0002.pt", "generation-0002.pt"),
        ("config.json", "config"),
    ],
)
def test_damage_is_found_and_left(folder, name, message):
    path = folder / name
    content = bytearray(path.read_bytes())
    spot = content.index(b'"seed"') + 8 if name == "config.json" else 40
    content[spot] = ord("7") if name == "config.json" else content[spot] ^ 1
    path.write_bytes(content)
    before = state_of(folder)
    whole, line = verify(folder)
    assert not whole
    assert message in line
    assert state_of(folder) == before


def test_lost_samples_are_found(folder):
    (folder / "samples" / "generation-0000.npz").unlink()
    assert verify(folder) == (False, "generation-0000.npz is missing")


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "other.txt").write_text("x")
    np.save(tmp_path / "x.npy", np.zeros(3))
    for path in (tmp_path, tmp_path / "other.txt", tmp_path / "nothing", tmp_path / "x.npy"):
        with pytest.raises(UsageError):
            verify(path)
