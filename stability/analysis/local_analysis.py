"""Everything Theorem 1 is about, at one family, one data law and one λ: θ*, α, L, ε, A, B, J,
bound (11), and S1–S3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from stability.analysis.bounds import condition, contraction_bound, rate_bound, sharp_bound
from stability.analysis.flat_directions import Section, flat_directions
from stability.analysis.hypotheses import (
    heavy_tails,
    require_exact_sampling,
    require_interface,
)
from stability.analysis.jacobian import (
    generalised_eigenvalues,
    jacobian,
    retraining_cost,
    spectral_radius,
    stationary_covariance,
)
from stability.analysis.lipschitz_search import Constant, lipschitz_constant, sampled_lipschitz
from stability.analysis.local_table import as_html, as_text, local_table
from stability.analysis.matrix_free import climb_matrix_free
from stability.analysis.operators import Maximum, NoMaximum, infinite_map, maximum_likelihood
from stability.analysis.replicates import Replicates, ScoreMoments, perturbed
from stability.analysis.sampled_moments import sampled_moments
from stability.analysis.torch_family import as_family
from stability.laws.bracket import Bracket, Condition
from stability.laws.capabilities import Discrete, HasStart
from stability.laws.expectation import Expectation, Rule, rule
from stability.laws.family import Family, hessians, mean_hessian, scores
from stability.laws.law import Data, Density, Empirical, Law, Member, as_law, draw
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

_EXACT = Replicates((), "exact")
_UNKNOWN = Bracket(0.0, math.inf, "not looked for")
_NONE = Constant(0.0, "not looked for", is_upper_bound=False)
_FEW = 60
"""Parameters up to which the search for θ* forms matrices at each step."""
_PARTS = 10
"""Parts of the draws from which the noise of the second route is estimated."""


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
        method: How A … fisher were found.
        integration_error: Largest error of an entry of A and B: of quadrature, or one standard
            error.
        jacobian_gap: Difference between J and what `jacobian_check` says, another way to it, in
            the entry where it is largest; nan if not looked at.
        jacobian_allowed: What integration and noise leave open of that difference.
        jacobian_check: The other way.
        replicates: The moments as they might have come out; see `error`.
        flat: (P', P' − P) directions along which p_θ does not change, orthonormal; A … fisher are
            on their complement.
        note: What else the reader must know, or "".
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
    jacobian_allowed: float
    jacobian_check: str
    replicates: Replicates = _EXACT
    flat: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    note: str = ""

    def error(self, name: str) -> Any:
        """What a number may be wrong by: a 95 % interval is the number ± this.

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
        replicas = [
            np.asarray(getattr(replace(self, replicates=_EXACT, **vars(each)), name), dtype=float)
            for each in self.replicates.moments
        ]
        found = self.replicates.error(value, np.stack(replicas) if replicas else value)
        return float(found) if found.ndim == 0 else found

    @property
    def routes_agree(self) -> bool:
        """Whether both ways to J give one matrix, up to noise; True if there is one way alone."""
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
        """Whether ρ(J) < 1: retraining contracts near θ*."""
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
    n, draws, seed = whole_number(n, "n", 1), whole_number(draws, "draws", 1), _seed(seed)
    if start is not None:
        start = torch.as_tensor(numeric_array(start, "start"), dtype=torch.float64)
    law = as_law(numeric_array(data, "data").astype(float) if is_array_like(data) else data)
    points = _points(law, draws, seed)
    begin = _start(family, law, start)
    require_interface(family, begin.reshape(-1, begin.shape[-1])[0], points)

    settings = _Settings(lam, n, draws, tol, seed, bounds)
    if _by_quadrature(family, law, points.shape[1]):
        return _quadrature(family, law, begin, settings)
    return _sampled(family, law, points, begin, settings)


class _Settings(NamedTuple):
    """The arguments of `analyse` but for the family and the data."""

    lam: float
    n: int
    draws: int
    tol: float | None
    seed: int
    bounds: bool

    def eps(self, model: Law, law: Law) -> Bracket:
        return w1_bracket(model, law, seed=self.seed) if self.bounds else _UNKNOWN


