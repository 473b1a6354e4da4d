"""Everything Theorem 1 is about, at one family, one data law and one λ: θ*, α, L, ε, A, B, J,
bound (11), and S1–S3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from stability.analysis.at_maximum import EXACT, AnalysisOptions, AtMaximum
from stability.analysis.bounds import condition, contraction_bound, rate_bound, sharp_bound
from stability.analysis.by_quadrature import by_quadrature
from stability.analysis.by_sampling import by_sampling
from stability.analysis.hypotheses import require_interface
from stability.analysis.jacobian import (
    generalised_eigenvalues,
    jacobian,
    retraining_cost,
    spectral_radius,
    stationary_covariance,
)
from stability.analysis.lipschitz_search import Constant
from stability.analysis.local_table import as_html, as_text, local_table
from stability.analysis.spectra import spectral_error
from stability.analysis.torch_family import as_family
from stability.laws.bracket import Bracket, Condition
from stability.laws.capabilities import Discrete, HasStart
from stability.laws.family import Family
from stability.laws.law import Data, Density, Empirical, Law, Member, as_law, draw
from stability.laws.psd import sqrtm
from stability.loop.arguments import (
    is_array_like,
    numeric_array,
    require_methods,
    require_number,
    whole_number,
)
from stability.transport.w1_bracket import same_law

__all__ = ["LocalAnalysis", "analyse"]


@dataclass(frozen=True, kw_only=True)
class LocalAnalysis(AtMaximum):
    """Numbers that decide about retraining near θ* (P parameters); the rest follows.

    Attributes:
        lam: Synthetic points per real point.
        n: Real points, which scale V and the sandwich alone.
    """

    lam: float
    n: int

    def error(self, name: str) -> Any:
        """Error of a number: a 95 % interval is the number ± this.

        Args:
            name: A field or property with a number, a vector or a matrix, e.g. "rho".

        Returns:
            Half-width of the interval where expectations are means of draws, and the largest change
            within its errors where they are quadrature; of the number's own shape.
        """
        return self._errors.setdefault(name, self._error(name))

    @cached_property
    def _errors(self) -> dict[str, Any]:
        return {}

    def _error(self, name: str) -> Any:
        value = np.asarray(getattr(self, name), dtype=float)
        replicates = [
            replace(self, replicates=EXACT, **vars(each)) for each in self.replicates.moments
        ]
        if self.replicates.method == "jackknife":
            found = spectral_error(name, value, self, replicates)
            if found is not None:
                return found
        others = [np.asarray(getattr(each, name), dtype=float) for each in replicates]
        found = self.replicates.error(value, np.stack(others) if others else value)
        return float(found) if found.ndim == 0 else found

    @property
    def routes_agree(self) -> bool:
        """True if both ways to J give one matrix, up to noise, or if there is one way alone."""
        return not self.jacobian_gap > self.jacobian_allowed

    @property
    def alpha(self) -> float:
        """α = −λmax(A) > 0 (Assumption 2)."""
        return -float(np.linalg.eigvalsh(self.A)[-1])

    @property
    def J(self) -> np.ndarray:  # noqa: N802 - the paper's letter
        """Jacobian of G∞ at θ*, (P, P)."""
        return jacobian(self.A, self.B, self.lam)

    @property
    def mu(self) -> np.ndarray:
        """Generalised eigenvalues of (−B, −A), (P,), descending; those of J are λμ/(1+λμ) (S1)."""
        return generalised_eigenvalues(self.A, self.B)[0]

    @property
    def rho(self) -> float:
        """ρ(J), the asymptotic rate of convergence to θ*."""
        return spectral_radius(self.J)

    @property
    def norm(self) -> float:
        """‖J‖₂; depends on the coordinates, and may exceed ρ(J), even 1."""
        return float(np.linalg.norm(self.J, 2))

    @property
    def stable(self) -> bool:
        """True if ρ(J) < 1: retraining contracts near θ*."""
        return self.rho < 1

    def _between(self, increasing: Callable[[float, float, float, float], float]) -> Bracket:
        """A function of (λ, α, ε, L) that falls with α and grows with ε and L, at both ends."""
        L, alpha = self.lipschitz.bracket, self.alpha
        error = self.error("alpha")
        low = increasing(self.lam, alpha + error, self.eps.low, L.low)
        if not alpha > error:
            return Bracket(low, math.inf)
        return Bracket(low, max(low, increasing(self.lam, alpha - error, self.eps.high, L.high)))

    @property
    def k(self) -> Bracket:
        """k = Lε/α, what (79) leaves between A⁻¹B and I; inf where L or ε is."""
        return self._between(lambda lam, *constants: condition(1.0, *constants) - 1)

    @property
    def bound(self) -> Bracket:
        """Bound (11) on ‖J‖₂; inf where Theorem 1 says nothing."""
        return self._between(contraction_bound)

    @property
    def sharp_bound(self) -> Bracket:
        """The best bound on ‖J‖₂ from the same constants; inf where there is none."""
        return self._between(sharp_bound)

    @property
    def rate_bound(self) -> Bracket:
        """The bound on ρ(J) from the same constants, q/(1 + q) (S1)."""
        return self._between(rate_bound)

    @property
    def condition(self) -> Bracket:
        """λ(1 + Lε/α); Theorem 1 needs less than 1/2 (E4)."""
        return self._between(condition)

    @property
    def theorem1_condition(self) -> Condition:
        """State of Theorem 1's condition: met, not met, or undecided if ε or L leave it open."""
        return self.condition.below(0.5)

    @property
    def lam_limit_theorem(self) -> Bracket:
        """The λ below which Theorem 1 speaks: 1 / (2 (1 + Lε/α))."""
        one_plus = self.at(1.0).condition
        return Bracket(0.5 / one_plus.high, 0.5 / one_plus.low)

    @property
    def lam_limit(self) -> float:
        """The λ below which ρ(J) < 1: inf, whatever the family and the data, since μ >= 0 (S1)."""
        return math.inf

    @property
    def V(self) -> np.ndarray:  # noqa: N802 - the letter of S3
        """Stationary covariance of θ_t about the fit to the real data (S3), (P, P)."""
        return stationary_covariance(self.A, self.B, self.lam, self.n)

    @property
    def sandwich(self) -> np.ndarray:
        """A⁻¹CA⁻¹/n: covariance of the fit to the n real points about θ*, to first order, (P,
        P).
        """
        return np.linalg.solve(self.A, np.linalg.solve(self.A, self.C).T) / self.n

    @property
    def misspecification(self) -> np.ndarray:
        """Error of one fit to the real points over Cramér–Rao: spectrum of n F^½ S F^½, descending.

        S is `sandwich`. All are 1 where the model is well specified. (P,); a direction in which F
        is singular counts 0: its bound is infinite.
        """
        root = sqrtm(self.fisher)
        return np.linalg.eigvalsh(self.n * root @ self.sandwich @ root)[::-1]

    @property
    def retraining(self) -> np.ndarray:
        """Error with retraining over that of the fit to the real points: spectrum of S⁻¹(S + V).

        (P,), descending, all >= 1 (S3); (1+3λ)/(1+2λ) where the model is well specified.
        """
        return retraining_cost(self.sandwich, self.V)

    @property
    def retraining_ceiling(self) -> float:
        """Upper bound on `retraining` at every λ: 1 + ½ λmax(C⁻¹(−A)).

        V ≼ ½ (−A)⁻¹/n at any λ (S3). It is 3/2 where C = −A, as in a well-specified model, and may
        be larger or smaller elsewhere.
        """
        return float(retraining_cost(self.sandwich, -np.linalg.inv(self.A) / (2 * self.n))[0])

    @property
    def inflation(self) -> np.ndarray:
        """Total error over Cramér–Rao, misspecification and retraining together (S3).

        Spectrum of n F^½ (S + V) F^½, (P,), descending; all are (1+3λ)/(1+2λ) if A = B = −C. A
        direction in which F is singular counts 0: its bound is infinite.
        """
        root = sqrtm(self.fisher)
        return np.linalg.eigvalsh(self.n * root @ (self.sandwich + self.V) @ root)[::-1]

    @property
    def half_life(self) -> float:
        """Retrainings that halve a perturbation of θ*: log ½ / log ρ; 0 if ρ = 0."""
        return (
            math.log(0.5) / math.log(self.rho)
            if 0 < self.rho < 1
            else 0.0
            if self.rho == 0
            else math.inf
        )

    @property
    def fisher_gap(self) -> float:
        """‖B + E_p s sᵀ‖ / ‖B‖, Frobenius: 0 but for integration, if `log_prob` is a normalised
        regular family.
        """
        return float(
            np.linalg.norm(self.B + self.fisher) / max(np.linalg.norm(self.B), np.finfo(float).tiny)
        )

    def at(self, lam: float) -> "LocalAnalysis":
        """Analysis at another λ, of the same θ*, data and family, without new integrals.

        Args:
            lam: Synthetic points per real point, finite and >= 0.

        Returns:
            The analysis at that λ.

        Raises:
            ValueError: If `lam` is negative or not finite.
        """
        require_number(lam, "lam")
        if not (math.isfinite(lam) and lam >= 0):
            raise ValueError(f"lam must be finite and >= 0, got {lam}")
        return replace(self, lam=lam, jacobian_gap=math.nan, jacobian_check="nothing")

    def of(self, n: int) -> "LocalAnalysis":
        """Analysis for another number of real points.

        Args:
            n: Number of real points, >= 1.

        Returns:
            The analysis for n points.
        """
        return replace(self, n=whole_number(n, "n", 1))

    def to_dict(self) -> dict[str, Any]:
        """Fields and properties as plain values for JSON: matrices as lists, inf and nan as
        strings.
        """
        names = [each.name for each in fields(self) if each.name != "replicates"]
        names += [name for name, value in vars(type(self)).items() if isinstance(value, property)]
        return {name: _plain(getattr(self, name)) for name in names}

    def __rich__(self) -> Table:
        return local_table(self)

    def __str__(self) -> str:
        return as_text(local_table(self))

    def _repr_html_(self) -> str:
        return as_html(local_table(self))


