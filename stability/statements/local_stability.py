"""S1: retraining by exact maximum likelihood is locally stable at every finite λ, at the rate ρ(J)
= λμ/(1 + λμ) < 1.

Here μ is the largest generalised eigenvalue of (−B, −A). Needed are Assumption 2, A ≺ 0, and B ≼ 0,
which every likelihood has; neither Assumption 1 nor a small λ. S2: in an exponential family, in any
smooth coordinates, μ = 1 whatever the data are, and the rate is λ/(1 + λ). The proofs are in
docs/theory/local-stability.md.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.basin import axes, linear_rate
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
from stability.laws.capabilities import HasFisher
from stability.laws.expectation import rule
from stability.laws.family import Family, hessians
from stability.laws.law import Data, Member
from stability.statements.claim import FINITE_L, Claim
from stability.statements.instances import (
    DataName,
    Instance,
    assumptions,
    instance,
    jacobian_slack,
    mean_slack,
)
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "counterexamples", "predicted_rate"]

_claim = partial(
    Claim,
    source="own result S1",
    no_evidence="Small λ, where Theorem 1 already says it.",
)

STABLE = _claim(
    id="S1",
    words="ρ(J) < 1 at every finite λ",
    relation="<",
    falsified_by="A family of exact likelihoods, data with α > 0 and a finite λ with ρ(J) >= 1.",
)
RATE = _claim(
    id="S1, rate",
    words="ρ(J) = λμ/(1 + λμ)",
    relation="==",
    falsified_by="A case in which the two differ by more than integration leaves open.",
)
DECAY = _claim(
    id="S1, decay",
    words="a small perturbation of θ* shrinks by λμ/(1 + λμ) a retraining",
    relation="==",
    falsified_by="Orbits of the map itself that come nearer at another rate.",
)
CONSTANTS = _claim(
    id="S1, from α, L and ε",
    words="ρ(J) ≤ q/(1 + q) < 1 with q = λ(1 + Lε/α)",
    relation="<=",
    falsified_by="A family, data and λ with a larger ρ(J).",
    needs=(FINITE_L,),
)
HALF_LIFE = _claim(
    id="S1, half-life",
    words="after log ½/log ρ(J) retrainings a perturbation has halved: ρ^t = ½",
    relation="==",
    falsified_by="A rate with another power.",
)
INFORMATION = _claim(
    id="S1, B = −F",
    words="B = −E s sᵀ under the model, and that is the family's Fisher information",
    relation="==",
    falsified_by="A family whose log_prob is no normalised regular likelihood.",
)
UNIVERSAL = _claim(
    id="S2",
    words="in an exponential family all eigenvalues of J are λ/(1 + λ), whatever the data and the "
    "coordinates",
    relation="==",
    source="own result S2",
    falsified_by="An exponential family, data and λ with another eigenvalue.",
    no_evidence="Well-specified data, where A = B in every family.",
)

_refuted = partial(
    _claim,
    words="retraining contracts by a factor < 1 near θ*",
    relation="<",
)
WITHOUT_SIGN = _refuted(
    id="S1, without B ≼ 0",
    falsified_by="A = −I, B = diag(0.9, −0.5).",
    refuted_because="B ≼ 0 is what every likelihood has; A + λB may be singular without it.",
)
WITHOUT_SAMPLES = _refuted(
    id="S1, without exact samples",
    falsified_by="A Gaussian sampled at temperature 1.25².",
    refuted_because="A tempered sampler multiplies a change of the variance by λτ²/(1 + λ).",
)
WITHOUT_CONCAVITY = _refuted(
    id="S1, without Assumption 2",
    falsified_by="The location of Student's t with half of the data at each of ±√ν.",
    refuted_because="A = 0: the maximum is of fourth order.",
)
EUCLIDEAN = _refuted(
    id="S1, in the Euclidean norm",
    falsified_by="Sheared coordinates.",
    refuted_because="The contraction is in the norm of −A − λB; ‖J‖₂ may be above 1.",
)

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

    Args:
        family: As for `instance`.
        data: As for `instance`.
        lam: Finite, >= 0.
        start: As for `instance`, (P,).

    Returns:
        The verdicts.

    Raises:
        ValueError: For bad arguments.
        NoMaximum: Where there is no θ*.
    """
    where = instance(family, data, start)
    local = where.local.at(lam)
    return [
        *_rates(where, local),
        *_universal(where, local),
        _half_life(where.name, local),
        *_information(where, local),
    ]


