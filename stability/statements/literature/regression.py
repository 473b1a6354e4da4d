"""Regression on labels of one's own: exact laws at finite n, without any density.

y = x·w* + σε with d normal inputs and T rows, fitted by least squares; the risk is E‖w − w*‖²/σ².

    replace, new inputs:         (t+1) d/(T−d−1);
    accumulate, new inputs:      d/(T−d−1) + Σ_{k≤t} d λT/(N_k(N_k−d−1)),   N_k = T(1+λk);
    accumulate, same inputs:     d/(T−d−1) Σ_{k≤t+1} 1/k²;
    mix, same inputs:            d/(T−d−1) (1 + λ/(1+2λ) (1 − c^{2t})),   c = λ/(1+λ).

The first and third are known (Dohmatob et al., arXiv:2402.07712; Gerstgrasser et al.,
arXiv:2404.01413, at λ = 1); the second follows since the error is a martingale, e_k = e_{k−1} +
S_k⁻¹X_kᵀε_k, and E S⁻¹MS⁻¹ is a share of E S⁻¹ by exchangeability. With T < d rows the fit of
least norm keeps (T/d)^{t+1} of ‖w*‖² on average. If a share p of the labels comes from w* + Δ, the
fit is off by pΔ on average at every T: a floor p²‖Δ‖² of the risk ("strong collapse", Dohmatob et
al., arXiv:2410.04840). And fresh labels of the same inputs with the weight w have the law f(w) of
He, Xu and Cheng, in the rows' span (Garg et al., arXiv:2509.22341).
"""

import math
from collections import deque
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from stability.gaussian.regression import RegressionLearner, labelled
from stability.laws.monte_carlo import mean_square_slack
from stability.loop.regimes import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    Mix,
    Regime,
    Weighted,
)
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.literature.weighted_real import error_fresh_real
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "first_risk", "kept_signal", "new_inputs", "same_inputs"]

_claim = partial(
    Claim,
    source="Gerstgrasser et al., arXiv:2404.01413; Dohmatob et al., arXiv:2402.07712",
    no_evidence="T far above d, where the laws of new inputs and of the same ones agree.",
    error_rate=ERROR_RATE,
)

RISK = _claim(
    id="Regression",
    words="new inputs each round: the risk of replacing and of accumulating, exactly",
    relation="==",
    falsified_by="A mean over designs outside its confidence interval.",
)
GIVEN = _claim(
    id="Regression, Algorithm 1",
    words="given the inputs, the error is normal with the covariance of the law's recursion",
    relation="==",
    falsified_by="A mean of standardised squares outside the interval that χ² allows.",
)
SIGNAL = _claim(
    id="Regression, least norm",
    words="T < d rows, no noise: (T/d)^{t+1} of ‖w*‖² is left on average",
    relation="==",
    source="Dohmatob et al., arXiv:2402.07712; at every t: own derivation",
    falsified_by="A mean over models outside its confidence interval.",
)
SHIFT = _claim(
    id="Regression, strong collapse",
    words="a share p of labels from w* + Δ moves the fit by pΔ on average, at every T",
    relation="==",
    source="Dohmatob et al., arXiv:2410.04840; at finite T: own derivation",
    falsified_by="A mean over fits outside its confidence interval.",
)
GOLDEN = _claim(
    id="Regression, weighted labels",
    words="fresh labels of the same T < d inputs, weight w: f(w) of He, Xu and Cheng",
    relation="==",
    source="Garg et al., arXiv:2509.22341",
    falsified_by="A mean of squares outside the interval that χ² allows.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"regime": FullySynthetic(), "t": 3},
    {"regime": Accumulate(1.0), "t": 6},
    {"regime": Accumulate(1.0), "t": 4, "same": True},
    {"regime": Mix(1.0), "t": 5, "same": True},
)

_D, _T = 4, 20


def first_risk(rows: float, dimension: int) -> float:
    """d/(T−d−1), the risk of one fit.

    Args:
        rows: T > d + 1.
        dimension: d.

    Returns:
        E‖w − w*‖²/σ².
    """
    return dimension / (rows - dimension - 1)


def new_inputs(regime: Regime, rows: int, dimension: int, t: int) -> float:
    """The risk after t rounds with new inputs.

    Args:
        regime: `FullySynthetic` or `Accumulate`.
        rows: T.
        dimension: d.
        t: Rounds.

    Returns:
        The risk.
    """
    if not isinstance(regime, Accumulate):
        return (t + 1) * first_risk(rows, dimension)
    added = 0.0
    for k in range(1, t + 1):
        total = rows * (1 + regime.lam * k)
        added += regime.lam * rows / total * first_risk(total, dimension)
    return first_risk(rows, dimension) + added


def same_inputs(regime: Regime, t: int) -> float:
    """The risk after t rounds with the same inputs, over that of one fit.

    Args:
        regime: `Accumulate(1)` or `Mix`.
        t: Rounds.

    Returns:
        The factor.
    """
    if isinstance(regime, Mix):
        lam = regime.lam
        return 1 + lam / (1 + 2 * lam) * (1 - (lam / (1 + lam)) ** (2 * t))
    return math.fsum(1 / k**2 for k in range(1, t + 2))


