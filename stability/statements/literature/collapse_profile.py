"""The collapse profile: eight definitions of model collapse on one run, which do not agree.

Schaeffer et al. (arXiv:2503.03150) find eight meanings of "collapse" in the literature: risk that
grows without use, that grows at all, or without end; variance that vanishes; another scaling law;
lost tails; lost modes; mass where no data are. Here each is a number with an exact law, for records
of a symbol and a number. Frequencies of the symbols are fitted with a leak: samples are of a symbol
that no data have with probability ε. The number is N(μ, 1), and its mean is fitted.

Without real data a loop collapses by all eight definitions, accumulating by three (any increase,
scaling law, invented mass), a mix by one (any increase), and with new real data in every round it
collapses by none. So "the model collapses" says little without the definition.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom

from stability.laws.monte_carlo import bounded_mean_slack, mean_square_slack, share_slack
from stability.loop.regimes import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    Mix,
    Regime,
    TrainingSet,
)
from stability.loop.retraining import retrain
from stability.planning.labels import propagate
from stability.planning.response import fraction_spread, path_law
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.literature.discrete_collapse import Frequencies
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "DEFINITIONS",
    "GRID",
    "MUTATIONS",
    "CollapseProfile",
    "check",
    "counterexamples",
    "definitions_met",
    "profile",
]

_claim = partial(
    Claim,
    source="definitions: Schaeffer et al., arXiv:2503.03150; numbers: own derivation",
    no_evidence="One definition: that it is met or not says nothing of the other seven.",
)

NUMBERS = _claim(
    id="Collapse profile, Algorithm 1",
    words="risk, diversity, lost symbols and invented mass after t rounds have their exact laws",
    relation="==",
    falsified_by="A mean over models further off than exact laws allow.",
    error_rate=ERROR_RATE,
)
COUNT = _claim(
    id="Collapse profile",
    words="of eight definitions of collapse a loop meets 8 without real data, 3 accumulating, 1 in "
    "a mix, 0 with new real data",
    relation="==",
    falsified_by="A profile that meets another number of them.",
)
TAILS = _claim(
    id="Collapse profile, tails first",
    words="a frequent symbol is not lost sooner than a rare one",
    relation="<=",
    falsified_by="A round after which the frequent one is lost with the larger probability.",
)
AGREE = _claim(
    id="Collapse profile, agreement",
    words="a loop that collapses by one definition collapses by all eight",
    relation="==",
    falsified_by="A mix: its risk grows, by a factor that stays bounded, and nothing is lost.",
    refuted_because="A mix meets one definition of eight, and accumulating meets three.",
)

LAW = np.array([0.5, 0.4, 0.1])
"""Frequencies of the real symbols; the first is a mode, the last the tail."""
LEAK = 0.02
"""ε, chance that a sample is of a symbol that no data have."""
N, ROUNDS = 10, 40

DEFINITIONS = (
    "catastrophic risk",
    "any increase of risk",
    "diverging risk",
    "vanishing variance",
    "another scaling law",
    "lost tails",
    "lost modes",
    "invented mass",
)
"""Names of the eight definitions, in the order of `CollapseProfile.met`."""

GRID: tuple[dict[str, Any], ...] = (
    {"regime": FullySynthetic()},
    {"regime": Accumulate(1.0)},
    {"regime": Mix(1.0)},
    {"regime": FreshReal(1.0)},
)


@dataclass(frozen=True)
class CollapseProfile:
    """Numbers of one loop that the eight definitions need.

    Attributes:
        risk: E‖p − q‖² + E(μ̂ − μ)² of the first fit, after T and after 4T rounds; q the real law.
        of_number: Its second part, after T rounds.
        single: The risk of a fit to a single real point.
        diversity: E(1 − Σp²) of the first fit and after T rounds.
        exponents: −d log risk/d log n from n to 16n, of the first fit and after T rounds.
        tail: Probability that the rare symbol is lost, of the first fit and after T rounds.
        mode: The same of the most frequent symbol.
        invented: Expected mass of the symbol that no data have, of the first fit and after T.
    """

    risk: tuple[float, float, float]
    of_number: float
    single: float
    diversity: tuple[float, float]
    exponents: tuple[float, float]
    tail: tuple[float, float]
    mode: tuple[float, float]
    invented: tuple[float, float]

    @property
    def met(self) -> tuple[bool, ...]:
        """Verdict of each of `DEFINITIONS` on the loop: whether it calls it collapsed.

        Catastrophic: no better than a fit to one point. Diverging: the risk doubles from T to 4T.
        Vanishing: less than half of the diversity is left. Another law: an exponent that differs by
        0.1. Lost: with a probability that is larger by ½ than in the first fit. Invented: more
        than twice the mass of the first fit.
        """
        first, last, later = self.risk
        return (
            last > self.single,
            last > first,
            later > 2 * last,
            self.diversity[1] < 0.5 * self.diversity[0],
            abs(self.exponents[1] - self.exponents[0]) > 0.1,
            self.tail[1] - self.tail[0] > 0.5,
            self.mode[1] - self.mode[0] > 0.5,
            self.invented[1] > 2 * self.invented[0],
        )


def profile(regime: Regime, n: int = N, t: int = ROUNDS) -> CollapseProfile:
    """Compute the exact profile of a loop on records.

    Args:
        regime: `FullySynthetic`, `Accumulate`, `Mix` or `FreshReal`.
        n: Real points.
        t: T, retrainings.

    Returns:
        The numbers.
    """
    numbers, symbols, diversity, invented = _laws(regime, n, 4 * t)
    risks = numbers + symbols
    many = np.sum(_laws(regime, 16 * n, t)[:2], axis=0)
    first, last = (math.log(risks[s] / many[s]) / math.log(16) for s in (0, t))
    lost = [lost_probability(regime, float(LAW[i]), n, t) for i in (-1, 0)]
    return CollapseProfile(
        risk=(float(risks[0]), float(risks[t]), float(risks[4 * t])),
        of_number=float(numbers[t]),
        single=2 - float(LAW @ LAW),
        diversity=(float(diversity[0]), float(diversity[t])),
        exponents=(first, last),
        tail=(float(lost[0][0]), float(lost[0][t])),
        mode=(float(lost[1][0]), float(lost[1][t])),
        invented=(float(invented[0]), float(invented[t])),
    )


def _laws(regime: Regime, n: int, t: int) -> tuple[NDArray[np.float64], ...]:
    """Risk of the number, risk of the symbols, diversity, invented mass of rounds 0 … t, by linear
    response.
    """
    training = propagate(regime, n, t)
    symbols = [
        path_law(
            training,
            spread=fraction_spread(float(q)),
            response=1 - LEAK,
            bias=(q == 0) * LEAK - q * LEAK,
        )
        for q in (*LAW, 0.0)
    ]
    squares = [
        law.variance + (q + law.mean) ** 2 for q, law in zip((*LAW, 0.0), symbols, strict=True)
    ]
    risk = np.sum([law.risk for law in symbols], axis=0)
    return path_law(training).risk, risk, 1 - np.sum(squares, axis=0), symbols[-1].mean


def lost_probability(regime: Regime, q: float, n: int, t: int) -> NDArray[np.float64]:
    """Probability that the training sets of rounds 0 … t lack a symbol.

    Args:
        regime: `FullySynthetic`, `Accumulate`, `Mix` or `FreshReal`.
        q: Its frequency in the real law.
        n: Real points.
        t: Retrainings.

    Returns:
        (t + 1,). Where the real points stay in the training set, they lack it or never do.
    """
    first = (1 - q) ** n
    if isinstance(regime, Mix | Accumulate):
        return np.full(t + 1, first)

    real, drawn = (n, regime.synthetic(n)) if isinstance(regime, FreshReal) else (0, n)
    law, size, lost = binom.pmf(np.arange(n + 1), n, q), n, [first]
    fresh = binom.pmf(np.arange(real + 1), real, q)
    for _ in range(t):
        shares = (1 - LEAK) * np.arange(size + 1) / size
        synthetic = law @ binom.pmf(np.arange(drawn + 1), drawn, shares[:, None])
        law, size = np.convolve(fresh, synthetic), real + drawn
        lost.append(law[0])
    return np.array(lost)


def definitions_met(regime: Regime) -> int:
    """Number of the eight definitions that are met.

    Args:
        regime: A case of `GRID`.

    Returns:
        8 without real data, 3 accumulating, 1 in a mix, 0 with new real data.
    """
    match regime:
        case FullySynthetic():
            return 8
        case Accumulate():
            return 3
        case Mix():
            return 1
    return 0


class LeakyRecords:
    """W models of records in one chain: frequencies with a leak, and the mean of N(μ, 1).

    A point is (2, W): a symbol and a number for each model.

    Args:
        width: W.
    """

    chains = 1

    def __init__(self, width: int) -> None:
        self.symbols = Frequencies(np.zeros((1, width, len(LAW) + 1)))
        self.mean = np.zeros(width)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """(W, K + 1) of the models, with the leak; the last symbol is the one without data."""
        leaky = (1 - LEAK) * self.symbols.frequencies[0]
        leaky[:, -1] += LEAK
        return leaky

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to draw: the estimate does not depend on initial parameters.

        Args:
            rngs: Random generator of the chain, unused.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Maximum likelihood of both parts.

        Args:
            datasets: The training set, of points (n + m, 2, W).
            rngs: Random generator of the chain, unused.
        """
        (data,) = datasets
        self.symbols.fit([replace(data, points=data.points[:, 0])], rngs)
        self.mean = data.points[:, 1].mean(axis=0)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw records.

        Args:
            counts: Number of records.
            rngs: Random generator of the chain.

        Returns:
            (counts[0], 2, W).
        """
        (m,), (rng,) = counts, rngs
        (symbols,) = Frequencies(self.frequencies[None]).sample(counts, rngs)
        numbers = self.mean + rng.standard_normal((m, len(self.mean)))
        return [np.stack([symbols, numbers], axis=1)]

    def state_dict(self) -> dict[str, Any]:
        return {**self.symbols.state_dict(), "mean": torch.tensor(self.mean)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.symbols.load_state_dict(state)
        self.mean = state["mean"].numpy().copy()


def _records(n: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 2, W) real records."""
    symbols = rng.choice(len(LAW), size=(n, width), p=LAW)
    return np.stack([symbols, rng.standard_normal((n, width))], axis=1)


