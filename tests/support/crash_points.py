"""Runs a command again and again, killed right after its k-th file operation, for every k; then
once more to its end.

    python -m tests.support.crash_points FOLDER EVERY MODULE [ARGUMENT ...]

Each run is a fork of this process, which has imported everything and computed nothing. FOLDER/whole
is the run that nobody disturbed, FOLDER/K the one killed after operation K and resumed. EVERY: 1
tries all operations, n those whose number leaves the rest 0, or a random number below n, printed,
for n > 1. Prints a line of JSON: the number of operations, those tried, and those after which a
file differed.
"""

import builtins
import contextlib
import io
import json
import os
import random  # noqa: TID251
import runpy
import sys
import traceback
from pathlib import Path

KILLED = 77
OF_NO_ACCOUNT = ("timings.jsonl", "config.json")  # seconds; where it ran
OPERATIONS = ("fsync", "replace", "rename", "unlink", "remove", "mkdir", "rmdir", "truncate")


class Counter:
    """Counts operations on files that change something, and ends the process after the last one
    allowed.
    """

    def __init__(self, last: int | None) -> None:
        self.done, self.last = 0, last

    def after(self) -> None:
        self.done += 1
        if self.done == self.last:
            os._exit(KILLED)

    def counting(self, operation):
        def counted(*arguments, **options):
            result = operation(*arguments, **options)
            self.after()
            return result

        return counted


def install(counter: Counter) -> None:
    """Count the operations of `os`, and every write that leaves Python's buffers."""

    class CountedFile(io.FileIO):
        def write(self, content):
            result = super().write(content)
            counter.after()
            return result

        def truncate(self, size=None):
            result = super().truncate(size)
            counter.after()
            return result

    plain_open = io.open

    def counted_open(file, mode="r", buffering=-1, *arguments, **options):
        is_ours = not isinstance(file, int) and options.get("opener") is None
        if not is_ours or "b" not in mode or not set(mode) & set("wax+"):
            return plain_open(file, mode, buffering, *arguments, **options)
        raw = CountedFile(file, mode.replace("b", ""))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    io.open = builtins.open = counted_open
    for name in OPERATIONS:
        setattr(os, name, counter.counting(getattr(os, name)))


def run(module: str, arguments: list[str], last: int | None, count_to: Path | None = None) -> int:
    """Exit status of a fork that runs the module, killed after so many operations."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    counter, status = Counter(last), 0
    sys.argv = [module, *arguments]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            install(counter)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            traceback.print_exc()
            status = 1
    if count_to:
        count_to.write_text(str(counter.done))
    os._exit(status)


def content(folder: Path) -> dict[str, bytes]:
    """Every file by its name, but checkpoints, whose states may share their storage otherwise,
    and times.
    """
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    kept = {
        name: path
        for name, path in files.items()
        if "checkpoints" not in name and name not in OF_NO_ACCOUNT
    }
    return {name: path.read_bytes() for name, path in sorted(kept.items())} | {
        name: b"" for name in files if "checkpoints" in name
    }


def main(folder: Path, every: int, module: str, arguments: list[str]) -> None:
    whole, count = folder / "whole", folder / "count"
    run(module, [*arguments, "--out", str(folder / "warm")], None)  # compiles what is not yet
    if status := run(module, [*arguments, "--out", str(whole)], None, count):
        raise SystemExit(f"the undisturbed run ended with status {status}")

    operations = int(count.read_text())
    first = random.randrange(every) if every > 1 else 0
    tried = range(1 + first, 1 + operations, every)
    differ = {}
    for k in tried:
        options = [*arguments, "--out", str(folder / str(k))]
        ends = run(module, options, k), run(module, options, None)
        if ends != (KILLED, 0) or content(folder / str(k)) != content(whole):
            differ[k] = ends
    sys.stdout.write(
        json.dumps({"operations": operations, "tried": list(tried), "differ": differ}) + "\n"
    )


if __name__ == "__main__":
    imports = ("toy.run", "matplotlib.backends.backend_pdf", "PIL.GifImagePlugin")
    for name in imports:
        __import__(name)
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
