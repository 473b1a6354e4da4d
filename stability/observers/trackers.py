"""Streams of metrics to the trackers that people use: TensorBoard, MLflow and Weights & Biases.

Each is an observer that measures nothing itself: it is shown every generation, with all that the
other observers measured, just before it is recorded. A run that is killed at that very moment shows
the generation again when it is resumed; the tracker then has it once. All write to a folder and
reach no server.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stability.runs.history import ChainRecord, HistoryLine
from stability.runs.observer import Quantity, View

__all__ = ["MLflow", "TensorBoard", "WandB"]


class _Watching:
    """An observer without quantities."""

    quantities: Sequence[Quantity] = ()

    def __call__(self, view: View) -> dict[str, float]:
        """Measure nothing."""
        return {}


def _numbers(chain: ChainRecord) -> Iterator[tuple[str, float]]:
    """Measured numbers of a chain, without lists, under names that all trackers take."""
    for key, value in chain.measured.items():
        if isinstance(value, int | float):
            yield _plain(key), float(value)


def _plain(name: str) -> str:
    """Letters, digits, underscores, dots, hyphens, spaces and slashes."""
    return re.sub(r"[^A-Za-z0-9_.\-/ ]+", "-", name.replace("λ", "lambda").replace(" = ", "-"))


def _place(chain: ChainRecord) -> str:
    """Name of a chain: lambda-0.5/seed-3."""
    return f"{_plain(chain.row)}/seed-{chain.seed}"


class TensorBoard(_Watching):
    """Writes event files for TensorBoard, one run a chain: `tensorboard --logdir FOLDER`.

    Args:
        folder: For the files; made if missing.

    Raises:
        ImportError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path | str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard is missing: pip install tensorboard") from None
        self._make, self._folder = SummaryWriter, Path(folder)

    def track(self, line: HistoryLine) -> None:
        """Write a generation.

        Args:
            line: What was measured.
        """
        for chain in line.chains:
            place = str(self._folder / _place(chain))
            # readers forget what an earlier process wrote of this generation
            with self._make(place, purge_step=line.t) as writer:
                for key, value in _numbers(chain):
                    writer.add_scalar(key, value, line.t)


class MLflow(_Watching):
    """Logs metrics to an MLflow file store, one run a chain.

    Args:
        folder: Of the file store; made if missing.
        experiment: Name of the experiment in it.

    Raises:
        ImportError: If MLflow is not installed.
    """

    def __init__(self, folder: Path | str, experiment: str = "retraining") -> None:
        # MLflow refuses file stores unless this says that one is wanted
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ImportError("MLflow is missing: pip install mlflow-skinny") from None
        self._client = MlflowClient(tracking_uri=Path(folder).absolute().as_uri())
        self._experiment, self._runs = experiment, {}
        self._logged: dict[tuple[str, str], set[tuple[int, float]]] = {}

    def _run_of(self, place: str) -> str:
        """Id of the run of a chain; one that a killed process began is gone on with."""
        if place not in self._runs:
            known = self._client.get_experiment_by_name(self._experiment)
            id_ = known.experiment_id if known else self._client.create_experiment(self._experiment)
            found = [run for run in self._client.search_runs([id_]) if run.info.run_name == place]
            run = found[0] if found else self._client.create_run(id_, run_name=place)
            self._runs[place] = run.info.run_id
        return self._runs[place]

    def track(self, line: HistoryLine) -> None:
        """Log a generation.

        Args:
            line: What was measured.
        """
        for chain in line.chains:
            run = self._run_of(_place(chain))
            for key, value in _numbers(chain):
                if (line.t, value) not in self._logged_of(run, key):
                    self._client.log_metric(run, key, value, step=line.t)

    def _logged_of(self, run: str, key: str) -> set[tuple[int, float]]:
        """Steps and values that the run had when this process first saw it."""
        if (run, key) not in self._logged:
            known = key in self._client.get_run(run).data.metrics
            history = self._client.get_metric_history(run, key) if known else []
            self._logged[run, key] = {(metric.step, metric.value) for metric in history}
        return self._logged[run, key]


class WandB(_Watching):
    """Logs to Weights & Biases in offline mode, all chains in one run: `wandb sync FOLDER/wandb/…`.

    A run that is resumed writes a further part of the run with the same id.

    Args:
        folder: For the run's files; made if missing.
        project: Name of the project.

    Raises:
        ImportError: If wandb is not installed.
    """

    def __init__(self, folder: Path | str, project: str = "retraining") -> None:
        try:
            import wandb
        except ImportError:
            raise ImportError("Weights & Biases is missing: pip install wandb") from None
        self._wandb, self._folder, self._project = wandb, Path(folder), project
        self._run: Any = None

    def track(self, line: HistoryLine) -> None:
        """Log a generation.

        Args:
            line: What was measured.
        """
        if self._run is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            place = f"{self._project} {self._folder.absolute()}"
            self._run = self._wandb.init(
                project=self._project,
                id=hashlib.sha256(place.encode()).hexdigest()[:16],
                dir=str(self._folder),
                mode="offline",
            )
        numbers: Mapping[str, float] = {
            f"{_place(chain)}/{key}": value
            for chain in line.chains
            for key, value in _numbers(chain)
        }
        self._run.log(dict(numbers), step=line.t)
