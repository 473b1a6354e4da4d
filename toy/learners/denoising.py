"""Training batches: passes over the data with fresh noise at every point."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stability.loop.regimes import TrainingSet
from toy.learners.training import BatchBlock

__all__ = ["Corrupt", "blocks", "points_of", "with_weights"]

POINTS_A_BLOCK = 1_000_000  # of all chains together; 24 bytes each

Corrupt = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(data (epochs, n, 2), rng) -> inputs (epochs, n, 3), targets (epochs, n, 2), weights (epochs,
n)."""


def blocks(
    data: Sequence[np.ndarray],
    rngs: Sequence[np.random.Generator],
    epochs: int,
    batch: int,
    shuffle: bool,
    corrupt: Corrupt,
    workers: int = 1,
) -> Generator[BatchBlock]:
    """Yield the batches of `epochs` passes over each chain's data, a block at a time, in order.

    Chain r's batches depend on data[r] and rngs[r] alone, and so not on `workers`.

    Args:
        data: Points of each chain, (n_r, 2), or (n_r, 3) with their weights.
        rngs: One generator per chain.
        epochs: Number of passes.
        batch: Points per step.
        shuffle: A new order for each pass; else one random order for all, drawn at the start, so
            that real and synthetic points are mixed.
        corrupt: Makes inputs, targets and weights of a pass from its data.
        workers: Number of threads that write the batches.

    Yields:
        Blocks of about a million points of all chains together, or of one pass if that has more.
    """
    at_once = max(1, POINTS_A_BLOCK // sum(map(len, data)))
    streams = [rng.spawn(2) for rng in rngs]
    orders = [
        order_rng.permutation(len(x)) for x, (order_rng, _) in zip(data, streams, strict=True)
    ]

    def fill(block: BatchBlock, chain: int, count: int) -> None:
        x, (order_rng, noise_rng) = data[chain], streams[chain]
        passes = [order_rng.permutation(len(x)) if shuffle else orders[chain] for _ in range(count)]
        # pass by pass, so that the draws do not depend on the length of a block
        parts = zip(*(corrupt(x[None, rows], noise_rng) for rows in passes), strict=True)
        block.fill(chain, *(np.concatenate(part) for part in parts))

    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        for start in range(0, epochs, at_once):
            count = min(at_once, epochs - start)
            block = BatchBlock.empty(map(len, data), count, batch)
            for job in [pool.submit(fill, block, chain, count) for chain in range(len(data))]:
                job.result()
            yield block


def points_of(datasets: Sequence[TrainingSet]) -> list[np.ndarray]:
    """Take the points of each chain, without weights.

    Args:
        datasets: Data of each chain, points (n_r, 2).

    Returns:
        (n_r, 2) float32 for each chain.
    """
    return [np.ascontiguousarray(data.points, dtype=np.float32) for data in datasets]


def with_weights(datasets: Sequence[TrainingSet]) -> list[np.ndarray]:
    """Take the points of each chain and, as a third column, their weights with mean 1.

    Args:
        datasets: Data of each chain, points (n_r, 2).

    Returns:
        (n_r, 3) float32 for each chain.
    """
    return [
        np.column_stack([data.points, len(data.points) * data.normalised_weights]).astype(
            np.float32
        )
        for data in datasets
    ]
