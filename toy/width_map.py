"""Predicted against trained widths of Gaussian data in the loop, for every sampler: python -m
toy.width_map

The prediction is `stability.diffusion.width_map`: a perfect learner, so that the sampler alone
changes the width. The difference of the trained networks from it is the effect of learning.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from stability.diffusion.flow import Flow
from stability.diffusion.heun import Heun
from stability.diffusion.sampler import Sampler
from stability.diffusion.schedules import edm_noise_levels
from stability.diffusion.width_map import SAMPLERS, folds, lam_of_fixed_point, orbit
from stability.loop.regimes import FullySynthetic, Mix, Regime
from stability.runs.atomic import atomic_write
from stability.runs.command_line import command
from stability.runs.console import make_console, print_paths
from stability.runs.figure_style import (
    Axes,
    Figure,
    figure_style,
    regime_looks,
    save_figure,
)
from stability.runs.loop_options import LoopOptions, recorded_options, study_settings
from stability.runs.observer import OF_THE_TRUTH, Quantity, TruthDraw, View
from stability.runs.open_run import run_folder
from stability.runs.option_error import OptionError, option_name, worded
from stability.runs.output_folder import claim_output_folder
from stability.runs.ranges import LARGEST_COUNT, require_range
from stability.runs.study import Study
from stability.runs.tables import plain_table
from stability.runs.trends import student_interval
from toy.densities.mixtures import IsotropicMixture
from toy.experiment import PlaneLearner, require_room
from toy.learners.ddpm import DDPMLearner
from toy.learners.edm import EDMLearner
from toy.learners.ot_cfm import OTCFMLearner
from toy.learners.settings import DDPMConfig, EDMConfig, OTCFMConfig

__all__ = ["Case", "WidthMap", "WidthObserver", "cases", "main", "theory_figure", "trained_widths"]

SHOWN = (
    "DDPM 100, fixed-large",
    "DDPM 100, fixed-small",
    "DDIM 100",
    "EDM Heun 18",
    "EDM Heun 40",
    "flow, Euler 99",
)


@dataclass(frozen=True)
class WidthMap(LoopOptions):
    """Retrain DDPM, DDIM, EDM and flow matching on N(0, s₀² I) and compare the width with the
    prediction.

    Writes a figure of the prediction for all widths and λ, one of predicted and trained widths, and
    the numbers. Without --lambda: λ = 1 and fully synthetic.
    """

    retrainings: int = 5
    """T: generations 0 (real data only) to T."""
    samples: int = 2000
    """n: real points, and points drawn of each generation."""
    s0: float = 0.1
    """Standard deviation of a coordinate of the real data."""
    epochs: int = 100
    """Passes over the training set a (re)training; 0: the prediction alone."""
    batch: int = 250
    """Points a step."""
    width: int = 64
    """Width of the networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.regime not in ("mix", "synthetic"):
            raise OptionError(
                f"--regime must be mix or synthetic, which have a prediction, got {self.regime}"
            )
        if not 1e-6 <= self.s0 <= 1e6:  # what single precision can train on
            raise OptionError(f"--s0 must be from 1e-6 to 1e6, got {self.s0:g}")
        require_range(self, epochs=(0, LARGEST_COUNT))
        one: dict[str, Any] = {**self.training, "epochs": 1}
        DDPMConfig(**one)  # refuses batch and width
        for option in recorded_options(self) if not self.epochs else ():
            if option != "epochs" and getattr(self, option) != getattr(WidthMap, option):
                raise OptionError(
                    f"{option_name(option)} has no meaning with --epochs 0, which draws the "
                    "prediction alone"
                )

    @property
    def training(self) -> dict[str, Any]:
        """Settings that all learners share."""
        return {"epochs": self.epochs, "batch": self.batch, "width": self.width}

    @property
    def rows(self) -> list[Regime]:
        """Fully synthetic, where it is asked for, and one for each λ."""
        rows = self.regimes((1.0,))
        return sorted(rows, key=lambda row: not isinstance(row, FullySynthetic))

    @property
    def folder(self) -> Path:
        """Folder of the figures and numbers, and of the runs below."""
        return run_folder("width_map", recorded_options(self), self.out)


@dataclass(frozen=True)
class Case:
    """A sampler, and the learner that is sampled by it, as `PlaneLearner.make`."""

    sampler: Sampler
    make_learner: Callable[..., Any]


