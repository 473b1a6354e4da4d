"""Hostile files for any reader: mutated and hand-made ones, each read in a child with limits.

A test module lists its readers in `READERS` and calls `fuzz` or `examine` with its own `__name__`.
The child imports that module, so its readers must be found there. A file is survived if the reader
returns, or raises one of its errors with one printable line, within `SECONDS` of processor time and
`MEMORY` bytes more than the child had before, and if it ran, wrote and connected nothing.

One more reader: append a `Reader` to the list of its test module. One more way to spoil files: a
function `(content, rng) -> content` in `MUTATIONS`.
"""

import importlib
import io
import json
import os
import pickletools
import re
import resource
import shutil
import signal
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.warm_process import start

__all__ = ["MEMORY", "MUTATIONS", "SECONDS", "Outcome", "Reader", "examine", "fuzz", "mutated"]

SECONDS = 10
"""Processor time for one file."""
WAITING = 90
"""Seconds by the clock for one file, which end a reader that waits."""
MEMORY = 2**30
"""Bytes for one file, beyond what the child had before."""


@dataclass(frozen=True)
class Reader:
    """A function that reads a file or a folder which somebody else wrote.

    Args:
        name: Names it in messages; one word.
        read: Reads a path; raises one of `refusals` for what it does not accept.
        samples: Writes small valid files (or folders) into a folder, and returns their paths.
        refusals: Errors whose message a user is shown.
    """

    name: str
    read: Callable[[Path], object]
    samples: Callable[[Path], list[Path]]
    refusals: tuple[type[Exception], ...]


@dataclass(frozen=True)
class Outcome:
    """The result of reading a file.

    Args:
        fault: What is wrong with the way it ended; empty if nothing is.
        message: The line of a refusal; None if there was a result.
    """

    fault: str
    message: str | None


# In the test


def fuzz(module: str, folder: Path, mutations: int, rng: np.random.Generator) -> dict[str, int]:
    """Read mutated files with every reader of a test module, in one child.

    Args:
        module: Name of the test module, which has `READERS`.
        folder: An empty folder; the file that is at fault stays there.
        mutations: Files for each reader.
        rng: Determines them.

    Returns:
        The numbers of results and of refusals.

    Raises:
        AssertionError: If a file was not survived; names the file.
    """
    seed = int(rng.integers(2**62))
    task = {"fuzz": {"seed": seed, "mutations": mutations}}
    lines = _run_child(module, folder, task)
    counts = {"result": 0, "refusal": 0}

    for line in lines:
        assert not line["fault"], f"{line['name']}, seed {seed}: {line['fault']}"
        counts["refusal" if line["message"] is not None else "result"] += 1
    return counts


def examine(
    module: str,
    folder: Path,
    files: Mapping[str, tuple[str, Path]],
    seconds: int = SECONDS,
    waiting: int = WAITING,
) -> dict[str, Outcome]:
    """Read given files with the readers of a test module, in one child unless a file ends it.

    Args:
        module: Name of the test module, which has `READERS`.
        folder: An empty folder.
        files: Name of a case -> name of the reader, path of the file.
        seconds: Processor time for one file.
        waiting: Seconds by the clock for one file.

    Returns:
        Name of a case -> how it ended.
    """
    outcomes: dict[str, Outcome] = {}
    while left := [
        [name, reader, str(path)] for name, (reader, path) in files.items() if name not in outcomes
    ]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for line in _run_child(
            module, folder, {"files": left, "seconds": seconds, "waiting": waiting}
        ):
            outcomes[line["name"]] = Outcome(line["fault"], line["message"])
    return outcomes


