"""Minibatch optimal-transport pairs for flow matching, computed ahead of the network that trains on
them.

A plan depends on the data and the source points, not on the network, so background threads solve
the plans of later steps while the network trains on earlier ones. The solvers release the
interpreter lock; threads end with the process.
"""

import math
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stability.diffusion.minibatch import PLANNERS, Solver
from toy.densities.shapes import Distribution
from toy.learners.training import BatchBlock

__all__ = ["Coupling", "blocks"]

# long enough to amortise a cold start of the solver, short enough for 200 chains to fit in memory
EPOCHS_A_BLOCK = 10


@dataclass(frozen=True)
class Coupling:
    """Settings of flow matching's pairs and of the path between them (Tong et al., 2023).

    Attributes:
        source: Density of the source points.
        batch: Points a step, the last of an epoch possibly fewer.
        plan: Points that are transported at once; it divides the batch. Of fewer, plans are cheaper
            and paths cross more.
        sigma: Standard deviation of the path's noise, in units of x.
        pairs: "plan" draws the pairs from the plan with replacement, as torchcfm does, so about 1/e
            of a batch is left out and others are repeated; "permutation" takes each pair of the
            plan once; "independent" makes no plan and pairs the points as they come, which is plain
            conditional flow matching.
        solver: "assignment", this project's solver, or "pot", POT's network simplex. Both exact:
            the same plans.
    """

    source: Distribution
    batch: int
    plan: int
    sigma: float
    pairs: Literal["plan", "permutation", "independent"]
    solver: Solver


def blocks(
    data: Sequence[np.ndarray],
    rngs: Sequence[np.random.Generator],
    epochs: int,
    coupling: Coupling,
    workers: int,
) -> Generator[BatchBlock]:
    """Yield the batches of `epochs` passes over each chain's data, a block at a time, in order.

    Chain r's pairs depend on data[r] and rngs[r] alone.

    Args:
        data: Points of each chain, (n_r, 2).
        rngs: One generator per chain.
        epochs: Number of passes.
        coupling: Settings of the pairs.
        workers: Number of threads that keep the next blocks ready.

    Yields:
        Blocks of at most 10 epochs.
    """
    lengths = [min(EPOCHS_A_BLOCK, epochs - start) for start in range(0, epochs, EPOCHS_A_BLOCK)]
    block_rngs = [rng.spawn(len(lengths)) for rng in rngs]
    # blocks that keep every worker busy while the network trains
    ahead = math.ceil(workers / len(data))
    pending: deque[tuple[BatchBlock, list[Future[None]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="coupling") as pool:
        try:
            for b, length in enumerate(lengths):
                block = BatchBlock.empty(map(len, data), length, coupling.batch)
                jobs = [
                    pool.submit(_fill, block, r, x, block_rngs[r][b], length, coupling)
                    for r, x in enumerate(data)
                ]
                pending.append((block, jobs))
                if len(pending) > ahead:
                    yield _finished(*pending.popleft())
            while pending:
                yield _finished(*pending.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(block: BatchBlock, jobs: Sequence[Future[None]]) -> BatchBlock:
    for job in jobs:
        job.result()
    return block


def _fill(
    block: BatchBlock,
    chain: int,
    data: np.ndarray,
    rng: np.random.Generator,
    epochs: int,
    coupling: Coupling,
) -> None:
    """Write one chain's part of a block."""
    n = len(data)
    order_rng, source_rng, time_rng, pick_rng, noise_rng = rng.spawn(5)
    order = order_rng.permuted(np.tile(np.arange(n), (epochs, 1)), axis=1)  # (epochs, n)
    x0 = coupling.source(epochs * n, source_rng).reshape(epochs, n, 2)
    independent = coupling.pairs == "independent"
    x1 = data[order if independent else PLANNERS[coupling.solver](x0, data, order, coupling.plan)]
    first = np.arange(n) // coupling.batch * coupling.batch  # of the batch that each position is in
    size = np.minimum(coupling.batch, n - first)
    if coupling.pairs == "plan":
        drawn = first + (pick_rng.random((epochs, n)) * size).astype(np.intp)
        x0, x1 = (np.take_along_axis(x, drawn[..., None], axis=1) for x in (x0, x1))
    t = time_rng.random((epochs, n, 1), dtype=np.float32)
    xt = t * x1 + (1 - t) * x0
    if coupling.sigma:
        xt += np.float32(coupling.sigma) * noise_rng.standard_normal(
            (epochs, n, 2), dtype=np.float32
        )
    block.fill(chain, np.concatenate([xt, t], axis=2), x1 - x0, np.ones((epochs, n)))
