"""Frequencies sampled at temperature τ: a finite critical λ, and collapsed states below it.

Frequencies p of K symbols, samples from p^{1/τ}/Z, and infinitely many points: a round is

    p ← (q + λ p^{1/τ}/Z)/(1 + λ),    with Jacobian λ/((1+λ)τ) on the simplex at uniform q,

so that uniform frequencies are stable iff λ < λ_c = τ/(1−τ) (τ < 1). Marchi et al.
(arXiv:2404.02325) study this loop ("heat death and collapse"). Added here: the threshold, and that
it is a jump. For K >= 3 states with one large symbol are stable already from λ_f < λ_c on (at τ = ½
λ_f/λ_c = 2√(K−1)/K), so that just above λ_c the smallest perturbation ends far away. In an
exponential family that p^{1/τ} does not leave, J = c F(θ)⁻¹F(θ/τ)/τ, F the Fisher information.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, root_scalar

from stability.loop.regimes import Mix, TrainingSet
from stability.loop.retraining import retrain
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.literature.discrete_collapse import Frequencies
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "CooledFrequencies",
    "check",
    "collapsed_fold",
    "collapsed_share",
    "counterexamples",
    "critical_lambda",
    "retrained",
]

_claim = partial(
    Claim,
    source="own derivation; the loop: Marchi et al., arXiv:2404.02325",
    no_evidence="A loop at skewed q: its main branch runs to the mode without any threshold.",
)

RATE = _claim(
    id="Temperature, rate",
    words="at uniform q a perturbation is multiplied by λ/((1+λ)τ) a round",
    relation="==",
    falsified_by="A Jacobian of the round with another spectral radius.",
)
THRESHOLD = _claim(
    id="Temperature, critical λ",
    words="uniform frequencies are stable iff λ < τ/(1−τ)",
    relation="==",
    falsified_by="A λ at which the spectral radius passes 1 that is another.",
)
BELOW = _claim(
    id="Temperature, collapsed below",
    words="a state with one large symbol is stable from λ_f < λ_c on",
    relation="==",
    falsified_by="A start near one symbol that comes back at a λ in between, or stays below λ_f.",
)
HALF = _claim(
    id="Temperature, τ = ½",
    words="τ = ½: λ_f/λ_c = 2√(K−1)/K",
    relation="==",
    falsified_by="Another least λ on the branch of collapsed states.",
)
JUMP = _claim(
    id="Temperature, jump",
    words="above λ_c the smallest perturbation ends at the state with one large symbol",
    relation="==",
    falsified_by="A perturbation of 1e-6 that ends elsewhere.",
)
ODDS = _claim(
    id="Temperature, no real data",
    words="without real data log odds are multiplied by 1/τ a round",
    relation="==",
    falsified_by="A round that multiplies them by another number.",
)
FAMILY = _claim(
    id="Temperature, Fisher information",
    words="J = c F(θ)⁻¹F(θ/τ)/τ at a fixed point, for skewed q as well",
    relation="==",
    falsified_by="A Jacobian of the round with another spectral radius.",
)
RUN = _claim(
    id="Temperature, Algorithm 1",
    words="at finite n one symbol takes more than half at 2λ_c, and none 0.4 at λ_c/2",
    relation=">",
    falsified_by="A run whose largest frequency is on the other side.",
    error_rate=ERROR_RATE,
)
EVERYWHERE = _claim(
    id="Temperature, every start",
    words="below λ_c the loop returns to uniform frequencies from every start",
    relation="<",
    falsified_by="A start that does not come back.",
    refuted_because="Between λ_f and λ_c a start near one symbol stays there.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"symbols": 4, "tau": 0.8},
    {"symbols": 4, "tau": 0.5},
    {"symbols": 10, "tau": 0.8},
    {"symbols": 10, "tau": 0.5},
)

_SKEWED = np.array([0.4, 0.3, 0.2, 0.1])


def cooled(p: NDArray[Any], tau: float) -> NDArray[Any]:
    """p^{1/τ}, normalised over the last axis.

    Args:
        p: (…, K) frequencies.
        tau: Temperature > 0.

    Returns:
        Frequencies of the same shape.
    """
    powers = p ** (1 / tau)
    return powers / powers.sum(axis=-1, keepdims=True)


def retrained(p: NDArray[Any], q: NDArray[Any], lam: float, tau: float) -> NDArray[Any]:
    """One round on infinitely many points.

    Args:
        p: (K,) frequencies of the model.
        q: (K,) frequencies of the real data.
        lam: λ >= 0, or inf.
        tau: Temperature > 0.

    Returns:
        (K,) frequencies of the next model.
    """
    if math.isinf(lam):
        return cooled(p, tau)
    return (q + lam * cooled(p, tau)) / (1 + lam)


def uniform_rate(lam: float, tau: float) -> float:
    """λ/((1+λ)τ), the spectral radius at uniform q.

    Args:
        lam: λ.
        tau: Temperature.

    Returns:
        The factor a round.
    """
    return lam / ((1 + lam) * tau)


def critical_lambda(tau: float) -> float:
    """τ/(1−τ), where uniform frequencies lose their stability.

    Args:
        tau: Temperature in (0, 1).

    Returns:
        λ_c.
    """
    return tau / (1 - tau)


def _lam_of_share(share: float, symbols: int, tau: float) -> float:
    """The λ at which one symbol has this share and the others equal ones, at uniform q."""
    rest = (1 - share) / (symbols - 1)
    sampled = share ** (1 / tau) / (share ** (1 / tau) + (symbols - 1) * rest ** (1 / tau))
    return (share - 1 / symbols) / (sampled - share)


def collapsed_fold(symbols: int, tau: float) -> tuple[float, float]:
    """The least λ of the states with one large symbol, and its share there.

    Args:
        symbols: K >= 3.
        tau: Temperature in (0, 1).

    Returns:
        λ_f and the share.
    """
    found = minimize_scalar(
        lambda share: _lam_of_share(share, symbols, tau),
        bounds=(1 / symbols + 1e-6, 1 - 1e-9),
        method="bounded",
        options={"xatol": 1e-12},
    )
    return float(found.fun), float(found.x)  # type: ignore[attr-defined]


def collapsed_share(symbols: int, tau: float, lam: float) -> float:
    """Share of the large symbol in the stable collapsed state.

    Args:
        symbols: K >= 3.
        tau: Temperature in (0, 1).
        lam: λ > λ_f.

    Returns:
        The share.
    """
    _, least = collapsed_fold(symbols, tau)
    found = root_scalar(
        lambda share: _lam_of_share(share, symbols, tau) - lam,
        bracket=(least, 1 - 1e-12),
        xtol=1e-14,
    )
    return float(found.root)


def fisher_radius(p: NDArray[np.float64], lam: float, tau: float) -> float:
    """Spectral radius of c F(θ)⁻¹F(θ/τ)/τ for frequencies, F in the K − 1 natural parameters.

    Args:
        p: (K,) frequencies at θ.
        lam: λ.
        tau: Temperature.

    Returns:
        ρ(J).
    """
    information, sampled = (np.diag(x[:-1]) - np.outer(x[:-1], x[:-1]) for x in (p, cooled(p, tau)))
    J = uniform_rate(lam, tau) * np.linalg.solve(information, sampled)
    return float(np.abs(np.linalg.eigvals(J)).max())


def _radius(p: NDArray[np.float64], q: NDArray[np.float64], lam: float, tau: float) -> float:
    """Spectral radius of the round's Jacobian on the simplex, by a complex step."""
    K = len(p)
    directions = np.eye(K) - 1 / K  # columns of sum 0
    columns = [np.imag(retrained(p + 1e-30j * d, q, lam, tau)) / 1e-30 for d in directions]
    return float(np.abs(np.linalg.eigvals(np.array(columns))).max())


