"""Time and peak memory of the image metrics after features, against plain ones: python -m
benchmarks.metrics

FID is compared with the textbook formula (SciPy's general matrix square root, as in pytorch-fid),
precision and recall with full distance matrices in memory (as in prdc), W2 of sets of different
size with POT's network simplex. Each case runs in a process of its own, so that its peak is its
own; that of the two feature sets and the libraries alone is the first row.
"""

import math
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from benchmarks.at_least_one import require_at_least_one
from deep.metrics.frechet import frechet_distance, moments
from deep.metrics.kernel_distance import kernel_distance, subset_kernel_distances
from deep.metrics.precision_recall import neighbourhoods, precision_recall
from stability.runs.command_line import command
from stability.transport.wasserstein import wasserstein


@dataclass(frozen=True)
class Benchmark:
    """Metrics of two sets of features, at the sizes of CIFAR-10 for FID."""

    n: int = 50_000
    """Features in each of two sets, for FID."""
    points: int = 10_000
    """Features in each set, for precision to coverage and the kernel distance."""
    plain_points: int = 5_000
    """The same for the reference with full matrices, which take 8 n² bytes each."""
    transported: int = 1000
    """Features in the larger of two sets, for W2."""
    dimension: int = 2048
    """Dimension of the features."""
    k: int = 3
    """Neighbours."""
    threads: int = 2
    """Processor threads, for the references too."""
    seed: int = 0
    """Seed of the features."""

    def __post_init__(self) -> None:
        require_at_least_one(self, apart_from=["seed"])


@dataclass(frozen=True)
class Cost:
    """Value of the metric, wall and processor seconds, and peak memory of its process in MiB."""

    value: float
    wall: float
    processor: float
    peak: float


def feature_sets(n: int, config: Benchmark) -> tuple[Tensor, Tensor]:
    """Draw two sets >= 0 with variances that fall as 1/i over random directions.

    They are as far apart as a fair model's are from real ones.

    Args:
        n: Features in each set.
        config: Dimension d and seed.

    Returns:
        The two sets, (n, d) each.
    """
    generator = torch.Generator().manual_seed(config.seed)
    d = config.dimension
    mix = torch.randn(d, d, generator=generator) / d**0.5 * torch.arange(1, d + 1) ** -0.5
    sets = []
    for scale, shift in ((3.0, 0.0), (3.1, 0.02)):
        x = torch.empty(n, d)
        for rows in x.split(1000):
            torch.matmul(torch.randn(len(rows), d, generator=generator), mix.T, out=rows)
            rows.mul_(scale).add_(shift).clamp_(min=0)
        sets.append(x)
    return sets[0], sets[1]


def fid(one: Tensor, two: Tensor) -> float:
    """Fréchet distance by this project.

    Args:
        one: Features, (n, d).
        two: Features, (m, d).

    Returns:
        The distance.
    """
    return frechet_distance(moments(one), moments(two))


