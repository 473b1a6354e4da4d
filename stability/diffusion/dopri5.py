"""Dormand–Prince 5(4) for a batch of independent ordinary differential equations, each with steps
of its own.

The method, its error estimate, its control of the step and its interpolation are those of
torchdiffeq's dopri5, which takes the error over all that it is given: there, a sample depends on
the batch that it is drawn in. Here each row is integrated as if it were alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from stability.diffusion.float64_device import float64_device

__all__ = ["dopri5", "row_norm"]

# Dormand and Prince (1980); error estimate and mid-point by Shampine (1986).
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # of order 5: the step itself
)
ERROR = (
    35 / 384 - 1951 / 21600,
    0.0,
    500 / 1113 - 22642 / 50085,
    125 / 192 - 451 / 720,
    -2187 / 6784 + 12231 / 42400,
    11 / 84 - 649 / 6300,
    -1 / 60,
)
MIDDLE = (
    6025192743 / 30085553152 / 2,
    0.0,
    51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2,
    11237099 / 235043384 / 2,
)
SAFETY, LARGEST_GROWTH, LARGEST_CUT = 0.9, 10.0, 0.2
ORDER = 5
LEAST_STEP = 1e-10


def row_norm(x: Tensor) -> Tensor:
    """Root mean square of each row.

    Args:
        x: (n, …).

    Returns:
        (n,).
    """
    return x.flatten(1).square().mean(dim=1).sqrt()


def dopri5(
    field: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    tolerance: float,
    norm: Callable[[Tensor], Tensor] = row_norm,
) -> Tensor:
    """x(1) of dx/dt = field(t, x), row by row.

    Args:
        field: (t (n,), x (n, …)) -> (n, …); its rows must not depend on one another. It is asked a
            little beyond t = 1.
        x: x(0), (n, …).
        tolerance: Tolerance of the error of a step, absolute and relative.
        norm: Norm of each row of an error, (n, …) -> (n,).

    Returns:
        x(1), (n, …).

    Raises:
        FloatingPointError: If the field is not finite, or so stiff that the steps shrink to
            nothing.
    """
    place, home = float64_device(x.device), x.device
    if place != home:  # step sizes are float64: only the field is evaluated on its device
        on_its_device = lambda t, x: field(t.to(home), x.to(home)).to(place)  # noqa: E731
        return dopri5(on_its_device, x.to(place), tolerance, norm).to(home)

    end = torch.empty_like(x)
    rows = torch.arange(len(x), device=x.device)  # those still on their way
    t = torch.zeros(len(x), device=x.device, dtype=torch.float64)
    slope = field(t.to(x), x)
    dt = _first_step(field, x, slope, tolerance, norm)
    while len(rows):
        slopes, ahead = [slope], x
        for node, weights in zip(NODES, STAGES, strict=True):
            ahead = x + _combined(slopes, weights, dt)
            slopes.append(field((t + node * dt).to(x), ahead))
        scale = tolerance + tolerance * torch.maximum(x.abs(), ahead.abs())
        error = norm(_combined(slopes, ERROR, dt) / scale).double()
        if not (error.isfinite() & (dt > LEAST_STEP)).all():
            raise FloatingPointError(f"the flow cannot be integrated beyond t = {t.min():.3g}")

        accepted = error <= 1
        arrived = accepted & (t + dt >= 1)
        middle = x + _combined(slopes, MIDDLE, dt)
        share = ((1 - t) / dt).to(x)
        inside = _interpolated(
            _like(share, x), x, middle, ahead, _like(dt, x) * slope, _like(dt, x) * slopes[-1]
        )
        end[rows[arrived]] = inside[arrived]

        x = torch.where(_like(accepted, x), ahead, x)
        slope = torch.where(_like(accepted, x), slopes[-1], slope)
        t = torch.where(accepted, t + dt, t)
        least = 1 - (1 - LARGEST_CUT) * (error >= 1).double()
        dt = dt * (SAFETY / error ** (1 / ORDER)).clamp(max=LARGEST_GROWTH).maximum(least)
        rows, x, slope, t, dt = (values[~arrived] for values in (rows, x, slope, t, dt))
    return end


def _like(values: Tensor, x: Tensor) -> Tensor:
    """One number (or truth value) a row, shaped to go with x."""
    return values.reshape(-1, *[1] * (x.ndim - 1)).to(x if values.is_floating_point() else values)


def _combined(slopes: list[Tensor], weights: tuple[float, ...], dt: Tensor) -> Tensor:
    total = sum(weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight)
    return _like(dt, slopes[0]) * total


def _first_step(
    field: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    slope: Tensor,
    tolerance: float,
    norm: Callable[[Tensor], Tensor],
) -> Tensor:
    """A first step for each row, (n,) (Hairer, Nørsett and Wanner, Solving Ordinary Differential
    Equations I, II.4).
    """
    scale = tolerance + tolerance * x.abs()
    size, speed = norm(x / scale), norm(slope / scale)
    small = (size < 1e-5) | (speed < 1e-5)
    guess = torch.where(small, 1e-6, 0.01 * size / speed)
    ahead = field(guess, x + _like(guess, x) * slope)
    bend = norm((ahead - slope) / scale) / guess
    flat = (speed <= 1e-15) & (bend <= 1e-15)
    refined = torch.where(
        flat, (guess * 1e-3).clamp(min=1e-6), (0.01 / torch.maximum(speed, bend)) ** (1 / ORDER)
    )
    return torch.minimum(100 * guess, refined).double()


def _interpolated(
    share: Tensor,
    start: Tensor,
    middle: Tensor,
    end: Tensor,
    slope_start: Tensor,
    slope_end: Tensor,
) -> Tensor:
    """The polynomial of order 4 through a step's start, middle and end with its slopes, at
    `share` of the step.
    """
    a = 2 * (slope_end - slope_start) - 8 * (end + start) + 16 * middle
    b = 5 * slope_start - 3 * slope_end + 18 * start + 14 * end - 32 * middle
    c = slope_end - 4 * slope_start - 11 * start - 5 * end + 16 * middle
    return start + share * (slope_start + share * (c + share * (b + share * a)))