def _end(
    p: NDArray[np.float64], q: NDArray[np.float64], lam: float, tau: float, rounds: int = 20_000
) -> NDArray[np.float64]:
    """Limit of the loop from p."""
    for _ in range(rounds):
        after = retrained(p, q, lam, tau)
        if np.abs(after - p).max() < 1e-14:
            break
        p = after
    return p


def _near_one(symbols: int) -> NDArray[np.float64]:
    """Nearly all of the mass on the first symbol."""
    return np.array([1 - 1e-3, *[1e-3 / (symbols - 1)] * (symbols - 1)])


@dataclass(eq=False)
class CooledFrequencies:
    """Frequencies that are fitted by counting and sampled at another temperature.

    Attributes:
        model: The frequencies.
        tau: Temperature > 0 of the samples.
    """

    model: Frequencies
    tau: float

    @property
    def chains(self) -> int:
        return self.model.chains

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Nothing to draw: the estimate does not depend on initial parameters.

        Args:
            rngs: Random generator of each chain, unused.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Count.

        Args:
            datasets: Training set of each chain, of symbols, (n + m, W).
            rngs: Random generator of each chain, unused.
        """
        self.model.fit(datasets, rngs)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw symbols at temperature `tau`.

        Args:
            counts: Number of points for each chain.
            rngs: Random generator of each chain.

        Returns:
            (counts[r], W) symbols for each chain.
        """
        return Frequencies(cooled(self.model.frequencies, self.tau)).sample(counts, rngs)

    def state_dict(self) -> dict[str, Any]:
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state)