def kept_signal(rows: int, dimension: int, t: int) -> float:
    """(T/d)^{t+1}: what is left of ‖w*‖² after t rounds with T < d rows, without noise.

    Args:
        rows: T.
        dimension: d.
        t: Rounds; at t = 0 the first fit has been made.

    Returns:
        The share.
    """
    return (rows / dimension) ** (t + 1)


def shift(share: float) -> float:
    """Shift of the fit, over ‖Δ‖: the share itself.

    Args:
        share: p, of labels from w* + Δ.

    Returns:
        p.
    """
    return share


def check(
    regime: Regime,
    t: int,
    rng: np.random.Generator,
    same: bool = False,
    models: int = 1000,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The law given the inputs, through Algorithm 1, and its mean over inputs.

    Args:
        regime: What the labels are fitted in.
        t: Rounds.
        rng: For inputs and noise.
        same: Whether all rounds have the same inputs.
        models: Side by side.
        false_alarm: Of each verdict.

    Returns:
        The verdicts.
    """
    verdicts = [_given_inputs(regime, t, same, models, rng, false_alarm)]
    if not same:
        verdicts.append(_over_inputs(regime, t, rng, false_alarm))
    elif isinstance(regime, Mix):
        verdicts += [
            _least_norm(models, rng, false_alarm),
            _strong_collapse(rng, false_alarm),
            _weighted_labels(models, rng, false_alarm),
        ]
    return verdicts


def _gram(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("nwd,nwe->wde", x, x)


def _given_inputs(
    regime: Regime, t: int, same: bool, models: int, rng: np.random.Generator, false_alarm: float
) -> Verdict:
    """Squares of the errors, standardised by their covariance given all inputs; w* = 0, σ = 1."""
    x = rng.standard_normal((_T, models, _D))
    learner = RegressionLearner(models, _D, inputs=x if same else None)
    real = labelled(x, np.zeros((models, _D)), 1.0, rng)
    covariance, total = np.zeros((models, _D, _D)), np.zeros((models, _D, _D))
    for generation in retrain(learner, [real], [regime], t, seed=int(rng.integers(2**62))):
        if same:
            covariance = np.linalg.inv(_gram(x)) * same_inputs(regime, generation.t)
            continue
        points = generation.training[0].points[..., :-1]
        # what is new in a pool stands at its end
        new = _gram(points[-_T:])
        total = total + new if isinstance(regime, Accumulate) else new
        inverse = np.linalg.inv(total)
        covariance = covariance + inverse @ new @ inverse
    error = learner.coefficients
    squares = np.einsum("wd,wd->w", error, np.linalg.solve(covariance, error[..., None])[..., 0])
    return GIVEN.verdict(
        f"{regime}, {'the same' if same else 'new'} inputs, d = {_D}, T = {_T}, t = {t}",
        measured=float(squares.mean()) / _D,
        claimed=1.0,
        tolerance=mean_square_slack(models * _D, false_alarm / 2),
        method=f"Algorithm 1, {models} models; tolerance: exact, χ²",
        false_alarm=false_alarm,
    )


def _over_inputs(
    regime: Regime, t: int, rng: np.random.Generator, false_alarm: float, designs: int = 20_000
) -> Verdict:
    """Mean of the trace of the covariance given the inputs, over inputs alone."""
    total = np.zeros((designs, _D, _D))
    risk = np.zeros(designs)
    for _ in range(t + 1):
        new = _gram(rng.standard_normal((_T, designs, _D)))
        total = total + new if isinstance(regime, Accumulate) else new
        inverse = np.linalg.inv(total)
        risk += np.einsum("wde,wef,wfd->w", inverse, new, inverse, optimize=True)
    spread = float(risk.std(ddof=1)) / math.sqrt(designs)
    return RISK.verdict(
        f"{regime}, new inputs, d = {_D}, T = {_T}, t = {t}",
        measured=float(risk.mean()),
        claimed=new_inputs(regime, _T, _D, t),
        tolerance=2 * float(norm.isf(false_alarm / 2)) * spread,
        method=f"{designs} designs; tolerance: normal tail, doubled for skewness",
        false_alarm=false_alarm,
        note=f"the same inputs: {first_risk(_T, _D) * same_inputs(Accumulate(1.0), t):.5f}"
        if isinstance(regime, Accumulate)
        else "",
    )


def _least_norm(models: int, rng: np.random.Generator, false_alarm: float, t: int = 3) -> Verdict:
    """‖w_t‖² of interpolations without noise: products of Beta variables."""
    rows, dimension = 8, 12
    learner = RegressionLearner(models, dimension, noise=0.0)
    truth = np.full((models, dimension), dimension**-0.5)
    real = labelled(rng.standard_normal((rows, models, dimension)), truth, 0.0, rng)
    generations = retrain(learner, [real], [FullySynthetic()], t, seed=int(rng.integers(2**62)))
    deque(generations, maxlen=0)
    # ‖P w‖²/‖w‖² ~ Beta(T/2, (d−T)/2) for a random span of T rows
    second = rows * (rows + 2) / (dimension * (dimension + 2))
    variance = second ** (t + 1) - (rows / dimension) ** (2 * (t + 1))
    return SIGNAL.verdict(
        f"d = {dimension}, T = {rows}, t = {t}",
        measured=float(np.square(learner.coefficients).sum(axis=1).mean()),
        claimed=kept_signal(rows, dimension, t),
        tolerance=2 * float(norm.isf(false_alarm / 2)) * math.sqrt(variance / models),
        method=f"Algorithm 1, {models} models; tolerance: normal tail with the exact variance, "
        "doubled for skewness",
        false_alarm=false_alarm,
    )


def _strong_collapse(
    rng: np.random.Generator, false_alarm: float, fits: int = 4000, rows: int = 20
) -> Verdict:
    """Mean shift of a fit along Δ where a quarter of the labels comes from w* + Δ; w* = 0."""
    share, size = 0.25, 3.0
    wrong = round(share * rows)
    delta = np.zeros((fits, _D))
    delta[:, 0] = size
    x = rng.standard_normal((rows, fits, _D))
    points = np.concatenate(
        [
            labelled(x[:wrong], delta, 1.0, rng),
            labelled(x[wrong:], np.zeros((fits, _D)), 1.0, rng),
        ]
    )
    learner = RegressionLearner(fits, _D)
    deque(retrain(learner, [points], [FullySynthetic()], 0, seed=0), maxlen=0)
    along = learner.coefficients[:, 0] / size

    return SHIFT.verdict(
        f"p = {share:g}, d = {_D}, T = {rows}",
        measured=float(along.mean()),
        claimed=shift(share),
        tolerance=2 * float(norm.isf(false_alarm / 2)) * float(along.std(ddof=1) / fits**0.5),
        method=f"{fits} fits; tolerance: normal tail, doubled for skewness",
        false_alarm=false_alarm,
        note=f"so the risk is at least {(share * size) ** 2:.4f}",
    )


def _weighted_labels(
    models: int, rng: np.random.Generator, false_alarm: float, t: int = 4, weight: float = 0.618
) -> Verdict:
    """‖X e‖²/T for T < d rows whose labels are new each round; w* = 0, σ = 1."""
    rows, dimension = 4, 6
    x = rng.standard_normal((rows, models, dimension))
    zero = np.zeros((models, dimension))

    def fresh(n: int, rng: np.random.Generator) -> np.ndarray:
        return labelled(x, zero, 1.0, rng)

    learner = RegressionLearner(models, dimension, inputs=x)
    generations = retrain(
        learner,
        [labelled(x, zero, 1.0, rng)],
        [Weighted(FreshReal(1.0), weight)],
        t,
        seed=int(rng.integers(2**62)),
        fresh=fresh,
    )
    deque(generations, maxlen=0)
    law = error_fresh_real(weight, 1.0, t)
    fitted = np.einsum("nwd,wd->nw", x, learner.coefficients)
    return GOLDEN.verdict(
        f"d = {dimension}, T = {rows}, w = {weight:g}, t = {t}",
        measured=float(np.square(fitted).mean()),
        claimed=law,
        tolerance=law * mean_square_slack(models * rows, false_alarm / 2),
        method=f"Algorithm 1, {models} models; tolerance: exact, χ²",
        false_alarm=false_alarm,
    )


_POOL = {"regime": Accumulate(1.0), "t": 6}
_MIX = {"regime": Mix(1.0), "t": 5, "same": True, "models": 300}
_HERE = "stability.statements.literature.regression"

MUTATIONS = (
    Mutation(
        RISK,
        f"{_HERE}.first_risk",
        "T − d for T − d − 1",
        {"regime": FullySynthetic(), "t": 3},
        lambda right: lambda rows, dimension: right(rows + 1, dimension),
    ),
    Mutation(
        RISK,
        f"{_HERE}.new_inputs",
        "the law of the same inputs",
        _POOL,
        lambda right: (
            lambda regime, rows, dimension, t: first_risk(rows, dimension) * same_inputs(regime, t)
        ),
    ),
    Mutation(
        GIVEN,
        f"{_HERE}.same_inputs",
        "Σ 1/k for Σ 1/k²",
        {"regime": Accumulate(1.0), "t": 4, "same": True},
        lambda right: lambda regime, t: sum(1 / k for k in range(1, t + 2)),
    ),
    Mutation(
        SIGNAL,
        f"{_HERE}.kept_signal",
        "(t+1)/2 for t + 1",
        _MIX,
        lambda right: lambda rows, dimension, t: right(rows, dimension, t) ** 0.5,
    ),
    Mutation(SHIFT, f"{_HERE}.shift", "p² for p", _MIX, lambda right: lambda share: share**2),
    Mutation(
        GOLDEN,
        "stability.statements.literature.weighted_real.error_fresh_real",
        "no new labels",
        _MIX,
        lambda right: lambda w, k, t: 1.0,
    ),
)
"""Slips, and the claim that each must break."""
