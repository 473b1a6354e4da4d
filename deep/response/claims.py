"""Claims about the retraining of an image model, stated before its run, and their outcomes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deep.response.prediction import Prediction, difference, student_factor
from stability.loop.contraction import rate
from stability.loop.regimes import FullySynthetic, Mix, Regime
from stability.runs.trends import Interval, student_interval
from stability.statements.claim import Claim
from stability.statements.run_claims import interval_verdict
from stability.statements.verdict import Verdict

__all__ = ["CLAIMS", "Measured", "outcomes", "share_left"]

LEVEL = 0.05
"""Probability that an interval leaves out the true value; each claim has its own."""
SETTLED = 0.25
"""Relative change of the drift between the last two quarters of a run that counts as settled."""
LEAST_SHARE = 0.2
"""Share of a displacement that the displaced chain's first model must show."""
NEAR_SHARE = 0.1
"""Error of the share that is left of a displacement that counts as small."""
NEAR_WIDTH = 0.2
"""Relative error of the change of a variance by a sampler that counts as small."""
LEAST_CHANGE = 0.005
"""Change of a variance by a sampler, by clusters, of which a relative error says something."""

CONTRACTS = Claim(
    id="Image response, contraction",
    words="A retraining leaves λ/(1+λ) of a displacement of the data; without real data all of it",
    relation="==",
    source="`python -m deep.contraction`: linearity of a perfect learner",
    falsified_by="An interval of the share over seeds that leaves λ/(1+λ) out.",
    no_evidence="An interval that is wide.",
    error_rate=LEVEL,
)
LINEAR = Claim(
    id="Image response, memory and data",
    words="A first retraining leaves M + (L − M) λ/(1+λ) of a displacement, where λ = 0 leaves M, "
    "and no real data L",
    relation="==",
    source="`python -m deep.contraction`: linear response in the data, with memory",
    falsified_by="An interval over seeds of what is left beyond that which leaves 0 out.",
    no_evidence="An interval that is wide.",
    error_rate=LEVEL,
)
REMEMBERS = Claim(
    id="Image response, memory of the average",
    words="A first retraining leaves a + (1 − a) λ/(1+λ) of a displacement, to 0.1, where a is the "
    "weight that the averaged network keeps; without real data all of it",
    relation="<=",
    source="`python -m deep.contraction`: a perfect learner whose weights are averaged",
    falsified_by="An interval of the error over seeds that lies beyond 0.1.",
    no_evidence="An interval that is wide.",
    error_rate=LEVEL,
)
WIDENS = Claim(
    id="Image response, width",
    words="Beside a fine sampler the one in use changes variances of pixels as the width map says",
    relation="==",
    source="`python -m deep.contraction`: width map of the sampler, at the real images' variances",
    falsified_by="An interval over seeds that leaves the map's mean change out.",
    no_evidence="An interval that is wide.",
    error_rate=LEVEL,
)
WIDENS_BYTES = Claim(
    id="Image response, width of clusters in bytes",
    words="The sampler in use changes variances of pixels, in bytes, as it does for ten Gaussians "
    "that are learned exactly, to a fifth of the change",
    relation="<=",
    source="`python -m deep.contraction`: the sampler in use with the exact network of clusters",
    falsified_by="An interval of the relative error over seeds that lies beyond 0.2.",
    no_evidence="An interval that is wide.",
    error_rate=LEVEL,
)
LEARNER_FIRST = Claim(
    id="Image response, learner before sampler",
    words="At the end of the run the learner's error is more of the drift than the sampler's bias",
    relation="<",
    source="`python -m deep.contraction`: expectation for networks of a short training",
    falsified_by="An interval of the difference that lies above 0.",
    no_evidence="The sign of the difference alone.",
    error_rate=LEVEL,
)
PREDICTED = Claim(
    id="Image response, prediction",
    words="In the last quarter of the run the drift is what the first retrainings predict",
    relation="==",
    source="`python -m deep.contraction`: linear response",
    falsified_by="An interval of measured less predicted that leaves 0 out.",
    no_evidence="An interval that is wide.",
    error_rate=LEVEL,
)
SETTLES = Claim(
    id="Image response, real data settle it",
    words="With real data the drift changes by at most a quarter between the last two quarters",
    relation="<=",
    source="`python -m deep.contraction`: contraction of the loop",
    falsified_by="An interval of the relative change that lies above 0.25.",
    no_evidence="A slope that is not significant.",
    error_rate=LEVEL,
)
RESTS = Claim(
    id="Image response, real data bring it to rest",
    words="With real data the drift does not change between the last two quarters",
    relation="==",
    source="`python -m deep.contraction`: memory is forgotten within half of the run",
    falsified_by="An interval of the relative change that leaves 0 out.",
    no_evidence="An interval that is wide.",
    error_rate=LEVEL,
)
DRIFTS_ON = Claim(
    id="Image response, alone it drifts on",
    words="Without real data the drift still grows between the last two quarters",
    relation=">",
    source="`python -m deep.contraction`: a bias that is added in every round",
    falsified_by="An interval of the relative change that lies below 0.",
    no_evidence="The sign of the change alone.",
    error_rate=LEVEL,
)
_OVER_SEEDS = "95 % interval of a mean over seeds, by Student's t"
CLAIMS = (
    CONTRACTS,
    LINEAR,
    REMEMBERS,
    WIDENS,
    WIDENS_BYTES,
    LEARNER_FIRST,
    PREDICTED,
    SETTLES,
    RESTS,
    DRIFTS_ON,
)