def check(symbols: int, tau: float, rng: np.random.Generator, n: int = 2000) -> list[Verdict]:
    """The rate, the threshold, the collapsed states, and two runs.

    Args:
        symbols: K >= 3.
        tau: Temperature in (0, 1).
        rng: For the runs.
        n: Real points of the runs.

    Returns:
        The verdicts.
    """
    q = np.full(symbols, 1 / symbols)
    case = f"K = {symbols}, τ = {tau:g}"
    lam = 0.7 * critical_lambda(tau)
    found = root_scalar(lambda lam: _radius(q, q, lam, tau) - 1, bracket=(1e-6, 1e6), xtol=1e-13)
    p = np.arange(1.0, symbols + 1) / np.arange(1, symbols + 1).sum()
    odds = np.log(p[-1] / p[0])
    after = retrained(p, q, math.inf, tau)

    return [
        RATE.verdict(
            f"{case}, λ = {lam:.3g}",
            measured=_radius(q, q, lam, tau),
            claimed=uniform_rate(lam, tau),
            tolerance=1e-10,
            method="Jacobian by a complex step; tolerance: rounding",
        ),
        THRESHOLD.verdict(
            case,
            measured=float(found.root),
            claimed=critical_lambda(tau),
            tolerance=1e-9,
            method="root of the Jacobian's spectral radius − 1; tolerance: of the root",
        ),
        *_collapsed(case, symbols, tau, q),
        ODDS.verdict(
            case,
            measured=float(np.log(after[-1] / after[0]) / odds),
            claimed=_odds_factor(tau),
            tolerance=1e-12,
            method="one round; tolerance: rounding",
        ),
        _family(tau),
        *_runs(case, symbols, tau, n, rng),
    ]


def _odds_factor(tau: float) -> float:
    """1/τ."""
    return 1 / tau


def _collapsed(case: str, symbols: int, tau: float, q: NDArray[np.float64]) -> list[Verdict]:
    """The branch of states with one large symbol: where it begins, and that loops end there."""
    fold, _ = collapsed_fold(symbols, tau)
    critical = critical_lambda(tau)
    inside, above = 0.5 * (fold + critical), 1.2 * critical
    verdicts = [
        BELOW.verdict(
            f"{case}, λ = {lam:.4g}",
            measured=float(_end(_near_one(symbols), q, lam, tau).max()),
            claimed=share,
            tolerance=1e-8,
            method="iteration from a start near one symbol; tolerance: of the end",
            note=f"λ_f = {fold:.4g} = {fold / critical:.4f} λ_c",
        )
        for lam, share in (
            (inside, collapsed_share(symbols, tau, inside)),
            (0.97 * fold, 1 / symbols),
        )
    ]
    start = q + 1e-6 * np.arange(symbols) / symbols
    verdicts.append(
        JUMP.verdict(
            f"{case}, λ = {above:.4g}",
            measured=float(_end(start / start.sum(), q, above, tau).max()),
            claimed=collapsed_share(symbols, tau, above),
            tolerance=1e-6,
            method="iteration from a perturbation of 1e-6; tolerance: of the end",
        )
    )

    if tau == 0.5:
        verdicts.append(
            HALF.verdict(
                f"K = {symbols}",
                measured=fold / critical,
                claimed=half_ratio(symbols),
                tolerance=1e-9,
                method="least λ on the branch, numerically; tolerance: of the minimum",
            )
        )

    return verdicts


def half_ratio(symbols: int) -> float:
    """2√(K−1)/K, λ_f over λ_c at τ = ½.

    Args:
        symbols: K >= 2; at K = 2 it is 1, and there is no jump.

    Returns:
        The ratio.
    """
    return 2 * math.sqrt(symbols - 1) / symbols


