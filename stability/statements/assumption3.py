"""Assumption 3: how far a retraining on finitely many points falls from one on infinitely many,
with its constants.

For each n and each δ in (0, 1), with probability 1 − δ over the real points and the synthetic
latents,

    ‖G^n(θ) − G^∞(θ)‖ ≤ ε_OPT + a/√n · √log(b/δ)    for all θ in U, a ball about θ*.    (13), as it
    must be read: E6

`KnownVarianceGaussian` has a and b in closed form, for U the whole space. `Fitted` measures them
for any family.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ncx2
from torch import Tensor

from stability.analysis.at_maximum import require_no_flat_directions
from stability.analysis.likelihood_learner import LikelihoodLearner
from stability.analysis.local_analysis import analyse
from stability.analysis.operators import Maximum, NoMaximum, infinite_map
from stability.gaussian.mean import paths
from stability.laws.bracket import Bracket
from stability.laws.family import Family
from stability.laws.law import Law, draw
from stability.loop.regimes import Mix, TrainingSet, synthetic_count
from stability.loop.retraining import retrain
from stability.loop.whole_counts import require_whole
from stability.statements.stationary_error import excess_covariance, mixed

__all__ = ["Constants", "Fitted", "KnownVarianceGaussian", "Loop", "radius_of"]

_MARGIN, _TRIES, _DIRECTIONS = 1.2, 6, 16
"""Search for a radius of U: margin over what is needed, tries, and directions to look for ρ in."""
_MARGIN_OF_RHO = 1.05
"""Margin of ρ where it is the largest in some directions at random."""


@dataclass(frozen=True)
class Constants:
    """a > 0 and ε_OPT >= 0 in units of θ, b >= 1."""

    a: float
    b: float
    eps_opt: float = 0.0

    def step(self, n: int, delta: float) -> float:
        """The right-hand side of (13): with probability 1 − δ one retraining is off by at most
        this.

        Args:
            n: Real points, >= 1.
            delta: δ in (0, 1].

        Returns:
            ε_OPT + a/√n · √log(b/δ), in the units of θ.
        """
        return self.eps_opt + self.a / math.sqrt(n) * math.sqrt(math.log(self.b / delta))

    def allowance(self, n: int, t: int, delta: float) -> float:
        """Bound on the error of each of t retrainings that holds for all at once with probability 1
        − δ: (13) at the level δ/t, by a union bound.

        Args:
            n: Real points.
            t: Retrainings, >= 1.
            delta: In (0, 1].

        Returns:
            The bound, in the units of θ.
        """
        return self.step(n, delta / t)


@dataclass(frozen=True)
class Loop:
    """Algorithm 1 near θ*, many times over, with what Theorem 2 asks to know of it.

    P parameters, R chains.

    Attributes:
        errors: (t + 1, R, P) θ_s − θ* of generations s = 0 … t; each chain has its own n real
            points, kept fixed.
        constants: Of (13) on U.
        radius: Of U, possibly inf.
        rho: Sup of ‖G^∞(θ) − θ*‖/‖θ − θ*‖ on U, as far as seen.
        condition: λ(1 + Lε/α), which Theorem 1 wants below 1/2.
        covariance: (P, P) of θ_t about θ*, to first order in 1/n (S3).
        steps: (k, R) ‖G^n(θ) − G^∞(θ)‖, the largest over the θ that `seen` names; a row a round,
            independent along rows.
        at_star: (R,) the same at θ* alone, of the first round.
        residuals: (R,) G^n(θ*) − G^∞(θ*) along the direction in which it scatters most.
        pull: The largest ‖G^∞(θ) − θ*‖/‖θ − θ*‖ at other points of U than `rho` was found at.
    """

    name: str
    errors: NDArray[np.float64]
    constants: Constants
    radius: float
    rho: float
    condition: float | Bracket
    covariance: NDArray[np.float64]
    steps: NDArray[np.float64]
    at_star: NDArray[np.float64]
    residuals: NDArray[np.float64]
    pull: float
    seen: str

    def least_a(self, n: int) -> float:
        """The least a with which fewer than a share δ of the first row break (13), for δ = 1/R, 2/R
        … 1.

        b and ε_OPT as in `constants`, whose a it may be compared with: that one has to do for δ
        below 1/R as well.

        Args:
            n: Real points, >= 1.

        Returns:
            a, in the units of θ times √n.
        """
        farthest = np.sort(self.steps[0])[::-1]
        delta = np.arange(1, len(farthest) + 1) / len(farthest)
        excess = math.sqrt(n) * (farthest - self.constants.eps_opt)
        return float((excess / np.sqrt(np.log(self.constants.b / delta))).max())


@dataclass(frozen=True)
class KnownVarianceGaussian:
    """N(μ, τ²I) in d dimensions, τ known, fitted to draws of N(μ*, τ²I), each fit off by `eps_opt`
    along the first axis.  d >= 1, tau > 0, eps_opt >= 0, all finite, else ValueError.

    G^∞(μ) = (μ* + λμ)/(1 + λ), and the residual r = G^n(μ) − G^∞(μ) = (x̄ − μ* + λz̄)/(1 + λ), x̄
    the mean of the real points and z̄ that of the latents, depends on neither μ nor the radius of
    U: r ~ N(0, τ²/(n(1 + λ)) I).
    """

    d: int = 1
    tau: float = 1.0
    eps_opt: float = 0.0

    def __post_init__(self) -> None:
        if self.d != int(self.d) or self.d < 1 or not (math.isfinite(self.tau) and self.tau > 0):
            raise ValueError(
                f"d must be a whole number >= 1 and tau finite and > 0, got {self.d} and {self.tau}"
            )
        if not (math.isfinite(self.eps_opt) and self.eps_opt >= 0):
            raise ValueError(f"eps_opt must be finite and >= 0, got {self.eps_opt}")

    def constants(self, lam: float) -> Constants:
        """a = 2τ/√(1 + λ), b = 2^{d/2}: E e^{χ²_d/4} = 2^{d/2} and Markov's inequality.

        Args:
            lam: Synthetic points per real point, >= 0.

        Returns:
            The constants of (13), with this family's ε_OPT.
        """
        return Constants(2 * self.tau / math.sqrt(1 + lam), 2 ** (self.d / 2), self.eps_opt)

    def exceedance(self, n: int, lam: float, distance: float) -> float:
        """P(‖G^n(μ) − G^∞(μ)‖ > distance), exactly.

        Args:
            n: Real points, >= 1.
            lam: Synthetic points per real point, >= 0.
            distance: In the units of μ, >= 0.

        Returns:
            The probability, in [0, 1].
        """
        unit = n * (1 + lam) / self.tau**2
        return float(ncx2.sf(unit * distance**2, self.d, unit * self.eps_opt**2))

    def run(self, n: int, lam: float, t: int, chains: int, rng: np.random.Generator) -> Loop:
        """Run Algorithm 1 `chains` times.

        Args:
            n: Real points, >= 1, with λn whole.
            lam: Synthetic points per real point, >= 0.
            t: Retrainings, >= 1.
            chains: Independent runs.
            rng: Source of all draws.

        Returns:
            The errors and steps of all runs, with the constants of (13).

        Raises:
            ValueError: If λn is not whole.
        """
        flat = self.tau * paths(Mix(lam), n, t, chains * self.d, rng)
        errors = flat.reshape(t + 1, chains, self.d)
        rho = lam / (1 + lam)
        residuals = errors[1:] - rho * errors[:-1]
        shift = self.eps_opt * np.eye(self.d)[0]
        # the loop is linear: each fit's shift is carried on at the rate ρ
        carried = np.array([(1 - rho**s) / (1 - rho) for s in range(t + 1)])
        errors = errors + carried[:, None, None] * shift
        steps = np.linalg.norm(residuals + shift, axis=2)
        off = f", fits off by {self.eps_opt:g}" if self.eps_opt else ""
        return Loop(
            name=f"Gaussian mean, d = {self.d}, τ = {self.tau:g}{off}",
            errors=errors,
            constants=self.constants(lam),
            radius=math.inf,
            rho=rho,
            condition=lam,
            covariance=self.tau**2 / n * mixed(lam, t) * np.eye(self.d),
            steps=steps,
            at_star=steps[0],
            residuals=residuals[0, :, 0],
            pull=rho,
            seen="all of U",
        )


@dataclass(frozen=True)
class Fitted:
    """Any family, fitted to draws of a law.

    a and b are those of the normal law that n times the residual's covariance tends to, n Cov
    G^n(θ*) → K(C + λF)K: the residual is ‖·‖² ≤ λmax χ²_P, so a = 2√λmax and b = 2^{P/2} as for the
    Gaussian mean. What happens at finite n, and elsewhere in U, is measured: at θ* and at the
    distance `radius` to both sides along each axis, from the same draws.

    Attributes:
        family: As for `analyse` and `LikelihoodLearner`.
        data: A law with a density in 1-D or 2-D, or points, lest G^∞ be found by Monte Carlo; the
            real points of a chain are draws of it.
        radius: Of the ball U about θ*, > 0 and finite, else ValueError; see `radius_of`.
        start: (P,) where the search for θ* begins; needed if the family has no `start`.
        steps: As for `LikelihoodLearner`: a learner that stops early.
        directions: In which ρ is looked for besides the axes, at random; then with a margin of 5 %.
    """

    family: Family
    data: Law
    radius: float
    start: Tensor | None = None
    steps: int | None = None
    directions: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"radius must be finite and > 0, got {self.radius}")

    def run(self, n: int, lam: float, t: int, chains: int, rng: np.random.Generator) -> Loop:
        """Run Algorithm 1 `chains` times.

        Args:
            n: Real points, >= 1, with λn whole.
            lam: Synthetic points per real point, >= 0.
            t: Retrainings, >= 1.
            chains: Independent runs.
            rng: Source of all draws.

        Returns:
            The errors and steps of all runs, with the constants of (13).

        Raises:
            ValueError: If λn is not whole.
        """
        require_whole(lam, n)
        local = analyse(self.family, self.data, lam, self.start, n=n)
        require_no_flat_directions(local)
        centre = torch.tensor(local.theta)
        K = np.linalg.inv(local.A + lam * local.B)
        values, vectors = np.linalg.eigh(K @ (local.C + lam * local.fisher) @ K)
        G = infinite_map(self.family, self.data, lam)
        grid = torch.cat([centre[None], centre + _edge(self.radius, len(centre))])  # (J, P)
        images = torch.stack([G(theta).theta for theta in grid])
        residuals, eps_opt = self._residuals(grid, images, n, lam, chains, rng)
        steps = residuals.norm(dim=2)
        rho = max(local.norm, _pull(images[1:], grid[1:], centre))
        between = centre + _between(self.radius, len(centre))
        if self.directions:
            rho = _MARGIN_OF_RHO * max(
                rho, _steepest(G, centre, _around(self.radius, len(centre), self.directions, rng))
            )
            between = centre + _around(self.radius, len(centre), self.directions, rng)

        pulled = torch.stack([G(theta).theta for theta in between])
        return Loop(
            name=type(self.family).__name__,
            errors=self._paths(centre, n, lam, t, chains, rng),
            constants=Constants(
                a=2 * math.sqrt(values[-1]), b=2 ** (len(centre) / 2), eps_opt=eps_opt
            ),
            radius=self.radius,
            rho=rho,
            condition=local.condition,
            covariance=local.sandwich + excess_covariance(local.A, local.B, lam, n, t),
            steps=steps.amax(1)[None].numpy(),
            at_star=steps[:, 0].numpy(),
            residuals=residuals[:, 0].numpy() @ vectors[:, -1],
            pull=_pull(pulled, between, centre),
            seen=f"θ* and {len(grid) - 1} points at the edge of U",
        )

    def _real(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return draw(self.data, n, torch.Generator().manual_seed(int(rng.integers(2**63)))).numpy()

    def _paths(
        self, centre: Tensor, n: int, lam: float, t: int, chains: int, rng: np.random.Generator
    ) -> np.ndarray:
        learner = LikelihoodLearner(self.family, centre.expand(chains, -1), self.steps)
        real = [self._real(n, rng) for _ in range(chains)]
        seed = int(rng.integers(2**62))
        generations = retrain(learner, real, [Mix(lam)] * chains, t, seed=seed)
        return np.array([(learner.theta - centre).numpy() for _ in generations])

    def _residuals(
        self,
        grid: Tensor,
        images: Tensor,
        n: int,
        lam: float,
        chains: int,
        rng: np.random.Generator,
    ) -> tuple[Tensor, float]:
        """G^n − G^∞ at each point of `grid` (J, P) for each chain, (R, J, P), and ε_OPT: how far
        a fit that goes on to the maximum moves a first.
        """
        # chain by chain, (R J, P)
        learner = LikelihoodLearner(self.family, grid.repeat(chains, 1), self.steps)
        m = synthetic_count(lam, n)
        real = [self._real(n, rng) for _ in range(chains)]
        # equal latents for all points of the grid
        seeds = rng.integers(2**62, size=chains).repeat(len(grid))
        streams = [np.random.default_rng(seed) for seed in seeds]
        synthetic = learner.sample([m] * learner.chains, streams)
        training = [
            TrainingSet(np.concatenate([real[i // len(grid)], points]), real=n)
            for i, points in enumerate(synthetic)
        ]
        learner.fit(training, streams)
        first = learner.theta
        exact = LikelihoodLearner(self.family, first)
        exact.fit(training, streams)
        residuals = first.reshape(chains, *images.shape) - images
        return residuals, float((exact.theta - first).norm(dim=1).max())


def radius_of(
    family: Family,
    data: Law,
    n: int,
    lam: float,
    t: int,
    delta: float,
    start: Tensor | None = None,
    eps_opt: float = 0.0,
) -> float:
    """Look for a radius of U that Theorem 2 can do with: c/(1 − ρ), ρ measured on U itself (E7).

    Args:
        family: As for `Fitted`.
        data: As for `Fitted`.
        n: Real points.
        lam: Synthetic points per real point, > 0.
        t: Retrainings.
        delta: In (0, 1).
        start: Initial θ of the search for θ*, (P,); needed if the family has no `start`.
        eps_opt: Of the learner.

    Returns:
        The radius; where ρ grows too fast with it for any to do, the last that was tried.
    """
    local = analyse(family, data, lam, start, n=n, bounds=False)
    require_no_flat_directions(local)
    centre, P = torch.tensor(local.theta), len(local.theta)
    K = np.linalg.inv(local.A + lam * local.B)
    scatter = np.linalg.eigvalsh(K @ (local.C + lam * local.fisher) @ K)[-1]
    c = Constants(2 * math.sqrt(scatter), 2 ** (P / 2), eps_opt).allowance(n, t, delta)
    G = infinite_map(family, data, lam)
    rng = np.random.default_rng(0)
    radius = _MARGIN * c / (1 - local.norm) if local.norm < 1 else c
    for _ in range(_TRIES):
        around = torch.cat([_edge(radius, P), _around(radius, P, _DIRECTIONS, rng)])
        try:
            rho = _MARGIN_OF_RHO * max(local.norm, _steepest(G, centre, around))
        except (NoMaximum, ValueError):  # beyond the domain, or the basin
            return radius / 2
        if rho >= 1 or c / (1 - rho) <= radius:
            return radius
        radius = _MARGIN * c / (1 - rho)
    return radius


def _edge(radius: float, P: int) -> Tensor:
    """Both ends of each axis of a ball, (2P, P)."""
    axes = radius * torch.eye(P, dtype=torch.float64)
    return torch.cat([axes, -axes])


def _between(radius: float, P: int) -> Tensor:
    """Points of a ball in other directions: along diagonals, at the edge and half way, (4P, P); on
    a line, half way alone, (2, 1).
    """
    edge = _edge(radius, P)
    if P == 1:
        return edge / 2
    diagonal = edge + edge.roll(1, dims=0)
    diagonal = radius * diagonal / diagonal.norm(dim=1, keepdim=True)
    return torch.cat([diagonal, diagonal / 2])


def _around(radius: float, P: int, count: int, rng: np.random.Generator) -> Tensor:
    """Points on a sphere, uniformly, (count, P)."""
    normal = torch.from_numpy(rng.standard_normal((count, P)))
    return radius * normal / normal.norm(dim=1, keepdim=True)


def _steepest(G: Callable[[Tensor], Maximum], centre: Tensor, offsets: Tensor) -> float:
    """`_pull` at centre + offsets (J, P)."""
    points = centre + offsets
    return _pull(torch.stack([G(at).theta for at in points]), points, centre)


def _pull(images: Tensor, points: Tensor, centre: Tensor) -> float:
    """The largest ‖G^∞(θ) − θ*‖/‖θ − θ*‖ at some points (J, P)."""
    return float(((images - centre).norm(dim=1) / (points - centre).norm(dim=1)).max())
