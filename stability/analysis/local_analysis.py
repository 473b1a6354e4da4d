"""Everything Theorem 1 is about, at one family, one data law and one λ: θ*, α, L, ε, A, B, J,
bound (11), and S1–S3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from stability.analysis.bounds import condition, contraction_bound, rate_bound, sharp_bound
from stability.analysis.jacobian import (
    generalised_eigenvalues,
    jacobian,
    retraining_cost,
    spectral_radius,
    stationary_covariance,
)
from stability.analysis.lipschitz_search import Constant, lipschitz_constant
from stability.analysis.local_table import local_table
from stability.analysis.operators import Maximum, NoMaximum, infinite_map, maximum_likelihood
from stability.laws.bracket import Bracket, Condition
from stability.laws.capabilities import HasStart
from stability.laws.expectation import Rule, rule
from stability.laws.family import Family, hessians, scores
from stability.laws.law import Data, Empirical, Law, Member, as_law, draw
from stability.laws.psd import sqrtm
from stability.loop.arguments import (
    is_array_like,
    numeric_array,
    require_methods,
    require_number,
    whole_number,
)
from stability.transport.w1_bracket import same_law, w1_bracket

__all__ = ["LocalAnalysis", "analyse"]


@dataclass(frozen=True)
class LocalAnalysis:
    """What decides about retraining near θ* (P parameters), for λ = `lam` and n = `n` real points;
    the rest follows.

    Attributes:
        theta: (P,) θ* of eq. (7).
        lipschitz: L (Assumption 1).
        A: (P, P) E_data ∇² log p, E_p ∇² log p, and E_data s sᵀ, at θ* (s the score).
        B: See `A`.
        C: See `A`.
        fisher: (P, P) E_p s sᵀ, which must be −B, and is found without second derivatives.
        eps: ε = W1(p_θ*, p_data) (eq. (8)), in units of x, between two bounds; see `w1_bracket`.
        method: How A … fisher were found, and integration_error: of A and B, the largest entry (see
            `Estimate`).
        jacobian_gap: Largest difference between J and what `jacobian_check` says, another way to
            it; nan if not looked at.
    """

    lam: float
    n: int
    theta: np.ndarray
    lipschitz: Constant
    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    fisher: np.ndarray
    eps: Bracket
    method: str
    integration_error: float
    jacobian_gap: float
    jacobian_check: str

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
        """Whether ρ(J) < 1: retraining contracts near θ*."""
        return self.rho < 1

    def _between(self, increasing: Callable[[float, float, float, float], float]) -> Bracket:
        """A function of (λ, α, ε, L) that falls with α and grows with ε and L, at both ends."""
        L = self.lipschitz.bracket
        low = increasing(self.lam, self.alpha, self.eps.low, L.low)
        return Bracket(low, max(low, increasing(self.lam, self.alpha, self.eps.high, L.high)))

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
        """Whether the condition of Theorem 1 is met; undecided if ε or L leave it open."""
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
        """What `retraining` stays below at every λ: 1 + ½ λmax(C⁻¹(−A)).

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
        """The same θ*, data and family at another λ, without new integrals."""
        require_number(lam, "lam")
        if not (math.isfinite(lam) and lam >= 0):
            raise ValueError(f"lam must be finite and >= 0, got {lam}")
        return replace(self, lam=lam, jacobian_gap=math.nan, jacobian_check="nothing")

    def to_dict(self) -> dict[str, Any]:
        """Fields and properties as plain values for JSON: matrices as lists, inf and nan as
        strings.
        """
        names = [field.name for field in fields(self)]
        names += [name for name, value in vars(type(self)).items() if isinstance(value, property)]
        return {name: _plain(getattr(self, name)) for name in names}

    def __rich__(self) -> Table:
        return local_table(self)


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
) -> LocalAnalysis:
    """Find θ* and everything local about retraining on n real points and λn of one's own (Theorem
    1, S1–S3).

    Args:
        family: `log_prob` and `sample` are enough. If it has `lipschitz(theta)`, a record with
            value and reason, that is L; else L is searched for, which gives a lower bound. `start`,
            `support`, `atoms`, `in_domain` are used if there.
        data: See `stability.laws.expectation`.
        lam: Finite, >= 0. start (P,) or (s, P): where the search for θ* begins; needed if the
            family has no `start`. n: scales V and sandwich alone.
        draws: Of Monte Carlo (above 2-D, or a sampler), and of quadrature. All randomness is seeded
            with 0.
        tol: See `draws`.

    Raises:
        ValueError: For bad arguments; NoMaximum (an ArithmeticError) if there is no θ* or A is not
            negative definite there.
    """
    require_methods(family, "family", "log_prob", "sample")
    require_number(lam, "lam")
    if not (math.isfinite(lam) and lam >= 0):
        raise ValueError(f"lam must be finite and >= 0, got {lam}")
    n, draws = whole_number(n, "n", 1), whole_number(draws, "draws", 1)
    if start is not None:
        start = torch.as_tensor(numeric_array(start, "start"), dtype=torch.float64)
    law = as_law(numeric_array(data, "data").astype(float) if is_array_like(data) else data)
    theta = _maximiser(family, law, start, draws, tol)
    model = Member(family, theta)

    def moments(law_rule: Rule) -> tuple[np.ndarray, np.ndarray, float]:
        hessian_mean = law_rule.expect(hessians(family, theta, law_rule.points))
        score = scores(family, theta, law_rule.points)
        outer = law_rule.expect(score[:, :, None] * score[:, None])
        return hessian_mean.value.numpy(), outer.value.numpy(), float(hessian_mean.error.max())

    def functions(x: Tensor) -> Tensor:
        score = scores(family, theta, x)
        outer = score[:, :, None] * score[:, None]
        return torch.cat([hessians(family, theta, x).flatten(1), outer.flatten(1)], 1)

    data_rule = rule(law, functions, draws=draws, tol=tol)
    model_rule = rule(model, functions, draws=draws, tol=tol)
    if data_rule.points.shape[1] != model_rule.points.shape[1]:
        dimensions = data_rule.points.shape[1], model_rule.points.shape[1]
        raise ValueError(
            f"data and family must have one dimension, got {dimensions[0]} and {dimensions[1]}"
        )
    A, C, error_A = moments(data_rule)
    B, fisher, error_B = moments(model_rule)
    alpha = float(-np.linalg.eigvalsh(A)[-1])
    if not alpha > 0:
        raise NoMaximum(f"not strongly concave: alpha = {alpha:.3g} at theta = {theta.tolist()}")
    J, sampled = jacobian(A, B, lam), "monte carlo" in (data_rule.method, model_rule.method)
    if not lam:
        check, other = "nothing: it is 0 at λ = 0", J
    elif sampled:
        check, other = "λ(A − λ E s sᵀ)⁻¹(−E s sᵀ)", jacobian(A, -fisher, lam)
    else:
        check, other = (
            "finite differences of G∞",
            _differences(infinite_map(family, law, lam, tol=tol), theta, A),
        )
    return LocalAnalysis(
        lam=lam,
        n=n,
        theta=theta.numpy(),
        lipschitz=lipschitz_constant(family, theta, model_rule, data_rule),
        A=A,
        B=B,
        C=C,
        fisher=fisher,
        eps=w1_bracket(model, law),
        method=f"{data_rule.method} under the data, {model_rule.method} under the model",
        integration_error=max(error_A, error_B),
        jacobian_gap=float(np.abs(J - other).max()),
        jacobian_check=check,
    )


