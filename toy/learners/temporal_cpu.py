"""The 2-D noise predictor on a CPU: forwards and backwards in one compiled pass, a part of the
points at a time.

Each processor takes its parts through all layers by itself, one-threaded matrix products included.
Layer by layer, as torch does it, processors wait for each other after each operation, and
activations leave the cache before they are used again: a third of the time.
"""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401  # numba's matrix products are from its library, which LIBRARIES must find
import torch
from numba import prange, set_num_threads
from threadpoolctl import ThreadpoolController
from torch import Tensor

from stability.machine.compiled import compiled, start_threads

__all__ = ["predict", "squared_error"]

LIBRARIES = ThreadpoolController()
EPS = np.float32(1e-5)  # of the layer normalisation
PART = 500  # points; a fixed number, so that results do not depend on the number of threads
MOST_THREADS = start_threads()
FAST = {"reassoc", "contract", "nsz", "arcp"}  # all but the assumption that there is no NaN or Inf


def predict(
    theta: Tensor, embedding: Tensor, x: Tensor, t: Tensor, layers: int, slope: float
) -> Tensor:
    """Predict the noise ε(x, t) by k networks, without gradient.

    Args:
        theta: Parameters, (k, P), float32; see `BatchedTemporalNetwork`.
        embedding: Embedding of each time, (times, width), float32.
        x: Points, (k, n, 2), float32.
        t: Their times, rows of the embedding, (k, n), whole numbers.
        layers: Number of times that the residual layer is applied.
        slope: Slope of the leaky ReLU below 0.

    Returns:
        Predicted noise, (k, n, 2), float32.

    Raises:
        ValueError: If a t is no row of the embedding.
    """
    _check_times(t, embedding)
    theta_, embedding_, x_, t_ = (
        tensor.detach().contiguous().numpy() for tensor in (theta, embedding, x, t)
    )
    y, (u, table) = np.empty_like(x_), np.empty((2, len(theta), *embedding.shape), dtype=np.float32)
    with _one_thread_a_product():
        _predict(theta_, embedding_, x_, t_, y, u, table, layers, np.float32(slope))
    return torch.from_numpy(y)


def squared_error(
    theta: Tensor,
    embedding: Tensor,
    x: Tensor,
    t: Tensor,
    y: Tensor,
    weights: Tensor,
    layers: int,
    slope: float,
) -> Tensor:
    """Weighted squared error of k networks, differentiable in theta.

    It is Σ weights · (mean over coordinates of (ε(x, t) − y)²).

    Args:
        theta: Parameters, (k, P), float32; see `BatchedTemporalNetwork`.
        embedding: Embedding of each time, (times, width), float32.
        x: Points, (k, n, 2), float32.
        t: Their times, rows of the embedding, (k, n), whole numbers.
        y: Targets, (k, n, 2), float32.
        weights: Weights of the points, (k, n), float32.
        layers: Number of times that the residual layer is applied.
        slope: Slope of the leaky ReLU below 0.

    Returns:
        Loss of each network, (k,).

    Raises:
        ValueError: If a t is no row of the embedding.
    """
    _check_times(t, embedding)
    return _SquaredError.apply(theta, embedding, x, t, y, weights, layers, slope)  # type: ignore[return-value]


