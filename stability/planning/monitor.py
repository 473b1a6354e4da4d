"""`check`: is a loop degrading? Reads generations, judges them, and says what it could see."""

import hashlib
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from stability.laws.wright_fisher import loss_probability
from stability.planning.alarm import Alarm, Null, start_alarm
from stability.planning.check_record import CheckResult, Endangered, Look
from stability.planning.column_changes import column_changes, constant_columns, pair_trends
from stability.planning.copies import Copies, copies, row_hashes
from stability.planning.embedding import Embedding, distance, embedding_of, points_of
from stability.planning.row_order import dependence, same_noise, thinned, twin_correlation
from stability.planning.scores import split_real
from stability.planning.target_score import score_generation
from stability.planning.trend import fit_trend
from stability.planning.two_sample import classifier_auc, fidelity
from stability.runs.command_line import UsageError
from stability.runs.data_files import natural_order, read_data
from stability.runs.run_generations import RunGeneration, is_run, run_generations
from stability.runs.table_files import RawTable
from stability.runs.table_schema import CodedTable, code_reference

__all__ = [
    "CheckSettings",
    "Monitor",
    "Watch",
    "check",
    "digest_of",
    "named_generations",
    "open_watch",
]

LN10 = math.log(10)
TWIN = 0.8
SHARED = 1e-4
ENDANGERED = 0.05
LATER = 10
MOST_ENDANGERED = 20


