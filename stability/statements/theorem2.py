"""Theorem 2: with n fixed real points the iterates stay near θ*, with high probability.

The statement that is checked, proved in docs/theory/theorem2.md. Let U be the ball of radius r
about θ* on which ‖G^∞(θ) − θ*‖ ≤ ρ‖θ − θ*‖, ρ < 1, and (13) hold, and write c = ε_OPT +
a/√n·√log(bt/δ). If c ≤ (1 − ρ) r (erratum E7) and ‖θ_0 − θ*‖ ≤ r, then with probability 1 − δ, by a
union bound (E5),

    ‖θ_s − θ*‖ ≤ c Σ_{l<s} ρ^l + ρ^s ‖θ_0 − θ*‖    for all s = 0 … t.

The printed (14) has a term cρ^t more. Beside it stands what S3 predicts, without constants that are
worst cases.
"""

import math
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, chi2, norm

from stability.families import Logistic, StudentT
from stability.laws.law import Member, NormalMixture
from stability.laws.monte_carlo import mean_square_slack, share_slack
from stability.statements.assumption3 import Constants, Fitted, KnownVarianceGaussian, Loop
from stability.statements.verdict import Status, Verdict, compare

__all__ = [
    "GRID",
    "all_steps_succeed",
    "bound",
    "check",
    "controls",
    "counterexamples",
    "one_event_for_all_n",
    "radius_needed",
]

_STUDENT_T = Fitted(StudentT(5.0), NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0)), radius=0.5)
_LOGISTIC = Fitted(Logistic(), Member(Logistic(), torch.zeros(2, dtype=torch.float64)), radius=0.5)

GRID: tuple[dict[str, Any], ...] = (
    {"model": KnownVarianceGaussian(), "n": 20, "lam": 0.25, "t": 10, "delta": 0.05},
    {"model": KnownVarianceGaussian(d=5, tau=2.0), "n": 20, "lam": 0.4, "t": 10, "delta": 0.05},
    # λ beyond Theorem 1, where S1 speaks
    {"model": KnownVarianceGaussian(d=2), "n": 20, "lam": 4.0, "t": 10, "delta": 0.01},
    {"model": _STUDENT_T, "n": 600, "lam": 0.1, "t": 5, "delta": 0.1},
    {"model": _LOGISTIC, "n": 400, "lam": 0.25, "t": 5, "delta": 0.1},
)


class LoopModel(Protocol):
    """`KnownVarianceGaussian` or `Fitted` of `assumption3`."""

    def run(self, n: int, lam: float, t: int, replicas: int, rng: np.random.Generator) -> Loop: ...


def bound(
    c: float, t: int, rho: float, start: ArrayLike, terms: int | None = None
) -> NDArray[np.float64]:
    """c Σ_{l<terms} ρ^l + ρ^t ‖θ_0 − θ*‖, what e_{s+1} ≤ c + ρe_s allows after t steps (eq. (14)).

    Args:
        c: What each step may be off by, >= 0.
        rho: >= 0.
        start: e_0 = ‖θ_0 − θ*‖, any shape.
        terms: t by default; t + 1 gives (14) as printed, which is cρ^t larger (E7).
    """
    powers = float(rho) ** np.arange(t if terms is None else terms)
    return c * powers.sum() + float(rho) ** t * np.asarray(start, dtype=float)


def radius_needed(c: float, rho: float) -> float:
    """c/(1 − ρ), inf for ρ >= 1: from a start in a ball U of this radius or more no step leads
    out of U (E7).
    """
    return c / (1 - rho) if rho < 1 else math.inf


def one_event_for_all_n(level: float, doublings: int) -> NDArray[np.float64]:
    """P(√n|x̄_n − μ|/τ ≤ level for n = 1, 2, 4 … 2^k), k = 0 … doublings, for nested samples on the
    line. To 1e-12.

    √n(x̄_n − μ)/τ is a stationary Gaussian sequence in k of correlation √½ from term to term, so
    that one fixed kernel takes the density of the paths that have stayed from k to k + 1:
    quadrature, no simulation.   level: > 0.
    """
    nodes, weights = np.polynomial.legendre.leggauss(100)
    x, w = level * nodes, level * weights
    kernel = norm.pdf(x[:, None], loc=math.sqrt(0.5) * x, scale=math.sqrt(0.5))
    density = norm.pdf(x)
    stayed = [w @ density]
    for _ in range(doublings):
        density = kernel @ (w * density)
        stayed.append(w @ density)
    return np.array(stayed)


