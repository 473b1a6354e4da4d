"""One experiment: chains of every regime and seed through Algorithm 1, opened or resumed, observed
and recorded.

    study = Study(
        learner=MyLearner, real=x_train, truth=x_test, regimes=[Mix(0.5), FullySynthetic()],
        seeds=8, generations=20, observers=[Distances()], out="runs/mine",
    )
    result = study.run()

Every draw comes from a stream with a key, so a run that was killed resumes to the same bytes.
"""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from stability.loop.arguments import is_array_like, numeric_array, require_methods, whole_number
from stability.loop.capabilities import HasLogProb
from stability.loop.extrapolation import extrapolating
from stability.loop.regime_data import regime_to_data
from stability.loop.regimes import Regime, drawn_counts
from stability.loop.retraining import (
    FreshByGeneration,
    FreshData,
    Generation,
    Learner,
    retrain,
)
from stability.loop.streams import Purpose, stream
from stability.loop.wrapped_learner import unwrapped
from stability.runs.figure_so_far import FigureSoFar
from stability.runs.history import (
    SCHEMA,
    ChainRecord,
    History,
    HistoryError,
    HistoryLine,
    counts,
)
from stability.runs.keep import Keep
from stability.runs.observer import (
    ChainsObserver,
    Floor,
    HasFloor,
    Observer,
    Quantity,
    SupportsState,
    SupportsThreads,
    Tracker,
    View,
    as_floor,
)
from stability.runs.open_run import ALONE, OpenRun, Processes, open_run
from stability.runs.overall_moments import OverallMoments
from stability.runs.progress import Bars, bar_words, generation_words, generations_bar
from stability.runs.real_data import NotEnoughDataError, Pool, RealData, real_data
from stability.runs.recorded_run import RecordedRun, read_run
from stability.runs.result import Result
from stability.runs.run_directory import RunCheckpoint
from stability.runs.run_layout import EDITION
from stability.runs.study_file import StudyFile, read_study_file, write_study_file

__all__ = ["Builder", "HasUnfinished", "LearnerPlace", "Study"]

FLOOR_DRAWS = 32
"""Draws of the truth behind a noise floor."""


@dataclass(frozen=True)
class LearnerPlace:
    """Circumstances that a learner is built for.

    Attributes:
        chains: Number of chains that are recorded.
        device: `cpu`, `cuda` or `mps`.
        threads: Of this process.
        folder: Of the run.
        digest: Of the configuration, by which the run is told from all others.
        bars: To show the work under way.
    """

    chains: int
    device: str
    threads: int
    folder: Path
    digest: str
    bars: Bars


@runtime_checkable
class Builder(Protocol):
    """Builds a learner that needs more than the number of chains."""

    def build(self, place: LearnerPlace) -> Learner:
        """Build it.

        Args:
            place: Where it will run.

        Returns:
            A new learner of `place.chains` chains.
        """
        ...


@runtime_checkable
class HasUnfinished(Protocol):
    """A learner that keeps parts of a generation under way on the disk."""

    def forget(self) -> None:
        """Remove them: the generation is recorded as a whole."""
        ...


class LoopFunction(Protocol):
    """Yields the generations; `stability.loop.retraining.retrain` or one with its arguments."""

    def __call__(
        self,
        learner: Any,
        real: Sequence[np.ndarray],
        regimes: Sequence[Regime],
        generations: int,
        *,
        seed: int,
        streams: Sequence[int],
        draws: int,
        fresh: FreshData | FreshByGeneration | None,
        latents: Literal["fresh", "shared"],
        from_scratch: bool,
        after: Generation | None,
    ) -> Iterator[Generation]: ...


