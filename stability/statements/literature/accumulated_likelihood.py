"""Accumulating with maximum likelihood: consistent if the family is regular, lost if it is not.

*Regular.* With m = n samples a round and everything kept, √n(θ_t − θ*)/σ of a Gaussian mean is a
random walk with steps of variance 1/(t+1)². By Lévy's inequality, with probability 1 − δ and *for
all t at once*,

    √n |θ_t − θ*| <= σ √(Σ 1/k²) z_{1−δ/4} <= σ (π/√6) z_{1−δ/4};

to first order in 1/√n the same holds in any regular family, with σ² the inverse of its information.
At t = T alone the walk is beyond that radius with probability δ/2 exactly: the bound over all t
costs no more than a factor of 2 in probability.

*Not regular.* The truth is N(0, 1). Every other p_θ = (1−ε)N(θ, 1) + ε U[L, L+1], where the truth
has nothing; and there are spikes ½N(c, s²) + ½N(0, 1), c in [L, L+1], with s so small that one
point there outweighs all others. No spike fits real data. But the first fit is not exactly θ* = 0
with probability P(χ²_1 > −2n log(1−ε)), and then each sample is in [L, L+1] with probability ε: the
next fit is a spike, for ever, although all real data are kept. At m = n this has a probability of
at most ⅛ in the first round; as m/n grows it becomes certain.

Barzilai and Shamir (arXiv:2505.19046) prove both sides for general families; we know their theorems
from the abstract, and check our own forms.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import chi2, norm

from stability.gaussian.mean import paths
from stability.laws.monte_carlo import share_slack
from stability.loop.regimes import Accumulate, TrainingSet
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "SpikeFamily",
    "certainty",
    "check",
    "first_round",
    "first_round_ceiling",
    "hazard",
    "radius",
]

_claim = partial(
    Claim,
    source="Barzilai and Shamir, arXiv:2505.19046; our own forms",
    no_evidence="That errors fall for one n: both sides are about all n and t.",
)

WALK = _claim(
    id="Accumulated likelihood, Gaussian mean",
    words="for all t <= T at once √n|θ_t − θ*| <= σ √(Σ 1/k²) z_{1−δ/4} with probability 1 − δ",
    relation="<=",
    falsified_by="A share of loops outside that is above δ by more than a binomial law allows.",
    error_rate=ERROR_RATE,
)
END = _claim(
    id="Accumulated likelihood, Gaussian mean at T",
    words="at t = T alone √n|θ_T − θ*| > σ √(Σ 1/k²) z_{1−δ/4} with probability δ/2: the radius is "
    "no wider than it must be, up to the factor of 2 in Lévy's inequality",
    relation="==",
    falsified_by="A share of loops outside the interval that a binomial law allows.",
    error_rate=ERROR_RATE,
)
REGULAR = _claim(
    id="Accumulated likelihood, other families",
    words="for all t <= T at once √n|θ_t − θ*| <= σ (π/√6) z_{1−δ/4} with probability 1 − δ, "
    "at n = 100 and 400",
    relation="<=",
    falsified_by="A share of loops outside that is above δ by more than a binomial law allows.",
    error_rate=ERROR_RATE,
)
FIRST = _claim(
    id="Accumulated likelihood, spikes, first round",
    words="one retraining ends at a spike with probability P(χ²_1 > −2n log(1−ε))·(1 − (1−ε)^m)",
    relation="==",
    falsified_by="A share of loops outside the interval that a binomial law allows.",
    error_rate=ERROR_RATE,
)
HAZARD = _claim(
    id="Accumulated likelihood, spikes, each round",
    words="a model that is not exactly θ* is followed by a spike with probability 1 − (1−ε)^m",
    relation="==",
    falsified_by="A share of rounds outside the interval that a binomial law allows.",
    error_rate=ERROR_RATE,
)
CEILING = _claim(
    id="Accumulated likelihood, spikes, ceiling",
    words="at m = n one retraining ends at a spike with probability at most ⅛, whatever ε",
    relation="<=",
    falsified_by="An ε with a larger probability.",
    values=(0.0, 1.0),
)
CERTAIN = _claim(
    id="Accumulated likelihood, spikes, certainty",
    words="at ε = 1/(n√λ) it does so with probability at least 1 − (2/√π)λ^(−¼) − e^(−√λ)",
    relation=">=",
    falsified_by="A λ with a smaller probability.",
    values=(0.0, 1.0),
)

GRID: tuple[dict[str, Any], ...] = (
    {"side": "regular"},
    {"side": "spikes", "n": 20, "a": 0.5, "lam": 1.0},
    {"side": "spikes", "n": 20, "a": 0.02, "lam": 50.0},
)

DELTA = 0.05
_T = 40
_WIDTH = 256
_L = 12.0
"""Left end of the interval: real data reach it with probability 1e-33."""


def radius(delta: float, t: float = math.inf) -> float:
    """√(Σ 1/k²) z_{1−δ/4}, k <= t + 1: no path up to t leaves it but with probability δ.

    Args:
        delta: δ, in (0, 1).
        t: Retrainings, >= 0.

    Returns:
        In units of σ/√n.
    """
    v = math.pi**2 / 6 if math.isinf(t) else sum(1 / k**2 for k in range(1, int(t) + 2))
    return math.sqrt(v) * float(norm.isf(delta / 4))


def hazard(eps: float, m: int) -> float:
    """1 − (1−ε)^m: probability that one of m samples lies in [L, L+1].

    Args:
        eps: ε, in (0, 1).
        m: Samples a round.

    Returns:
        The probability.
    """
    return -math.expm1(m * math.log1p(-eps))


def first_round(n: int, eps: float, m: int) -> float:
    """Probability that the first retraining ends at a spike.

    Args:
        n: Real points.
        eps: ε, in (0, 1).
        m: Samples a round.

    Returns:
        P(the first fit is not exactly θ*) times the hazard.
    """
    return float(chi2.sf(-2 * n * math.log1p(-eps), 1)) * hazard(eps, m)


def first_round_ceiling() -> float:
    """Bound on erfc(√a)(1 − e^{−a}), the first round at m = n with a = nε small in ε."""
    return 0.125


def certainty(lam: float) -> float:
    """1 − (2/√π)λ^{−¼} − e^{−√λ}, from erfc(x) >= 1 − 2x/√π.

    Args:
        lam: Synthetic points per real point.

    Returns:
        Lower bound on the probability of the first round at ε = 1/(n√λ); may be negative.
    """
    return 1 - 2 / math.sqrt(math.pi) * lam**-0.25 - math.exp(-math.sqrt(lam))


class SpikeFamily:
    """Exact maximum likelihood in the family with spikes, many models side by side in one chain.

    A point is a vector (W,), one number for each of W models. A sample of a spike that is not of
    its background is its centre: s is below what floats resolve.

    Args:
        chains: R.
        width: W.
        eps: ε.
    """

    def __init__(self, chains: int, width: int, eps: float) -> None:
        self._eps = eps
        self.theta = np.zeros((chains, width))
        self.centre = np.full((chains, width), np.nan)  # of a spike; nan: none

    @property
    def chains(self) -> int:
        """R."""
        return len(self.theta)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to draw: the estimate does not depend on initial parameters.

        Args:
            rngs: Random generator of each chain, unused.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """A spike where a point is in [L, L+1], else θ* = 0 or the mean, whichever is likelier.

        Args:
            datasets: One a chain.
            rngs: Not used.
        """
        for r, data in enumerate(datasets):
            x = data.points
            inside = (x >= _L) & (x <= _L + 1)
            # the first one: later copies of it only add to its lead
            first = x[inside.argmax(axis=0), np.arange(x.shape[1])]
            self.centre[r] = np.where(inside.any(axis=0), first, np.nan)
            mean = x.mean(axis=0)
            # log-likelihood over that of θ*, divided by the number of points
            gain = mean**2 / 2 + math.log1p(-self._eps)
            self.theta[r] = np.where(gain > 0, mean, 0.0)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[NDArray[np.float64]]:
        """Draw of each model.

        Args:
            counts: One a chain.
            rngs: One a chain.

        Returns:
            (counts[r], W) for each chain.
        """
        drawn = []
        for theta, centre, m, rng in zip(self.theta, self.centre, counts, rngs, strict=True):
            shape = (m, len(theta))
            spike = ~np.isnan(centre)
            normal = rng.standard_normal(shape) + np.where(spike, 0.0, theta)
            beyond = np.where(spike, centre, _L + rng.random(shape))
            chance = np.where(spike, 0.5, np.where(theta == 0, 0.0, self._eps))
            drawn.append(np.where(rng.random(shape) < chance, beyond, normal))
        return drawn

    def state_dict(self) -> dict[str, Any]:
        """Parameters of all models."""
        return {"theta": torch.tensor(self.theta), "centre": torch.tensor(self.centre)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state.

        Args:
            state: Of `state_dict`.
        """
        self.theta = state["theta"].numpy().copy()
        self.centre = state["centre"].numpy().copy()


