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

from deep.models.class_conditioned import ClassConditioned
from deep.models.protocol import ImageModel
from deep.training.precision import Precision, autocast
from stability.runs.atomic import atomic_write

__all__ = ["StreamNoise", "draw_classes", "draw_images", "save_images"]


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
        cuda = self._device.type == "cuda"
        noise = torch.empty(len(self._rngs), *self._shape, pin_memory=cuda)
        for row, rng in zip(noise.numpy(), self._rngs, strict=True):
            rng.standard_normal(out=row, dtype=np.float32)
        # only pinned memory may be read after this returns
        return noise.to(self._device, non_blocking=cuda)


def draw_classes(shares: np.ndarray, indices: Sequence[int], seed: int) -> np.ndarray:
    """Draw the class of each of the images `indices`, from a stream of its own.

    Args:
        shares: Probability of each class, (K,), with sum 1.
        indices: Numbers of the images in the endless set that `seed` stands for.
        seed: As for `draw_images`; the noise comes from other streams.

    Returns:
        Class numbers, (len(indices),) int64.
    """
    edges = np.cumsum(shares)
    uniform = [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i, 1))).random()
        for i in indices
    ]
    last = np.flatnonzero(shares)[-1]  # where the sum of the shares is rounded to below 1
    return np.minimum(np.searchsorted(edges, uniform, side="right"), last)


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
    classes: np.ndarray | None = None,
    on_batch: Callable[[int], object] = lambda images: None,
) -> np.ndarray:
    """Draw the images `indices` of the endless set that `seed` stands for, on all processes.

    Another batch size or number of processes rounds differently in the network, and a pixel may
    then differ by 1.

    Args:
        model: Draws from the network.
        network: Maps images, (b, c, h, w), to images; in evaluation mode, on the accelerator's
            device.
        shape: Shape of an image, (c, h, w).
        indices: Numbers of the images.
        seed: Stands for the set.
        accelerator: Connects the processes.
        batch: Images at once a process.
        precision: Number format of convolutions and matrix products.
        classes: Class of each image, shape (len(indices),) int64; None for a network that is told
            none.
        on_batch: Called with the number of images that all processes together have finished since
            the last call.

    Returns:
        Images, (len(indices), c, h, w) uint8.

    Raises:
        FloatingPointError: Naming the batch, if an image is not finite.
    """
    device, processes = accelerator.device, accelerator.num_processes
    share = math.ceil(len(indices) / processes)
    own = indices[accelerator.process_index * share :][:share]
    conditions = (
        None
        if classes is None
        else torch.from_numpy(classes[accelerator.process_index * share :][:share]).to(device)
    )
    # of equal size, as gathering needs
    images = torch.zeros(share, *shape, dtype=torch.uint8, device=device)
    for start in range(0, len(own), batch):
        rows = own[start : start + batch]
        called = (
            network
            if conditions is None
            else ClassConditioned(network, conditions[start : start + batch])
        )
        with autocast(device, precision):
            drawn = model.sample(called, StreamNoise(seed, rows, shape, device))
        if not drawn.isfinite().all():
            raise FloatingPointError(f"images {rows[0]} to {rows[-1]}: not finite")
        images[start : start + batch] = model.to_uint8(drawn)
        on_batch(min(len(rows) * processes, len(indices) - start * processes))
    gathered = accelerator.gather(images)
    assert isinstance(gathered, Tensor)
    return gathered[: len(indices)].cpu().numpy()


def save_images(path: Path, images: np.ndarray, labels: np.ndarray | None = None) -> None:
    """Write images as an .npz, whole or not at all; `load_images` reads it.

    Args:
        path: The file.
        images: Its array `images`, (n, c, h, w) uint8.
        labels: Its array `labels`, (n,) class numbers; None: it has none.
    """
    arrays = {"images": images} | ({} if labels is None else {"labels": labels})
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
