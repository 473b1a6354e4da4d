"""Calls of the network that a sampler needs to leave a loop where it is: python -m toy.samplers

A sampler turns variance v of the data into φ(v) (`stability.diffusion.width_map`). Here
|φ(v)/v − 1| stands over the calls of the denoiser, for Gaussian data and a perfect learner, so that
the sampler alone is seen.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stability.diffusion.flow import Euler, Flow
from stability.diffusion.heun import Heun
from stability.diffusion.multistep import DPMSolver2M, UniPC
from stability.diffusion.sampler import Sampler
from stability.diffusion.schedules import edm_noise_levels, linear_alphas_cumprod, spaced_times
from stability.diffusion.step_samplers import DDIM, Ancestral
from stability.diffusion.width_map import slope
from stability.runs.atomic import atomic_write
from stability.runs.command_line import command
from stability.runs.console import make_console, print_paths
from stability.runs.figure_style import Figure, figure_style, save_figure
from stability.runs.option_error import OptionError
from stability.runs.output_folder import claim_output_folder
from stability.runs.tables import plain_table

__all__ = ["FAMILIES", "Samplers", "bias", "fewest", "main"]

EVALUATIONS = range(5, 51)
SCHEDULE = linear_alphas_cumprod(1000, 1e-4, 0.02)
MOST_WIDTHS = 6


def _over(make: Callable[[Any], Sampler]) -> Callable[[int], Sampler]:
    """A sampler of DDPM's schedule, at equal distances in log SNR."""
    return lambda calls: make(spaced_times(SCHEDULE, calls, "logsnr"))


