"""The frame of every 2-D learner: R models of one kind, fitted and sampled side by side.

`BatchedLearner` has what all eight share; `NetworkLearner` adds what the five with networks
share: parameters in one tensor, Adam, batches, and a state that can be stored. The module of a
learner says the rest, which is its model: how it begins, is trained and is sampled.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from stability.loop.regimes import TrainingSet
from toy.learners.sampling import first_rows
from toy.learners.training import BatchBlock, BatchedTrainer, Loss, batch_count

__all__ = ["BatchedLearner", "NetworkLearner", "TrainingSettings"]


class TrainingSettings(Protocol):
    """Settings that every learner with networks has."""

    @property
    def epochs(self) -> int:
        """Passes over the training set in each (re)training."""
        ...

    @property
    def batch(self) -> int:
        """Points per step."""
        ...

    @property
    def learning_rate(self) -> float:
        """Adam learning rate."""
        ...


Settings = TypeVar("Settings")
NetworkSettings = TypeVar("NetworkSettings", bound=TrainingSettings)


class BatchedLearner(Generic[Settings]):
    """R models of one kind, fitted and sampled side by side.

    Args:
        chains: R, number of models.
        settings: Settings of the model; the defaults are in `toy.learners.settings`.
        device: Device of the networks. A learner without networks does not use it.
        workers: Threads that make batches. A learner without batches does not use them.
        on_progress: Called during a fit with its finished fraction, in (0, 1].
    """

    def __init__(
        self,
        chains: int,
        settings: Settings,
        device: torch.device | str = "cpu",
        workers: int = 1,
        on_progress: Callable[[float], object] = lambda fraction: None,
    ) -> None:
        self.chains = chains
        self.settings = settings
        self._device = device
        self._workers = workers
        self._on_progress = on_progress


class NetworkLearner(BatchedLearner[NetworkSettings], ABC):
    """R networks, or groups of networks, trained side by side by Adam.

    Args:
        chains: R, number of models.
        settings: Settings of the model; the defaults are in `toy.learners.settings`.
        device: Device of the networks.
        workers: Threads that make batches.
        on_progress: Called during a fit with its finished fraction, in (0, 1].
    """

    def __init__(
        self,
        chains: int,
        settings: NetworkSettings,
        device: torch.device | str = "cpu",
        workers: int = 1,
        on_progress: Callable[[float], object] = lambda fraction: None,
    ) -> None:
        super().__init__(chains, settings, device, workers, on_progress)
        self.theta, loss = self._build()
        self.trainer = BatchedTrainer(self.theta, settings.learning_rate, loss)

    @abstractmethod
    def _build(self) -> tuple[Tensor, Loss]:
        """Make the networks; return the parameters of all chains, (R, P), and the loss."""

    @abstractmethod
    def _initialise(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the first parameters of each chain from its generator."""

    @abstractmethod
    def _batches(
        self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]
    ) -> Iterable[BatchBlock]:
        """Make the batches of `settings.epochs` passes over each chain's data (n_r, 2)."""

    @abstractmethod
    def _sample(self, n: int, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Draw n points of each model, (R, n, 2) float32; point i does not depend on n."""

    @property
    def parameters(self) -> np.ndarray:
        """θ of each chain as one vector, (R, P), a copy."""
        return self.theta.cpu().numpy().copy()

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw new parameters and forget Adam's state.

        Args:
            rngs: One generator per chain.
        """
        self._initialise(rngs)
        self.trainer.restart()

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Take the steps of `settings.epochs` passes; a chain with more data takes more of them.

        Args:
            datasets: Data of each chain, points (n_r, 2).
            rngs: One generator per chain.
        """
        s = self.settings
        steps = s.epochs * sum(batch_count(len(data.points), s.batch) for data in datasets)
        self.trainer.fit(self._batches(datasets, rngs), steps, self._on_progress)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw points of each model; point i does not depend on how many follow it.

        Args:
            counts: Number of points of each chain.
            rngs: One generator per chain.

        Returns:
            (counts[r], 2) float32 for each chain.
        """
        with torch.no_grad():
            return first_rows(self._sample(max(counts), rngs), counts)

    def state_dict(self) -> dict[str, Any]:
        """Copy the parameters and Adam's state."""
        return self.trainer.state_dict()

    def extrapolated(self, base: dict[str, Any], weights: np.ndarray) -> dict[str, Any]:
        """Compute the state with parameters θ − w (θ′ − θ), θ′ the present ones.

        Args:
            base: State of θ, with whose optimiser state the next fit goes on.
            weights: w of each chain, (R,).

        Returns:
            The state.
        """
        theta = base["theta"]
        w = torch.from_numpy(weights).to(theta)[:, None]
        return {**base, "theta": theta - w * (self.theta.cpu() - theta)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: The state.

        Raises:
            ValueError: If it is of another number of chains or another network.
        """
        self.trainer.load_state_dict(state)
