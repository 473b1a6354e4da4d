"""One 2-D experiment: chains of every regime and seed through Algorithm 1, observed, stored,
tabulated and drawn.
"""

import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
import tyro
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stability.loop.capabilities import HasLogProb, uses_weights
from stability.loop.regimes import (
    Accumulate,
    Curated,
    FreshReal,
    FullySynthetic,
    Mix,
    Regime,
    ReplaceShare,
    Subsample,
    TrainingSet,
    Verified,
    Weighted,
)
from stability.loop.retraining import Latents, Learner, retrain
from stability.loop.streams import Purpose, stream
from stability.runs.command_line import UsageError
from stability.runs.console import make_console, print_paths
from stability.runs.memory_limit import Need, require_memory
from stability.runs.processors import default_threads, use_threads
from stability.runs.ranges import (
    LARGEST_COUNT,
    LARGEST_SEED,
    MOST_ROUNDS,
    MOST_SEEDS,
    MOST_THREADS,
    require_range,
)
from stability.runs.run_directory import RunDirectory, environment
from stability.runs.run_layout import config_digest
from toy.densities.preferences import REWARDS, VERIFIERS, Reward, Verifier
from toy.densities.shapes import Distribution
from toy.learners.settings import LearnerSettings
from toy.learners.temperature import Tempered
from toy.measures.figures import draw_figures
from toy.measures.metrics import (
    DISTANCES,
    FLOOR_PAIRS,
    Distances,
    Profile,
    Quantity,
    noise_floor,
    profile_floor,
    resemblance,
    resemblance_floor,
)
from toy.measures.tables import print_tables

__all__ = ["Experiment", "ParametricLearner", "open_run", "progress_bar", "run_experiment"]

FIGURE_8_LAMBDAS = (0.0, 0.5, 1.0)
BY_LAMBDA: dict[str, Callable[[float], Regime]] = {
    "mix": Mix,
    "accumulate": Accumulate,
    "fresh": FreshReal,
    "replace": ReplaceShare,
    "subsample": lambda lam: Subsample(Accumulate(lam)),
}
# points a set for W1 and W2, unless there is no profile: exact transport takes n³
MOST_TRANSPORTED = 1000


