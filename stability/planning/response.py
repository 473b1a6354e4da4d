"""Linear response: mean and covariance of the path of a linear functional, exactly.

Let f be a functional that is linear in the law: the mean of a feature, the fraction of a category.
With r_t the mean of f over training set t, and s_t the expectation of f under model t,

    s_t − f* = J (r_t − f*) + δ + ξ_t,   f* = E f(real point).

J is the response of the learner, δ its bias at r = f*, ξ_t the noise that its training adds. A
learner that goes on from its last parameters may remember its last model, by M s_{t−1} more. Each
noise enters once: the n real points are one random variable that all rounds share, and m draws of a
model add Var(f)/m with the variance under that model.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stability.planning.labels import REAL, Composition, Propagation

__all__ = ["PathLaw", "Spread", "constant", "fraction_spread", "path_law"]

Spread = Callable[[float, float], float]
"""(mean, variance) of f under the models, over chains -> expected variance of f of one draw."""


@dataclass(frozen=True)
class PathLaw:
    """Mean and covariance of s_t − f* over chains.

    Attributes:
        mean: (T + 1,), E s_t − f*.
        covariance: (T + 1, T + 1), of s_0 … s_T.
        training_mean: (T + 1,), E r_t − f*.
        training_variance: (T + 1,), of r_t.
        synthetic_fraction: (T + 1,), expected weight of synthetic points in training set t.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    training_mean: NDArray[np.float64]
    training_variance: NDArray[np.float64]
    synthetic_fraction: NDArray[np.float64]

    @property
    def variance(self) -> NDArray[np.float64]:
        """(T + 1,), of s_t."""
        return np.diag(self.covariance).copy()

    @property
    def risk(self) -> NDArray[np.float64]:
        """(T + 1,), E (s_t − f*)²: variance plus squared bias."""
        return self.variance + self.mean**2


def constant(variance: float) -> Spread:
    """Spread of a functional whose variance under a model does not depend on the model.

    Args:
        variance: Variance of f of one point, >= 0.

    Returns:
        The spread.
    """
    return lambda mean, variance_of_mean: variance


def fraction_spread(fraction: float) -> Spread:
    """Spread of the indicator of a category: E s(1 − s) over the models.

    Args:
        fraction: f*, the fraction in the real law, in [0, 1].

    Returns:
        The spread; at least 0, where a linear response leaves the possible range.
    """

    def spread(mean: float, variance_of_mean: float) -> float:
        s = fraction + mean
        return max(s * (1 - s) - variance_of_mean, 0.0)

    return spread


