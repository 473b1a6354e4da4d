"""The contraction of retraining, measured on coupled chains, as a function of λ: python -m
toy.contraction

Pairs of chains with the same data and noise, one of which starts from displaced data; see
`stability.loop.contraction`. If a model could fit any law exactly, G would be linear in laws,
(p_data + λ p)/(1 + λ), and λ/(1 + λ) of a displacement would be left after each round; so it is in
any exponential family. What differs from it is the model's doing.
"""

import math
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stability.loop.contraction import Displacement, Rate, coupled, gaps, rate, shares
from stability.loop.regimes import FullySynthetic, Mix, Regime
from stability.loop.streams import Purpose, stream
from stability.runs.command_line import command
from stability.runs.console import make_console, print_paths
from stability.runs.figure_style import Figure, figure_style, regime_looks, save_figure
from stability.runs.memory_limit import Need, require_memory
from stability.runs.processors import default_threads
from stability.runs.ranges import (
    LARGEST_COUNT,
    LARGEST_SEED,
    MOST_ROUNDS,
    MOST_SEEDS,
    MOST_THREADS,
    require_range,
)
from stability.runs.run_directory import RunDirectory
from toy.densities.shapes import DENSITIES, Distribution
from toy.experiment import open_run, progress_bar
from toy.run import MODELS, model_named, settings_of

__all__ = ["Coupled", "configuration", "displacement", "main"]

Kind = Literal["shift", "stretch", "wave"]
SCALE_POINTS = 10_000
LEAST_SHARE = 0.2  # of a displacement that the displaced chain's first model must show


@dataclass(frozen=True)
class Coupled:
    """What is coupled, and how often."""

    lam: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda", metavar="λ [λ ...]")] = (
        0.0,
        0.2,
        0.5,
        1.0,
        2.0,
    )
    """Synthetic points per real point, each a row of the result; a fully synthetic row, λ = ∞,
    is added."""
    displacements: tuple[Kind, ...] = ("shift", "stretch", "wave")
    """How the data of a second chain are displaced: all alike, away from the origin, or to and
    fro like a wave."""
    size: float = 0.5
    """Root mean square length of the displacement, in standard deviations of the data."""
    rounds: int = 4
    """Retrainings after the displaced one."""
    samples: int = 500
    """n: real points, and coupled points drawn of each generation."""
    seeds: int = 4
    """S: pairs for each λ and displacement, trained side by side."""
    seed: int = 0
    """Determines every random draw of the run."""
    from_scratch: bool = False
    """Start each retraining from new parameters, the same in both chains, instead of the present
    ones."""
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
                raise ValueError(f"--lambda must be finite and >= 0, got {lam:g}")
        for option in ("lam", "displacements"):
            values = getattr(self, option)
            if len(set(values)) < len(values) or not values:
                name = "lambda" if option == "lam" else option
                raise ValueError(
                    f"--{name} must have values, none of them twice, got "
                    f"{' '.join(map(str, values))}"
                )
        if not 1e-3 <= self.size <= 100:  # what single precision can show
            raise ValueError(f"--size must be in [0.001, 100], got {self.size:g}")
        require_range(
            self,
            rounds=(1, MOST_ROUNDS),
            samples=(2, LARGEST_COUNT),
            seeds=(1, MOST_SEEDS),
            seed=(0, LARGEST_SEED),
            threads=(0, MOST_THREADS),
        )
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda: no CUDA device is available, use cpu or auto")


def displacement(kind: Kind, size: float, truth: Distribution, seed: int) -> Displacement:
    """Points (n, 2) move by a root mean square length of `size` standard deviations of a
    coordinate of the truth.
    """
    x = truth(SCALE_POINTS, stream(seed, Purpose.FLOOR, 0)).astype(float)
    sd = math.sqrt(x.var(axis=0).mean())
    root_mean_square = math.sqrt(np.square(x).sum(axis=1).mean())
    length = size * sd

    def wave(x: np.ndarray) -> np.ndarray:
        return np.sin(math.pi / sd * x[:, 0])  # a period of two standard deviations

    height = math.sqrt(np.square(wave(x)).mean())
    return {
        "shift": Displacement(lambda x: x + np.array((length, 0), x.dtype), lambda x: x[:, 0]),
        "stretch": Displacement(
            lambda x: x * np.array(1 + length / root_mean_square, x.dtype),
            lambda x: np.square(x).sum(axis=1),
        ),
        "wave": Displacement(
            lambda x: (
                x + np.stack([0 * wave(x), length / height * wave(x)], axis=1).astype(x.dtype)
            ),
            lambda x: x[:, 1] * wave(x),
        ),
    }[kind]


