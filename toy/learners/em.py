"""A Gaussian mixture by expectation–maximisation, for R chains at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stability.loop.regimes import TrainingSet
from toy.densities.mixtures import choose
from toy.learners.frame import BatchedLearner
from toy.learners.settings import MixtureConfig

__all__ = ["MixtureLearner"]

Array = NDArray[np.float64]


class MixtureLearner(BatchedLearner[MixtureConfig]):
    """R mixtures Σ_k weights_k N(means_k, covariances_k) in two dimensions.

    EM starts from the present parameters, so that they depend on the past; after `reset` it starts
    at K data points spread by k-means++.

    Args:
        chains: R, number of models.
        settings: Settings of the model.
        options: `device`, `workers` and `on_progress` of `BatchedLearner`; the first two have no
            effect.

    Attributes:
        weights: Weights of the components, (R, K).
        means: Their means, (R, K, 2).
        covariances: Their covariances, (R, K, 2, 2).
    """

    weighs = True

    def __init__(self, chains: int, settings: MixtureConfig, **options: Any) -> None:
        super().__init__(chains, settings, **options)
        k = settings.components
        self.weights: Array = np.full((chains, k), 1 / k)
        self.means: Array = np.zeros((chains, k, 2))
        self.covariances: Array = np.zeros((chains, k, 2, 2))
        self._started = False

    @property
    def parameters(self) -> Array:
        """Weights, means and the different entries of the covariances of each chain, (R, 6K), a
        copy.
        """
        entries = self.covariances[..., [0, 0, 1], [0, 1, 1]]
        return np.concatenate(
            [x.reshape(self.chains, -1) for x in (self.weights, self.means, entries)], axis=1
        )

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Forget the parameters. Nothing to draw: the next fit begins at its data.

        Args:
            rngs: One generator per chain; not used.
        """
        self._started = False

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Take EM steps on each chain's data until they gain less than `gain`.

        Args:
            datasets: Data of each chain, points (n_r, 2), with or without weights.
            rngs: One generator per chain, for the start of the first fit after a reset.

        Raises:
            FloatingPointError: Naming the chain, if the log-likelihood is not finite.
        """
        x, w = _padded(datasets)
        if not self._started:
            self._start(x, w, rngs)
        value, going = np.full(self.chains, -np.inf), np.arange(self.chains)
        for _ in range(self.settings.iterations):
            joint = self._log_joint(x[going], going)  # (R', n, K)
            density = np.logaddexp.reduce(joint, axis=2)
            new = (w[going] * density).sum(axis=1)
            if not np.isfinite(new).all():
                raise FloatingPointError(
                    f"the log-likelihood of chain {going[~np.isfinite(new)][0]} is not finite"
                )
            better = new - value[going] >= self.settings.gain
            value[going] = new
            going = going[better]
            if not len(going):
                break
            self._maximise(x[going], w[going], np.exp(joint - density[..., None])[better], going)
        self._on_progress(1.0)

    def _start(self, x: Array, w: Array, rngs: Sequence[np.random.Generator]) -> None:
        """k-means++ (Arthur and Vassilvitskii, 2007): each centre a data point, far from those
        before it.
        """
        uniform = np.stack([rng.random(self.settings.components) for rng in rngs])  # (R, K)
        chain, distance = np.arange(self.chains), np.ones(x.shape[:2])
        for k in range(self.settings.components):
            share = np.cumsum(w * distance, axis=1)
            # fewer different points than centres
            share = np.where(share[:, -1:] > 0, share, np.cumsum(w, axis=1))
            chosen = (share < uniform[:, k, None] * share[:, -1:]).sum(axis=1)
            self.means[:, k] = x[chain, chosen]
            squares = np.square(x - self.means[:, k, None]).sum(axis=2)
            distance = squares if k == 0 else np.minimum(distance, squares)
        self.weights[:] = 1 / self.settings.components
        # a coordinate's variance about the nearest
        spread = (w * distance).sum(axis=1) / 2 + self.settings.floor
        self.covariances[:] = spread[:, None, None, None] * np.eye(2)
        self._started = True

    def _log_joint(self, x: Array, chains: NDArray[np.intp] | slice = slice(None)) -> Array:
        """log(weight × density) of each component at x (R', n, 2): (R', n, K)."""
        weights, means, covariances = (
            self.weights[chains],
            self.means[chains],
            self.covariances[chains],
        )
        precision, (_, log_det) = np.linalg.inv(covariances), np.linalg.slogdet(covariances)
        gap = x[:, :, None] - means[:, None]  # (R', n, K, 2)
        squares = np.einsum("rnki,rkij,rnkj->rnk", gap, precision, gap)
        with np.errstate(divide="ignore"):  # a component without weight
            return (np.log(weights) - log_det / 2 - np.log(2 * np.pi))[:, None] - squares / 2

    def _maximise(
        self, x: Array, w: Array, responsibility: Array, chains: NDArray[np.intp]
    ) -> None:
        """Weighted proportions, means and covariances; a component that no point belongs to
        stays where it is.
        """
        mass = w[..., None] * responsibility  # (R', n, K)
        total = mass.sum(axis=1)  # (R', K)
        alive = total > 1e-12
        mass = mass / np.where(alive, total, 1.0)[:, None]
        means = np.einsum("rnk,rni->rki", mass, x)
        gap = x[:, :, None] - means[:, None]
        covariances = np.einsum(
            "rnk,rnki,rnkj->rkij", mass, gap, gap
        ) + self.settings.floor * np.eye(2)
        self.weights[chains] = total
        self.means[chains] = np.where(alive[..., None], means, self.means[chains])
        self.covariances[chains] = np.where(
            alive[..., None, None], covariances, self.covariances[chains]
        )

    def log_prob(self, points: Sequence[np.ndarray]) -> list[Array]:
        """Log density of each chain at its points.

        Args:
            points: Points of each chain, (n_r, 2).

        Returns:
            (n_r,) for each chain.
        """
        return [
            np.logaddexp.reduce(
                self._log_joint(np.asarray(x, dtype=float)[None], slice(r, r + 1))[0], axis=1
            )
            for r, x in enumerate(points)
        ]

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw a component for each sample, then the sample.

        Args:
            counts: Number of samples of each chain.
            rngs: One generator per chain.

        Returns:
            (counts[r], 2) float32 for each chain.
        """
        roots = np.linalg.cholesky(self.covariances)
        samples = []
        for r, (count, rng) in enumerate(zip(counts, rngs, strict=True)):
            component_rng, noise_rng = rng.spawn(2)
            k = choose(self.weights[r], count, component_rng)
            z = noise_rng.standard_normal((count, 2))
            samples.append(
                (self.means[r, k] + np.einsum("nij,nj->ni", roots[r, k], z)).astype(np.float32)
            )
        return samples

    def state_dict(self) -> dict[str, Any]:
        arrays = {"weights": self.weights, "means": self.means, "covariances": self.covariances}
        return {name: torch.tensor(x) for name, x in arrays.items()} | {"started": self._started}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: Weights, means and covariances of all chains, and whether a fit has started.

        Raises:
            ValueError: If the state is of another number of chains or components.
        """
        if state["weights"].shape != self.weights.shape:
            expected, got = self.weights.shape, tuple(state["weights"].shape)
            raise ValueError(f"state must have weights of shape {expected}, got {got}")
        self.weights, self.means, self.covariances = (
            state[name].numpy().copy() for name in ("weights", "means", "covariances")
        )
        self._started = state["started"]


def _padded(datasets: Sequence[TrainingSet]) -> tuple[Array, Array]:
    """Points (R, n, 2), shorter sets filled up with their first point; weights (R, n) of sum 1,
    0 on the filling.
    """
    longest = max(len(data.points) for data in datasets)
    x, w = np.empty((len(datasets), longest, 2)), np.zeros((len(datasets), longest))
    for r, data in enumerate(datasets):
        size = len(data.points)
        x[r, :size], x[r, size:] = data.points, data.points[0]
        w[r, :size] = data.normalised_weights
    return x, w