class _SquaredError(torch.autograd.Function):
    """The gradient is computed with the loss, while a part's activations are in the processor's
    cache.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *tensors, layers, slope = inputs
        theta, embedding, x, t, y, weights = (tensor.contiguous().numpy() for tensor in tensors)
        chains, parts = len(theta), _parts(x.shape[1])
        loss = np.empty((chains, parts), dtype=np.float32)
        u, table = np.empty((2, chains, *embedding.shape), dtype=np.float32)
        dtheta = np.empty((chains, parts, theta.shape[1]), dtype=np.float32)
        dtable = np.empty((chains, parts, *embedding.shape), dtype=np.float32)
        data, room = (theta, embedding, x, t, y, weights), (u, table, loss, dtheta, dtable)
        with _one_thread_a_product():
            _loss_and_gradient(*data, *room, layers, np.float32(slope))
        ctx.save_for_backward(torch.from_numpy(dtheta[:, 0]))
        return torch.from_numpy(loss.sum(axis=1))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0][:, None] * ctx.saved_tensors[0], *[None] * 7


def _check_times(t: Tensor, embedding: Tensor) -> None:
    """Compiled code would read beside the table."""
    if not 0 <= t.min() <= t.max() < len(embedding):
        raise ValueError(f"t must be in 0 … {len(embedding) - 1}, got {t.min()} … {t.max()}")


def _one_thread_a_product() -> AbstractContextManager[Any]:
    set_num_threads(min(torch.get_num_threads(), MOST_THREADS))
    return LIBRARIES.limit(limits=1, user_api="blas")


@compiled()
def _parts(points):
    return (points + PART - 1) // PART


@compiled()
def _unpack(row, width):
    """Views of a row in the layout of `BatchedTemporalNetwork.shapes`, but for those of
    `_unpack_times`.

    in_fc, (scale, shift, matrix) of the residual layer's two halves and of the output, the output's
    bias.
    """
    square = width * width
    a = 2 * width  # behind in_fc
    b = a + 2 * width + square  # behind fc1
    c = b + 2 * width + square  # behind fc2
    d = c + square + width  # behind enc

    return (
        row[:a].reshape(width, 2),
        (
            row[a : a + width],
            row[a + width : a + 2 * width],
            row[a + 2 * width : b].reshape(width, width),
        ),
        (
            row[b : b + width],
            row[b + width : b + 2 * width],
            row[b + 2 * width : c].reshape(width, width),
        ),
        (
            row[d : d + width],
            row[d + width : d + 2 * width],
            row[d + 2 * width : d + 4 * width].reshape(2, width),
        ),
        row[d + 4 * width : d + 4 * width + 2],
    )


@compiled()
def _unpack_times(row, width):
    """Views of the same row: matrix and bias of t_proj and of enc."""
    square = width * width
    enc, projection = 6 * width + 2 * square, 11 * width + 3 * square + 2
    return (
        row[projection : projection + square].reshape(width, width),
        row[projection + square :],
        row[enc : enc + square].reshape(width, width),
        row[enc + square : enc + square + width],
    )


@compiled(fastmath=FAST)
def _moments(x):
    """Mean and 1/√(variance + ε)."""
    total, squares, width = np.float32(0), np.float32(0), np.float32(len(x))
    for j in range(len(x)):
        total += x[j]
    mean = total / width
    for j in range(len(x)):
        squares += (x[j] - mean) ** 2
    return mean, np.float32(1) / np.sqrt(squares / width + EPS)


@compiled(fastmath=FAST)
def _norm_act(x, scale, shift, slope, y):
    """y = leaky_relu(scale · (x − mean)/√(variance + ε) + shift), row by row."""
    for i in range(len(x)):
        mean, factor = _moments(x[i])
        for j in range(x.shape[1]):
            z = (x[i, j] - mean) * factor * scale[j] + shift[j]
            y[i, j] = z if z > 0 else slope * z


@compiled(fastmath=FAST)
def _norm_act_backward(dy, x, scale, shift, slope, y, dscale, dshift):
    """dy becomes dx, y what `_norm_act` gave; adds to dscale and dshift."""
    width = np.float32(x.shape[1])
    for i in range(len(x)):
        mean, factor = _moments(x[i])
        # Σ g and Σ g·normalised, g the gradient before scaling
        first, second = np.float32(0), np.float32(0)
        for j in range(x.shape[1]):
            normalised = (x[i, j] - mean) * factor
            z = normalised * scale[j] + shift[j]
            dz = dy[i, j] if z > 0 else slope * dy[i, j]
            y[i, j] = z if z > 0 else slope * z
            dscale[j] += dz * normalised
            dshift[j] += dz
            g = dz * scale[j]
            dy[i, j] = g
            first += g
            second += g * normalised
        first /= width
        second /= width
        for j in range(x.shape[1]):
            dy[i, j] = factor * (dy[i, j] - first - (x[i, j] - mean) * factor * second)


@compiled()
def _add(y, x):
    """y += x, without the temporary arrays of numba's own."""
    for i in range(len(y)):
        for j in range(y.shape[1]):
            y[i, j] += x[i, j]


