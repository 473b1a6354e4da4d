"""Draws for R chains at once, each with its own random stream: the numbers that samples start
from, and whole runs of the samplers of `stability.diffusion`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["draw", "first_rows", "normals"]

# of a chain: activations stay in a processor's cache; few launches
POINTS_AT_ONCE = {"cpu": 2000, "cuda": 20_000, "mps": 20_000}


class Runs(Protocol):
    """A sampler of denoisers: a `StepSampler`, a `Heun` or a `MultistepSampler`."""

    def sample(self, denoise: Any, x: Any, noise: Any) -> Any: ...

    @property
    def noises(self) -> Sequence[int]: ...


def draw(
    sampler: Runs,
    denoise: Callable[[Tensor, Any], Tensor],
    n: int,
    rngs: Sequence[np.random.Generator],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw n points of each chain by a sampler of `stability.diffusion`.

    Point i of a chain depends on the chain's stream and on i alone; its start is the same for every
    sampler.

    Args:
        sampler: The sampler.
        denoise: (x (R, n, 2), step or noise level) -> x̂₀ (R, n, 2).
        n: Number of points of each chain.
        rngs: One generator per chain.
        device: Device of the networks.

    Returns:
        (R, n, 2), float32.
    """
    streams = [rng.spawn(2) for rng in rngs]
    column = {step: j for j, step in enumerate(sampler.noises)}
    at_once, ends = POINTS_AT_ONCE[torch.device(device).type], []
    with torch.no_grad():
        for first in range(0, n, at_once):
            k = min(at_once, n - first)
            x = normals(2, k, [starts for starts, _ in streams], device)
            # (R, k, noises, 2): a point's numbers come one after another from the stream
            z = normals(2 * len(column), k, [noise for _, noise in streams], device)
            z = z.unflatten(2, (len(column), 2))
            ends.append(sampler.sample(denoise, x, lambda step, z=z: z[:, :, column[step]]))
    return torch.cat(ends, dim=1)


def normals(
    columns: int, n: int, rngs: Sequence[np.random.Generator], device: torch.device | str
) -> Tensor:
    """Draw n rows of standard normal numbers for each chain.

    Args:
        columns: Numbers in a row.
        n: Number of rows. Row i does not depend on it.
        rngs: One generator per chain.
        device: Device of the result.

    Returns:
        (R, n, columns), float32.
    """
    z = np.stack([rng.standard_normal((n, columns), dtype=np.float32) for rng in rngs])
    return torch.from_numpy(z).to(device)


def first_rows(x: Tensor, counts: Sequence[int]) -> list[np.ndarray]:
    """Give each chain the rows that it asked for.

    Args:
        x: Rows of all chains, (R, n, …).
        counts: Number of rows of each chain, <= n.

    Returns:
        (counts[r], …) for each chain.
    """
    return [rows[:count] for rows, count in zip(x.cpu().numpy(), counts, strict=True)]
