"""OT-CFM, conditional flow matching with minibatch optimal transport (Tong et al., 2023), for R chains at once."""

import copy
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
from toy.coupling import Coupling, batch_count, blocks
from toy.densities import SOURCES, Source
from toy.mlp import ReplicatedMLP

__all__ = ["OTCFM", "FlowMatching"]


@dataclass(frozen=True)
class FlowMatching:
    """Settings of OT-CFM in two dimensions. The defaults and what the paper leaves open: docs, "Two moons"."""

    epochs: int = 150
    """Passes over the training set a (re)training."""
    batch: int = 256
    """Points a step, and points an optimal transport plan."""
    learning_rate: float = 0.01
    """Of Adam, constant."""
    width: int = 64
    """Of each of the three hidden layers."""
    source: Source = "normal"
    """Distribution that the flow starts from: N(0, I), or torchcfm's eight Gaussians on a circle of radius 5."""
    sigma: float = 0.0
    """Standard deviation of the noise on the path between a source point and a data point, in units of the data."""
    pairs: Literal["plan", "permutation"] = "plan"
    """Draw pairs from the transport plan with replacement, as torchcfm does, or take each pair once."""
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
        self._new_optimizer()

    @property
    def chains(self) -> int:
        return len(self.network.theta)

    @property
    def parameters(self) -> np.ndarray:
        """θ of each chain as one vector, (R, P), a copy."""
        return self.network.theta.cpu().numpy().copy()

    def _new_optimizer(self) -> None:
        # One parameter a chain, a row of theta in place: Adam then keeps a step count for each chain and leaves alone
        # those that have no gradient, which is how chains of different length train together.
        self._rows = [torch.nn.Parameter(row) for row in self.network.theta]
        self._adam = torch.optim.Adam(self._rows, lr=self.settings.learning_rate, fused=True)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """PyTorch's default initialisation, fresh Adam."""
        self.network.reset(rngs)
        self._new_optimizer()

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """`epochs` passes of Adam over each chain's data (n_r, 2); a chain with more data takes more steps."""
        s = self.settings
        coupling = Coupling(SOURCES[s.source], s.batch, s.sigma, s.pairs, s.solver)
        points = [np.ascontiguousarray(data.points, dtype=np.float32) for data in datasets]
        total = s.epochs * sum(batch_count(len(x), s.batch) for x in points)
        taken = np.zeros(self.chains, dtype=int)
        with _torch_threads(max(1, self._workers // 3)):  # the solvers of the plans need the processors more
            for block in blocks(points, rngs, s.epochs, coupling, self._workers):
                inputs, targets, weights = (
                    torch.from_numpy(x).to(self._device) for x in (block.inputs, block.targets, block.weights)
                )
                losses = torch.zeros(inputs.shape[:2], device=self._device)  # (S, R)
                for step in range(len(inputs)):
                    active = np.flatnonzero(step < block.steps)
                    losses[step, active] = self.step(active, inputs[step], targets[step], weights[step])
                    self._on_progress((taken.sum() + np.minimum(block.steps, step + 1).sum()) / total)
                _check_finite(losses.cpu().numpy(), taken)
                taken += block.steps

    def step(self, active: np.ndarray, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """One step of Adam for the k chains whose numbers are in `active`, each on its batch; their losses (k,).

        inputs: (R, B, 3), x_t and t.   targets: (R, B, 2), velocities.   weights: (R, B), those of a batch sum to 1.
        """
        chosen = slice(None) if len(active) == self.chains else torch.from_numpy(active).to(self._device)
        layers = [
            (weight.requires_grad_(), bias.requires_grad_())
            for weight, bias in self.network.layers(self.network.theta[chosen])
        ]
        error = self.network.forward(layers, inputs[chosen]) - targets[chosen]  # (k, B, 2)
        loss = (weights[chosen] * error.square().mean(dim=2)).sum(dim=1)
        gradients = torch.autograd.grad(loss.sum(), [tensor for layer in layers for tensor in layer])
        for r, gradient in zip(active, torch.cat([g.flatten(start_dim=1) for g in gradients], dim=1), strict=True):
            self._rows[r].grad = gradient
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return loss.detach()

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
        return {"theta": self.network.theta.cpu().clone(), "adam": copy.deepcopy(self._adam.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError if the state is of another number of chains or another network."""
        if state["theta"].shape != self.network.theta.shape:
            expected, got = tuple(self.network.theta.shape), tuple(state["theta"].shape)
            raise ValueError(f"state must have parameters of shape {expected}, got {got}")
        self.network.theta.copy_(state["theta"])
        self._new_optimizer()
        self._adam.load_state_dict(state["adam"])


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Within the block, torch uses `count` threads an operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_finite(losses: np.ndarray, steps_before: np.ndarray) -> None:
    """losses: (S, R) of a block.   steps_before: (R,) steps before it.   FloatingPointError if one is not finite."""
    bad = np.argwhere(~np.isfinite(losses))
    if len(bad):
        step, chain = bad[0]
        loss, number = losses[step, chain], steps_before[chain] + step
        raise FloatingPointError(f"the loss of chain {chain} is {loss} at step {number}")
