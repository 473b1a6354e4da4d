"""Layer normalisation with scale, shift and leaky ReLU in one pass over memory, for R networks at once.

On a CPU these operations, one by one, take longer than the matrix products between them. On other devices they are
composed of torch's.
"""

from typing import Any

import numpy as np
import torch
from numba import get_num_threads, njit, prange, set_num_threads
from torch import Tensor
from torch.nn.functional import layer_norm, leaky_relu

__all__ = ["norm_act"]

EPS = 1e-5
PARTS = 16  # of the sums over points, fixed, so that results do not depend on the number of threads
MOST_THREADS = get_num_threads()
FAST = {"reassoc", "contract", "nsz", "arcp"}  # all but the assumption that there is no NaN or Inf


def norm_act(x: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    """leaky_relu(weight · (x − mean)/√(variance + 1e-5) + bias), mean and variance over the last axis.

    x: (R, n, width).   weight, bias: (R, width), a network's own.   slope: below zero, in [0, 1].
    """
    if x.device.type == "cpu" and x.dtype == torch.float32:
        return _NormAct.apply(x, weight, bias, slope)  # type: ignore[return-value]
    return leaky_relu(torch.addcmul(bias[:, None], layer_norm(x, x.shape[-1:], eps=EPS), weight[:, None]), slope)


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
        x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
        y, mean, scale = torch.empty_like(x), torch.empty(x.shape[:2]), torch.empty(x.shape[:2])
        _use_torch_threads()
        low = np.float32(slope)
        _forward(x.numpy(), weight.numpy(), bias.numpy(), low, y.numpy(), mean.numpy(), scale.numpy())
        ctx.save_for_backward(x, weight, bias, mean, scale)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight, bias, mean, scale = (tensor.numpy() for tensor in ctx.saved_tensors)
        dy = gradients[0].contiguous().numpy()
        dx, dweight, dbias = np.empty_like(x), *np.zeros((2, PARTS, *weight.shape), dtype=np.float32)
        _use_torch_threads()
        _backward(dy, x, weight, bias, np.float32(ctx.slope), mean, scale, dx, dweight, dbias)
        return torch.from_numpy(dx), *(torch.from_numpy(part.sum(axis=0)) for part in (dweight, dbias)), None


def _use_torch_threads() -> None:
    set_num_threads(min(torch.get_num_threads(), MOST_THREADS))


@njit(parallel=True, fastmath=FAST, cache=True)
def _forward(x, weight, bias, slope, y, mean, scale):
    chains, points, width = x.shape
    for row in prange(chains * points):
        r, i = row // points, row % points
        total = np.float32(0)
        for j in range(width):
            total += x[r, i, j]
        centre = total / np.float32(width)
        squares = np.float32(0)
        for j in range(width):
            squares += (x[r, i, j] - centre) ** 2
        factor = np.float32(1) / np.sqrt(squares / np.float32(width) + np.float32(EPS))
        mean[r, i], scale[r, i] = centre, factor
        for j in range(width):
            z = (x[r, i, j] - centre) * factor * weight[r, j] + bias[r, j]
            y[r, i, j] = z if z > 0 else slope * z


@njit(parallel=True, fastmath=FAST, cache=True)
def _backward(dy, x, weight, bias, slope, mean, scale, dx, dweight, dbias):
    chains, points, width = x.shape
    for part in prange(PARTS):
        for r in range(chains):
            for i in range(part * points // PARTS, (part + 1) * points // PARTS):
                centre, factor = mean[r, i], scale[r, i]
                first, second = np.float32(0), np.float32(0)  # Σ g and Σ g·normalised, g the gradient before scaling
                for j in range(width):
                    normalised = (x[r, i, j] - centre) * factor
                    dz = dy[r, i, j]
                    if normalised * weight[r, j] + bias[r, j] <= 0:
                        dz *= slope
                    dweight[part, r, j] += dz * normalised
                    dbias[part, r, j] += dz
                    g = dz * weight[r, j]
                    dx[r, i, j] = g
                    first += g
                    second += g * normalised
                first /= np.float32(width)
                second /= np.float32(width)
                for j in range(width):
                    dx[r, i, j] = factor * (dx[r, i, j] - first - (x[r, i, j] - centre) * factor * second)
