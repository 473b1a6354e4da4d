"""A normalising flow with exact likelihood, neural spline couplings (Durkan et al., 2019), for R
chains at once.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from stability.loop.regimes import TrainingSet
from toy.learners.denoising import blocks, with_weights
from toy.learners.frame import NetworkLearner
from toy.learners.mlp import BatchedMLP, share_memory
from toy.learners.sampling import normals
from toy.learners.settings import SplineFlowConfig
from toy.learners.spline import Spline
from toy.learners.training import BatchBlock, Loss, weighted

__all__ = ["SplineFlowLearner"]


class SplineFlowLearner(NetworkLearner[SplineFlowConfig]):
    """R invertible maps between x and z ~ N(0, I), trained side by side by maximum likelihood; see
    `NetworkLearner`.
    """

    weighs = True

    def _build(self) -> tuple[Tensor, Loss]:
        s = self.settings
        self.networks = [BatchedMLP(self.chains, s.sizes, self._device) for _ in range(s.couplings)]
        return share_memory(self.networks), weighted(self._loss)

    def _initialise(self, rngs: Sequence[np.random.Generator]) -> None:
        for network in self.networks:
            network.reset(rngs)
            for tensor in network.layers()[-1]:  # last layers of 0: the flow is the identity
                tensor.zero_()

    def _batches(
        self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]
    ) -> Iterable[BatchBlock]:
        s = self.settings
        data = with_weights(datasets)
        return blocks(data, rngs, s.epochs, s.batch, True, _split, self._workers)

    def _loss(self, theta: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return -self._log_prob(theta, inputs[..., :2])

    def _couplings(self, theta: Tensor) -> list[tuple[int, Callable[[Tensor], Spline]]]:
        """For each coupling the coordinate that it transforms, and the spline as a function of
        the other.
        """

        def conditioner(network: BatchedMLP, part: Tensor) -> Callable[[Tensor], Spline]:
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
        """Evaluate the log-density of each chain's model.

        Args:
            points: Points (n_r, 2) for each chain.

        Returns:
            (n_r,) for each chain.
        """
        values = []
        with torch.no_grad():
            for r, x in enumerate(points):
                batch = torch.from_numpy(np.asarray(x, dtype=np.float32)[None]).to(self._device)
                values.append(self._log_prob(self.theta[r : r + 1], batch)[0].cpu().numpy())
        return values

    def _sample(self, n: int, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Draw z ~ N(0, I) and undo the couplings."""
        coordinates = list(normals(2, n, rngs, self._device).unbind(dim=2))
        for changed, conditioner in reversed(self._couplings(self.theta)):
            coordinates[changed] = conditioner(coordinates[1 - changed]).inverse(
                coordinates[changed]
            )
        return torch.stack(coordinates, dim=2)


def _split(rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rows * (1, 1, 0), np.zeros_like(rows[..., :2]), rows[..., 2]