def textbook_fid(one: Tensor, two: Tensor) -> float:
    """Fréchet distance as pytorch-fid computes it.

    NumPy's mean and covariance in float64, SciPy's square root of the product.

    Args:
        one: Features, (n, d).
        two: Features, (m, d).

    Returns:
        The distance.
    """
    (m1, c1), (m2, c2) = (
        (x.mean(0), np.cov(x, rowvar=False)) for x in (one.double().numpy(), two.double().numpy())
    )
    root = np.real(scipy.linalg.sqrtm(c1 @ c2))
    return float(((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * np.trace(root))


def precision(k: int, one: Tensor, two: Tensor) -> float:
    """Precision by this project; recall, density and coverage are computed with it.

    Args:
        k: Neighbours.
        one: Real features, (n, d).
        two: Drawn features, (m, d).

    Returns:
        The precision.
    """
    return precision_recall(neighbourhoods(one, k), neighbourhoods(two, k)).precision


def plain_precision(k: int, one: Tensor, two: Tensor) -> float:
    """Precision by full matrices in float64.

    Recall, density and coverage, which all follow from them, are computed too.

    Args:
        k: Neighbours.
        one: Real features, (n, d).
        two: Drawn features, (m, d).

    Returns:
        The precision.
    """
    one, two = one.double(), two.double()
    exact = (
        torch.cdist(one, one).kthvalue(k + 1).values,
        torch.cdist(two, two).kthvalue(k + 1).values,
    )
    between = torch.cdist(one, two)
    inside, reached = between <= exact[0][:, None], between <= exact[1]
    found = [inside.any(0), reached.any(1), inside.sum(0) / k, inside.any(1)]
    return float(found[0].double().mean())


def kid(one: Tensor, two: Tensor) -> float:
    """Kernel distance over all pairs.

    Args:
        one: Features, (n, d).
        two: Features, (m, d).

    Returns:
        The distance.
    """
    return kernel_distance(one, two).value


def subset_kid(one: Tensor, two: Tensor) -> float:
    """Kernel distance over random subsets, on average.

    Args:
        one: Features, (n, d).
        two: Features, (m, d).

    Returns:
        The distance.
    """
    return float(subset_kernel_distances(one, two, np.random.default_rng(0)).mean())


def w2(one: Tensor, two: Tensor) -> float:
    """W2 of sets without a common divisor, which are the hardest sizes.

    Args:
        one: Features, (n, d).
        two: Features, (n, d), of which about 4n/5 are taken.

    Returns:
        The distance.
    """
    return wasserstein(one.numpy(), two[: coprime(len(one))].numpy(), (2,))[0]


def pot_w2(one: Tensor, two: Tensor) -> float:
    """W2 of sets without a common divisor, by POT's network simplex.

    Args:
        one: Features, (n, d).
        two: Features, (n, d), of which about 4n/5 are taken.

    Returns:
        The distance.
    """
    import ot

    n, m = len(one), coprime(len(one))
    cost = cdist(one.double().numpy(), two[:m].double().numpy(), "sqeuclidean")
    plan = np.asarray(ot.emd(np.full(n, 1 / n), np.full(m, 1 / m), cost, numItermax=10_000_000))
    return float((plan * cost).sum() ** 0.5)


def coprime(n: int) -> int:
    """The largest number up to 4n/5 without a common divisor with n.

    Args:
        n: A number >= 1.

    Returns:
        The number.
    """
    return next(m for m in range(max(1, 4 * n // 5), 0, -1) if math.gcd(n, m) == 1)


def nothing(one: Tensor, two: Tensor) -> float:
    """Difference of two entries: the cost of the sets alone.

    Args:
        one: Features, (n, d).
        two: Features, (m, d).

    Returns:
        The difference.
    """
    return float(one[0, 0] - two[0, 0])


def cost(metric: Callable[[Tensor, Tensor], float], n: int, config: Benchmark) -> Cost:
    """Compute a metric in the process that calls this, and measure its cost.

    Args:
        metric: Of two sets of features, (n, d) each.
        n: Features in each set.
        config: The options.

    Returns:
        Its value and cost.
    """
    torch.set_num_threads(config.threads)
    one, two = feature_sets(n, config)
    wasserstein(np.zeros((2, 1)), np.zeros((3, 1)))  # compiles, or reads what was compiled
    wall, processor = time.perf_counter(), time.process_time()
    value = metric(one, two)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )
    return Cost(value, wall, processor, peak)


def main(config: Benchmark) -> None:
    """Measure and print.

    Args:
        config: The options.
    """
    full, plain = config.points, config.plain_points
    smaller, matrices = "precision … coverage, fewer points", "precision … coverage, full matrices"
    cases = {
        "the features alone": (nothing, config.n),
        "FID": (fid, config.n),
        "FID, textbook": (textbook_fid, config.n),
        "precision … coverage": (partial(precision, config.k), full),
        smaller: (partial(precision, config.k), plain),
        matrices: (partial(plain_precision, config.k), plain),
        "KID, all pairs": (kid, full),
        "KID, 100 subsets of 1000": (subset_kid, full),
        "W2 of n and 4n/5": (w2, config.transported),
        "W2 of n and 4n/5, POT": (pot_w2, config.transported),
    }
    print(f"two sets of n features, d = {config.dimension}, {config.threads} threads")
    print(f"{'':36}{'n':>8}{'value':>14}{'wall s':>9}{'cpu s':>9}{'peak MiB':>10}")
    found = {}
    context = multiprocessing.get_context("spawn")

    for name, (metric, n) in cases.items():
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            found[name] = one = pool.submit(cost, metric, n, config).result()
        print(
            f"{name:36}{n:8}{one.value:14.8f}{one.wall:9.1f}{one.processor:9.1f}{one.peak:10.0f}",
            flush=True,
        )

    compared = [
        ("FID", "FID, textbook"),
        (smaller, matrices),
        ("W2 of n and 4n/5", "W2 of n and 4n/5, POT"),
    ]

    for ours, other in compared:
        a, b = found[ours], found[other]
        time_ratio, peak_ratio, gap = b.wall / a.wall, b.peak / a.peak, abs(a.value / b.value - 1)
        print(
            f"{other}: {time_ratio:.2f}x the time, {peak_ratio:.2f}x the peak of ours; values "
            f"differ by {gap:.1e}"
        )


if __name__ == "__main__":
    command(Benchmark, main)