def check(
    side: Literal["regular", "spikes"],
    rng: np.random.Generator,
    n: int = 20,
    a: float = 0.5,
    lam: float = 1.0,
    chains: int = 2048,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """Coverage in regular families, or the family with spikes through Algorithm 1.

    Args:
        side: Which of the two.
        rng: For the simulations.
        n: Real points in the family with spikes.
        a: nε there.
        lam: Synthetic points per real point there; λn whole.
        chains: Simulated loops there, a multiple of 256.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.
    """
    if side == "regular":
        end = _end(rng.spawn(1)[0], false_alarm)
        return [_walk(rng, false_alarm), *_other_families(rng, false_alarm), end]
    return [*_spikes(n, a / n, lam, rng, chains, false_alarm), *_limits(lam)]


def _outside(claim: Claim, case: str, seen: NDArray[np.bool_], false_alarm: float) -> Verdict:
    return claim.verdict(
        case,
        measured=float(seen.mean()),
        claimed=DELTA,
        tolerance=share_slack(DELTA, len(seen), false_alarm),
        method=f"share of {len(seen)} loops outside; tolerance: exact, binomial",
        false_alarm=false_alarm,
    )


def _walk(rng: np.random.Generator, false_alarm: float) -> Verdict:
    n, chains = 2, 2048
    furthest = np.abs(paths(Accumulate(1.0), n, _T, chains, rng)).max(axis=0) * math.sqrt(n)
    case = f"T = {_T}, δ = {DELTA:g}"
    return _outside(WALK, case, furthest > radius(DELTA, _T), false_alarm)


def _end(rng: np.random.Generator, false_alarm: float) -> Verdict:
    """Share of loops whose last mean is beyond the radius, which is exact at T."""
    n, chains = 2, 8192
    last = np.abs(paths(Accumulate(1.0), n, _T, chains, rng)[-1]) * math.sqrt(n)
    return END.verdict(
        f"T = {_T}, δ = {DELTA:g}",
        measured=float((last > radius(DELTA, _T)).mean()),
        claimed=DELTA / 2,
        tolerance=share_slack(DELTA / 2, chains, false_alarm / 2),
        method=f"Algorithm 1, {chains} loops; tolerance: exact, binomial",
        false_alarm=false_alarm,
    )


_MEANS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "exponential": lambda rng, mean, n: mean * rng.standard_gamma(n, len(mean)) / n,
    "Poisson": lambda rng, mean, n: rng.poisson(n * mean) / n,
    "2 Bernoulli": lambda rng, mean, n: 2 * rng.binomial(n, mean / 2) / n,
}
"""Family with variance 1 at mean 1 -> the mean of n points of models of these means."""


