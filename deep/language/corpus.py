"""A text as whole numbers, one a character, and windows of it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stability.runs.untrusted import UntrustedFileError, read_bytes

__all__ = ["PYDOC", "Corpus", "CorpusError", "read_corpus"]

PYDOC = "pydoc"
"""Name of the help texts that Python ships, `pydoc_data.topics`: 465 kB of English."""
LARGEST_TEXT = 2**26
"""Bytes of a file of text that is read: 64 MiB."""
HELD_OUT = 5
"""One part in so many, the end of the text, is held out."""
SYMBOLS = 64
"""Characters of the vocabulary: the most frequent ones, and one that stands for all others."""
OTHER = "·"


class CorpusError(ValueError):
    """A text cannot be used; the message says why."""


@dataclass(frozen=True)
class Corpus:
    """A text, divided into a training part and a held-out part.

    Attributes:
        alphabet: Character of each symbol; symbol 0 stands for all that are not among them.
        train: Symbols of the first part, (N,) uint8.
        held_out: Symbols of the end, (M,) uint8.
        length: Characters of a window.
    """

    alphabet: tuple[str, ...]
    train: np.ndarray
    held_out: np.ndarray
    length: int

    def real(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw windows of the training part at random places.

        Args:
            n: Number of windows.
            rng: To draw with.

        Returns:
            Symbols, (n, length) uint8.
        """
        return _windows(self.train, n, self.length, rng)

    def truth(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw windows of the held-out part; see `real`.

        Args:
            n: Number of windows.
            rng: Generator to draw with.

        Returns:
            Symbols, (n, length) uint8.
        """
        return _windows(self.held_out, n, self.length, rng)

    def decoded(self, window: np.ndarray) -> str:
        """The characters of a window, line ends shown as ⏎.

        Args:
            window: Symbols, shape (length,).

        Returns:
            The text.
        """
        return "".join(self.alphabet[i] for i in window).replace("\n", "⏎")


def read_corpus(source: str, length: int) -> Corpus:
    """Read a text.

    Args:
        source: `PYDOC`, or the path of a UTF-8 file.
        length: Characters of a window.

    Returns:
        The corpus.

    Raises:
        CorpusError: If it cannot be read, is no UTF-8, or is too short for windows of this length.
    """
    text = _pydoc() if source == PYDOC else _file(Path(source))
    alphabet = (OTHER, *(c for c, _ in Counter(text).most_common(SYMBOLS - 1)))
    code = {c: i for i, c in enumerate(alphabet) if i}
    symbols = np.array([code.get(c, 0) for c in text], dtype=np.uint8)
    split = len(symbols) - len(symbols) // HELD_OUT
    train, held_out = symbols[:split], symbols[split:]
    if len(held_out) <= length:
        raise CorpusError(
            f"{source} has {len(symbols):,} characters; windows of {length} need at least "
            f"{HELD_OUT * (length + 1):,}"
        )
    return Corpus(alphabet, train, held_out, length)


def _pydoc() -> str:
    from pydoc_data.topics import topics

    return "".join(topics[name] for name in sorted(topics))


def _file(path: Path) -> str:
    try:
        return read_bytes(path, LARGEST_TEXT).decode()
    except UntrustedFileError as error:
        raise CorpusError(f"{path} {error}") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is no UTF-8 text: {error.reason} at {error.start}") from None
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror or error}") from None


def _windows(symbols: np.ndarray, n: int, length: int, rng: np.random.Generator) -> np.ndarray:
    starts = rng.integers(0, len(symbols) - length, n)
    return symbols[starts[:, None] + np.arange(length)]
