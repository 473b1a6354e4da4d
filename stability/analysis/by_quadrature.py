"""θ* and the moments there by sums and integrals, in one and two dimensions.

Source: eq. (3) for θ*, Theorem 1 for A, B and J.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stability.analysis.at_maximum import (
    NOT_LOOKED_FOR,
    AnalysisOptions,
    AtMaximum,
    require_concave,
)
from stability.analysis.flat_directions import Section, flat_directions
from stability.analysis.hypotheses import require_exact_sampling
from stability.analysis.jacobian import jacobian
from stability.analysis.lipschitz_search import lipschitz_constant
from stability.analysis.operators import Maximum, infinite_map, maximum_likelihood
from stability.analysis.replicates import ScoreMoments, perturbed
from stability.laws.expectation import Expectation, Rule, rule
from stability.laws.family import Family, hessians, scores
from stability.laws.law import Law, Member, draw

__all__ = ["by_quadrature"]

_LOOKED_AT = 2000
"""Draws of the data and of the model at which directions must be flat."""


def by_quadrature(
    family: Family, law: Law, start: Tensor, known: bool, options: AnalysisOptions
) -> AtMaximum:
    """Find θ* and the moments there by sums and integrals.

    Directions along which p_θ does not change are left out.

    Args:
        family: With a density in one or two dimensions, or with atoms.
        law: Of the data.
        start: (P,) or (s, P) where the search begins; θ* itself if `known`.
        known: Whether the data are the member `start` itself.
        options: The rest.

    Returns:
        What was found.
    """
    _, draws, tol, seed, bounds = options
    theta = start if known else _maximum(family, law, start, options)
    require_exact_sampling(family, theta, seed)
    flat = _flat(family, law, theta, seed)
    within, at = _section(family, theta, flat)
    model = Member(family, theta)

    def functions(x: Tensor) -> Tensor:
        score = scores(within, at, x)
        outer = score[:, :, None] * score[:, None]
        return torch.cat([hessians(within, at, x).flatten(1), outer.flatten(1)], 1)

    rules = [rule(each, functions, draws=draws, tol=tol) for each in (law, model)]
    (A, C, gradient), (B, fisher, _) = (_expected(within, at, each) for each in rules)
    moments = ScoreMoments(at.numpy(), *(_value(each) for each in (A, B, C, fisher)))
    by_theta = np.abs(np.linalg.pinv(moments.A)) @ gradient.error.numpy()
    errors = ScoreMoments(by_theta, *(each.error.numpy() for each in (A, B, C, fisher)))
    second = hessians(within, at, rules[0].points).diagonal(dim1=1, dim2=2)
    require_concave(moments.A, theta, _value(rules[0].expect(second.abs())))

    gap, allowed, check = _second_route(within, law, at, moments, errors, options)
    replicates = perturbed(moments, errors, seed)
    L = lipschitz_constant(family, theta, rules[1], rules[0], seed) if bounds else NOT_LOOKED_FOR
    return AtMaximum(
        **vars(_lifted(within, moments)),
        lipschitz=L,
        eps=options.eps(model, law),
        method=f"{rules[0].method} under the data, {rules[1].method} under the model",
        integration_error=max(float(errors.A.max()), float(errors.B.max())),
        jacobian_gap=gap,
        jacobian_allowed=allowed,
        jacobian_check=check,
        replicates=replace(
            replicates, moments=tuple(_lifted(within, each) for each in replicates.moments)
        ),
        flat=flat.numpy() if flat.shape[1] else np.zeros((0, 0)),
    )


def _maximum(family: Family, law: Law, start: Tensor, options: AnalysisOptions) -> Tensor:
    """θ*; along flat directions it stays where the search begins."""
    begin = start.reshape(-1, start.shape[-1])[0]
    flat = _flat(family, law, begin, options.seed)
    if not flat.shape[1]:
        found = maximum_likelihood(family, law, start, draws=options.draws, tol=options.tol)
        return found.theta
    within = Section(family, begin, flat)
    zero = begin.new_zeros(within.basis.shape[1])
    found = maximum_likelihood(within, law, zero, draws=options.draws, tol=options.tol)
    return within.whole(found.theta)


def _flat(family: Family, law: Law, theta: Tensor, seed: int) -> Tensor:
    """Flat directions at points of both laws, (P, k)."""
    generator = torch.Generator().manual_seed(seed)
    both = [draw(each, _LOOKED_AT // 2, generator) for each in (law, Member(family, theta))]
    return flat_directions(family, theta, torch.cat(both), seed)


def _section(family: Family, theta: Tensor, flat: Tensor) -> tuple[Family, Tensor]:
    """The family itself, or on the complement of its flat directions; and θ* there."""
    if not flat.shape[1]:
        return family, theta
    return Section(family, theta, flat), theta.new_zeros(len(theta) - flat.shape[1])


def _lifted(within: Family, moments: ScoreMoments) -> ScoreMoments:
    return within.lifted(moments) if isinstance(within, Section) else moments


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


def _second_route(
    family: Family,
    law: Law,
    theta: Tensor,
    moments: ScoreMoments,
    errors: ScoreMoments,
    options: AnalysisOptions,
) -> tuple[float, float, str]:
    """Largest difference of J from finite differences of G∞, what may be, and the words for it."""
    lam, J = options.lam, jacobian(moments.A, moments.B, options.lam)
    check, other = "nothing: it is 0 at λ = 0", J
    if lam:
        check = "finite differences of G∞"
        other = _differences(infinite_map(family, law, lam, tol=options.tol), theta, moments.A)
    worst = max(float(errors.A.max()), float(errors.B.max()))
    allowed = 1e-4 * (1 + float(np.abs(J).max())) + _slack(moments, worst, lam)
    return float(np.abs(J - other).max()), allowed, check


def _slack(moments: ScoreMoments, error: float, lam: float) -> float:
    """Bound on the error of J that integration errors of A and B leave, in spectral norm, to first
    order.
    """
    inverse = float(np.linalg.norm(np.linalg.inv(moments.A + lam * moments.B), 2))
    return len(moments.A) * error * inverse * (1 + 2 * lam)


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