def _other_families(rng: np.random.Generator, false_alarm: float) -> list[Verdict]:
    """Exact simulation of the sufficient statistics: the mean of everything kept."""
    found = []
    for name, draw in _MEANS.items():
        for n in (100, 400):
            mean = draw(rng, np.ones(4000), n)
            furthest = np.abs(mean - 1)
            for k in range(2, _T + 2):
                mean = mean + (draw(rng, mean, n) - mean) / k
                furthest = np.maximum(furthest, np.abs(mean - 1))
            outside = furthest * math.sqrt(n) > radius(DELTA)
            case = f"{name}, n = {n}, T = {_T}, δ = {DELTA:g}"
            found.append(_outside(REGULAR, case, outside, false_alarm))
    return found


def _spikes(
    n: int, eps: float, lam: float, rng: np.random.Generator, chains: int, false_alarm: float
) -> list[Verdict]:
    """Shares of loops that end at a spike, in the first round and in each."""
    groups, m, rounds = math.ceil(chains / _WIDTH), round(lam * n), 3
    learner = SpikeFamily(groups, _WIDTH, eps)
    states = []
    for _ in retrain(
        learner,
        list(rng.standard_normal((groups, n, _WIDTH))),
        [Accumulate(lam)] * groups,
        rounds,
        seed=int(rng.integers(2**62)),
    ):
        states.append((learner.theta.ravel().copy(), ~np.isnan(learner.centre.ravel())))

    # trials of one probability, in an order that no outcome decides: the first so many of them
    # are independent
    outcomes = [after[(theta != 0) & ~spike] for (theta, spike), (_, after) in pairwise(states)]
    trials = np.concatenate(outcomes)[: chains // 4]
    case = f"n = {n}, nε = {n * eps:g}, λ = {lam:g}"
    method = "Algorithm 1, {} {}; tolerance: exact, binomial"
    law, each = first_round(n, eps, m), hazard(eps, m)
    return [
        FIRST.verdict(
            case,
            measured=float(states[1][1].mean()),
            claimed=law,
            tolerance=share_slack(law, groups * _WIDTH, false_alarm / 2),
            method=method.format(groups * _WIDTH, "loops"),
            false_alarm=false_alarm,
        ),
        HAZARD.verdict(
            case,
            measured=float(trials.mean()),
            claimed=each,
            tolerance=share_slack(each, len(trials), false_alarm / 2),
            method=method.format(len(trials), "rounds"),
            false_alarm=false_alarm,
        ),
    ]


def _limits(lam: float) -> list[Verdict]:
    """The worst ε at m = n, and large λ."""
    n, large = 10**6, 1e4 * lam
    worst = minimize_scalar(lambda a: -first_round(n, a / n, n), bounds=(0.01, 5), method="bounded")
    return [
        CEILING.verdict(
            f"n = m = {n}",
            measured=-float(worst.fun),  # type: ignore[attr-defined]
            claimed=first_round_ceiling(),
            method="numerical maximisation over nε",
        ),
        CERTAIN.verdict(
            f"λ = {large:g}",
            measured=first_round(n, 1 / (n * math.sqrt(large)), round(large * n)),
            claimed=certainty(large),
            tolerance=1e-6,
            method="closed form; tolerance: −log(1−ε) for ε",
        ),
    ]


_REGULAR, _, _SPIKES = GRID

MUTATIONS = (
    *(
        Mutation(
            claim,
            f"{__name__}.radius",
            "that of one fit for all t",
            _REGULAR,
            lambda right: lambda delta, t=math.inf: right(2 * delta, 0),
        )
        for claim in (WALK, REGULAR)
    ),
    Mutation(
        END,
        f"{__name__}.radius",
        "Σ 1/k² for its root",
        _REGULAR,
        lambda right: lambda delta, t=math.inf: right(delta, t) ** 2 / float(norm.isf(delta / 4)),
    ),
    Mutation(FIRST, f"{__name__}.first_round", "the probability", _SPIKES),
    Mutation(
        HAZARD,
        f"{__name__}.hazard",
        "n for m",
        _SPIKES,
        lambda right: lambda eps, m: right(eps, 20),
    ),
    Mutation(CEILING, f"{__name__}.first_round_ceiling", "the bound", _SPIKES),
    Mutation(CERTAIN, f"{__name__}.certainty", "the bound", _SPIKES),
)
"""Slips, and the claim that each must break."""
