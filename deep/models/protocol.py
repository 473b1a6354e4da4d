"""Protocol of a generative model of images for trainer and sampler: a loss and a way to draw."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["ImageModel", "Noise"]


class Noise(Protocol):
    """Standard normal noise for a batch that is being drawn."""

    def __call__(self) -> Tensor:
        """New noise, (b, c, h, w) float32; row i comes from a stream that is image i's own."""
        ...


class ImageModel(Protocol):
    """A loss, and a sampler, for networks of one kind. It holds settings, no weights."""

    def inputs(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw everything random in the loss of a training step, with a row for each image.

        Args:
            images: (b, c, h, w) uint8, the whole batch, also where several processes share it: each
                of them draws the same rows and then works on its own share of them. So a step does
                not depend on how its batch is split.
            generator: Generator to draw with.

        Returns:
            Tensors with b rows each.
        """
        ...

    def losses(self, network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Compute the loss of each row of (a part of) `inputs`.

        The loss of a step is the mean over its batch.

        Args:
            network: Maps images, (b, c, h, w), to images; its other inputs depend on the
                model.
            inputs: Given by the method `inputs`, shapes (b, …).

        Returns:
            The losses, (b,).
        """
        ...

    def sample(self, network: Callable[..., Tensor], noise: Noise) -> Tensor:
        """Draw a batch of images, black −1 and white 1.

        Row i depends on row i of the noise alone.

        Args:
            network: Maps images, (b, c, h, w), to images; its other inputs depend on the
                model.
            noise: Gives the noise of the batch.

        Returns:
            Images, (b, c, h, w).
        """
        ...

    def to_uint8(self, images: Tensor) -> Tensor:
        """Convert images to pixels as the official code of this model writes them.

        Args:
            images: Images, (b, c, h, w), black −1 and white 1.

        Returns:
            Pixels, (b, c, h, w) uint8.
        """
        ...
