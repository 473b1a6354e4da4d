"""A small encoder trained on a data set's own labels, for metrics where no Inception weights are at
hand.

Distances between its features tell sets of this data set's images apart; they are no FID and are
comparable between runs with the same encoder alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from deep.networks.initial_weights import fresh, xavier
from deep.pixels import to_float

__all__ = ["EncoderTraining", "LabelEncoder", "train_encoder"]


@dataclass(frozen=True)
class EncoderTraining:
    """Training of an encoder: Adam with a learning rate that falls linearly to 0."""

    seed: int = 0
    """Determines initial weights and batches."""
    width: int = 64
    """Channels of every layer, and features an image."""
    steps: int = 400
    """Steps of the optimiser."""
    batch: int = 64
    """Images a step, drawn with replacement."""
    learning_rate: float = 2e-3
    """At the start."""


class LabelEncoder(nn.Module):
    """3×3 convolutions that halve the image until its side is at most 2, averaged over positions;
    then class scores.

    uint8 images (b, channels, side, side) -> features (b, width) float32, >= 0.
    """

    def __init__(self, channels: int, side: int, classes: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        halvings = max(side - 1, 1).bit_length() - 1  # ⌈side / 2^halvings⌉ <= 2
        self.halve = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(halvings))
        self.classify = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = relu(self.first(to_float(images)))
        for convolution in self.halve:
            x = relu(convolution(x))
        return x.mean((2, 3))

    def scores(self, images: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the classes.

        Args:
            images: Images, (b, c, h, h) uint8.

        Returns:
            The scores, (b, classes).
        """
        return self.classify(self(images))


def train_encoder(
    images: np.ndarray, labels: np.ndarray, training: EncoderTraining
) -> LabelEncoder:
    """Train an encoder to tell the labels of images, on the CPU.

    The same at equal seed and equal number of threads.

    Args:
        images: Training images, (n, c, h, h) uint8.
        labels: Their classes, shape (n,).
        training: Settings, with the seed.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        ValueError: If there are fewer than two classes, or the numbers of images and labels differ.
        FloatingPointError: Naming the step, if the loss is not finite.
    """
    if len(images) != len(labels):
        raise ValueError(
            f"there must be a label for each image, got {len(labels)} for {len(images)}"
        )

    classes, targets = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"an encoder is trained on two classes or more, got {len(classes)}")

    x, y = torch.from_numpy(images), torch.from_numpy(targets)
    generator = torch.Generator().manual_seed(training.seed)
    encoder = fresh(
        lambda: LabelEncoder(images.shape[1], images.shape[2], len(classes), training.width),
        lambda network: xavier(network, {}, generator),
    )
    optimiser = torch.optim.Adam(encoder.parameters(), lr=training.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / training.steps)

    for step in range(training.steps):
        batch = torch.randint(len(x), (training.batch,), generator=generator)
        loss = cross_entropy(encoder.scores(x[batch]), y[batch])
        if not loss.isfinite():
            raise FloatingPointError(f"the loss of the encoder is {loss.item()} at step {step}")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    return encoder.eval().requires_grad_(False)