@dataclass(frozen=True, kw_only=True)
class Study:
    """An experiment with any learner.

    Attributes:
        learner: A learner with a chain for each regime and seed, regimes first; or a function that
            makes one of the number of chains; or a `Builder`.
        real: Real data: an array (n, …), the same for all seeds; a `Pool`, of which each seed has
            its own part; or a function (n, rng) -> (n, …), which draws new data for each seed.
        regimes: One a row of the results.
        truth: True points to measure against, an array or a function (n, rng) -> (n, …). Default:
            `real`.
        seeds: S, repeats of each row.
        generations: T: retrainings; generation 0 sees real data alone.
        observers: What is measured of each generation. Default: shift of the mean and ratio of
            variances, which mean the same in any dimension; (): nothing.
        samples: n, real points of a chain. Default: all of an array; needed for a function.
        draws: Points drawn of each generation to be measured. Default: n.
        fresh: New real data for regimes that need it. Default: from `real`, if that is no array.
        seed: Determines every random draw.
        latents: "fresh" sampling noise in each generation, or "shared" by all.
        from_scratch: Whether each fit starts from new parameters.
        out: Folder of the run, a path or its name. Default: runs/NAME-DIGEST.
        overwrite: Whether to remove a run that is found there.
        keep: Checkpoints that stay: so many at the end ("2"), every K-th too ("every:K"), "all".
        keep_samples: Samples that stay, in the same words.
        max_hours: End cleanly before the generation that would pass so many hours; 0: no limit.
        device: Where networks live: "auto", "cpu", "cuda" or "mps".
        threads: Of this process; 0: one for each processor that is ours.
        name: Of the experiment, in the default folder's name.
        config: What else decides the result, such as settings of the learner, JSON values by name:
            a run with other ones is another run.
        options: All options of a command, which are recorded instead of a description of this
            object.
        labels: What tells rows of the same regime apart, one mapping a regime.
        loop: Yields the generations.
        processes: Those that work on the run together.
        say: Told in words where the run is, what it takes on the disk, and whether it stopped
            early.
        lines: Whether to say a line a generation, too: the measurements, and how long it took.
        finish: Called with the result while the folder is still locked, to draw and to print.
        progress: Whether to show a bar on a terminal.
    """

    learner: Learner | Callable[[int], Learner] | Builder
    real: Any
    regimes: Sequence[Regime]
    truth: Any = None
    seeds: int = 1
    generations: int = 20
    observers: Sequence[Observer | ChainsObserver] = (OverallMoments(),)
    samples: int | None = None
    draws: int | None = None
    fresh: FreshData | FreshByGeneration | None = None
    seed: int = 0
    latents: Literal["fresh", "shared"] = "fresh"
    from_scratch: bool = False
    out: Path | str | None = None
    overwrite: bool = False
    keep: str = "2"
    keep_samples: str = "all"
    max_hours: float = 0.0
    device: str = "auto"
    threads: int = 0
    name: str = "study"
    config: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None
    labels: Sequence[Mapping[str, str]] | None = None
    loop: LoopFunction = retrain
    processes: Processes = ALONE
    say: Callable[[str], object] = lambda words: None
    lines: bool = False
    finish: Callable[[Result], object] = lambda result: None
    progress: bool = True

    def __post_init__(self) -> None:
        for name, least in (("seeds", 1), ("generations", 0), ("seed", 0), ("threads", 0)):
            whole_number(getattr(self, name), name, least)
        if not self.regimes:
            raise ValueError("regimes must have at least one regime")
        if self.labels is not None and len(self.labels) != len(self.regimes):
            raise ValueError(
                f"labels must have one entry for each of the {len(self.regimes)} regimes, got "
                f"{len(self.labels)}"
            )
        for i, regime in enumerate(self.regimes):
            require_methods(regime, f"regimes[{i}]", "synthetic", "next")
        for option in ("keep", "keep_samples"):
            Keep.parse(getattr(self, option), option)
        keys = [quantity.key for quantity in self.quantities]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"observers must not measure {twice!r} twice")
        _ = self.data  # refuses data that do not fit

    @cached_property
    def data(self) -> RealData:
        """The real data and the truth of each chain.

        Raises:
            ValueError: If a regime draws new real data and `real` is an array.
        """
        needs = any(regime.needs_fresh_real for regime in self.regimes)
        found = real_data(
            self.real,
            self.truth,
            self.samples,
            self.draws,
            self.seed,
            self.generations if needs and self.fresh is None else 0,
        )
        if needs and self.fresh is None and found.fresh is None:
            raise ValueError(
                "real must be a Pool or a function (n, rng) -> (n, …) for a regime that draws new "
                "real data, got an array"
            )
        return found

    @property
    def quantities(self) -> list[Quantity]:
        """Quantities that are measured, in order."""
        return [quantity for observer in self.observers for quantity in observer.quantities]

    @property
    def chains(self) -> list[tuple[Regime, int, Mapping[str, str]]]:
        """Regime, seed and labels of each chain, regimes first."""
        labels = self.labels or [{} for _ in self.regimes]
        return [
            (regime, seed, label)
            for regime, label in zip(self.regimes, labels, strict=True)
            for seed in range(self.seeds)
        ]

    @property
    def asked(self) -> dict[str, Any]:
        """The whole configuration, as config.json holds it."""
        if self.options is not None:
            return {**self.options, EDITION: SCHEMA}
        own = {
            "learner": _name(self.learner),
            "regimes": [regime_to_data(regime) for regime in self.regimes],
            "seeds": self.seeds,
            "retrainings": self.generations,
            "samples": self.data.n,
            "seed": self.seed,
            "latents": self.latents,
            "from_scratch": self.from_scratch,
            "observers": [_name(o) for o in self.observers if not isinstance(o, Tracker)],
            **_described("real", self.real),
            **_described("truth", self.truth),
        }
        return own | dict(self.config or {}) | {EDITION: SCHEMA}

    def run(self) -> Result:
        """Run the experiment, or finish it where it was interrupted.

        Returns:
            What came out; the folder can be opened again with `Result.open`.

        Raises:
            RunDirectoryError: If the folder holds another run, or something else.
            RetrainingError: If a generation cannot be finished; those before it are kept.
        """
        kept = Keep.parse(self.keep), Keep.parse(self.keep_samples)
        with open_run(self.name, self.asked, self, self.processes, *kept) as run:
            stopped = _Runner(self, run).go()
            if not self.processes.is_main:
                return Result(RecordedRun(run.path, self.asked, {}, History(()), StudyFile()))
            make = partial(self.build, self.place(run, Bars()))
            result = Result(read_run(run.path), make, stopped)
            self.finish(result)
        return result

    def place(self, run: OpenRun, bars: Bars) -> LearnerPlace:
        """Describe the place that a learner is built for.

        Args:
            run: The open run.
            bars: To show the work under way.

        Returns:
            The place.
        """
        chains = len(self.regimes) * self.seeds
        return LearnerPlace(chains, run.device, run.threads, run.path, run.digest, bars)

    def build(self, place: LearnerPlace) -> Any:
        """Make the learner.

        Args:
            place: What it is built for.

        Returns:
            A learner of `place.chains` chains; the one that was passed, if it is a learner.
        """
        learner: Any = self.learner
        if isinstance(learner, Builder):
            learner = learner.build(place)
        elif not hasattr(learner, "fit") or isinstance(learner, type):
            learner = learner(place.chains)
        require_methods(
            learner, "learner", "reset", "fit", "sample", "state_dict", "load_state_dict"
        )
        return extrapolating(learner, [regime for regime, *_ in self.chains])


