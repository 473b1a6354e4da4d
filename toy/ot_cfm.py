"""OT-CFM, conditional flow matching with minibatch optimal transport (Tong et al., 2023), for R chains at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torchdiffeq
from torch import Tensor

from stability.regimes import TrainingSet
from toy.coupling import Coupling, blocks
from toy.densities import SOURCES, Source
from toy.mlp import ReplicatedMLP
from toy.training import Trainer, batch_count, squared_error

__all__ = ["OTCFM", "FlowMatching"]

COSTLY_PLAN = 96  # points: larger plans take longer than the network's steps


@dataclass(frozen=True)
class FlowMatching:
    """Settings of OT-CFM in two dimensions. The defaults and what the paper leaves open: docs, "Two moons"."""

    epochs: int = 150
    """Passes over the training set a (re)training."""
    batch: int = 256
    """Points a step."""
    plan: int = 0
    """Points that are transported at once, a divisor of the batch; 0: all of it, as torchcfm does. With 32 plans
    take an eighth of the time, and distances are a little larger (docs, "Figure 8")."""
    learning_rate: float = 0.01
    """Of Adam, constant."""
    width: int = 64
    """Of each of the three hidden layers."""
    source: Source = "normal"
    """Distribution that the flow starts from: N(0, I), or torchcfm's eight Gaussians on a circle of radius 5."""
    sigma: float = 0.0
    """Standard deviation of the noise on the path between a source point and a data point, in units of the data."""
    pairs: Literal["plan", "permutation", "independent"] = "plan"
    """Draw pairs from the transport plan with replacement, as torchcfm does, or take each pair once, or make no plan:
    independent pairs, plain flow matching (CFM)."""
    solver: Literal["assignment", "pot"] = "assignment"
    """Exact optimal transport by this project's assignment solver or by POT's network simplex."""
    integrator: Literal["euler", "dopri5"] = "euler"
    """ODE solver of the sampler."""
    ode_steps: int = 99
    """Steps of the Euler integrator."""
    tolerance: float = 1e-4
    """Absolute and relative tolerance of dopri5."""

    def __post_init__(self) -> None:
        for option in ("epochs", "batch", "width", "ode_steps"):
            if getattr(self, option) < 1:
                raise ValueError(f"--{option.replace('_', '-')} must be >= 1, got {getattr(self, option)}")
        if self.plan < 0 or (self.plan and self.batch % self.plan):
            raise ValueError(f"--plan must be 0 or divide --batch {self.batch}, got {self.plan}")
        for option in ("learning_rate", "tolerance"):
            if not 0 < getattr(self, option) < float("inf"):
                raise ValueError(f"--{option.replace('_', '-')} must be finite and > 0, got {getattr(self, option)}")
        if not 0 <= self.sigma < float("inf"):
            raise ValueError(f"--sigma must be finite and >= 0, got {self.sigma}")


class OTCFM:
    """The learner: R velocity fields v(x, t), trained and integrated side by side.

    settings: see `FlowMatching`.   device: of the networks.   workers: threads that solve transport plans ahead.
    on_progress: called with the finished share of a fit, in (0, 1].
    """

    def __init__(
        self,
        chains: int,
        settings: FlowMatching,
        device: torch.device | str = "cpu",
        workers: int = 1,
        on_progress: Callable[[float], object] = lambda share: None,
    ) -> None:
        self.settings = settings
        self.network = ReplicatedMLP(chains, (3, *[settings.width] * 3, 2), device)
        self._device = device
        self._workers = workers
        self._on_progress = on_progress
        self.trainer = Trainer(self.network.theta, settings.learning_rate, squared_error(self._predict))

    @property
    def chains(self) -> int:
        return len(self.network.theta)

    @property
    def parameters(self) -> np.ndarray:
        """θ of each chain as one vector, (R, P), a copy."""
        return self.network.theta.cpu().numpy().copy()

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """PyTorch's default initialisation, fresh Adam."""
        self.network.reset(rngs)
        self.trainer.restart()

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """`epochs` passes of Adam over each chain's data (n_r, 2); a chain with more data takes more steps."""
        s = self.settings
        coupling = Coupling(SOURCES[s.source], s.batch, s.plan or s.batch, s.sigma, s.pairs, s.solver)
        points = [np.ascontiguousarray(data.points, dtype=np.float32) for data in datasets]
        total = s.epochs * sum(batch_count(len(x), s.batch) for x in points)
        planning = s.pairs != "independent" and coupling.plan > COSTLY_PLAN  # and needs the processors more
        with _torch_threads(max(1, self._workers // 3) if planning else self._workers):
            self.trainer.fit(blocks(points, rngs, s.epochs, coupling, self._workers), total, self._on_progress)

    def _predict(self, theta: Tensor, inputs: Tensor) -> Tensor:
        return self.network.forward(self.network.layers(theta), inputs)

    def sample(self, counts: Sequence[int], rngs: Sequence[np.random.Generator]) -> list[np.ndarray]:
        """Integrate the flow from source points at t = 0 to t = 1: (counts[r], 2) for each chain."""
        source = SOURCES[self.settings.source]
        latents = torch.from_numpy(np.stack([source(max(counts), rng) for rng in rngs])).to(self._device)
        with torch.no_grad():
            end = (self._euler if self.settings.integrator == "euler" else self._dopri5)(latents)
        return [x[:count] for x, count in zip(end.cpu().numpy(), counts, strict=True)]

    def _velocity(self, layers: Any, t: Tensor | float, x: Tensor) -> Tensor:
        """(k, n, 2) -> (k, n, 2); time is the network's last input."""
        return self.network.forward(layers, torch.cat([x, torch.full_like(x[..., :1], float(t))], dim=2))

    def _euler(self, x: Tensor) -> Tensor:
        layers, steps = self.network.layers(), self.settings.ode_steps
        for i in range(steps):
            x = x + self._velocity(layers, i / steps, x) / steps
        return x

    def _dopri5(self, x: Tensor) -> Tensor:
        """Chain by chain: the solver chooses its steps by the error over all it is given."""
        times, tolerance = torch.tensor([0.0, 1.0], device=x.device), self.settings.tolerance
        ends = []
        for chain in range(self.chains):
            layers = self.network.layers(self.network.theta[chain : chain + 1])
            velocity = partial(self._velocity, layers)
            start = x[chain : chain + 1]
            ends.append(torchdiffeq.odeint(velocity, start, times, rtol=tolerance, atol=tolerance, method="dopri5")[-1])
        return torch.cat(ends)

    def state_dict(self) -> dict[str, Any]:
        return self.trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError if the state is of another number of chains or another network."""
        self.trainer.load_state_dict(state)


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Within the block, torch uses `count` threads an operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