FAMILIES: Mapping[str, Callable[[int], Sampler]] = {
    "EDM, Heun": lambda calls: Heun(edm_noise_levels((calls + 1) // 2)),
    "EDM, DPM-Solver++(2M)": lambda calls: DPMSolver2M().along(edm_noise_levels(calls)),
    "EDM, UniPC": lambda calls: UniPC().along(edm_noise_levels(calls)),
    "EDM, UniPC of order 3": lambda calls: UniPC(3).along(edm_noise_levels(calls)),
    "DDPM, fixed-large": _over(lambda times: Ancestral("large").over(SCHEDULE[np.unique(times)])),
    "DDPM, fixed-small": _over(lambda times: Ancestral("small").over(SCHEDULE[np.unique(times)])),
    "DDPM, DDIM": _over(lambda times: DDIM().over(SCHEDULE[np.unique(times)])),
    "DDPM, DPM-Solver++(2M)": _over(lambda times: DPMSolver2M().over(SCHEDULE, times)),
    "DDPM, UniPC": _over(lambda times: UniPC().over(SCHEDULE, times)),
    "flow, Euler": lambda calls: Flow(Euler(calls)),
}
"""Samplers by the number of calls that they may take: EDM's noise levels from 80 to 0.002, ρ = 7;
DDPM's 1000 levels of CIFAR-10, of which so many are used; flow matching with independent pairs.
Heun's method takes an odd number."""


@dataclass(frozen=True)
class Samplers:
    """Compare what samplers do to a Gaussian of known width, over the calls of the network.

    Prints the fewest calls from which on each keeps the variance within a tolerance, and the weight
    w of an extrapolation that undoes the bias; writes the figure and the numbers.
    """

    widths: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Standard deviations of the data."""
    tolerance: float = 0.01
    """Largest |φ(v)/v − 1| of a sampler that counts as neutral."""
    evaluations: int = 20
    """Calls for which the weight of the extrapolation is printed."""
    out: Path = Path("runs/samplers")
    """Folder of figure and numbers."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) <= MOST_WIDTHS:
            raise OptionError(f"--widths must be 1 to {MOST_WIDTHS} numbers")
        if not all(1e-6 <= s <= 1e6 for s in self.widths):
            raise OptionError(f"--widths must be from 1e-6 to 1e6, got {self.widths}")
        if not 0 < self.tolerance < math.inf:
            raise OptionError(f"--tolerance must be finite and > 0, got {self.tolerance}")
        if self.evaluations not in EVALUATIONS:
            raise OptionError(f"--evaluations must be from 5 to 50, got {self.evaluations}")


def bias(family: str, calls: int, width: float) -> float:
    """Relative bias φ(v)/v − 1 of the variance.

    Args:
        family: Name in `FAMILIES`.
        calls: Calls of the denoiser, >= 2.
        width: Standard deviation of the data, > 0.

    Returns:
        The bias.
    """
    return float(FAMILIES[family](calls).variance(width**2)) / width**2 - 1


def fewest(biases: np.ndarray, tolerance: float) -> int | None:
    """Calls from which on all biases are within the tolerance.

    Args:
        biases: Of each number of calls in `EVALUATIONS`, (46,).
        tolerance: Largest absolute value.

    Returns:
        The number of calls; None if there is none up to 50.
    """
    outside = np.flatnonzero(np.abs(biases) > tolerance)
    first = 0 if not len(outside) else int(outside[-1]) + 1
    return EVALUATIONS[first] if first < len(EVALUATIONS) else None


def main(config: Samplers) -> None:
    """Compute, draw and print.

    Args:
        config: Options of the command.
    """
    claim_output_folder(config.out, "toy.samplers")
    found = {
        name: np.array([[bias(name, calls, s) for calls in EVALUATIONS] for s in config.widths])
        for name in FAMILIES
    }
    console = make_console()
    console.print(_table(config, found))
    with figure_style():
        paths = save_figure(_figure(config, found), config.out / "samplers")
    paths.append(config.out / "samplers.csv")
    with atomic_write(paths[-1]) as file:
        file.write(_lines(config, found).encode())
    print_paths(console, paths)


def _table(config: Samplers, found: Mapping[str, np.ndarray]) -> Any:
    s = ", ".join(f"{width:g}" for width in config.widths)
    table = plain_table(
        f"Calls from which on |φ(v)/v − 1| <= {config.tolerance:g}, and at {config.evaluations} "
        f"calls the bias, the weight w = 1/φ′(v) and the bias that it leaves (s = {s})"
    )
    for title in ("", "calls", "bias in %", "w", "left in %"):
        table.add_column(title, justify="right" if title else "left")
    at = EVALUATIONS.index(config.evaluations)
    for name, biases in found.items():
        calls = [fewest(row, config.tolerance) for row in biases]
        sampler = FAMILIES[name](config.evaluations)
        v = np.array(config.widths) ** 2
        weights = 1 / slope(sampler, v)
        merged = v - weights * (sampler.variance(v) - v)
        # a merge beyond 0 is no variance
        left = np.where(merged > 0, sampler.variance(np.maximum(merged, 1e-300)) / v - 1, np.nan)
        table.add_row(
            name,
            ", ".join("–" if n is None else str(n) for n in calls),
            ", ".join(f"{100 * x:+.1f}" for x in biases[:, at]),
            ", ".join(f"{w:.2f}" for w in weights),
            ", ".join("–" if math.isnan(x) else f"{100 * x:+.1f}" for x in left),
        )
    return table


def _figure(config: Samplers, found: Mapping[str, np.ndarray]) -> Figure:
    count = len(config.widths)
    figure = Figure(figsize=(1.2 + 2.6 * count, 3.4))
    panels = figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
    colors = {"Heun": "C0", "DPM-Solver++(2M)": "C1", "UniPC": "C2", "UniPC of order 3": "C3"}
    colors |= {"DDIM": "C4", "fixed-large": "C5", "fixed-small": "0.4", "Euler": "C6"}

    for k, (axes, width) in enumerate(zip(panels, config.widths, strict=True)):
        for name, biases in found.items():
            system, sampler = name.split(", ")
            style = {"EDM": "-", "DDPM": "--", "flow": ":"}[system]
            axes.plot(
                EVALUATIONS, np.abs(biases[k]), color=colors[sampler], linestyle=style, label=name
            )
        axes.axhline(config.tolerance, color="0.7", lw=0.8, zorder=0)
        axes.set(xscale="log", yscale="log", ylim=(1e-4, 10), xlabel="calls of the network")
        axes.set_xticks([5, 10, 20, 50], ["5", "10", "20", "50"])
        axes.set_xticks([], minor=True)
        axes.set_title(f"s = {width:g}")

    panels[0].set_ylabel("|φ(v)/v − 1|")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _lines(config: Samplers, found: Mapping[str, np.ndarray]) -> str:
    rows = ["sampler,width,evaluations,bias"]
    for name, biases in found.items():
        for width, row in zip(config.widths, biases, strict=True):
            for calls, x in zip(EVALUATIONS, row, strict=True):
                rows.append(f'"{name}",{width:g},{calls},{float(x)!r}')
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    command(Samplers, main)