def configuration(model: str) -> type:
    """The configuration of the command for a model, which decides what other options there are."""
    of_model, default = settings_of(model)
    config = make_dataclass(
        "Contraction",
        [
            ("coupled", Annotated[Coupled, tyro.conf.arg(name="")], field(default_factory=Coupled)),
            ("density", Literal[tuple(DENSITIES)], field(default="moons")),
            ("model", Literal[tuple(MODELS)], field(default=model)),
            (
                "settings",
                Annotated[of_model, tyro.conf.arg(name="")],
                field(default_factory=default),
            ),
        ],
        frozen=True,
    )
    config.__doc__ = """Measure how much of a displacement a retraining leaves, in any 2-D model.

    Prints the factor a round for each λ and each way to displace the data, with its standard
    error over seeds, beside λ/(1 + λ); writes history, samples and a figure, and goes on where it
    stopped if it was interrupted. The last options are those of the model: --model flow --help.
    """
    return config


def main(config: Any) -> None:
    """Run the experiment that `config`, of a class made by `configuration`, describes."""
    started = time.monotonic()
    options: Coupled = config.coupled
    _require_room(config)
    with open_run(f"contraction-{config.density}-{config.model}", config, options) as run:
        _run(run, config)
        history = run.history()
        with figure_style():
            figures = save_figure(_figure(history, options), run.figures / "contraction")
        console = make_console()
        console.print(_table(history, options))
        console.print(f"\ncontraction of {config.model}: {time.monotonic() - started:.0f} s")
        print_paths(console, (run.path / "history.jsonl", *figures))


def _require_room(config: Any) -> None:
    """UsageError if the pairs of chains take more memory than there is."""
    options: Coupled = config.coupled
    with warnings.catch_warnings(action="ignore"):  # the run itself warns of a λ that draws nothing
        drawn = [regime.synthetic(options.samples) for regime in _regimes(options)]
    pairs = len(options.displacements) * options.seeds
    points = 2 * pairs * sum(options.samples + max(options.samples, m) for m in drawn)
    option = "--lambda" if max(drawn) > options.samples else "--samples"
    needs = [Need(f"training sets and samples of {points:.3g} points", option, 2 * 4 * points)]
    if options.device == "cpu" or not torch.cuda.is_available():
        chains = 2 * pairs * len(drawn)
        threads = options.threads or default_threads()
        needs += config.settings.memory(chains, options.samples + max(drawn), threads)
    require_memory(needs)


def _regimes(options: Coupled) -> list[Regime]:
    return [*(Mix(lam) for lam in options.lam), FullySynthetic()]


def _run(run: RunDirectory, config: Any) -> None:
    options, truth = config.coupled, DENSITIES[config.density]
    pairs = [
        (regime, kind, replica)
        for regime in _regimes(options)
        for kind in options.displacements
        for replica in range(options.seeds)
    ]
    moves = {
        kind: displacement(kind, options.size, truth, options.seed)
        for kind in options.displacements
    }
    of_pairs = [moves[kind] for _, kind, _ in pairs]
    real = [
        truth(options.samples, stream(options.seed, Purpose.REAL, replica)) for *_, replica in pairs
    ]
    checkpoint = run.latest()
    done = checkpoint.generation.t + 1 if checkpoint else 0
    with progress_bar() as progress:
        task = progress.add_task("coupled chains", total=options.rounds + 1, completed=done)
        learner = MODELS[config.model].learner(
            chains=2 * len(pairs),
            settings=config.settings,
            device=torch.device(run.environment["device"]),
            workers=run.environment["threads"],
            on_progress=lambda share: progress.update(task, completed=done + share),
        )
        if checkpoint:
            learner.load_state_dict(checkpoint.learner)
        generations = coupled(
            learner,
            real,
            of_pairs,
            [regime for regime, *_ in pairs],
            options.rounds,
            replicas=[replica for *_, replica in pairs],
            after=checkpoint.generation if checkpoint else None,
            seed=options.seed,
            draws=options.samples,
            from_scratch=options.from_scratch,
        )
        clock = time.monotonic()
        for generation in generations:
            one, two = np.split(learner.parameters.astype(float), 2)
            measured = zip(
                gaps(generation),
                shares(generation, of_pairs),
                np.linalg.norm(two - one, axis=1),
                strict=True,
            )
            records = [
                {
                    "regime": str(regime),
                    "displacement": kind,
                    "replica": replica,
                    "share": float(share),
                    "gap": float(gap),
                    "parameter_gap": float(parameter_gap),
                }
                for (regime, kind, replica), (gap, share, parameter_gap) in zip(
                    pairs, measured, strict=True
                )
            ]
            seconds, clock = time.monotonic() - clock, time.monotonic()
            run.record(generation, {"pairs": records}, learner.state_dict(), {}, seconds)
            done = generation.t + 1
            progress.update(task, completed=done)


