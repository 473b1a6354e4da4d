"""Many small networks trained at once: R parameter vectors, a batch a chain and a step, one
fused Adam.
"""

import copy
import gc
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toy.learners.read_ahead import read_ahead

__all__ = [
    "BatchBlock",
    "BatchedTrainer",
    "Loss",
    "batch_count",
    "squared_error",
    "weighted",
]

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""θ (k, P), inputs (k, B, 3), targets (k, B, 2), weights (k, B) -> Σ weights · (loss of a
point), (k,); row by row."""


@dataclass(frozen=True)
class BatchBlock:
    """Consecutive training batches of R chains, padded to S steps of B points.

    Attributes:
        inputs: (S, R, B, 3), two coordinates and a time or noise level, if any.
        targets: (S, R, B, 2).
        weights: (S, R, B) of the points in the loss, 0 on padding and after a chain's last step.
        steps: (R,), number of steps of each chain.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    steps: np.ndarray

    @classmethod
    def empty(cls, points: Iterable[int], epochs: int, batch: int) -> "BatchBlock":
        """Make room for `epochs` passes over each chain's points, `batch` at a time.

        Args:
            points: Number of points of each chain.
            epochs: Number of passes.
            batch: B, points per step.

        Returns:
            A block of zeros, with the number of steps of each chain.
        """
        steps = np.array([epochs * batch_count(n, batch) for n in points])
        zeros = np.zeros((steps.max(), len(steps), batch, 6), dtype=np.float32)
        return cls(zeros[..., :3], zeros[..., 3:5], zeros[..., 5], steps)

    def fill(
        self, chain: int, inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> None:
        """Write a chain's part, each epoch in the order of its batches.

        The weights are divided by the size of a point's batch, the last of an epoch being possibly
        smaller.

        Args:
            chain: Position of the chain, 0 … R − 1.
            inputs: Inputs of the network, (epochs, n, 3).
            targets: Its targets, (epochs, n, 2).
            weights: Weights of the points in the loss, (epochs, n).
        """
        epochs, n = weights.shape
        batch = self.weights.shape[2]
        place = np.arange(n)
        first = place // batch * batch  # of the batch that each place is in
        step = np.arange(epochs)[:, None] * batch_count(n, batch) + first // batch
        slot = np.broadcast_to(place - first, (epochs, n))
        self.inputs[step, chain, slot] = inputs
        self.targets[step, chain, slot] = targets
        self.weights[step, chain, slot] = weights / np.minimum(batch, n - first)


def batch_count(points: int, batch: int) -> int:
    """Count the batches of an epoch, the last one possibly smaller.

    Args:
        points: Training points.
        batch: Points per step.

    Returns:
        ⌈points / batch⌉.
    """
    return math.ceil(points / batch)


def weighted(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Loss:
    """Make a loss of a batch from the loss of a point: Σ weights · loss.

    Args:
        loss: Loss of each point: θ (k, P), inputs (k, B, 3), targets (k, B, 2) -> (k, B).

    Returns:
        The loss of a batch.
    """
    return lambda theta, inputs, targets, weights: (weights * loss(theta, inputs, targets)).sum(
        dim=1
    )


def squared_error(predict: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Make the squared-error loss: at a point the mean over coordinates of (prediction − target)².

    Args:
        predict: Prediction of the networks: θ (k, P), inputs (k, B, 3) -> (k, B, 2).

    Returns:
        The loss of a batch.
    """
    return weighted(
        lambda theta, inputs, targets: (predict(theta, inputs) - targets).square().mean(dim=2)
    )


class BatchedTrainer:
    """Minimises Σ weights · loss over the points of a batch, for each chain its own.

    Args:
        theta: (R, P), trained in place.
        learning_rate: Adam learning rate (constant).
        loss: Of a batch, see `Loss`.
    """

    def __init__(self, theta: Tensor, learning_rate: float, loss: Loss) -> None:
        self.theta = theta
        self._learning_rate = learning_rate
        self._loss = loss
        self.restart()

    def restart(self) -> None:
        """Forget the optimiser's state."""
        # One parameter a chain, a row of theta in place: Adam then keeps a step count for each
        # chain and leaves alone those that have no gradient, which is how chains of different
        # length train together.
        self._rows = [torch.nn.Parameter(row) for row in self.theta]
        self._adam = torch.optim.Adam(
            self._rows, lr=self._learning_rate, fused=True, capturable=self.theta.is_cuda
        )
        self._indices: dict[bytes, Tensor] = {}
        self._recordings: dict[bytes, _Recording | None] = {}

    def fit(
        self, blocks: Iterable[BatchBlock], total: int, on_progress: Callable[[float], object]
    ) -> None:
        """Take the steps of all blocks.

        Args:
            blocks: Batches of all chains, in order.
            total: Number of steps, summed over blocks and chains.
            on_progress: Called with the finished fraction, in (0, 1].

        Raises:
            FloatingPointError: Naming chain and step, if a loss is not finite.
        """
        device = self.theta.device
        take = self._replay if self.theta.is_cuda else self.step
        taken = np.zeros(len(self.theta), dtype=int)
        for block in read_ahead(iter(blocks)) if self.theta.is_cuda else blocks:
            inputs, targets, weights = (
                torch.from_numpy(x).to(device) for x in (block.inputs, block.targets, block.weights)
            )
            losses = torch.zeros(inputs.shape[:2], device=device)  # (S, R)
            for first, last in itertools.pairwise((0, *np.unique(block.steps))):
                active = np.flatnonzero(first < block.steps)
                chosen = self._index(active)
                for step in range(first, last):
                    losses[step, chosen] = take(active, inputs[step], targets[step], weights[step])
                    on_progress((taken.sum() + np.minimum(block.steps, step + 1).sum()) / total)
            _check_finite(losses.cpu().numpy(), taken)
            taken += block.steps

    def step(self, active: np.ndarray, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Take one step of Adam for k of the chains, each on its batch.

        Args:
            active: Numbers of these chains, (k,).
            inputs: Inputs of all chains, (R, B, 3).
            targets: Targets of all chains, (R, B, 2).
            weights: Weights of the points in the loss, (R, B).

        Returns:
            Their losses before the step, (k,).
        """
        chosen = self._index(active)
        theta = self.theta[chosen].detach().requires_grad_()
        loss = self._loss(theta, inputs[chosen], targets[chosen], weights[chosen])
        (gradients,) = torch.autograd.grad(loss.sum(), theta)
        for r, gradient in zip(active, gradients, strict=True):
            self._rows[r].grad = gradient
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return loss.detach()

    def _index(self, active: np.ndarray) -> Tensor | slice:
        """Index of the active chains in a tensor (R, …).

        Indices are kept, since a recording cannot bring them to the GPU.
        """
        if len(active) == len(self.theta):
            return slice(None)
        key = active.tobytes()
        if key not in self._indices:
            self._indices[key] = torch.from_numpy(active).to(self.theta.device)
        return self._indices[key]

    def _replay(self, active: np.ndarray, *batch: Tensor) -> Tensor:
        """`step` on a GPU: taken as it is the first time, which allocates what it needs, then
        recorded and replayed.
        """
        key = active.tobytes()
        if key not in self._recordings:
            self._recordings[key] = None
            return self.step(active, *batch)
        recording = self._recordings[key]
        if recording is None:
            recording = self._recordings[key] = _Recording(partial(self.step, active), batch)
        return recording(batch)

    def state_dict(self) -> dict[str, Any]:
        """Parameters and optimiser, copies on the CPU."""
        adam = self._adam.state_dict()
        moments = {
            i: {name: x.cpu() for name, x in state.items()} for i, state in adam["state"].items()
        }
        return {
            "theta": self.theta.cpu().clone(),
            "adam": copy.deepcopy(adam | {"state": moments}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: Parameters and optimiser.

        Raises:
            ValueError: If the state is of another number of chains or another network.
        """
        if state["theta"].shape != self.theta.shape:
            expected, got = tuple(self.theta.shape), tuple(state["theta"].shape)
            raise ValueError(f"state must have parameters of shape {expected}, got {got}")
        self.theta.copy_(state["theta"])
        self.restart()
        self._adam.load_state_dict(state["adam"])


class _Recording:
    """Work on a GPU as a graph of its kernels, which starts in one call where the work itself
    makes hundreds.
    """

    def __init__(self, work: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
        self._inputs = [x.clone() for x in inputs]
        self._graph = torch.cuda.CUDAGraph()
        gc.collect()  # an old graph that is freed during a recording spoils it
        # nothing is done yet
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._output = work(*self._inputs)

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """The work's output, which the next call overwrites."""
        for own, x in zip(self._inputs, inputs, strict=True):
            own.copy_(x)
        self._graph.replay()
        return self._output


def _check_finite(losses: np.ndarray, steps_before: np.ndarray) -> None:
    """Args:
    losses: (S, R) of a block.
    steps_before: (R,) steps before it. FloatingPointError if one is not finite.
    """
    bad = np.argwhere(~np.isfinite(losses))
    if len(bad):
        step, chain = bad[0]
        loss, number = losses[step, chain], steps_before[chain] + step
        raise FloatingPointError(f"the loss of chain {chain} is {loss} at step {number}")
