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
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, chi2, norm

from stability.families import Logistic, StudentT
from stability.laws.bracket import Bracket
from stability.laws.law import Member, NormalMixture
from stability.laws.monte_carlo import mean_square_slack, share_slack
from stability.statements.assumption3 import Constants, Fitted, KnownVarianceGaussian, Loop
from stability.statements.claim import ERROR_RATE, Claim, Premise
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "all_steps_succeed",
    "bound",
    "check",
    "counterexamples",
    "one_event_for_all_n",
    "radius_needed",
]

_claim = partial(
    Claim,
    source="Theorem 2",
    no_evidence="Runs that never come near the bound: (14) is a worst case, several times too "
    "large.",
    error_rate=ERROR_RATE,
    falsified_by="A share of runs outside the interval that a binomial law allows.",
)
_share = partial(_claim, values=(0.0, 1.0))
_ON_U = (Premise("ρ", "<", 1.0), Premise("radius needed over radius of U", "<=", 1.0))

STEP = _share(
    id="Assumption 3",
    words="for each n, ‖G^n − G^∞‖ on U exceeds ε_OPT + a/√n·√log(bt/δ) with probability at most "
    "δ/t",
    relation="<=",
    source="Assumption 3, eq. (13)",
    erratum="E6",
)
STEP_EXACTLY = _share(
    id="Assumption 3, exactly",
    words="the same for a Gaussian mean, whose residual is normal",
    relation="<=",
    source="Assumption 3, eq. (13)",
    falsified_by="A tail of χ² above δ/t.",
    error_rate=0.0,
)
SCATTER = _claim(
    id="Assumption 3, a",
    words="a = 2√λmax, λmax the largest variance of √n(G^n(θ*) − G^∞(θ*))",
    relation="==",
    source="Assumption 3, eq. (13)",
    falsified_by="A variance of residuals outside the interval that χ² allows.",
)
ON_U = _claim(
    id="Assumption 3, on U",
    words="residuals on all of U are larger than those at θ* alone",
    relation=">",
    source="Assumption 3, eq. (13)",
    falsified_by="A neighbourhood on which no residual is larger than at θ*.",
    error_rate=0.0,
)
RHO = _claim(
    id="Theorem 2, ρ",
    words="‖G^∞(θ) − θ*‖ ≤ ρ‖θ − θ*‖ on U",
    relation="<=",
    falsified_by="A point of U that comes less near.",
    error_rate=0.0,
)
EVERY_STEP = _share(
    id="Theorem 2, (111)-(112)",
    words="all t steps on one fixed real data set are within it with probability at least 1 − δ",
    relation=">=",
    erratum="E5",
)
COVERAGE = _share(
    id="Theorem 2",
    words="(14) holds at all generations up to t with probability at least 1 − δ",
    relation=">=",
    erratum="E7",
    needs=(*_ON_U, Premise("λ(1 + Lε/α)", "<", 0.5)),
)
QUANTILE = _claim(
    id="Theorem 2, quantile",
    words="the (1 − δ)-quantile of ‖θ_t − θ*‖ is at most (14)",
    relation="<=",
    erratum="E7",
    needs=(*_ON_U, Premise("λ(1 + Lε/α)", "<", 0.5)),
)
COVERAGE_S1 = replace(COVERAGE, id="Theorem 2, with S1 for Theorem 1", needs=_ON_U)
QUANTILE_S1 = replace(QUANTILE, id="Theorem 2, with S1 for Theorem 1, quantile", needs=_ON_U)
ELLIPSOID = _share(
    id="S3, coverage",
    words="the ellipsoid of S3 holds θ_t with probability 1 − δ",
    relation="==",
    source="own result S3",
)
COVARIANCE = _claim(
    id="S3, covariance",
    words="E (θ_t − θ*)ᵀ Cov⁻¹ (θ_t − θ*)/P = 1 with the covariance of S3",
    relation="==",
    source="own result S3",
    falsified_by="A mean over runs outside the interval that χ² allows.",
)

