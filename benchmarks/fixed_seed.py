"""Effect on a loop of a seed that is fixed inside a library.

    python -m benchmarks.fixed_seed

scikit-learn's `GaussianMixture(random_state=0)` draws the same noise on every call of `sample`, and
synthesizers of tables that reset their seed after every fit do too. In the loop Mix(1) the error of
a mean then grows to (1 − c^t)² of that of the real data, c = 1/2, instead of (1 − c^{2t})/3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.special import ndtr, ndtri
from sklearn.mixture import GaussianMixture

from benchmarks.at_least_one import require_at_least_one
from stability.runs.command_line import command
from stability.runs.console import make_console

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Benchmark:
    """Measure the error that retraining adds, with fixed and with fresh seeds."""

    loops: int = 200
    """Loops of each row."""
    rounds: int = 8
    """Retrainings t."""
    n: int = 200
    """Real points, and points drawn in each round."""
    dimension: int = 4
    """Columns; each counts as a repeat."""
    seed: int = 0
    """Determines every random draw."""

    def __post_init__(self) -> None:
        require_at_least_one(self, apart_from=("seed",))


class Synthesizer(Protocol):
    """A sampler that learns from points: it has `fit` and `draw`."""

    def fit(self, points: Points) -> None:
        """Learn from points.

        Args:
            points: Training set, (n, d).
        """

    def draw(self, count: int) -> Points:
        """Draw points.

        Args:
            count: Number of points.

        Returns:
            (count, d).
        """
        ...


class Mixture:
    """scikit-learn's mixture of one component: its `sample` obeys `random_state`."""

    def __init__(self, seed: int) -> None:
        self.model = GaussianMixture(1, random_state=seed)

    def fit(self, points: Points) -> None:
        """Learn from points.

        Args:
            points: Training set, (n, d).
        """
        self.model.fit(points)

    def draw(self, count: int) -> Points:
        """Draw points, with the same noise on every call.

        Args:
            count: Number of points.

        Returns:
            (count, d).
        """
        return self.model.sample(count)[0]


class Copula:
    """Gaussian copula with empirical margins, which resets its seed after each fit."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, points: Points) -> None:
        """Learn margins and the correlation of normal scores, and reset the seed.

        Args:
            points: Training set, (n, d).
        """
        self.margins = np.sort(points, axis=0)
        ranks = points.argsort(axis=0).argsort(axis=0) + 0.5
        scores = ndtri(ranks / len(points))
        self.root = np.linalg.cholesky(np.atleast_2d(np.corrcoef(scores, rowvar=False)))
        self.rng = np.random.default_rng(self.seed)

    def draw(self, count: int) -> Points:
        """Draw points.

        Args:
            count: Number of points.

        Returns:
            (count, d).
        """
        z = self.rng.standard_normal((count, len(self.root))) @ self.root.T
        u = ndtr(z)
        return np.stack(
            [np.quantile(margin, part) for margin, part in zip(self.margins.T, u.T, strict=True)],
            axis=1,
        )


class Excess(NamedTuple):
    """Error that retraining adds to a mean, in units of the error of the real data's mean.

    Attributes:
        mean: Mean over loops and columns.
        error: Its standard error.
    """

    mean: float
    error: float


def excess(
    make: Callable[[int], Synthesizer], fresh: bool, config: Benchmark, rng: np.random.Generator
) -> Excess:
    """Run Mix(1) and measure how far the training set's mean has moved.

    Args:
        make: Makes a synthesizer from a seed.
        fresh: Whether each fit has a seed of its own; otherwise all have that of their loop.
        config: Sizes.
        rng: Source of the real points and the seeds.

    Returns:
        The excess after `config.rounds` retrainings.
    """
    # columns of other units: the sampler's principal axes keep their order from round to round
    scale = 2.0 ** np.arange(config.dimension)
    squares = np.empty((config.loops, config.dimension))
    for loop in range(config.loops):
        real = rng.standard_normal((config.n, config.dimension)) * scale
        seeds = rng.integers(2**31, size=config.rounds)
        train = real
        for seed in seeds if fresh else np.full(config.rounds, seeds[0]):
            model = make(int(seed))
            model.fit(train)
            train = np.concatenate([real, model.draw(config.n)])
        squares[loop] = config.n * ((train.mean(axis=0) - real.mean(axis=0)) / scale) ** 2
    error = squares.mean(axis=1).std(ddof=1) / np.sqrt(config.loops) if config.loops > 1 else np.nan
    return Excess(float(squares.mean()), float(error))


def run(config: Benchmark) -> None:
    """Measure and print the table.

    Args:
        config: Sizes.
    """
    c = 0.5
    stated = {False: (1 - c**config.rounds) ** 2, True: (1 - c ** (2 * config.rounds)) / 3}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "seeds", "excess", "theory"):
        table.add_column(name, justify="left" if name in ("", "seeds") else "right")
    for i, (name, make) in enumerate(
        {"GaussianMixture(random_state=seed)": Mixture, "Gaussian copula": Copula}.items()
    ):
        for fresh in (False, True):
            found = excess(make, fresh, config, np.random.default_rng([config.seed, i, fresh]))
            seeds = "fresh" if fresh else "fixed"
            shown = f"{found.mean:.2f} ± {found.error:.2f}"
            table.add_row(name, seeds, shown, f"{stated[fresh]:.2f}")
    console = make_console()
    console.print(table)
    console.print(f"Mix(1), t = {config.rounds}; 1 is the error of the real data's own mean")


if __name__ == "__main__":
    command(Benchmark, run)
