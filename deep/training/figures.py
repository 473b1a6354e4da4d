"""Pictures of a training: the loss over the images seen, and a grid of images."""

import math

import numpy as np
from PIL import Image

from stability.runs.figure_style import Figure

__all__ = ["image_grid", "loss_curve"]

GREY = {1: 128, 3: (128, 128, 128)}
GRID_PIXELS = 700  # at least, for a grid of few small images


def image_grid(images: np.ndarray, columns: int | None = None) -> Image.Image:
    """Arrange images side by side in rows, small ones enlarged smoothly, to be looked at.

    Args:
        images: Images, (n, c, h, w) uint8.
        columns: Images of a row; None: as near to a square as possible.

    Returns:
        The picture.
    """
    n, c, h, w = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    scale = max(1, math.ceil(GRID_PIXELS / (max(columns * w, rows * h))))
    gap = max(2, scale // 2)
    width, height = w * scale, h * scale
    canvas = Image.new(
        "L" if c == 1 else "RGB",
        (columns * (width + gap) + gap, rows * (height + gap) + gap),
        GREY[c],
    )
    for i, image in enumerate(images):
        picture = Image.fromarray(image[0] if c == 1 else image.transpose(1, 2, 0))
        place = gap + i % columns * (width + gap), gap + i // columns * (height + gap)
        canvas.paste(picture.resize((width, height), Image.Resampling.BICUBIC), place)
    return canvas


def loss_curve(losses: np.ndarray, batch: int) -> Figure:
    """Draw the loss as medians over fiftieths of the training, with their spread.

    Args:
        losses: Losses, shape (k,), one a step.
        batch: Images of a step.

    Returns:
        The figure.
    """
    parts = np.array_split(losses, min(50, len(losses)))
    seen = np.cumsum([len(part) for part in parts]) * batch
    low, middle, high = np.array([np.percentile(part, (10, 50, 90)) for part in parts]).T
    figure = Figure(figsize=(4.5, 3.0))
    axes = figure.subplots()
    axes.fill_between(seen, low, high, alpha=0.2, lw=0, label="10 % to 90 % of the steps")
    axes.plot(seen, middle, label="median of the steps")
    axes.set(xlabel="images seen", ylabel="loss", yscale="log")
    axes.legend()
    return figure