def path_law(
    propagation: Propagation,
    *,
    spread: Spread | float = 1.0,
    response: float = 1.0,
    bias: float | NDArray[np.float64] = 0.0,
    excess: float | NDArray[np.float64] = 0.0,
    memory: float = 0.0,
    given_real: bool = False,
) -> PathLaw:
    """Mean and covariance of the path of a functional, by linear algebra.

    Args:
        propagation: What each fit is trained on.
        spread: Variance of f of one point, or a function of the model's mean.
        response: J, the slope of the model's value in that of its training set.
        bias: δ, the bias of one fit at r = f*, in units of f; one number or one a generation,
            (T + 1,).
        excess: Variance of ξ_t, noise of training that is independent in each fit, >= 0; one number
            or one a generation, (T + 1,).
        memory: M, the slope of the model's value in that of the model before it.
        given_real: Take the n fixed real points as given: f* is their mean, and they add no noise.

    Returns:
        The law of the path; of a population of models, that of the first.
    """
    spread = constant(spread) if isinstance(spread, float | int) else spread
    rounds, cells, k = len(propagation.training), len(propagation.sizes), propagation.models
    extra = np.repeat(np.broadcast_to(excess, rounds // k), k)
    shift = np.repeat(np.broadcast_to(bias, rounds // k), k)

    # the last `rounds` entries stand for models: a further draw of each that nobody trains on
    mean = np.zeros(cells + rounds)
    shared = np.zeros((cells + rounds, cells + rounds))  # covariance of two different points
    own = np.full(cells + rounds, spread(0.0, 0.0))  # what one point adds to its own variance
    if given_real:
        own[:cells][propagation.origin == REAL] = 0.0
    training = np.zeros((2, rounds))
    synthetic = np.zeros(rounds)

    for t, outcomes in enumerate(propagation.training):
        weights = _expected_weights(outcomes, cells)
        synthetic[t] = weights[propagation.origin >= 0].sum()
        each = weights / propagation.sizes
        with_points = weights @ shared[:cells]
        with_points[:cells] += each * own[:cells]
        training[:, t] = weights @ mean[:cells], _variance(outcomes, mean, shared, own, cells)

        new = np.append(np.flatnonzero(propagation.origin == t), cells + t)
        mean[new] = response * training[0, t] + shift[t]
        with_model = response * with_points
        variance = response**2 * training[1, t] + extra[t]
        if memory and t >= k:
            last = cells + t - k  # the same chain's model before
            mean[new] += memory * mean[last]
            variance += memory * (2 * with_model[last] + memory * shared[last, last])
            with_model = with_model + memory * shared[last]
        shared[new] = with_model
        shared[:, new] = shared[new].T
        shared[np.ix_(new, new)] = variance
        own[new] = spread(mean[cells + t], shared[cells + t, cells + t])

    own_fits = slice(cells, None, k)
    return PathLaw(
        mean[own_fits],
        shared[own_fits, own_fits],
        training[0, ::k],
        training[1, ::k],
        synthetic[::k],
    )


def _expected_weights(outcomes: tuple[Composition, ...], cells: int) -> NDArray[np.float64]:
    """(K,), expected sum of weights of the points of each cell."""
    weights = np.zeros(cells)
    for outcome in outcomes:
        for draw in outcome.draws:
            scale = outcome.probability * draw.weight * draw.count / draw.cells.sum()
            weights += scale * draw.cells
    return weights


def _variance(
    outcomes: tuple[Composition, ...],
    mean: NDArray[np.float64],
    shared: NDArray[np.float64],
    own: NDArray[np.float64],
    cells: int,
) -> float:
    """Variance of the weighted mean of a training set, over its points and its random picks.

    A point is drawn with probability k/N, two of one draw with probability k(k − 1)/(N(N − 1)), and
    two of different draws independently.
    """
    known = {id(draw.cells): draw.cells for outcome in outcomes for draw in outcome.draws}
    counts = np.array(list(known.values()), dtype=float)  # (D, K)
    row = {key: i for i, key in enumerate(known)}
    products = counts @ shared[:cells, :cells] @ counts.T  # (D, D)
    diagonal = counts @ np.diag(shared)[:cells]
    alone = counts @ own[:cells]
    means = counts @ mean[:cells]
    squares = counts @ mean[:cells] ** 2

    second, centre, first = 0.0, 0.0, []
    for outcome in outcomes:
        index = [row[id(draw.cells)] for draw in outcome.draws]
        sizes = np.array([draw.cells.sum() for draw in outcome.draws], dtype=float)
        count = np.array([draw.count for draw in outcome.draws], dtype=float)
        weight = np.array([draw.weight for draw in outcome.draws])

        chance = weight * count / sizes
        value = chance @ products[np.ix_(index, index)] @ chance
        pair = weight**2 * count * (count - 1) / (sizes * np.maximum(sizes - 1, 1)) - chance**2
        single = weight**2 * count / sizes - pair - chance**2
        value += pair @ (products[index, index] + means[index] ** 2)
        value += single @ (diagonal[index] + squares[index])
        value += (weight**2 * count / sizes) @ alone[index]
        second += outcome.probability * value
        first.append((outcome.probability, float(chance @ means[index])))

    centre = math.fsum(p * value for p, value in first)
    between = math.fsum(p * (value - centre) ** 2 for p, value in first)
    return float(second + between)
