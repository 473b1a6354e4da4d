"""What a generative model of images is to the trainer and to the sampler: a loss and a way to
draw.
"""

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
        """Everything that is random in the loss of one training step, with a row for each image of
        its batch.

        Args:
            images: (b, c, h, w) uint8, the whole batch, also where several processes share it: each
                of them draws the same rows and then works on its own share of them. So a step does
                not depend on how its batch is split.
        """
        ...

    def losses(self, network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """The loss of each row of (a part of) `inputs`, (b,).

        The loss of a step is the mean over its batch.
        """
        ...

    def sample(self, network: Callable[..., Tensor], noise: Noise) -> Tensor:
        """A batch of images (b, c, h, w), black −1 and white 1.

        Row i depends on row i of the noise alone.
        """
        ...

    def to_uint8(self, images: Tensor) -> Tensor:
        """Pixels as the official code of this model writes them."""
        ...