History = Sequence[Mapping[str, Any]]


def _values(history: History, key: str, regime: Regime, kind: str) -> np.ndarray:
    """A recorded number, (T + 1, S)."""
    return np.array(
        [
            [
                p[key]
                for p in line["pairs"]
                if (p["regime"], p["displacement"]) == (str(regime), kind)
            ]
            for line in history
        ]
    )


def _limit(regime: Regime) -> float:
    """λ/(1 + λ), the share of the data that is synthetic."""
    return regime.lam / (1 + regime.lam) if isinstance(regime, Mix) else 1.0


def _rate(history: History, regime: Regime, kind: str) -> Rate:
    """The rate over all rounds; nan for a displacement that the model hardly takes up."""
    values = _values(history, "share", regime, kind)
    learned = min(values[0].mean(), values[:-1].sum(axis=0).mean()) > LEAST_SHARE
    return rate(values) if learned else Rate(math.nan, math.nan)


def _shown(measured: Rate) -> str:
    if math.isnan(measured.value):
        return "not learned"
    return f"{measured.value:.3f}" + (
        "" if math.isnan(measured.error) else f" ± {measured.error:.3f}"
    )


def _table(history: History, options: Coupled) -> Table:
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title_style="bold", caption_style=""
    )
    table.title = "share of a displacement that is left after a retraining"
    table.add_column("regime")
    table.add_column("λ/(1+λ)", justify="right")
    for kind in options.displacements:
        table.add_column(kind, justify="right")
    table.add_column("parameters", justify="right")
    for regime in _regimes(options):
        rates = [_rate(history, regime, kind) for kind in options.displacements]
        moved = np.concatenate(
            [_values(history, "parameter_gap", regime, kind) for kind in options.displacements], 1
        )
        grown = f"{moved[-1].mean() / moved[0].mean():.2f}"
        table.add_row(str(regime), f"{_limit(regime):.3f}", *map(_shown, rates), grown)
    table.caption = "parameters: their distance in the last round over that in the first" + (
        "; ± standard error over seeds" if options.seeds > 1 else ""
    )
    return table


def _figure(history: History, options: Coupled) -> Figure:
    regimes = _regimes(options)
    figure = Figure(figsize=(7.4, max(3.0, 0.6 + 0.18 * len(regimes))))  # as high as its legend
    rates, curves = figure.subplots(1, 2)
    at = np.array([_limit(regime) for regime in regimes])
    rates.plot([0, 1], [0, 1], color="0.5", lw=1, label="λ/(1+λ)")
    for kind, marker, nudge in zip(
        options.displacements, "os^", (-0.008, 0.0, 0.008), strict=False
    ):
        measured = [_rate(history, regime, kind) for regime in regimes]
        if all(math.isnan(r.value) for r in measured):
            continue
        errors = [r.error if math.isfinite(r.error) else 0.0 for r in measured]
        rates.errorbar(
            at + nudge, [r.value for r in measured], errors, fmt=marker, label=kind, lw=1
        )
    rates.set(xlabel="λ/(1+λ); 1: fully synthetic", ylabel="share left after a retraining")
    rates.legend(title="± standard error" if options.seeds > 1 else None)
    kind, rounds = options.displacements[0], np.arange(len(history))
    looks = regime_looks([str(regime) for regime in regimes])
    for regime in regimes:
        values = _values(history, "share", regime, kind).mean(axis=1)
        (line,) = curves.plot(rounds, values, label=str(regime), **looks[str(regime)])
        curves.plot(
            rounds, values[0] * _limit(regime) ** rounds, color=line.get_color(), ls=":", lw=1
        )
    curves.plot([], [], color="0.5", ls=":", lw=1, label="as $(λ/(1+λ))^t$")
    curves.set(
        xlabel="round t",
        ylabel=f"share of the {kind} left",
        xticks=rounds[:: 1 + len(rounds) // 10],
    )
    curves.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


if __name__ == "__main__":
    command(configuration(model_named(sys.argv[1:])), main)