def _seed(seed: int) -> int:
    return whole_number(seed, "seed", 0)


def _points(law: Law, draws: int, seed: int) -> Tensor:
    """The points that are the law of the data, or draws of it."""
    if isinstance(law, Empirical):
        return law.points
    return draw(law, draws, torch.Generator().manual_seed(seed))


def _by_quadrature(family: Family, law: Law, d: int) -> bool:
    """Whether expectations under both laws are sums or integrals, and no means of draws."""
    if isinstance(family, Discrete) and family.atoms is not None:
        return not isinstance(law, Density) or d <= 2 or isinstance(law, Discrete)
    atoms = isinstance(law, Discrete) and law.atoms is not None
    return d <= 2 and (isinstance(law, Density | Empirical) or atoms)


def _quadrature(family: Family, law: Law, start: Tensor, settings: _Settings) -> LocalAnalysis:
    """By sums and integrals."""
    lam, n, draws, tol, seed, bounds = settings
    theta = start
    if not _is_own_law(law, family):
        theta = maximum_likelihood(family, law, start, draws=draws, tol=tol).theta
    model = Member(family, theta)
    require_exact_sampling(family, theta, seed)

    def functions(x: Tensor) -> Tensor:
        score = scores(family, theta, x)
        outer = score[:, :, None] * score[:, None]
        return torch.cat([hessians(family, theta, x).flatten(1), outer.flatten(1)], 1)

    rules = [rule(each, functions, draws=draws, tol=tol) for each in (law, model)]
    (A, C, gradient), (B, fisher, _) = (_expected(family, theta, each) for each in rules)
    moments = ScoreMoments(theta.numpy(), *(_value(each) for each in (A, B, C, fisher)))
    by_theta = np.abs(np.linalg.pinv(moments.A)) @ gradient.error.numpy()
    errors = ScoreMoments(by_theta, *(each.error.numpy() for each in (A, B, C, fisher)))
    _require_concave(moments.A, theta)

    check, J = "nothing: it is 0 at λ = 0", jacobian(moments.A, moments.B, lam)
    other = J
    if lam:
        check = "finite differences of G∞"
        other = _differences(infinite_map(family, law, lam, tol=tol), theta, moments.A)
    worst = max(float(errors.A.max()), float(errors.B.max()))
    return LocalAnalysis(
        lam=lam,
        n=n,
        **vars(moments),
        lipschitz=lipschitz_constant(family, theta, rules[1], rules[0], seed) if bounds else _NONE,
        eps=settings.eps(model, law),
        method=f"{rules[0].method} under the data, {rules[1].method} under the model",
        integration_error=worst,
        jacobian_gap=float(np.abs(J - other).max()),
        jacobian_allowed=1e-4 * (1 + float(np.abs(J).max())) + _slack(moments, worst, lam),
        jacobian_check=check,
        replicates=perturbed(moments, errors, seed),
    )


def _value(expectation: Expectation) -> np.ndarray:
    return expectation.value.numpy()


def _expected(
    family: Family, theta: Tensor, law_rule: Rule
) -> tuple[Expectation, Expectation, Expectation]:
    """E ∇² log p, E s sᵀ and E s under a rule."""
    score = scores(family, theta, law_rule.points)
    outer = law_rule.expect(score[:, :, None] * score[:, None])
    return (
        law_rule.expect(hessians(family, theta, law_rule.points)),
        outer,
        law_rule.expect(score),
    )


