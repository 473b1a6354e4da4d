"""A user's own points of the plane, from a file: real data, and the truth they are held against."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stability.loop.streams import Purpose, stream
from stability.runs.array_files import read_npy
from stability.runs.command_line import UsageError
from stability.runs.real_data import Pool
from stability.runs.untrusted import UntrustedFileError

__all__ = ["OwnPoints", "read_own_points"]

LARGEST_FILE = 2**30


@dataclass(frozen=True)
class OwnPoints:
    """Points of a file in two halves, split at random.

    Attributes:
        real: The half that chains are trained on, each on a part of its own.
        truth: (N/2, 2) float32, the half that samples are measured against.
        digest: SHA-256 of the points, in hexadecimal.
    """

    real: Pool
    truth: np.ndarray
    digest: str

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw points of the truth.

        Args:
            n: Points wanted.
            rng: Chooses them.

        Returns:
            (min(n, N/2), 2), each point at most once.
        """
        return self.truth[rng.permutation(len(self.truth))[:n]]


def read_own_points(path: Path, needed: int, seed: int) -> OwnPoints:
    """Read points of the plane from an .npy file.

    Args:
        path: The file, an array (N, 2) of finite numbers.
        needed: Real points that the chains need; as many are held back as the truth.
        seed: Determines the halves.

    Returns:
        The points.

    Raises:
        UsageError: If the file is no such array, or has fewer than twice the points needed.
    """
    try:
        array = read_npy(path, LARGEST_FILE)
    except (UntrustedFileError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"--data {path}: {reason}") from None

    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "biuf":
        raise UsageError(
            f"--data {path}: must hold numbers (N, 2), holds {array.dtype} {array.shape}"
        )
    points = array.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise UsageError(f"--data {path}: row {bad[0]} is not finite in single precision")
    if len(points) < 2 * needed:
        raise UsageError(
            f"--data {path}: holds {len(points)} points, but the run needs {2 * needed}: one half "
            "to train on, the other as the truth; lower --samples"
        )

    digest = hashlib.sha256(points.tobytes()).hexdigest()
    order = stream(seed, Purpose.REAL, 0, 1).permutation(len(points))
    real, truth = np.split(points[order], [len(points) - len(points) // 2])
    return OwnPoints(Pool(real), truth, digest)
