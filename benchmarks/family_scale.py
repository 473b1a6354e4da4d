"""A family with a thousand parameters in fifty dimensions: time, memory, and numbers against known
ones.

The family is an autoregression of order 24 with Student-t innovations, fitted to one whose
innovations are normal mixtures: its moments factor into those of the line, by quadrature, and
covariances in closed form, so that θ*, α, ρ and the costs are known without draws.

    python -m benchmarks.family_scale
"""

import resource
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
import tyro
from scipy.linalg import block_diag
from torch import Tensor

from stability.analysis.local_analysis import LocalAnalysis, analyse
from stability.families import StudentT
from stability.laws.law import Member, NormalMixture

NAMES = ("theta", "alpha", "rho", "norm", "misspecification", "retraining", "inflation")
"""Numbers that are compared; of vectors, each entry."""
_NU = 5.0
_INNOVATIONS = (
    NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0)),
    NormalMixture((0.5, 0.5), (-1.0, 1.0), (0.8, 0.5)),
    NormalMixture((0.3, 0.7), (-2.0, 1.0), (1.0, 0.6)),
)
_STRENGTH = 0.3
"""Coefficient of the latest coordinate; that of the j-th before it is its j-th power, signs in
turn."""


@dataclass(frozen=True)
class Autoregression:
    """x_k = b_k + Σ_j w_kj x_j + e^{s_k} t over the last `order` coordinates, t Student with ν = 5.

    θ is, coordinate by coordinate, (b_k, s_k) and the w_kj.

    Attributes:
        d: Coordinates, >= 1.
        order: Coordinates before it that a coordinate depends on, >= 0.
    """

    d: int
    order: int

    @property
    def lags(self) -> list[int]:
        """Number of coefficients of each coordinate, (d,)."""
        return [min(k, self.order) for k in range(self.d)]

    @property
    def parameters(self) -> int:
        """Number P of parameters."""
        return 2 * self.d + sum(self.lags)

    def _split(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """b (d,), s (d,) and W (d, d), strictly lower triangular."""
        parts = theta.split([2 + lag for lag in self.lags])
        rows = [
            torch.cat([theta.new_zeros(k - lag), part[2:], theta.new_zeros(self.d - k)])
            for k, (lag, part) in enumerate(zip(self.lags, parts, strict=True))
        ]
        return (
            torch.stack([part[0] for part in parts]),
            torch.stack([part[1] for part in parts]),
            torch.stack(rows),
        )

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-density of each point.

        Args:
            theta: Parameters coordinate by coordinate, (P,).
            x: Points, (n, d).

        Returns:
            (n,).
        """
        b, s, W = self._split(theta)
        z = (x - b - x @ W.T) * torch.exp(-s)
        constant = StudentT(_NU).log_prob(theta.new_zeros(2), theta.new_zeros(1, 1))[0]
        tails = (_NU + 1) / 2 * torch.log1p(z**2 / _NU)
        return self.d * constant - s.sum() - tails.sum(1)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            theta: Parameters coordinate by coordinate, (P,).
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, d).
        """
        b, s, W = self._split(theta)
        standard = Member(StudentT(_NU), theta.new_zeros(2)).sample(n * self.d, generator)
        return _solved(W, b + torch.exp(s) * standard.reshape(n, self.d))

    def start(self, x: Tensor) -> Tensor:
        """Medians and quartiles of each coordinate, no coefficients.

        Args:
            x: Points, (n, d).

        Returns:
            (P,).
        """
        parts = [
            torch.cat([StudentT(_NU).start(x[:, k : k + 1]), x.new_zeros(lag)])
            for k, lag in enumerate(self.lags)
        ]
        return torch.cat(parts)


def _solved(W: Tensor, innovations: Tensor) -> Tensor:
    """x with x = W x + innovations, row by row, (n, d)."""
    unit = torch.eye(len(W), dtype=W.dtype)
    return torch.linalg.solve_triangular(unit - W, innovations.T, upper=False).T


@dataclass(frozen=True)
class Data:
    """An autoregression of which the innovations are normal mixtures in turn.

    Its coefficients fall off.
    """

    family: Autoregression

    @property
    def W(self) -> Tensor:  # noqa: N802 - a matrix
        """Coefficients (d, d), strictly lower triangular."""
        W = torch.zeros(self.family.d, self.family.d, dtype=torch.float64)
        for k, lag in enumerate(self.family.lags):
            for j in range(1, lag + 1):
                W[k, k - j] = -((-_STRENGTH) ** j)
        return W

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw points.

        Args:
            n: Number of draws.
            generator: Source of the draws.

        Returns:
            (n, d).
        """
        columns = [
            _INNOVATIONS[k % len(_INNOVATIONS)].sample(n, generator) for k in range(self.family.d)
        ]
        return _solved(self.W, torch.cat(columns, 1))


def truth(data: Data, lam: float) -> LocalAnalysis:
    """The analysis without draws.

    A coordinate's score is that of its innovation on the line times (1, its predecessors), so that
    moments are products of moments, a block a coordinate.

    Args:
        data: Law of the data.
        lam: Synthetic points per real point.

    Returns:
        The analysis; of L and ε nothing.
    """
    family, W = data.family, data.W.numpy()
    lines = [analyse(StudentT(_NU), law, lam, bounds=False) for law in _INNOVATIONS]
    own = [lines[k % len(lines)] for k in range(family.d)]
    data_moments = [_moments(_INNOVATIONS[k % len(lines)]) for k in range(family.d)]
    model_moments = [(line.theta[0], np.exp(2 * line.theta[1]) * _NU / (_NU - 2)) for line in own]
    seen, believed = (_second_moments(W, each) for each in (data_moments, model_moments))

    theta, blocks = [], {name: [] for name in ("A", "B", "C", "fisher")}
    for k, (lag, line) in enumerate(zip(family.lags, own, strict=True)):
        theta += [*line.theta, *W[k, k - lag : k]]
        for name in blocks:
            second = believed if name in ("B", "fisher") else seen
            blocks[name].append(_block(getattr(line, name), second, k, lag))
    matrices = {name: block_diag(*parts) for name, parts in blocks.items()}
    return replace(lines[0], theta=np.array(theta), **matrices)


def _moments(law: NormalMixture) -> tuple[float, float]:
    """Mean and variance of a mixture on the line."""
    weights, means, sds = (
        np.asarray(each, dtype=float).ravel() for each in (law.weights, law.means, law.sds)
    )
    mean = float(weights @ means)
    return mean, float(weights @ (sds**2 + means**2)) - mean**2


def _second_moments(W: np.ndarray, innovations: list[tuple[float, float]]) -> np.ndarray:
    """E u uᵀ of u = (1, x), (1 + d, 1 + d)."""
    means, variances = np.array(innovations).T
    root = np.linalg.inv(np.eye(len(W)) - W)
    mean = root @ means
    outer = root @ np.diag(variances) @ root.T + np.outer(mean, mean)
    return np.block([[np.ones((1, 1)), mean[None]], [mean[:, None], outer]])


def _block(line: np.ndarray, second: np.ndarray, k: int, lag: int) -> np.ndarray:
    """A moment of (b_k, s_k, w_k), from that of an innovation's (μ, log s), (2 + lag, 2 + lag)."""
    seen = [0, *range(1 + k - lag, 1 + k)]  # of (1, x)
    place = [0, *range(2, 2 + lag)]  # of (b, s, w)
    block = np.zeros((2 + lag, 2 + lag))
    block[np.ix_(place, place)] = line[0, 0] * second[np.ix_(seen, seen)]
    block[place, 1] = block[1, place] = line[0, 1] * second[0, seen]
    block[1, 1] = line[1, 1]
    return block


def memory() -> float:
    """Peak memory of this process.

    Returns:
        GB.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def main(
    d: int = 50, order: int = 24, draws: int = 20_000, lam: float = 0.5, seed: int = 0
) -> None:
    """Analyse, and compare with what is known.

    Args:
        d: Dimension.
        order: Of the autoregression.
        draws: Of each law.
        lam: Synthetic points per real point.
        seed: Of all draws.
    """
    family = Autoregression(d, order)
    print(f"d = {d}, P = {family.parameters}, {draws} draws of each law, λ = {lam:g}")
    known = truth(Data(family), lam)
    before = time.monotonic(), time.process_time()
    found = analyse(family, Data(family), lam, draws=draws, seed=seed, bounds=False)
    _took("θ*, A, B, C and their replicates", *before)
    errors = {name: np.atleast_1d(found.error(name)) for name in NAMES}
    _took("with all errors", *before)

    print(f"{'number':17}{'known':>22}{'found':>22}{'largest error':>15}{'in 95 % interval':>18}")
    for name, error in errors.items():
        true, value = (np.atleast_1d(getattr(each, name)) for each in (known, found))
        inside = np.abs(value - true) <= error
        print(
            f"{name:17}{_span(true):>22}{_span(value):>22}{error.max():15.2g}"
            f"{f'{inside.sum()} of {len(inside)}':>18}"
        )


def _took(words: str, wall: float, cpu: float) -> None:
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    print(f"{words}: {wall:.0f} s, {cpu:.0f} s of processor time, {memory():.2f} GB", flush=True)


def _span(values: np.ndarray) -> str:
    if len(values) == 1:
        return f"{values[0]:.4g}"
    return f"{values.min():.4g} … {values.max():.4g}"


if __name__ == "__main__":
    tyro.cli(main)
