"""Proposition 4: θ* is a fixed point of G∞, eq. (10), at every λ and for any data, misspecified or
not.

Because θ* maximises H₁, and also H₂(θ*, ·): E_{p_θ*} log p_θ' is largest at θ' = θ* (Gibbs). It
takes a learner that maximises the likelihood of what it samples; samples at another temperature
move θ*.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stability.analysis.basin import axes
from stability.analysis.operators import infinite_map
from stability.laws.expectation import Expectation, Rule, rule
from stability.laws.family import Family, scores
from stability.laws.law import Data, Member
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.instances import DataName, Instance, assumptions, instance
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "counterexamples"]

_claim = partial(
    Claim,
    source="Proposition 4, eq. (10)",
    no_evidence="That iterates end somewhere: the end need not be θ*.",
    error_rate=ERROR_RATE,
)

FIXED = _claim(
    id="Proposition 4",
    words="G∞(θ*) = θ*",
    relation="==",
    falsified_by="A family and data for which the map moves θ* by more than integration leaves "
    "open.",
)
STATIONARY = _claim(
    id="Proposition 4, stationarity",
    words="the gradients of H₁ and of H₂(θ*, ·) vanish at θ*: at every λ",
    relation="==",
    falsified_by="A mean score at θ* that is not 0.",
)
LARGEST = _claim(
    id="Proposition 4, maximality",
    words="H₁ and H₂(θ*, ·) are largest at θ*: at every λ",
    relation="<=",
    falsified_by="A θ near θ* with a larger mean log-likelihood.",
)
TEMPERED = _claim(
    id="Proposition 4, samples at another temperature",
    words="θ* is a fixed point although samples are drawn from N(μ, τ²σ²)",
    relation="==",
    falsified_by="A Gaussian at τ = 0.9 and at τ = 1.1.",
    error_rate=0.0,
    refuted_because="The learner does not maximise the likelihood of what it samples: the variance "
    "becomes (1 + λτ²)/(1 + λ) times as large.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"family": "gaussian", "data": "misspecified", "lam": 1.0},
    {"family": "gamma", "data": "misspecified", "lam": 0.3},
    {"family": "student_t", "data": "misspecified", "lam": 0.05},
    {"family": "student_t", "data": "misspecified", "lam": 100.0},
    {"family": "mixture", "data": "misspecified", "lam": 1.0},
    {"family": "curved_normal", "data": "misspecified", "lam": 3.0},
    {"family": "sinh_arcsinh", "data": "misspecified", "lam": 1.0},
    {"family": "linkage", "data": "misspecified", "lam": 10.0},
)


_UNITS = (
    "in standard errors of one observation; tolerance: six times the error estimate of the "
    "integrals"
)


def check(
    family: str | Family, data: DataName | Data, lam: float, start: Tensor | None = None
) -> list[Verdict]:
    """(10) by the map itself, by the stationarity of H₂(θ*, ·), and by comparing H₁ and H₂ at θ*
    and around.

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
    V, theta = axes(local), fixed_point(where)
    rules = _rules(where, theta)

    slopes = [_length(V, each.expect(scores(where.family, theta, each.points))) for each in rules]
    slope, slack = max(value for value, _ in slopes), max(error for _, error in slopes)
    moved = infinite_map(where.family, where.law, lam)(theta).theta - theta
    near = [theta + torch.from_numpy(V @ step) for step in _steps(len(V))]
    others = [other for other in near if where.contains(other)]
    gain, gain_slack = max(
        _gain(where.family, each, theta, other) for each in rules for other in others
    )

    common: dict[str, Any] = {
        "claimed": 0.0,
        "scale": 1.0,
        "assumptions": assumptions(local),
        # six standard errors, for at most 500 parameters
        "false_alarm": 1e-6 if any(each.method == "monte carlo" for each in rules) else 0.0,
    }
    case = f"{where.name}, λ = {lam:g}"
    return [
        FIXED.verdict(
            case,
            measured=float(np.linalg.norm(np.linalg.solve(V, moved.numpy()))),
            tolerance=slack,
            method=f"move by Newton's method, {_UNITS}",
            **common,
        ),
        STATIONARY.verdict(
            case,
            measured=slope,
            tolerance=slack,
            method=f"E of the score under the data and under p_θ*, the larger, {_UNITS}",
            **common,
        ),
        LARGEST.verdict(
            case,
            measured=gain,
            tolerance=gain_slack,
            method=f"E log p at {len(others)} points, up to 2 standard errors away; largest gain; "
            "tolerance: likewise",
            **common,
        ),
    ]