@dataclass(frozen=True, eq=False)
class Measured:
    """Numbers that decide the claims.

    Attributes:
        shares: Share of the displacement that pairs keep, (P + 1, S) by row.
        own_variance: Variances along principal components of pixels with the sampler in use,
            (S, K).
        fine_variance: The same with a fine sampler.
        mapped: Variance over that of the data by the width map of the sampler in use over that of
            the fine one, (K,).
        clustered: The same ratio where both samplers draw bytes with the exact network of clusters,
            (K,).
        average_kept: Weight of the average of generation 0 in that of generation 1; None where it
            is not known.
        drift: Drift of the run, (T + 1, S) by row.
        predictions: Predicted drift by row, from the pairs.
        by_own_errors: The same from the chains on true data alone.
    """

    shares: Mapping[str, NDArray[np.float64]]
    own_variance: NDArray[np.float64]
    fine_variance: NDArray[np.float64]
    mapped: NDArray[np.float64]
    clustered: NDArray[np.float64]
    average_kept: float | None
    drift: Mapping[str, NDArray[np.float64]]
    predictions: Mapping[str, Prediction]
    by_own_errors: Mapping[str, Prediction]

    @property
    def seeds(self) -> int:
        """S."""
        return len(self.own_variance)

    @property
    def last_quarter(self) -> int:
        """First generation of the last quarter of the run."""
        rounds = len(next(iter(self.drift.values())))
        return rounds - max(1, rounds // 4)


def outcomes(measured: Measured, regimes: Sequence[Regime]) -> list[Verdict]:
    """Decide all claims.

    Args:
        measured: Numbers of the pairs and of the run.
        regimes: The rows.

    Returns:
        One for each claim and case; none with a single seed, which has no interval.
    """
    if measured.seeds < 2:
        return []
    found = [*_contraction(measured, regimes), *_memory(measured, regimes), *_width(measured)]
    for regime in regimes:
        found += _of_row(measured, regime)
    return found


def share_left(shares: NDArray[np.float64]) -> Interval | None:
    """Share of a displacement that is left after a retraining.

    Args:
        shares: What pairs keep, (P + 1, S).

    Returns:
        Mean over seeds with its interval; None if the first model hardly shows the displacement.
    """
    if min(shares[0].mean(), shares[:-1].sum(axis=0).mean()) < LEAST_SHARE:
        return None
    found = rate(shares)
    half = student_factor(shares.shape[1], LEVEL) * found.error
    return Interval(found.value, found.value - half, found.value + half, LEVEL)


def _contraction(measured: Measured, regimes: Sequence[Regime]) -> Iterator[Verdict]:
    for regime in regimes:
        share = share_left(measured.shares[str(regime)])
        if share is not None and isinstance(regime, Mix | FullySynthetic):
            yield interval_verdict(CONTRACTS, str(regime), share, _synthetic(regime), _OVER_SEEDS)


def _memory(measured: Measured, regimes: Sequence[Regime]) -> Iterator[Verdict]:
    """Decide the claims about the first retraining, each where the rows that it needs are there."""
    first = {
        regime: measured.shares[str(regime)][1] / measured.shares[str(regime)][0].mean()
        for regime in regimes
        if isinstance(regime, Mix | FullySynthetic)
        and share_left(measured.shares[str(regime)]) is not None
    }
    kept = measured.average_kept
    real, alone = first.get(Mix(0.0)), first.get(FullySynthetic())

    for regime, share in first.items():
        synthetic = _synthetic(regime)
        if kept is not None:
            error = _size(student_interval(share - kept - (1 - kept) * synthetic, LEVEL))
            case = f"{regime}, a = {kept:.3f}"
            yield interval_verdict(REMEMBERS, case, error, NEAR_SHARE, _OVER_SEEDS)
        if real is not None and alone is not None and 0 < synthetic < 1:
            beyond = student_interval(share - real - synthetic * (alone - real), LEVEL)
            yield interval_verdict(LINEAR, str(regime), beyond, 0.0, _OVER_SEEDS)


def _synthetic(regime: Mix | FullySynthetic) -> float:
    """Share of the synthetic images among those that a retraining sees."""
    return regime.lam / (1 + regime.lam) if isinstance(regime, Mix) else 1.0


def _width(measured: Measured) -> Iterator[Verdict]:
    changes = (measured.own_variance / measured.fine_variance).mean(axis=1) - 1
    case = f"{measured.own_variance.shape[1]} components of pixels"
    mapped, clustered = (float(x.mean()) - 1 for x in (measured.mapped, measured.clustered))
    yield interval_verdict(WIDENS, case, student_interval(changes), mapped, _OVER_SEEDS)
    if abs(clustered) >= LEAST_CHANGE:
        error = _size(student_interval(changes / clustered - 1))
        case = f"{case}, clusters {100 * clustered:+.1f} %"
        yield interval_verdict(WIDENS_BYTES, case, error, NEAR_WIDTH, _OVER_SEEDS)


def _size(signed: Interval) -> Interval:
    """The interval of a number without its sign, which no claim about its size can gain by."""
    mean = abs(signed.mean)
    return Interval(mean, mean - signed.half_width, mean + signed.half_width, signed.level)


def _of_row(measured: Measured, regime: Regime) -> Iterator[Verdict]:
    row = str(regime)
    prediction, curve, first = measured.predictions[row], measured.drift[row], measured.last_quarter

    beyond, error = (float(values[-1]) for values in prediction.sampler_beyond_learner)
    half = student_factor(measured.seeds, LEVEL) * error
    more = Interval(beyond, beyond - half, beyond + half, LEVEL)
    yield interval_verdict(LEARNER_FIRST, row, more, 0.0, _OVER_SEEDS)
    apart = difference(curve, prediction, first, measured.seeds)
    yield interval_verdict(PREDICTED, row, apart, 0.0, _OVER_SEEDS)

    before = first - (len(curve) - first)
    if before >= 1:
        late, earlier = curve[first:].mean(axis=0), curve[before:first].mean(axis=0)
        change = student_interval(late / earlier - 1, LEVEL)
        if isinstance(regime, FullySynthetic):
            yield interval_verdict(DRIFTS_ON, row, change, 0.0, _OVER_SEEDS)
        elif isinstance(regime, Mix):
            yield interval_verdict(SETTLES, row, change, SETTLED, _OVER_SEEDS)
            yield interval_verdict(RESTS, row, change, 0.0, _OVER_SEEDS)
