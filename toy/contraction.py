"""The contraction of retraining, measured on coupled chains, as a function of λ: python -m
toy.contraction

Pairs of chains with the same data and noise, one of which starts from displaced data; see
`stability.loop.contraction`. If a model could fit any law exactly, G would be linear in laws,
(p_data + λ p)/(1 + λ), and λ/(1 + λ) of a displacement would be left after each round; so it is in
any exponential family. What differs from it is the model's doing.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.table import Table

from stability.loop.contraction import Displacement, Rate, coupled, gaps, rate, shares
from stability.loop.regimes import FullySynthetic, Mix, Regime
from stability.loop.retraining import Generation
from stability.loop.streams import Purpose, stream
from stability.runs.answer import duration
from stability.runs.closing import closing
from stability.runs.command_line import command
from stability.runs.figure_style import Figure, figure_style, regime_looks, save_figure
from stability.runs.history import History
from stability.runs.loop_options import Lambdas, LoopOptions, parts_of, study_settings
from stability.runs.observer import Quantity, View
from stability.runs.option_error import OptionError, worded
from stability.runs.ranges import MOST_ROUNDS, require_range
from stability.runs.result import Result
from stability.runs.study import Study
from stability.runs.tables import plain_table
from toy.densities.shapes import DENSITIES, Distribution
from toy.experiment import PlaneLearner, require_room
from toy.run import MODELS, ModelChoice, with_model

__all__ = ["Coupled", "PairObserver", "configuration", "displacement", "main"]

Kind = Literal["shift", "stretch", "wave"]
SCALE_POINTS = 10_000
LEAST_SHARE = 0.2  # of a displacement that the displaced chain's first model must show


@dataclass(frozen=True)
class Coupled(LoopOptions):
    """Choice of what is coupled, and how often; a fully synthetic row, λ = ∞, is added."""

    lam: Lambdas = (0.0, 0.2, 0.5, 1.0, 2.0)
    """Synthetic points per real point, each a row of the result; a fully synthetic row, λ = ∞,
    is added."""
    retrainings: Annotated[int, tyro.conf.arg(aliases=("--rounds",))] = 4
    """Retrainings after the displaced one."""
    samples: int = 500
    """n: real points, and coupled points drawn of each generation."""
    seeds: int = 4
    """S: pairs for each λ and displacement, trained side by side."""
    displacements: tuple[Kind, ...] = ("shift", "stretch", "wave")
    """Displacements of the data of a second chain: all alike, away from the origin, or to and
    fro like a wave."""
    size: float = 0.5
    """Root mean square length of the displacement, in standard deviations of the data."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.regime != "mix" or self.fully_synthetic:
            raise OptionError(
                "--regime must be mix, without --fully-synthetic: the rows are those of Algorithm "
                "1, and the fully synthetic one is always there"
            )
        for option, values in (("lambda", self.lam), ("displacements", self.displacements)):
            if len(set(values)) < len(values) or not values:
                raise OptionError(
                    f"--{option} must have values, none of them twice, got "
                    f"{' '.join(map(str, values))}"
                )
        if not 1e-3 <= self.size <= 100:  # what single precision can show
            raise OptionError(f"--size must be in [0.001, 100], got {self.size:g}")
        require_range(self, retrainings=(1, MOST_ROUNDS))

    @property
    def rows(self) -> list[Regime]:
        """One regime for each λ, and fully synthetic."""
        return [*map(Mix, self.lam), FullySynthetic()]