@dataclass(frozen=True)
class Experiment:
    """What every 2-D experiment has in common. Without --lambda: the rows of the paper's figure."""

    lam: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda", metavar="λ [λ ...]")] = ()
    """Synthetic points per real point, m = floor(λ n); one or more values, each a row of the
    result."""
    regime: Literal["mix", "synthetic", "accumulate", "fresh", "replace", "subsample"] = "mix"
    """What a retraining sees: the n real points and m new samples (mix), n samples alone
    (synthetic), the real points and every synthetic set so far (accumulate), n new real
    points and m new samples (fresh), n points of which the share λ/(1+λ) is samples
    (replace), or n points drawn from what accumulate would see (subsample)."""
    fully_synthetic: bool = False
    """Add a fully synthetic row; alone, short for --regime synthetic."""
    weight: float | None = None
    """Share w of the loss that the real points have, in (0, 1), where there are both kinds.
    None: all points alike."""
    reward: Reward | None = None
    """Each synthetic point is picked of several samples, by a user who prefers points on the
    right, or inward."""
    choices: int = 2
    """K: samples that the user picks from."""
    verifier: Verifier | None = None
    """Only samples in the right half plane, or nearer than 2 to the origin, are used."""
    tries: int = 4
    """Samples drawn for each that the verifier is to let through; if fewer pass, fewer are used."""
    temperature: float = 1.0
    """τ: the sampler's noise is multiplied by √τ; below 1 samples are biased towards what is
    likely."""
    retrainings: int = 20
    """T: generations 0 (real data only) to T."""
    samples: int = 1000
    """n: real points, and points drawn of each generation to measure it."""
    seeds: int = 1
    """S: independent repeats of every row, trained side by side; results are then mean and
    standard deviation."""
    seed: int = 0
    """Determines every random draw of the run."""
    latents: Latents = "fresh"
    """Sampling noise: new in each generation (Algorithm 1), or the same each time (as the
    official EDM driver does)."""
    from_scratch: bool = False
    """Start each retraining from new parameters instead of the present parameters and optimiser
    state."""
    out: Path | None = None
    """Folder of the run. Default: runs/NAME-DIGEST, a digest of the configuration. A run found
    there is continued."""
    overwrite: bool = False
    """Remove the run found in the folder and start again."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks live; auto: a GPU if there is one."""
    threads: int = 0
    """Processor threads to use; 0: one for each processor that is ours. Results are
    bit-identical only at equal counts."""

    def __post_init__(self) -> None:
        for lam in self.lam:
            if not (math.isfinite(lam) and lam >= 0):
                raise ValueError(
                    f"--lambda must be finite and >= 0, got {lam:g} (no real data: "
                    "--fully-synthetic)"
                )
        if len(set(self.lam)) < len(self.lam):
            raise ValueError(
                f"--lambda must not repeat a value, got {' '.join(f'{lam:g}' for lam in self.lam)}"
            )
        if self.regime == "synthetic" and self.lam:
            raise ValueError(
                "--lambda has no meaning for --regime synthetic: it always trains on n synthetic "
                "points"
            )
        if self.weight is not None and not 0 < self.weight < 1:
            raise ValueError(f"--weight must be in (0, 1), got {self.weight}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"--temperature must be finite and > 0, got {self.temperature}")
        for option, needs in (("choices", "reward"), ("tries", "verifier")):
            require_range(self, **{option: (1, LARGEST_COUNT)})
            if getattr(self, needs) is None and getattr(self, option) != getattr(
                Experiment, option
            ):
                raise ValueError(f"--{option} has no meaning without --{needs}")
        if self.weight is not None and (
            self.regime == "synthetic" or (self.fully_synthetic and not self.lam)
        ):
            raise ValueError(
                "--weight has no meaning without real data, as in a fully synthetic row"
            )
        require_range(
            self,
            retrainings=(0, MOST_ROUNDS),
            samples=(2, LARGEST_COUNT),
            seeds=(1, MOST_SEEDS),
            seed=(0, LARGEST_SEED),
            threads=(0, MOST_THREADS),
        )
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda: no CUDA device is available, use cpu or auto")

    def regimes(self, paper_lambdas: Sequence[float] = FIGURE_8_LAMBDAS) -> list[Regime]:
        """One a row, in the order of the tables.

        Args:
            paper_lambdas: Of the paper's figure, beside fully synthetic.
        """
        by_lambda = BY_LAMBDA.get(self.regime)
        rows: list[Regime] = []
        if by_lambda and (self.lam or not self.fully_synthetic):
            rows = [by_lambda(lam) for lam in self.lam or paper_lambdas]
        if self.weight is not None:
            rows = [Weighted(row, self.weight) for row in rows]
        paper_comparison = self.regime == "mix" and not self.lam
        if self.fully_synthetic or not by_lambda or paper_comparison:
            rows = [*rows, FullySynthetic()]
        if self.reward is not None:
            rows = [Curated(row, REWARDS[self.reward], self.choices) for row in rows]
        if self.verifier is not None:
            rows = [Verified(row, VERIFIERS[self.verifier], self.tries) for row in rows]
        return rows


def require_room(
    experiment: Experiment,
    regimes: Sequence[Regime],
    settings: LearnerSettings | None,
    transported: int,
) -> None:
    """Refuse an experiment that takes more memory than there is, before anything is made.

    Args:
        experiment: Its options.
        regimes: One a row.
        settings: Of the learner; None: its memory is not estimated.
        transported: Points a set for W1 and W2.

    Raises:
        UsageError: Names the option, the memory that it takes and the memory that there is.
    """
    n, chains = experiment.samples, len(regimes) * experiment.seeds
    threads = experiment.threads or default_threads()
    with warnings.catch_warnings(action="ignore"):  # the run itself warns of a λ that draws nothing
        drawn = [regime.synthetic(n) for regime in regimes]
    rounds = experiment.retrainings if experiment.regime in ("accumulate", "subsample") else 1
    trained = n + rounds * max(drawn)
    points = sum(n + max(n, rounds * m) for m in drawn) * experiment.seeds

    # distances and their powers, in as many threads as there are pairs
    at_once = min(threads, FLOOR_PAIRS)
    matrices = 2 * 8 * transported**2 * at_once
    factors = {
        "--samples": n / Experiment.samples,
        "--lambda": max(experiment.lam, default=1),
        "--seeds": experiment.seeds,
        "--choices": experiment.choices,
        "--tries": experiment.tries,
    }
    needs = [
        Need(
            f"training sets and samples of {points:.3g} points",
            max(factors, key=factors.__getitem__),
            8 * points,
        ),
        Need(
            f"exact transport of {transported:,} points, {at_once} at once", "--samples", matrices
        ),
    ]
    on_processor = experiment.device == "cpu" or not torch.cuda.is_available()
    if settings is not None and on_processor:
        needs += settings.memory(chains, trained, threads)
    require_memory(needs)


class ParametricLearner(Learner, Protocol):
    """A learner whose parameters can be compared between generations."""

    @property
    def parameters(self) -> np.ndarray:
        """θ of each chain as one vector, (R, P)."""
        ...


class MakeLearner(Protocol):
    """Builds the learner of an experiment for so many chains."""

    def __call__(
        self,
        chains: int,
        device: torch.device,
        workers: int,
        on_progress: Callable[[float], object],
    ) -> ParametricLearner: ...


def run_experiment(
    name: str,
    config: Any,
    experiment: Experiment,
    real: Distribution,
    truth: Distribution,
    make_learner: MakeLearner,
    settings: LearnerSettings | None,
    paper_lambdas: Sequence[float] = FIGURE_8_LAMBDAS,
    profile: Profile | None = None,
    more: Sequence[Quantity] = (),
) -> Path:
    """Run, or finish, the experiment and print its tables; returns the folder.

    Args:
        name: Of the experiment, in the default folder's name.
        config: The whole configuration, a dataclass.
        real: Draws a chain's real data.
        truth: Draws the points that samples are measured against, and fresh real data.
        settings: Of the learner, which say how much memory it takes; None: not known.
        paper_lambdas: Rows without --lambda, beside fully synthetic.
        profile: What to measure of the samples beside W1 and W2, which then take at most 1000
            points.
        more: What else to show, of what is recorded of every run
            (`toy.measures.metrics.RESEMBLANCE`).
    """
    started = time.monotonic()
    transported = min(experiment.samples, MOST_TRANSPORTED) if profile else experiment.samples
    regimes = experiment.regimes(paper_lambdas)
    require_room(experiment, regimes, settings, transported)
    with open_run(name, config, experiment) as run:
        threads: int = run.environment["threads"]
        floor = noise_floor(truth, transported, experiment.seed, workers=threads)
        quantities = DISTANCES
        if profile:
            values = profile_floor(profile, truth, experiment.samples, experiment.seed)
            floor, quantities = (
                dataclasses.replace(floor, profile=values),
                (*profile.shown, *DISTANCES),
            )
        if more:
            values = resemblance_floor(truth, experiment.samples, experiment.seed)
            floor = dataclasses.replace(floor, profile={**floor.profile, **values})
        observe = partial(Distances, truth, transported, experiment.seed, workers=threads)
        _run_chains(run, experiment, regimes, real, truth, make_learner, observe, profile, threads)
        history = run.history()
        names = [str(regime) for regime in regimes]
        more = [quantity for quantity in more if quantity.key in history[0]["chains"][0]]
        shown = (*(profile.shown if profile else ()), *more)
        figures = draw_figures(run, history, names, floor, truth, experiment.seed, shown)
        console = make_console()
        print_tables(console, history, floor, (*quantities, *more))
        console.print(f"\n{name}: {time.monotonic() - started:.0f} s")
        print_paths(console, (run.path / "history.jsonl", *figures))
    return run.path


class RunOptions(Protocol):
    """The options that say where a run lives and on what it runs; see `Experiment`."""

    @property
    def out(self) -> Path | None: ...
    @property
    def overwrite(self) -> bool: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...


def open_run(name: str, config: Any, where: RunOptions) -> RunDirectory:
    """The folder of the run that `config` describes, new or found; torch then uses the threads that
    it started with.

    Raises:
        RunDirectoryError: As of `RunDirectory`, and if it was started on a GPU and there is none.
    """
    asked = _recorded(config)
    folder = where.out or Path("runs") / f"{name}-{config_digest(asked)[:8]}"
    resources = {
        "threads": where.threads or default_threads(),
        "device": "cuda" if where.device != "cpu" and torch.cuda.is_available() else "cpu",
    }
    run = RunDirectory(folder, asked, environment() | resources, overwrite=where.overwrite)
    try:
        use_threads(run.threads(resources["device"]))  # so that it goes on bit for bit
    except BaseException:
        run.close()
        raise
    return run


def _recorded(config: Any) -> dict[str, Any]:
    """The configuration as config.json holds it: all that decides the result, flat, not where it
    goes.
    """
    flat: dict[str, Any] = {}
    for key, value in json.loads(json.dumps(dataclasses.asdict(config), default=str)).items():
        flat |= value if isinstance(value, dict) else {key: value}
    return {key: value for key, value in flat.items() if key not in ("out", "overwrite")}


def _run_chains(
    run: RunDirectory,
    experiment: Experiment,
    regimes: Sequence[Regime],
    real: Distribution,
    truth: Distribution,
    make_learner: MakeLearner,
    make_observer: Callable[[Sequence[int]], Distances],
    profile: Profile | None,
    threads: int,
) -> None:
    chains = [(regime, replica) for regime in regimes for replica in range(experiment.seeds)]
    replicas = [replica for _, replica in chains]
    data = [
        real(experiment.samples, stream(experiment.seed, Purpose.REAL, replica))
        for replica in replicas
    ]
    observe = make_observer(replicas)
    checkpoint = run.latest()
    done = checkpoint.generation.t + 1 if checkpoint else 0
    with progress_bar() as progress:
        task = progress.add_task("retraining", total=experiment.retrainings + 1, completed=done)
        learner = make_learner(
            chains=len(chains),
            device=torch.device(run.environment["device"]),
            workers=threads,
            on_progress=lambda share: progress.update(task, completed=done + share),
        )
        if experiment.weight is not None and not uses_weights(learner):
            raise UsageError(
                f"--weight is not supported by {type(learner).__name__}, whose loss cannot be "
                "weighted"
            )
        scorer = learner if isinstance(learner, HasLogProb) else None
        if experiment.temperature != 1:
            learner = Tempered(learner, experiment.temperature)
        if checkpoint:
            learner.load_state_dict(checkpoint.learner)
            observe.load_state_dict(checkpoint.observers)
        generations = retrain(
            learner,
            data,
            [regime for regime, _ in chains],
            experiment.retrainings,
            seed=experiment.seed,
            replicas=replicas,
            draws=experiment.samples,
            fresh=truth,
            latents=experiment.latents,
            from_scratch=experiment.from_scratch,
            after=checkpoint.generation if checkpoint else None,
        )
        clock = time.monotonic()
        for generation in generations:
            measured = observe(generation, learner.parameters)
            new = [
                truth(experiment.samples, stream(experiment.seed, Purpose.TRUTH, r, generation.t))
                for r in replicas
            ]
            for r, record in enumerate(measured):
                record |= resemblance(generation.samples[r][: experiment.samples], data[r], new[r])
            if scorer is not None:
                for record, values in zip(measured, scorer.log_prob(new), strict=True):
                    record["nll"] = -float(values.mean())
            if profile:
                measured = [
                    distances | profile.measure(x[: experiment.samples])
                    for distances, x in zip(measured, generation.samples, strict=True)
                ]
            records = [
                {"regime": str(regime), "replica": replica, **_counts(training), **values}
                for (regime, replica), training, values in zip(
                    chains, generation.training, measured, strict=True
                )
            ]
            seconds, clock = time.monotonic() - clock, time.monotonic()
            run.record(
                generation, {"chains": records}, learner.state_dict(), observe.state_dict(), seconds
            )
            done = generation.t + 1
            progress.update(task, completed=done)


def _counts(training: TrainingSet) -> dict[str, Any]:
    """n, m, λ and the synthetic share of what a generation was fitted on; λ is null without real
    data.
    """
    return {
        "n": training.real,
        "m": training.synthetic,
        "lambda": training.lam if training.real else None,
        "share": training.share,
    }


def progress_bar() -> Progress:
    """Generations done and time left, on a terminal; nothing elsewhere."""
    console = make_console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
