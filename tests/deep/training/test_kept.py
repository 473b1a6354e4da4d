import numpy as np
import pytest
import torch

from deep.training.kept import Kept

STATE = {"x": torch.arange(1000.0), "words": ["a", None, 1.5], "t": 3}


def test_every_flipped_byte_of_the_content_is_noticed(tmp_path, rng):
    Kept(tmp_path / "state.pt", "key", 0).save(lambda: STATE, final=True)
    content = (tmp_path / "state.pt").read_bytes()
    start = content.index(STATE["x"].numpy().tobytes())
    for place in start + rng.choice(4000, 20, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1
        (tmp_path / "state.pt").write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"state\.pt is damaged .* is done again"):
            assert Kept(tmp_path / "state.pt", "key", 0).load() is None


def test_it_is_written_when_it_is_time_or_the_end(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    kept = Kept(tmp_path / "folder" / "state.pt", "key", seconds=10)
    saved = []

    def save(t, final=False):
        kept.save(lambda: saved.append(t) or {"t": t}, final)

    assert kept.load() is None
    for now[0], final in (
        (101.0, False),
        (109.0, False),
        (110.0, False),
        (119.0, False),
        (119.5, True),
        (120.0, False),
    ):
        save(now[0], final)
    assert saved == [110, 119.5]
    assert kept.load() == {"t": 119.5}


def test_only_the_first_process_writes(tmp_path):
    Kept(tmp_path / "state.pt", "key", 0, writes=False).save(lambda: STATE, final=True)
    assert not list(tmp_path.iterdir())


def test_what_is_of_another_computation_is_not_used(tmp_path):
    Kept(tmp_path / "state.pt", "chain 0", 0).save(lambda: {"x": np.ones(2)}, final=True)
    found = Kept(tmp_path / "state.pt", "chain 0", 0).load()
    assert found is not None
    assert found["x"].tolist() == [1, 1]
    with pytest.warns(
        UserWarning, match=r"state\.pt is of another computation; what it held is done again"
    ):
        assert Kept(tmp_path / "state.pt", "chain 1", 0).load() is None
