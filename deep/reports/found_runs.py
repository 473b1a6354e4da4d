"""Runs of deep.retrain that lie below a folder, and which of them are repeats of one another.

Runs whose configurations agree in everything but seed, regime and number of retrainings belong
together: to a setting. In a setting, a row is a regime, and its chains are the repeats with other
seeds, wherever their folders are.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stability.loop.regime_data import order_of
from stability.loop.regimes import Regime
from stability.runs.array_files import read_npz
from stability.runs.history import ChainRecord, HistoryError, as_json, count, name
from stability.runs.recorded_run import RecordedRun, read_config, read_run
from stability.runs.run_layout import CONFIG, HISTORY
from stability.runs.untrusted import UntrustedFileError, printable

__all__ = [
    "Chain",
    "FoundRun",
    "FoundRunError",
    "Series",
    "Setting",
    "find_settings",
    "read_setting",
]

OF_A_RUN = (
    "seed",
    "lam",
    "fully_synthetic",
    "extrapolate",
    "regime",
    "retrainings",
    "seeds",
)  # options that differ between the runs of a setting
LARGEST_GRID = 2**32
"""Bytes of a file of samples that is read."""
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
class FoundRun:
    """One run of deep.retrain.

    Attributes:
        recorded: What its folder says.
        series: Key of each series in its history.
    """

    recorded: RecordedRun
    series: Mapping[Series, str]

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.recorded.folder

    @property
    def config(self) -> Mapping[str, Any]:
        """Its options."""
        return self.recorded.config

    @property
    def environment(self) -> Mapping[str, Any]:
        """Environment in which it was started."""
        return self.recorded.environment

    @property
    def generations(self) -> int:
        """Number of finished generations."""
        return len(self.recorded.history)

    @property
    def features(self) -> str:
        """Name of the feature space."""
        about = (quantity.about for quantity in self.recorded.study.quantities)
        return next((str(one["features"]) for one in about if "features" in one), "")

    def floor(self, series: Series) -> float | None:
        """Value that as many real images get.

        Args:
            series: The series of numbers.

        Returns:
            The value; None where there were too few real images.
        """
        floor = self.recorded.study.floors.get(self.series[series])
        return None if floor is None else floor.mean

    @property
    def lost_grids(self) -> list[int]:
        """Generations whose grid should be there and is not."""
        return sorted(set(range(self.generations)) - set(self.grids))

    @property
    def grids(self) -> list[int]:
        """The generations whose grid of samples is stored."""
        return [t for t in range(self.generations) if self._grid(t).is_file()]

    def grid(self, t: int) -> np.ndarray:
        """Read the samples of generation t, the same k latents in each chain.

        Args:
            t: Generation with a stored grid.

        Returns:
            Images, (chains, k, c, h, w) uint8.

        Raises:
            FoundRunError: If the file is damaged.
        """
        path = self._grid(t)
        try:
            images = read_npz(path, LARGEST_GRID, ["images"])["images"]
        except (UntrustedFileError, OSError, MemoryError) as error:
            raise FoundRunError(f"{path} is damaged ({printable(error)})") from None
        chains = len(self.recorded.history[0].chains)
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
    def records(self) -> list[ChainRecord]:
        """One a generation."""
        return [line.chains[self.r] for line in self.run.recorded.history]

    @property
    def regime(self) -> Regime:
        """Its regime."""
        return self.records[0].regime

    @property
    def repeat(self) -> tuple[int, int]:
        """Identity among the chains of its regime: the run's seed and its own."""
        return self.run.config["seed"], self.records[0].seed

    def values(self, series: Series) -> list[float]:
        """A number of each generation.

        Args:
            series: The series of numbers.

        Returns:
            The numbers, from generation 0 on.
        """
        key = self.run.series[series]
        return [record.measured[key] for record in self.records]


