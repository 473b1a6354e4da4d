import pytest
import torch

from deep.training.kept import Kept, read_state, write_state

STATE = {"x": torch.arange(1000.0), "words": ["a", None, 1.5], "t": 3}


def test_what_is_written_is_read(tmp_path):
    write_state(tmp_path / "state.pt", STATE)
    found = read_state(tmp_path / "state.pt")
    assert torch.equal(found.pop("x"), STATE["x"])
    assert found == {"words": ["a", None, 1.5], "t": 3}


def test_code_in_a_file_is_not_run(tmp_path):
    class Code:
        def __reduce__(self):
            return pytest.fail, ("it was run",)

    torch.save({"x": Code()}, tmp_path / "state.pt")
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        read_state(tmp_path / "state.pt")


def test_every_flipped_byte_of_the_content_is_noticed(tmp_path, rng):
    write_state(tmp_path / "state.pt", STATE)
    content = (tmp_path / "state.pt").read_bytes()
    start = content.index(STATE["x"].numpy().tobytes())
    for place in start + rng.choice(4000, 20, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1
        (tmp_path / "state.pt").write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"state\.pt is damaged .* is done again"):
            assert Kept(tmp_path / "state.pt", 0).load() is None


def test_it_is_written_when_it_is_time_or_the_end(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    kept = Kept(tmp_path / "folder" / "state.pt", seconds=10)
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
    Kept(tmp_path / "state.pt", 0, writes=False).save(lambda: STATE, final=True)
    assert not list(tmp_path.iterdir())