def _run_child(module: str, folder: Path, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the child; a line a file, the last one with a fault if the file ended the child."""
    journal = folder / "journal.jsonl"
    arguments = ("-m", "tests.support.hostile", module, folder, json.dumps(task))
    ended = start(*arguments, environment={"OMP_NUM_THREADS": "1"})
    _, complained = ended.communicate()
    lines = (
        [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    )

    finished = {line["name"] for line in lines if "fault" in line}
    cut = [line for line in lines if "fault" not in line and line["name"] not in finished]
    lines = [line for line in lines if "fault" in line]
    if ended.returncode:
        assert cut, complained[-3000:]
        how = f"ended the process with status {ended.returncode}"
        if ended.returncode < 0:
            how = f"killed by {signal.Signals(-ended.returncode).name}"
        tail = " ".join(complained[-300:].split())
        lines.append({**cut[-1], "fault": f"{how} {tail}".strip(), "message": None})
    return lines


# In the child


def main(module: str, folder: Path, task: dict[str, Any]) -> None:
    """Read the files of the task under limits; what came of each goes to a journal in the
    folder.
    """
    readers: dict[str, Reader] = {r.name: r for r in importlib.import_module(module).READERS}
    samples: dict[str, list[Path]] = {}
    for name in {reader for _, reader, _ in task.get("files", [])} or readers:
        (folder / f"samples-{name}").mkdir()
        samples[name] = readers[name].samples(folder / f"samples-{name}")
        for sample in samples[name]:  # which also imports whatever it takes
            readers[name].read(sample)

    executed: list[str] = []
    _watch(executed, folder)
    _limit()
    with (folder / "journal.jsonl").open("a", buffering=1) as journal:
        for name, reader, path in _files(task, samples, folder):
            journal.write(json.dumps({"name": name}) + "\n")
            outcome = _attempt(readers[reader], path, executed, task)
            line = {"name": name, "fault": outcome.fault, "message": outcome.message}
            journal.write(json.dumps(line) + "\n")
            if outcome.fault and "fuzz" in task:
                return


def _files(task: dict[str, Any], samples: dict[str, list[Path]], folder: Path):
    """Name, reader and path of each file of the task; a mutated one is gone once the next is
    asked for.
    """
    for name, reader, path in task.get("files", []):
        yield name, reader, Path(path)
    fuzzing = task.get("fuzz", {"mutations": 0})

    for i in range(fuzzing["mutations"]):
        for which, (reader, valid) in enumerate(samples.items()):
            rng = np.random.default_rng([fuzzing["seed"], i, which])
            sample = valid[int(rng.integers(len(valid)))]
            path, said = folder / f"{reader}-{i}{sample.suffix}", ""
            if sample.is_dir():
                shutil.copytree(sample, path)
                inside = sorted(p for p in path.rglob("*") if p.is_file())
                chosen = inside[int(rng.integers(len(inside)))]
            else:
                shutil.copy(sample, path)
                chosen = path
            spoiled, said = mutated(chosen.read_bytes(), rng)
            chosen.write_bytes(spoiled)
            yield f"{path} ({said})", reader, path
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _attempt(reader: Reader, path: Path, executed: list[str], task: dict[str, Any]) -> Outcome:
    # without a handler it ends the process
    signal.setitimer(signal.ITIMER_PROF, task.get("seconds", SECONDS))
    signal.alarm(task.get("waiting", WAITING))
    executed.append("reading")
    message = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader.read(path)
        fault = ""
    except reader.refusals as error:
        message = str(error)
        fault = _out_of_memory(error) or _badly_said(message)
    except MemoryError:
        fault = f"takes more than {MEMORY:,} bytes"
    except Exception as error:
        fault = f"raises {type(error).__name__}: {str(error)[:300]!r}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)

    done, executed[:] = executed[1:], []
    return Outcome(f"does {', '.join(done[:3])}" if done else fault, message)


def _out_of_memory(error: BaseException) -> str:
    """A refusal that comes from the limit of this child alone is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or "allocate" in str(cause):
            return f"takes more than {MEMORY:,} bytes"
        cause = cause.__cause__ or cause.__context__
    return ""


def _badly_said(message: str) -> str:
    if not message.strip() or not message.isprintable():
        return f"says {message[:300]!r}, which is not one printable line"
    if len(message) > 2000:
        return f"says {len(message)} characters"
    if found := re.search(r"<_io\.|<\S+ object at 0x|weights_only", message):
        return f"says {found[0]!r}"
    return ""


_HARMFUL = {
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "os.startfile",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.putenv",
    "subprocess.Popen",
    "pty.spawn",
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "shutil.rmtree",
    "shutil.move",
    "shutil.copyfile",
}


def _watch(executed: list[str], folder: Path) -> None:
    """Record what runs, writes or connects while `executed` is not empty."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not executed:
            return
        harmful = event in _HARMFUL
        if event == "open":
            harmful = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        if event in ("exec", "compile"):  # but for modules that are imported late
            frame, importing = sys._getframe(), False
            while frame := frame.f_back:
                importing |= "importlib" in frame.f_code.co_filename
            harmful = not importing
        if harmful:
            executed.append(f"{event} {arguments!r}"[:200])
            raise PermissionError(f"{event} while a file is read")

    sys.addaudithook(hook)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# Ways to spoil a file


def mutated(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The content with one to three mutations, and their names."""
    said = []
    for _ in range(int(rng.integers(1, 4))):
        name, mutation = list(MUTATIONS.items())[int(rng.integers(len(MUTATIONS)))]
        spoiled = mutation(content, rng)
        if spoiled is not None:
            content = spoiled
            said.append(name)
    return content, ", ".join(said) or "as it was"


def _place(content: bytes, rng: np.random.Generator) -> int:
    """A position: anywhere, at the beginning or at the end, where structure is."""
    n = len(content)
    where = int(rng.integers(3))
    if where == 0:
        return int(rng.integers(n + 1))
    near = int(min(n, rng.integers(1, 3000)))
    return int(rng.integers(near + 1)) if where == 1 else n - int(rng.integers(near + 1))


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    spoiled = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if spoiled:
            spoiled[min(_place(content, rng), len(spoiled) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(spoiled)


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: _place(content, rng)]


def _splice(content: bytes, rng: np.random.Generator) -> bytes:
    """A piece of the file once more at another place, over what is there or between it."""
    start, target = _place(content, rng), _place(content, rng)
    piece = content[start : start + int(rng.integers(1, 5000))]
    over = len(piece) if rng.integers(2) else 0
    return content[:target] + piece + content[target + over :]


def _drop(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + content[start + int(rng.integers(1, 200)) :]


NUMBERS = [
    0,
    1,
    2**7,
    2**8 - 1,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**64 - 1,
]


def _number(content: bytes, rng: np.random.Generator) -> bytes:
    """A number at the limits of its type, of 1 to 8 bytes, over what is there."""
    size = int(2 ** rng.integers(4))
    value = NUMBERS[int(rng.integers(len(NUMBERS)))] % 2 ** (8 * size)
    start = _place(content, rng)
    order = "little" if rng.integers(2) else "big"
    return content[:start] + value.to_bytes(size, order) + content[start + size :]


def _digits(content: bytes, rng: np.random.Generator) -> bytes | None:
    """Another decimal number where the text has one."""
    places = list(re.finditer(rb"\d+", content[:20_000]))
    if not places:
        return None
    found = places[int(rng.integers(len(places)))]
    new = [b"0", b"-1", b"1e999", b"9" * 19, b"9" * 5000, b"1.5", b"NaN"][int(rng.integers(7))]
    return content[: found.start()] + new + content[found.end() :]


_OPCODES = [
    *(o.code.encode("latin1") for o in pickletools.opcodes),
    b"2" * 200,  # DUP
    b"(" * 200,
    b"]\x94" * 100,
    b"\x85" * 300,  # TUPLE1
    b"2\x86" * 60,  # the tuple of a value and itself, again and again
    b"h\x00h\x00\x86",
    b"cposix\nsystem\nX\x04\x00\x00\x00true\x85R",
    b"cbuiltins\nexec\nX\x01\x00\x00\x001\x85R",
    b"cbuiltins\neval\n",
    b"c" + b"a" * 40_000 + b"\nb\n",
    b"\x8c\x08builtins\x8c\x07getattr\x93",
    b"\x8a\x08" + b"\xff" * 7 + b"\x7f",  # LONG1
    b"\x96" + b"\xff" * 7 + b"\x7f",  # BYTEARRAY8
    b"X\xff\xff\xff\x7f",
    b"r\xff\xff\xff\x7f",  # LONG_BINPUT
    b"p99999999999\n",
]


def _opcodes(content: bytes, rng: np.random.Generator) -> bytes | None:
    """Opcodes between those of a pickle."""
    if content[:1] != b"\x80":
        return None
    places = []
    try:
        for _, _, position in pickletools.genops(io.BytesIO(content)):
            places.append(position)
    except Exception:
        pass  # what was found before
    for _ in range(int(rng.integers(1, 4))):
        place = places[int(rng.integers(len(places)))] if places else 2
        new = _OPCODES[int(rng.integers(len(_OPCODES)))]
        content = content[:place] + new + content[place:]
    return content


def _zip(content: bytes, rng: np.random.Generator) -> bytes | None:
    """A zip archive with one member spoiled, gone, twice, renamed, packed or large, and
    checksums that fit.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(m.filename, archive.read(m)) for m in archive.infolist()]
    except Exception:
        return None
    if not members:
        return None

    i, packed = int(rng.integers(len(members))), zipfile.ZIP_STORED
    if rng.integers(2):  # where the structure is
        i = next((k for k, (n, _) in enumerate(members) if n.endswith((".pkl", ".json"))), i)
    name, data = members[i]
    match int(rng.integers(7)):
        case 0 | 1 | 2:
            members[i] = name, mutated(data, rng)[0]
        case 3:
            del members[i]
        case 4:
            other = members[int(rng.integers(len(members)))][0]
            members[i] = (
                [other, "../" + name, "\x1b[31m" + name, name * 100][int(rng.integers(4))],
                data,
            )
        case 5:
            packed = zipfile.ZIP_DEFLATED
        case _:
            members[i], packed = (name, bytes(2**25)), zipfile.ZIP_DEFLATED

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        with zipfile.ZipFile(file, "w", packed) as archive:
            for member, data in members:
                archive.writestr(member.replace("\0", "0")[:60_000], data)
    return file.getvalue()


def _deep(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    0.5,
    1e308,
    10**30,
    2**63,
    "",
    "x" * 100_000,
    "\x1b[31mred",
    "\ud800",
    "[/bold]",
    [],
    {},
    [[]],
    [0] * 1000,
    {"a": {}},
    _deep(50),
    [None, None],
    [2**40, 2**40],
    "F64",
    "BOOL",
    [0, 10**15],
]


def _json(content: bytes, rng: np.random.Generator) -> bytes | None:
    """A JSON text, or the header of safetensors, with a value changed, gone, or added."""
    header = content[8:9] == b"{"
    length = int.from_bytes(content[:8], "little")
    text, rest = (content[8 : 8 + length], content[8 + length :]) if header else (content, b"")
    try:
        value = json.loads(text)
    except ValueError:
        return None
    inner = value.get("__metadata__") if isinstance(value, dict) else None
    if isinstance(inner, dict) and rng.integers(2):  # JSON within JSON
        name = list(inner)[int(rng.integers(len(inner)))] if inner else "checkpoint"
        inner[name] = (_json(str(inner.get(name)).encode(), rng) or b"{}").decode()
    else:
        _edit(value, rng)
    text = json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text + rest if header else text


def _edit(value: Any, rng: np.random.Generator) -> None:
    """Change one place in a JSON value."""
    places = []
    stack = [value]
    while stack and len(places) < 5000:
        item = stack.pop()
        if isinstance(item, dict | list):
            keys = list(item) if isinstance(item, dict) else range(len(item))
            places += [(item, key) for key in keys]
            stack += [item[key] for key in keys]
    if not places:
        return
    item, key = places[int(rng.integers(len(places)))]
    new = _VALUES[int(rng.integers(len(_VALUES)))]
    if rng.integers(4) == 0:
        del item[key]
    elif isinstance(item, dict) and rng.integers(4) == 0:
        item[f"new{rng.integers(100)}"] = new
    else:
        item[key] = new


MUTATIONS: dict[str, Callable[[bytes, np.random.Generator], bytes | None]] = {
    "flip": _flip,
    "cut": _cut,
    "splice": _splice,
    "drop": _drop,
    "number": _number,
    "digits": _digits,
    "opcodes": _opcodes,
    "zip": _zip,
    "JSON": _json,
}
"""Name -> function of the content; None if it does not apply."""


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
