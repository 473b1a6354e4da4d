"""The objectives of iterative retraining and the maps that climb them (eqs. (1)–(3), (7), (9))."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jacrev

from stability.laws.capabilities import in_domain
from stability.laws.expectation import Expectation, Rule, rule
from stability.laws.family import Family, scores
from stability.laws.law import Data, Member, draw
from stability.laws.quadrature import tolerance
from stability.loop.regimes import synthetic_count

__all__ = ["Maximum", "NoMaximum", "finite_map", "h1", "h2", "infinite_map", "maximum_likelihood"]

_MOST_STEPS = 200
_ROUNDING = 1e-12


class NoMaximum(ArithmeticError):  # noqa: N818 - it is what happened
    """The objective has no local maximum that Newton's method could reach; the message says what
    happened instead.
    """


@dataclass(frozen=True)
class Maximum:
    """A strict local maximum of an objective in θ.

    theta (P,).   value: the objective there.   gradient_norm: ‖∇‖₂ there, at rounding level.

    Attributes:
        hessian: (P, P) negative definite.

    Attributes:
        iterations: Newton's.
    """

    theta: Tensor
    value: float
    gradient_norm: float
    iterations: int
    hessian: Tensor


def _probe(family: Family, theta: Tensor) -> Callable[[Tensor], Tensor]:
    """log p_θ and its score side by side, (n, d) -> (n, 1 + P): what quadrature must get right
    for a climb.
    """
    return lambda x: torch.cat([family.log_prob(theta, x)[:, None], scores(family, theta, x)], 1)


def h1(
    family: Family, data: Data, theta: Tensor, generator: torch.Generator | None = None
) -> Expectation:
    """H₁(θ) = E_data log p_θ(x) (eq. (9)).

    Args:
        family: The family.
        data: Law or points of the data.
        theta: Parameters, (P,).
        generator: Source of draws where expectations are Monte Carlo, as in `rule`.

    Returns:
        The expectation, a scalar.

    Raises:
        ValueError: If it is −∞.
    """
    law_rule = rule(data, lambda x: family.log_prob(theta, x)[:, None], generator=generator)
    return law_rule.expect(family.log_prob(theta, law_rule.points))


def h2(
    family: Family, theta: Tensor, other: Tensor, generator: torch.Generator | None = None
) -> Expectation:
    """H₂(θ, θ') = E_{p_θ} log p_θ'(x) (eq. (9)) with θ' = `other`.

    Args:
        family: The family.
        theta: Parameters of the law of x, (P,).
        other: Parameters of the log-density, (P,).
        generator: Source of draws where expectations are Monte Carlo, as in `rule`.

    Returns:
        The expectation, a scalar.

    Raises:
        ValueError: If it is −∞.
    """
    return h1(family, Member(family, theta), other, generator)


def infinite_map(
    family: Family, data: Data, lam: float, *, draws: int = 100_000, tol: float | None = None
) -> Callable[[Tensor], Maximum]:
    """G∞: θ ↦ local argmax of H₁ + λ H₂(θ, ·) (eq. (9)), by safeguarded Newton from θ.

    The maximum is the one in whose basin θ lies: what eq. (3) wants, the closest, wherever θ is
    near its maximum. The map raises NoMaximum, and ValueError where θ is not finite or the
    objective at θ is not.

    Args:
        family: The family.
        data: Law or points of the data.
        lam: Finite, >= 0.
        draws: As in `rule`; where expectations are Monte Carlo, all calls share their draws.
        tol: Tolerance of the expectations, as in `rule`.

    Returns:
        The map from θ, (P,), to the maximum.
    """
    _require_lam(lam)
    known: list[Rule] = []  # of the data, kept for the next θ: `_settle` sees whether it is good

    def image(theta: Tensor) -> Maximum:
        asked = 0

        def objective(at: Tensor) -> list[tuple[float, Rule]]:
            nonlocal asked
            functions = _probe(family, at)
            if asked or not known:
                known[:] = [rule(data, functions, draws=draws, tol=tol)]
            asked += 1
            return [
                (1.0, known[0]),
                (lam, rule(Member(family, theta), functions, draws=draws, tol=tol)),
            ]

        return _settle(family, objective, _vector(theta), tol)

    return image


def finite_map(
    family: Family, real: Data, lam: float
) -> Callable[[Tensor, torch.Generator], Maximum]:
    """Gⁿ_λ: fit on the n fixed points `real` and floor(λ n) draws of p_θ (eqs. (2), (3)).

    The objective is Σ log p over all of them, divided by n. The map raises as that of
    `infinite_map` does.

    Args:
        family: The family.
        real: Points, (n, d).
        lam: Synthetic points per real point, finite and >= 0.

    Returns:
        The map from θ, (P,), and a generator to the maximum.

    Raises:
        ValueError: If `real` is no array of points, or `lam` is out of range.
    """
    _require_lam(lam)
    points = rule(real)
    if points.method != "exact":
        raise ValueError(f"real must be an array of points (n, d), got {real!r}")
    n = len(points.points)
    m = synthetic_count(lam, n)

    def image(theta: Tensor, generator: torch.Generator) -> Maximum:
        theta = _vector(theta)
        synthetic = draw(Member(family, theta), m, generator) if m else points.points[:0]
        weights = torch.full((n + m,), 1 / n, dtype=torch.float64)
        return climb(family, torch.cat([points.points, synthetic]), weights, theta)

    return image


def maximum_likelihood(
    family: Family, data: Data, start: Tensor, *, draws: int = 100_000, tol: float | None = None
) -> Maximum:
    """θ* of eq. (7), or with an array of points the canonical θ_0 of eq. (1).

    Of the maxima found the highest is returned, and of several equally high (to 1e-9) the one of
    least norm. Starts that lead to no maximum are passed over.

    Args:
        family: The family.
        data: Law or points of the data.
        start: One or more points to climb from, (P,) or (s, P).
        draws: Number of draws where expectations are Monte Carlo, as in `rule`.
        tol: Tolerance of the expectations, as in `rule`.

    Returns:
        The maximum.

    Raises:
        NoMaximum: If no start leads to a maximum.
        ValueError: If no start has a finite objective.
    """

    def objective(at: Tensor) -> list[tuple[float, Rule]]:
        return [(1.0, rule(data, _probe(family, at), draws=draws, tol=tol))]

    starts = torch.as_tensor(start, dtype=torch.float64)
    found: list[Maximum] = []
    failures: list[Exception] = []
    for theta in starts.reshape(-1, starts.shape[-1]):
        try:
            found.append(_settle(family, objective, _vector(theta), tol))
        except (NoMaximum, ValueError) as error:
            failures.append(error)
    if not found:
        raise next((error for error in failures if isinstance(error, NoMaximum)), failures[0])
    highest = max(maximum.value for maximum in found)
    level = highest - 1e-9 * (1 + abs(highest))
    return min((m for m in found if m.value >= level), key=lambda m: float(m.theta.norm()))


def climb(family: Family, points: Tensor, weights: Tensor, start: Tensor) -> Maximum:
    """The local maximum of θ ↦ Σ weights_i log p_θ(points_i) that Newton's method reaches from
    `start`.

    Where the Hessian is not negative definite it is shifted until it is (Levenberg), in units that
    make its diagonal 1; steps are cut to 1 + ‖θ‖, lest they leap over the basin, and halved until
    they stay in the family's domain and gain.

    Args:
        family: The family.
        points: Points, (n, d).
        weights: Weight of each point, (n,).
        start: Where to begin, (P,).

    Returns:
        The maximum.

    Raises:
        NoMaximum: If the iteration runs away or does not end in 200 steps, or where it ends the
            Hessian is singular.
        ValueError: If `start` is outside the domain or its objective is not finite.
    """

    def objective(theta: Tensor) -> Tensor:
        return weights @ family.log_prob(theta, points)

    def at(theta: Tensor) -> float:
        value = float(objective(theta)) if in_domain(family, theta) else -math.inf
        return value if math.isfinite(value) else -math.inf

    slope = grad(objective)
    # for few parameters and many points faster than forward over reverse
    curvature_at = jacrev(slope)
    theta, value, iteration, gradient = start, at(start), 0, torch.zeros_like(start)
    if value == -math.inf:
        raise ValueError(
            f"start must be in the domain and give a finite objective, got {start.tolist()}"
        )
    for iteration in range(1, _MOST_STEPS + 1):
        gradient, curvature = slope(theta), curvature_at(theta)
        if not (torch.isfinite(gradient).all() and torch.isfinite(curvature).all()):
            raise NoMaximum(
                f"the derivatives of the objective are not finite at theta = {theta.tolist()}"
            )
        step, bend = _newton_step(gradient, curvature)
        step = step * min(1.0, float((1 + theta.norm()) / step.norm().clamp(min=1e-300)))
        gain = float(gradient @ step) / 2
        if gain <= 1e-16 * (1 + abs(value)):
            if bend > -1e-9:
                raise NoMaximum(
                    "not strongly concave: alpha = "
                    f"{-float(torch.linalg.eigvalsh(curvature)[-1]):.3g} at "
                    f"theta = {theta.tolist()}, where the gradient vanishes"
                )
            theta = theta + step if at(theta + step) > -math.inf else theta
            return Maximum(
                theta, at(theta), float(slope(theta).norm()), iteration, curvature_at(theta)
            )
        size = 1.0
        while at(theta + size * step) < value + 1e-4 * size * gain - _ROUNDING * (1 + abs(value)):
            size /= 2
            if size < 1e-12:
                raise NoMaximum(_stuck(family, theta, step, gradient))
        theta = theta + size * step
        value = at(theta)
        if theta.norm() > 1e8 * (1 + start.norm()):
            break
    raise NoMaximum(
        f"the objective has no maximum within reach: after {iteration} steps from "
        f"{start.tolist()} it is {value:.6g} "
        f"at theta = {theta.tolist()}, gradient norm {float(gradient.norm()):.3g}"
    )


def _stuck(family: Family, theta: Tensor, step: Tensor, gradient: Tensor) -> str:
    """Reason why no step gains: the edge of the domain, and the parameter that would cross it."""
    if in_domain(family, theta + 1e-3 * step):
        return f"no step gains although the gradient is {gradient.tolist()} at {theta.tolist()}"
    alone = torch.diag(1e-3 * step)
    across = [k for k, move in enumerate(alone) if not in_domain(family, theta + move)]
    k = across[0] if across else int((gradient * step).argmax())
    names = getattr(family, "parameter_names", ())
    name = f"theta[{k}]" + (f" ({names[k]})" if k < len(names) else "")
    return (
        f"the maximum is at the edge of the domain: the objective still grows as {name} = "
        f"{float(theta[k]):.6g} {'grows' if step[k] > 0 else 'falls'}, at theta = "
        f"{theta.tolist()}, gradient {gradient.tolist()}"
    )


def _newton_step(gradient: Tensor, curvature: Tensor) -> tuple[Tensor, float]:
    """(−H + shift)⁻¹ ∇, shifted if H is not negative definite, and H's largest eigenvalue in
    units of its diagonal.
    """
    diagonal = curvature.diagonal().abs()
    unit = diagonal.clamp(min=float(1e-12 * diagonal.max()) or 1.0).rsqrt()
    values, vectors = torch.linalg.eigh(-curvature * unit[:, None] * unit)
    shift = max(0.0, 1e-3 - float(values[0])) if values[0] <= 1e-9 else 0.0
    step = unit * (vectors @ ((vectors.T @ (unit * gradient)) / (values + shift)))
    return step, -float(values[0])


def _settle(
    family: Family,
    objective: Callable[[Tensor], list[tuple[float, Rule]]],
    start: Tensor,
    tol: float | None,
) -> Maximum:
    """Climb; rebuild the rules where the climb ends, and climb on, until they are good for the
    scores there.
    """
    if not in_domain(family, start):
        raise ValueError(
            f"start must be in the domain of {type(family).__name__}, got {start.tolist()}"
        )
    theta, iterations = start, 0
    for _ in range(10):
        rules = objective(theta)
        points = torch.cat([law_rule.points for _, law_rule in rules])
        weights = torch.cat([factor * law_rule.weights for factor, law_rule in rules])
        keep = weights > 0
        maximum = climb(family, points[keep], weights[keep], theta)
        theta, iterations = maximum.theta, iterations + maximum.iterations
        if all(_good_enough(family, theta, law_rule, tol) for factor, law_rule in rules if factor):
            return Maximum(theta, maximum.value, maximum.gradient_norm, iterations, maximum.hessian)
    raise NoMaximum(f"quadrature of the score does not converge near theta = {theta.tolist()}")


def _good_enough(family: Family, theta: Tensor, law_rule: Rule, tol: float | None) -> bool:
    if law_rule.method != "quadrature":
        return True
    values = scores(family, theta, law_rule.points)
    size = law_rule.weights @ values.abs()
    allowed = 100 * (tolerance(law_rule.points.shape[1]) if tol is None else tol)
    return bool((law_rule.expect(values).error <= allowed * (1 + size)).all())


def _vector(theta: Tensor) -> Tensor:
    theta = torch.as_tensor(theta, dtype=torch.float64)
    if theta.ndim != 1 or not torch.isfinite(theta).all():
        raise ValueError(f"theta must be a finite vector (P,), got {theta.tolist()}")
    return theta


def _require_lam(lam: float) -> None:
    if not (math.isfinite(lam) and lam >= 0):
        raise ValueError(
            f"lam must be finite and >= 0, got {lam} (lam = inf is retraining without real data)"
        )