_refuted = partial(_claim, error_rate=0.0)
INDEPENDENT = _refuted(
    id="Theorem 2, (111) by independence",
    words="t steps of success probability 1 − δ all succeed with probability (1 − δ)^t",
    relation="==",
    erratum="E5",
    falsified_by="A Gaussian mean, t = 10.",
    refuted_because="The steps share one set of real data, and are independent only given it.",
)
POINTWISE = _refuted(
    id="Theorem 2, (13) for each θ instead of all",
    words="it is enough that (13) holds for each θ in U with probability 1 − δ",
    relation="<=",
    erratum="E5",
    falsified_by="A map that is wrong at its own fit alone.",
    refuted_because="θ_t depends on the real data, so the event must hold on all of U.",
)
ALL_N = _refuted(
    id="Assumption 3, one event for all n",
    words="(13) fails for some n with probability at most δ",
    relation="<=",
    source="Assumption 3, eq. (13)",
    erratum="E6",
    falsified_by="A Gaussian mean with ε_OPT = 0.",
    refuted_because="With ε_OPT = 0 it fails for some n with probability 1, by the law of the "
    "iterated logarithm.",
)
LEAVING = _refuted(
    id="Theorem 2 without a condition on U",
    words="(14) holds whenever θ_0 is near enough to θ*",
    relation="<=",
    erratum="E7",
    falsified_by="A map that contracts on U alone.",
    refuted_because="The recursion needs iterates that stay in U.",
)

_STUDENT_T = Fitted(StudentT(5.0), NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0)), radius=0.5)
_LOGISTIC = Fitted(Logistic(), Member(Logistic(), torch.zeros(2, dtype=torch.float64)), radius=0.5)

GRID: tuple[dict[str, Any], ...] = (
    {"model": KnownVarianceGaussian(), "n": 20, "lam": 0.25, "t": 10, "delta": 0.05},
    {"model": KnownVarianceGaussian(d=5, tau=2.0), "n": 20, "lam": 0.4, "t": 10, "delta": 0.05},
    # λ beyond Theorem 1, where S1 speaks
    {"model": KnownVarianceGaussian(d=2), "n": 20, "lam": 4.0, "t": 10, "delta": 0.01},
    # so many steps that they need the union bound
    {"model": KnownVarianceGaussian(), "n": 4, "lam": 4.0, "t": 100, "delta": 0.5, "chains": 500},
    # fits that are off by more than their scatter
    {"model": KnownVarianceGaussian(d=2, eps_opt=2.0), "n": 20, "lam": 0.4, "t": 10, "delta": 0.1},
    {"model": _STUDENT_T, "n": 600, "lam": 0.1, "t": 5, "delta": 0.1},
    {"model": _LOGISTIC, "n": 400, "lam": 0.25, "t": 5, "delta": 0.1},
)


class LoopModel(Protocol):
    """`KnownVarianceGaussian` or `Fitted` of `assumption3`."""

    def run(self, n: int, lam: float, t: int, chains: int, rng: np.random.Generator) -> Loop: ...


def bound(
    c: float, t: int, rho: float, start: ArrayLike, terms: int | None = None
) -> NDArray[np.float64]:
    """c Σ_{l<terms} ρ^l + ρ^t ‖θ_0 − θ*‖, what e_{s+1} ≤ c + ρe_s allows after t steps (eq. (14)).

    Args:
        c: What each step may be off by, >= 0.
        t: Steps, whole, >= 0.
        rho: >= 0.
        start: e_0 = ‖θ_0 − θ*‖, any shape.
        terms: t by default; t + 1 gives (14) as printed, which is cρ^t larger (E7).

    Returns:
        The bound, of the shape of `start`.
    """
    powers = float(rho) ** np.arange(t if terms is None else terms)
    return c * powers.sum() + float(rho) ** t * np.asarray(start, dtype=float)


