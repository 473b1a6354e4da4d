"""The error of everything that reads weights."""

__all__ = ["CheckpointError"]


class CheckpointError(ValueError):
    """A file does not hold a checkpoint that can be read; the message says what is wrong with
    it.
    """
