"""S1: retraining by exact maximum likelihood is locally stable at every finite λ, at the rate ρ(J)
= λμ/(1 + λμ) < 1.

Here μ is the largest generalised eigenvalue of (−B, −A). Needed are Assumption 2, A ≺ 0, and B ≼ 0,
which every likelihood has; neither Assumption 1 nor a small λ. S2: in an exponential family, in any
smooth coordinates, μ = 1 whatever the data are, and the rate is λ/(1 + λ). The proofs are in
docs/theory/local-stability.md.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.basin import axes, linear_rate
from stability.analysis.bounds import rate_bound
from stability.analysis.jacobian import jacobian, spectral_radius
from stability.analysis.local_analysis import LocalAnalysis
from stability.analysis.operators import infinite_map
from stability.families import (
    PPCA,
    Gamma,
    Gaussian,
    GaussianFull,
    GaussianMean,
    GaussianNatural,
    LinearLogits,
    StudentT,
)
from stability.laws.bracket import Condition
from stability.laws.expectation import rule
from stability.laws.family import Family, hessians
from stability.laws.law import Data, Member
from stability.statements.instances import DataName, Instance, assumptions, instance, jacobian_slack
from stability.statements.verdict import Status, Verdict, compare

__all__ = ["GRID", "check", "controls", "counterexamples"]

GRID: tuple[dict[str, Any], ...] = (
    {"family": "student_t", "data": "misspecified", "lam": 1.0},
    {"family": "student_t", "data": "misspecified", "lam": 1000.0},
    {"family": "mixture", "data": "misspecified", "lam": 1.0},
    {"family": "curved_normal", "data": "misspecified", "lam": 10.0},
    {"family": "sinh_arcsinh", "data": "misspecified", "lam": 0.5},
    {"family": "linkage", "data": "misspecified", "lam": 50.0},
    {"family": "gaussian", "data": "misspecified", "lam": 1.0},
    {"family": "gamma_log", "data": "misspecified", "lam": 3.0},
    {"family": "binomial", "data": "misspecified", "lam": 100.0},
)


def check(
    family: str | Family, data: DataName | Data, lam: float, start: Tensor | None = None
) -> list[Verdict]:
    """ρ(J) < 1, ρ(J) = λμ/(1 + λμ), the decay of orbits of G∞, what α, L and ε say; and S2 for
    exponential families.

    Arguments as in `instance`;

    Args:
        lam: Finite, >= 0.

    Raises:
        ValueError: For bad ones, NoMaximum where there is no θ*.
    """
    where = instance(family, data, start)
    local = where.local.at(lam)
    return [*_rates(where, local), *_universal(where, local)]


def controls() -> list[Verdict]:
    """Each with a spoiled constant or assumption: each is `violated`."""
    t, binomial = instance("student_t", "misspecified"), instance("binomial", "misspecified")
    at = t.local.at(1.0)
    return [
        _rates(t, at, sign=-1.0)[0],  # B = +F
        *_rates(t, at, factor=1.01)[1:3],  # 1.01 μ
        _rates(binomial, binomial.local.at(1.0), spoil=0.99)[3],  # 0.99 q/(1 + q)
        *_universal(t, at, exponential=True),  # Student's t is no exponential family
    ]


def counterexamples() -> list[Verdict]:
    """A witness for each assumption of S1, which fails without it; and for its norm, which is
    not the Euclidean one.
    """
    shear = np.array([[1.0, 20.0], [0.0, 1.0]])
    sheared = jacobian(-shear.T @ shear, -shear.T @ np.diag([2.0, 0.1]) @ shear, 1.0)
    nu, tau, lam = 5.0, 1.25, 4.0
    return [
        _witness(
            "without B ≼ 0",
            "A = −I, B = diag(0.9, −0.5), λ = 1",
            spectral_radius(jacobian(-np.eye(2), np.diag([0.9, -0.5]), 1.0)),
            "ρ(J), closed form",
            "‖B − A‖₂ = 1.9 α: within what Lε allows, but not the expected Hessian of a likelihood",
        ),
        _witness(
            "without exact samples",
            f"gaussian, misspecified, samples from N(μ, τ²σ²), τ = {tau:g}, λ = {lam:g}",
            _tempered(tau, lam),
            "ratio of successive changes of the variance, by iterating G∞ at the tempered θ",
            f"it is λτ²/(1 + λ): beyond λ = 1/(τ² − 1) = {1 / (tau**2 - 1):.4g} the model widens "
            "for ever",
        ),
        _witness(
            "without Assumption 2",
            f"location of Student's t, ν = {nu:g}, scale 1, half of the data at each of ±√ν; λ = 1",
            spectral_radius(jacobian(*_flat(nu), 1.0)),
            "ρ(J) at the maximum θ* = 0, by quadrature",
            "α = 0: the maximum is of fourth order, and iterates approach it like 1/√t",
        ),
        _witness(
            "in the Euclidean norm",
            "A = −SᵀS, B = −Sᵀ diag(2, 0.1) S, S = ((1, 20), (0, 1)), λ = 1",
            float(np.linalg.norm(sheared, 2)),
            "‖J‖₂, closed form",
            f"ρ(J) = {spectral_radius(sheared):.4g}: in such coordinates a perturbation grows "
            "before it decays",
        ),
    ]


def _witness(what: str, where: str, measured: float, method: str, note: str) -> Verdict:
    return Verdict(
        claim=f"S1, {what}",
        words="retraining contracts by a factor < 1 near θ*",
        instance=where,
        measured=measured,
        relation="<",
        stated=1.0,
        status=compare(measured, "<", 1.0, -1e-9),
        method=f"{method}; tolerance: a factor of 1 up to rounding is no contraction",
        tolerance=-1e-9,
        note=note,
    )


@dataclass(frozen=True)
class _Location:
    """Student's t with ν degrees of freedom and scale 1; θ = (μ,)."""

    nu: float

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        return StudentT(self.nu).log_prob(torch.cat([theta, torch.zeros_like(theta)]), x)

    def sample(self, theta: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return StudentT(self.nu).sample(torch.cat([theta, torch.zeros_like(theta)]), n, generator)


def _flat(nu: float) -> tuple[np.ndarray, np.ndarray]:
    """A and B at the maximum 0 of the likelihood of the location for data ±√ν, where A = 0."""
    family, star = _Location(nu), torch.zeros(1, dtype=torch.float64)
    data = np.sqrt(nu) * np.array([-1.0, 1.0])
    rules = [
        rule(law, lambda x: hessians(family, star, x).flatten(1))
        for law in (data, Member(family, star))
    ]
    A, B = (each.expect(hessians(family, star, each.points)).value.numpy() for each in rules)
    return A, B


def _tempered(tau: float, lam: float) -> float:
    """How a change of the variance of a Gaussian is multiplied by retraining on samples of τ²
    times its variance.
    """
    where = instance("gaussian", "misspecified")
    G, theta = infinite_map(where.family, where.law, lam), torch.from_numpy(where.local.theta)
    variances = [1 / float(theta[1])]
    for _ in range(2):
        theta = G(theta * torch.tensor([1.0, tau**-2], dtype=torch.float64)).theta
        variances.append(1 / float(theta[1]))
    first, second = np.diff(variances)
    return float(second / first)


def _rates(
    where: Instance,
    local: LocalAnalysis,
    *,
    sign: float = 1.0,
    factor: float = 1.0,
    spoil: float = 1.0,
) -> list[Verdict]:
    """Check the rate ρ(J), and the bound on it.

    Args:
        where: The instance.
        local: Its local analysis.
        sign: Multiplies B.
        factor: Multiplies μ.
        spoil: Multiplies the bound from α, L and ε.
    """
    lam, L, slack, mu = (
        local.lam,
        local.lipschitz,
        jacobian_slack(local),
        factor * float(local.mu[0]),
    )
    rho, stated = spectral_radius(jacobian(local.A, sign * local.B, lam)), lam * mu / (1 + lam * mu)
    G = infinite_map(where.family, where.law, lam)
    decay = linear_rate(lambda theta: G(theta).theta, local.theta, axes(local))
    curvature = 3e-3 * stated * (1 - stated) + slack + 1e-7
    limit = spoil * rate_bound(lam, local.alpha, local.eps.high, L.value)
    within = compare(rho, "<=", limit, slack)
    if not math.isfinite(L.value):
        within = Status.NOT_APPLICABLE
    elif within is Status.VIOLATED and not L.is_upper_bound:
        within = Status.UNDECIDED  # L may be larger than what the search found
    common: dict[str, Any] = {
        "instance": f"{where.name}, λ = {lam:g}",
        "assumptions": assumptions(local),
    }
    met = local.theorem1_condition
    printed = "" if met is Condition.MET else f"the condition of Theorem 1 is {met}"
    return [
        Verdict(
            claim="S1",
            words="ρ(J) < 1 at every finite λ",
            measured=rho,
            relation="<",
            stated=1.0,
            status=compare(rho, "<", 1.0),
            method=f"eigenvalues of J, A and B by {local.method}",
            note=printed,
            **common,
        ),
        Verdict(
            claim="S1, rate",
            words="ρ(J) = λμ/(1 + λμ)",
            measured=rho,
            relation="==",
            stated=stated,
            status=compare(rho, "==", stated, slack),
            method="eigenvalues of J against μ, those of the pair (−B, −A); tolerance: of "
            "integration",
            tolerance=slack,
            **common,
        ),
        Verdict(
            claim="S1, decay",
            words="a small perturbation of θ* shrinks by λμ/(1 + λμ) a retraining",
            measured=decay,
            relation="==",
            stated=stated,
            status=compare(decay, "==", stated, curvature),
            method="two orbits of G∞; half their difference, from 0.01 standard errors off θ*; "
            "tolerance: 30 "
            "times the square of that, relative to ρ(1 − ρ), and integration",
            tolerance=curvature,
            **common,
        ),
        Verdict(
            claim="S1, from α, L and ε",
            words="ρ(J) ≤ q/(1 + q) < 1 with q = λ(1 + Lε/α)",
            measured=rho,
            relation="<=",
            stated=limit,
            status=within,
            method=f"eigenvalues of J; tolerance: of integration; L: {L.reason}",
            tolerance=slack,
            note=printed,
            **common,
        ),
    ]


def _is_exponential(family: Family) -> bool:
    """Whether a shipped family is an exponential one, or a smooth reparametrisation of one."""
    if isinstance(family, GaussianFull | PPCA):
        return family.dimension == {GaussianFull: 1, PPCA: 2}[type(family)]
    return isinstance(family, Gaussian | GaussianNatural | GaussianMean | Gamma | LinearLogits)


def _universal(
    where: Instance, local: LocalAnalysis, *, exponential: bool = False
) -> list[Verdict]:
    """S2. exponential: take the family for one."""
    if not (exponential or _is_exponential(where.family)):
        return []
    lam = local.lam
    eigenvalues, stated = np.linalg.eigvals(local.J).real, lam / (1 + lam)
    measured = float(eigenvalues[np.abs(eigenvalues - stated).argmax()])
    tolerance = jacobian_slack(local) + 1e-8 * stated  # torch's trigamma has 9 digits
    return [
        Verdict(
            claim="S2",
            words="in an exponential family all eigenvalues of J are λ/(1 + λ), whatever the data "
            "and the coordinates",
            instance=f"{where.name}, λ = {lam:g}",
            measured=measured,
            relation="==",
            stated=stated,
            status=compare(measured, "==", stated, tolerance),
            method="eigenvalues of J; the one that is farthest off; tolerance: of integration, "
            "and of torch's trigamma",
            tolerance=tolerance,
            assumptions=assumptions(local),
        )
    ]
