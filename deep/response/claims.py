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

CONTRACTS = Claim(
    id="Image response, contraction",
    words="A retraining leaves λ/(1+λ) of a displacement of the data; without real data all of it",
    relation="==",
    source="`python -m deep.contraction`: linearity of a perfect learner",
    falsified_by="An interval of the share over seeds that leaves λ/(1+λ) out.",
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
CLAIMS = (CONTRACTS, WIDENS, LEARNER_FIRST, PREDICTED, SETTLES, DRIFTS_ON)


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
        drift: Drift of the run, (T + 1, S) by row.
        predictions: Predicted drift by row.
    """

    shares: Mapping[str, NDArray[np.float64]]
    own_variance: NDArray[np.float64]
    fine_variance: NDArray[np.float64]
    mapped: NDArray[np.float64]
    drift: Mapping[str, NDArray[np.float64]]
    predictions: Mapping[str, Prediction]

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
    found = [*_contraction(measured, regimes), _width(measured)]
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
            stated = regime.lam / (1 + regime.lam) if isinstance(regime, Mix) else 1.0
            yield interval_verdict(CONTRACTS, str(regime), share, stated, _OVER_SEEDS)


def _width(measured: Measured) -> Verdict:
    change = student_interval((measured.own_variance / measured.fine_variance).mean(axis=1) - 1)
    case = f"{measured.own_variance.shape[1]} components of pixels"
    return interval_verdict(WIDENS, case, change, float(measured.mapped.mean()) - 1, _OVER_SEEDS)


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
