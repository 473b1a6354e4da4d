"""A pilot that was run already: the generations of a recorded run as refits.

Generation t of a chain was trained on a known mix of the real data and of what the generations
before it drew, so that the mean of a functional over its training set follows from theirs.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stability.planning.functionals import Functionals
from stability.planning.labels import propagate
from stability.planning.pilot import Pilot, Refit
from stability.runs.command_line import UsageError
from stability.runs.result import Result
from stability.runs.run_generations import open_run_folder, run_generations

__all__ = ["recorded_pilot"]


def recorded_pilot(folder: Path, real: NDArray, functionals: Functionals) -> Pilot:
    """Read the generations of all chains of a run.

    Args:
        folder: Of the run.
        real: (n, d), the real points that all its chains began with.
        functionals: What to follow.

    Returns:
        The pilot. Refits of one row and generation are of one composition, seeds are repeats.

    Raises:
        UsageError: If it is no run, began with other points, or draws new real ones.
        RegimeError: If a regime looks at values.
    """
    result = open_run_folder(folder)
    refits: list[Refit] = []
    least = math.inf
    for k, chain in enumerate(result.history[0].chains):
        if chain.n != len(real):
            raise UsageError(f"{folder}: began with {chain.n} real points, not {len(real)}")
        found, drawn = _refits_of(result, k, real, functionals)
        refits += found
        least = min(least, drawn)
    return Pilot(len(real), functionals, tuple(refits), int(least))


def _refits_of(
    result: Result, k: int, real: NDArray, functionals: Functionals
) -> tuple[list[Refit], int]:
    """The refits of one chain, and the least draws that measure a model."""
    chain, folder = result.history[0].chains[k], result.folder
    if chain.regime.needs_fresh_real:
        raise UsageError(f"{folder}: {chain.row} draws new real points, which are not recorded")
    kept = list(run_generations(folder, chain.row, chain.seed))
    propagation = propagate(chain.regime, len(real), max(len(kept) - 1, 1))
    rows = list(result.history.rows)

    refits: list[Refit] = []
    means: list[NDArray[np.float64]] = []
    least = len(real) * 1000
    for t, generation in enumerate(kept):
        if generation.t != t:
            break  # later ones were trained on draws that were not kept
        drawn = generation.points().reshape(-1, real.shape[1])
        of_real, models = propagation.origins_of(t)
        training = of_real * functionals.means(real)
        training = training + sum((w * means[s] for s, w in enumerate(models[:t])), 0 * training)
        values = functionals.values(drawn)
        refits.append(
            Refit(
                chain.seed,
                propagation.size(t),
                rows.index(chain.row) + t / 1000,
                training,
                values.mean(axis=0),
                values.var(axis=0),
                math.nan,
            )
        )
        means.append(functionals.means(drawn[: propagation.synthetic or len(drawn)]))
        least = min(least, len(drawn))
    return refits, least
