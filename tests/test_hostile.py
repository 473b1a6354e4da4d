"""Readers that do what must not be done: `tests.support.hostile` finds each of them."""

import io
import os
import re
import time
import zipfile
from pathlib import Path

from tests.support import hostile
from tests.support.hostile import Outcome, Reader, examine


def sample(folder: Path) -> list[Path]:
    (folder / "valid.json").write_text('{"a": [1, 2, 3]}')
    return [folder / "valid.json"]


def _misbehave(path: Path) -> object:
    """Do what the file asks for."""
    asked = path.read_bytes().decode("latin1")
    if asked == "memory":
        return bytes(2 * hostile.MEMORY)
    if asked == "hidden memory":
        try:
            return bytes(2 * hostile.MEMORY)
        except MemoryError as error:
            raise ValueError("is damaged") from error
    acts = {
        "spin": lambda: sum(1 for _ in iter(int, 1)),
        "wait": lambda: time.sleep(1000),
        "crash": lambda: os.kill(os.getpid(), 11),
        "run": lambda: os.system("true"),
        "write": lambda: path.with_suffix(".new").write_text("new"),
        "evaluate": lambda: eval("1 + 1"),
        "traceback": lambda: {}["missing"],
        "two lines": lambda: _refuse("one\ntwo"),
        "address": lambda: _refuse(f"cannot read {object()}"),
        "refusal": lambda: _refuse("is not what it should be"),
    }
    return acts[asked]() if asked in acts else asked


def _refuse(message: str) -> object:
    raise ValueError(message)


READERS = [Reader("bad", _misbehave, sample, (ValueError,))]

FAULTS = {
    "memory": "takes more than",
    "hidden memory": "takes more than",
    "spin": "SIG(PROF|ALRM)",  # the limit of processor time, or of time where others use it up
    "wait": "SIGALRM",
    "crash": "SIGSEGV",
    "run": "os.system",
    "write": "does open",
    "evaluate": "does compile",
    "traceback": "KeyError",
    "two lines": "not one printable line",
    "address": "object at 0x",
}


def test_every_fault_is_found_and_nothing_else(tmp_path):
    files = {}
    for name in [*FAULTS, "refusal", "content"]:
        (tmp_path / name).write_text(name)
        files[name] = ("bad", tmp_path / name)
    outcomes = examine(__name__, tmp_path / "child", files, seconds=1, waiting=2)

    assert outcomes["refusal"] == Outcome("", "is not what it should be")
    assert outcomes["content"] == Outcome("", None)
    for name, words in FAULTS.items():
        assert re.search(words, outcomes[name].fault), (name, outcomes[name])
    assert not (tmp_path / "write.new").exists()


def _zip_of(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_mutations_change_files_of_every_kind(rng):
    """Each mutation applies to some kind of file, and changes it."""
    zipped = _zip_of({"a.json": b'{"b": 1}', "data.pkl": b"\x80\x02]q\x00."})
    kinds = [b'{"a": [1, 2, 3]}', b"\x80\x02]q\x00.", zipped, bytes(range(256)) * 8]
    for name, mutation in hostile.MUTATIONS.items():
        changed = [mutation(kind, rng) for kind in kinds for _ in range(50)]
        assert any(new is not None and new not in kinds for new in changed), name
