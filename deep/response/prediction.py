"""Predict the drift of an image model from its first retrainings, and separate its causes.

The drift of a generation is the mean over functionals of the squared distance between the
generation's samples and the real images, in variances of one real image. Response J, memory M of
the model before, bias δ and training noise come from coupled pairs (`deep.response.pairs`), each
functional by itself; the path of every row then follows from `stability.planning.response`. Errors,
and the correction of squares for noise, are those of the jackknife over seeds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stability.loop.regimes import Regime
from stability.planning.labels import Propagation, propagate
from stability.planning.response import path_law
from stability.runs.trends import Interval

__all__ = ["Causes", "PairMeans", "Prediction", "Responses", "fit_responses", "predict"]

CAUSES = ("sampler", "learner", "noise", "measuring")


@dataclass(frozen=True, eq=False)
class PairMeans:
    """Functionals of pairs, as they were recorded.

    Attributes:
        data: (2, P + 1, R, S, Q), means over training sets: of the chain on true data and of the
            displaced one, in generations 0 … P, by row, seed and functional. (1, …) without the
            displaced one.
        model: Means over draws of the models, of the same shape.
        sampler: (S, Q), what the sampler in use adds to the mean of generation 0.
        size: n, real images.
        draws: Draws behind each mean over a model.
    """

    data: NDArray[np.float64]
    model: NDArray[np.float64]
    sampler: NDArray[np.float64]
    size: int
    draws: int

    @property
    def seeds(self) -> int:
        """S."""
        return self.data.shape[3]

    @property
    def undisplaced(self) -> "PairMeans":
        """The chains on true data alone, which tell how a model responds to its own errors."""
        return replace(self, data=self.data[:1], model=self.model[:1])

    def without(self, seed: int) -> "PairMeans":
        """All seeds but one.

        Args:
            seed: The one.

        Returns:
            The others.
        """
        keep = np.arange(self.seeds) != seed
        return PairMeans(
            self.data[:, :, :, keep],
            self.model[:, :, :, keep],
            self.sampler[keep],
            self.size,
            self.draws,
        )


@dataclass(frozen=True, eq=False)
class Responses:
    """Response of a retraining, for each of Q functionals.

    Attributes:
        response: J, (Q,).
        memory: M, slope in the value of the model before, (Q,).
        first_bias: Bias of generation 0, (Q,), standard deviations of one real image.
        bias: δ of a retraining, (Q,).
        sampler: Part of the bias that is the sampler's, (Q,).
        first_excess: Variance of the noise of training of generation 0, (Q,).
        excess: Of a retraining, (Q,).
    """

    response: NDArray[np.float64]
    memory: NDArray[np.float64]
    first_bias: NDArray[np.float64]
    bias: NDArray[np.float64]
    sampler: NDArray[np.float64]
    first_excess: NDArray[np.float64]
    excess: NDArray[np.float64]


def fit_responses(pairs: PairMeans) -> Responses:
    """Fit response, bias and noise of a retraining to pairs.

    Args:
        pairs: The pairs.

    Returns:
        The responses.
    """
    seeds, count = pairs.data.shape[3:]
    found = [
        _line(
            pairs.data[:, 1:, ..., q].ravel(),
            pairs.model[:, :-1, ..., q].ravel(),
            pairs.model[:, 1:, ..., q].ravel(),
            1 / pairs.draws,
        )
        for q in range(count)
    ]

    bias, response, memory, excess = np.array(found).T
    first = pairs.model[0, 0, 0]  # (S, Q): alike in all rows
    scatter = first.var(axis=0, ddof=1) if seeds > 1 else np.zeros(count)
    return Responses(
        response=response,
        memory=memory,
        first_bias=first.mean(axis=0),
        bias=bias,
        sampler=pairs.sampler.mean(axis=0),
        first_excess=np.maximum(scatter - 1 / pairs.draws, 0.0),
        excess=excess,
    )


def _line(
    data: NDArray, before: NDArray, model: NDArray, noise: float
) -> tuple[float, float, float, float]:
    """Fit model = δ + J data + M before; δ, J, M, and the scatter about it beyond `noise`.

    Where one row is all there is, data and model before are proportional, and what they do together
    is shared between them; that row is predicted all the same.
    """
    design = np.stack([np.ones_like(data), data, before], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, model, rcond=1e-6)
    residual = model - design @ coefficients
    scatter = float(residual @ residual) / max(len(model) - 3, 1)
    bias, response, memory = map(float, coefficients)
    return bias, response, memory, max(scatter - noise, 0.0)


@dataclass(frozen=True, eq=False)
class Causes:
    """Drift by cause; squares of biases of both kinds have a cross term, which is the learner's.

    Attributes:
        sampler: (T + 1,), drift if the sampler's bias were all.
        learner: (T + 1,), what the learner's error adds.
        noise: (T + 1,), of finite samples and of training.
        measuring: The draws that measure a generation.
    """

    sampler: NDArray[np.float64]
    learner: NDArray[np.float64]
    noise: NDArray[np.float64]
    measuring: float

    @property
    def total(self) -> NDArray[np.float64]:
        """(T + 1,), the drift."""
        return self.sampler + self.learner + self.noise + self.measuring


def drift_by_cause(responses: Responses, propagation: Propagation, draws: int) -> Causes:
    """Compute the expected drift of a row.

    Args:
        responses: Of a retraining.
        propagation: What each fit is trained on.
        draws: Draws that measure a generation.

    Returns:
        The drift of generations 0 … T.
    """
    rounds = propagation.generations + 1
    sampler, both, noise = np.zeros((3, rounds))
    for q in range(len(responses.response)):
        # what goes on from the model before has its sampler's bias already
        lasting = 1 - responses.memory[q]
        later = np.full(rounds - 1, responses.bias[q])
        law = path_law(
            propagation,
            response=float(responses.response[q]),
            memory=float(responses.memory[q]),
            bias=np.concatenate([responses.first_bias[q : q + 1], later]),
            excess=np.concatenate(
                [
                    responses.first_excess[q : q + 1],
                    np.full(rounds - 1, responses.excess[q]),
                ]
            ),
            given_real=True,
        )
        alone = path_law(
            propagation,
            response=float(responses.response[q]),
            memory=float(responses.memory[q]),
            bias=np.concatenate(
                [responses.sampler[q : q + 1], np.full(rounds - 1, lasting * responses.sampler[q])]
            ),
            given_real=True,
        )
        sampler += alone.mean**2
        both += law.mean**2
        noise += law.variance
    count = len(responses.response)
    return Causes(sampler / count, (both - sampler) / count, noise / count, 1 / draws)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted drift of one row.

    Attributes:
        mean: (T + 1,), corrected for the noise of the pairs.
        error: (T + 1,), standard error over seeds of the pairs; nan with one seed.
        causes: Name -> (T + 1,), their parts of the mean.
        cause_errors: Name -> (T + 1,), standard errors.
        sampler_beyond_learner: (T + 1,), sampler's part less the learner's, and its error.
    """

    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    causes: Mapping[str, NDArray[np.float64]]
    cause_errors: Mapping[str, NDArray[np.float64]]
    sampler_beyond_learner: tuple[NDArray[np.float64], NDArray[np.float64]]

    def interval(self, seeds: int, level: float = 0.05) -> tuple[NDArray, NDArray]:
        """Interval of the mean by Student's t.

        Args:
            seeds: Seeds of the pairs.
            level: Probability that it leaves the mean out.

        Returns:
            Lower and upper ends, (T + 1,).
        """
        half = student_factor(seeds, level) * self.error
        return self.mean - half, self.mean + half


