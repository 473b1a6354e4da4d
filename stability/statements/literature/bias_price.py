"""The price of bias: where a loop is after t rounds whose learner misses a mean by δ in each.

Let f be linear in the law: the mean of a feature, the share of a class. If each fit misses its
training set by at most δ, |f(model_t) − f(training set t)| ≤ δ, then the loop misses the real data
by at most b_t δ, whatever the law and the learner:

    `Mix`, `FreshReal`, `ReplaceFraction`:   b_t = Σ_{k≤t} c^k → 1 + λ,   c = λ/(1+λ);
    `Weighted(Mix, w)`:                   the same with c = 1 − w, → 1/w;
    `FullySynthetic`:                     t + 1;
    `Accumulate`:                         1 + Σ_{k≤t} λ/(1+λk) ≤ 1 + log(1+λt), without limit;
    `AccumulateFresh(α)`:                 1/α − ((1−α)/α) Π_{k≤t} (1 − α/(k+1)) → 1/α.

For `Mix` this is how Taori and Hashimoto (arXiv:2209.03942) bound the bias of a loop. If the model
answers a change of its training set by J times that change, c becomes cJ, and accumulating stays
bounded if J < 1. The rule of a regime decides b_t alone, so it is read off the regime itself.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import norm

from stability.gaussian.learner import GaussianLearner
from stability.gaussian.mean import known_variance, paths
from stability.loop.regimes import (
    Accumulate,
    AccumulateFresh,
    FreshReal,
    FullySynthetic,
    Mix,
    Regime,
    ReplaceFraction,
    Subsample,
    TrainingSet,
    Weighted,
)
from stability.loop.retraining import Learner, retrain
from stability.planning.labels import propagate
from stability.planning.response import path_law
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.literature.logarithmic_time import pooled_factor
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "bias_factor", "check", "counterexamples", "log_bound"]

_claim = partial(
    Claim,
    source="Taori–Hashimoto, arXiv:2209.03942, for Mix; own derivation for the others",
    no_evidence="A run whose bias stays below the bound: one that noise hides does so, too.",
)

UNROLLED = _claim(
    id="Bias price",
    words="a bias δ in each round adds up to b_t δ",
    relation="==",
    falsified_by="A regime whose rule, run on labels of points, gives another sum.",
)
SHIFTED = _claim(
    id="Bias price, Algorithm 1",
    words="a Gaussian's mean that is missed by δ each round is off by b_t δ after t rounds",
    relation="==",
    falsified_by="A mean over chains outside its confidence interval.",
    error_rate=ERROR_RATE,
)
BOUND = _claim(
    id="Bias price, any learner",
    words="|f(samples_t) − f(real)| ≤ b_t max_s |f(samples_s) − f(training_s)| in every run",
    relation="<=",
    falsified_by="One run. It is a triangle inequality on the run's own numbers.",
    no_evidence="Any learner: it tests regimes and records, and says nothing about a model.",
    values=(0.0, math.inf),
)
LOG = _claim(
    id="Bias price, accumulating",
    words="accumulating: b_t ≤ 1 + log(1 + λt)",
    relation="<=",
    falsified_by="A λ and a t where the sum is larger.",
)
MEDIAN = _claim(
    id="Bias price, median",
    words="a median that is missed by at most δ each round is off by at most b_t δ",
    relation="<=",
    falsified_by="A run whose median leaves the bound.",
    refuted_because="A median is not linear in the law: the median of a mixture is no mean of the "
    "medians.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"regime": Mix(1.0)},
    {"regime": FreshReal(0.5)},
    {"regime": ReplaceFraction(1.0)},
    {"regime": Weighted(Mix(1.0), 0.25)},
    {"regime": FullySynthetic()},
    {"regime": Weighted(FullySynthetic(), 0.25)},
    {"regime": Accumulate(1.0)},
    {"regime": Subsample(Accumulate(1.0))},
    {"regime": AccumulateFresh(0.25)},
    {"regime": Mix(2.0), "response": 1.2},
    {"regime": FullySynthetic(), "response": 0.8},
    {"regime": Accumulate(1.0), "response": 0.8},
    {"regime": Accumulate(0.5), "response": 1.2},
    {"regime": AccumulateFresh(0.5), "response": 1.2},
)

_BOOKKEEPING = (Mix, FullySynthetic, Accumulate, Weighted)
"""Regimes whose next training set has the very samples of which f was taken, and the same real
points."""


def bias_factor(regime: Regime, t: int, response: float = 1.0) -> float:
    """b_t, the bias after t retrainings over that of one fit.

    Args:
        regime: One of the module's table.
        t: Retrainings, >= 0.
        response: J, how much of a change of f in the training set the model takes up.

    Returns:
        The factor.

    Raises:
        ValueError: For another regime.
    """
    if isinstance(regime, Subsample):
        return bias_factor(regime.regime, t, response)
    if isinstance(regime, Accumulate):
        if response == 1:
            return 1 + math.fsum(regime.lam / (1 + regime.lam * k) for k in range(1, t + 1))
        left = pooled_factor(regime.lam, response, t)
        return (1 - response * left) / (1 - response)
    if isinstance(regime, AccumulateFresh):
        if regime.real_fraction == 0:
            return bias_factor(Accumulate(1.0), t, response)
        return _fresh_factor(regime.real_fraction, t, response)
    ratio = _synthetic_weight(regime) * response
    return math.fsum(ratio**k for k in range(t + 1))


def _fresh_factor(alpha: float, t: int, response: float) -> float:
    """b_t of a pool that grows by a share α of real points.

    The pool's deviation obeys r ← r + ((1−α)(J r + δ) − r)/(k+1): it tends to (1−α)δ/β,
    β = 1 − (1−α)J, and what is left of the way shrinks by 1 − β/(k+1) a round.
    """
    beta = 1 - (1 - alpha) * response
    left = pooled_factor(1.0, 1 - beta, t)
    return 1 + response * (1 - alpha) * (1 - left) / beta


def _synthetic_weight(regime: Regime) -> float:
    """Weight of the synthetic points in each training set but the first."""
    match regime:
        case Mix(lam) | FreshReal(lam) | ReplaceFraction(lam):
            return lam / (1 + lam)
        case FullySynthetic() | Weighted(FullySynthetic()):
            return 1.0
        case Weighted(Mix() | FreshReal(), weight):
            return 1 - weight
    raise ValueError(f"no bias price is stated for regime '{regime}'")


def log_bound(lam: float, t: int) -> float:
    """1 + log(1 + λt), above b_t of `Accumulate`: a sum below its integral.

    Args:
        lam: Synthetic points a round over real points, >= 0.
        t: Retrainings, >= 0.

    Returns:
        The bound.
    """
    return 1 + math.log1p(lam * t)


class Shifted:
    """Learns the mean of N(μ, I) as J times the mean of its points plus a shift.

    Args:
        chains: R.
        dimension: d.
        shift: δ.
        response: J.
    """

    weighs = True

    def __init__(self, chains: int, dimension: int, shift: float, response: float) -> None:
        self._model = known_variance(chains, dimension)
        self._shift, self._response = shift, response

    @property
    def chains(self) -> int:
        return self._model.chains

    @property
    def mean(self) -> np.ndarray:
        """(R, d), the present parameters."""
        return self._model.mean

    def reset(self, rngs: Any) -> None:
        """Nothing to draw: the estimate does not depend on initial parameters.

        Args:
            rngs: Random generator of each chain, unused.
        """

    def fit(self, datasets: Any, rngs: Any) -> None:
        """Fit the mean, and miss it.

        Args:
            datasets: Training set of each chain.
            rngs: Random generator of each chain.
        """
        self._model.fit(datasets, rngs)
        self._model.mean[:] = self._response * self._model.mean + self._shift

    def sample(self, counts: Any, rngs: Any) -> list[np.ndarray]:
        """Draw from N(μ, I).

        Args:
            counts: Number of draws for each chain.
            rngs: Random generator of each chain.

        Returns:
            (counts[r], d) for each chain.
        """
        return self._model.sample(counts, rngs)

    def state_dict(self) -> dict[str, Any]:
        return self._model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._model.load_state_dict(state)


def check(
    regime: Regime,
    rng: np.random.Generator,
    response: float = 1.0,
    t: int = 10,
    chains: int = 2048,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """b_t against the regime's own rule, and against Algorithm 1 with a learner that misses by δ.

    Args:
        regime: One of the module's table.
        rng: For the simulation.
        response: J.
        t: Retrainings, >= 1.
        chains: Chains of the simulation.
        false_alarm: Of the verdict that simulates.

    Returns:
        The verdicts.
    """
    case = f"{regime}, J = {response:g}, t = {t}"
    factor = bias_factor(regime, t, response)
    law = path_law(propagate(regime, 4, t), response=response, bias=1.0, spread=0.0)
    verdicts = [
        UNROLLED.verdict(
            case,
            measured=float(law.mean[t]),
            claimed=factor,
            tolerance=1e-10 * factor,
            method="the regime run on labels of points; tolerance: rounding",
        ),
        _simulated(case, regime, response, chains, rng, false_alarm),
    ]

    if isinstance(regime, _BOOKKEEPING) and response == 1:
        verdicts.append(_bookkeeping(regime, t, rng))
    if isinstance(regime, Accumulate) and response == 1:
        verdicts += [
            LOG.verdict(
                f"λ = {regime.lam:g}, t = {rounds}",
                measured=bias_factor(regime, rounds),
                claimed=log_bound(regime.lam, rounds),
                method="the sum",
            )
            for rounds in (10, 100, 1000)
        ]
    return verdicts


def _simulated(
    case: str,
    regime: Regime,
    response: float,
    chains: int,
    rng: np.random.Generator,
    false_alarm: float,
    t: int = 5,
    n: int = 4,
    shift: float = 3.0,
) -> Verdict:
    """The mean over chains, which is normal given the picks of a regime that picks."""

    def learner(chains: int, dimension: int) -> Learner:
        return Shifted(chains, dimension, shift, response)

    law = path_law(propagate(regime, n, t), response=response, bias=shift)
    if isinstance(regime, Subsample):  # the coordinates of a chain would share its picks
        model = Shifted(chains, 1, shift, response)
        real, seed = list(rng.standard_normal((chains, n, 1))), int(rng.integers(2**62))
        for _ in retrain(model, real, [regime] * chains, t, seed=seed):
            pass
        errors = model.mean[:, 0]
    else:
        errors = paths(regime, n, t, chains, rng, learner=learner)[-1]
    sd = math.sqrt(float(law.variance[-1]) / chains) / shift
    return SHIFTED.verdict(
        case.replace("t = 10", f"t = {t}"),
        measured=float(errors.mean()) / shift,
        claimed=bias_factor(regime, t, response),
        tolerance=2 * float(norm.isf(false_alarm / 2)) * sd,
        method=f"Algorithm 1, {chains} chains; tolerance: normal tail with the exact variance, "
        "doubled for random picks",
        false_alarm=false_alarm,
    )


def _bookkeeping(regime: Regime, t: int, rng: np.random.Generator, chains: int = 20) -> Verdict:
    """The largest part of the bound that is used, over rounds and chains, by skewed data."""
    real = list(rng.exponential(size=(chains, 20, 1)))
    generations = retrain(
        GaussianLearner(chains, 1), real, [regime] * chains, t, seed=int(rng.integers(2**62))
    )
    off, missed = [], []
    for generation in generations:
        seen = [_mean(data) for data in generation.training]
        drawn = np.array([x.mean() for x in generation.samples])
        off.append(np.abs(drawn - [x.mean() for x in real]))
        missed.append(np.abs(drawn - seen))
    allowed = np.array([bias_factor(regime, s) for s in range(t + 1)])[:, None]
    return BOUND.verdict(
        f"{regime}, t = 1 … {t}",
        measured=float((np.array(off) / (allowed * np.max(missed, axis=0)))[1:].max()),
        claimed=1.0,
        tolerance=1e-9,
        method=f"Algorithm 1, a Gaussian fitted to exponential data, {chains} chains, the largest "
        "part of the bound; tolerance: rounding",
    )


def _mean(data: TrainingSet) -> float:
    return float(data.normalised_weights @ data.points[:, 0])


def counterexamples() -> list[Verdict]:
    """A learner that misses the median by δ, and a mix whose median is off by (t + 1) δ.

    Real points 0, 0, 0, 1, 1; the model puts all of its mass at the median of its training set
    plus δ. In a mix at λ = 1 half of the points lie there, and so does the median.
    """
    delta, t, regime = 0.01, 10, Mix(1.0)
    real = np.array([[0.0], [0.0], [0.0], [1.0], [1.0]])
    at = float(np.median(real)) + delta
    for _ in range(t):
        mixed = np.concatenate([real, np.full((regime.synthetic(5), 1), at)])
        at = float(np.median(mixed)) + delta
    return [
        MEDIAN.verdict(
            f"real points 0, 0, 0, 1, 1, λ = 1, t = {t}",
            measured=at / delta,
            claimed=bias_factor(regime, t),
            tolerance=1e-9,
            method="a model with all its mass at the median plus δ; tolerance: rounding",
        )
    ]


_HERE = "stability.statements.literature.bias_price"

MUTATIONS = (
    Mutation(
        UNROLLED,
        f"{_HERE}.bias_factor",
        "1 + λ/2 for 1 + λ",
        {"regime": Mix(1.0), "chains": 128},
        lambda right: lambda regime, t, response=1.0: right(Mix(regime.lam / 2), t, response),
    ),
    Mutation(
        SHIFTED,
        f"{_HERE}.bias_factor",
        "accumulating settles",
        {"regime": Accumulate(1.0)},
        lambda right: lambda regime, t, response=1.0: right(Mix(regime.lam), t, response),
    ),
    Mutation(BOUND, f"{_HERE}.bias_factor", "the factor", {"regime": Mix(1.0), "chains": 128}),
    Mutation(
        LOG,
        f"{_HERE}.log_bound",
        "1 + λ for the logarithm",
        {"regime": Accumulate(1.0), "chains": 128},
        lambda right: lambda lam, t: 1 + lam,
    ),
)
"""Slips, and the claim that each must break."""