def _plain(value: Any) -> Any:
    if isinstance(value, Constant | Bracket):
        return {name: _plain(item) for name, item in vars(value).items()}
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def analyse(
    family: Family,
    data: Data,
    lam: float,
    start: Tensor | None = None,
    *,
    n: int = 1,
    draws: int = 100_000,
    tol: float | None = None,
    seed: int = 0,
    bounds: bool = True,
) -> LocalAnalysis:
    """Find θ* and everything local about retraining on n real points and λn of one's own (Theorem
    1, S1–S3).

    In one and two dimensions expectations are quadrature; above, or where a law is a sampler, they
    are means of draws, and every number has a 95 % interval (`LocalAnalysis.error`).

    Args:
        family: `log_prob` and `sample` are enough, or a torch flow of zuko or normflows. If it has
            `lipschitz(theta)`, a record with value and reason, that is L; else L is searched for,
            which gives a lower bound. `start`, `support`, `atoms`, `in_domain` are used if there.
        data: Points (n, d), a density or a sampler; see `stability.laws.expectation`.
        lam: Synthetic points per real point, finite, >= 0.
        start: (P,) or (s, P), where the search for θ* begins; needed if the family has no `start`.
        n: Real points; scales V and the sandwich alone.
        draws: Draws of each law where expectations are means.
        tol: Of quadrature; see `rule`.
        seed: Of all draws, >= 0.
        bounds: Whether to look for L and ε, which the bounds need and nothing else does.

    Returns:
        The analysis.

    Raises:
        ValueError: For bad arguments, and for a family that is none (see `hypotheses`).
        NoMaximum: An ArithmeticError, if there is no θ* or A is not negative definite there.
    """
    family = as_family(family)
    require_methods(family, "family", "log_prob", "sample")
    require_number(lam, "lam")
    if not (math.isfinite(lam) and lam >= 0):
        raise ValueError(f"lam must be finite and >= 0, got {lam}")
    n, draws, seed = (
        whole_number(value, name, least)
        for value, name, least in ((n, "n", 1), (draws, "draws", 1), (seed, "seed", 0))
    )
    if start is not None:
        start = torch.as_tensor(numeric_array(start, "start"), dtype=torch.float64)
    law = as_law(numeric_array(data, "data").astype(float) if is_array_like(data) else data)
    points = _points(law, draws, seed)
    begin = _start(family, law, start)
    require_interface(family, begin.reshape(-1, begin.shape[-1])[0], points)

    options, known = AnalysisOptions(lam, draws, tol, seed, bounds), _is_own_law(law, family)
    if _by_quadrature(family, law, points.shape[1]):
        found = by_quadrature(family, law, begin, known, options)
    else:
        found = by_sampling(family, law, points, begin, known, options)
    return LocalAnalysis(lam=lam, n=n, **vars(found))


