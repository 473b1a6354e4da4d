"""A user's family on a user's data: Theorem 1, a row a λ with errors and the curve over λ; Theorem
2, S3, S4, S6 and S7 through Algorithm 1.
"""

import importlib
import inspect
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stability.analysis.local_analysis import LocalAnalysis, analyse
from stability.analysis.torch_family import as_family
from stability.laws.law import Law, as_law
from stability.loop.regimes import Accumulate, FreshReal, FullySynthetic, Mix, Regime
from stability.loop.retraining import Latents, RetrainingError
from stability.loop.whole_counts import require_whole
from stability.runs.array_files import read_npy
from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError
from stability.runs.figure_style import Figure, FigureCanvasAgg, figure_style, save_figure
from stability.runs.untrusted import read_bytes
from stability.runs.user_code import failure_in_user_code
from stability.statements import family_regimes, theorem2
from stability.statements.assumption3 import Fitted, radius_of
from stability.statements.verdict import Verdict

__all__ = [
    "analysed",
    "lambda_table",
    "load_family",
    "load_points",
    "own_verdicts",
    "parameters",
    "write_curve",
    "write_verdicts",
]

_LARGEST = 2**28
"""Bytes of a file of points."""
_MORE, _PILOT = 1.5, 20
"""Margin over the ε_OPT of a learner that stops early, and the number of runs that it is seen in.
"""
_DIRECTIONS = 16
"""In which ρ of Theorem 2 is looked for besides the axes."""
_BLUE, _ORANGE, _RED = "#0072B2", "#E69F00", "#D55E00"


def load_family(name: str) -> Any:
    """Import a family, and make one if it is a class or a function without arguments.

    Args:
        name: "module:attribute"; the module is looked for in the present folder too.

    Returns:
        The family.

    Raises:
        UsageError: If there is none.
    """
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
        return found() if inspect.isclass(found) or inspect.isfunction(found) else found
    except (ImportError, AttributeError, TypeError, ValueError, SyntaxError) as error:
        raise UsageError(
            f"--family must be module:attribute that makes a family without arguments, got {name} "
            f"({type(error).__name__}: {error})"
        ) from error
    except Exception as error:
        raise UsageError(f"--family {name}: {failure_in_user_code(error) or error}") from error


def load_points(path: Path) -> np.ndarray:
    """Points of a file.

    Args:
        path: .npy, or text with a point a line, numbers between commas; a first line of names is
            passed over.

    Returns:
        (n, d).

    Raises:
        UsageError: If it holds no finite points.
    """
    if path.suffix == ".npy":
        points = read_npy(path, _LARGEST)
    else:
        text = read_bytes(path, _LARGEST).decode("utf-8", errors="replace")
        first, _, rest = text.partition("\n")
        points = _numbers(rest if _is_header(first) else text, path)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or not points.size or not np.isfinite(points).all():
        raise UsageError(f"--data must hold finite points (n, d), got {points.shape} in {path}")
    return points.astype(float)


def _is_header(line: str) -> bool:
    try:
        [float(cell) for cell in line.split(",")]
    except ValueError:
        return True
    return False


def _numbers(text: str, path: Path) -> np.ndarray:
    try:
        return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--data must hold numbers and commas, got {path}: {reason}") from error


def analysed(
    family: Any, points: np.ndarray, lam: float, start: Sequence[float], seed: int, draws: int
) -> LocalAnalysis:
    """The analysis at one λ, from which those at others follow.

    Args:
        family: The user's.
        points: (n, d).
        lam: Synthetic points per real point.
        start: Where the search for θ* begins; () for the family's own `start`.
        seed: Of all draws.
        draws: Of Monte Carlo.

    Raises:
        UsageError: Where `analyse` refuses.
    """
    begin = torch.tensor(start, dtype=torch.float64) if start else None
    try:
        return analyse(family, points, lam, begin, n=len(points), seed=seed, draws=draws)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise UsageError(f"--family: {error}") from error


def lambda_table(local: LocalAnalysis, lams: Sequence[float]) -> Table:
    """Statements of Theorem 1, S1 and S3 at each λ, with errors.

    Args:
        local: The analysis at any λ.
        lams: Synthetic points per real point.

    Returns:
        The table.
    """
    table = Table(title="Retraining near θ*, by λ", box=SIMPLE_HEAD, pad_edge=False)
    heads = "λ", "condition < ½", "bound (11)", "sharp bound", "‖J‖₂", "q/(1+q)", "ρ(J)", "cost"
    for head in heads:
        table.add_column(head, overflow="fold")
    for lam in lams:
        at = local.at(lam)
        table.add_row(
            f"{lam:g}",
            f"{at.condition:.4g}: {at.theorem1_condition}",
            f"{at.bound:.4g}",
            f"{at.sharp_bound:.4g}",
            _with_error(at.norm, at.error("norm")),
            f"{at.rate_bound:.4g}",
            _with_error(at.rho, at.error("rho")),
            _with_error(float(at.retraining[0]), float(at.error("retraining")[0])),
        )
    return table


def _with_error(value: float, error: float) -> str:
    return f"{value:.5g}" + (f" ± {error:.2g}" if error > 1e-6 * (1 + abs(value)) else "")