def cases(config: WidthMap) -> dict[str, Case]:
    """Make the panels of the figure.

    Minibatch optimal transport is predicted as if its plans were optimal transport's.

    Args:
        config: Options of the command.

    Returns:
        Sampler and learner by the name of the panel.
    """
    common = config.training
    found: dict[str, Case] = {}
    samplers: dict[str, Any] = {
        "DDPM 100, fixed-large": "fixed-large",
        "DDPM 100, fixed-small": "fixed-small",
        "DDIM 100": "ddim",
    }

    for name, sampler in samplers.items():
        found[name] = Case(
            SAMPLERS[name], partial(DDPMLearner, settings=DDPMConfig(**common, sampler=sampler))
        )

    for steps in (10, 18, 40):
        settings = EDMConfig(**common, sampler_steps=steps, sigma_data=config.s0)
        found[f"EDM Heun {steps}"] = Case(
            Heun(edm_noise_levels(steps)), partial(EDMLearner, settings=settings)
        )

    for pairs, title, correlation in (("independent", "CFM", 0.0), ("plan", "OT-CFM", 1.0)):
        for integrator, shown in (("euler", "Euler 99"), ("dopri5", "dopri5")):
            chosen = {"pairs": pairs, "integrator": integrator, "learning_rate": 1e-3}
            settings = OTCFMConfig(**common | chosen)
            flow = Flow(settings.make_integrator(), correlation=correlation)
            found[f"{title}, {shown}"] = Case(flow, partial(OTCFMLearner, settings=settings))

    return found


class WidthObserver:
    """Standard deviation of the samples' coordinates over s₀."""

    quantities = (Quantity("width", "Width over s₀", "width over s₀", floor=OF_THE_TRUTH),)

    def __init__(self, s0: float) -> None:
        self._s0 = s0

    def floor(self, truth: TruthDraw, n: int, rng: np.random.Generator) -> dict[str, float]:
        """Measure a draw of the truth.

        Args:
            truth: Draws true points.
            n: Number of points.
            rng: Source of the draws.

        Returns:
            `width`, in units of s₀.
        """
        return {"width": float(truth(n, rng).std() / self._s0)}

    def __call__(self, view: View) -> dict[str, float]:
        """Measure the samples.

        Args:
            view: A chain in a generation.

        Returns:
            `width`, in units of s₀.
        """
        return {"width": float(view.samples.std() / self._s0)}


def trained_widths(config: WidthMap, name: str, case: Case) -> Mapping[str, np.ndarray]:
    """Run, or finish, one panel.

    Args:
        config: Options of the command.
        name: Of the panel.
        case: Its sampler and learner.

    Returns:
        Standard deviation of the samples' coordinates over s₀, (T + 1, S) for each row.
    """
    folder = "".join(c if c.isalnum() else "-" for c in name.lower()).replace("--", "-")
    options = replace(config, out=config.folder / "runs" / folder)
    result = Study(
        name="width_map",
        learner=PlaneLearner(case.make_learner),
        real=IsotropicMixture(np.zeros((1, 2)), config.s0),
        regimes=config.rows,
        observers=[WidthObserver(config.s0)],
        **study_settings(options, options, {"panel": name}),
    ).run()
    return result.history.values("width")


def main(config: WidthMap) -> None:
    """Compute, draw and print.

    Args:
        config: Options of the command.
    """
    if config.epochs:
        require_room(config, config.rows, DDPMConfig(**config.training))
    claim_output_folder(config.folder, "toy.width_map")
    with figure_style():
        paths = save_figure(theory_figure(), config.folder / "width_map")
    if config.epochs:
        paths += _trained(config, make_console(quiet=config.quiet))
    print_paths(make_console(), paths)


def _trained(config: WidthMap, console: Console) -> list[Path]:
    """Run all panels and compare; the paths written."""
    panels = cases(config)
    widths: dict[str, Mapping[str, np.ndarray]] = {}
    for name, case in panels.items():
        widths[name] = trained_widths(config, name, case)
        _print(console, config, name, case, widths[name])
    console.print(_answer(config, panels, widths), soft_wrap=True)

    with figure_style():
        paths = save_figure(_comparison(config, panels, widths), config.folder / "trained")
    file = config.folder / "widths.json"
    plain = {name: {row: x.tolist() for row, x in of.items()} for name, of in widths.items()}
    with atomic_write(file) as written:
        written.write(json.dumps(plain, indent=1).encode())
    return [*paths, file]


def _answer(
    config: WidthMap, panels: dict[str, Case], widths: Mapping[str, Mapping[str, np.ndarray]]
) -> str:
    """Answer in words: which trained width is farthest from its prediction at the end?"""
    found = [
        (name, regime, widths[name][str(regime)][-1], _predicted(config, case, regime)[-1])
        for name, case in panels.items()
        for regime in config.rows
    ]
    name, regime, trained, predicted = max(found, key=lambda row: abs(row[2].mean() - row[3]))
    interval = student_interval(trained, 0.05)
    spread = (
        f"[{interval.low:.3f}, {interval.high:.3f}] (95 %, {config.seeds} seeds)"
        if config.seeds > 1
        else worded("(one seed has no interval: --seeds 4)")
    )
    return (
        f"Learning changes the width after {config.retrainings} retrainings most for {name}, "
        f"{regime}: {trained.mean():.3f} {spread} beside the prediction {predicted:.3f}."
    )