def radius_needed(c: float, rho: float) -> float:
    """c/(1 − ρ), inf for ρ >= 1: from a start in a ball U of this radius or more no step leads
    out of U (E7).

    Args:
        c: Error of each step, at most, >= 0.
        rho: Contraction rate ρ, >= 0.

    Returns:
        The radius, in the units of c.
    """
    return c / (1 - rho) if rho < 1 else math.inf


def one_event_for_all_n(level: float, doublings: int) -> NDArray[np.float64]:
    """P(√n|x̄_n − μ|/τ ≤ level for n = 1, 2, 4 … 2^k), k = 0 … doublings, for nested samples on the
    line. To 1e-12.

    √n(x̄_n − μ)/τ is a stationary Gaussian sequence in k of correlation √½ from term to term, so
    that one fixed kernel takes the density of the paths that have stayed from k to k + 1:
    quadrature, no simulation.

    Args:
        level: Largest deviation, in standard errors, > 0.
        doublings: Last k, >= 0.

    Returns:
        Probabilities, (doublings + 1,).
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
    μ*, whose share of their variance is 1/(1 + λ), and given that they are independent.

    Args:
        delta: δ, probability that one step fails, in (0, 1).
        lam: Synthetic points per real point, > 0; the time grows as 1/√λ.
        t: Steps, >= 0.

    Returns:
        The probability.
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
    chains: int | None = None,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """Assumption 3, the union bound, (14) with its looseness, and S3's prediction, on many runs of
    Algorithm 1.

    Args:
        model: The learner and its data: runs Algorithm 1.
        n: Fixed real points, λn whole.
        lam: Synthetic points per real point, > 0.
        t: Retrainings, >= 1.
        delta: In (0, 1): the bound may fail with probability δ.
        rng: Source of all draws.
        chains: Runs, each with real data of its own; by default 5000 for a Gaussian mean and 150
            else.
        false_alarm: Of each verdict, all of which use randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range.
    """
    if n != int(n) or n < 1 or t != int(t) or t < 1:
        raise ValueError(f"n and t must be whole numbers >= 1, got n = {n} and t = {t}")
    if not (math.isfinite(lam) and lam > 0):
        raise ValueError(f"lam must be finite and > 0, got {lam}")
    if not (0 < delta < 1 and 0 < false_alarm < 1):
        raise ValueError(f"delta and false_alarm must be in (0, 1), got {delta} and {false_alarm}")
    exact = isinstance(model, KnownVarianceGaussian)
    if chains is None:
        chains = 5000 if exact else 150

    loop = model.run(n, lam, t, chains, rng)
    case = (n, t, delta, false_alarm, f"{loop.name}, n = {n}, λ = {lam:g}, t = {t}")
    verdicts = [
        *_premises(loop, *case),
        *_conclusion(loop, *case),
        *_sharp(loop, *case[2:], centred=not (exact and model.eps_opt)),
        _scatter(loop, n, false_alarm, case[-1]),
        _rate(loop, case[-1]),
    ]
    if isinstance(model, KnownVarianceGaussian):
        allowed = loop.constants.allowance(n, t, delta)
        verdicts.append(
            STEP_EXACTLY.verdict(
                case[-1],
                measured=model.exceedance(n, lam, allowed),
                claimed=delta / t,
                method="closed form, noncentral χ²",
            )
        )
    else:
        verdicts.append(_neighbourhood(loop, case[-1]))
    return verdicts


def counterexamples() -> list[Verdict]:
    """E5, E6 and E7: what the printed statement and its proof say, each `violated`, with what is
    true in `note`.
    """
    return [_independence(), _pointwise(), _all_n(), _leaving()]


_MEAN = {"model": KnownVarianceGaussian(d=2), "n": 20, "lam": 0.4, "t": 5, "delta": 0.1}
_MANY = GRID[3]
_BEYOND = {**_MEAN, "lam": 0.5}
_OFF = {**_MEAN, "model": KnownVarianceGaussian(d=2, eps_opt=2.0)}
_FITTED = {
    "model": _STUDENT_T,
    "n": 200,
    "lam": 0.1,
    "t": 2,
    "delta": 0.1,
    "chains": 100,
}
_CONSTANTS = "stability.statements.assumption3.Constants"
_HERE = "stability.statements.theorem2"


def _no_union_bound(right: Callable[..., float]) -> Callable[..., float]:
    return lambda constants, n, t, delta: right(constants, n, 1, delta)


def _spoiled_loop(**factors: float) -> Callable[..., Any]:
    """The loop with fields that are so many times as large."""

    def by(right: Callable[..., Loop]) -> Callable[..., Loop]:
        def run(*arguments: Any) -> Loop:
            loop = right(*arguments)
            spoiled = {name: factor * getattr(loop, name) for name, factor in factors.items()}
            return replace(loop, **spoiled)

        return run

    return by


_RUN, _FIT = (
    f"stability.statements.assumption3.{model}.run" for model in ("KnownVarianceGaussian", "Fitted")
)


def _no_eps_opt(right: Callable[..., float]) -> Callable[..., float]:
    return lambda constants, n, delta: right(replace(constants, eps_opt=0.0), n, delta)


MUTATIONS = (
    Mutation(STEP, f"{_CONSTANTS}.step", "no ε_OPT", _OFF, _no_eps_opt),
    Mutation(COVERAGE, f"{_CONSTANTS}.step", "no ε_OPT", _OFF, _no_eps_opt),
    Mutation(STEP, f"{_CONSTANTS}.step", "a quarter of a", _MEAN, scaled(0.25)),
    Mutation(STEP_EXACTLY, f"{_CONSTANTS}.allowance", "no union bound", _MANY, _no_union_bound),
    Mutation(EVERY_STEP, f"{_CONSTANTS}.allowance", "no union bound", _MANY, _no_union_bound),
    Mutation(COVERAGE, f"{_CONSTANTS}.step", "a quarter of a", _MEAN, scaled(0.25)),
    Mutation(QUANTILE, f"{_CONSTANTS}.step", "a quarter of a", _MEAN, scaled(0.25)),
    Mutation(COVERAGE_S1, f"{_CONSTANTS}.step", "a quarter of a", _BEYOND, scaled(0.25)),
    Mutation(QUANTILE_S1, f"{_CONSTANTS}.step", "a quarter of a", _BEYOND, scaled(0.25)),
    Mutation(ELLIPSOID, _RUN, "0.7 of the covariance", _MEAN, _spoiled_loop(covariance=0.7)),
    Mutation(COVARIANCE, _RUN, "0.7 of the covariance", _MEAN, _spoiled_loop(covariance=0.7)),
    Mutation(ELLIPSOID, _FIT, "0.2 of the covariance", _FITTED, _spoiled_loop(covariance=0.2)),
    Mutation(COVARIANCE, _FIT, "0.2 of the covariance", _FITTED, _spoiled_loop(covariance=0.2)),
    Mutation(SCATTER, f"{_HERE}._scale", "a third of a", _FITTED, scaled(1 / 9)),
    Mutation(RHO, _FIT, "half of ρ", _FITTED, _spoiled_loop(rho=0.5)),
    Mutation(
        ON_U,
        _FIT,
        "residuals at θ* alone",
        _FITTED,
        lambda right: lambda *a: replace(loop := right(*a), steps=loop.at_star[None]),
    ),
)
"""Slips, and the claim that each must break."""


def _premises(
    loop: Loop, n: int, t: int, delta: float, false_alarm: float, case: str
) -> list[Verdict]:
    """(13) at the level δ/t that the proof uses, and, where every round was seen, the union
    bound (E5).
    """
    rounds, chains = loop.steps.shape
    constants = loop.constants
    beyond = loop.steps > constants.allowance(n, t, delta)
    common: dict[str, Any] = {
        "false_alarm": false_alarm,
        "assumptions": {
            "a": constants.a,
            "least a in the draws": loop.least_a(n),
            "b": constants.b,
            "ε_OPT": constants.eps_opt,
            "radius of U": loop.radius,
        },
    }
    verdicts = [
        STEP.verdict(
            case,
            measured=float(beyond[0].mean()),
            claimed=delta / t,
            tolerance=share_slack(delta / t, chains, false_alarm),
            method=f"share of {chains} draws of real points and latents, at {loop.seen}; "
            "tolerance: exact, binomial",
            in_place_of=_all_n(),
            note="printed for all n at once, which fails with probability 1 if ε_OPT = 0",
            **common,
        )
    ]

    if rounds == t:
        verdicts.append(
            EVERY_STEP.verdict(
                case,
                measured=float((~beyond).all(axis=0).mean()),
                claimed=1 - delta,
                tolerance=share_slack(1 - delta, chains, false_alarm),
                method=f"share of {chains} runs; tolerance: exact, binomial",
                note="by a union bound; the steps are not independent",
                **common,
            )
        )

    return verdicts


def _conclusion(
    loop: Loop, n: int, t: int, delta: float, false_alarm: float, case: str
) -> list[Verdict]:
    """(14): how often it holds, and how far above the errors it lies."""
    errors = np.linalg.norm(loop.errors, axis=2)  # (t + 1, R)
    chains, start = errors.shape[1], errors[0]
    c = loop.constants.allowance(n, t, delta)
    limits = np.array([bound(c, s, loop.rho, start) for s in range(t + 1)])
    inside = (errors <= limits).all(axis=0) | (start > loop.radius)
    last, order = np.sort(errors[-1]), int(binom.ppf(false_alarm, chains, 1 - delta))
    quantile, typical = float(np.quantile(last, 1 - delta)), float(np.median(limits[-1]))

    condition = loop.condition
    by_theorem1 = (condition.high if isinstance(condition, Bracket) else condition) < 0.5
    common: dict[str, Any] = {
        "false_alarm": false_alarm,
        "assumptions": _on_u(loop, c, float((start <= loop.radius).mean())),
    }
    return [
        (COVERAGE if by_theorem1 else COVERAGE_S1).verdict(
            case,
            measured=float(inside.mean()),
            claimed=1 - delta,
            tolerance=share_slack(1 - delta, chains, false_alarm),
            method=f"share of {chains} runs of Algorithm 1; tolerance: exact, binomial",
            **common,
        ),
        (QUANTILE if by_theorem1 else QUANTILE_S1).verdict(
            case,
            measured=quantile,
            claimed=typical,
            # the order-th smallest exceeds the true quantile with probability at most false_alarm
            tolerance=quantile - float(last[order - 1] if order else 0),
            method=f"{chains} runs, and the median of their bounds; tolerance: of the quantile, "
            "exact, binomial",
            note=f"(14) is {typical / quantile:.1f} times too large",
            **common,
        ),
    ]


def _on_u(loop: Loop, c: float, starts: float) -> dict[str, float | Bracket]:
    """The assumptions of (14), as measured.   c: what a step may be off by; starts: share in U."""
    needed = radius_needed(c, loop.rho)
    return {
        "λ(1 + Lε/α)": loop.condition,
        "ρ": loop.rho,
        "radius of U": loop.radius,
        "radius needed": needed,
        "radius needed over radius of U": needed / loop.radius if needed < math.inf else math.inf,
        "share of starts in U": starts,
        "a": loop.constants.a,
        "b": loop.constants.b,
        "ε_OPT": loop.constants.eps_opt,
    }


def _sharp(loop: Loop, delta: float, false_alarm: float, case: str, centred: bool) -> list[Verdict]:
    """S3: θ_t − θ* is normal about 0, with a covariance that has no worst case in it; nothing where
    fits are off to one side, so that it is not `centred`.
    """
    if not centred:
        return []
    last = loop.errors[-1]  # (R, P)
    chains, P = last.shape
    squares = np.einsum("rp,pq,rq->r", last, np.linalg.inv(loop.covariance), last)

    return [
        ELLIPSOID.verdict(
            case,
            measured=float((squares <= chi2.isf(delta, P)).mean()),
            claimed=1 - delta,
            tolerance=share_slack(1 - delta, chains, false_alarm / 2),
            method=f"share of {chains} runs; tolerance: exact, binomial",
            false_alarm=false_alarm,
        ),
        COVARIANCE.verdict(
            case,
            measured=float(squares.mean()) / P,
            claimed=1.0,
            tolerance=mean_square_slack(squares.size * P, false_alarm / 4),
            method=f"{chains} runs; tolerance: χ², doubled where θ_t is only nearly normal",
            false_alarm=false_alarm,
        ),
    ]


def _scale(constants: Constants) -> float:
    """(a/2)², the largest variance of √n(G^n(θ*) − G^∞(θ*)) that a stands for."""
    return (constants.a / 2) ** 2


def _scatter(loop: Loop, n: int, false_alarm: float, case: str) -> Verdict:
    """a against the residuals along the direction in which they scatter most."""
    claimed = _scale(loop.constants)
    return SCATTER.verdict(
        case,
        measured=n * float(np.square(loop.residuals).mean()),
        claimed=claimed,
        tolerance=claimed * mean_square_slack(len(loop.residuals), false_alarm / 4),
        method=f"{len(loop.residuals)} draws; tolerance: χ², doubled where residuals are only "
        "nearly normal",
        false_alarm=false_alarm,
    )


def _rate(loop: Loop, case: str) -> Verdict:
    """ρ against points of U that it was not found at."""
    return RHO.verdict(
        case,
        measured=loop.pull,
        claimed=loop.rho,
        tolerance=1e-9,
        method="G^∞ along the diagonals of U; tolerance: of G^∞",
    )


def _neighbourhood(loop: Loop, case: str) -> Verdict:
    """The largest residual on U over that at θ*, on average."""
    return ON_U.verdict(
        case,
        measured=float(loop.steps[0].mean() / loop.at_star.mean()),
        claimed=1.0,
        method=f"mean over {len(loop.at_star)} draws, at {loop.seen}",
    )


def _independence() -> Verdict:
    delta, lam, t = 0.05, 1.0, 10
    return INDEPENDENT.verdict(
        f"Gaussian mean, d = 1, λ = {lam:g}, t = {t}, δ = {delta}",
        measured=all_steps_succeed(delta, lam, t),
        claimed=(1 - delta) ** t,
        method="quadrature over the mean of the real points; tolerance: of the quadrature",
        tolerance=1e-10,
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
    return POINTWISE.verdict(
        "G^n(θ) = x̄ for θ ≠ x̄, G^n(x̄) = x̄ + 10, G^∞ = 0 = θ*, θ_0 = x̄ ~ N(0, 1/n), "
        f"n = {n}, δ = {delta}",
        measured=error,
        claimed=stated,
        method="closed form: P(x̄ = θ) = 0 for each θ, yet θ_0 = x̄",
        note="with fixed real data θ_t depends on them, so the event of (13) must hold on all of "
        "U, as printed",
    )


def _all_n() -> Verdict:
    delta, doublings = 0.5, 24
    constants = KnownVarianceGaussian().constants(0.0)
    level = constants.step(1, delta)
    measured = 1 - float(one_event_for_all_n(level, doublings)[-1])
    return ALL_N.verdict(
        f"Gaussian mean, d = 1, a = 2τ, b = √2, δ = {delta}, n = 1, 2, 4 … 2^{doublings}",
        measured=measured,
        claimed=delta,
        method="quadrature of the path √n(x̄_n − μ); tolerance: of the quadrature",
        tolerance=1e-12,
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
    return LEAVING.verdict(
        "G^∞(θ) = θ/2 on U = [−1, 1], 1000 outside; ε_OPT = 0.8, a = 0, θ_0 = θ* = 0, t = 3",
        measured=theta,
        claimed=stated,
        method="closed form",
        note=f"needs c/(1 − ρ) ≤ radius of U; here {radius_needed(c, rho):g} > {radius:g}",
    )
