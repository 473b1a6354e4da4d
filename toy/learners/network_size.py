"""Sizes of the 2-D learners' networks, and the memory of many of them in training."""

import itertools
from collections.abc import Sequence

from stability.runs.memory_limit import Need

__all__ = ["mlp_size", "network_memory", "spline_size", "temporal_size"]


def mlp_size(sizes: Sequence[int]) -> int:
    """Parameters of one perceptron.

    Args:
        sizes: Widths from input to output.

    Returns:
        P, the length of its row of `theta`.
    """
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


def spline_size(bins: int) -> int:
    """Numbers that describe a spline: widths, heights, and slopes at the inner knots.

    Args:
        bins: Number of its pieces, >= 2.

    Returns:
        Length of the last axis that `Spline.from_raw` takes.
    """
    return 3 * bins - 1


def temporal_size(width: int) -> int:
    """Parameters of one of ddpm-torch's 2-D networks.

    Args:
        width: Width of the hidden layers.

    Returns:
        P, the length of its row of `theta`.
    """
    return 4 * width**2 + 12 * width + 2


def network_memory(chains: int, parameters: int, width: int, batch: int) -> list[Need]:
    """Estimate the memory of networks in training from below.

    Args:
        chains: R, number of networks.
        parameters: P, parameters of one network.
        width: Activations that a point leaves behind, e.g. the width of a hidden layer.
        batch: B, points per step.

    Returns:
        Parameters, gradients and Adam's two moments of all chains; a batch, and one layer's
        activations.
    """
    return [
        Need(
            f"{chains:,} networks of {parameters:.3g} parameters",
            "--width",
            4 * 4 * chains * parameters,
        ),
        Need(
            f"a batch of {batch:,} points in {chains:,} chains",
            "--batch",
            4 * (6 + width) * chains * batch,
        ),
    ]
