"""Everything Theorem 1 is about, at one family, one data law and one λ: θ*, α, L, ε, A, B, J,
bound (11), and S1–S3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import scipy.linalg
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor
from torch.func import jacfwd, vmap

from stability.analysis.operators import Maximum, NoMaximum, infinite_map, maximum_likelihood
from stability.laws.capabilities import HasLipschitz, HasStart
from stability.laws.expectation import Data, Empirical, Law, Member, Rule, as_law, draw, rule
from stability.laws.family import Family, hessians, scores
from stability.laws.psd import sqrtm
from stability.loop.arguments import (
    is_array_like,
    numeric_array,
    require_methods,
    require_number,
    whole_number,
)
from stability.transport.wasserstein import wasserstein
from stability.transport.wasserstein_1d import w1

__all__ = [
    "Constant",
    "LocalAnalysis",
    "analyse",
    "contraction_bound",
    "generalised_eigenvalues",
    "jacobian",
    "lipschitz_search",
    "spectral_radius",
    "stationary_covariance",
]

_DISTANCE_DRAWS = 1000
_FLOOR_PAIRS = 4  # of as many draws each


def contraction_bound(lam: float, alpha: float, eps: float, lipschitz: float) -> float:
    """Upper bound on ‖J‖₂, J the Jacobian of G∞ at θ* (Theorem 1, eq. (11)).

    Returns inf where λ(1 + Lε/α) >= 1: the theorem says nothing there. It is < 1 where λ(1 + Lε/α)
    < 1/2. Raises ValueError if an argument is out of range, or not finite (but for `lipschitz`).

    Args:
        lam: Synthetic points per real point, >= 0.
        alpha: Strong concavity, > 0 (Assumption 2).
        eps: W1(p_θ*, p_data), in units of x, >= 0.
        lipschitz: Of x ↦ ∇² log p_θ*(x), >= 0, or inf (Assumption 1 fails).
    """
    _check(lam=lam, eps=eps, alpha=alpha)
    if alpha == 0:
        raise ValueError("alpha must be > 0, got 0")
    if not lipschitz >= 0:
        raise ValueError(f"lipschitz must be >= 0 or inf, got {lipschitz}")
    q = lam * _one_plus(alpha, eps, lipschitz) if lam else 0.0
    return q / (1 - q) if q < 1 else math.inf


def _one_plus(alpha: float, eps: float, lipschitz: float) -> float:
    """1 + Lε/α, what bounds ‖A⁻¹B‖₂ (eq. (79)); inf where L is, even if ε = 0: Assumption 1 then
    fails.
    """
    return 1 + lipschitz * eps / alpha if math.isfinite(lipschitz) else math.inf


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and >= 0, got {value}")


def jacobian(A: np.ndarray, B: np.ndarray, lam: float) -> np.ndarray:
    """J = λ (A + λB)⁻¹ B, the Jacobian of G∞ at θ* (Lemma E.1, with E3): A ≺ 0 and B ≼ 0, (P, P)
    -> (P, P).
    """
    _check(lam=lam)
    return np.linalg.solve(A + lam * B, lam * B)


def generalised_eigenvalues(A: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """μ (P,), descending, and W (P, P) with Wᵀ(−A)W = I and Wᵀ(−B)W = diag(μ) (S1).

    Raises:
        ValueError: Unless A is negative definite.
    """
    try:
        mu, W = scipy.linalg.eigh(-(B + B.T) / 2, -(A + A.T) / 2)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"A must be negative definite, got eigenvalues {np.linalg.eigvalsh(A)}"
        ) from error
    return mu[::-1], W[:, ::-1]


def spectral_radius(matrix: np.ndarray) -> float:
    """The largest modulus of an eigenvalue."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def stationary_covariance(A: np.ndarray, B: np.ndarray, lam: float, n: int = 1) -> np.ndarray:
    """V of S3: how θ_t scatters about the fit to the n real points, to first order; solves V = JVJᵀ
    + (λ/n) K F K.

    K = (A + λB)⁻¹ and F = −B. In the basis W of `generalised_eigenvalues` V is diagonal, λμ/(1 +
    2λμ)/n: never more than half of (−A)⁻¹/n. (P, P), in squared units of θ.
    """
    J = jacobian(A, B, lam)
    K = np.linalg.inv(A + lam * B)
    return scipy.linalg.solve_discrete_lyapunov(J, -lam / n * K @ B @ K.T)