def check(
    regime: Regime,
    rng: np.random.Generator,
    width: int = 800,
    false_alarm: float = ERROR_RATE,
) -> list[Verdict]:
    """The profile by its laws, and its numbers on one run of Algorithm 1.

    Args:
        regime: A case of `GRID`.
        rng: For the simulation.
        width: Independent models of the simulation.
        false_alarm: Of all verdicts on the simulation together.

    Returns:
        The verdicts.
    """
    law, case = profile(regime), f"{regime}, n = {N}, t = {ROUNDS}"
    met = [name for name, yes in zip(DEFINITIONS, law.met, strict=True) if yes]
    rare, frequent = (lost_probability(regime, float(LAW[i]), N, ROUNDS) for i in (-1, 0))

    return [
        COUNT.verdict(
            case,
            measured=len(met),
            claimed=definitions_met(regime),
            method="the eight numbers by their laws, against thresholds",
            note=", ".join(met) or "none",
        ),
        TAILS.verdict(
            f"{case}, the largest difference over rounds",
            measured=float((frequent - rare).max()),
            claimed=0.0,
            tolerance=1e-12,
            method="transition matrices of the counts; tolerance: rounding",
        ),
        *_simulated(case, regime, law, width, rng, false_alarm),
    ]


def _simulated(
    case: str,
    regime: Regime,
    law: CollapseProfile,
    width: int,
    rng: np.random.Generator,
    false_alarm: float,
) -> list[Verdict]:
    """Means over W models after T rounds, against exact or Hoeffding's limits."""
    learner = LeakyRecords(width)
    for _ in retrain(
        learner,
        [_records(N, width, rng)],
        [regime],
        ROUNDS,
        seed=int(rng.integers(2**62)),
        fresh=partial(_fresh, width=width),
    ):
        pass

    p, symbols = learner.frequencies, learner.symbols.frequencies[0]
    off = np.square(p - np.append(LAW, 0.0)).sum(axis=1)
    tail = false_alarm / 12
    lost = [symbols[:, i] == 0 for i in (len(LAW) - 1, 0)]
    limited = partial(bounded_mean_slack, count=width, tail=tail)
    rows = (
        (
            "risk",
            float(np.square(learner.mean).mean() + off.mean()),
            law.risk[1],
            law.of_number * mean_square_slack(width, tail)
            + limited(law.risk[1] - law.of_number, 2.0),
        ),
        ("diversity", float(1 - np.square(p).sum(axis=1).mean()), law.diversity[1], None),
        ("invented mass", float(p[:, -1].mean()), law.invented[1], None),
        *(
            (f"lost {name}", float(gone.mean()), chance, share_slack(chance, width, tail))
            for name, gone, chance in zip(
                ("tail", "mode"), lost, (law.tail[1], law.mode[1]), strict=True
            )
        ),
    )
    return [
        NUMBERS.verdict(
            f"{case}, {name}",
            measured=measured,
            claimed=claimed,
            tolerance=limited(claimed, 1.0) if slack is None else slack,
            method=f"Algorithm 1, {width} models; tolerance: exact χ², binomial, Hoeffding",
            false_alarm=2 * tail,
        )
        for name, measured, claimed, slack in rows
    ]


