"""Drawing images in batches: image i depends on stream i, whatever the batch size and the number
of processes.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from deep.models.protocol import ImageModel
from deep.training.precision import Precision, autocast
from stability.runs.atomic import atomic_write

__all__ = ["StreamNoise", "draw_images", "save_images"]


class StreamNoise:
    """Standard normal noise for the images `indices`, each from a stream of its own: `Noise` of
    deep.models.protocol.

    Stream i is `SeedSequence(seed).spawn(…)[i]`. It is drawn by NumPy on the host, so that it is
    the same on every device. (A torch generator on a CPU has only 2^32 seeds: among 50,000 of them
    two are likely to be equal.)
    """

    def __init__(
        self, seed: int, indices: Sequence[int], shape: tuple[int, ...], device: torch.device
    ) -> None:
        self._rngs = [
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,))) for i in indices
        ]
        self._shape = shape
        self._device = device

    def __call__(self) -> Tensor:
        noise = torch.empty(len(self._rngs), *self._shape, pin_memory=self._device.type == "cuda")
        for row, rng in zip(noise.numpy(), self._rngs, strict=True):
            rng.standard_normal(out=row, dtype=np.float32)
        return noise.to(self._device, non_blocking=True)


@torch.inference_mode()
def draw_images(
    model: ImageModel,
    network: Callable[..., Tensor],
    shape: tuple[int, int, int],
    indices: Sequence[int],
    seed: int,
    *,
    accelerator: Accelerator,
    batch: int = 64,
    precision: Precision = "fp32",
    on_batch: Callable[[int], object] = lambda images: None,
) -> np.ndarray:
    """The images `indices` of the endless set that `seed` stands for, (len(indices), c, h, w)
    uint8, on all processes.

    Another batch size or number of processes rounds differently in the network, and a pixel may
    then differ by 1.

    Args:
        network: In evaluation mode, on the accelerator's device.
        shape: (c, h, w).
        batch: Images at once a process.
        on_batch: Called with the number of images that all processes together have finished since
            the last call.

    Raises:
        FloatingPointError: Naming the batch, if an image is not finite.
    """
    device, processes = accelerator.device, accelerator.num_processes
    share = math.ceil(len(indices) / processes)
    own = indices[accelerator.process_index * share :][:share]
    # of equal size, as gathering needs
    images = torch.zeros(share, *shape, dtype=torch.uint8, device=device)
    for start in range(0, len(own), batch):
        rows = own[start : start + batch]
        with autocast(device, precision):
            drawn = model.sample(network, StreamNoise(seed, rows, shape, device))
        if not drawn.isfinite().all():
            raise FloatingPointError(f"images {rows[0]} to {rows[-1]}: not finite")
        images[start : start + batch] = model.to_uint8(drawn)
        on_batch(min(len(rows) * processes, len(indices) - start * processes))
    gathered = accelerator.gather(images)
    assert isinstance(gathered, Tensor)
    return gathered[: len(indices)].cpu().numpy()


def save_images(path: Path, images: np.ndarray) -> None:
    """Write uint8 images (n, c, h, w) as the array `images` of an .npz, whole or not at all;
    `load_images` reads it.
    """
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, images=images)