class _Runner:
    """One execution of a study in an open folder."""

    def __init__(self, study: Study, run: OpenRun) -> None:
        self._study, self._run, self._started = study, run, time.monotonic()
        self._floors_written = False
        self._so_far = FigureSoFar(run.path)

    def go(self) -> str:
        """Go through the generations from wherever the run stands; says why it stopped early."""
        study, run = self._study, self._run
        checkpoint: RunCheckpoint | None = study.processes.from_main(
            lambda: run.directory.latest() if run.directory else None
        )
        done = checkpoint.generation.t + 1 if checkpoint else 0
        if done > study.generations:
            self._write_study_file()
            self._so_far.remove()
            return ""

        show = study.progress and study.processes.is_main
        with generations_bar(study.generations + 1, done, show) as bars:
            learner = study.build(study.place(run, bars))
            if checkpoint:
                self._load(learner, checkpoint)
            if study.processes.is_main:
                gone = f", generations 0 to {done - 1} are done" if done else ""
                study.say(f"run: {run.path}{gone}; {self._disk(learner)}")
            stopped = self._record_all(learner, checkpoint, bars)

        if stopped:
            study.say(stopped)
        else:
            self._so_far.remove()
        return stopped

    def _load(self, learner: Any, checkpoint: RunCheckpoint) -> None:
        learner.load_state_dict(checkpoint.learner)
        for i, observer in enumerate(self._study.observers):
            if isinstance(observer, SupportsState):
                observer.load_state_dict(checkpoint.observers[str(i)])

    def _record_all(self, learner: Any, checkpoint: RunCheckpoint | None, bars: Bars) -> str:
        """Observe and record each generation."""
        study, data, chains = self._study, self._study.data, self._study.chains
        generations = study.loop(
            learner,
            [data.real_of(seed) for _, seed, _ in chains],
            [regime for regime, *_ in chains],
            study.generations,
            seed=study.seed,
            streams=[seed for _, seed, _ in chains],
            draws=data.draws,
            fresh=study.fresh or data.fresh,
            latents=study.latents,
            from_scratch=study.from_scratch,
            after=checkpoint.generation if checkpoint else None,
        )

        clock = time.monotonic()
        for generation in generations:
            line = self._observed(generation, learner)
            seconds, clock = time.monotonic() - clock, time.monotonic()
            self._record(generation, line, learner, seconds)
            bars.finished(generation.t + 1, bar_words(line, study.quantities))
            if study.lines and study.processes.is_main:
                study.say(generation_words(line, study.generations, study.quantities, seconds))
            if generation.t < study.generations and self._is_late(seconds):
                return (
                    f"stopped after generation {generation.t} of {study.generations}: the next one "
                    f"would pass {study.max_hours:g} h; the same command resumes"
                )
        return ""

    def _record(
        self, generation: Generation, line: HistoryLine, learner: Any, seconds: float
    ) -> None:
        """Store a generation; only the first process does."""
        directory = self._run.directory
        if directory is not None:
            self._write_study_file()
            states = {
                str(i): observer.state_dict()
                for i, observer in enumerate(self._study.observers)
                if isinstance(observer, SupportsState)
            }
            for observer in self._study.observers:
                if isinstance(observer, Tracker):
                    observer.track(line)
            directory.record(generation, line.to_data(), learner.state_dict(), states, seconds)
            self._so_far.update()
        inner = unwrapped(learner)
        if isinstance(inner, HasUnfinished):
            inner.forget()

    def _is_late(self, seconds: float) -> bool:
        """Return whether a generation as long as the last would pass the limit of time."""
        study = self._study
        if not study.max_hours:
            return False
        late = time.monotonic() - self._started + seconds > 3600 * study.max_hours
        return study.processes.from_main(lambda: late)

    def _observed(self, generation: Generation, learner: Any) -> HistoryLine:
        """Measure a generation with all observers."""
        study = self._study
        views = self._views(generation, learner)
        measured: list[dict[str, Any]] = [{} for _ in views]
        for i, observer in enumerate(study.observers):
            own = [replace(view, rng=view.rng.spawn(len(study.observers))[i]) for view in views]
            for record, values in zip(
                measured, self._asked(observer, generation, learner, own), strict=True
            ):
                record |= values
        # a loop may run more chains than it records, such as the displaced ones of coupled pairs
        records = zip(study.chains, generation.training, measured, strict=False)
        return HistoryLine(
            generation.t,
            tuple(
                ChainRecord(regime, seed, measured=values, labels=label, **counts(training))
                for (regime, seed, label), training, values in records
            ),
        )

    def _asked(
        self,
        observer: Observer | ChainsObserver,
        generation: Generation,
        learner: Any,
        views: Sequence[View],
    ) -> Sequence[Mapping[str, Any]]:
        """Measure all chains with one observer."""
        if isinstance(observer, ChainsObserver):
            return observer.measure(generation, learner, views)
        if isinstance(observer, SupportsThreads) and observer.thread_safe:
            with ThreadPoolExecutor(self._run.threads) as pool:
                return list(pool.map(observer, views))
        return [observer(view) for view in views]

    def _views(self, generation: Generation, learner: Any) -> list[View]:
        study, data, t = self._study, self._study.data, generation.t
        seeds = [seed for _, seed, _ in study.chains]
        truth = {seed: data.truth_of(seed, t) for seed in dict.fromkeys(seeds)}
        density = _Densities(learner) if isinstance(learner, HasLogProb) else None
        return [
            View(
                t,
                r,
                seed,
                generation.samples[r][: data.compared],
                generation.training[r],
                truth[seed],
                data.real_of(seed),
                density.of_chain(r, [truth[s] for s in seeds]) if density else None,
                stream(study.seed, Purpose.OBSERVE, seed, t),
            )
            for r, seed in enumerate(seeds)
        ]

    def _write_study_file(self) -> None:
        """Write the measured quantities with their floors, unless the folder has them."""
        study, folder = self._study, self._run.path
        if self._floors_written or self._run.directory is None:
            return
        try:
            found = read_study_file(folder)
        except HistoryError as error:
            warnings.warn(f"{error}; it is made again", stacklevel=2)
            found = None
        if found is None:
            content = StudyFile(
                study.quantities,
                self._floors(),
                study.generations,
                study.data.covers,
                study.keep_samples,
            )
            write_study_file(folder, content)
        self._floors_written = True

    def _floors(self) -> dict[str, Floor]:
        """Floors of every observer, by key: values for a perfect model."""
        floors: dict[str, Floor] = {}
        for observer in self._study.observers:
            if not isinstance(observer, HasFloor):
                continue
            try:
                floors |= self._floor(observer)
            except NotEnoughDataError as error:
                keys = ", ".join(quantity.key for quantity in observer.quantities)
                warnings.warn(f"no noise floor of {keys}: {error}", stacklevel=2)
        return floors

    def _floor(self, observer: HasFloor) -> dict[str, Floor]:
        data, seed = self._study.data, self._study.seed

        def once(k: int) -> Mapping[str, Any]:
            return observer.floor(data.floor_draw(), data.compared, stream(seed, Purpose.FLOOR, k))

        first = once(0)
        if not first or isinstance(next(iter(first.values())), Floor):
            return dict(first)
        threads = isinstance(observer, SupportsThreads) and observer.thread_safe
        with ThreadPoolExecutor(self._run.threads if threads else 1) as pool:
            drawn = [first, *pool.map(once, range(1, FLOOR_DRAWS))]
        return {key: as_floor([values[key] for values in drawn]) for key in first}

    def _disk(self, learner: Any) -> str:
        """Return in words how much the run will take on the disk."""
        study, data = self._study, self._study.data
        point = data.real_of(0)[0].nbytes if data.real_of(0).ndim > 1 else data.real_of(0).itemsize
        drawn = drawn_counts([regime for regime, *_ in study.chains], data.n, study.generations + 1)
        samples = point * sum(max(m, data.draws) for m in drawn)
        points = point * sum(data.n + m for m in drawn)
        kept = Keep.parse(study.keep).count(study.generations + 1)
        kept_samples = Keep.parse(study.keep_samples).count(study.generations + 1)
        # coupled chains are more than those that are recorded
        times = learner.chains / len(study.chains)
        samples, points = times * samples, times * points
        checkpoint = samples + points + size_of(learner.state_dict())
        total = kept * checkpoint + kept_samples * samples
        return (
            f"disk: about {_bytes(total)}: {kept} checkpoints of {_bytes(checkpoint)} or more, "
            f"samples of {kept_samples} generations of {_bytes(samples)}"
        )