def _fresh(n: int, rng: np.random.Generator, width: int) -> np.ndarray:
    return _records(n, width, rng)


def counterexamples() -> list[Verdict]:
    """A mix: its risk grows, and by none of the other seven definitions does it collapse."""
    regime = Mix(1.0)
    law = profile(regime)
    return [
        AGREE.verdict(
            f"{regime}, n = {N}, t = {ROUNDS}",
            measured=sum(law.met),
            claimed=len(DEFINITIONS),
            method="the eight numbers by their laws",
            note=f"risk {law.risk[0]:.4f} at first, {law.risk[1]:.4f} and {law.risk[2]:.4f} later",
        )
    ]


_REPLACE = {"regime": FullySynthetic()}

MUTATIONS = (
    Mutation(
        NUMBERS,
        f"{__name__}._laws",
        "the laws of a mix",
        _REPLACE,
        lambda right: lambda regime, n, t: right(Mix(1.0), n, t),
    ),
    Mutation(
        COUNT,
        f"{__name__}.definitions_met",
        "real data avoid every definition",
        {"regime": Mix(1.0), "width": 2},
        lambda right: lambda regime: 8 * (right(regime) == 8),
    ),
    Mutation(
        TAILS,
        f"{__name__}.lost_probability",
        "1 − q for q",
        {**_REPLACE, "width": 2},
        lambda right: lambda regime, q, n, t: right(regime, 1 - q, n, t),
    ),
)
"""Slips, and the claim that each must break."""
