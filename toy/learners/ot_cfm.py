"""OT-CFM, conditional flow matching with minibatch optimal transport (Tong et al., 2023), for R
chains at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stability.diffusion.flow import Dopri5, Euler, Integrator
from stability.loop.regimes import TrainingSet
from stability.runs.memory_limit import Need
from stability.runs.ranges import LARGEST_COUNT, MOST_STEPS, require_range
from toy.densities.shapes import SOURCES, Source
from toy.learners.coupling import Coupling, blocks
from toy.learners.mlp import ReplicatedMLP, parameter_count
from toy.learners.training import ReplicatedTrainer, batch_count, network_memory, squared_error

__all__ = ["OTCFMConfig", "OTCFMLearner"]

LEAST_TOLERANCE = 1e-9  # single precision has none that is finer

COSTLY_PLAN = 96  # points: larger plans take longer than the network's steps


@dataclass(frozen=True)
class OTCFMConfig:
    """Settings of OT-CFM in two dimensions.

    The defaults and what the paper leaves open: docs, "Two moons".
    """

    epochs: int = 150
    """Passes over the training set a (re)training."""
    batch: int = 256
    """Points a step."""
    plan: int = 0
    """Points that are transported at once, a divisor of the batch; 0: all of it, as torchcfm
    does. With 32 plans take an eighth of the time, and distances are a little larger (docs,
    "Figure 8")."""
    learning_rate: float = 0.01
    """Of Adam, constant."""
    width: int = 64
    """Of each of the three hidden layers."""
    source: Source = "normal"
    """Distribution that the flow starts from: N(0, I), or torchcfm's eight Gaussians on a circle
    of radius 5."""
    sigma: float = 0.0
    """Standard deviation of the noise on the path between a source point and a data point, in
    units of the data."""
    pairs: Literal["plan", "permutation", "independent"] = "plan"
    """Draw pairs from the transport plan with replacement, as torchcfm does, or take each pair
    once, or make no plan: independent pairs, plain flow matching (CFM)."""
    solver: Literal["assignment", "pot"] = "assignment"
    """Exact optimal transport by this project's assignment solver or by POT's network simplex."""
    integrator: Literal["euler", "dopri5"] = "euler"
    """ODE solver of the sampler."""
    ode_steps: int | None = None
    """Steps of the Euler integrator. None: 99."""
    tolerance: float | None = None
    """Error that dopri5 allows in a step, absolute and relative. None: 1e-4."""

    def __post_init__(self) -> None:
        count = (1, LARGEST_COUNT)
        require_range(self, epochs=count, batch=count, width=count, ode_steps=(1, MOST_STEPS))
        if self.plan < 0 or (self.plan and self.batch % self.plan):
            raise ValueError(f"--plan must be 0 or divide --batch {self.batch}, got {self.plan}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"--learning-rate must be finite and > 0, got {self.learning_rate}")
        if self.ode_steps is not None and self.integrator != "euler":
            raise ValueError(f"--ode-steps has no meaning for --integrator {self.integrator}")
        if self.tolerance is not None and self.integrator != "dopri5":
            raise ValueError(f"--tolerance has no meaning for --integrator {self.integrator}")
        if self.tolerance is not None and not LEAST_TOLERANCE <= self.tolerance < 1:
            raise ValueError(
                f"--tolerance must be from {LEAST_TOLERANCE} to below 1, got {self.tolerance}"
            )
        if not 0 <= self.sigma < float("inf"):
            raise ValueError(f"--sigma must be finite and >= 0, got {self.sigma}")

    def make_integrator(self) -> Integrator:
        """The ODE solver that the settings name."""
        if self.integrator == "euler":
            return Euler(99 if self.ode_steps is None else self.ode_steps)
        return Dopri5(1e-4 if self.tolerance is None else self.tolerance)

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate from below what training `chains` models on `points` points each takes.

        Args:
            threads: That work side by side.
        """
        parameters = parameter_count(self.sizes)
        plan = min(self.plan or self.batch, points) if self.pairs != "independent" else 0
        at_once = min(threads, chains)
        return [
            *network_memory(chains, parameters, self.width, self.batch),
            Need(f"transport plans of {plan:,} points", "--plan", 8 * plan**2 * at_once),
        ]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the network from input to output."""
        return (3, *[self.width] * 3, 2)


class OTCFMLearner:
    """The learner: R velocity fields v(x, t), trained and integrated side by side.

    Args:
        settings: See `OTCFMConfig`.
        device: Of the networks.
        workers: Threads that solve transport plans ahead.
        on_progress: Called with the finished share of a fit, in (0, 1].
    """

    def __init__(
        self,
        chains: int,
        settings: OTCFMConfig,
        device: torch.device | str = "cpu",
        workers: int = 1,
        on_progress: Callable[[float], object] = lambda share: None,
    ) -> None:
        self.settings = settings
        self.network = ReplicatedMLP(chains, (3, *[settings.width] * 3, 2), device)
        self._device = device
        self._workers = workers
        self._on_progress = on_progress
        self.trainer = ReplicatedTrainer(
            self.network.theta, settings.learning_rate, squared_error(self._predict)
        )

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
        """`epochs` passes of Adam over each chain's data (n_r, 2); a chain with more data takes
        more steps.
        """
        s = self.settings
        coupling = Coupling(
            SOURCES[s.source], s.batch, s.plan or s.batch, s.sigma, s.pairs, s.solver
        )
        points = [np.ascontiguousarray(data.points, dtype=np.float32) for data in datasets]
        total = s.epochs * sum(batch_count(len(x), s.batch) for x in points)
        # and needs the processors more
        planning = s.pairs != "independent" and coupling.plan > COSTLY_PLAN
        with _torch_threads(max(1, self._workers // 3) if planning else self._workers):
            self.trainer.fit(
                blocks(points, rngs, s.epochs, coupling, self._workers), total, self._on_progress
            )

    def _predict(self, theta: Tensor, inputs: Tensor) -> Tensor:
        return self.network.forward(self.network.layers(theta), inputs)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Integrate the flow from source points at t = 0 to t = 1: (counts[r], 2) for each
        chain.
        """
        source = SOURCES[self.settings.source]
        latents = torch.from_numpy(np.stack([source(max(counts), rng) for rng in rngs])).to(
            self._device
        )
        integrator = self.settings.make_integrator()
        with torch.no_grad():
            if isinstance(integrator, Euler):  # all points take the same steps: all chains at once
                layers = self.network.layers()
                end = integrator.sample(lambda t, x: self._velocity(layers, t[:, None], x), latents)
            else:
                end = torch.stack([self._by_chain(integrator, r, x) for r, x in enumerate(latents)])
        return [x[:count] for x, count in zip(end.cpu().numpy(), counts, strict=True)]

    def _velocity(self, layers: Any, t: Tensor, x: Tensor) -> Tensor:
        """v(t, x): t (k, n) or (k, 1), x (k, n, 2) -> (k, n, 2); time is the last input."""
        time = t[..., None].expand_as(x[..., :1])
        return self.network.forward(layers, torch.cat([x, time], dim=2))

    def _by_chain(self, integrator: Integrator, chain: int, x: Tensor) -> Tensor:
        """Integrate one chain, whose points (n, 2) take steps of their own."""
        layers = self.network.layers(self.network.theta[chain : chain + 1])
        return integrator.sample(lambda t, x: self._velocity(layers, t[None], x[None])[0], x)

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