def _predicted(config: WidthMap, case: Case, regime: Regime) -> np.ndarray:
    """Standard deviation of the samples of generations 0 … T over s₀."""
    lam = regime.lam if isinstance(regime, Mix) else math.inf
    fitted = orbit(case.sampler, config.s0**2, lam, config.retrainings)
    return np.sqrt(case.sampler.variance(fitted)) / config.s0


def _print(
    console: Console, config: WidthMap, name: str, case: Case, widths: Mapping[str, np.ndarray]
) -> None:
    table = plain_table(f"{name}: width over s₀ = {config.s0:g} after t retrainings")
    table.add_column("")
    for t in range(config.retrainings + 1):
        table.add_column(f"t = {t}", justify="right")
    for regime in config.rows:
        predicted = _predicted(config, case, regime)
        table.add_row(f"{regime}, predicted", *(f"{x:.3f}" for x in predicted))
        table.add_row(f"{regime}, trained", *(f"{x.mean():.3f}" for x in widths[str(regime)]))
    console.print(table)


def _comparison(
    config: WidthMap, panels: dict[str, Case], widths: Mapping[str, Mapping[str, np.ndarray]]
) -> Figure:
    figure = Figure(figsize=(2.1 * 5, 2 * 2.2))
    grid = figure.subplots(2, 5, sharex=True)
    t = np.arange(config.retrainings + 1)
    looks = regime_looks(list(map(str, config.rows)))

    for axes, (name, case) in zip(grid.flat, panels.items(), strict=True):
        for regime in config.rows:
            predicted, look = _predicted(config, case, regime), looks[str(regime)]
            axes.plot(t, predicted, color=look["color"], label=f"{regime}, predicted")
            mean = widths[name][str(regime)].mean(axis=1)
            axes.plot(t, mean, **look | {"linestyle": ""}, label=f"{regime}, trained")
        axes.axhline(1, color="0.7", lw=0.8, zorder=0)
        axes.set_title(name)
        low, high = axes.get_ylim()
        if high > 10 * max(low, 0.1):
            axes.set_yscale("log")

    for axes in grid[-1]:
        axes.set_xlabel("retrainings t")
    for axes in grid[:, 0]:
        axes.set_ylabel("width over s₀")

    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def theory_figure() -> Figure:
    """φ of every sampler; and the fixed points of the mixed loop over λ, with the folds, for
    fixed-large.
    """
    figure = Figure(figsize=(6.6, 3.2))
    left, right = figure.subplots(1, 2)
    s = np.geomspace(1e-3, 10, 400)
    for name in SHOWN:
        left.plot(s, np.sqrt(SAMPLERS[name].variance(s**2)) / s, label=name)
    left.axhline(1, color="0.7", lw=0.8, zorder=0)
    left.set(
        xscale="log",
        ylim=(0.4, 1.25),
        xlabel="width of the data s",
        ylabel="width of the samples / s",
    )
    left.legend(fontsize=6)
    _fixed_points(right)
    return figure


def _fixed_points(axes: Axes) -> None:
    sampler, s = SAMPLERS["DDPM 100, fixed-large"], np.geomspace(1e-3, 3, 4000)
    for s0, color in ((0.01, "#0072B2"), (0.02, "#009E73"), (0.05, "#D55E00")):
        lam = lam_of_fixed_point(sampler, s0**2, s**2)
        # λ rises towards a stable fixed point, from s₀ or from a fold, and falls towards an
        # unstable one
        gap = np.sign(sampler.variance(s**2) - s**2)
        stable = np.gradient(lam) * gap > 0
        axes.plot(np.where(stable, lam, np.nan), s, color=color, label=f"s₀ = {s0:g}")
        axes.plot(np.where(stable, np.nan, lam), s, color=color, linestyle=":")
        for fold in folds(sampler, s0**2):
            axes.plot(fold.lam, math.sqrt(fold.variance), ".", color=color)
    axes.set(xscale="log", yscale="log", xlim=(0.1, 1000), ylim=(1e-3, 3))
    axes.set(xlabel="λ", ylabel="width where the loop stays")
    axes.set_title("fixed-large; dotted: unstable")
    axes.legend(fontsize=6)


if __name__ == "__main__":
    command(WidthMap, main)