def predicted_rate(mu: float, lam: float) -> float:
    """λμ/(1 + λμ): what an eigenvalue μ of (−B, −A) makes of a perturbation in one retraining.

    Args:
        mu: Eigenvalue of (−B, −A), >= 0.
        lam: Synthetic points per real point, >= 0.

    Returns:
        The factor, in [0, 1).
    """
    return lam * mu / (1 + lam * mu)


def counterexamples() -> list[Verdict]:
    """A witness for each assumption of S1, which fails without it; and for its norm, which is
    not the Euclidean one.
    """
    shear = np.array([[1.0, 20.0], [0.0, 1.0]])
    sheared = jacobian(-shear.T @ shear, -shear.T @ np.diag([2.0, 0.1]) @ shear, 1.0)
    nu, tau, lam = 5.0, 1.25, 4.0

    return [
        _witness(
            WITHOUT_SIGN,
            "A = −I, B = diag(0.9, −0.5), λ = 1",
            spectral_radius(jacobian(-np.eye(2), np.diag([0.9, -0.5]), 1.0)),
            "ρ(J), closed form",
            "‖B − A‖₂ = 1.9 α: within what Lε allows, but not the expected Hessian of a likelihood",
        ),
        _witness(
            WITHOUT_SAMPLES,
            f"gaussian, misspecified, samples from N(μ, τ²σ²), τ = {tau:g}, λ = {lam:g}",
            _tempered(tau, lam),
            "ratio of successive changes of the variance, by iterating G∞ at the tempered θ",
            f"it is λτ²/(1 + λ): beyond λ = 1/(τ² − 1) = {1 / (tau**2 - 1):.4g} the model widens "
            "for ever",
        ),
        _witness(
            WITHOUT_CONCAVITY,
            f"location of Student's t, ν = {nu:g}, scale 1, half of the data at each of ±√ν; λ = 1",
            spectral_radius(jacobian(*_flat(nu), 1.0)),
            "ρ(J) at the maximum θ* = 0, by quadrature",
            "α = 0: the maximum is of fourth order, and iterates approach it like 1/√t",
        ),
        _witness(
            EUCLIDEAN,
            "A = −SᵀS, B = −Sᵀ diag(2, 0.1) S, S = ((1, 20), (0, 1)), λ = 1",
            float(np.linalg.norm(sheared, 2)),
            "‖J‖₂, closed form",
            f"ρ(J) = {spectral_radius(sheared):.4g}: in such coordinates a perturbation grows "
            "before it decays",
        ),
    ]


_T = {"family": "student_t", "data": "misspecified", "lam": 1.0}
_BINOMIAL = {"family": "binomial", "data": "misspecified", "lam": 1.0}
_HERE = "stability.statements.local_stability"
_LOCAL = "stability.analysis.local_analysis.LocalAnalysis"

MUTATIONS = (
    Mutation(
        STABLE,
        "stability.analysis.jacobian.jacobian",
        "B = +F",
        _T,
        lambda right: lambda A, B, lam: right(A, -B, lam),
    ),
    Mutation(RATE, f"{_HERE}.predicted_rate", "the rate", _T),
    Mutation(DECAY, f"{_HERE}.predicted_rate", "the rate", _T),
    Mutation(CONSTANTS, f"{_LOCAL}.rate_bound", "the bound", _BINOMIAL),
    Mutation(HALF_LIFE, f"{_LOCAL}.half_life", "no log 2", _T, scaled(1 / math.log(2))),
    Mutation(INFORMATION, "stability.families.student_t.StudentT.fisher", "F", _T, scaled(1.001)),
    Mutation(
        UNIVERSAL,
        f"{_HERE}._is_exponential",
        "Student's t taken for an exponential family",
        _T,
        lambda right: lambda family: True,
    ),
)
"""Slips, and the claim that each must break."""


