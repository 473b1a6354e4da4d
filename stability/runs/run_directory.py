"""The folder of one run: what was asked, what came out, and enough to resume after a kill.

Layout:

    config.json        the whole configuration, and where it ran (versions, commit, threads)
    history.jsonl      one line a generation; the same bytes whether or not the run was interrupted
    timings.jsonl      one line a generation; not reproducible, hence apart
    study.json         measured quantities, with their noise floors
    checkpoints/       the last two generations: learner, training sets, samples, observers
    samples/           the samples of each generation
    figures/           pictures

`stability.runs.run_layout` has all names. A checkpoint holds digests of the configuration, of the
lines of history and of the samples up to it, so that nothing is mixed with another run or changed
in silence.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from stability.loop.regimes import TrainingSet
from stability.loop.retraining import Generation
from stability.runs.atomic import PARTIAL_SUFFIX, atomic_write, sync_folder
from stability.runs.keep import KEEP_ALL, KEEP_LAST, Keep
from stability.runs.run_layout import (
    CONFIG,
    EDITION,
    LOCK,
    STUDY,
    TIMINGS,
    RunDirectoryError,
    config_digest,
    found_run,
    own_files,
    remove_empty,
    remove_run,
    write_config,
)
from stability.runs.sealed import read_sealed_npz, sealed_digest, write_sealed_npz
from stability.runs.state_file import as_plain, read_state, write_state
from stability.runs.untrusted import (
    UntrustedFileError,
    open_regular,
    parse_json,
    printable,
    read_bytes,
)

__all__ = ["RunCheckpoint", "RunDirectory", "RunDirectoryError", "environment"]

LARGEST_HISTORY, LARGEST_SAMPLES = 2**31, 2**36
"""Bytes of history.jsonl, and of a file of samples."""
MOST_THREADS = 4096
PACKAGE = "iterative-retraining"
# ends the names in a configuration under which digests of input files stand
_OF_CONTENT = "_digest"


@dataclass(frozen=True)
class RunCheckpoint:
    """A generation to resume from, the learner's state at its end, and the observers' state."""

    generation: Generation
    learner: dict[str, Any]
    observers: dict[str, Any]


@dataclass(frozen=True)
class _Digests:
    """SHA-256 of each line of history and of each file of samples, in order of the generations."""

    lines: list[str]
    samples: list[str]


def environment(
    packages: tuple[str, ...] = (PACKAGE, "numpy", "scipy", "torch", "POT"),
) -> dict[str, Any]:
    """Environment of a run: versions, machine, and the commit of the code.

    Args:
        packages: Names of installed packages.

    Returns:
        Versions of Python and of `packages` (None if absent), the machine, and the commit of this
        code with whether anything in it is changed; None where git does not track this very file.
    """

    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    # an installed copy may lie inside a repository of somebody's own, whose commit says nothing of
    # this code
    tracked = git("ls-files", "--error-unmatch", "--", Path(__file__).name) is not None
    commit = git("rev-parse", "HEAD") if tracked else None
    return {
        "python": platform.python_version(),
        "packages": {package: installed(package) for package in packages},
        "machine": platform.machine(),
        "commit": commit,
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no"))
        if commit
        else None,
    }


class RunDirectory:
    """Opens `path` for the run that `config` describes: makes it, or finds the run that was
    interrupted there.

    A folder that is refused is left as it was. So is one of a new run that ends by an error before
    anything is recorded: what was made for it is removed again.

    Args:
        path: Folder, made if missing.
        config: JSON-serialisable; decides whether a run found there is the same one.
        environment: Recorded beside it when the run starts, not compared.
        overwrite: Remove a run found there first; files that no run writes stay.
        keep: Checkpoints that stay.
        keep_samples: Samples that stay.

    Raises:
        RunDirectoryError: If the folder holds another run (naming the first difference), something
            else, or is in use.
        OSError: If it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        environment: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        keep: Keep = KEEP_LAST,
        keep_samples: Keep = KEEP_ALL,
    ) -> None:
        self.path = Path(path)
        self._keep, self._keep_samples = keep, keep_samples
        self._config: dict[str, Any] = json.loads(json.dumps(config))
        self._look(overwrite)

        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        self._made_lock = not (self.path / LOCK).exists()
        self._lock = filelock.FileLock(self.path / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise RunDirectoryError(f"{self.path} is in use by another process") from None
        try:
            self._open(environment, overwrite)
        except BaseException:
            self._leave_as_found()
            self.close()
            raise

    def _look(self, overwrite: bool) -> bool:
        """Return whether there is a run to resume; change nothing. RunDirectoryError as above."""
        found = found_run(self.path)
        if found is None or overwrite:
            return False
        if found.problem:
            raise RunDirectoryError(
                f"{self.path} {found.problem}, choose another --out or use --overwrite"
            )
        if self._config.get(EDITION) != found.config.get(EDITION) and EDITION in self._config:
            raise RunDirectoryError(
                f"{self.path} holds a run of an earlier edition, which can be read "
                "(stability.Result.open) but not continued; choose another --out or use "
                "--overwrite"
            )

        for name in [*self._config, *(name for name in found.config if name not in self._config)]:
            if found.config.get(name) != self._config.get(name):
                before, now = printable(found.config.get(name)), printable(self._config.get(name))
                what = f"{printable(name)} = {before}, not {now}"
                if name.endswith(_OF_CONTENT):
                    option = printable(name.removesuffix(_OF_CONTENT).replace("_", "-"))
                    what = f"other content of --{option} (digest {before}, now {now})"
                raise RunDirectoryError(
                    f"{self.path} holds a run with {what}; choose another --out or use --overwrite"
                )

        return True

    def _open(self, environment: Mapping[str, Any] | None, overwrite: bool) -> None:
        self._resumed = self._look(overwrite)  # again, now that nobody else can change it
        if not self._resumed:
            remove_run(self.path)
            write_config(self.path, self._config, json.loads(json.dumps(environment)))

        for leftover in (*own_files(self.path), self.path / (CONFIG + PARTIAL_SUFFIX)):
            if leftover.name.endswith(PARTIAL_SUFFIX):  # of a write that was killed
                leftover.unlink(missing_ok=True)
        found = found_run(self.path)
        assert found is not None
        self.environment: dict[str, Any] = found.environment
        for folder in (self._checkpoints, self.samples, self.figures):
            folder.mkdir(exist_ok=True)
        self._digests = None if self._resumed else _Digests([], [])
        self._history_bytes = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the configuration, by which files of this run are distinguished from those of
        others.
        """
        return config_digest(self._config)

    def threads(self, device: str) -> int:
        """Threads that the run began with; only with them does it resume bit for bit.

        Args:
            device: Where the networks can live here, `cpu`, `cuda` or `mps`.

        Returns:
            Their number.

        Raises:
            RunDirectoryError: If it was started on a GPU that is not used now, or the number is
                none.
        """
        began = self.environment.get("device")
        if began == "cuda" and device != "cuda":
            raise RunDirectoryError(
                f"{self.path} was started on a GPU and there is none here; use --overwrite"
            )
        if began == "mps" and device != "mps":
            raise RunDirectoryError(
                f"{self.path} was started on MPS; resume it with --device mps, or use --overwrite"
            )
        threads = self.environment.get("threads")
        if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
            raise RunDirectoryError(
                f"{self.path / CONFIG} says that the run began with {printable(threads)} threads; "
                f"it must be a whole number from 1 to {MOST_THREADS}; restore it or use --overwrite"
            )
        return threads

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def _history(self) -> Path:
        return self.path / "history.jsonl"

    def close(self) -> None:
        """Let other processes use the folder."""
        self._lock.release()

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._leave_as_found()
        self.close()

    def _leave_as_found(self) -> None:
        """Remove what was made for a new run that has recorded nothing; of an empty folder that
        is all.
        """
        recorded = [file for file in own_files(self.path) if file.name != STUDY]
        if getattr(self, "_resumed", False) or recorded:
            return
        with suppress(OSError):
            (self.path / STUDY).unlink(missing_ok=True)
            remove_empty(self.path)
            if found_run(self.path) is not None:
                (self.path / CONFIG).unlink()
            if self._made_lock:
                (self.path / LOCK).unlink(missing_ok=True)
            for folder in self._made:
                folder.rmdir()

    # A generation is recorded in this order: samples, history line, checkpoint. The checkpoint is
    # what makes it count: on resume, history is cut back to the one that is continued from, so a
    # kill in between repeats the same line.

    def record(
        self,
        generation: Generation,
        line: Mapping[str, Any],
        learner: dict[str, Any],
        observers: dict[str, Any],
        seconds: float,
    ) -> None:
        """Store a finished generation: its samples, its line of history, and a checkpoint to resume
        from.

        Args:
            generation: The one behind the last that was recorded.
            line: Its line of history, JSON-serialisable; `t` is put before it.
            learner: State of the learner: tensors, NumPy arrays, numbers, strings and None, in
                lists, tuples and dictionaries.
            observers: State of whoever watches, of the same kinds.
            seconds: What it took, for timings.jsonl.

        Raises:
            TypeError: If a state holds anything else; nothing is written then.
            ValueError: If `line` holds NaN or Inf, or another generation is due.
            OSError: If the disk does not take it; nothing is half-written then.
        """
        if self._digests is None:
            raise ValueError(
                f"{self.path} holds a run: call latest() before a generation is recorded"
            )
        if generation.t != (due := len(self._digests.lines)):
            raise ValueError(f"generation must be the next one, t = {due}, got t = {generation.t}")
        text = json.dumps({"t": generation.t, **line}, allow_nan=False, ensure_ascii=False) + "\n"
        states = {"learner": learner, "observers": observers}
        for name, state in states.items():
            as_plain(state, name)  # refuses what cannot be stored while nothing is written

        written = self._write_samples(generation)
        _append(self._history, text, behind=self._history_bytes)
        digests = _Digests([*self._digests.lines, _sha256(text)], [*self._digests.samples, written])
        self._save_checkpoint(generation, states, digests)
        self._digests, self._history_bytes = digests, self._history_bytes + len(text.encode())
        _append(self.path / TIMINGS, json.dumps({"t": generation.t, "seconds": seconds}) + "\n")

    def _write_samples(self, generation: Generation) -> str:
        arrays = {f"chain-{r:03d}": np.asarray(x) for r, x in enumerate(generation.samples)}
        return write_sealed_npz(self._samples(generation.t), arrays)

    def history(self) -> list[dict[str, Any]]:
        """The recorded lines, in order."""
        return [json.loads(line) for line in _whole_lines(self._read_history())]

    def load_samples(self, t: int) -> list[np.ndarray]:
        """Load the samples of generation t, from its file or else from a checkpoint.

        Args:
            t: The generation.

        Returns:
            One array a chain.

        Raises:
            RunDirectoryError: If both are lost.
        """
        path = self._samples(t)
        recorded = (
            self._digests.samples[t] if self._digests and t < len(self._digests.samples) else None
        )
        try:
            arrays, digest = read_sealed_npz(path)
            if recorded in (None, digest):
                return list(arrays.values())
            problem = "differs from what was recorded"
        except FileNotFoundError:
            problem = "is missing"
        except UntrustedFileError as error:
            problem = str(error)

        return self._restore_samples(t, problem)

    def _restore_samples(self, t: int, problem: str) -> list[np.ndarray]:
        """Write a file of samples again, from the checkpoint of that generation."""
        path = self._samples(t)
        try:
            generation = self._load_checkpoint(self._checkpoint(t), t)[0].generation
        except (UntrustedFileError, OSError):
            raise RunDirectoryError(
                f"{path} {problem}, and no checkpoint has its samples any more"
            ) from None
        warnings.warn(f"{path} {problem}; written again from the checkpoint", stacklevel=4)
        self._write_samples(generation)
        return list(generation.samples)

    def _samples(self, t: int) -> Path:
        return self.samples / f"generation-{t:04d}.npz"

    def _checkpoint(self, t: int) -> Path:
        return self._checkpoints / f"generation-{t:04d}.pt"

    def _save_checkpoint(
        self, generation: Generation, states: dict[str, Any], digests: _Digests
    ) -> None:
        path = self._checkpoint(generation.t)
        write_state(
            path,
            {
                "t": generation.t,
                "run": self.digest,
                "lines": digests.lines,
                "sample_files": digests.samples,
                "training": [_as_state(data) for data in generation.training],
                "samples": [np.asarray(x) for x in generation.samples],
                **states,
            },
        )
        # what cannot be read back would be of no use, and is found out before it costs hours
        if generation.t == 0:
            self._load_checkpoint(path, 0)
        self._drop_old(generation.t)

    def _drop_old(self, newest: int) -> None:
        for t, old in self._stored():
            if not self._keep.keeps(t, newest):
                old.unlink()
        for t in range(newest - 1):
            if not self._keep_samples.keeps(t, newest):
                self._samples(t).unlink(missing_ok=True)

    def _stored(self) -> list[tuple[int, Path]]:
        """Checkpoints and their generations, the newest first."""
        names = (
            (re.fullmatch(r"generation-(\d{4,})\.pt", path.name), path)
            for path in self._checkpoints.iterdir()
        )
        return sorted(((int(name[1]), path) for name, path in names if name), reverse=True)

    def _load_checkpoint(self, path: Path, t: int) -> tuple[RunCheckpoint, _Digests]:
        """UntrustedFileError if it is damaged, or not the one of this run and this generation."""
        state = read_state(path)
        try:
            if state["run"] != self.digest:
                raise UntrustedFileError("is of a run with another configuration")
            if state["t"] != t:
                raise UntrustedFileError(f"holds generation {state['t']}, not the one in its name")
            training = tuple(_as_training_set(data) for data in state["training"])
            checkpoint = RunCheckpoint(
                Generation(t, training, tuple(state["samples"])),
                state["learner"],
                state["observers"],
            )
            digests = _Digests(list(state["lines"]), list(state["sample_files"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, UntrustedFileError):
                raise
            raise UntrustedFileError("is damaged or no checkpoint of a run") from None

        if not len(digests.lines) == len(digests.samples) == t + 1:
            raise UntrustedFileError("is damaged (its digests are of other generations)")
        return checkpoint, digests

    def latest(self) -> RunCheckpoint | None:
        """The newest good checkpoint, with history cut back to it; None (and an empty history) if
        there is none.

        A checkpoint that is damaged, or whose lines of history are lost or changed, is passed over
        with a warning. What is then cut off the history is kept beside it, in history-kept-N.jsonl.

        Raises:
            RunDirectoryError: If there is a good checkpoint, but its lines of history are lost or
                changed.
        """
        content = self._read_history()
        lines = _whole_lines(content)
        passed_over, lost = False, None
        for t, path in self._stored():
            try:
                checkpoint, digests = self._load_checkpoint(path, t)
            except (UntrustedFileError, OSError) as error:
                warnings.warn(
                    f"{path} {_reason(error)}; going back to the one before it", stacklevel=2
                )
                passed_over = True
                continue
            if (bad := _first_difference(lines, digests.lines)) is not None:
                passed_over, lost = True, bad
                warnings.warn(
                    f"{self._history}: line {bad + 1} is missing or changed since {path.name} was "
                    "written; "
                    "going back further",
                    stacklevel=2,
                )
                continue
            self._cut_history(content, lines[: t + 1], passed_over)
            self._digests = digests
            self._drop_old(t)  # a kill may have come before it
            self._look_for_samples()
            return checkpoint

        if lost is not None:
            raise RunDirectoryError(
                f"{self._history}: line {lost + 1} is missing or was changed since it was "
                "recorded; "
                "restore it, or use --overwrite to start again"
            )
        self._cut_history(content, [], passed_over)
        self._digests = _Digests([], [])
        return None

    def _look_for_samples(self) -> None:
        """Say which files of samples are lost or damaged; those that a checkpoint still has are
        written again.
        """
        assert self._digests is not None
        newest = len(self._digests.samples) - 1

        for t, recorded in enumerate(self._digests.samples):
            if not self._keep_samples.keeps(t, newest):
                continue
            try:
                with open_regular(self._samples(t), LARGEST_SAMPLES) as file:
                    problem = (
                        None
                        if sealed_digest(file) == recorded
                        else "differs from what was recorded"
                    )
            except FileNotFoundError:
                problem = "is missing"
            except UntrustedFileError as error:
                problem = str(error)
            if problem:
                try:
                    self._restore_samples(t, problem)
                except RunDirectoryError as error:
                    warnings.warn(str(error), stacklevel=3)

    def _read_history(self) -> bytes:
        try:
            return read_bytes(self._history, LARGEST_HISTORY)
        except FileNotFoundError:
            return b""
        except UntrustedFileError as error:
            raise RunDirectoryError(f"{self._history} {error}") from None

    def _cut_history(self, content: bytes, lines: list[str], passed_over: bool) -> None:
        """Shorten the history to `lines`.

        More than the one line whose checkpoint a kill prevented is kept aside.
        """
        kept = "".join(lines).encode()
        rest, self._history_bytes = content[len(kept) :], len(kept)
        if not rest:
            return
        if passed_over or b"\n" in rest[:-1]:
            aside = next(
                path
                for i in count(1)
                if not (path := self.path / f"history-kept-{i}.jsonl").exists()
            )
            with atomic_write(aside) as file:
                file.write(content)
            warnings.warn(
                f"{self._history} is cut to {len(lines)} lines, as many as there is a checkpoint "
                "for; "
                f"all that it held is in {aside.name}",
                stacklevel=3,
            )

        with atomic_write(self._history) as file:
            file.write(kept)


def _append(path: Path, text: str, behind: int | None = None) -> None:
    """behind: bytes that the file has; more are of an attempt that failed, and are cut off."""
    new = not path.exists()
    with path.open("ab") as file:
        if behind is not None:
            file.truncate(behind)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync_folder(path.parent)


def _sha256(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _whole_lines(content: bytes) -> list[str]:
    """Lines up to the first that is not a whole JSON object: a kill can cut the last one."""
    good: list[str] = []
    for line in content.splitlines(keepends=True):
        try:
            found = parse_json(line)
        except UntrustedFileError:
            break
        if not (line.endswith(b"\n") and isinstance(found, dict) and found.get("t") == len(good)):
            break
        good.append(line.decode())
    return good


def _first_difference(lines: list[str], digests: list[str]) -> int | None:
    """Number of the first line that is not the one recorded; None if all are there."""
    for i, digest in enumerate(digests):
        if i >= len(lines) or _sha256(lines[i]) != digest:
            return i
    return None


def _reason(error: Exception) -> str:
    return (
        str(error)
        if isinstance(error, UntrustedFileError)
        else f"cannot be read ({printable(error)})"
    )


def _as_state(data: TrainingSet) -> dict[str, Any]:
    return {
        "points": np.asarray(data.points),
        "real": data.real,
        "weights": None if data.weights is None else np.asarray(data.weights),
        "pool": None if data.pool is None else _as_state(data.pool),
    }


def _as_training_set(state: dict[str, Any]) -> TrainingSet:
    return TrainingSet(
        points=state["points"],
        real=state["real"],
        weights=state["weights"],
        pool=None if state["pool"] is None else _as_training_set(state["pool"]),
    )