@compiled()
def _add_rows(y, table, t):
    """y[i] += table[t[i]]."""
    for i in range(len(y)):
        for j in range(y.shape[1]):
            y[i, j] += table[t[i], j]


@compiled()
def _add_to_rows(table, t, x):
    """table[t[i]] += x[i], in turn, so that the sum does not depend on threads."""
    for i in range(len(x)):
        for j in range(x.shape[1]):
            table[t[i], j] += x[i, j]


@compiled()
def _encode(row, embedding, slope, u, table):
    """table (times, width) becomes what the residual layer adds at each time, u the projection
    it is made from.
    """
    projection, bias, enc, enc_bias = _unpack_times(row, embedding.shape[1])
    np.dot(embedding, projection.T, u)
    for i in range(len(u)):
        for j in range(u.shape[1]):
            z = u[i, j] + bias[j]
            u[i, j] = z if z > 0 else slope * z
    np.dot(u, enc.T, table)
    for i in range(len(u)):
        for j in range(u.shape[1]):
            table[i, j] += enc_bias[j]


@compiled()
def _encode_backward(row, embedding, u, dtable, slope, drow):
    """The parts of drow (P,) that the gradient dtable (times, width) reaches through `_encode`;
    they start at 0.
    """
    enc = _unpack_times(row, embedding.shape[1])[2]
    dprojection, dbias, denc, denc_bias = _unpack_times(drow, embedding.shape[1])
    np.dot(dtable.T, u, denc)
    du = np.dot(dtable, enc)
    for i in range(len(u)):
        for j in range(u.shape[1]):
            denc_bias[j] += dtable[i, j]
            if u[i, j] <= 0:
                du[i, j] *= slope
            dbias[j] += du[i, j]
    np.dot(du.T, embedding, dprojection)


@compiled()
def _forward(row, table, x, t, slope, h, o, act, y):
    """y (m, 2) of a part of the points; h (layers + 1, m, width) and o (layers, m, width): what
    is normalised.
    """
    w_in, (scale1, shift1, w1), (scale2, shift2, w2), (scale, shift, w_out), bias = _unpack(
        row, h.shape[2]
    )
    np.dot(x, w_in.T, h[0])
    for layer in range(len(o)):
        _norm_act(h[layer], scale1, shift1, slope, act)
        np.dot(act, w1.T, o[layer])
        _add_rows(o[layer], table, t)
        _norm_act(o[layer], scale2, shift2, slope, act)
        np.dot(act, w2.T, h[layer + 1])
        _add(h[layer + 1], h[layer])
    _norm_act(h[len(o)], scale, shift, np.float32(1), act)
    np.dot(act, w_out.T, y)
    for i in range(len(y)):
        for j in range(2):
            y[i, j] += bias[j]


