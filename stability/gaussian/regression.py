"""Linear regression as a generative model: labels y = x·w + σε of inputs x, by least squares.

Source: the linear model of Gerstgrasser et al., "Is model collapse inevitable?", arXiv:2404.01413.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stability.loop.arguments import whole_number
from stability.loop.regimes import TrainingSet

__all__ = ["RegressionLearner"]

_RANK = 1e-10  # of the largest eigenvalue, below which a direction is not in the data


class RegressionLearner:
    """Least squares of least norm for W models side by side, and labels of their own.

    A point is an array (W, d + 1): for each model d inputs and a label.

    Args:
        models: W >= 1.
        dimension: d >= 1.
        noise: σ >= 0 of the labels.
        inputs: (T, W, d), repeated for as many draws as are wanted; None: new standard normal
            inputs each time.
    """

    chains = 1
    weighs = True

    def __init__(
        self, models: int, dimension: int, noise: float = 1.0, inputs: np.ndarray | None = None
    ) -> None:
        models, dimension = (
            whole_number(models, "models", 1),
            whole_number(dimension, "dimension", 1),
        )
        if not 0 <= noise < float("inf"):
            raise ValueError(f"noise must be finite and >= 0, got {noise}")
        if inputs is not None and inputs.shape[1:] != (models, dimension):
            raise ValueError(
                f"inputs must have shape (T, {models}, {dimension}), got {inputs.shape}"
            )
        self.noise, self.inputs = noise, inputs
        self.coefficients = np.zeros((models, dimension))

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Do nothing: the estimate does not depend on initial parameters.

        Args:
            rngs: One generator a chain; not used.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Weighted least squares; of all minimisers the one of least norm.

        Args:
            datasets: One training set, points (N, W, d + 1).
            rngs: One generator; not used.
        """
        (data,) = datasets
        points, weights = np.asarray(data.points, dtype=float), data.normalised_weights
        x, y = points[..., :-1], points[..., -1]  # (N, W, d), (N, W)
        weighted = weights[:, None, None] * x
        gram = np.einsum("nwd,nwe->wde", weighted, x)
        moments = np.einsum("nwd,nw->wd", weighted, y)
        inverse = np.linalg.pinv(gram, rcond=_RANK, hermitian=True)
        self.coefficients = np.einsum("wde,we->wd", inverse, moments)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw inputs, and label them.

        Args:
            counts: Number of draws, a list of one.
            rngs: One generator.

        Returns:
            One array (counts[0], W, d + 1).
        """
        (count,), (rng,) = counts, rngs
        fresh, normal = rng.spawn(2)
        if self.inputs is None:
            x = fresh.standard_normal((count, *self.coefficients.shape))
        else:
            x = self.inputs[np.arange(count) % len(self.inputs)]
        return [labelled(x, self.coefficients, self.noise, normal)]

    def state_dict(self) -> dict[str, Any]:
        return {"coefficients": torch.tensor(self.coefficients)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.coefficients = state["coefficients"].numpy().copy()


def labelled(
    x: np.ndarray, coefficients: np.ndarray, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Inputs with labels of a linear model.

    Args:
        x: (N, W, d) inputs.
        coefficients: (W, d).
        noise: σ.
        rng: For the noise.

    Returns:
        (N, W, d + 1) points.
    """
    y = np.einsum("nwd,wd->nw", x, coefficients) + noise * rng.standard_normal(x.shape[:2])
    return np.concatenate([x, y[..., None]], axis=2)
