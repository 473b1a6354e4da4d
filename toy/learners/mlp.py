"""Many small networks at once: R independent multilayer perceptrons evaluated by batched matrix
products.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["BatchedMLP", "share_memory"]

Layers = list[tuple[Tensor, Tensor]]


class BatchedMLP:
    """R perceptrons of one shape with SELU between the layers; chain r is row r of `theta` (R, P).

    Row layout: weight (out, in) and bias (out,) of each layer in turn, as in `torch.nn.Linear`.

    Args:
        sizes: Widths from input to output, e.g. (3, 64, 64, 64, 2): torchcfm's 2-D network, 8,706
            parameters.
    """

    def __init__(
        self, chains: int, sizes: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        if chains < 1 or len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(
                f"chains and sizes must be >= 1, with two sizes or more; got {chains} and "
                f"{tuple(sizes)}"
            )
        self.shapes = [((b, a), (b,)) for a, b in itertools.pairwise(sizes)]
        self._lengths = [int(np.prod(shape)) for pair in self.shapes for shape in pair]
        self.theta = torch.zeros(chains, sum(self._lengths), device=device)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw PyTorch's default: weights and biases of a layer ~ U(−1/√in, 1/√in).

        Args:
            rngs: One generator per chain.
        """
        for row, rng in zip(self.theta, rngs, strict=True):
            bounds = [weight[1] ** -0.5 for weight, _ in self.shapes for _ in range(2)]
            draws = [
                rng.uniform(-b, b, size).astype(np.float32)
                for b, size in zip(bounds, self._lengths, strict=True)
            ]
            row.copy_(torch.from_numpy(np.concatenate(draws)))

    def layers(self, theta: Tensor | None = None) -> Layers:
        """Views of the parameters, layer by layer.

        Args:
            theta: Parameters, (k, P); None: those of all R chains.

        Returns:
            Weight (k, out, in) and bias (k, out) of each layer.
        """
        theta = self.theta if theta is None else theta
        parts = iter(theta.split(self._lengths, dim=1))
        return [(next(parts).unflatten(1, weight), next(parts)) for weight, _ in self.shapes]

    @staticmethod
    def forward(layers: Layers, x: Tensor) -> Tensor:
        """Apply the networks: network r maps x[r].

        Args:
            layers: Weight (k, out, in) and bias (k, out) of each layer.
            x: Inputs, (k, n, in).

        Returns:
            Outputs, (k, n, out).
        """
        last = len(layers) - 1
        for i, (weight, bias) in enumerate(layers):
            x = torch.baddbmm(bias[:, None], x, weight.mT)
            if i < last:
                x = torch.selu(x)
        return x

    def state_of(self, chain: int) -> dict[str, Tensor]:
        """Copy one chain's parameters under torchcfm's names.

        Args:
            chain: Position of the chain, 0 … R − 1.

        Returns:
            Tensors by name: net.0.weight, net.0.bias, net.2.weight, …
        """
        row = self.layers(self.theta[chain : chain + 1])
        return {
            f"net.{2 * i}.{kind}": value[0].clone()
            for i, layer in enumerate(row)
            for kind, value in zip(("weight", "bias"), layer, strict=True)
        }

    def load_state_of(self, chain: int, state: Mapping[str, Tensor]) -> None:
        """Set one chain from torchcfm's names.

        Args:
            chain: Position of the chain, 0 … R − 1.
            state: Tensors by name, in the shapes of `state_of`.

        Raises:
            ValueError: If a tensor is missing, left over or of another shape.
        """
        own = self.state_of(chain)
        if {name: value.shape for name, value in own.items()} != {
            name: value.shape for name, value in state.items()
        }:
            expected = {name: tuple(value.shape) for name, value in own.items()}
            raise ValueError(f"state must hold exactly {expected}")
        self.theta[chain] = torch.cat([state[name].flatten() for name in own])


def share_memory(networks: Sequence[BatchedMLP], extra: int = 0) -> Tensor:
    """Lay the parameters of several networks into one tensor.

    Args:
        networks: Networks of the same R chains; `theta` of each becomes a view of its columns.
        extra: Columns at the end for other parameters.

    Returns:
        (R, P), zeros.
    """
    lengths = [network.theta.shape[1] for network in networks]
    theta = torch.zeros(
        len(networks[0].theta), sum(lengths) + extra, device=networks[0].theta.device
    )
    for network, part in zip(networks, theta[:, : sum(lengths)].split(lengths, dim=1), strict=True):
        network.theta = part
    return theta