@compiled()
def _backward(row, x, t, slope, h, o, act, dy, drow, dtable):
    """Adds the gradient of a part of the points to drow (P,) and dtable (times, width); both
    start at 0.
    """
    width = h.shape[2]
    _, (scale1, shift1, w1), (scale2, shift2, w2), (scale, shift, w_out), _ = _unpack(row, width)
    dw_in, (dscale1, dshift1, dw1), (dscale2, dshift2, dw2), (dscale, dshift, dw_out), dbias = (
        _unpack(drow, width)
    )
    do, da, dw = np.empty_like(act), np.empty_like(act), np.empty((width, width), np.float32)

    for i in range(len(dy)):
        for j in range(2):
            dbias[j] += dy[i, j]

    dh = np.dot(dy, w_out)
    _norm_act_backward(dh, h[len(o)], scale, shift, np.float32(1), act, dscale, dshift)
    np.dot(dy.T, act, dw_out)

    for layer in range(len(o) - 1, -1, -1):
        np.dot(dh, w2, do)
        _norm_act_backward(do, o[layer], scale2, shift2, slope, act, dscale2, dshift2)
        np.dot(dh.T, act, dw)
        _add(dw2, dw)
        _add_to_rows(dtable, t, do)
        np.dot(do, w1, da)
        _norm_act_backward(da, h[layer], scale1, shift1, slope, act, dscale1, dshift1)
        np.dot(do.T, act, dw)
        _add(dw1, dw)
        _add(dh, da)

    np.dot(dh.T, x, dw_in)


@compiled()
def _activations(points, width, layers):
    """Room for h, o and act of a part."""
    return (
        np.empty((layers + 1, points, width), np.float32),
        np.empty((layers, points, width), np.float32),
        np.empty((points, width), np.float32),
    )


@compiled()
def _part_loss_and_gradient(row, table, x, t, y, weights, slope, layers, drow, dtable):
    """The loss of a part of the points; drow and dtable become its gradient."""
    h, o, act = _activations(len(x), table.shape[1], layers)
    error = np.empty_like(x)
    _forward(row, table, x, t, slope, h, o, act, error)
    loss = np.float32(0)
    for i in range(len(x)):
        for j in range(2):
            difference = error[i, j] - y[i, j]
            error[i, j] = weights[i] * difference
            loss += error[i, j] * difference / 2
    drow[:], dtable[:] = 0, 0
    _backward(row, x, t, slope, h, o, act, error, drow, dtable)
    return loss


@compiled()
def _add_parts(drow, dtable):
    """The first parts become the sums over all; drow: (parts, P), dtable: (parts, times, width)."""
    for part in range(1, len(drow)):
        for j in range(drow.shape[1]):
            drow[0, j] += drow[part, j]
        _add(dtable[0], dtable[part])


@compiled(parallel=True)
def _predict(theta, embedding, x, t, y, u, table, layers, slope):
    """y (k, n, 2) becomes the prediction; u and table, (k, times, width), are room for
    `_encode`.
    """
    parts = _parts(x.shape[1])
    for r in prange(len(theta)):
        _encode(theta[r], embedding, slope, u[r], table[r])
    for job in prange(len(theta) * parts):
        r, low = job // parts, job % parts * PART
        points, times = x[r, low : low + PART], t[r, low : low + PART]
        h, o, act = _activations(len(points), embedding.shape[1], layers)
        _forward(theta[r], table[r], points, times, slope, h, o, act, y[r, low : low + PART])


@compiled(parallel=True)
def _loss_and_gradient(
    theta, embedding, x, t, y, weights, u, table, loss, dtheta, dtable, layers, slope
):
    """Args:
    loss: (k, parts), to be added up.
    dtheta: (k, parts, P), the gradient in the first part, the rest in use.
    """
    parts = loss.shape[1]
    for r in prange(len(theta)):
        _encode(theta[r], embedding, slope, u[r], table[r])

    for job in prange(len(theta) * parts):
        r, part = job // parts, job % parts
        low, high = part * PART, part * PART + PART
        loss[r, part] = _part_loss_and_gradient(
            theta[r],
            table[r],
            x[r, low:high],
            t[r, low:high],
            y[r, low:high],
            weights[r, low:high],
            slope,
            layers,
            dtheta[r, part],
            dtable[r, part],
        )

    for r in prange(len(theta)):
        _add_parts(dtheta[r], dtable[r])
        _encode_backward(theta[r], embedding, u[r], dtable[r, 0], slope, dtheta[r, 0])
