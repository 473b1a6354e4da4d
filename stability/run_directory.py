"""The folder of one run: what was asked, what came out, and enough to go on after a kill.

Layout:

    config.json        the whole configuration, and where it ran (versions, commit, threads)
    history.jsonl      one line a generation; the same bytes whether or not the run was interrupted
    timings.jsonl      one line a generation; not reproducible, hence apart
    checkpoints/       the last two generations: learner, training sets, samples, observers
    samples/           what each generation drew
    figures/           pictures
"""

import json
import os
import platform
import shutil
import subprocess
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch

from stability.atomic import PARTIAL_SUFFIX, atomic_write
from stability.regimes import TrainingSet
from stability.retraining import Generation

__all__ = ["Checkpoint", "RunDirectory", "RunDirectoryError", "environment"]

_CONTENT = ("history.jsonl", "timings.jsonl", "checkpoints", "samples", "figures", "config.json")  # config.json last
_KEPT_CHECKPOINTS = 2


class RunDirectoryError(ValueError):
    """The folder cannot hold this run; the message says why and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A generation to go on from, the learner's state at its end, and the observers' state."""

    generation: Generation
    learner: dict[str, Any]
    observers: dict[str, Any]


def environment(packages: tuple[str, ...] = ("numpy", "scipy", "torch", "POT")) -> dict[str, Any]:
    """Versions of Python and of `packages` (None if absent), the machine, and the git commit of the code, if any."""

    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    commit = git("rev-parse", "HEAD")
    return {
        "python": platform.python_version(),
        "packages": {package: installed(package) for package in packages},
        "machine": platform.machine(),
        "commit": commit,
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")) if commit else None,
    }