def displacement(kind: Kind, size: float, truth: Distribution, seed: int) -> Displacement:
    """Make a displacement of points (n, 2).

    Args:
        kind: How the points move: "shift", "stretch" or "wave".
        size: Root mean square length, in standard deviations of a coordinate of the truth, > 0.
        truth: Distribution of the data.
        seed: Determines the draws from which the standard deviation is estimated.

    Returns:
        The displacement, and the feature that shows it.
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
    """Make the configuration of the command for a model.

    The model decides which other options there are.

    Args:
        model: Key of `MODELS`.

    Returns:
        A frozen dataclass.
    """
    config = with_model("Contraction", model, ("coupled", Coupled))
    config.__doc__ = """Measure how much of a displacement a retraining leaves, in any 2-D model.

    Prints the factor a round for each λ and each way to displace the data, with its standard
    error over seeds, beside λ/(1 + λ); writes history, samples and a figure, and resumes where it
    stopped if it was interrupted. The last options are those of the model: --model flow --help.
    """
    return config


class PairObserver:
    """Measures pairs of coupled chains.

    Args:
        displacements: One a pair.
    """

    quantities = (
        Quantity("share", "Share of the displacement that is left"),
        Quantity("gap", "Root mean square distance of coupled draws"),
        Quantity("parameter_gap", "Distance of the parameters"),
    )

    def __init__(self, displacements: Sequence[Displacement]) -> None:
        self._displacements = displacements

    def measure(
        self, generation: Generation, learner: Any, views: Sequence[View]
    ) -> list[dict[str, float]]:
        """Measure all pairs.

        Args:
            generation: The generation, with two chains per pair.
            learner: The learner after its fit, of as many chains.
            views: One view per pair.

        Returns:
            `share`, `gap` and `parameter_gap` of each pair.
        """
        one, two = np.split(learner.parameters.astype(float), 2)
        measured = {
            "share": shares(generation, self._displacements),
            "gap": gaps(generation),
            "parameter_gap": np.linalg.norm(two - one, axis=1),
        }
        return [
            {key: float(values[pair]) for key, values in measured.items()}
            for pair in range(len(views))
        ]


def main(config: Any) -> None:
    """Run the experiment.

    Args:
        config: Options, of a class made by `configuration`.
    """
    options: Coupled = config.coupled
    truth, kinds = DENSITIES[config.density], options.displacements
    require_room(options, options.rows, config.settings, chains=2 * len(kinds))
    moves = {kind: displacement(kind, options.size, truth, options.seed) for kind in kinds}
    rows = [(regime, kind) for regime in options.rows for kind in kinds]
    of_pairs = [moves[kind] for _, kind in rows for _ in range(options.seeds)]

    def loop(learner: Any, real: Any, regimes: Any, generations: int, **others: Any) -> Iterator:
        return coupled(learner, real, of_pairs, regimes, generations, **others)

    def figures(result: Result) -> list[Path]:
        with figure_style():
            figure = _figure(result.history, options)
            return save_figure(figure, result.folder / "figures" / "contraction")

    Study(
        name=f"contraction-{config.density}-{config.model}",
        learner=PlaneLearner(
            partial(MODELS[config.model].build, settings=config.settings), chains=2
        ),
        real=truth,
        regimes=[regime for regime, _ in rows],
        labels=[{"displacement": kind} for _, kind in rows],
        observers=[PairObserver(of_pairs)],
        loop=loop,
        finish=closing(
            f"contraction of {config.model}",
            options.quiet,
            lambda console, result: console.print(_table(result.history, options)),
            figures,
            lambda result: _answer(result, options),
        ),
        **study_settings(options, *parts_of(config)),
    ).run()


def _values(history: History, key: str, regime: Regime, kind: str) -> np.ndarray:
    """A recorded number, (T + 1, S)."""
    return history.values(key)[f"{regime}, {kind}"]


def _limit(regime: Regime) -> float:
    """λ/(1 + λ), the share of the data that is synthetic."""
    return regime.lam / (1 + regime.lam) if isinstance(regime, Mix) else 1.0


def _rate(history: History, regime: Regime, kind: str) -> Rate:
    """The rate over all rounds; nan for a displacement that the model hardly takes up."""
    values = _values(history, "share", regime, kind)
    learned = min(values[0].mean(), values[:-1].sum(axis=0).mean()) > LEAST_SHARE
    return rate(values) if learned else Rate(math.nan, math.nan)


def _answer(result: Result, options: Coupled) -> str:
    """Answer in words: is the share that is left λ/(1 + λ)?

    It gives the row that differs by most errors.
    """
    rates = [
        (_rate(result.history, regime, kind), regime, kind)
        for regime in options.rows
        for kind in options.displacements
    ]
    known = [row for row in rates if math.isfinite(row[0].error)]
    if options.seeds < 2:
        takes = duration(4 * result.seconds) if math.isfinite(result.seconds) else "longer"
        return worded(
            "One seed has no standard error, and cannot tell whether λ/(1 + λ) of a displacement "
            f"is left: --seeds 4, about {takes}."
        )
    if not known:
        return "No displacement was learned by the first model: no share can be measured."

    from scipy.special import stdtrit  # SciPy, which help does without

    def errors(row: tuple[Rate, Regime, str]) -> float:
        return abs(row[0].value - _limit(row[1])) / max(row[0].error, 1e-12)

    measured, regime, kind = max(known, key=errors)
    level = 0.05 / len(known)
    half = float(stdtrit(options.seeds - 1, 1 - level / 2)) * measured.error
    differs = abs(measured.value - _limit(regime)) > half
    return (
        f"The share of a displacement that is left {'differs' if differs else 'does not differ'} "
        f"from λ/(1 + λ) for certain: of all rows most under {regime}, {kind}: "
        f"{measured.value:.3f} [{measured.value - half:.3f}, {measured.value + half:.3f}] beside "
        f"{_limit(regime):.3f} (95 % for all {len(known)} rows, {options.seeds} seeds)."
    )


def _shown(measured: Rate) -> str:
    if math.isnan(measured.value):
        return "not learned"
    return f"{measured.value:.3f}" + (
        "" if math.isnan(measured.error) else f" ± {measured.error:.3f}"
    )


def _table(history: History, options: Coupled) -> Table:
    table = plain_table("share of a displacement that is left after a retraining")
    table.add_column("regime")
    table.add_column("λ/(1+λ)", justify="right")
    for kind in options.displacements:
        table.add_column(kind, justify="right")
    table.add_column("parameters", justify="right")
    for regime in options.rows:
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
    regimes = options.rows
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
    command(lambda chosen: configuration(chosen.model), main, preset=ModelChoice)
