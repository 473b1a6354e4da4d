"""Two command lines as a learner: one trains and one samples, and they exchange files.

So anything that runs from a shell can be retrained: a script in another framework, a job that waits
for a cluster, somebody's repository. What a command has finished is kept by the digest of all that
it was given, so that nothing is trained twice after a failure.
"""

import hashlib
import json
import os
import shlex
import shutil
import signal
import string
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stability.loop.arguments import require_number, whole_number
from stability.loop.block_sampling import draw_in_blocks, new_seed, require_random_draws
from stability.loop.regimes import TrainingSet
from stability.runs.array_files import read_npy
from stability.runs.atomic import atomic_write
from stability.runs.attached import attached, process_exit
from stability.runs.output_folder import claim_output_folder
from stability.runs.untrusted import UntrustedFileError, printable, read_bytes

__all__ = ["CommandLearner", "CommandRecipe", "from_commands"]

LARGEST_STATE = 2**34
"""Bytes of a state that a command writes: 16 GiB."""
LARGEST_SAMPLES = 2**36
LONGEST_OUTPUT = 2**20
"""Bytes of a command's output in which its last line is looked for."""
FAREWELL_SECONDS = 5.0
"""Between the signal that asks a command to end and the one that ends it."""
_NEEDS = {"train": {"data", "out"}, "sample": {"state", "count", "out"}}
_KNOWN = {"train": {"data", "state", "seed", "out"}, "sample": {"state", "seed", "count", "out"}}


@dataclass(frozen=True)
class CommandRecipe:
    """Makes a `CommandLearner` for so many chains; see `from_commands` for the fields."""

    train: tuple[str, ...]
    sample: tuple[str, ...]
    timeout_s: float
    folder: Path | None
    block: int = 1000

    def __call__(self, chains: int) -> "CommandLearner":
        """Make the learner.

        Args:
            chains: R >= 1.

        Returns:
            The learner.
        """
        return CommandLearner(self, chains)

    def as_data(self) -> dict[str, Any]:
        """Options that decide the result, as JSON values."""
        return {"train": list(self.train), "sample": list(self.sample), "block": self.block}


def from_commands(
    train: str | Sequence[str],
    sample: str | Sequence[str],
    *,
    timeout_s: float = 86_400,
    folder: Path | str | None = None,
    block: int = 1000,
) -> CommandRecipe:
    """Make a learner of two command lines.

    They are started without a shell, in the present folder. These words are replaced in them:

    - `{data}`: .npy file of the training points (n + m, …)
    - `{state}`: file that the train command wrote. In the train command: the one of the generation
      before, from which it may go on; in generation 0 no such file exists
    - `{seed}`: whole number in [0, 2**31), another one in each call
    - `{count}`: number of points to draw, `block` in each call
    - `{out}`: file to write: the state, in any format, or an .npy file of points (count, …)

    Args:
        train: Command line; has `{data}` and `{out}`.
        sample: Command line; has `{state}`, `{count}` and `{out}`. It must draw other points for
            other seeds.
        timeout_s: Longest time of a command, in seconds; it is ended then.
        folder: For the files that are exchanged. Finished ones of a generation under way stay
            there, so that a run that is resumed does not repeat them. None: a temporary folder.
        block: Points that the sample command draws in each call, >= 1. More are drawn in several
            calls, and those that are too many are left out, so that the first k points of a draw do
            not depend on how many follow them. Raise it if a call takes long to start.

    Returns:
        A recipe: call it with the number of chains, or hand it to a study.

    Raises:
        ValueError: If a command lacks a word, has an unknown one, or cannot be found.
        TypeError: If an argument is of another type.
    """
    require_number(timeout_s, "timeout_s")
    if not 0 < timeout_s < float("inf"):
        raise ValueError(f"timeout_s must be finite and > 0, got {timeout_s}")
    words = {name: _words(name, line) for name, line in (("train", train), ("sample", sample))}
    place = None if folder is None else Path(folder)
    size = whole_number(block, "block", 1)
    return CommandRecipe(words["train"], words["sample"], timeout_s, place, size)