@dataclass(frozen=True)
class Setting:
    """Runs that differ in seed and regime alone."""

    name: str
    runs: Sequence[FoundRun]

    @property
    def config(self) -> dict[str, Any]:
        """Options that all runs have in common."""
        return _shared(self.runs[0].config)

    @cached_property
    def rows(self) -> dict[str, list[Chain]]:
        """The chains of each regime, by seed; regimes by λ, without real data last."""
        chains = [
            Chain(run, r) for run in self.runs for r in range(len(run.recorded.history[0].chains))
        ]
        rows: dict[str, list[Chain]] = {}
        for chain in sorted(chains, key=lambda chain: (order_of(chain.regime), chain.repeat)):
            rows.setdefault(str(chain.regime), []).append(chain)
        return rows

    @cached_property
    def series(self) -> list[Series]:
        """All that is measured in every run, in the order of the first."""
        return [one for one in self.runs[0].series if all(one in run.series for run in self.runs)]

    def row_of(self, regime: Regime) -> str | None:
        """Name of the row of a regime.

        Args:
            regime: The regime.

        Returns:
            The name; None if there is none.
        """
        return next((row for row, chains in self.rows.items() if chains[0].regime == regime), None)

    def values(self, regime: str, series: Series) -> np.ndarray:
        """Numbers of a regime, as many generations as all its seeds have.

        Args:
            regime: Name of its row.
            series: The series of numbers.

        Returns:
            The numbers, (generations, seeds).
        """
        return self._table(regime, lambda chain: chain.values(series))

    def floor(self, series: Series) -> np.ndarray:
        """Values that as many real images get, one a run.

        Args:
            series: The series of numbers.

        Returns:
            The values, (runs,); a run with too few real images is left out.
        """
        floors = [run.floor(series) for run in self.runs]
        return np.array([floor for floor in floors if floor is not None])

    def parameter_distances(self, regime: str) -> np.ndarray:
        """Distances of the parameters from their origin: ‖θ_t − θ_0‖₂ / p (Figure 9).

        Args:
            regime: Name of its row.

        Returns:
            The distances, (generations, seeds).
        """
        return self._table(regime, lambda chain: [_moved(record) for record in chain.records])

    def random_parameter_distances(self) -> np.ndarray:
        """‖θ_random − θ_0‖₂ / p, one a run: the reference line of Figure 9."""
        firsts = [run.recorded.history[0].chains[0].measured for run in self.runs]
        return np.array([one["random_parameter_distance"] / one["parameters"] for one in firsts])

    def _table(self, regime: str, numbers: Callable[[Chain], Sequence[float]]) -> np.ndarray:
        columns = [numbers(chain) for chain in self.rows[regime]]
        return np.array(list(zip(*columns, strict=False)))


def _moved(record: ChainRecord) -> float:
    """‖θ_t − θ_0‖₂ / p."""
    return record.measured["parameter_distance"] / record.measured["parameters"]


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
        together.setdefault(as_json(_shared(run.config)), []).append(run)
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
    try:
        config, _ = read_config(folder)
        if not config.keys() >= MARKS:
            return None
        _require_plausible(config, folder / CONFIG)
        recorded = read_run(folder)
    except HistoryError as error:
        raise FoundRunError(str(error)) from None
    except OSError as error:
        raise FoundRunError(
            f"{error.filename} cannot be read ({error.strerror or error})"
        ) from None
    if not recorded.history:
        return None
    series = _series(recorded)
    _require_measured(recorded, series)
    return FoundRun(recorded, series)


def _require_plausible(config: Mapping[str, Any], path: Path) -> None:
    """FoundRunError if an option that is used here has a value that the command would not take."""
    whole = {
        name: type(config[name]) is int and 0 <= config[name] < 2**63
        for name in ("seed", "retrainings")
    }
    text = {
        name: isinstance(config[name], str) and bool(config[name]) for name in ("model", "data")
    }
    for option, good in (whole | text).items():
        if not good:
            raise FoundRunError(
                f"{path} is not of a run of deep.retrain: {option} = "
                f"{printable(config[option], 50)}"
            )


def _series(run: RecordedRun) -> dict[Series, str]:
    """The keys of quantities that are measured against real images."""
    found = {}
    try:
        for quantity in run.study.quantities:
            if "reference" in quantity.about:
                about = quantity.about
                sizes = count(about["images"]), count(about["reference_images"])
                metric, reference = name(about["metric"]), name(about["reference"])
                name(about["features"])
                if not _is_drawable(quantity.key):
                    raise ValueError
                found[Series(metric, sizes[0], reference, sizes[1])] = quantity.key
    except (KeyError, ValueError):
        raise FoundRunError(f"{run.folder} has a damaged description of what it measured") from None
    return found


def _is_drawable(name: str) -> bool:
    """Tell whether a figure shows it as it is: $ begins mathematics."""
    return "$" not in name


def _require_measured(run: RecordedRun, series: Mapping[Series, str]) -> None:
    """FoundRunError unless every generation has all series and parameters, as finite numbers."""
    needed = [*series.values(), "parameter_distance", "random_parameter_distance", "parameters"]
    for line in run.history:
        for chain in line.chains:
            values = [chain.measured.get(key) for key in needed]
            good = all(isinstance(x, int | float) and np.isfinite(x) for x in values)
            if not good or chain.measured["parameters"] < 1 or not _is_drawable(chain.row):
                raise FoundRunError(
                    f"{run.folder / HISTORY}, line {line.t + 1} is not generation {line.t} of a "
                    "run of deep.retrain"
                )


def _shared(config: Mapping[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in config.items() if option not in OF_A_RUN}


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