@dataclass(frozen=True)
class Constant:
    """L with how it was found.   is_upper_bound: False if it was only searched for, and L may be
    larger.
    """

    value: float
    reason: str
    is_upper_bound: bool


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
        eps: ε = W1(p_θ*, p_data) (eq. (8)), in units of x.
        eps_error: Its numerical error.
        eps_floor: What the same estimate gives between p_θ* and p_θ*; 0 unless ε comes from
            samples, and is then biased upwards by up to that.
        eps_floor_sd: Standard deviation of one such estimate, and so about the statistical error of
            ε, over independent pairs; `eps_floor` is their mean.
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
    eps: float
    eps_error: float
    eps_floor: float
    eps_floor_sd: float
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

    @property
    def bound(self) -> float:
        """Bound (11) on ‖J‖₂; inf where Theorem 1 says nothing."""
        return contraction_bound(self.lam, self.alpha, self.eps, self.lipschitz.value)

    @property
    def condition(self) -> float:
        """λ(1 + Lε/α); Theorem 1 needs less than 1/2 (E4)."""
        return self.lam * _one_plus(self.alpha, self.eps, self.lipschitz.value) if self.lam else 0.0

    @property
    def theorem1_applies(self) -> bool:
        """Whether the condition of Theorem 1 is met; only a necessary check where `lipschitz` is
        a lower bound.
        """
        return self.condition < 0.5

    @property
    def lam_limit_theorem(self) -> float:
        """The λ below which Theorem 1 speaks: 1 / (2 (1 + Lε/α))."""
        return 0.5 / _one_plus(self.alpha, self.eps, self.lipschitz.value)

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
    def inflation(self) -> np.ndarray:
        """Total error over Cramér–Rao: eigenvalues of n F^½ (sandwich + V) F^½, (P,), descending
        (S3).

        All are (1+3λ)/(1+2λ) if A = B = −C. A direction in which F is singular counts 0: its bound
        is infinite.
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
        _check(lam=lam)
        return replace(self, lam=lam, jacobian_gap=math.nan, jacobian_check="nothing")

    def to_dict(self) -> dict[str, Any]:
        """Fields and properties as plain values for JSON: matrices as lists, inf and nan as
        strings.
        """
        names = [field.name for field in fields(self)]
        names += [name for name, value in vars(type(self)).items() if isinstance(value, property)]
        return {name: _plain(getattr(self, name)) for name in names}

    def __rich__(self) -> Table:
        return table(self)


def _plain(value: Any) -> Any:
    if isinstance(value, Constant):
        return {
            "value": _plain(value.value),
            "reason": value.reason,
            "is_upper_bound": value.is_upper_bound,
        }
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def table(local: LocalAnalysis) -> Table:
    """The numbers of an analysis with their names, for a rich console."""
    result = Table(
        title=f"Retraining near θ*, λ = {local.lam:g}",
        box=SIMPLE_HEAD,
        title_style="bold",
        pad_edge=False,
    )
    for column, style in (("quantity", "left"), ("value", "left"), ("meaning", "left")):
        result.add_column(column, justify=style, overflow="fold")  # type: ignore[arg-type]
    lipschitz = f"{'' if local.lipschitz.is_upper_bound else '≥ '}{local.lipschitz.value:.5g}"
    noise = f"{local.eps_floor:.3g} ± {local.eps_floor_sd:.2g}"
    floor = f", noise floor {noise} (mean ± sd of {_FLOOR_PAIRS} pairs)" if local.eps_floor else ""
    met = "met" if local.theorem1_applies else "not met"
    if local.theorem1_applies and not local.lipschitz.is_upper_bound:
        met = "not refuted: L may be larger"
    for row in (
        ("θ*", _vector(local.theta), "maximum likelihood (eq. 7)"),
        ("α", f"{local.alpha:.5g}", "strong concavity (Assumption 2)"),
        ("L", lipschitz, local.lipschitz.reason),
        ("ε", f"{local.eps:.5g}", f"W1(p_θ*, p_data), ± {local.eps_error:.1g}{floor}"),
        ("λ(1 + Lε/α)", f"{local.condition:.5g}", f"Theorem 1 needs < 1/2: {met}"),
        ("bound (11)", f"{local.bound:.5g}", "on ‖J‖₂" if local.bound < math.inf else "vacuous"),
        ("‖J‖₂", f"{local.norm:.5g}", "J the Jacobian of G∞ at θ*"),
        ("ρ(J)", f"{local.rho:.5g}", "stable" if local.stable else "unstable"),
        ("μ", _vector(local.mu), "eigenvalues of (−B, −A); those of J are λμ/(1+λμ) (S1)"),
        ("half-life", f"{local.half_life:.3g}", "retrainings that halve a perturbation"),
        ("λ for Theorem 1", f"< {local.lam_limit_theorem:.5g}", "where its condition holds"),
        ("λ for stability", f"< {local.lam_limit:.5g}", "where ρ(J) < 1 (S1)"),
        ("inflation", _vector(local.inflation), "total error / Cramér–Rao, by direction (S3)"),
        ("checks", f"{local.integration_error:.1g}", f"error of A and B ({local.method})"),
        ("", f"{local.fisher_gap:.1g}", "B against −E s sᵀ, relative"),
        ("", f"{local.jacobian_gap:.1g}", f"J against {local.jacobian_check}"),
    ):
        result.add_row(*row)
    return result


def _vector(values: np.ndarray) -> str:
    shown = ", ".join(f"{value:.5g}" for value in values[:8])
    return f"({shown}{', …' if len(values) > 8 else ''})"


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
    _check(lam=lam)
    n, draws = whole_number(n, "n", 1), whole_number(draws, "draws", 1)
    if start is not None:
        start = torch.as_tensor(numeric_array(start, "start"), dtype=torch.float64)
    law = as_law(numeric_array(data, "data").astype(float) if is_array_like(data) else data)
    best = maximum_likelihood(family, law, _start(family, law, start), draws=draws, tol=tol)
    theta, model = best.theta, Member(family, best.theta)

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
    if sampled:
        check, other = "λ(A − λ E s sᵀ)⁻¹(−E s sᵀ)", jacobian(A, -fisher, lam)
    else:
        check, other = (
            "finite differences of G∞",
            _differences(infinite_map(family, law, lam, tol=tol), theta, A),
        )
    eps, eps_error, floors = _distance(model, law, exact_on_the_line=not sampled)
    return LocalAnalysis(
        lam=lam,
        n=n,
        theta=theta.numpy(),
        lipschitz=_lipschitz(family, theta, model_rule, data_rule),
        A=A,
        B=B,
        C=C,
        fisher=fisher,
        eps=eps,
        eps_error=eps_error,
        eps_floor=float(np.mean(floors)),
        eps_floor_sd=float(np.std(floors, ddof=1)),
        method=f"{data_rule.method} under the data, {model_rule.method} under the model",
        integration_error=max(error_A, error_B),
        jacobian_gap=float(np.abs(J - other).max()),
        jacobian_check=check,
    )


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


def _distance(model: Member, law: Law, exact_on_the_line: bool) -> tuple[float, float, list[float]]:
    """ε, its numerical error, and its noise floor by pairs of sets of draws (0 if no sampling is
    involved).
    """
    generator = torch.Generator().manual_seed(0)
    one, two = (draw(model, _DISTANCE_DRAWS, generator).numpy() for _ in range(2))
    if one.shape[1] == 1 and exact_on_the_line:
        distance = w1(model, law)
        return distance.value, distance.error, [0.0, 0.0]
    points = law.points if isinstance(law, Empirical) else draw(law, _DISTANCE_DRAWS, generator)
    if len(points) > _DISTANCE_DRAWS:
        points = points[torch.randperm(len(points), generator=generator)[:_DISTANCE_DRAWS]]

    floors = [wasserstein(one, two, (1,))[0]]
    while len(floors) < _FLOOR_PAIRS:
        pair = (draw(model, _DISTANCE_DRAWS, generator).numpy() for _ in range(2))
        floors += wasserstein(*pair, orders=(1,))
    return wasserstein(one, points.numpy(), (1,))[0], 0.0, floors


def _lipschitz(family: Family, theta: Tensor, model: Rule, data: Rule) -> Constant:
    if isinstance(family, HasLipschitz):
        known = family.lipschitz(theta)
        return Constant(float(known.value), known.reason, is_upper_bound=True)
    if model.method == "exact":
        return _between_atoms(model.points, hessians(family, theta, model.points))
    generator = torch.Generator().manual_seed(0)
    seen = [
        law.points[torch.randint(len(law.points), (500,), generator=generator)]
        for law in (model, data)
    ]
    return lipschitz_search(family, theta, torch.cat(seen), generator)


def _between_atoms(x: Tensor, hessian: Tensor) -> Constant:
    """Of finitely many points (k, d): the steepest of all chords."""
    i, j = torch.triu_indices(len(x), len(x), 1)
    chords = torch.linalg.matrix_norm(hessian[i] - hessian[j], 2) / (x[i] - x[j]).norm(dim=1)
    return Constant(
        float(chords.max()) if len(chords) else 0.0,
        "the steepest of all chords between the atoms",
        True,
    )


def lipschitz_search(
    family: Family, theta: Tensor, points: Tensor, generator: torch.Generator
) -> Constant:
    """The steepest slope of x ↦ ∇² log p_θ(x) that a search finds: a lower bound on L of Assumption
    1.

    Args:
        points: (n, d) where to begin; the search goes on at up to 1000 times their distance from
            their median, wherever log p_θ is finite, and then refines around the steepest. In d > 1
            the slope is taken in the steepest direction in Frobenius norm. A search cannot exclude
            that L is larger elsewhere, or infinite.
    """

    def slopes(x: Tensor) -> Tensor:
        x = x[torch.isfinite(family.log_prob(theta, x))]
        # (n, P, P, d)
        change = vmap(jacfwd(lambda point: hessians(family, theta, point[None])[0]))(x)
        # a slope that overflowed proves nothing
        flat = torch.nan_to_num(change.flatten(1, 2), posinf=0.0, neginf=0.0)
        direction = torch.linalg.svd(flat, full_matrices=False).Vh[:, 0]  # (n, d)
        norms = torch.linalg.matrix_norm(
            torch.einsum("npqd,nd->npq", flat.unflatten(1, change.shape[1:3]), direction), 2
        )
        return torch.cat([norms[:, None], x], 1)

    centre = points.median(0).values
    shells = slopes(torch.cat([centre + 2.0**k * (points - centre) for k in range(11)]))
    if not len(shells):
        raise ValueError(
            f"log_prob must be finite at some of the points, got none of {len(points)}"
        )
    best = shells[shells[:, 0].argmax()]
    reach = (shells[:, 1:] - centre).norm(dim=1)
    inner = float(shells[reach <= reach.max() / 2, 0].max())
    radius = (points - centre).abs().median(0).values
    for _ in range(16):
        near = slopes(
            best[1:]
            + radius * torch.randn(200, points.shape[1], generator=generator, dtype=torch.float64)
        )
        best = torch.cat([best[None], near])
        best = best[best[:, 0].argmax()]
        radius = radius / 4
    edge = (
        "; it still grows at the edge of the search: L may be infinite"
        if float(best[0]) > 1.01 * inner
        else ""
    )
    where = ", ".join(f"{value:.4g}" for value in best[1:].tolist())
    return Constant(
        float(best[0]),
        f"steepest slope found, at x = ({where}): a lower bound on L, so the condition of Theorem "
        "1 computed from it "
        f"is only necessary{edge}",
        is_upper_bound=False,
    )
