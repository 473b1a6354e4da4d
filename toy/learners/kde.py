"""A kernel density estimate with Gaussian kernels, for R chains at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from stability.loop.regimes import TrainingSet
from toy.densities.mixtures import choose
from toy.learners.frame import BatchedLearner
from toy.learners.settings import KDEConfig

__all__ = ["KDELearner"]

Array = NDArray[np.float64]


class KDELearner(BatchedLearner[KDEConfig]):
    """R estimates Σ_i w_i N(x_i, H) over the points of the training set.

    With Scott's rule H = h² S, S the (unbiased) covariance of the data and h = n_eff^(−1/6), n_eff
    = 1/Σw². So the variance of the law is (1 − 1/n + h²) S, and without real data it grows by this
    factor a round.

    Args:
        chains: R, number of models.
        settings: Settings of the model.
        options: `device`, `workers` and `on_progress` of `BatchedLearner`; the first two have no
            effect.
    """

    weighs = True

    def __init__(self, chains: int, settings: KDEConfig, **options: Any) -> None:
        super().__init__(chains, settings, **options)
        self.points: list[Array] = [np.zeros((1, 2))] * chains
        self.weights: list[Array] = [np.ones(1)] * chains
        self.roots: Array = np.tile(np.eye(2), (chains, 1, 1))

    @property
    def parameters(self) -> Array:
        """Mean and covariance of the law of each chain, (R, 5): its parameters are as many as
        its points.
        """
        rows = []
        for x, w, root in zip(self.points, self.weights, self.roots, strict=True):
            mean = w @ x
            covariance = (w * (x - mean).T) @ (x - mean) + root @ root.T
            rows.append([*mean, *covariance[[0, 0, 1], [0, 1, 1]]])
        return np.array(rows)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw nothing: a fit forgets the past.

        Args:
            rngs: One generator per chain; not used.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Keep each chain's points, and set the kernel.

        Args:
            datasets: Data of each chain, points (n_r, 2), with or without weights.
            rngs: One generator per chain; not used.

        Raises:
            FloatingPointError: Naming the chain, if Scott's rule meets points on a line.
        """
        self.points = [np.asarray(data.points, dtype=float) for data in datasets]
        self.weights = [data.normalised_weights for data in datasets]
        for r, (x, w) in enumerate(zip(self.points, self.weights, strict=True)):
            if self.settings.bandwidth:
                self.roots[r] = self.settings.bandwidth * np.eye(2)
                continue
            gap, concentration = x - w @ x, w @ w
            try:
                covariance = (w * gap.T) @ gap / (1 - concentration)
                self.roots[r] = concentration ** (1 / 6) * np.linalg.cholesky(covariance)
            except (np.linalg.LinAlgError, ZeroDivisionError, FloatingPointError):
                raise FloatingPointError(
                    f"the points of chain {r} have no invertible covariance"
                ) from None
        self._on_progress(1.0)

    def log_prob(self, points: Sequence[np.ndarray]) -> list[Array]:
        """Log density of each chain at its points.

        Args:
            points: Points of each chain, (n_r, 2).

        Returns:
            (n_r,) for each chain.
        """
        values = []
        for x, data, w, root in zip(points, self.points, self.weights, self.roots, strict=True):
            one, two = (np.linalg.solve(root, np.asarray(y, dtype=float).T).T for y in (x, data))
            with np.errstate(divide="ignore"):  # a point without weight
                exponent = np.log(w) - cdist(one, two, "sqeuclidean") / 2  # (n_r, n)
            log_det = np.log(np.linalg.det(root))
            values.append(np.logaddexp.reduce(exponent, axis=1) - np.log(2 * np.pi) - log_det)
        return values

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw a data point for each sample, and add kernel noise.

        Args:
            counts: Number of samples of each chain.
            rngs: One generator per chain.

        Returns:
            (counts[r], 2) float32 for each chain.
        """
        samples = []
        for count, rng, x, w, root in zip(
            counts, rngs, self.points, self.weights, self.roots, strict=True
        ):
            point_rng, noise_rng = rng.spawn(2)
            i = choose(w, count, point_rng)
            samples.append(
                (x[i] + noise_rng.standard_normal((count, 2)) @ root.T).astype(np.float32)
            )
        return samples

    def state_dict(self) -> dict[str, Any]:
        return {
            "points": [torch.tensor(x) for x in self.points],
            "weights": [torch.tensor(w) for w in self.weights],
            "roots": torch.tensor(self.roots),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: Points, weights and kernels of each chain.

        Raises:
            ValueError: If the state is of another number of chains.
        """
        if len(state["points"]) != self.chains:
            raise ValueError(f"state must be of {self.chains} chains, got {len(state['points'])}")
        self.points = [x.numpy().copy() for x in state["points"]]
        self.weights = [w.numpy().copy() for w in state["weights"]]
        self.roots = state["roots"].numpy().copy()
