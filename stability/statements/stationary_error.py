"""S3, S4 and S7: where the iterates settle, as errors over the Cramér–Rao bound of one fit to the n
real points.

For the mean of a Gaussian with known variance the laws below are exact at every n and t; to first
order in 1/n they hold in every well-specified regular family. The derivations are in
docs/theory/stationary-error.md.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma
from scipy.stats import chi2

from stability.analysis.jacobian import jacobian, stationary_covariance
from stability.gaussian.learner import GaussianLearner
from stability.gaussian.mean import paths
from stability.gaussian.mixed import exact_errors, simulate
from stability.laws.monte_carlo import mean_square_slack, share_slack
from stability.loop.regimes import Accumulate, FreshReal, FullySynthetic, Mix, Regime
from stability.loop.retraining import Latents, retrain
from stability.loop.whole_counts import require_whole
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation, Replacement, scaled
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "accumulate",
    "check",
    "counterexamples",
    "excess_covariance",
    "fresh_real",
    "mixed",
    "predicted",
    "replace",
    "shared_latents",
]

_claim = partial(
    Claim,
    no_evidence="That errors stay bounded: with real data they do in every regime.",
    error_rate=ERROR_RATE,
)
_law = partial(
    _claim,
    relation="==",
    falsified_by="A mean square over chains outside the interval that χ² allows.",
)
_ceiling_claim = partial(
    _claim,
    relation="<=",
    falsified_by="A mean square over chains above the ceiling by more than χ² allows.",
)

MIXED = _law(
    id="S3", source="own result S3", words="E(μ_t − μ)² over Cramér–Rao, 1 + λ/(1+2λ)·(1 − ρ^2t)"
)
FRESH = _law(
    id="S4, fresh real data",
    source="own result S4",
    words="E(μ_t − μ)² over Cramér–Rao, 1 − λ/(1+2λ)·(1 − ρ^2t)",
)
ACCUMULATED = _law(
    id="S4, accumulate",
    source="own result S4; at λ = 1 Gerstgrasser et al., arXiv:2404.01413",
    words="E(μ_t − μ)² over Cramér–Rao, 1 + λ Σ 1/(1+λk)²",
)
REPLACED = _law(
    id="S4, replace", source="own result S4", words="E(μ_t − μ)² over Cramér–Rao, t + 1"
)
SHARED = _law(id="S7", source="own result S7", words="E(μ_t − μ)² over Cramér–Rao, 1 + λ(1 − ρ^t)²")
MIXED_CEILING = _ceiling_claim(
    id="S3, ceiling", source="own result S3", words="the error is never above 3/2"
)
REGIME_CEILING = _ceiling_claim(
    id="S4, ceiling",
    source="own result S4",
    words="the error is never above 1 (fresh real data), π²/6 (accumulate, λ = 1), 2 (accumulate)",
)
SHARED_CEILING = _ceiling_claim(
    id="S7, ceiling", source="own result S7", words="the error is never above 1 + λ"
)
FIRST_ORDER = _claim(
    id="S3, (μ, σ²), first order",
    source="own result S3",
    words="error of (μ_t, σ_t²) over Cramér–Rao, 1 + λ/(1+2λ)·(1 − ρ^2t) up to O(1/n)",
    relation="==",
    falsified_by="Exact second moments at n that differ by more than 2/n.",
    error_rate=0.0,
)
SIMULATED = _law(
    id="S3, (μ, σ²), simulation",
    source="own result S3",
    words="error of (μ_t, σ_t²) over Cramér–Rao, by exact simulation",
)
RETRAINED = _law(
    id="S3, (μ, σ²), Algorithm 1",
    source="own result S3",
    words="error of (μ_t, σ_t²) over Cramér–Rao, through Algorithm 1",
)
GEOMETRIC = _claim(
    id="S7, scale",
    source="own result S7",
    words="the scale is multiplied by the same factor each round: log σ_t − log σ_0 = t (log σ_1 − "
    "log σ_0)",
    relation="==",
    falsified_by="A chain whose factor changes by more than rounding.",
    error_rate=0.0,
)
EXPLODES = _claim(
    id="S7, share that explodes",
    source="own result S7",
    words="the scale explodes with probability P(χ²_{n−1} > n − 1), else it vanishes",
    relation="==",
    falsified_by="A share of chains outside the interval that a binomial law allows.",
)

FINITE = _claim(
    id="Only a finite λ is stable",
    source="Sections 3.1 and 3.3",
    words="as λ → ∞ the error of Algorithm 1 exceeds every bound",
    relation=">",
    falsified_by="A Gaussian mean at any large λ.",
    erratum="E10",
    error_rate=0.0,
    refuted_because="λn synthetic points a generation leave no noise as λ → ∞: the error tends to "
    "3/2. What collapses has n points and no real ones.",
)

Variance = Literal["known", "learned"]

GRID: tuple[dict[str, Any], ...] = (
    {"regime": Mix(0.5), "t": 8},
    {"regime": Mix(1.0), "t": 3},
    {"regime": Mix(1.0), "t": 12},
    {"regime": Mix(4.0), "t": 12},
    {"regime": Mix(0.5), "t": 8, "latents": "shared"},
    {"regime": Mix(1.0), "t": 12, "latents": "shared"},
    {"regime": FreshReal(0.5), "t": 8},
    {"regime": FreshReal(1.0), "t": 12},
    {"regime": FreshReal(4.0), "t": 12},
    {"regime": Accumulate(1.0), "t": 8},
    {"regime": Accumulate(0.25), "t": 8},
    {"regime": FullySynthetic(), "t": 8},
    {"regime": Mix(0.5), "t": 8, "variance": "learned"},
    {"regime": Mix(1.0), "t": 12, "variance": "learned"},
    {"regime": Mix(4.0), "t": 12, "variance": "learned"},
    {"regime": FullySynthetic(), "t": 5, "latents": "shared", "variance": "learned"},
    # one round, where a shift of t or a square shows
    {"regime": Mix(1.0), "t": 1, "latents": "shared"},
    {"regime": Accumulate(1.0), "t": 1},
)


def mixed(lam: float, t: float = math.inf) -> float:
    """S3, `Mix(lam)`: 1 + λ/(1+2λ)·(1 − ρ^{2t}) after t retrainings, ρ = λ/(1+λ); (1+3λ)/(1+2λ)
    < 3/2 in the limit.

    Args:
        lam: Synthetic points per real point, finite and >= 0.
        t: Retrainings, >= 0, possibly inf.

    Returns:
        The error over Cramér–Rao.

    Raises:
        ValueError: If out of range.
    """
    return 1 + _excess(lam, t)


def fresh_real(lam: float, t: float = math.inf) -> float:
    """S4, `FreshReal(lam)`: 1 − λ/(1+2λ)·(1 − ρ^{2t}), the same with the other sign;
    (1+λ)/(1+2λ) in the limit.

    Args:
        lam: Synthetic points per real point, finite and >= 0.
        t: Retrainings, >= 0, possibly inf.

    Returns:
        The error over Cramér–Rao.

    Raises:
        ValueError: If out of range.
    """
    return 1 - _excess(lam, t)


def shared_latents(lam: float, t: float = math.inf) -> float:
    """S7, `Mix(lam)` with the same latents every round: 1 + λ(1 − ρ^t)²; 1 + λ in the limit.

    Args:
        lam: Synthetic points per real point, finite and >= 0.
        t: Retrainings, >= 0, possibly inf.

    Returns:
        The error over Cramér–Rao.
    """
    return 1 + lam * (1 - _rho(lam) ** t) ** 2


def accumulate(lam: float, t: float = math.inf) -> float:
    """S4, `Accumulate(lam)`: 1 + λ Σ_{k=1}^t 1/(1+λk)²; 1 + ψ'(1 + 1/λ)/λ < 2 in the limit, π²/6
    at λ = 1.

    Args:
        lam: Synthetic points per real point and retraining, finite and >= 0.
        t: Retrainings, >= 0, possibly inf.

    Returns:
        The error over Cramér–Rao.

    Raises:
        ValueError: If out of range.
    """
    _require(lam, t)
    if lam == 0:
        return 1.0
    rest = 0.0 if math.isinf(t) else polygamma(1, 1 + t + 1 / lam)
    return 1 + float(polygamma(1, 1 + 1 / lam) - rest) / lam


def replace(t: float) -> float:
    """S4, `FullySynthetic()`: t + 1, for the mean.

    Args:
        t: Retrainings, >= 0, possibly inf.

    Returns:
        The error over Cramér–Rao.

    Raises:
        ValueError: If out of range.
    """
    _require(0.0, t)
    return t + 1


def predicted(regime: Regime, t: float = math.inf, latents: Latents = "fresh") -> float:
    """The error of `regime` after t retrainings.

    Args:
        regime: Retraining regime.
        t: Retrainings, >= 0, possibly inf.
        latents: "fresh" or "shared".

    Returns:
        The error over Cramér–Rao.

    Raises:
        ValueError: If out of range, and where none is stated.
    """
    match regime, latents:
        case Mix(lam), "fresh":
            return mixed(lam, t)
        case Mix(lam), "shared":
            return shared_latents(lam, t)
        case FreshReal(lam), "fresh":
            return fresh_real(lam, t)
        case Accumulate(lam), "fresh":
            return accumulate(lam, t)
        case FullySynthetic(), "fresh":
            return replace(t)
    raise ValueError(f"no error is stated for regime '{regime}' with {latents} latents")


def excess_covariance(
    A: np.ndarray, B: np.ndarray, lam: float, n: int = 1, t: float = math.inf
) -> np.ndarray:
    """S3, any family: covariance of θ_t about the fit θ_0 to the n real points, to first order: V −
    J^t V Jᵀ^t.

    V and J as in `analysis.jacobian`. In the eigenvector of (−B, −A) for μ the factor on V is 1 −
    (λμ/(1+λμ))^{2t}: it is 1 − ρ(J)^{2t} in all directions only if A = B up to a factor.

    Args:
        A: Negative definite, (P, P).
        B: Negative semi-definite, (P, P).
        lam: Synthetic points per real point, finite and >= 0.
        n: Real points.
        t: Retrainings, whole, >= 0, or inf.

    Returns:
        (P, P), in squared units of θ.
    """
    V = stationary_covariance(A, B, lam, n)
    if math.isinf(t):
        return V
    power = np.linalg.matrix_power(jacobian(A, B, lam), int(t))
    return V - power @ V @ power.T


def _rho(lam: float) -> float:
    return lam / (1 + lam)


def _excess(lam: float, t: float) -> float:
    _require(lam, t)
    return lam / (1 + 2 * lam) * (1 - _rho(lam) ** (2 * t))


def _require(lam: float, t: float) -> None:
    if not (math.isfinite(lam) and lam >= 0):
        raise ValueError(f"lam must be finite and >= 0, got {lam}")
    if not t >= 0:
        raise ValueError(f"t must be >= 0, got {t}")


def check(
    regime: Regime,
    t: int,
    rng: np.random.Generator,
    latents: Latents = "fresh",
    variance: Variance = "known",
    n: int | None = None,
    chains: int | None = None,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """The error after t retrainings of a Gaussian in Algorithm 1, over Cramér–Rao, against the law
    of its regime.

    Args:
        regime: Retraining regime.
        t: Retrainings, whole, >= 1.
        rng: Source of all draws.
        latents: "fresh" or "shared".
        variance: "known", so that the mean alone is learned, in any regime with a `predicted`
            error; "learned", (μ, σ²), with `Mix` and fresh latents, or with `FullySynthetic` and
            shared ones (the second half of S7).
        n: Real points, and independent chains, >= 2. By default 4 and 20,000 (known: the law does
            not depend on n), 2000 and 150 (learned, `Mix`: n >= 1000, where σ_t² is near enough to
            normal), 20 and 500 (the other).
        chains: See `n`.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range, if λn is not whole, and where no law is stated.
    """
    if t != int(t) or t < 1:
        raise ValueError(f"t must be a whole number >= 1, got {t}")
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")
    match variance, regime, latents:
        case "known", _, _:
            size, count = (4 if n is None else n, 20_000 if chains is None else chains)
            return _mean(regime, t, rng, latents, size, count, false_alarm)
        case "learned", Mix(lam), "fresh":
            size, count = (2000 if n is None else n, 150 if chains is None else chains)
            return _mean_and_variance(lam, t, rng, size, count, false_alarm)
        case "learned", FullySynthetic(), "shared":
            size, count = (20 if n is None else n, 500 if chains is None else chains)
            return _shared_scale(t, rng, size, count, false_alarm)
    raise ValueError(
        f"no law is stated for regime '{regime}' with {latents} latents and {variance} variance"
    )


def counterexamples() -> list[Verdict]:
    """E10: the limit λ → ∞ is not the loop without real data."""
    lam, t = 1e6, 10**6
    return [
        FINITE.verdict(
            f"Gaussian mean, λ = {lam:g}, t = {t}, m = λn",
            measured=mixed(lam, t),
            claimed=replace(1),
            method="closed form, S3; against two rounds without real data",
            note=f"without real data it is t + 1 = {replace(t):g}",
        )
    ]


def _logs(
    t: int, n: int, chains: int, rng: np.random.Generator, latents: Latents = "shared"
) -> NDArray[np.float64]:
    """log σ_s of chains without real data, s = 0 … t: (t + 1, chains)."""
    learner = GaussianLearner(chains, 1)
    real = list(rng.standard_normal((chains, n, 1)))
    regimes = [FullySynthetic()] * chains
    generations = retrain(learner, real, regimes, t, seed=int(rng.integers(2**62)), latents=latents)
    return np.array([np.log(learner.covariance[:, 0, 0]) / 2 for _ in generations])


def _swapped(law: Callable[..., float]) -> Replacement:
    """Another law of (λ, t) in place of the right one."""
    return lambda right: law


def _fresh_latents(right: Callable[..., Any]) -> Callable[..., Any]:
    return partial(right, latents="fresh")


_HERE = "stability.statements.stationary_error"
_ONE = {"regime": Mix(1.0), "t": 4}
_FRESH = {"regime": FreshReal(1.0), "t": 4}
_KEPT = {"regime": Accumulate(1.0), "t": 4}
_SYNTHETIC = {"regime": FullySynthetic(), "t": 8}
_SHARED = {"regime": Mix(1.0), "t": 8, "latents": "shared"}
_LEARNED = {"regime": Mix(1.0), "t": 4, "variance": "learned"}
_SCALE = {"regime": FullySynthetic(), "t": 5, "latents": "shared", "variance": "learned"}

MUTATIONS = (
    Mutation(MIXED, f"{_HERE}.mixed", "the law", _ONE),
    Mutation(FRESH, f"{_HERE}.fresh_real", "the law with fixed data", _FRESH, _swapped(mixed)),
    Mutation(
        ACCUMULATED,
        f"{_HERE}.accumulate",
        "the law without real data",
        _KEPT,
        _swapped(lambda lam, t: replace(t)),
    ),
    Mutation(REPLACED, f"{_HERE}.replace", "t for t + 1", _SYNTHETIC, scaled(8 / 9)),
    Mutation(
        SHARED, f"{_HERE}.shared_latents", "the law of fresh latents", _SHARED, _swapped(mixed)
    ),
    Mutation(MIXED_CEILING, f"{_HERE}.ceiling", "the ceiling", _ONE),
    Mutation(REGIME_CEILING, f"{_HERE}.ceiling", "the ceiling", _KEPT),
    Mutation(SHARED_CEILING, f"{_HERE}.ceiling", "the ceiling", _SHARED),
    Mutation(FIRST_ORDER, f"{_HERE}.mixed", "the law", _LEARNED),
    Mutation(SIMULATED, "stability.gaussian.mixed.exact_errors", "the moments", _LEARNED),
    Mutation(
        RETRAINED,
        "stability.gaussian.mixed.exact_errors",
        "a third of the moments",
        _LEARNED,
        scaled(1 / 3),
    ),
    Mutation(GEOMETRIC, f"{_HERE}._logs", "other latents each round", _SCALE, _fresh_latents),
    Mutation(EXPLODES, f"{_HERE}.explosion", "the probability", _SCALE),
)
"""Slips, and the claim that each must break."""


def _mean(
    regime: Regime,
    t: int,
    rng: np.random.Generator,
    latents: Latents,
    n: int,
    chains: int,
    false_alarm: float,
) -> list[Verdict]:
    """n (μ_t − μ)² over its expectation is χ²_1, exactly."""
    law = predicted(regime, t, latents)
    numbers: dict[str, Any] = {
        "measured": n
        * float(np.square(paths(regime, n, t, chains, rng, latents=latents)[-1]).mean()),
        "method": f"Algorithm 1, {chains} chains; tolerance: exact, χ²",
        "false_alarm": false_alarm,
    }
    case = f"Gaussian mean, {regime}, {latents} latents, t = {t}"
    claim, below = _CLAIMS[type(regime), latents]
    two_sided = law * mean_square_slack(chains, false_alarm / 2)
    verdicts = [claim.verdict(case, claimed=law, tolerance=two_sided, **numbers)]
    if below:
        verdicts.append(
            below.verdict(
                case,
                claimed=ceiling(regime, latents),
                tolerance=law * mean_square_slack(chains, false_alarm),
                **numbers,
            )
        )

    return verdicts


_CLAIMS: dict[tuple[type, Latents], tuple[Claim, Claim | None]] = {
    (Mix, "fresh"): (MIXED, MIXED_CEILING),
    (Mix, "shared"): (SHARED, SHARED_CEILING),
    (FreshReal, "fresh"): (FRESH, REGIME_CEILING),
    (Accumulate, "fresh"): (ACCUMULATED, REGIME_CEILING),
    (FullySynthetic, "fresh"): (REPLACED, None),
}
"""The law of each regime, and what the error stays below."""


def ceiling(regime: Regime, latents: Latents) -> float:
    """Bound on the error at every t (and at every λ, where it does not depend on λ).

    Args:
        regime: Retraining regime.
        latents: "fresh" or "shared".

    Returns:
        The bound; inf where none is stated.
    """
    match regime, latents:
        case Mix(), "fresh":
            return 1.5
        case Mix(lam), "shared":
            return 1 + lam
        case FreshReal(), _:
            return 1.0
        case Accumulate(lam), _:
            return math.pi**2 / 6 if lam == 1 else 2.0
    return math.inf


def _mean_and_variance(
    lam: float,
    t: int,
    rng: np.random.Generator,
    n: int,
    chains: int,
    false_alarm: float,
) -> list[Verdict]:
    if n < 1000:
        raise ValueError(f"n must be >= 1000, for σ_t² to be near enough to normal, got {n}")
    require_whole(lam, n)
    case, exact = (
        f"Gaussian (μ, σ²), n = {n}, {Mix(lam)}, t = {t}",
        float(exact_errors(n, lam, t).mean()),
    )
    samples = (
        (SIMULATED, _simulated(lam, t, n, rng)),
        (RETRAINED, _retrained(lam, t, n, chains, rng)),
    )
    return [
        FIRST_ORDER.verdict(
            case,
            measured=exact,
            claimed=mixed(lam, t),
            tolerance=2 / n,
            method="exact second moments at this n; tolerance: 2/n for the second order",
        ),
        *(
            claim.verdict(
                case,
                # (R, 2), (μ_t − μ)/√(σ²/n) and (σ_t² − σ²)/√(2σ⁴/n), nearly normal
                measured=float(np.square(parameters).mean()),
                claimed=exact,
                tolerance=exact * mean_square_slack(parameters.size, false_alarm / 4),
                method=f"{len(parameters)} chains against exact moments; tolerance: χ², doubled as "
                "σ² is not quite normal",
                false_alarm=false_alarm,
            )
            for claim, parameters in samples
        ),
    ]


def _simulated(
    lam: float, t: int, n: int, rng: np.random.Generator, chains: int = 100_000
) -> NDArray[np.float64]:
    return _standardised(simulate(n, lam, t, chains, rng), n)


def _retrained(
    lam: float, t: int, n: int, chains: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    learner = GaussianLearner(chains, 1)
    real = list(rng.standard_normal((chains, n, 1)))
    for _ in retrain(learner, real, [Mix(lam)] * chains, t, seed=int(rng.integers(2**62))):
        pass
    return _standardised(np.stack([learner.mean[:, 0], learner.covariance[:, 0, 0]], axis=1), n)


def _standardised(parameters: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return (parameters - [0, 1]) * [math.sqrt(n), math.sqrt(n / 2)]


def explosion(n: int) -> float:
    """P(χ²_{n−1} > n − 1), the probability that n latents widen a Gaussian refitted to them.

    Args:
        n: Latents, >= 2.

    Returns:
        The probability.
    """
    return float(chi2.sf(n - 1, n - 1))


def _shared_scale(
    t: int, rng: np.random.Generator, n: int, chains: int, false_alarm: float
) -> list[Verdict]:
    """With the same latents z each round σ_{t+1} = σ_t · sd(z): geometric, up or down."""
    logs = _logs(t, n, chains, rng)
    growth, share = logs[1] - logs[0], explosion(n)
    case = f"Gaussian (μ, σ²), fully synthetic, shared latents, n = {n}, t = {t}"

    return [
        GEOMETRIC.verdict(
            case,
            measured=float(np.abs(logs[-1] - logs[0] - t * growth).max()),
            claimed=0.0,
            tolerance=1e-10,
            scale=float(np.abs(logs[-1] - logs[0]).max()),
            method=f"Algorithm 1, the largest gap among {chains} chains; tolerance: rounding",
        ),
        EXPLODES.verdict(
            case,
            measured=float((growth > 0).mean()),
            claimed=share,
            tolerance=share_slack(share, chains, false_alarm / 2),
            method=f"Algorithm 1, {chains} chains; tolerance: exact, binomial",
            false_alarm=false_alarm,
        ),
    ]
