"""A pilot of two rounds: refits on mixes of real and drawn points, from which a loop is forecast.

Each repeat fits a model to the real points and draws from it. It then fits models to mixes of real
and drawn points with fractions 0, ¼, ½, ¾, 1 at the sizes that the loop will train at, and once
more to draws of the second round. No fit sees points of a later round.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stability.loop.regimes import TrainingSet
from stability.loop.retraining import Learner
from stability.loop.streams import Purpose, stream
from stability.planning.functionals import Functionals
from stability.planning.response_curve import ResponseCurve, fit_curve

__all__ = ["FRACTIONS", "Pilot", "Refit", "response_curves", "run_pilot"]

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Synthetic fractions of the mixes."""
SECOND = 2.0
"""Stands for the fraction of a training set made of draws of the second round."""
FEWEST_DRAWS, MOST_DRAWS = 4000, 20_000

MakeLearner = Callable[[int], Learner]
SCORED_SETS = 5
"""Sets of n draws whose mean score is that of a model."""
Score = Callable[[NDArray], float]
"""Draws of a model (k, d) -> how well they serve."""


@dataclass(frozen=True, eq=False)
class Refit:
    """One fit of the pilot.

    Attributes:
        repeat: Which repeat it belongs to.
        size: Points of the training set.
        fraction: Synthetic fraction, or `SECOND`.
        training: (q,), means of the functionals over the training set.
        model: (q,), means over draws of the model.
        spread: (q,), variances of the functionals over those draws.
        score: Score of sets of n draws; NaN without one.
    """

    repeat: int
    size: int
    fraction: float
    training: NDArray[np.float64]
    model: NDArray[np.float64]
    spread: NDArray[np.float64]
    score: float


@dataclass(frozen=True, eq=False)
class Pilot:
    """Measurements of a pilot.

    Attributes:
        n: Real points.
        functionals: What was followed.
        refits: All fits.
        draws: Draws that measured each model.
    """

    n: int
    functionals: Functionals
    refits: tuple[Refit, ...]
    draws: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the training sets, ascending."""
        return tuple(sorted({refit.size for refit in self.refits}))

    @property
    def repeats(self) -> int:
        """Number of repeats."""
        return 1 + max(refit.repeat for refit in self.refits)


def run_pilot(
    learner: MakeLearner,
    real: NDArray,
    functionals: Functionals,
    sizes: Sequence[int],
    *,
    repeats: int = 3,
    seed: int = 0,
    score: Score | None = None,
) -> Pilot:
    """Run the fits of a pilot.

    Args:
        learner: Number of chains -> learner; one chain is asked for.
        real: (n, d), the real points.
        functionals: What to follow.
        sizes: Sizes of training sets, n among them.
        repeats: Repeats with other random numbers, >= 2 for an error of a fit.
        seed: Determines all random numbers.
        score: Of n draws of each model.

    Returns:
        The pilot.

    Raises:
        ArithmeticError: If a fit or a draw fails.
    """
    draws = min(max(FEWEST_DRAWS, 2 * len(real)), MOST_DRAWS)
    refits: list[Refit] = []
    one = learner(1)  # new parameters for each fit
    for repeat in range(repeats):
        fitted = _Fitted(one, functionals, seed, repeat, draws, len(real), score)
        refits += fitted.refits(real, sorted({len(real), *sizes}))
    return Pilot(len(real), functionals, tuple(refits), draws)


@dataclass
class _Fitted:
    """The fits of one repeat, each with random streams of its own."""

    learner: Learner
    functionals: Functionals
    seed: int
    repeat: int
    draws: int
    n: int
    score: Score | None
    fits: int = 0

    def refits(self, real: NDArray, sizes: Sequence[int]) -> Iterator[Refit]:
        wanted = max(self.draws, SCORED_SETS * self.n if self.score else 0)
        enough = max([*sizes, wanted])
        first, refit = self._fit(real, 0.0, enough)
        yield refit
        for size in sizes:
            second = first
            for fraction in FRACTIONS:
                if fraction == 0 and size == len(real):
                    continue
                mixed = self._mixed(real, first, fraction, size)
                second, refit = self._fit(mixed, fraction, max(size, wanted))
                yield refit
            _, refit = self._fit(second[:size], SECOND, wanted)
            yield refit

    def _rng(self, purpose: Purpose) -> np.random.Generator:
        return stream(self.seed, purpose, self.repeat, self.fits)

    def _mixed(self, real: NDArray, drawn: NDArray, fraction: float, size: int) -> NDArray:
        """`size` points; more real points than there are: each as often as the others."""
        synthetic = round(fraction * size)
        copies, rest = divmod(size - synthetic, len(real))
        chosen = self._rng(Purpose.CHOICE).permutation(len(real))[:rest]
        return np.concatenate([*[real] * copies, real[chosen], drawn[:synthetic]])

    def _fit(self, points: NDArray, fraction: float, count: int) -> tuple[NDArray, Refit]:
        """Draws of a model fitted to the points, and the measurements."""
        self.learner.reset([self._rng(Purpose.INIT)])
        self.learner.fit([TrainingSet(points, len(points))], [self._rng(Purpose.FIT)])
        drawn = np.asarray(self.learner.sample([count], [self._rng(Purpose.SAMPLE)])[0])
        if not np.isfinite(drawn).all():
            raise ArithmeticError(f"repeat {self.repeat} of the pilot: samples must be finite")

        scored = math.nan
        if self.score is not None:
            scored = self.score(drawn[: SCORED_SETS * self.n])
        self.fits += 1
        values = self.functionals.values(drawn[: self.draws])
        return drawn, Refit(
            self.repeat,
            len(points),
            fraction,
            self.functionals.means(points),
            values.mean(axis=0),
            values.var(axis=0),
            scored,
        )


def response_curves(pilot: Pilot) -> list[list[ResponseCurve]]:
    """Fit a curve for each functional and size.

    Args:
        pilot: The pilot.

    Returns:
        For each functional its curves, by ascending size.
    """
    found: list[list[ResponseCurve]] = []
    for q in range(len(pilot.functionals.names)):
        curves = []
        for size in pilot.sizes:
            refits = [refit for refit in pilot.refits if refit.size == size]
            curves.append(
                fit_curve(
                    np.array([refit.training[q] for refit in refits]),
                    np.array([refit.model[q] for refit in refits]),
                    np.array([refit.fraction for refit in refits]),
                    _spread(pilot, q, refits),
                    size=size,
                    origin=float(pilot.functionals.mean[q]),
                    draws=pilot.draws,
                )
            )
        found.append(curves)
    return found


def _spread(pilot: Pilot, q: int, refits: Sequence[Refit]) -> NDArray[np.float64]:
    """(k,), variances of one functional under each model.

    Where all draws of a model are equal, one in as many might have been another.
    """
    least = pilot.functionals.deviation[q] ** 2 / pilot.draws
    return np.maximum([refit.spread[q] for refit in refits], least)