def _words(name: str, line: str | Sequence[str]) -> tuple[str, ...]:
    """The words of a command line, checked."""
    words = tuple(shlex.split(line) if isinstance(line, str) else line)
    if not words or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{name} must be a command line or its words, got {line!r}")
    try:
        found = {field for word in words for _, field, *_ in string.Formatter().parse(word)}
    except ValueError as error:
        raise ValueError(f"{name} has braces that are not closed ({error})") from None
    found.discard(None)
    for field in _NEEDS[name] - found:
        raise ValueError(f"{name} must have {{{field}}}, got {shlex.join(words)}")
    for field in found - _KNOWN[name]:
        known = ", ".join(f"{{{word}}}" for word in sorted(_KNOWN[name]))
        raise ValueError(f"{name} must have no other words in braces than {known}, got {{{field}}}")
    if shutil.which(words[0]) is None:
        raise ValueError(f"{name} must begin with a program that can be run, got {words[0]}")
    return words


class CommandLearner:
    """R states in files, one a chain: a `stability.loop.retraining.Learner`.

    A state of the learner holds the content of the files.

    Args:
        recipe: The commands.
        chains: R >= 1.
    """

    def __init__(self, recipe: CommandRecipe, chains: int) -> None:
        self._recipe = recipe
        self._keys: list[str | None] = [None] * whole_number(chains, "chains", 1)
        self._probed = False
        if recipe.folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="retraining-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        else:
            self._folder = recipe.folder.absolute()
            claim_output_folder(self._folder, "from_commands")
            for left in self._folder.glob("work-*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)

    @property
    def chains(self) -> int:
        return len(self._keys)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Forget the states: the next training begins without one.

        Args:
            rngs: Generators of the chains; not used.
        """
        self._keys = [None] * self.chains

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Run the train command for each chain, but where its result is there already.

        Args:
            datasets: One a chain.
            rngs: One a chain, for the seed.

        Raises:
            ArithmeticError: If a command fails, naming the chain; what others have finished stays.
        """
        goes_on = any("{state}" in word for word in self._recipe.train)
        keys = []
        for r, (data, rng) in enumerate(zip(datasets, rngs, strict=True)):
            seed, before = new_seed(rng), self._keys[r] if goes_on else None
            key = _key("train", self._recipe.train, seed, before, _array_digest(data.points))
            if not self._state(key).exists():
                self._train(r, key, data.points, seed, before)
            keys.append(key)

        self._keys = keys
        current = {self._state(key).name for key in keys}
        for old in [*self._folder.glob("state-*"), *self._folder.glob("samples-*")]:
            if old.name not in current:
                old.unlink(missing_ok=True)

    def _train(self, r: int, key: str, points: np.ndarray, seed: int, before: str | None) -> None:
        """Train chain r and keep its state under the key."""
        with self._work() as work:
            data, out = Path(work) / "data.npy", Path(work) / "state"
            with atomic_write(data) as file:
                np.save(file, np.ascontiguousarray(points), allow_pickle=False)
            state = self._state(before) if before else Path(work) / "none"
            values = {"data": data, "state": state, "seed": seed, "out": out}
            self._run("train", r, values, out)
            if out.stat().st_size == 0 or out.stat().st_size > LARGEST_STATE:
                raise ArithmeticError(
                    f"the train command of chain {r} wrote a state of {out.stat().st_size:,} bytes;"
                    f" it must have 1 to {LARGEST_STATE:,}"
                )
            out.replace(self._state(key))

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Run the sample command for each chain; the points are shuffled.

        Args:
            counts: Points a chain.
            rngs: One a chain.

        Returns:
            One array (counts[r], …) a chain.

        Raises:
            ArithmeticError: If a command fails, returns another number of points than asked, or the
                same points for other seeds.
        """
        if not self._probed:
            repeats = require_random_draws(
                lambda k, s: self._drawn(0, k, s), np.random.default_rng(0), "the sample command"
            )
            if not repeats:
                raise ArithmeticError(
                    "the sample command gives other points for the same {seed}; let all of its "
                    "random numbers come from it"
                )
            self._probed = True
        samples = []
        for r, (count, rng) in enumerate(zip(counts, rngs, strict=True)):
            name, block = f"the sample command of chain {r}", self._recipe.block
            draw = partial(self._drawn, r)
            samples.append(draw_in_blocks(draw, count, rng, name, block))
        return samples

    def _drawn(self, r: int, count: int, seed: int) -> np.ndarray:
        """Points of chain r, from a file if they were drawn before."""
        state = self._keys[r]
        if state is None:
            raise ValueError("the learner must be fitted before it is sampled")
        kept = self._folder / f"samples-{_key('sample', self._recipe.sample, seed, state, count)}"
        # a probe may be repeated to see whether it repeats itself: the second time is not kept
        if kept.exists() and self._probed:
            return read_npy(kept, LARGEST_SAMPLES)

        with self._work() as work:
            out = Path(work) / "samples.npy"
            values = {"state": self._state(state), "seed": seed, "count": count, "out": out}
            try:
                self._run("sample", r, values, out)
                points = read_npy(out, LARGEST_SAMPLES)
            except UntrustedFileError as error:
                # a state that was written by half shows here alone: it is trained again
                self._state(state).unlink(missing_ok=True)
                raise ArithmeticError(
                    f"the sample command of chain {r} wrote a file that {error}"
                ) from None
            got = len(points) if points.ndim else 0
            if got != count:
                raise ArithmeticError(
                    f"the sample command of chain {r} was asked for {count} rows and wrote {got}"
                )
            out.replace(kept)
        return points

    def _run(self, name: str, r: int, values: Mapping[str, Any], out: Path) -> None:
        """Run a command until it has written `out`. ArithmeticError, one line, if it has not."""
        template = self._recipe.train if name == "train" else self._recipe.sample
        words = [
            word.format_map({key: str(value) for key, value in values.items()}) for word in template
        ]
        what = f"the {name} command of chain {r}"
        program = shutil.which(words[0])
        if program is None:
            raise ArithmeticError(f"{what} cannot be run: there is no program {words[0]}")

        log = self._folder / "commands.log"
        with log.open("ab") as file:
            file.write(f"$ {shlex.join(words)}\n".encode())
            file.flush()
            start = file.tell()
            code = _ended([os.path.abspath(program), *words[1:]], file, self._recipe.timeout_s)  # noqa: PTH100
        if code is None:
            raise ArithmeticError(
                f"{what} took longer than timeout_s = {self._recipe.timeout_s:g} and was ended; "
                f"see {log}"
            )
        if code != 0:
            if name == "sample" and code > 0:
                # what it says may be that the state is no state: it is trained again
                self._state(self._keys[r] or "").unlink(missing_ok=True)
            said = process_exit(code, _tail(log, start)).message
            status = f"ended with exit status {code}: " if code > 0 else ""
            raise ArithmeticError(f"{what} {status or 'was '}{printable(said)}; see {log}")
        if not out.is_file():
            others = sorted(path.name for path in out.parent.iterdir() if path.name != "data.npy")
            wrote = f"; it wrote {printable(others[0])} instead" if others else ""
            raise ArithmeticError(f"{what} ended well and did not write {{out}}{wrote}")

    def _state(self, key: str) -> Path:
        return self._folder / f"state-{key}"

    def _work(self) -> "tempfile.TemporaryDirectory[str]":
        """A new folder for one command, removed behind it with all that it left there."""
        return tempfile.TemporaryDirectory(prefix="work-", dir=self._folder)

    def state_dict(self) -> dict[str, Any]:
        chains = []
        for key in self._keys:
            content = b"" if key is None else read_bytes(self._state(key), LARGEST_STATE)
            chains.append({"key": key, "content": np.frombuffer(content, dtype=np.uint8)})
        return {"chains": chains, "probed": self._probed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Write the files again.

        Args:
            state: Of `state_dict`.
        """
        self._probed = state["probed"]
        for r, chain in enumerate(state["chains"]):
            self._keys[r] = chain["key"]
            if chain["key"] is not None:
                with atomic_write(self._state(chain["key"])) as file:
                    file.write(chain["content"].tobytes())


def _ended(program: list[str], output: Any, timeout_s: float) -> int | None:
    """Exit status of a program; None if it took too long. Neither it nor what it started lives
    on.
    """
    process = subprocess.Popen(
        attached(program),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end_group(process)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End the process, if it still runs, and all of its group."""
    running = process.poll() is None
    if not hasattr(os, "killpg"):  # Windows has no groups: the process alone is ended
        process.kill()
        process.wait()
        return

    for number in (signal.SIGTERM, signal.SIGKILL) if running else (signal.SIGKILL,):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(FAREWELL_SECONDS)


def _tail(log: Path, start: int) -> str:
    """The end of what a command printed, which begins at byte `start`."""
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - LONGEST_OUTPUT))
        return file.read().decode(errors="replace")


def _array_digest(points: np.ndarray) -> str:
    """SHA-256 of type, shape and numbers."""
    sha256 = hashlib.sha256(f"{points.dtype.str} {points.shape}".encode())
    sha256.update(np.ascontiguousarray(points).reshape(-1).view(np.uint8).data)
    return sha256.hexdigest()


def _key(*parts: Any) -> str:
    """Name of what was made of these parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
