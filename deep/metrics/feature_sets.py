"""Requirements of every metric on the features that it compares."""

from torch import Tensor

__all__ = ["BLOCK", "require_features"]

BLOCK = 4096
"""Rows that are worked on at once: two blocks against each other take 128 MiB in float64."""


def require_features(least: int, **sets: Tensor) -> None:
    """Check sets of features: finite floating-point numbers, (n, d), all of equal d.

    Args:
        least: Smallest n that is allowed.
        sets: Features by name, (n, d) each.

    Raises:
        ValueError: Naming the set that is otherwise, or the dimensions if they differ.
    """
    for name, x in sets.items():
        if x.ndim != 2 or len(x) < least or x.shape[1] < 1 or not x.is_floating_point():
            raise ValueError(
                f"{name} must be floating-point features of shape (n, d) with n >= {least} and d "
                ">= 1, "
                f"got {x.dtype} of shape {tuple(x.shape)}"
            )
        for i, rows in enumerate(x.split(BLOCK)):
            if not rows.isfinite().all():
                first = i * BLOCK + int((~rows.isfinite()).any(1).nonzero()[0])
                raise ValueError(
                    f"{name} must be finite, got NaN or infinite numbers from row {first} on"
                )
    dimensions = {name: x.shape[1] for name, x in sets.items()}
    if len(set(dimensions.values())) > 1:
        raise ValueError(f"the features must have equal dimension, got {dimensions}")