def write_curve(local: LocalAnalysis, lams: Sequence[float], folder: Path) -> list[Path]:
    """Draw the bounds, ‖J‖₂ and ρ(J) over λ, with bands of error.

    Args:
        local: The analysis at any λ.
        lams: Marked on the axis.
        folder: Where the figure goes.

    Returns:
        The files.
    """
    positive = [lam for lam in lams if lam > 0] or [1.0]
    grid = np.geomspace(min(positive) / 10, max(positive) * 10, 61)
    at = [local.at(lam) for lam in grid]

    with figure_style():
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        bounds = [("bound (11)", "bound", _RED, "--"), ("sharp bound", "sharp_bound", "0.4", ":")]
        for words, name, colour, line in bounds:
            lows = [getattr(each, name).low for each in at]
            open_above = any(getattr(each, name).high > getattr(each, name).low for each in at)
            infinite = min(lows) == np.inf
            label = words + (": infinite" if infinite else ", at least" if open_above else "")
            axes.loglog(grid, lows, line, color=colour, label=label)
        for words, name, colour in (("‖J‖₂", "norm", _ORANGE), ("ρ(J)", "rho", _BLUE)):
            values = np.array([getattr(each, name) for each in at])
            errors = np.array([each.error(name) for each in at])
            axes.loglog(grid, values, color=colour, label=words)
            below = np.maximum(values - errors, 1e-9)
            axes.fill_between(grid, below, values + errors, color=colour, alpha=0.2, linewidth=0)
        for lam in positive:
            axes.axvline(lam, color="0.8", linewidth=0.8, zorder=0)
        axes.axhline(1, color="0.5", linewidth=0.8)
        top = 10 * max(1.0, float(np.nanmax([each.norm for each in at])))
        axes.set(xlabel="λ, synthetic points per real point", ylim=(local.at(grid[0]).rho / 3, top))
        axes.legend()
        (folder / "figures").mkdir(exist_ok=True)
        return save_figure(figure, folder / "figures" / "own-family")


def parameters(local: LocalAnalysis, family: Any) -> str:
    """θ* in one line, with the names of the parameters where the family gives them.

    Args:
        local: The analysis.
        family: With `parameter_names`, or without.
    """
    names = getattr(family, "parameter_names", [f"theta[{k}]" for k in range(len(local.theta))])
    errors = np.atleast_1d(local.error("theta"))
    shown = [
        f"{name} = {_with_error(float(value), float(error))}"
        for name, value, error in zip(names, local.theta, errors, strict=False)
    ]
    return ", ".join(shown[:12]) + (", …" if len(shown) > 12 else "")


def own_verdicts(
    statement: str,
    family: Any,
    points: np.ndarray,
    lam: float,
    start: Sequence[float],
    seed: int,
    steps: int | None,
) -> list[Verdict]:
    """Theorem 2, or S3, S4, S6 and S7, for a user's family on draws of the user's points.

    Args:
        statement: "theorem2" or "family_regimes".
        family: The user's.
        points: (n, d); as many are drawn for each run, or a few less, so that λn is whole.
        lam: Synthetic points per real point, > 0.
        start: Where the search for θ* begins; () for the family's own `start`.
        seed: Of all draws.
        steps: Newton steps of a fit that stops early; None: all.

    Returns:
        The verdicts.

    Raises:
        UsageError: Where the family or the data are refused.
    """
    begin = torch.tensor(start, dtype=torch.float64) if start else None
    rng, law = np.random.default_rng(seed), as_law(points)
    n = _whole(len(points), lam)

    try:
        if statement == "theorem2":
            return _theorem2(as_family(family), law, n, lam, begin, steps, rng)
        regimes: list[tuple[Regime, Latents]] = [
            (Mix(lam), "fresh"),
            (Mix(lam), "shared"),
            (FreshReal(lam), "fresh"),
            (Accumulate(lam), "fresh"),
            (FullySynthetic(), "fresh"),
        ]
        return [
            verdict
            for regime, latents in regimes
            for verdict in family_regimes.check(
                as_family(family), law, regime, 3, rng, latents, n, start=begin
            )
        ]
    except (ValueError, TypeError, ArithmeticError, RetrainingError) as error:
        raise UsageError(f"--family: {error}") from error


def write_verdicts(verdicts: Sequence[Verdict], folder: Path) -> list[Path]:
    """Write verdicts.json.

    Args:
        verdicts: Any.
        folder: Where it goes.

    Returns:
        The file.
    """
    path = folder / "verdicts.json"
    text = json.dumps([each.to_dict() for each in verdicts], ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode())
    return [path]


def _theorem2(
    family: Any,
    law: Law,
    n: int,
    lam: float,
    start: torch.Tensor | None,
    steps: int | None,
    rng: np.random.Generator,
) -> list[Verdict]:
    """With a radius of U that is found first; a learner that stops early needs a larger one."""
    delta, t, eps_opt = 0.1, 5, 0.0
    arguments = (family, law, n, lam, t, delta, start)
    if steps is not None:
        near = Fitted(family, law, radius_of(*arguments), start, steps, _DIRECTIONS)
        eps_opt = _MORE * near.run(n, lam, 1, _PILOT, rng).constants.eps_opt
    radius = radius_of(*arguments, eps_opt)
    return theorem2.check(
        Fitted(family, law, radius, start, steps, _DIRECTIONS), n, lam, t, delta, rng
    )


def _whole(n: int, lam: float) -> int:
    """The largest number of real points, at most n, with λ times it whole."""
    for count in range(n, 0, -1):
        try:
            require_whole(lam, count)
        except ValueError:
            continue
        return count
    raise UsageError(
        f"--lambda times the number of points must be whole for some of {n}, got {lam}"
    )