def student_factor(seeds: int, level: float = 0.05) -> float:
    """Half width of an interval, in standard errors.

    Args:
        seeds: Independent values behind the error.
        level: Probability that the interval leaves the mean out.

    Returns:
        The quantile of Student's t; infinite for one seed.
    """
    from scipy.special import stdtrit

    return float(stdtrit(seeds - 1, 1 - level / 2)) if seeds > 1 else math.inf


def predict(
    pairs: PairMeans, regimes: Sequence[Regime], generations: int, draws: int
) -> dict[str, Prediction]:
    """Predict the drift of every row.

    Args:
        pairs: First retrainings, from which the responses come.
        regimes: One a row.
        generations: T.
        draws: Draws that measure a generation.

    Returns:
        Prediction by row.

    Raises:
        RegimeError: For a regime whose training sets cannot be told beforehand.
    """
    rows = {str(regime): propagate(regime, pairs.size, generations) for regime in regimes}
    samples = [pairs.without(seed) for seed in range(pairs.seeds)] if pairs.seeds > 1 else []
    responses = [fit_responses(one) for one in (pairs, *samples)]

    found = {}
    for row, propagation in rows.items():
        causes = [drift_by_cause(each, propagation, draws) for each in responses]
        parts = {
            name: _jackknife(
                causes, lambda c, name=name: np.broadcast_to(getattr(c, name), c.noise.shape)
            )
            for name in CAUSES
        }
        mean, error = _jackknife(causes, lambda c: c.total)
        found[row] = Prediction(
            mean,
            error,
            {name: part[0] for name, part in parts.items()},
            {name: part[1] for name, part in parts.items()},
            _jackknife(causes, lambda c: c.sampler - c.learner),
        )
    return found


def _jackknife(
    causes: Sequence[Causes], value: Callable[[Causes], NDArray]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate without bias of first order, and its standard error; (T + 1,) each."""
    whole, *rest = (np.asarray(value(each), dtype=float) for each in causes)
    if not rest:
        return whole, np.full_like(whole, math.nan)

    count, left = len(rest), np.stack(rest)
    centre = left.mean(axis=0)
    error = np.sqrt((count - 1) / count * np.square(left - centre).sum(axis=0))
    return count * whole - (count - 1) * centre, error


def drift(values: NDArray) -> NDArray[np.float64]:
    """Compute the measured drift.

    Args:
        values: (…, Q), means of functionals over draws.

    Returns:
        (…), their mean square.
    """
    return np.square(values).mean(axis=-1)


def difference(
    measured: NDArray, prediction: Prediction, first: int, seeds_of_pairs: int
) -> Interval:
    """Compare measured and predicted drift, averaged over generations from `first` on.

    Args:
        measured: (T + 1, S).
        prediction: Of the same row.
        first: First generation that counts.
        seeds_of_pairs: Seeds behind the prediction.

    Returns:
        Measured less predicted, with a 95 % interval that has both errors.
    """
    late = measured[first:].mean(axis=0)
    count = len(late)
    own = late.std(ddof=1) / math.sqrt(count) if count > 1 else math.inf
    # errors of neighbouring generations come from the same responses: take them as one
    error = math.hypot(own, float(prediction.error[first:].mean()))
    mean = float(late.mean() - prediction.mean[first:].mean())
    factor = student_factor(min(count, seeds_of_pairs))
    half = factor * error if math.isfinite(error) and math.isfinite(factor) else math.inf
    return Interval(mean, mean - half, mean + half, 0.05)