def _sampled(
    family: Family, law: Law, points: Tensor, start: Tensor, settings: _Settings
) -> LocalAnalysis:
    """By means of draws; directions along which p_θ does not change are left out."""
    lam, n, draws, _, seed, bounds = settings
    known = _is_own_law(law, family)
    theta = start if known else _sampled_maximum(family, points, start)
    require_exact_sampling(family, theta, seed)
    flat = flat_directions(family, theta, points, seed)
    within = Section(family, theta, flat)
    at = theta.new_zeros(len(theta) - flat.shape[1])

    exact = isinstance(law, Empirical)
    moments, replicates = sampled_moments(within, at, points, exact, known, draws, seed)
    _require_concave(moments.A, theta)
    replicates = replace(replicates, moments=tuple(map(within.lifted, replicates.moments)))
    gap, allowed = _second_route(within, at, moments, replicates, lam, draws, seed)
    model = Member(family, theta)
    A_error = replicates.error(moments.A, np.stack([each.A for each in replicates.moments]))
    B_error = replicates.error(moments.B, np.stack([each.B for each in replicates.moments]))
    return LocalAnalysis(
        lam=lam,
        n=n,
        **vars(within.lifted(moments)),
        lipschitz=sampled_lipschitz(within, at, model, points, seed) if bounds else _NONE,
        eps=settings.eps(model, law),
        method=f"{'exact' if exact else 'monte carlo'} under the data, monte carlo under the model",
        integration_error=float(max(A_error.max(), B_error.max())) / 2,
        jacobian_gap=gap,
        jacobian_allowed=allowed,
        jacobian_check="λ(A + λ E ∇² log p)⁻¹ E ∇² log p",
        replicates=replicates,
        flat=flat.numpy(),
        note=heavy_tails(scores(family, theta, points[:20_000])),
    )


def _sampled_maximum(family: Family, points: Tensor, start: Tensor) -> Tensor:
    """θ* on points: with matrices for few parameters, without for many or redundant ones."""
    starts = start.reshape(-1, start.shape[-1])
    if starts.shape[1] <= _FEW:
        redundant = flat_directions(family, starts[0], points)
        if not redundant.shape[1]:
            return maximum_likelihood(family, points, start).theta
    weights = torch.full((len(points),), 1 / len(points), dtype=torch.float64)
    try:
        found = [climb_matrix_free(family, points, weights, each) for each in starts]
    except ArithmeticError as error:
        raise NoMaximum(str(error)) from error
    return max(found, key=lambda theta: float(weights @ family.log_prob(theta, points)))


def _second_route(
    family: Family,
    theta: Tensor,
    moments: ScoreMoments,
    replicates: Replicates,
    lam: float,
    draws: int,
    seed: int,
) -> tuple[float, float]:
    """Largest difference of J from that by the Hessian under the model, and what noise allows."""
    if not lam or len(theta) > _FEW:
        return math.nan, math.nan
    model = draw(
        Member(family, theta), draws // 4 + _PARTS, torch.Generator().manual_seed(seed + 3)
    )
    others = np.stack(
        [
            jacobian(moments.A, mean_hessian(family, theta, part).numpy(), lam)
            for part in model.tensor_split(_PARTS)
        ]
    )
    J = jacobian(moments.A, moments.B, lam)
    own = replicates.error(J, np.stack([jacobian(m.A, m.B, lam) for m in replicates.moments]))
    noise = 8.0 * others.std(axis=0, ddof=1) / math.sqrt(_PARTS) + 3 * own
    gaps = np.abs(others.mean(axis=0) - J)
    worst = np.unravel_index(np.argmax(gaps / (noise + 1e-300)), gaps.shape)
    return float(gaps[worst]), float(noise[worst])


def _slack(moments: ScoreMoments, error: float, lam: float) -> float:
    """What integration errors of A and B leave open of J, in spectral norm, to first order."""
    inverse = float(np.linalg.norm(np.linalg.inv(moments.A + lam * moments.B), 2))
    return len(moments.A) * error * inverse * (1 + 2 * lam)


def _require_concave(A: np.ndarray, theta: Tensor) -> None:
    alpha = float(-np.linalg.eigvalsh(A)[-1])
    if not alpha > 0:
        raise NoMaximum(f"not strongly concave: alpha = {alpha:.3g} at theta = {theta.tolist()}")


def _is_own_law(law: Law, family: Family) -> TypeGuard[Member]:
    """Whether the data are a member of the family by construction."""
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