def all_steps_succeed(delta: float, lam: float, t: int) -> float:
    """P(t steps on one fixed real data set each satisfy an event of probability 1 − δ), for a
    Gaussian mean, to 1e-12.

    The event is |r_s| ≤ its quantile, on the line. The r_s = (x̄ − μ* + λz̄_s)/(1 + λ) share x̄ −
    μ*, whose share of their variance is 1/(1 + λ), and given that they are independent.   lam: > 0;
    the time grows as 1/√λ.
    """
    level = norm.isf(delta / 2)
    # the trapezoidal rule, on an analytic integrand: errors are e^(−79)
    step = 0.5 * min(1.0, math.sqrt(lam))
    # (x̄ − μ*) in standard deviations
    u = step * np.arange(-math.ceil(10 / step), math.ceil(10 / step) + 1)
    centre, spread = u / math.sqrt(1 + lam), math.sqrt(lam / (1 + lam))
    given = norm.cdf((level - centre) / spread) - norm.cdf((-level - centre) / spread)
    return float(step * norm.pdf(u) @ given**t)


def check(
    model: LoopModel,
    n: int,
    lam: float,
    t: int,
    delta: float,
    rng: np.random.Generator,
    replicas: int | None = None,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """Assumption 3, the union bound, (14) with its looseness, and S3's prediction, on many runs of
    Algorithm 1.

    Args:
        n: Fixed real points, λn whole.
        lam: Synthetic points per real point, > 0.
        t: Retrainings, >= 1.
        delta: In (0, 1): the bound may fail with probability δ.
        replicas: Runs, each with real data of its own; by default 5000 for a Gaussian mean and 150
            else.
        false_alarm: Of each verdict, all of which use randomness.

    Raises:
        ValueError: If out of range.
    """
    return _check(model, n, lam, t, delta, rng, replicas, false_alarm)


def controls(rng: np.random.Generator) -> list[Verdict]:
    """The same with spoiled constants: each is `violated`."""
    mean = {
        "model": KnownVarianceGaussian(d=2),
        "n": 20,
        "lam": 0.5,
        "t": 5,
        "delta": 0.1,
        "rng": rng,
    }
    student = {"model": _STUDENT_T, "n": 600, "lam": 0.1, "t": 2, "delta": 0.1, "rng": rng}
    small, wide = _check(**mean, shrink=0.25), _check(**mean, inflate=0.7)
    fitted = _check(**student, replicas=100, shrink=0.15, inflate=0.3)
    return [*small[:4], *wide[4:], *fitted]


def counterexamples() -> list[Verdict]:
    """E5, E6 and E7: what the printed statement and its proof say, each `violated`, with what is
    true in `note`.
    """
    return [_independence(), _pointwise(), _all_n(), _leaving()]


def _check(
    model: LoopModel,
    n: int,
    lam: float,
    t: int,
    delta: float,
    rng: np.random.Generator,
    replicas: int | None = None,
    false_alarm: float = 1e-6,
    *,
    shrink: float = 1.0,
    inflate: float = 1.0,
) -> list[Verdict]:
    if n != int(n) or n < 1 or t != int(t) or t < 1:
        raise ValueError(f"n and t must be whole numbers >= 1, got n = {n} and t = {t}")
    if not (math.isfinite(lam) and lam > 0):
        raise ValueError(f"lam must be finite and > 0, got {lam}")
    if not (0 < delta < 1 and 0 < false_alarm < 1):
        raise ValueError(f"delta and false_alarm must be in (0, 1), got {delta} and {false_alarm}")
    if replicas is None:
        replicas = 5000 if isinstance(model, KnownVarianceGaussian) else 150
    loop = model.run(n, lam, t, replicas, rng)
    constants = Constants(
        shrink * loop.constants.a, loop.constants.b, shrink * loop.constants.eps_opt
    )
    case = (n, t, delta, false_alarm, f"{loop.name}, n = {n}, λ = {lam:g}, t = {t}")
    return [
        *_premises(loop, constants, *case),
        *_conclusion(loop, constants, *case),
        *_sharp(loop, inflate, *case[2:]),
    ]


def _premises(
    loop: Loop,
    constants: Constants,
    n: int,
    t: int,
    delta: float,
    false_alarm: float,
    instance: str,
) -> list[Verdict]:
    """(13) at the level δ/t that the proof uses, and, where every round was seen, the union
    bound (E5).
    """
    rounds, replicas = loop.steps.shape
    beyond = loop.steps > constants.step(n, delta / t)
    first = float(beyond[0].mean())
    slack = share_slack(delta / t, replicas, false_alarm)
    assumptions = {
        "a": constants.a,
        "least a in the draws": loop.least_a(n),
        "b": constants.b,
        "ε_OPT": constants.eps_opt,
        "radius of U": loop.radius,
    }
    verdicts = [
        Verdict(
            claim="Assumption 3",
            words="for each n, ‖G^n − G^∞‖ on U exceeds ε_OPT + a/√n·√log(bt/δ) with probability "
            "at most δ/t",
            instance=instance,
            measured=first,
            relation="<=",
            stated=delta / t,
            status=Status.CORRECTED if first <= delta / t + slack else Status.VIOLATED,
            method=f"share of {replicas} draws of real points and latents, at {loop.seen}; "
            "tolerance: exact, binomial",
            tolerance=slack,
            false_alarm=false_alarm,
            assumptions=assumptions,
            erratum="E6",
            note="printed for all n at once, which fails with probability 1",
        )
    ]
    if rounds == t:
        every = float((~beyond).all(axis=0).mean())
        slack = share_slack(1 - delta, replicas, false_alarm)
        verdicts.append(
            Verdict(
                claim="Theorem 2, (111)-(112)",
                words="all t steps on one fixed real data set are within it with probability at "
                "least 1 − δ",
                instance=instance,
                measured=every,
                relation=">=",
                stated=1 - delta,
                status=compare(every, ">=", 1 - delta, slack),
                method=f"share of {replicas} runs; tolerance: exact, binomial",
                tolerance=slack,
                false_alarm=false_alarm,
                assumptions=assumptions,
                erratum="E5",
                note="by a union bound; the steps are not independent",
            )
        )
    return verdicts


def _conclusion(
    loop: Loop,
    constants: Constants,
    n: int,
    t: int,
    delta: float,
    false_alarm: float,
    instance: str,
) -> list[Verdict]:
    """(14): how often it holds, and how far above the errors it lies."""
    errors = np.linalg.norm(loop.errors, axis=2)  # (t + 1, R)
    replicas = errors.shape[1]
    start, c = errors[0], constants.step(n, delta / t)
    limits = np.array([bound(c, s, loop.rho, start) for s in range(t + 1)])
    inside = (errors <= limits).all(axis=0) | (start > loop.radius)
    covered, slack = float(inside.mean()), share_slack(1 - delta, replicas, false_alarm)
    needed = radius_needed(c, loop.rho)
    speaks = needed <= loop.radius and loop.rho < 1
    last, order = np.sort(errors[-1]), int(binom.ppf(false_alarm, replicas, 1 - delta))
    quantile, typical = float(np.quantile(last, 1 - delta)), float(np.median(limits[-1]))
    # the order-th smallest exceeds the true quantile with probability at most false_alarm
    margin = quantile - float(last[order - 1] if order else 0)
    common = {
        "instance": instance,
        "false_alarm": false_alarm,
        "erratum": "E7",
        "assumptions": {
            "λ(1 + Lε/α)": loop.condition,
            "ρ": loop.rho,
            "radius of U": loop.radius,
            "radius needed": needed,
            "share of starts in U": float((start <= loop.radius).mean()),
            "a": constants.a,
            "b": constants.b,
            "ε_OPT": constants.eps_opt,
        },
    }
    claim = "Theorem 2" if loop.condition < 0.5 else "Theorem 2, with S1 for Theorem 1"
    return [
        Verdict(
            claim=claim,
            words="(14) holds at all generations up to t with probability at least 1 − δ",
            measured=covered,
            relation=">=",
            stated=1 - delta,
            status=compare(covered, ">=", 1 - delta, slack) if speaks else Status.VACUOUS,
            method=f"share of {replicas} runs of Algorithm 1; tolerance: exact, binomial",
            tolerance=slack,
            **common,
        ),
        Verdict(
            claim=claim,
            words="the (1 − δ)-quantile of ‖θ_t − θ*‖ is at most (14)",
            measured=quantile,
            relation="<=",
            stated=typical,
            status=compare(quantile, "<=", typical, margin) if speaks else Status.VACUOUS,
            method=f"{replicas} runs, and the median of their bounds; tolerance: of the quantile, "
            "exact, binomial",
            tolerance=margin,
            note=f"(14) is {typical / quantile:.1f} times too large",
            **common,
        ),
    ]


def _sharp(
    loop: Loop, inflate: float, delta: float, false_alarm: float, instance: str
) -> list[Verdict]:
    """S3: θ_t − θ* is normal about 0, with a covariance that has no worst case in it."""
    last = loop.errors[-1]  # (R, P)
    replicas, P = last.shape
    squares = np.einsum("rp,pq,rq->r", last, np.linalg.inv(inflate * loop.covariance), last)
    covered, slack = (
        float((squares <= chi2.isf(delta, P)).mean()),
        share_slack(1 - delta, replicas, false_alarm / 2),
    )
    mean, spread = float(squares.mean()) / P, mean_square_slack(squares.size * P, false_alarm / 4)
    common = {"instance": instance, "relation": "==", "false_alarm": false_alarm}
    return [
        Verdict(
            claim="S3, coverage",
            words="the ellipsoid of S3 holds θ_t with probability 1 − δ",
            measured=covered,
            stated=1 - delta,
            status=compare(covered, "==", 1 - delta, slack),
            method=f"share of {replicas} runs; tolerance: exact, binomial",
            tolerance=slack,
            **common,
        ),
        Verdict(
            claim="S3, covariance",
            words="E (θ_t − θ*)ᵀ Cov⁻¹ (θ_t − θ*)/P = 1 with the covariance of S3",
            measured=mean,
            stated=1.0,
            status=compare(mean, "==", 1.0, spread),
            method=f"{replicas} runs; tolerance: χ², doubled where θ_t is only nearly normal",
            tolerance=spread,
            **common,
        ),
    ]


def _independence() -> Verdict:
    delta, lam, t = 0.05, 1.0, 10
    measured, stated = all_steps_succeed(delta, lam, t), (1 - delta) ** t
    return Verdict(
        claim="Theorem 2, (111) by independence",
        words="t steps of success probability 1 − δ all succeed with probability (1 − δ)^t",
        instance=f"Gaussian mean, d = 1, λ = {lam:g}, t = {t}, δ = {delta}",
        measured=measured,
        relation="==",
        stated=stated,
        status=compare(measured, "==", stated, 1e-10),
        method="quadrature over the mean of the real points; tolerance: of the quadrature",
        tolerance=1e-10,
        erratum="E5",
        note="≥ holds, by Jensen's inequality, since the steps are alike and independent given "
        "the real data; so does "
        "the union bound, which needs neither",
    )


def _pointwise() -> Verdict:
    """x̄ ~ N(0, 1/n) is the fit, and G^n(θ) = x̄ but for G^n(x̄) = x̄ + 10: no fixed θ sees the
    difference.
    """
    a, b, delta, n = 2.0, math.sqrt(2), 0.05, 100
    # of θ_1 = x̄ + 10, but for one data set in a million
    error = 10.0 - float(norm.isf(1e-6)) / math.sqrt(n)
    stated = float(bound(Constants(a, b).step(n, delta), 1, 0.0, 0.0))
    return Verdict(
        claim="Theorem 2, (13) for each θ instead of all",
        words="it is enough that (13) holds for each θ in U with probability 1 − δ",
        instance="G^n(θ) = x̄ for θ ≠ x̄, G^n(x̄) = x̄ + 10, G^∞ = 0 = θ*, θ_0 = x̄ ~ N(0, 1/n), "
        f"n = {n}, δ = {delta}",
        measured=error,
        relation="<=",
        stated=stated,
        status=compare(error, "<=", stated),
        method="closed form: P(x̄ = θ) = 0 for each θ, yet θ_0 = x̄",
        erratum="E5",
        note="with fixed real data θ_t depends on them, so the event of (13) must hold on all of "
        "U, as printed",
    )


def _all_n() -> Verdict:
    delta, doublings = 0.5, 24
    constants = KnownVarianceGaussian().constants(0.0)
    level = constants.step(1, delta)
    measured = 1 - float(one_event_for_all_n(level, doublings)[-1])
    return Verdict(
        claim="Assumption 3, one event for all n",
        words="(13) fails for some n with probability at most δ",
        instance=f"Gaussian mean, d = 1, a = 2τ, b = √2, δ = {delta}, n = 1, 2, 4 … 2^{doublings}",
        measured=measured,
        relation="<=",
        stated=delta,
        status=compare(measured, "<=", delta, 1e-12),
        method="quadrature of the path √n(x̄_n − μ); tolerance: of the quadrature",
        tolerance=1e-12,
        erratum="E6",
        note="holds for each n alone; fails for some n with probability 1, by the law of the "
        "iterated logarithm",
    )


def _leaving() -> Verdict:
    """G^∞(θ) = θ/2 on U = [−1, 1] and 1000 outside; every fit is off by 0.8.

    So 0, 0.8, 1.2, 1000.8.
    """
    rho, radius, c, t, theta = 0.5, 1.0, 0.8, 3, 0.0
    for _ in range(t):
        theta = (rho * theta if abs(theta) <= radius else 1000.0) + c
    stated = float(bound(c, t, rho, 0.0, terms=t + 1))
    return Verdict(
        claim="Theorem 2 without a condition on U",
        words="(14) holds whenever θ_0 is near enough to θ*",
        instance="G^∞(θ) = θ/2 on U = [−1, 1], 1000 outside; ε_OPT = 0.8, a = 0, θ_0 = θ* = 0, t "
        "= 3",
        measured=theta,
        relation="<=",
        stated=stated,
        status=compare(theta, "<=", stated),
        method="closed form",
        erratum="E7",
        note=f"needs c/(1 − ρ) ≤ radius of U; here {radius_needed(c, rho):g} > {radius:g}",
    )
