"""Animations: figures as frames, and the one writer of GIFs."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stability.runs.atomic import atomic_write
from stability.runs.figure_style import Figure, FigureCanvasAgg

__all__ = ["frame_of", "write_gif"]


def frame_of(figure: Figure, colours: int) -> Image.Image:
    """Draw a figure as a frame.

    Args:
        figure: The figure.
        colours: Of the frame's palette, at most 256.

    Returns:
        The frame.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    return pixels.convert("P", palette=Image.Palette.ADAPTIVE, colors=colours)


def write_gif(path: Path, frames: Sequence[Image.Image], milliseconds: int) -> None:
    """Write an animation that runs for ever.

    Args:
        path: The file.
        frames: One or more.
        milliseconds: That each is shown.
    """
    content = io.BytesIO()
    frames[0].save(
        content,
        format="gif",
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        loop=0,
    )
    with atomic_write(path) as file:
        file.write(content.getvalue())
