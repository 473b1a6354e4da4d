"""OT-CFM, conditional flow matching with minibatch optimal transport (Tong et al., 2023), for R
chains at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.diffusion.flow import Euler, Integrator
from stability.loop.regimes import TrainingSet
from toy.densities.shapes import SOURCES
from toy.learners.coupling import Coupling, blocks
from toy.learners.denoising import points_of
from toy.learners.frame import NetworkLearner
from toy.learners.mlp import BatchedMLP
from toy.learners.settings import OTCFMConfig
from toy.learners.training import BatchBlock, Loss, squared_error

__all__ = ["OTCFMLearner"]

COSTLY_PLAN = 96  # points: larger plans take longer than the network's steps


class OTCFMLearner(NetworkLearner[OTCFMConfig]):
    """R velocity fields v(x, t), trained and integrated side by side; see `NetworkLearner`."""

    def _build(self) -> tuple[Tensor, Loss]:
        self.network = BatchedMLP(self.chains, self.settings.sizes, self._device)
        return self.network.theta, squared_error(self._predict)

    def _initialise(self, rngs: Sequence[np.random.Generator]) -> None:
        self.network.reset(rngs)

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Take the steps of `settings.epochs` passes; a chain with more data takes more of them.

        Args:
            datasets: Data of each chain, points (n_r, 2).
            rngs: One generator per chain.
        """
        s = self.settings
        # costly plans need the processors more than the network does
        planning = s.pairs != "independent" and (s.plan or s.batch) > COSTLY_PLAN
        with _torch_threads(max(1, self._workers // 3) if planning else self._workers):
            super().fit(datasets, rngs)

    def _batches(
        self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]
    ) -> Iterable[BatchBlock]:
        s = self.settings
        coupling = Coupling(
            SOURCES[s.source], s.batch, s.plan or s.batch, s.sigma, s.pairs, s.solver
        )
        return blocks(points_of(datasets), rngs, s.epochs, coupling, self._workers)

    def _predict(self, theta: Tensor, inputs: Tensor) -> Tensor:
        return self.network.forward(self.network.layers(theta), inputs)

    def _sample(self, n: int, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Integrate the flow from source points at t = 0 to t = 1."""
        source = SOURCES[self.settings.source]
        x = torch.from_numpy(np.stack([source(n, rng) for rng in rngs])).to(self._device)
        integrator = self.settings.make_integrator()
        if isinstance(integrator, Euler):  # all points take the same steps: all chains at once
            layers = self.network.layers()
            return integrator.sample(lambda t, x: self._velocity(layers, t[:, None], x), x)
        return torch.stack([self._by_chain(integrator, r, rows) for r, rows in enumerate(x)])

    def _velocity(self, layers: Any, t: Tensor, x: Tensor) -> Tensor:
        """v(t, x): t (k, n) or (k, 1), x (k, n, 2) -> (k, n, 2); time is the last input."""
        time = t[..., None].expand_as(x[..., :1])
        return self.network.forward(layers, torch.cat([x, time], dim=2))

    def _by_chain(self, integrator: Integrator, chain: int, x: Tensor) -> Tensor:
        """Integrate one chain, whose points (n, 2) take steps of their own."""
        layers = self.network.layers(self.network.theta[chain : chain + 1])
        return integrator.sample(lambda t, x: self._velocity(layers, t[None], x[None])[0], x)


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Within the block, torch uses `count` threads an operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
