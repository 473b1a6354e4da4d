"""ddpm-torch's 2-D noise predictor, R of them at once by batched matrix products."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, leaky_relu, one_hot

from toy.learners import temporal_cpu

__all__ = ["BatchedTemporalNetwork"]

SLOPE = 0.02  # of the leaky ReLU
SHARED = "temp_fc.{}."  # ddpm-torch stores the one residual layer under several numbers


class BatchedTemporalNetwork:
    """R networks ε(x, t) of one shape; chain r is row r of `theta` (R, P).

    Row layout: the parameters of `shapes` in turn, under ddpm-torch's names; width 128 gives P =
    67,074.

    Args:
        width: Of the hidden layers and of the sinusoidal embedding of t, even.
        times: t is in 0 … times − 1.
        layers: How often the one residual layer is applied.
    """

    def __init__(
        self,
        chains: int,
        width: int = 128,
        times: int = 100,
        layers: int = 3,
        device: torch.device | str = "cpu",
    ) -> None:
        if min(chains, times, layers) < 1 or width < 4 or width % 2:
            raise ValueError(
                f"chains, times and layers must be >= 1, width even and >= 4; got {chains}, "
                f"{times}, {layers}, {width}"
            )

        square, vector, layer = (width, width), (width,), SHARED.format(0)
        self.shapes: dict[str, tuple[int, ...]] = {
            "in_fc.weight": (width, 2),
            f"{layer}norm1.weight": vector,
            f"{layer}norm1.bias": vector,
            f"{layer}fc1.weight": square,
            f"{layer}norm2.weight": vector,
            f"{layer}norm2.bias": vector,
            f"{layer}fc2.weight": square,
            f"{layer}enc.weight": square,
            f"{layer}enc.bias": vector,
            "out_norm.weight": vector,
            "out_norm.bias": vector,
            "out_fc.weight": (2, width),
            "out_fc.bias": (2,),
            "t_proj.0.weight": square,
            "t_proj.0.bias": vector,
        }
        self._lengths = [math.prod(shape) for shape in self.shapes.values()]
        self._layers = layers
        self._embedding = _embedding(times, width).to(device)
        self.theta = torch.zeros(chains, sum(self._lengths), device=device)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw the parameters as ddpm-torch does.

        Matrices ~ U(−a, a), a = √(6/(in + out)) (Glorot's); biases are 0, scales of the norms 1.

        Args:
            rngs: One generator per chain.
        """
        for row, rng in zip(self.theta, rngs, strict=True):
            parts = []
            for name, shape in self.shapes.items():
                if len(shape) == 2:
                    bound = math.sqrt(6 / sum(shape))
                    parts.append(rng.uniform(-bound, bound, shape))
                else:
                    parts.append(np.full(shape, float("norm" in name and name.endswith("weight"))))
            row.copy_(
                torch.from_numpy(
                    np.concatenate([part.ravel() for part in parts]).astype(np.float32)
                )
            )

    def _unpack(self, theta: Tensor) -> dict[str, Tensor]:
        """(k, P) as named views (k, …)."""
        parts = theta.split(self._lengths, dim=1)
        return {
            name.removeprefix(SHARED.format(0)): part.unflatten(1, shape)
            for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }

    def squared_error(
        self, theta: Tensor, x: Tensor, t: Tensor, y: Tensor, weights: Tensor
    ) -> Tensor:
        """Weighted squared error of each network.

        It is Σ weights · (mean over coordinates of (ε(x, t) − y)²).

        Args:
            theta: Parameters, (k, P).
            x: Points, (k, n, 2).
            t: Their times, (k, n), whole numbers.
            y: Targets, (k, n, 2).
            weights: Weights of the points, (k, n).

        Returns:
            Loss of each network, (k,).
        """
        if _compiled(theta):
            return temporal_cpu.squared_error(
                theta, self._embedding, x, t, y, weights, self._layers, SLOPE
            )
        return (weights * (self.forward(theta, x, t) - y).square().mean(dim=2)).sum(dim=1)

    def forward(self, theta: Tensor, x: Tensor, t: Tensor | int) -> Tensor:
        """Predict the noise: network r maps x[r].

        Differentiable; without a gradient to prepare for, and in float32 on a CPU, compiled.

        Args:
            theta: Parameters, (k, P).
            x: Points, (k, n, 2).
            t: Their times, (k, n), whole numbers, or a scalar for all points.

        Returns:
            ε(x, t), (k, n, 2).
        """
        if _compiled(theta) and not (
            torch.is_grad_enabled() and (theta.requires_grad or x.requires_grad)
        ):
            embedding = self._embedding
            if isinstance(t, int):
                embedding, t = embedding[t : t + 1], torch.zeros(x.shape[:2], dtype=torch.int64)
            return temporal_cpu.predict(theta, embedding, x, t, self._layers, SLOPE)
        p = self._unpack(theta)
        if isinstance(t, int):
            encoded = self._encode(p, self._embedding[t : t + 1]).expand(-1, x.shape[1], -1)
        else:
            # a row for each of the few times, then a matrix product picks rows: cheaper than a row
            # for each point, and the gradient is a product too, where that of indexing adds up in
            # an order that may change
            table = self._encode(p, self._embedding)
            encoded = torch.bmm(one_hot(t, len(self._embedding)).to(x.dtype), table)
        h = torch.bmm(x, p["in_fc.weight"].mT)
        for _ in range(self._layers):
            o = torch.baddbmm(
                encoded, _norm_act(h, p["norm1.weight"], p["norm1.bias"]), p["fc1.weight"].mT
            )
            h = torch.baddbmm(
                h, _norm_act(o, p["norm2.weight"], p["norm2.bias"]), p["fc2.weight"].mT
            )
        out = _norm_act(h, p["out_norm.weight"], p["out_norm.bias"], slope=1.0)
        return torch.baddbmm(p["out_fc.bias"][:, None], out, p["out_fc.weight"].mT)

    @staticmethod
    def _encode(p: Mapping[str, Tensor], embedding: Tensor) -> Tensor:
        """(times, width) -> (k, times, width), what the residual layer adds at each time."""
        rows = embedding.expand(len(p["t_proj.0.weight"]), -1, -1)
        u = leaky_relu(
            torch.baddbmm(p["t_proj.0.bias"][:, None], rows, p["t_proj.0.weight"].mT), SLOPE
        )
        return torch.baddbmm(p["enc.bias"][:, None], u, p["enc.weight"].mT)

    def state_of(self, chain: int) -> dict[str, Tensor]:
        """Copy one chain's parameters under ddpm-torch's names, the residual layer once per use.

        Args:
            chain: Position of the chain, 0 … R − 1.

        Returns:
            Tensors by name.
        """
        parts = self.theta[chain].split(self._lengths)
        state: dict[str, Tensor] = {}
        for part, (name, shape) in zip(parts, self.shapes.items(), strict=True):
            for copy in range(self._layers) if name.startswith(SHARED.format(0)) else (0,):
                state[name.replace(SHARED.format(0), SHARED.format(copy))] = part.reshape(
                    shape
                ).clone()
        return state

    def load_state_of(self, chain: int, state: Mapping[str, Tensor]) -> None:
        """Set one chain from ddpm-torch's names.

        Args:
            chain: Position of the chain, 0 … R − 1.
            state: Tensors by name, in the shapes of `state_of`.

        Raises:
            ValueError: If a tensor is missing, left over or of another shape, or if the copies of
                the layer differ.
        """
        own = self.state_of(chain)
        if {name: value.shape for name, value in own.items()} != {
            name: value.shape for name, value in state.items()
        }:
            expected = {name: tuple(value.shape) for name, value in own.items()}
            raise ValueError(f"state must hold exactly {expected}")
        for name in state:
            first = (
                SHARED.format(0) + name.split(".", 2)[-1] if name.startswith("temp_fc.") else name
            )
            if not torch.equal(state[name], state[first]):
                raise ValueError(f"{name} must equal {first}: the layers are one and the same")
        self.theta[chain] = torch.cat([state[name].flatten() for name in self.shapes])


def _embedding(times: int, width: int) -> Tensor:
    """[sin t f_j | cos t f_j], f_j = 10000^{−j/(h−1)}, h = width/2 (Vaswani et al., 2017, as in
    Ho et al., 2020).
    """
    half = width // 2
    angle = np.arange(times)[:, None] * 10000.0 ** (-np.arange(half) / (half - 1))  # (times, h)
    return torch.from_numpy(
        np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
    )


def _compiled(theta: Tensor) -> bool:
    return theta.device.type == "cpu" and theta.dtype == torch.float32


def _norm_act(x: Tensor, scale: Tensor, shift: Tensor, slope: float = SLOPE) -> Tensor:
    """Layer normalisation, scale, shift and leaky ReLU.   x: (k, n, width).   scale, shift: (k,
    width).
    """
    return leaky_relu(
        torch.addcmul(shift[:, None], layer_norm(x, x.shape[-1:]), scale[:, None]), slope
    )
