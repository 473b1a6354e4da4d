"""The λ from which a loop diverges although the real data stay, measured for every learner of the
plane beside theory: python -m toy.critical_lambda

Pairs of coupled chains (`stability.loop.contraction`) on normal data, one of which starts from data
that are wider by a quarter: what is left of that after a retraining is the contraction, and a loop
with more than 1 diverges. Exact likelihood gives c = λ/(1 + λ) < 1 at every λ. What is sampled with
a bias has another slope J, and c J may pass 1: a Gaussian at temperature τ > 1, a kernel estimate
whose kernels grow with the data, frequencies at τ < 1. How far the loop drifts is its bias.

Theory speaks of models that fit their data. The response of the first model shows whether one does:
1 where it takes up the whole displacement.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from stability.diffusion.width_map import SAMPLERS, limit, slope
from stability.loop.contraction import Displacement, Rate, coupled, rate
from stability.loop.regimes import Mix
from stability.loop.retraining import Generation
from stability.loop.temperature import tempered
from stability.runs.atomic import atomic_write
from stability.runs.command_line import command
from stability.runs.console import make_console, print_paths
from stability.runs.figure_style import Figure, figure_style, save_figure
from stability.runs.option_error import OptionError
from stability.runs.output_folder import claim_output_folder
from stability.runs.processors import default_threads
from stability.runs.ranges import LARGEST_SEED, require_range
from stability.runs.tables import plain_table
from toy.contraction import LEAST_SHARE
from toy.learners.settings import (
    DDPMConfig,
    EDMConfig,
    KDEConfig,
    MixtureConfig,
    OTCFMConfig,
    SplineFlowConfig,
    VAEConfig,
)
from toy.run import MODELS

__all__ = ["LOOPS", "CriticalLambda", "MeasuredLoop", "MeasuredRow", "crossing", "main", "measure"]

_STRETCH = 1.25
_SYMBOLS = 4
_HOT, _COLD = 1.5, 0.8
_FEW = 60  # real points of a network


@dataclass(frozen=True)
class MeasuredLoop:
    """A learner, its data, and what theory says of it.

    Attributes:
        build: Chains and epochs -> learner.
        rate: λ and n -> what theory leaves of a displacement a round; nan where none is known.
        critical: n -> λ from which on the loop diverges; inf: none.
        samples: n, real points.
        passes: Passes over the training set for each epoch.
        kind: Points of the plane, or symbols.
    """

    build: Callable[[int, int], Any]
    rate: Callable[[float, int], float] = lambda lam, n: lam / (1 + lam)
    critical: Callable[[int], float] = lambda n: math.inf
    samples: int = 200
    passes: int = 1
    kind: Literal["plane", "symbols"] = "plane"


def _plane(model: str, settings: Any, temperature: float = 1.0) -> Callable[[int, int], Any]:
    """Builds a learner of the plane; `epochs` is set where its settings have one."""

    def build(chains: int, epochs: int) -> Any:
        chosen = replace(settings, epochs=epochs) if hasattr(settings, "epochs") else settings
        return tempered(MODELS[model].build(chains=chains, settings=chosen), temperature)

    return build


def _frequencies(chains: int, epochs: int) -> Any:
    """Frequencies that are sampled at a temperature; there is nothing to train."""
    from stability.statements.literature.discrete_collapse import Frequencies
    from stability.statements.literature.temperature_threshold import CooledFrequencies

    return CooledFrequencies(Frequencies(np.zeros((chains, 1, _SYMBOLS))), _COLD)


def _answered(response: float, lam: float, n: int) -> float:
    """cJ, for a model that takes up J times a change of its training set."""
    return lam / (1 + lam) * response


def _width_rate(sampler: str, lam: float, n: int) -> float:
    """cφ' at the width where a perfect learner's loop settles."""
    settled = limit(SAMPLERS[sampler], 1.0, lam)
    return _answered(float(slope(SAMPLERS[sampler], settled)), lam, n)


def _kernel_rate(bandwidth: float, lam: float, n: int) -> float:
    from stability.statements.literature import kernel_estimate

    return kernel_estimate.rate(n, lam, bandwidth=bandwidth or None)


def _kernel_critical(n: int) -> float:
    from stability.statements.literature import kernel_estimate

    return kernel_estimate.critical_lambda(n)


def _unknown(lam: float, n: int) -> float:
    return math.nan


_SMALL: dict[str, Any] = {"width": 32, "batch": 20, "learning_rate": 3e-3}
_LONG = 3  # passes of DDPM for each of the others: a noise that is badly predicted is amplified
_DDPM = DDPMConfig(**_SMALL)

LOOPS: dict[str, MeasuredLoop] = {
    "Gaussian": MeasuredLoop(_plane("mixture", MixtureConfig(components=1))),
    f"Gaussian, τ = {_HOT:g}": MeasuredLoop(
        _plane("mixture", MixtureConfig(components=1), _HOT),
        rate=partial(_answered, _HOT),
        critical=lambda n: 1 / (_HOT - 1),
    ),
    "mixture, EM": MeasuredLoop(_plane("mixture", MixtureConfig(components=4))),
    "kernels, Scott": MeasuredLoop(
        _plane("kde", KDEConfig()),
        rate=partial(_kernel_rate, 0.0),
        critical=_kernel_critical,
        samples=20,
    ),
    "kernels, fixed": MeasuredLoop(
        _plane("kde", KDEConfig(bandwidth=0.3)),
        rate=partial(_kernel_rate, 0.3),
        samples=20,
    ),
    f"{_SYMBOLS} symbols, τ = {_COLD:g}": MeasuredLoop(
        _frequencies,
        rate=partial(_answered, 1 / _COLD),
        critical=lambda n: _COLD / (1 - _COLD),
        samples=2000,
        kind="symbols",
    ),
    "spline flow": MeasuredLoop(
        _plane("flow", SplineFlowConfig(width=32, couplings=2)), samples=_FEW
    ),
    "VAE": MeasuredLoop(_plane("vae", VAEConfig(width=32)), rate=_unknown, samples=_FEW),
    "OT-CFM": MeasuredLoop(
        _plane("ot-cfm", OTCFMConfig(width=32, plan=64)), rate=_unknown, samples=_FEW
    ),
    "DDPM, fixed-large": MeasuredLoop(
        _plane("ddpm", _DDPM),
        rate=partial(_width_rate, "DDPM 100, fixed-large"),
        samples=_FEW,
        passes=_LONG,
    ),
    "DDPM, fixed-small": MeasuredLoop(
        _plane("ddpm", replace(_DDPM, sampler="fixed-small")),
        rate=partial(_width_rate, "DDPM 100, fixed-small"),
        samples=_FEW,
        passes=_LONG,
    ),
    "EDM, Heun 18": MeasuredLoop(
        _plane("edm", EDMConfig(**_SMALL)),
        rate=partial(_width_rate, "EDM Heun 18"),
        samples=_FEW,
    ),
}
"""Name -> loop. Networks are small: their errors are part of what is measured."""


@dataclass(frozen=True)
class CriticalLambda:
    """Measure contraction and bias of every learner's loop over λ, beside theory.

    Prints a row a loop and λ, and the λ from which on each diverges; writes the numbers and a
    figure.
    """

    loops: tuple[Literal[tuple(LOOPS)], ...] = tuple(LOOPS)  # type: ignore[valid-type]
    """Loops to measure."""
    lam: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda", metavar="λ [λ ...]")] = (
        1.0,
        4.0,
        12.0,
    )
    """Synthetic points per real point, one or more values."""
    retrainings: int = 4
    """Retrainings after the displaced one."""
    seeds: int = 2
    """Coupled pairs for each λ."""
    epochs: int = 100
    """Passes over the training set, for learners with networks."""
    seed: int = 0
    """Determines every random draw of the run."""
    out: Path = Path("runs/critical_lambda")
    """Folder for numbers and figure."""

    def __post_init__(self) -> None:
        for lam in self.lam:
            if not 0 < lam <= 1000:
                raise OptionError(f"--lambda must be in (0, 1000], got {lam:g}")
        if not self.lam or not self.loops:
            raise OptionError("--lambda and --loops must have values")
        require_range(self, retrainings=(2, 1000), seeds=(1, 1000), epochs=(1, 10**6))
        require_range(self, seed=(0, LARGEST_SEED))


@dataclass(frozen=True)
class MeasuredRow:
    """Numbers of a loop at one λ.

    Attributes:
        lam: λ.
        response: Share of the displacement that the first model shows.
        contraction: Factor a round of a displacement; nan if the model does not take it up.
        theory: The same in theory; nan where no theory is known.
        bias: Last over real mean square, minus 1 (of symbols: largest frequency over 1/K), its
            mean and standard error over pairs.
    """

    lam: float
    response: float
    contraction: Rate
    theory: float
    bias: Rate

    @property
    def diverges(self) -> bool:
        """True if the contraction is above 1 by two standard errors."""
        return self.contraction.value - 2 * self.contraction.error > 1


def _moved_symbols(x: np.ndarray) -> np.ndarray:
    """Every fifth point of the last symbol becomes the first one."""
    moved = x.copy()
    (last,) = np.nonzero(x[:, 0] == _SYMBOLS - 1)
    moved[last[::5]] = 0
    return moved


def _displacement(kind: str) -> Displacement:
    if kind == "symbols":
        return Displacement(_moved_symbols, lambda x: (x[:, 0] == 0).astype(float))
    return Displacement(
        lambda x: x * np.asarray(_STRETCH, x.dtype), lambda x: np.square(x).sum(axis=1)
    )


def _size(kind: str, x: np.ndarray) -> float:
    """The number whose drift is the bias."""
    if kind == "symbols":
        return float(np.bincount(x[:, 0], minlength=_SYMBOLS).max() / len(x))
    return float(np.square(x.astype(float)).sum(axis=1).mean())


def _real(loop: MeasuredLoop, rng: np.random.Generator) -> np.ndarray:
    """n points: as many of each symbol, or normal ones."""
    if loop.kind == "symbols":
        return np.repeat(np.arange(_SYMBOLS), loop.samples // _SYMBOLS)[:, None]
    return rng.standard_normal((loop.samples, 2)).astype(np.float32)


def measure(loop: MeasuredLoop, config: CriticalLambda) -> list[MeasuredRow]:
    """Run all pairs of a loop side by side.

    Args:
        loop: The loop.
        config: Options of the command.

    Returns:
        One record a λ.
    """
    pairs = len(config.lam) * config.seeds
    rng = np.random.default_rng(config.seed)
    by_seed = [_real(loop, rng) for _ in range(config.seeds)]
    real = by_seed * len(config.lam)
    move = _displacement(loop.kind)
    generations = coupled(
        loop.build(2 * pairs, loop.passes * config.epochs),
        real,
        [move] * pairs,
        [Mix(lam) for lam in config.lam for _ in range(config.seeds)],
        config.retrainings,
        streams=[*range(config.seeds)] * len(config.lam),
        seed=config.seed,
        draws=1000,
    )
    gaps, sizes = [], []
    for generation in generations:
        gaps.append(_gaps(generation, move))
        sizes.append([_size(loop.kind, np.asarray(x)) for x in generation.samples[:pairs]])

    start = np.array([_size(loop.kind, x) for x in real])
    by_lam = (len(config.lam), config.seeds)
    bias = np.reshape(np.array(sizes[-1]) / start - 1, by_lam)
    shares = np.reshape(gaps, (-1, *by_lam))
    return [
        MeasuredRow(
            lam,
            float(shares[0, i].mean()),
            _rate(shares[:, i]),
            loop.rate(lam, loop.samples),
            _mean(bias[i]),
        )
        for i, lam in enumerate(config.lam)
    ]


def _mean(values: NDArray[np.float64]) -> Rate:
    """Mean over pairs and its standard error, nan for one pair."""
    spread = values.std(ddof=1) if len(values) > 1 else math.nan
    return Rate(float(values.mean()), float(spread / math.sqrt(len(values))))


def _gaps(generation: Generation, move: Displacement) -> list[float]:
    """Difference of the feature's means of each pair's draws, over that of real data, (S,).

    Not over that of the present draws, which grow in a loop that diverges.
    """
    half = len(generation.samples) // 2
    pairs = zip(generation.samples[:half], generation.samples[half:], strict=True)
    real = (data.points[: data.real] for data in generation.training[:half])
    return [
        float(
            (move.feature(y).mean() - move.feature(x).mean())
            / (move.feature(move.move(z)) - move.feature(z)).mean()
        )
        for (x, y), z in zip(pairs, real, strict=True)
    ]


def _rate(values: NDArray[np.float64]) -> Rate:
    """The rate over all rounds; nan for a displacement that models hardly show."""
    learned = min(values[0].mean(), values[:-1].sum(axis=0).mean()) > LEAST_SHARE
    return rate(values) if learned else Rate(math.nan, math.nan)


def main(config: CriticalLambda) -> None:
    """Measure, print and draw.

    Args:
        config: Options.
    """
    import torch

    torch.set_num_threads(default_threads())
    claim_output_folder(config.out, "toy.critical_lambda")
    console = make_console()
    found: dict[str, list[MeasuredRow]] = {}
    table = plain_table("what a retraining leaves of a displacement, and where the loop drifts")
    for column in ("loop", "n", "λ", "response", "contraction", "theory", "bias", "diverges"):
        table.add_column(column, justify="left" if column == "loop" else "right")
    paths = [config.out / "critical_lambda.csv"]
    for name in config.loops:
        found[name] = measure(LOOPS[name], config)
        for row in found[name]:
            table.add_row(*_cells(name, row))
        table.add_section()
        _write(paths[0], found)  # what is there stays if the rest is interrupted
    console.print(table)
    console.print(_summary(found))
    with figure_style():
        paths += save_figure(_figure(found), config.out / "critical_lambda")
    print_paths(console, paths)


def _shown(value: Rate) -> str:
    if math.isnan(value.value):
        return "not learned"
    return f"{value.value:.3f}" + ("" if math.isnan(value.error) else f" ± {value.error:.3f}")


def _cells(name: str, row: MeasuredRow) -> Sequence[str]:
    theory = "" if math.isnan(row.theory) else f"{row.theory:.3f}"
    numbers = f"{row.response:.2f}", _shown(row.contraction), theory, _shown(row.bias)
    diverges = "yes" if row.diverges else "no"
    return name, str(LOOPS[name].samples), f"{row.lam:g}", *numbers, diverges


def _write(path: Path, found: dict[str, list[MeasuredRow]]) -> None:
    """A row a loop and λ; what is not known is empty."""
    rows = [
        (
            *(name, LOOPS[name].samples, row.lam, row.response),
            *(row.contraction.value, row.contraction.error),
            *(row.theory, row.bias.value, row.bias.error),
        )
        for name, measured in found.items()
        for row in measured
    ]

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        [
            *("loop", "n", "lam", "response", "contraction", "contraction_error"),
            *("theory", "bias", "bias_error"),
        ]
    )
    writer.writerows([["" if x != x else x for x in row] for row in rows])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _summary(found: dict[str, list[MeasuredRow]]) -> Any:
    table = plain_table("from which λ on the loop diverges although the real data stay")
    for column in ("loop", "measured", "theory"):
        table.add_column(column)
    for name, rows in found.items():
        critical = LOOPS[name].critical(LOOPS[name].samples)
        theory = "none" if math.isinf(critical) else f"{critical:.3g}"
        table.add_row(name, crossing(rows), theory)
    return table


def crossing(rows: Sequence[MeasuredRow]) -> str:
    """Name the two λ between which a loop begins to diverge.

    Args:
        rows: Numbers of the loop, at least one.

    Returns:
        Both, or the end of the measured values.
    """
    below = [row.lam for row in rows if not row.diverges]
    above = [row.lam for row in rows if row.diverges]
    if not above:
        return f"none up to {max(below):g}"
    last = [lam for lam in below if lam < min(above)]
    return f"{max(last):g} … {min(above):g}" if last else f"below {min(above):g}"


def _figure(found: dict[str, list[MeasuredRow]]) -> Figure:
    """A panel a loop: measured contraction with two standard errors, c, and theory."""
    columns = min(3, len(found))
    lines = math.ceil(len(found) / columns)
    figure = Figure(figsize=(2.3 * columns, 1.9 * lines + 0.6))
    grid = np.atleast_1d(figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False))
    share = np.linspace(0, 1, 50)

    for axes, (name, rows) in zip(grid.flat, found.items(), strict=False):
        at = [row.lam / (1 + row.lam) for row in rows]
        axes.plot(share, share, color="0.6", lw=1, label="λ/(1+λ)")
        axes.axhline(1, color="0.8", lw=0.8, zorder=0)
        axes.plot(at, [row.theory for row in rows], "x", color="C1", ms=7, label="theory")
        errors = [2 * np.nan_to_num(row.contraction.error) for row in rows]
        axes.errorbar(
            at, [row.contraction.value for row in rows], errors, fmt="o", color="C0",
            label="measured, ± 2 standard errors", ms=4,
        )  # fmt: skip
        axes.set_title(name)
    for axes in grid.flat[len(found) :]:
        axes.set_visible(False)
    for axes in list(grid.flat[: len(found)])[-columns:]:  # the lowest panel of each column
        axes.set_xlabel("λ/(1+λ)")
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("left a round")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


if __name__ == "__main__":
    command(CriticalLambda, main)
