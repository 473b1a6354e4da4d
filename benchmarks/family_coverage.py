"""Coverage of the 95 % intervals that `analyse` prints, over many seeds.

Five families whose values are known without draws: in one dimension by quadrature, on products of
lines from the factors, for a Gaussian in closed form. Each is analysed from draws alone, as every
family above two dimensions is.

    python -m benchmarks.family_coverage --seeds 200
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any, TypeAlias

import numpy as np
import torch
import tyro
from scipy.linalg import block_diag
from torch import Tensor

from stability.analysis.local_analysis import LocalAnalysis, analyse
from stability.families import CurvedNormal, Logistic, StudentT
from stability.laws.family import Family
from stability.laws.law import Law, NormalMixture
from stability.runs.processors import processors

NAMES = ("theta", "alpha", "mu", "rho", "norm", "V", "misspecification", "retraining", "inflation")
"""Numbers that are looked at; of vectors and matrices, each entry."""

Shares: TypeAlias = dict[str, tuple[float, float]]
"""Name -> least and largest share."""

MIXTURES = (
    NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0)),
    NormalMixture((0.5, 0.5), (-1.0, 1.0), (0.8, 0.5)),
    NormalMixture((0.3, 0.7), (-2.0, 1.0), (1.0, 0.6)),
)


@dataclass(frozen=True)
class Sampler:
    """Draws of a law on the line, or of several side by side."""

    laws: tuple[Law, ...]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw from each law, a column a law.

        Args:
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, d).
        """
        return torch.cat([law.sample(n, generator) for law in self.laws], 1)


@dataclass(frozen=True)
class Product:
    """Families on the line side by side, θ one after another, two parameters each."""

    factors: tuple[Family, ...]

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            theta: Parameters of the factors one after another, (2 d,).
            x: Points, (n, d).

        Returns:
            (n,).
        """
        parts = enumerate(zip(self.factors, theta.split(2), strict=True))
        return torch.stack([f.log_prob(part, x[:, k : k + 1]) for k, (f, part) in parts]).sum(0)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw from each factor, a column a factor.

        Args:
            theta: Parameters of the factors one after another, (2 d,).
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, d).
        """
        parts = zip(self.factors, theta.split(2), strict=True)
        return torch.cat([f.sample(part, n, generator) for f, part in parts], 1)

    def start(self, x: Tensor) -> Tensor:
        """Start of each factor.

        Args:
            x: Points, (n, d).

        Returns:
            (2 d,).
        """
        return torch.cat([f.start(x[:, k : k + 1]) for k, f in enumerate(self.factors)])  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Case:
    """Families on the line side by side, each on its own law of the data."""

    name: str
    factors: tuple[Family, ...]
    laws: tuple[Law, ...]

    @property
    def family(self) -> Family:
        """The one factor, or the product."""
        return self.factors[0] if len(self.factors) == 1 else Product(self.factors)

    def truth(self, lam: float) -> LocalAnalysis:
        """The analysis by quadrature; that of a product is block-diagonal, a block a factor.

        Args:
            lam: Synthetic points per real point.

        Returns:
            The analysis.
        """
        pairs = zip(self.factors, self.laws, strict=True)
        parts = [analyse(family, law, lam, bounds=False) for family, law in pairs]
        matrices = {
            name: block_diag(*(getattr(part, name) for part in parts))
            for name in ("A", "B", "C", "fisher")
        }
        return replace(parts[0], theta=np.concatenate([part.theta for part in parts]), **matrices)

    def estimate(self, lam: float, draws: int, seed: int) -> dict[str, tuple[Any, Any]]:
        """Each number and its error, from draws.

        Args:
            lam: Synthetic points per real point.
            draws: Number of draws of each law.
            seed: Seed of the draws.

        Returns:
            Name -> number and half the width of its 95 % interval.
        """
        data = Sampler(self.laws)
        found = analyse(self.family, data, lam, draws=draws, seed=seed, bounds=False)
        return {name: (getattr(found, name), found.error(name)) for name in NAMES}


_T, _LOGISTIC = StudentT(5.0), Logistic()
CASES = (
    Case("Student-t on a mixture", (_T,), MIXTURES[:1]),
    Case("logistic on a mixture", (_LOGISTIC,), MIXTURES[2:]),
    Case("N(θ, θ²) on a mixture", (CurvedNormal(),), MIXTURES[:1]),
    Case("t × logistic × t, d = 3", (_T, _LOGISTIC, _T), MIXTURES),
    Case("t × t × t, equal factors", (_T,) * 3, MIXTURES[:1] * 3),
)


def _estimated(work: tuple[int, float, int, int]) -> dict[str, tuple[Any, Any]]:
    index, lam, draws, seed = work
    return CASES[index].estimate(lam, draws, seed)


def covered(truth: LocalAnalysis, estimates: Sequence[Mapping[str, tuple[Any, Any]]]) -> Shares:
    """Shares of intervals that hold the truth.

    Args:
        truth: The analysis without draws.
        estimates: Numbers and errors of each seed.

    Returns:
        Name -> least and largest share over the entries of that number.
    """
    shares = {}
    for name in NAMES:
        true = np.asarray(getattr(truth, name))
        hits = [
            np.abs(np.asarray(v) - true) <= np.asarray(e) + 1e-12
            for v, e in (estimate[name] for estimate in estimates)
        ]
        each = np.atleast_1d(np.mean(hits, axis=0))
        shares[name] = (float(each.min()), float(each.max()))
    return shares


def main(seeds: int = 200, lam: float = 0.5, draws: int = 4000, first: int = 1) -> None:
    """Print the table.

    Args:
        seeds: Analyses of each family.
        lam: Synthetic points per real point.
        draws: Of each law.
        first: The first seed; the others follow.
    """
    noise = math.sqrt(0.95 * 0.05 / seeds)
    print(f"95 % intervals over {seeds} seeds, ± {noise:.3f}; {draws} draws, λ = {lam:g}")
    print("least … largest share over the entries of each number")
    print(f"{'family':25}" + "".join(f"{name[:10]:>13}" for name in NAMES))
    with ProcessPoolExecutor(
        processors(), get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for index, case in enumerate(CASES):
            work = [(index, lam, draws, seed) for seed in range(first, first + seeds)]
            shares = covered(case.truth(lam), list(pool.map(_estimated, work, chunksize=4)))
            row = "".join(f"{low:7.3f}–{high:.3f}" for low, high in shares.values())
            print(f"{case.name:25}{row}", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