@dataclass(frozen=True)
class CheckSettings:
    """Settings of the watch over a loop; fixed before its first generation.

    Attributes:
        alpha: Probability of ever raising a false alarm, in (0, 1).
        null: `real`: no worse than real data by more than τ. `rows`: no worse than the given real
            rows, which the model was trained on. `stationary`: no drift from the loop's own first
            generations by more than τ.
        tolerance: τ, in standard deviations of a score; None: the noise of retraining on as many
            points as the real data have.
        effect: Change that must be visible for "no change found": standard deviations of a column
            of numbers.
        share: The same for categories: relative loss of the most frequent level's share.
        reference_rounds: Generations that make the reference of `stationary`.
        rows: `auto` counts dependent rows once; `independent` declares that order means nothing.
        features: Of pictures: `pixels`, `random-conv` or `module:function`.
        array: Name of the array in .npz files.
        categorical: Columns whose numbers are codes.
        target: Column to predict.
        keys: Columns that name rows.
        regime: Of run folders: name of the row.
        seed: Of run folders: the chain's seed.
    """

    alpha: float = 0.05
    null: Null = "real"
    tolerance: float | None = None
    effect: float = 0.1
    share: float = 0.2
    reference_rounds: int = 3
    rows: str = "auto"
    features: str = "pixels"
    array: str | None = None
    categorical: tuple[str, ...] = ()
    target: str | None = None
    keys: tuple[str, ...] = ()
    regime: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must be in (0, 1), got {self.alpha}")
        if self.null not in get_args(Null):
            raise ValueError(f"null must be one of {', '.join(get_args(Null))}, got {self.null}")
        if self.rows not in ("auto", "independent"):
            raise ValueError(f"rows must be auto or independent, got {self.rows}")
        for name in ("effect", "share"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be finite and > 0, got {value}")
        if self.tolerance is not None and not 0 <= self.tolerance < math.inf:
            raise ValueError(f"tolerance must be finite and >= 0, got {self.tolerance}")
        if self.reference_rounds < 1:
            raise ValueError(f"reference_rounds must be >= 1, got {self.reference_rounds}")


@dataclass(frozen=True, eq=False)
class Monitor:
    """Quantities that the real data and the settings fix.

    Attributes:
        settings: How the loop is watched.
        real: The real data.
        holdout: Real rows that were not trained on, if any.
        fitted: The real rows that fixed the scores.
        points: The real data as points, (n, d).
        embedding: Their mean features.
        lag: Lag-1 correlation of rows that depend on each other, with its column; None: none found.
        digest: SHA-256 of the real data.
    """

    settings: CheckSettings
    real: CodedTable
    holdout: CodedTable | None
    fitted: CodedTable
    points: NDArray[np.float64]
    embedding: Embedding
    lag: tuple[str, float] | None
    digest: str


@dataclass(frozen=True, eq=False)
class Watch:
    """A monitor after some generations.

    Attributes:
        monitor: What is fixed.
        alarm: The alarm after them.
        looks: One a generation.
        means: Mean point of each, (d,).
        last: The last generation, if it was read in this process.
        twin: Correlation of its rows with those of the one before.
        lag: Its lag-1 correlation, if its rows depend on each other.
    """

    monitor: Monitor
    alarm: Alarm
    looks: tuple[Look, ...] = ()
    means: tuple[tuple[float, ...], ...] = ()
    last: CodedTable | None = None
    twin: float | None = None
    lag: tuple[str, float] | None = None

    def add(self, source: Any, name: str) -> "Watch":
        """Read one more generation and judge it.

        Args:
            source: What it drew, as of `stability.runs.data_files.read_data`. One of a run's that
                was judged before is passed over: a run grows.
            name: Its name.

        Returns:
            The watch after it.

        Raises:
            UsageError: See `look`.
            OSError: If a file cannot be opened.
        """
        digest = digest_of(source)
        seen = any(look.name == name and look.digest == digest for look in self.looks)
        if seen and isinstance(source, RunGeneration):
            return self
        settings = self.monitor.settings
        return self.look(read_data(source, settings.features, settings.array), name, digest)

    def look(self, raw: RawTable, name: str, digest: str) -> "Watch":
        """Judge one more generation.

        Args:
            raw: Its rows as read.
            name: Its name.
            digest: SHA-256 of its source.

        Returns:
            The watch after it.

        Raises:
            UsageError: If it does not fit the real data, was seen before, or is out of order.
        """
        self._require_next(name, digest)
        monitor = self.monitor
        table = monitor.real.schema.read(raw, name)
        if table.rows < 2:
            said = "".join(f"; {note}" for note in table.notes)
            if np.isin(row_hashes(table), row_hashes(monitor.real)).all():
                said += "; it equals a real row"
            raise UsageError(f"{name}: {table.rows} row; at least 2 are needed{said}")
        scores = self.alarm.scores

        lag = monitor.lag if monitor.settings.rows == "auto" else None
        if lag is None and monitor.settings.rows == "auto":
            lag = dependence(table)
        alarm = self.alarm.look(table if lag is None else thinned(table, lag[1]))

        points = points_of(table, scores)
        embedding = embedding_of(points, points_of(monitor.fitted, scores), lag is not None)
        values = alarm.log_values
        one = Look(
            name,
            self._time(name),
            digest,
            table.rows,
            distance(monitor.embedding, embedding),
            values[-1] / LN10 if values else None,
            alarm.rounds[-1].losses if values else (),
            tuple(column_changes(monitor.real, table)),
            table.notes,
        )
        twin = None
        if self.last is not None:
            twin = twin_correlation(points_of(self.last, scores), points)
        means = (*self.means, tuple(float(x) for x in points.mean(axis=0)))
        return Watch(monitor, alarm, (*self.looks, one), means, table, twin, lag)

    def _require_next(self, name: str, digest: str) -> None:
        for seen in self.looks:
            if seen.digest == digest and seen.name == name:
                raise UsageError(f"{name} was seen before; a generation counts once")
        last = self.looks[-1].name if self.looks else ""
        if _skeleton(name) == _skeleton(last) and _numbers(name) <= _numbers(last):
            raise UsageError(f"{name} comes after {last}: wrong order, or a name used twice")

    def _time(self, name: str) -> float:
        """The number in the name, if there is one and time goes on; otherwise the next one."""
        last = self.looks[-1].time if self.looks else 0.0
        number = _numbers(Path(name).name) or _numbers(name)
        return float(number[0]) if len(number) == 1 and number[0] > last else last + 1

    def result(self) -> CheckResult:
        """Sum up.

        Returns:
            The record that `check` returns.

        Raises:
            UsageError: If no generation was read.
        """
        if not self.looks:
            raise UsageError("no generation to check")
        monitor, alarm, settings = self.monitor, self.alarm, self.monitor.settings
        smallest = alarm.smallest_effects(monitor.fitted) if alarm.rounds else {}
        raised = alarm.since
        outcome = "degrading" if raised is not None else "undecided"
        if raised is None and smallest and not _hidden(smallest, settings):
            outcome = "no change found"

        detail = {} if self.last is None else self._detail(self.last)
        return CheckResult(
            outcome=outcome,  # type: ignore[arg-type]
            since=None if raised is None else self.looks[raised - 1].name,
            alpha=settings.alpha,
            null=settings.null,
            tolerance=alarm.tolerance,
            needed=-math.log(alarm.betting_level) / LN10,
            looks=self.looks,
            trend=self._trend(),
            leading=tuple((name, value / LN10) for name, value in alarm.leading()),
            smallest=smallest,
            schema={column.name: column.kind for column in monitor.real.schema.columns},
            remarks=tuple(self._remarks(outcome, smallest, detail.get("copies"))),
            limits=tuple(self._limits()),
            **detail,
        )

    def _detail(self, last: CodedTable) -> dict[str, Any]:
        """Fields of the result that describe the last generation alone."""
        monitor, scores = self.monitor, self.alarm.scores
        real, holdout = monitor.real, monitor.holdout
        points = points_of(last, scores)
        held = points_of(holdout, scores) if holdout is not None else None
        target = real.schema.target
        return {
            "fidelity": fidelity(monitor.points, points),
            "auc": classifier_auc(monitor.points, points),
            "target": score_generation(real, last, holdout, scores) if target is not None else None,
            "endangered": tuple(_endangered(last)),
            "copies": copies(real, last, holdout, (monitor.points, points, held)),
            "pairs": tuple(pair_trends(real, last)),
        }

    def _trend(self) -> Any:
        seen = [(look.time, look.distance) for look in self.looks if look.distance is not None]
        return fit_trend(
            [time for time, _ in seen],
            [d.ratio for _, d in seen],
            [d.ratio_error for _, d in seen],
        )

    def _remarks(
        self,
        outcome: str,
        smallest: dict[str, tuple[float, str]],
        found: Copies | None,
    ) -> list[str]:
        """Remarks that a reader must know, a line each."""
        said = [*self.monitor.real.notes]
        said += [note for look in self.looks for note in look.notes if note not in said]
        if outcome == "undecided":
            said += self._why_undecided(smallest)

        lag = self.lag or self.monitor.lag
        if lag is not None and self.monitor.settings.rows == "auto":
            said.append(
                f"rows depend on each other (lag-1 correlation {lag[1]:.2f} of {lag[0]} in file "
                "order): only rows far apart were counted; --rows independent if order means "
                "nothing"
            )

        flat = constant_columns(self.monitor.real)
        if flat:
            said.append(f"constant in the real data, without a correlation: {', '.join(flat)}")

        empty = self.monitor.real.schema.names("empty")
        if empty:
            said.append(f"empty in the real data, not compared: {', '.join(empty)}")

        overlap = found.holdout_overlap if found is not None else None
        if overlap is not None and overlap[0]:
            said.append(
                f"{overlap[0]} of {overlap[1]} holdout rows are also in the real data: the "
                "comparison of closest rows is void"
            )

        return said + self._shared_noise()

    def _why_undecided(self, smallest: dict[str, tuple[float, str]]) -> list[str]:
        settings = self.monitor.settings
        if not smallest:
            count = self.alarm.reference_rounds
            if not self.alarm.rounds:
                return [f"the first {count} generations are the reference; one more is needed"]
            return ["no column varies: nothing can be found"]

        enough = self._enough(settings)
        rows = int(np.mean([look.rows for look in self.looks]))
        if enough is None:
            return ["no number of rows would show a change of the size asked for: raise --effect"]
        trained = (
            "; fewer with --null rows, if the model was trained on these real rows"
            if settings.null == "real"
            else ""
        )
        return [
            f"{self.monitor.real.rows:,} real rows and {rows:,} a generation are too few to see "
            f"the change asked for; about {enough * self.monitor.real.rows:,.0f} and "
            f"{enough * rows:,.0f} would do{trained}"
        ]

    def _enough(self, settings: CheckSettings) -> float | None:
        """Factor on the number of rows that would show the effects asked for; None: no factor."""
        for factor in np.geomspace(1.25, 1e6, 62):
            if not _hidden(self.alarm.smallest_effects(self.monitor.fitted, factor), settings):
                return float(factor)
        return None

    def _shared_noise(self) -> list[str]:
        if self.twin is not None and self.twin > TWIN:
            return [
                f"rows of {self.looks[-2].name} and {self.looks[-1].name} correspond (correlation "
                f"{self.twin:.2f}): the sampler repeats its seed, which is another process than a "
                "loop with fresh noise"
            ]
        rows = min(look.rows for look in self.looks)
        covariance = np.cov(self.monitor.points, rowvar=False).reshape(
            (self.monitor.points.shape[1],) * 2
        )
        if same_noise(np.array(self.means), covariance, rows) < SHARED:
            return [
                "successive deviations from the real data are in a constant ratio, closer than "
                "fresh noise allows: the sampler seems to repeat its seed (shared latents)"
            ]
        return []

    def _limits(self) -> list[str]:
        said = [
            f"the alarm holds for all looks together (level {self.monitor.settings.alpha:g}); "
            "distance, slope and forecast intervals hold for one look",
            "one chain of retrainings was seen: the intervals do not cover the noise of "
            "retraining; τ allows for it in the alarm",
        ]
        if self.looks[-1].distance is not None:
            said.append(
                "twice as bad: the error (not its square) is twice that of real data of the same "
                "number of rows"
            )
        return said


def _hidden(smallest: dict[str, tuple[float, str]], settings: CheckSettings) -> list[str]:
    """Columns in which a change of the size asked for would have been missed."""
    return [
        name
        for name, (size, unit) in smallest.items()
        if size > (settings.effect if unit == "sd" else settings.share) * (1 + 1e-9)
    ]


def _endangered(table: CodedTable) -> list[Endangered]:
    found = []
    for name, levels in table.levels.items():
        if name not in table.cells:
            continue
        counts = np.bincount(table.cells[name] + 1, minlength=len(levels) + 1)[1:]
        for level, count in zip(levels, counts, strict=True):
            chance = loss_probability(count / table.rows, table.rows)
            if count and chance > ENDANGERED:
                later = loss_probability(count / table.rows, table.rows, LATER)
                found.append(Endangered(name, level, int(count), chance, later))
    return sorted(found, key=lambda one: -one.chance)[:MOST_ENDANGERED]


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _skeleton(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def digest_of(source: Any) -> str:
    """SHA-256 of a file, of all files of a folder with their names, or of an array or table.

    Args:
        source: Path, array, table, or generation of a run.

    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256()
    if isinstance(source, str | Path):
        path = Path(source)
        folder = path.is_dir()
        for file in (
            natural_order([p for p in path.rglob("*") if p.is_file()]) if folder else [path]
        ):
            if folder:
                sha.update(str(file.relative_to(path)).encode(errors="replace") + b"\0")
            with file.open("rb") as opened:
                sha.update(hashlib.file_digest(opened, "sha256").digest())
    elif isinstance(source, RunGeneration):
        return digest_of(source.points())
    elif isinstance(source, np.ndarray):
        sha.update(repr((source.shape, source.dtype)).encode())
        sha.update(np.ascontiguousarray(source).tobytes())
    else:
        import pandas as pd

        sha.update(str(pd.DataFrame(source).to_csv(index=False)).encode(errors="replace"))
    return sha.hexdigest()


def open_watch(real: Any, settings: CheckSettings, holdout: Any = None) -> Watch:
    """Read the real data and fix what is watched.

    Args:
        real: The data that the loop began with: a path, a table, or an array (n, d).
        settings: How it is watched.
        holdout: Real rows that were not trained on.

    Returns:
        The watch before its first generation.

    Raises:
        UsageError: If the data cannot be used.
        OSError: If a file cannot be opened.
    """
    name = _named(real, "real data")
    raw = read_data(real, settings.features, settings.array)
    table = code_reference(raw, name, settings.categorical, settings.keys, settings.target)
    if table.rows < 4:
        raise UsageError(f"{name}: {table.rows} rows; at least 4 are needed")
    held = None
    if holdout is not None:
        source = read_data(holdout, settings.features, settings.array)
        held = table.schema.read(source, _named(holdout, "holdout"))

    lag = dependence(table) if settings.rows == "auto" else None
    counted = table if lag is None else thinned(table, lag[1])
    alarm = start_alarm(
        counted, settings.alpha, settings.null, settings.tolerance, settings.reference_rounds
    )
    fitted = split_real(counted)[0]
    points = points_of(table, alarm.scores)
    embedding = embedding_of(points, points_of(fitted, alarm.scores), lag is not None)
    monitor = Monitor(settings, table, held, fitted, points, embedding, lag, digest_of(real))
    return Watch(monitor, alarm)


def _named(source: Any, otherwise: str) -> str:
    return str(source) if isinstance(source, str | Path) else otherwise


def check(
    generations: Sequence[Any],
    real: Any,
    *,
    holdout: Any = None,
    alpha: float = 0.05,
    null: Null = "real",
    tolerance: float | None = None,
    effect: float = 0.1,
    reference_rounds: int = 3,
    rows: str = "auto",
    features: str = "pixels",
    array: str | None = None,
    categorical: Collection[str] = (),
    target: str | None = None,
    keys: Collection[str] = (),
    regime: str | None = None,
    seed: int = 0,
) -> CheckResult:
    """Check whether a loop of retraining is degrading.

    Args:
        generations: What the model drew in each generation, in order: paths, tables or arrays
            (m, d). Paths are sorted naturally (gen2 before gen10); a run folder is all its
            generations.
        real: The real data that the loop began with: a path, a table, or an array (n, d).
        holdout: Real rows that were not trained on, for the tests of copies and of a target.
        alpha: Probability of ever raising a false alarm, however often one looks.
        null: What the alarm speaks against. `real`: no generation is worse than real data by more
            than τ. `rows`: none is worse than the rows of `real`, on which the model was trained.
            `stationary`: none differs from the loop's first generations by more.
        tolerance: τ in standard deviations of a score; None: noise of retraining.
        effect: Change in standard deviations that must be visible for "no change found".
        reference_rounds: Generations that `stationary` compares with.
        rows: `auto` or `independent`, see `CheckSettings`.
        features: Of pictures, see `CheckSettings`.
        array: Name of the array in .npz files.
        categorical: Columns whose numbers are codes.
        target: Column to predict.
        keys: Columns that name rows.
        regime: Of run folders: name of the row.
        seed: Of run folders: the chain's seed.

    Returns:
        The verdict and what it rests on.

    Raises:
        ValueError: If an argument is out of range or data cannot be used; one line.
        OSError: If a file cannot be opened.
    """
    given = {"alpha": alpha, "null": null, "tolerance": tolerance, "effect": effect}
    given |= {"reference_rounds": reference_rounds, "rows": rows, "features": features}
    given |= {"categorical": tuple(categorical), "keys": tuple(keys), "array": array}
    settings = CheckSettings(**given, target=target, regime=regime, seed=seed)
    watch = open_watch(real, settings, holdout)
    for source, name in named_generations(generations, settings):
        watch = watch.add(source, name)
    return watch.result()


def named_generations(generations: Sequence[Any], settings: CheckSettings) -> list[tuple[Any, str]]:
    """Put generations in order and name them.

    Args:
        generations: Paths, which are sorted naturally, or tables and arrays, which keep their order
            and are called gen1, gen2, … A run folder is all its generations.
        settings: Which chain of a run.

    Returns:
        Each with its name: the shortest end of its path that tells it from the others.

    Raises:
        UsageError: If a run folder is among several paths.
    """
    if not all(isinstance(source, str | Path) for source in generations):
        return [(source, f"gen{i + 1}") for i, source in enumerate(generations)]
    paths = natural_order([Path(source) for source in generations])
    if any(map(is_run, paths)):
        if len(paths) > 1:
            raise UsageError(f"{paths[0]}: give one run folder alone")
        found = run_generations(paths[0], settings.regime, settings.seed)
        return [(generation, generation.name) for generation in found]
    paths = [path if path.name else path.resolve() for path in paths]  # "." has no name
    for length in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return list(zip(paths, names, strict=True))
    twice = next(path for i, path in enumerate(paths) if path in paths[:i])
    raise UsageError(f"{twice} is given twice; a generation counts once")
