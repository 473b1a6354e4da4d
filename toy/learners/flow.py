"""A normalising flow with exact likelihood, neural spline couplings (Durkan et al., 2019), for R
chains at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.loop.regimes import TrainingSet
from stability.runs.memory_limit import Need
from stability.runs.ranges import LARGEST_COUNT, MOST_STEPS, require_range
from toy.learners import mlp
from toy.learners.denoising import blocks
from toy.learners.mlp import ReplicatedMLP
from toy.learners.spline import Spline, parameter_count
from toy.learners.training import ReplicatedTrainer, batch_count, network_memory, weighted

__all__ = ["SplineFlowConfig", "SplineFlowLearner"]


@dataclass(frozen=True)
class SplineFlowConfig:
    """Settings of a flow in two dimensions."""

    epochs: int = 150
    """Passes over the training set a (re)training."""
    batch: int = 256
    """Points a step."""
    learning_rate: float = 2e-3
    """Of Adam, constant."""
    width: int = 64
    """Of each of the two hidden layers of a coupling's network."""
    couplings: int = 4
    """Layers; each transforms one coordinate by a spline that depends on the other, in turn."""
    bins: int = 16
    """Of a spline."""
    box: float = 6.0
    """Half the side of the square that splines act in, in units of x; the flow is the identity
    outside."""

    def __post_init__(self) -> None:
        count = (1, LARGEST_COUNT)
        require_range(
            self,
            epochs=count,
            batch=count,
            width=count,
            couplings=(1, MOST_STEPS),
            bins=(2, MOST_STEPS),
        )
        for option in ("learning_rate", "box"):
            if not 0 < getattr(self, option) < float("inf"):
                raise ValueError(
                    f"--{option.replace('_', '-')} must be finite and > 0, got "
                    f"{getattr(self, option)}"
                )

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate from below what training `chains` models on `points` points each takes.

        Args:
            threads: That work side by side.
        """
        parameters = self.couplings * mlp.parameter_count(self.sizes)
        return network_memory(chains, parameters, self.width * self.couplings, self.batch)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of a coupling's network from input to output."""
        return (1, self.width, self.width, parameter_count(self.bins))


class SplineFlowLearner:
    """The learner: R invertible maps between x and z ~ N(0, I), trained side by side by maximum
    likelihood.

    Args:
        settings: See `SplineFlowConfig`.
        device: Of the networks.
        workers: Threads that make batches.
        on_progress: Called with the finished share of a fit, in (0, 1].
    """

    weighs = True

    def __init__(
        self,
        chains: int,
        settings: SplineFlowConfig,
        device: torch.device | str = "cpu",
        workers: int = 1,
        on_progress: Callable[[float], object] = lambda share: None,
    ) -> None:
        self.settings = settings
        self.networks = [
            ReplicatedMLP(chains, settings.sizes, device) for _ in range(settings.couplings)
        ]
        self.theta = share_memory(self.networks)
        self.trainer = ReplicatedTrainer(self.theta, settings.learning_rate, weighted(self._loss))
        self._device = device
        self._workers = workers
        self._on_progress = on_progress

    @property
    def chains(self) -> int:
        return len(self.theta)

    @property
    def parameters(self) -> np.ndarray:
        """θ of each chain as one vector, (R, P), a copy."""
        return self.theta.cpu().numpy().copy()

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """PyTorch's default initialisation but for last layers of 0, so that the flow is the
        identity; fresh Adam.
        """
        for network in self.networks:
            network.reset(rngs)
            for tensor in network.layers()[-1]:
                tensor.zero_()
        self.trainer.restart()

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """`epochs` passes of Adam over each chain's data (n_r, 2), minimising −log p."""
        s = self.settings
        total = s.epochs * sum(batch_count(len(data.points), s.batch) for data in datasets)
        batches = blocks(
            [with_weights(data) for data in datasets],
            rngs,
            s.epochs,
            s.batch,
            True,
            _split,
            self._workers,
        )
        self.trainer.fit(batches, total, self._on_progress)

    def _loss(self, theta: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return -self._log_prob(theta, inputs[..., :2])

    def _couplings(self, theta: Tensor) -> list[tuple[int, Callable[[Tensor], Spline]]]:
        """For each coupling the coordinate that it transforms, and the spline as a function of
        the other.
        """

        def conditioner(network: ReplicatedMLP, part: Tensor) -> Callable[[Tensor], Spline]:
            layers, box = network.layers(part), self.settings.box
            return lambda given: Spline.from_raw(network.forward(layers, given[..., None]), box)

        parts = theta.chunk(len(self.networks), dim=1)
        return [
            (i % 2, conditioner(n, part))
            for i, (n, part) in enumerate(zip(self.networks, parts, strict=True))
        ]

    def _log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """(k, P), (k, n, 2) -> (k, n): log N(z; 0, I) + log |det ∂z/∂x|."""
        coordinates, log_det = list(x.unbind(dim=2)), torch.zeros_like(x[..., 0])
        for changed, conditioner in self._couplings(theta):
            spline = conditioner(coordinates[1 - changed])
            coordinates[changed], log_derivative = spline.forward(coordinates[changed])
            log_det = log_det + log_derivative
        return log_det - (coordinates[0] ** 2 + coordinates[1] ** 2) / 2 - float(np.log(2 * np.pi))

    def log_prob(self, points: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log density of each chain at its points (n_r, 2): (n_r,)."""
        values = []
        with torch.no_grad():
            for r, x in enumerate(points):
                batch = torch.from_numpy(np.asarray(x, dtype=np.float32)[None]).to(self._device)
                values.append(self._log_prob(self.theta[r : r + 1], batch)[0].cpu().numpy())
        return values

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw z and undo the couplings: (counts[r], 2) for each chain."""
        z = np.stack([rng.standard_normal((max(counts), 2), dtype=np.float32) for rng in rngs])
        coordinates = list(torch.from_numpy(z).to(self._device).unbind(dim=2))
        with torch.no_grad():
            for changed, conditioner in reversed(self._couplings(self.theta)):
                coordinates[changed] = conditioner(coordinates[1 - changed]).inverse(
                    coordinates[changed]
                )
        x = torch.stack(coordinates, dim=2).cpu().numpy()
        return [points[:count] for points, count in zip(x, counts, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError if the state is of another number of chains or another network."""
        self.trainer.load_state_dict(state)


def share_memory(networks: Sequence[ReplicatedMLP], extra: int = 0) -> Tensor:
    """One tensor (R, P) of all parameters, each network's a view of its columns, and `extra`
    columns at the end.
    """
    lengths = [network.theta.shape[1] for network in networks]
    theta = torch.zeros(
        len(networks[0].theta), sum(lengths) + extra, device=networks[0].theta.device
    )
    for network, part in zip(networks, theta[:, : sum(lengths)].split(lengths, dim=1), strict=True):
        network.theta = part
    return theta


def with_weights(data: TrainingSet) -> np.ndarray:
    """Points and, as a third column, their weights with mean 1: (n, 3) float32."""
    return np.column_stack([data.points, len(data.points) * data.normalised_weights]).astype(
        np.float32
    )


def _split(rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rows * (1, 1, 0), np.zeros_like(rows[..., :2]), rows[..., 2]