class _Densities:
    """Log-densities of all chains at their true points, evaluated once a generation."""

    def __init__(self, learner: HasLogProb) -> None:
        self._learner, self._known = learner, None

    def of_chain(self, r: int, truth: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        """The log-density of chain r.

        Args:
            r: Position of the chain.
            truth: True points of each chain, each of shape (k, …).

        Returns:
            Points (j, …) -> log-density, (j,).
        """

        def log_prob(points: np.ndarray) -> np.ndarray:
            if points is not truth[r]:
                return self._learner.log_prob([points] * len(truth))[r]
            self._known = self._known or self._learner.log_prob(truth)
            return self._known[r]

        return log_prob


def size_of(state: Any) -> int:
    """Bytes of the arrays and tensors in a state.

    Args:
        state: Arrays, tensors and other values, in mappings, lists and tuples.

    Returns:
        Their sum; other values count as 0.
    """
    if isinstance(state, Mapping):
        return sum(map(size_of, state.values()))
    if isinstance(state, list | tuple):
        return sum(map(size_of, state))
    return int(getattr(state, "nbytes", 0))


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def _name(value: Any) -> Any:
    """A function or an object by its name, or by what it says of itself as JSON values."""
    if hasattr(value, "as_data") and not isinstance(value, type):
        return value.as_data()
    value = value.func if isinstance(value, partial) else value
    return getattr(value, "__qualname__", None) or type(value).__qualname__


def _described(argument: str, value: Any) -> dict[str, Any]:
    """An array by its digest, a function by its name."""
    if isinstance(value, Pool):
        kind = {"bootstrap": value.bootstrap}
        return {f"{argument}_kind": kind, **_described(argument, value.points)}
    if value is not None and is_array_like(value):
        points = np.ascontiguousarray(numeric_array(value, argument))
        head = f"{points.dtype} {points.shape} ".encode()
        return {f"{argument}_digest": hashlib.sha256(head + points.tobytes()).hexdigest()}
    return {argument: None if value is None else _name(value)}