def _maximiser(
    family: Family, law: Law, start: Tensor | None, draws: int, tol: float | None
) -> Tensor:
    """θ* (P,); of data that are the member θ of the family it is θ itself, by Gibbs' inequality."""
    if isinstance(law, Member) and same_law(Member(family, law.theta), law):
        return torch.as_tensor(law.theta, dtype=torch.float64)
    return maximum_likelihood(family, law, _start(family, law, start), draws=draws, tol=tol).theta


def _start(family: Family, law: Law, start: Tensor | None) -> Tensor:
    if start is not None:
        return torch.as_tensor(start, dtype=torch.float64)
    if not isinstance(family, HasStart):
        raise ValueError(
            f"start must be given, since {type(family).__name__} has no start(x), got None"
        )
    points = (
        law.points
        if isinstance(law, Empirical)
        else draw(law, 10_000, torch.Generator().manual_seed(0))
    )
    return family.start(points)


def _differences(G: Callable[[Tensor], Maximum], theta: Tensor, A: np.ndarray) -> np.ndarray:
    """The Jacobian of G at θ by central differences, with steps of 1/1000 of the standard error
    of one observation.
    """
    columns = []
    for k, size in enumerate(1e-3 / np.sqrt(-np.diag(A))):
        step = torch.zeros_like(theta)
        step[k] = size
        columns.append(((G(theta + step).theta - G(theta - step).theta) / (2 * size)).numpy())
    return np.stack(columns, 1)