def _family(tau: float, lam: float = 3.0) -> Verdict:
    """ρ(J) by Fisher matrices at the fixed point of skewed q."""
    p = _end(_SKEWED, _SKEWED, lam, tau)
    return FAMILY.verdict(
        f"q = 0.4, 0.3, 0.2, 0.1, τ = {tau:g}, λ = {lam:g}",
        measured=_radius(p, _SKEWED, lam, tau),
        claimed=fisher_radius(p, lam, tau),
        tolerance=1e-9,
        method="Jacobian by a complex step; tolerance: rounding",
        note=f"largest frequency {p.max():.3f}",
    )


def _runs(
    case: str, symbols: int, tau: float, n: int, rng: np.random.Generator, t: int = 100
) -> list[Verdict]:
    """The largest frequency of two runs far from the threshold, above it and below."""
    if (symbols, tau) != (4, 0.5):
        return []
    real = np.repeat(np.arange(symbols), n // symbols)[:, None]
    verdicts = []

    for factor, sign, bound in ((2.0, 1, 0.5), (0.5, -1, 0.4)):
        model = Frequencies(np.zeros((1, 1, symbols)))
        learner = CooledFrequencies(model, tau)
        lam = factor * critical_lambda(tau)
        for _ in retrain(learner, [real], [Mix(lam)], t, seed=int(rng.integers(2**62))):
            pass
        verdicts.append(
            RUN.verdict(
                f"{case}, λ = {lam:g}, n = {n}, t = {t}",
                measured=sign * float(model.frequencies.max()),
                claimed=sign * bound,
                method="Algorithm 1; below λ_c a frequency's standard deviation is under 0.02, "
                "above it noise grows by a third a round; the sign says on which side",
                false_alarm=ERROR_RATE,
            )
        )

    return verdicts


def counterexamples() -> list[Verdict]:
    """A start near one symbol that does not come back, at a λ where uniform q is stable."""
    symbols, tau = 4, 0.5
    lam = 0.95 * critical_lambda(tau)
    q = np.full(symbols, 1 / symbols)
    end = _end(_near_one(symbols), q, lam, tau)
    return [
        EVERYWHERE.verdict(
            f"K = {symbols}, τ = {tau:g}, λ = 0.95 λ_c",
            measured=float(np.abs(end - q).max()),
            claimed=1e-3,
            method="iteration from a start near one symbol",
            note=f"ρ(J) at uniform q is {_radius(q, q, lam, tau):.4f}",
        )
    ]


_CASE = {"symbols": 4, "tau": 0.5}
_HERE = "stability.statements.literature.temperature_threshold"

MUTATIONS = (
    Mutation(
        RATE,
        f"{_HERE}.uniform_rate",
        "τ for 1/τ",
        _CASE,
        lambda right: lambda lam, tau: right(lam, 1 / tau),
    ),
    Mutation(
        THRESHOLD,
        f"{_HERE}.critical_lambda",
        "1/(1−τ) for τ/(1−τ)",
        _CASE,
        lambda right: lambda tau: 1 / (1 - tau),
    ),
    Mutation(
        BELOW,
        f"{_HERE}.collapsed_fold",
        "states with one large symbol from λ_c on alone",
        _CASE,
        lambda right: lambda symbols, tau: (critical_lambda(tau), right(symbols, tau)[1]),
    ),
    Mutation(
        HALF,
        f"{_HERE}.half_ratio",
        "√K for √(K−1)",
        _CASE,
        lambda right: lambda symbols: 2 / math.sqrt(symbols),
    ),
    Mutation(JUMP, f"{_HERE}.collapsed_share", "the share", _CASE),
    Mutation(ODDS, f"{_HERE}._odds_factor", "τ for 1/τ", _CASE, lambda right: lambda tau: tau),
    Mutation(
        FAMILY,
        f"{_HERE}.fisher_radius",
        "F at θ twice",
        _CASE,
        lambda right: lambda p, lam, tau: uniform_rate(lam, tau),
    ),
    Mutation(
        RUN,
        f"{_HERE}.critical_lambda",
        "4τ/(1−τ) for τ/(1−τ)",
        _CASE,
        lambda right: lambda tau: 4 * right(tau),
    ),
)
"""Slips, and the claim that each must break."""
