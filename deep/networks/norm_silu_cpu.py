"""SiLU of a group normalisation on a CPU, channels-last: one compiled pass forwards and one back.

The activations of an image are normalised and activated while they are in the cache. Layer by
layer, as torch does it, they are read and written five times.
"""

import numpy as np
import torch
from numba import prange, set_num_threads
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from stability.machine.compiled import compiled, start_threads

__all__ = ["norm_silu"]

MOST_THREADS = start_threads()
FAST = {"reassoc", "contract", "nsz", "arcp"}  # all but the assumption that there is no NaN or Inf


def norm_silu(
    x: Tensor, added: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> Tensor:
    """Compute SiLU(GroupNorm(x + added)).

    Args:
        x: Features, (n, c, h, w), float32, channels-last.
        added: Summand of each channel, (n or 1, c), float32; None: 0.
        weight: Factor of each normalised channel, (c,), float32.
        bias: Summand of each normalised channel, (c,), float32.
        groups: Number of groups, a divisor of c.
        eps: Added to the variances.

    Returns:
        Features, like x; differentiable once in all tensors.
    """
    if added is None:
        added = x.new_zeros(1, x.shape[1])
    if torch.is_grad_enabled():
        return _NormSiLU.apply(x, added, weight, bias, groups, eps)  # type: ignore[no-any-return]
    return _forwards(x, added, weight, bias, groups, eps)[0]


def _forwards(
    x: Tensor, added: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and mean and 1/standard deviation of each group, (n, groups)."""
    y = torch.empty_like(x)  # keeps the layout
    mean, inverse = x.new_empty(len(x), groups), x.new_empty(len(x), groups)
    set_num_threads(min(torch.get_num_threads(), MOST_THREADS))
    _norm_silu(
        _pixels(x), *_arrays(added, weight, bias), np.float32(eps), _pixels(y), mean.numpy(),
        inverse.numpy(),
    )  # fmt: skip
    return y, mean, inverse


class _NormSiLU(torch.autograd.Function):
    """`norm_silu` with a gradient. Keeps x alone: what follows from it is computed again."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: FunctionCtx,
        x: Tensor,
        added: Tensor,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        eps: float,
    ) -> Tensor:
        y, mean, inverse = _forwards(x, added, weight, bias, groups, eps)
        ctx.save_for_backward(x, added, weight, bias, mean, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, added, weight, bias, mean, inverse = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x)
        # of each image: of `added`, weight and bias
        by_image = x.new_empty(3, len(x), x.shape[1])
        set_num_threads(min(torch.get_num_threads(), MOST_THREADS))
        _norm_silu_back(
            _pixels(x), *_arrays(added, weight, bias, mean, inverse), _pixels(gradient),
            _pixels(dx), by_image.numpy(),
        )  # fmt: skip
        d_added, d_weight, d_bias = by_image
        if len(added) == 1:
            d_added = d_added.sum(0, keepdim=True)
        return dx, d_added, d_weight.sum(0), d_bias.sum(0), None, None


def _pixels(x: Tensor) -> np.ndarray:
    """View images, (n, c, h, w) channels-last, as (n, h, w, c)."""
    return x.detach().permute(0, 2, 3, 1).numpy()


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


@compiled(inline="always", error_model="numpy")
def _sigmoid(z):
    """1/(1 + exp(−z)) of a float32, without a branch, so that loops over it are vectorised.

    exp(y) = 2^k exp(r) with |r| <= ln(2)/2, and the polynomial of the Cephes library for exp(r):
    relative error below 2e-7. NaN stays NaN.
    """
    y = min(max(-z, np.float32(-87.0)), np.float32(88.0))
    k = np.floor(y * np.float32(1.44269504) + np.float32(0.5))
    # ln(2) in two parts, of which k times the first is exact
    r = y - k * np.float32(0.693359375) + k * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32(1.0) / (np.float32(1.0) + p * power)


@compiled(parallel=True, fastmath=FAST, error_model="numpy")
def _norm_silu(x, added, weight, bias, eps, y, mean, inverse):
    """Fill y, (n, h, w, c), and mean and inverse, (n, groups)."""
    n, pixels, channels, groups = len(x), x.shape[1] * x.shape[2], x.shape[3], mean.shape[1]
    x, y = x.reshape(n, pixels, channels), y.reshape(n, pixels, channels)
    width = channels // groups
    count = np.float32(pixels * width)

    for i in prange(n):
        a = added[i % len(added)]
        factor, summand = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
        # sums and sums of squares, of each channel first
        for p in range(pixels):
            for j in range(channels):
                value = x[i, p, j] + a[j]
                factor[j] += value
                summand[j] += value * value

        # y = SiLU(factor · x + summand)
        for g in range(groups):
            first, last = g * width, (g + 1) * width
            total, squares = np.float32(0), np.float32(0)
            for j in range(first, last):
                total += factor[j]
                squares += summand[j]
            mean[i, g] = total / count
            variance = max(squares / count - mean[i, g] * mean[i, g], np.float32(0))
            inverse[i, g] = np.float32(1) / np.sqrt(variance + eps)
            for j in range(first, last):
                factor[j] = inverse[i, g] * weight[j]
                summand[j] = bias[j] + (a[j] - mean[i, g]) * factor[j]

        for p in range(pixels):
            for j in range(channels):
                z = x[i, p, j] * factor[j] + summand[j]
                y[i, p, j] = z * _sigmoid(z)


@compiled(parallel=True, fastmath=FAST, error_model="numpy")
def _norm_silu_back(x, added, weight, bias, mean, inverse, dy, dx, by_image):
    """Fill dx, (n, h, w, c), and the derivatives in added, weight and bias, (3, n, c)."""
    n, pixels, channels, groups = len(x), x.shape[1] * x.shape[2], x.shape[3], mean.shape[1]
    x, dx = x.reshape(n, pixels, channels), dx.reshape(n, pixels, channels)
    dy = dy.reshape(n, pixels, channels)
    width = channels // groups
    count = np.float32(pixels * width)

    for i in prange(n):
        a = added[i % len(added)]
        factor, summand = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
        for j in range(channels):
            factor[j] = inverse[i, j // width] * weight[j]
            summand[j] = bias[j] + (a[j] - mean[i, j // width]) * factor[j]

        # dx = derivative in z = factor · x + summand for now, and its sums
        sum_x, sum_z = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
        sum_zx = np.zeros(channels, np.float32)
        for p in range(pixels):
            for j in range(channels):
                value = x[i, p, j]
                z = value * factor[j] + summand[j]
                s = _sigmoid(z)
                dz = dy[i, p, j] * s * (np.float32(1) + z * (np.float32(1) - s))
                dx[i, p, j] = dz
                sum_x[j] += value
                sum_z[j] += dz
                sum_zx[j] += dz * value

        # through mean and variance: dx = factor · dz + slope · x + offset
        for g in range(groups):
            first, last, m, r = g * width, (g + 1) * width, mean[i, g], inverse[i, g]
            of_mean, of_scale = np.float32(0), np.float32(0)
            for j in range(first, last):
                normalised = r * (sum_zx[j] + (a[j] - m) * sum_z[j])  # Σ dz x̂
                by_image[1, i, j], by_image[2, i, j] = normalised, sum_z[j]
                of_mean += weight[j] * sum_z[j]
                of_scale += weight[j] * normalised
            slope = -r * r * of_scale / count
            for j in range(first, last):
                offset = -r * of_mean / count + slope * (a[j] - m)
                by_image[0, i, j] = (
                    factor[j] * sum_z[j] + slope * sum_x[j] + np.float32(pixels) * offset
                )
                sum_x[j], sum_zx[j] = slope, offset

        for p in range(pixels):
            for j in range(channels):
                dx[i, p, j] = dx[i, p, j] * factor[j] + x[i, p, j] * sum_x[j] + sum_zx[j]
