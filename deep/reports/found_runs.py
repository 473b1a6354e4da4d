"""Runs of deep.retrain that lie below a folder, and which of them are repeats of one another.

Runs whose configurations agree in everything but seed, regime and number of retrainings belong
together: to a setting. In a setting, a row is a regime, and its chains are the repeats with other
seeds, wherever their folders are.
"""

import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stability.runs.array_files import read_npz
from stability.runs.untrusted import UntrustedFileError, parse_json, printable, read_bytes

__all__ = [
    "Chain",
    "FoundRun",
    "FoundRunError",
    "Line",
    "Record",
    "Series",
    "Setting",
    "find_settings",
    "read_setting",
]

OF_A_RUN = (
    "seed",
    "lam",
    "fully_synthetic",
    "regime",
    "retrainings",
)  # options that differ between the runs of a setting
LARGEST_CONFIG, LARGEST_HISTORY, LARGEST_GRID = 2**24, 2**31, 2**32
"""Bytes of the files that are read."""
LARGEST_NUMBER = 1e100
"""What a history may hold: the square of a larger one is none, and no axis shows it."""
LONGEST_NAME = 40
"""Characters of a model's and of a data set's name in the names of files."""
# what the configuration of deep.retrain has, and no other
MARKS = {"model", "data", "seed", "retrainings"}


class FoundRunError(ValueError):
    """A run cannot be used; the message says which file and why."""


@dataclass(frozen=True)
class Series:
    """A number that is measured of every generation: metric without the number of images, and
    what is compared.
    """

    metric: str
    images: int
    reference: str
    reference_images: int

    @property
    def is_frechet(self) -> bool:
        return self.metric.startswith(("fd-", "fid"))

    @property
    def label(self) -> str:
        """As written on an axis: the names of distances in capitals as their authors do."""
        head, *tail = self.metric.split("-", 1)
        return "-".join([head.upper() if head in ("fid", "kid", "fd", "kd", "w2") else head, *tail])


@dataclass(frozen=True)
class Record:
    """What the history says of a chain in one generation.

    Attributes:
        parameter_distance: ‖θ_t − θ_0‖₂ / p.
        measured: Value and floor, if there is one, of each series.
    """

    regime: str
    replica: int
    parameter_distance: float
    measured: dict[Series, tuple[float, float | None]]


@dataclass(frozen=True)
class Line:
    """A generation. random_parameter_distance: ‖θ_random − θ_0‖₂ / p."""

    features: str
    chains: tuple[Record, ...]
    random_parameter_distance: float


@dataclass(frozen=True)
class FoundRun:
    """One run directory, as `stability.runs.run_directory` documents it, of deep.retrain."""

    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    history: list[Line]

    @property
    def grids(self) -> list[int]:
        """The generations whose grid of samples is stored."""
        return [t for t in range(len(self.history)) if self._grid(t).is_file()]

    def grid(self, t: int) -> np.ndarray:
        """Samples of generation t, (chains, k, c, h, w) uint8, the same k latents in each.

        Raises:
            FoundRunError: If the file is damaged.
        """
        path = self._grid(t)
        try:
            images = read_npz(path, LARGEST_GRID, ["images"])["images"]
        except (UntrustedFileError, OSError, MemoryError) as error:
            raise FoundRunError(f"{path} is damaged ({printable(error)})") from None
        chains = len(self.history[0].chains)
        if (
            images.ndim != 5
            or images.dtype != np.uint8
            or len(images) != chains
            or images.shape[2] not in (1, 3)
        ):
            raise FoundRunError(
                f"{path} holds {images.dtype} of shape {images.shape}, not (chains, k, c, h, w) "
                "uint8"
            )
        return images

    def _grid(self, t: int) -> Path:
        return self.folder / "samples" / f"grid-{t:04d}.npz"


@dataclass(frozen=True)
class Chain:
    """The r-th chain of a run."""

    run: FoundRun
    r: int

    @property
    def records(self) -> list[Record]:
        """One a generation."""
        return [line.chains[self.r] for line in self.run.history]

    @property
    def regime(self) -> str:
        return self.records[0].regime

    @property
    def repeat(self) -> tuple[int, int]:
        """What tells it from other chains of its regime: seed and replica."""
        return self.run.config["seed"], self.records[0].replica


