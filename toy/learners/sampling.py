"""Draws from the samplers of `stability.diffusion` for R chains at once, each with its own
random stream.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["draw"]

# of a chain: activations stay in a processor's cache; few launches
POINTS_AT_ONCE = {"cpu": 2000, "cuda": 20_000}


class Runs(Protocol):
    """A sampler of denoisers, such as `StepSampler` and `Heun`."""

    def sample(self, denoise: Any, x: Any, noise: Any) -> Any: ...

    @property
    def noises(self) -> Sequence[int]: ...


def draw(
    sampler: Runs,
    denoise: Callable[[Tensor, Any], Tensor],
    counts: Sequence[int],
    rngs: Sequence[np.random.Generator],
    device: torch.device | str = "cpu",
) -> list[np.ndarray]:
    """counts[r] points of chain r, (counts[r], 2) float32.

    Point i of a chain depends on the chain's stream and on i alone; its start is the same for every
    sampler.

    Args:
        denoise: (x (R, n, 2), step or noise level) -> x̂₀ (R, n, 2).
    """
    streams = [rng.spawn(2) for rng in rngs]
    column = {step: j for j, step in enumerate(sampler.noises)}
    at_once, ends = POINTS_AT_ONCE[torch.device(device).type], []
    with torch.no_grad():
        for first in range(0, max(counts), at_once):
            n = min(at_once, max(counts) - first)
            start = np.stack(
                [starts.standard_normal((n, 2), dtype=np.float32) for starts, _ in streams]
            )
            # (R, n, noises, 2): a point's numbers come one after another from the stream
            z = np.stack(
                [
                    noise.standard_normal((n, len(column), 2), dtype=np.float32)
                    for _, noise in streams
                ]
            )
            z = torch.from_numpy(z).to(device)
            x = torch.from_numpy(start).to(device)
            ends.append(
                sampler.sample(denoise, x, lambda step, z=z: z[:, :, column[step]]).cpu().numpy()
            )
    return [x[:count] for x, count in zip(np.concatenate(ends, axis=1), counts, strict=True)]
