"""Every file of a finished run is spoiled in every way; the run then ends as before, or says in
one line why not.
"""

import os
import shutil
import warnings

import pytest

from stability.runs.run_directory import RunDirectoryError
from tests.support.small_run import finish

HOSTILE = (
    *(b"{", b"[]", b"null\n", b'{"t": 0}\n' * 3, b'{"t": 1e999}\n', b"[" * 10**5),
    *(b"PK\x05\x06" + bytes(18), b"\xff" * 99),
)


def flip(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def cut(path, rng):
    path.write_bytes(path.read_bytes()[: rng.integers(path.stat().st_size)])


def grow(path, rng):
    path.write_bytes(path.read_bytes() + rng.bytes(rng.integers(1, 100)))


def remove(path, rng):
    path.unlink()


def hostile(path, rng):
    path.write_bytes(HOSTILE[rng.integers(len(HOSTILE))])


def sparse(path, rng):
    os.truncate(path, 2**38)


def folder(path, rng):
    path.unlink()
    path.mkdir()


def pipe(path, rng):
    path.unlink()
    os.mkfifo(path)


def loop(path, rng):
    path.unlink()
    path.symlink_to(path.name)


def another(path, rng):
    """Another file of the run in its place."""
    others = [other for other in path.parent.iterdir() if other.is_file() and other != path]
    if others:
        shutil.copy(others[rng.integers(len(others))], path)


WAYS = (flip, cut, grow, remove, hostile, sparse, folder, pipe, loop, another)
NOT_READ = ("timings.jsonl", ".lock")


def results(run):
    """History, samples and figures."""
    found = [run / "history.jsonl", *(run / "samples").iterdir(), *(run / "figures").iterdir()]
    # not the sparse ones
    small = [path for path in sorted(found) if path.is_file() and path.stat().st_size < 2**24]
    return {str(path.relative_to(run)): path.read_bytes() for path in small}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    finish(run)
    return run


def spoil_and_finish(finished, copy, name, way, rng):
    """The run ends as it had ended; or in one line; or says which samples are lost, and ends as
    before but for them.
    """
    shutil.copytree(finished, copy)
    way(copy / name, rng)
    before = results(finished)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            finish(copy)
        except (RunDirectoryError, OSError) as error:
            said_at_the_end = str(error)
        else:
            said_at_the_end = None
    if said_at_the_end is not None:
        assert said_at_the_end
        assert not any(c in said_at_the_end for c in "\n\x1b")
        return

    lines = [str(warning.message) for warning in said]
    assert not any("\n" in line for line in lines)
    after = results(copy)
    for changed in [file for file in before if after.get(file) != before[file]]:
        assert any(changed in line and "no checkpoint has its samples" in line for line in lines), (
            changed,
            lines,
        )


def names(run):
    return sorted(
        str(path.relative_to(run))
        for path in run.rglob("*")
        if path.is_file() and path.name not in NOT_READ
    )


def test_some_spoiled_runs(finished, tmp_path, rng):
    every = [(name, way) for name in names(finished) for way in WAYS]
    for i in rng.choice(len(every), 20, replace=False):
        name, way = every[i]
        print(name, way.__name__)  # noqa: T201
        spoil_and_finish(finished, tmp_path / str(i), name, way, rng)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_file_spoiled_in_every_way(finished, tmp_path, way, rng):
    for i in range(10):
        for name in names(finished):
            copy = tmp_path / str(i) / name.replace("/", "-")
            print(i, name)  # noqa: T201
            spoil_and_finish(finished, copy, name, way, rng)
            shutil.rmtree(copy)


def test_a_change_that_nobody_notices_would_be_found(finished, tmp_path, rng, monkeypatch):
    """Negative control: without comparing the history with its digests, a changed digit passes."""
    monkeypatch.setattr(
        "stability.runs.run_directory._first_difference", lambda lines, digests: None
    )

    def digit(path, rng):
        content = path.read_text()
        at = content.index("0.")
        path.write_text(
            content[: at + 2] + str((int(content[at + 2]) + 1) % 10) + content[at + 3 :]
        )

    with pytest.raises(AssertionError, match=r"history|loss"):
        spoil_and_finish(finished, tmp_path / "copy", "history.jsonl", digit, rng)