@dataclass(frozen=True)
class Setting:
    """Runs that differ in seed and regime alone."""

    name: str
    runs: Sequence[FoundRun]

    @property
    def config(self) -> dict[str, Any]:
        """What all runs have in common."""
        return _shared(self.runs[0].config)

    @cached_property
    def rows(self) -> dict[str, list[Chain]]:
        """The chains of each regime, by seed; regimes by λ, without real data last."""
        chains = [Chain(run, r) for run in self.runs for r in range(len(run.history[0].chains))]
        rows: dict[str, list[Chain]] = {}
        for chain in sorted(chains, key=lambda chain: (_order(chain.regime), chain.repeat)):
            rows.setdefault(chain.regime, []).append(chain)
        return rows

    @cached_property
    def series(self) -> list[Series]:
        """All that is measured in every generation of every chain, in the order of the first."""
        records = [
            record for chains in self.rows.values() for chain in chains for record in chain.records
        ]
        return [
            series
            for series in records[0].measured
            if all(series in record.measured for record in records)
        ]

    def values(self, regime: str, series: Series) -> np.ndarray:
        """(generations, seeds), as many generations as all seeds of the regime have."""
        return self._table(regime, lambda record: record.measured[series][0])

    def floor(self, series: Series) -> np.ndarray:
        """What as many real images get, one a run; empty where there were too few of them."""
        floors = [run.history[0].chains[0].measured[series][1] for run in self.runs]
        return np.array([floor for floor in floors if floor is not None])

    def parameter_distances(self, regime: str) -> np.ndarray:
        """‖θ_t − θ_0‖₂ / p (Figure 9), (generations, seeds)."""
        return self._table(regime, lambda record: record.parameter_distance)

    def random_parameter_distances(self) -> np.ndarray:
        """‖θ_random − θ_0‖₂ / p, one a run: the reference line of Figure 9."""
        return np.array([run.history[0].random_parameter_distance for run in self.runs])

    def _table(self, regime: str, number: Callable[[Record], float]) -> np.ndarray:
        columns = [[number(record) for record in chain.records] for chain in self.rows[regime]]
        return np.array(list(zip(*columns, strict=False)))


def find_settings(folder: Path) -> list[Setting]:
    """All runs of deep.retrain at or below `folder` that have at least one generation.

    One that is damaged is passed over with a warning, unless there is no other.

    Args:
        folder: Where to look, in any depth.

    Returns:
        The settings, in the order of their first runs.

    Raises:
        FoundRunError: If there is no good run, or if two runs are the same repeat of the same
            setting.
    """
    if not folder.is_dir():
        raise FoundRunError(f"{folder}: no such folder")
    runs, damaged = [], []
    for path in sorted(folder.rglob("config.json")):
        try:
            runs += [run] if (run := _read(path.parent)) is not None else []
        except FoundRunError as error:
            damaged.append(error)
    if not runs:
        raise (
            damaged[0]
            if damaged
            else FoundRunError(f"{folder} holds no run of deep.retrain with a finished generation")
        )
    for error in damaged:
        warnings.warn(f"{error}; that run is left out", stacklevel=2)
    return _settings(runs)


def read_setting(folder: Path) -> Setting:
    """The one run of deep.retrain in `folder`, without those that may lie below it.

    Args:
        folder: The folder of the run.

    Returns:
        Its setting.

    Raises:
        FoundRunError: If it holds no run with a finished generation, or a damaged one.
    """
    run = _read(folder)
    if run is None:
        raise FoundRunError(f"{folder} holds no run of deep.retrain with a finished generation")
    return _settings([run])[0]


def _settings(runs: Sequence[FoundRun]) -> list[Setting]:
    """The runs by setting. FoundRunError if two runs are the same repeat."""
    together: dict[str, list[FoundRun]] = {}
    for run in runs:
        together.setdefault(json.dumps(_shared(run.config), sort_keys=True), []).append(run)
    settings: list[Setting] = []
    names: dict[str, int] = {}
    for members in together.values():
        config = members[0].config
        data = Path(config["data"]).name.split(".")[0]
        # begins file names
        name = re.sub(r"[^\w-]", "-", f"{config['model'][:LONGEST_NAME]}-{data[:LONGEST_NAME]}")
        names[name] = names.get(name, 0) + 1
        settings.append(Setting(name if names[name] == 1 else f"{name}-{names[name]}", members))
        _refuse_repeats(settings[-1])
        if not settings[-1].series:
            raise FoundRunError(
                f"the runs of {settings[-1].name} have no measurement in every generation"
            )
    return settings