def _points(law: Law, draws: int, seed: int) -> Tensor:
    """The points that are the law of the data, or draws of it."""
    if isinstance(law, Empirical):
        return law.points
    return draw(law, draws, torch.Generator().manual_seed(seed))


def _by_quadrature(family: Family, law: Law, d: int) -> bool:
    """True if expectations under both laws are sums or integrals, and no means of draws."""
    if isinstance(family, Discrete) and family.atoms is not None:
        return not isinstance(law, Density) or d <= 2 or isinstance(law, Discrete)
    atoms = isinstance(law, Discrete) and law.atoms is not None
    return d <= 2 and (isinstance(law, Density | Empirical) or atoms)


def _is_own_law(law: Law, family: Family) -> TypeGuard[Member]:
    """True if the data are a member of the family by construction."""
    return isinstance(law, Member) and same_law(Member(family, law.theta), law)


def _start(family: Family, law: Law, start: Tensor | None) -> Tensor:
    if _is_own_law(law, family):
        return law.theta  # θ* itself, by Gibbs' inequality
    if start is not None:
        return start
    if not isinstance(family, HasStart):
        raise ValueError(
            f"start must be given, since {type(family).__name__} has no start(x), got None"
        )
    points = (
        law.points
        if isinstance(law, Empirical)
        else draw(law, 10_000, torch.Generator().manual_seed(0))
    )
    return torch.as_tensor(family.start(points), dtype=torch.float64)