class RunDirectory:
    """Opens `path` for the run that `config` describes: makes it, or finds the run that was interrupted there.

    path: folder, made if missing.   config: JSON-serialisable; decides whether a run found there is the same one.
    environment: recorded beside it when the run starts, not compared.   overwrite: remove a run found there first.

    RunDirectoryError if the folder holds another run (naming the first difference), something else, or is in use.
    OSError if it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        environment: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.path / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise RunDirectoryError(f"{self.path} is in use by another process") from None
        try:
            self._open(json.loads(json.dumps(config)), environment, overwrite)
        except BaseException:
            self.close()
            raise

    def _open(self, config: dict[str, Any], environment: Mapping[str, Any] | None, overwrite: bool) -> None:
        for leftover in self.path.rglob(f"*{PARTIAL_SUFFIX}"):
            leftover.unlink()
        known = self.path / "config.json"
        if not known.exists() and any(entry.name != ".lock" for entry in self.path.iterdir()):
            raise RunDirectoryError(f"{self.path} is not empty and holds no run; choose another folder")
        if overwrite:
            self._remove_run()
        if not known.exists():
            self._write_json(known, {"config": config, "environment": environment})
        else:
            self._refuse_another_run(config)
        self.environment: dict[str, Any] = self._read_config()["environment"]
        for folder in (self._checkpoints, self.samples, self.figures):
            folder.mkdir(exist_ok=True)

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

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _remove_run(self) -> None:
        for name in _CONTENT:  # config.json goes last: while it stands, the folder is known to be a run's
            entry = self.path / name
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def _read_config(self) -> dict[str, Any]:
        try:
            return json.loads((self.path / "config.json").read_text())
        except ValueError as error:
            raise RunDirectoryError(f"{self.path / 'config.json'} is not JSON ({error}); use --overwrite") from None

    def _refuse_another_run(self, config: dict[str, Any]) -> None:
        found = self._read_config()["config"]
        for name in [*config, *(name for name in found if name not in config)]:
            if found.get(name) != config.get(name):
                raise RunDirectoryError(
                    f"{self.path} holds a run with {name} = {found.get(name)}, not {config.get(name)}; "
                    "choose another --out or use --overwrite"
                )

    @staticmethod
    def _write_json(path: Path, content: Any) -> None:
        with atomic_write(path) as file:
            file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")

    # A generation is recorded in this order: samples, history line, checkpoint. The checkpoint is what makes it count:
    # on resume, history is cut back to the one that is continued from, so a kill in between repeats the same line.

    def record(
        self,
        generation: Generation,
        line: Mapping[str, Any],
        learner: dict[str, Any],
        observers: dict[str, Any],
        seconds: float,
    ) -> None:
        """Store a finished generation: its samples, its line of history, and a checkpoint to go on from.

        ValueError if `line` holds NaN or Inf. OSError if the disk does not take it; nothing is half-written then.
        """
        text = json.dumps({"t": generation.t, **line}, allow_nan=False, ensure_ascii=False) + "\n"
        with atomic_write(self.samples / f"generation-{generation.t:04d}.npz") as file:
            np.savez(file, allow_pickle=False, **{f"chain-{r:03d}": x for r, x in enumerate(generation.samples)})
        _append(self._history, text)
        self._save_checkpoint(generation, learner, observers)
        _append(self.path / "timings.jsonl", json.dumps({"t": generation.t, "seconds": seconds}) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """The recorded lines, in order."""
        return [json.loads(line) for line in _whole_lines(self._history)]

    def load_samples(self, t: int) -> list[np.ndarray]:
        """What generation t drew, one array a chain."""
        with np.load(self.samples / f"generation-{t:04d}.npz", allow_pickle=False) as file:
            return [file[name] for name in file.files]

    def _save_checkpoint(self, generation: Generation, learner: dict[str, Any], observers: dict[str, Any]) -> None:
        with atomic_write(self._checkpoints / f"generation-{generation.t:04d}.pt") as file:
            torch.save(
                {
                    "t": generation.t,
                    "training": [_as_tensors(data) for data in generation.training],
                    "samples": [torch.as_tensor(x) for x in generation.samples],
                    "learner": learner,
                    "observers": observers,
                },
                file,
            )
        for old in sorted(self._checkpoints.glob("generation-*.pt"))[:-_KEPT_CHECKPOINTS]:
            old.unlink()

    def latest(self) -> Checkpoint | None:
        """The newest good checkpoint, with history cut back to it; None (and an empty history) if there is none.

        A checkpoint that is damaged, or whose history lines are lost, is passed over with a warning.
        """
        lines = _whole_lines(self._history)
        for path in sorted(self._checkpoints.glob("generation-*.pt"), reverse=True):
            try:
                checkpoint = _load_checkpoint(path)
            except Exception as error:  # whatever is wrong with the file, the one before it is the answer
                warnings.warn(f"{path} is damaged ({error}); going back to the one before it", stacklevel=2)
                continue
            recorded = checkpoint.generation.t + 1
            if len(lines) < recorded:
                warnings.warn(f"{self._history} lacks lines of {path.name}; going back further", stacklevel=2)
                continue
            self._cut_history(lines[:recorded])
            return checkpoint
        self._cut_history([])
        return None

    def _cut_history(self, lines: list[str]) -> None:
        with atomic_write(self._history) as file:
            file.write("".join(lines).encode())


def _append(path: Path, text: str) -> None:
    with path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _whole_lines(path: Path) -> list[str]:
    """Lines up to the first that is not a whole JSON object: a kill can cut the last one."""
    if not path.exists():
        return []
    good = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            whole = line.endswith("\n") and json.loads(line)["t"] == len(good)
        except (ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            break
        good.append(line)
    return good


def _load_checkpoint(path: Path) -> Checkpoint:
    with zipfile.ZipFile(path) as archive:
        if archive.testzip():  # torch does not compare the checksums that it writes
            raise ValueError("checksum mismatch")
    state = torch.load(path, map_location="cpu", weights_only=True)
    generation = Generation(
        t=state["t"],
        training=tuple(_as_training_set(data) for data in state["training"]),
        samples=tuple(x.numpy() for x in state["samples"]),
    )
    return Checkpoint(generation, state["learner"], state["observers"])


def _as_tensors(data: TrainingSet) -> dict[str, Any]:
    return {
        "points": torch.as_tensor(data.points),
        "real": data.real,
        "weights": None if data.weights is None else torch.as_tensor(data.weights),
        "pool": None if data.pool is None else _as_tensors(data.pool),
    }


def _as_training_set(state: dict[str, Any]) -> TrainingSet:
    return TrainingSet(
        points=state["points"].numpy(),
        real=state["real"],
        weights=None if state["weights"] is None else state["weights"].numpy(),
        pool=None if state["pool"] is None else _as_training_set(state["pool"]),
    )