def _read(folder: Path) -> FoundRun | None:
    """The run in a folder; None if it is none of deep.retrain, or has no generation yet."""
    content = _json(_bytes(folder / "config.json", LARGEST_CONFIG), f"{folder / 'config.json'}")
    config = content.get("config") if isinstance(content, dict) else None
    if not isinstance(config, dict) or not config.keys() >= MARKS:
        return None
    _require_plausible(config, folder / "config.json")
    environment = content.get("environment") or {}
    if not isinstance(environment, dict):
        raise FoundRunError(
            f"{folder / 'config.json'} is not of a run of deep.retrain: its environment is no "
            "object"
        )

    path = folder / "history.jsonl"
    lines = _bytes(path, LARGEST_HISTORY).splitlines(keepends=True) if path.exists() else []
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()  # being written, or cut by a kill
    history = [_generation(line, t, path) for t, line in enumerate(lines)]
    for t, line in enumerate(history):
        if [(c.regime, c.replica) for c in line.chains] != [
            (c.regime, c.replica) for c in history[0].chains
        ]:
            raise FoundRunError(f"{path}, line {t + 1} has other chains than line 1")
    return FoundRun(folder, config, environment, history) if history else None


def _require_plausible(config: dict[str, Any], path: Path) -> None:
    """FoundRunError if an option that is used here has a value that the command would not take."""
    whole = {
        name: type(config[name]) is int and 0 <= config[name] < 2**63
        for name in ("seed", "retrainings")
    }
    text = {
        name: isinstance(config[name], str) and bool(config[name]) for name in ("model", "data")
    }
    for name, good in (whole | text).items():
        if not good:
            raise FoundRunError(
                f"{path} is not of a run of deep.retrain: {name} = {printable(config[name], 50)}"
            )


def _bytes(path: Path, largest: int) -> bytes:
    try:
        return read_bytes(path, largest)
    except UntrustedFileError as error:
        raise FoundRunError(f"{path} {error}") from None
    except OSError as error:
        raise FoundRunError(f"{path} cannot be read ({error.strerror or error})") from None


def _generation(line: bytes, t: int, path: Path) -> Line:
    where = f"{path}, line {t + 1}"
    found = _json(line, where)
    try:
        if found["t"] != t or not found["chains"]:
            raise ValueError
        chains = tuple(
            Record(
                regime=_name(chain["regime"]),
                replica=_whole(chain["replica"]),
                parameter_distance=_number(chain["parameter_distance"])
                / _whole(chain["parameters"]),
                measured={
                    _series(one): (
                        _number(one["value"]),
                        None if one["floor"] is None else _number(one["floor"]),
                    )
                    for one in chain["measurements"]
                },
            )
            for chain in found["chains"]
        )
        distance = _number(found["random_parameter_distance"]) / _whole(
            found["chains"][0]["parameters"]
        )
        return Line(_name(found["features"]), chains, distance)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise FoundRunError(f"{where} is not generation {t} of a run of deep.retrain") from None


def _json(text: bytes, where: str) -> Any:
    try:
        return parse_json(text)
    except UntrustedFileError as error:
        raise FoundRunError(f"{where} {error}") from None


def _series(measurement: dict[str, Any]) -> Series:
    images = _whole(measurement["images"])
    name = _name(measurement["metric"]).removesuffix(f"_{images}")
    return Series(
        name, images, _name(measurement["reference"]), _whole(measurement["reference_images"])
    )


def _number(value: Any) -> float:
    """ValueError unless it is a number of JSON that can be drawn."""
    if type(value) not in (int, float) or not abs(value) <= LARGEST_NUMBER:
        raise ValueError
    return float(value)


def _whole(value: Any) -> int:
    """ValueError unless it is a count."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError
    return value


def _name(value: Any) -> str:
    """ValueError unless it can be shown as it is, in a terminal and in a figure, where $ begins
    mathematics.
    """
    if not isinstance(value, str) or not value or printable(value) != value or "$" in value:
        raise ValueError
    return value


def _shared(config: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in config.items() if option not in OF_A_RUN}


def _order(regime: str) -> tuple[bool, str, float]:
    """By kind and λ; regimes without λ last."""
    parts = re.fullmatch(r"(.*?)λ = ([-+.\de]+)(.*)", regime)
    try:
        return (
            (True, regime, 0.0) if parts is None else (False, parts[1] + parts[3], float(parts[2]))
        )
    except ValueError:
        return (True, regime, 0.0)


def _refuse_repeats(setting: Setting) -> None:
    for regime, chains in setting.rows.items():
        seen: dict[tuple[int, int], Path] = {}
        for chain in chains:
            if (other := seen.get(chain.repeat)) is not None:
                raise FoundRunError(
                    f"{chain.run.folder} and {other} are the same run, {regime} with seed "
                    f"{chain.run.config['seed']}: "
                    "it would count twice"
                )
            seen[chain.repeat] = chain.run.folder