def counterexamples() -> list[Verdict]:
    """Outside the assumptions: samples drawn at temperature τ² (guidance, truncation), of N(μ,
    τ²σ²) for N(μ, σ²).
    """
    where, lam = instance("gaussian", "misspecified"), 1.0
    G, star = infinite_map(where.family, where.law, lam), torch.from_numpy(where.local.theta)
    found = []
    for tau in (0.9, 1.1):
        variance = 1 / float(G(star * torch.tensor([1.0, tau**-2], dtype=torch.float64)).theta[1])
        found.append(
            TEMPERED.verdict(
                f"{where.name}, λ = {lam:g}, τ = {tau:g}",
                measured=variance * float(star[1]),
                claimed=1.0,
                tolerance=1e-6,
                method="variance after one retraining from θ*, over that before",
                note=f"it is (1 + λτ²)/(1 + λ) = {(1 + lam * tau**2) / (1 + lam):.6f}: not a "
                "likelihood of its samples",
            )
        )
    return found


def fixed_point(where: Instance) -> Tensor:
    """θ*, the point that the map must leave where it is.

    Args:
        where: Family and data.

    Returns:
        θ*, (P,).
    """
    return torch.from_numpy(where.local.theta)


def _off(standard_errors: float) -> Callable[..., Callable[[Instance], Tensor]]:
    """A point so many standard errors away from θ* along each axis."""

    def by(right: Callable[[Instance], Tensor]) -> Callable[[Instance], Tensor]:
        def point(where: Instance) -> Tensor:
            V = axes(where.local)
            return right(where) + torch.from_numpy(V @ np.full(len(V), standard_errors))

        return point

    return by


_CASE = {"family": "student_t", "data": "misspecified", "lam": 0.5}
_POINT = "stability.statements.proposition4.fixed_point"

MUTATIONS = tuple(
    Mutation(claim, _POINT, f"θ* {offset} standard errors off", _CASE, _off(offset))
    for offset in (0.1, 1e-3)
    for claim in (FIXED, STATIONARY, LARGEST)
)
"""Slips, and the claim that each must break."""


def _rules(where: Instance, theta: Tensor) -> list[Rule]:
    """Integration rules for the data and for p_θ, good for log-likelihoods and scores at θ."""

    def functions(x: Tensor) -> Tensor:
        return torch.cat(
            [where.family.log_prob(theta, x)[:, None], scores(where.family, theta, x)], 1
        )

    return [rule(law, functions) for law in (where.law, Member(where.family, theta))]


def _length(V: np.ndarray, gradient: Expectation) -> tuple[float, float]:
    """Length of an estimated gradient in the units of V, and six times its error."""
    error = np.abs(V.T) @ gradient.error.numpy()
    return float(np.linalg.norm(V.T @ gradient.value.numpy())), 6 * float(
        np.linalg.norm(error)
    ) + 1e-11


def _steps(P: int) -> list[np.ndarray]:
    """Both ends of each axis at three distances."""
    return [
        size * sign * unit for size in (0.001, 0.5, 2.0) for sign in (1, -1) for unit in np.eye(P)
    ]


def _gain(family: Family, law_rule: Rule, theta: Tensor, other: Tensor) -> tuple[float, float]:
    """E log p_other − E log p_θ, −inf where `other` has no density at a point; its error."""
    gains = family.log_prob(other, law_rule.points) - family.log_prob(theta, law_rule.points)
    if not torch.isfinite(gains).all():
        return -math.inf, 0.0
    gain = law_rule.expect(gains)
    return float(gain.value), 6 * float(gain.error) + 1e-11