def _witness(claim: Claim, where: str, measured: float, method: str, note: str) -> Verdict:
    return claim.verdict(
        where,
        measured=measured,
        claimed=1.0,
        tolerance=-1e-9,
        method=f"{method}; tolerance: a factor of 1 up to rounding is no contraction",
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
    """Factor by which retraining multiplies a change of a Gaussian's variance, on samples of τ²
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


def _rates(where: Instance, local: LocalAnalysis) -> list[Verdict]:
    """The rate ρ(J) against μ, against orbits, and against what the constants allow."""
    lam, slack = local.lam, jacobian_slack(local)
    rho, predicted = spectral_radius(local.J), predicted_rate(float(local.mu[0]), lam)
    G = infinite_map(where.family, where.law, lam)
    case = f"{where.name}, λ = {lam:g}"
    common: dict[str, Any] = {"assumptions": assumptions(local)}
    met = local.theorem1_condition
    printed = "" if met is Condition.MET else f"the condition of Theorem 1 is {met}"

    return [
        STABLE.verdict(
            case,
            measured=rho,
            claimed=1.0,
            method=f"eigenvalues of J, A and B by {local.method}",
            note=printed,
            **common,
        ),
        RATE.verdict(
            case,
            measured=rho,
            claimed=predicted,
            tolerance=slack,
            method="eigenvalues of J against μ, those of the pair (−B, −A); tolerance: of "
            "integration",
            **common,
        ),
        DECAY.verdict(
            case,
            measured=linear_rate(lambda theta: G(theta).theta, local.theta, axes(local)),
            claimed=predicted,
            tolerance=3e-3 * predicted * (1 - predicted) + slack + 1e-7,
            method="two orbits of G∞; half their difference, from 0.01 standard errors off θ*; "
            "tolerance: 30 times the square of that, relative to ρ(1 − ρ), and integration",
            **common,
        ),
        CONSTANTS.verdict(
            case,
            measured=rho,
            claimed=local.rate_bound,
            tolerance=slack,
            method=f"eigenvalues of J; tolerance: of integration; L: {local.lipschitz.reason}",
            note=printed,
            **common,
        ),
    ]


def _half_life(name: str, local: LocalAnalysis) -> Verdict:
    """ρ to the power of the half-life; ½ at once where ρ is 0."""
    power = local.rho**local.half_life if local.rho > 1e-12 else 0.5
    return HALF_LIFE.verdict(
        f"{name}, λ = {local.lam:g}",
        measured=power,
        claimed=0.5,
        tolerance=1e-9,
        method="closed form; tolerance: rounding",
    )


def _information(where: Instance, local: LocalAnalysis) -> list[Verdict]:
    """B against −E s sᵀ, and that against the closed form of the family, if it has one."""
    matrices = {"E ∇² log p": -local.B}
    if isinstance(where.family, HasFisher):
        star = torch.from_numpy(local.theta)
        matrices["the closed form"] = where.family.fisher(star).numpy()
    size = float(np.linalg.norm(local.fisher, 2))
    return [
        INFORMATION.verdict(
            f"{where.name}, {kind}",
            measured=float(np.linalg.norm(matrix - local.fisher, 2)),
            claimed=0.0,
            tolerance=2 * mean_slack(local) + 1e-8 * size,
            scale=size,
            method="norm of the difference from E s sᵀ; tolerance: of integration",
        )
        for kind, matrix in matrices.items()
    ]


def _is_exponential(family: Family) -> bool:
    """Tell whether a shipped family is an exponential one, or a smooth reparametrisation of one."""
    if isinstance(family, GaussianFull | PPCA):
        return family.dimension == {GaussianFull: 1, PPCA: 2}[type(family)]
    return isinstance(family, Gaussian | GaussianNatural | GaussianMean | Gamma | LinearLogits)


def _universal(where: Instance, local: LocalAnalysis) -> list[Verdict]:
    """S2, where the family is an exponential one."""
    if not _is_exponential(where.family):
        return []
    predicted = predicted_rate(1.0, local.lam)
    eigenvalues = np.linalg.eigvals(local.J).real
    return [
        UNIVERSAL.verdict(
            f"{where.name}, λ = {local.lam:g}",
            measured=float(eigenvalues[np.abs(eigenvalues - predicted).argmax()]),
            claimed=predicted,
            # torch's trigamma has 9 digits
            tolerance=jacobian_slack(local) + 1e-8 * predicted,
            method="eigenvalues of J; the one that is farthest off; tolerance: of integration, "
            "and of torch's trigamma",
            assumptions=assumptions(local),
        )
    ]
