"""Score errors in a loop with fresh data: what a round makes of them, and how rounds add up.

A diffusion model is trained on q_i = α p + (1−α) p̂_i, and its score is wrong. Khelifa, Turner and
Venkataramanan (arXiv:2602.16601) bound one round, I = χ²(p̂_{i+1}, q_i), by the energy ε² of the
score's error on the ideal path, ηε²/4 − Cε⁴ <= I <= 4ε² + cε⁴, with an observability η, and N
rounds, D_N = χ²(p̂_N, p), by Σ (1−α)^{2m} ε²_{N−1−m}. We know the text from a public reproduction
of it, which reports the theorem on N rounds as false as printed; what follows is a Gaussian
instance in closed form, an own derivation.

*One round.* Forward dX = −½X dt + dB, q = N(0, 1), and an error g(s) of the drift that depends on
time alone. Then p̂ = N(δ, 1) with δ = ∫ e^{−(T−s)/2} g ds, ε² = ∫ g² ds and η = δ²/ε², so that
I = e^{ηε²} − 1: the constants ¼ and 4 can be 1.

*N rounds.* The reverse path moved by m(s), m(0) = 0 and m(T) = δ, is that of a score with an error,
and ends at q_i moved by δ_i. So every p̂_N is a mixture of N(s_k, 1) with
D_N = Σ w_j w_k e^{s_j s_k} − 1. Errors of one sign add up in amplitude,

    D_N >= (Σ (1−α)^m δ_{N−1−m})²,

and by the triangle inequality in L²(p), for every learner,
√D_N <= Σ (1−α)^m κ_{N−1−m} with κ_i the norm of (p̂_{i+1} − q_i)/p. Squares do not add up that way:
with δ_i falling like (1−α)^i, D_N is about N times their discounted sum. And errors that do not
fall end in no finite χ²: the part of the model that no real data have replaced has weight (1−α)^N
and mean Nδ, so that D_N >= (1−α)^{2N} (e^{N²δ²} − 1), without end at every α < 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad, solve_ivp

from stability.statements.claim import Claim, Premise
from stability.statements.mutation import Mutation
from stability.statements.verdict import Verdict

__all__ = [
    "GRID",
    "MUTATIONS",
    "Shifts",
    "amplitude",
    "check",
    "counterexamples",
    "discounted",
    "drift",
    "energy",
    "floor",
    "lower_side",
    "oldest",
    "one_round",
    "path_bound",
    "repaired",
    "rounds",
    "upper_side",
]

_claim = partial(
    Claim,
    source="own instance; Khelifa et al., arXiv:2602.16601, as a public reproduction quotes it",
    no_evidence="An error of the score without a sign, such as noise: its rounds hardly add up.",
)

ONE = _claim(
    id="Score errors, one round",
    words="with q = N(0, 1) and an error that depends on time alone, χ²(p̂, q) = e^{ηε²} − 1",
    relation="==",
    falsified_by="A χ² of the model's density that differs.",
)
LOWER = _claim(
    id="Score errors, one round, lower side",
    words="χ²(p̂, q) >= ηε²/4 for ε² <= 1",
    relation=">=",
    falsified_by="A drift error with a smaller χ².",
    needs=(Premise("ε²", "<=", 1.0),),
    values=(0.0, math.inf),
)
UPPER = _claim(
    id="Score errors, one round, upper side",
    words="χ²(p̂, q) <= 4ε² for ε² <= 1",
    relation="<=",
    falsified_by="A drift error with a larger χ².",
    needs=(Premise("ε²", "<=", 1.0),),
)
PATH = _claim(
    id="Score errors, one round, by the path",
    words="χ²(p̂, q) <= e^{ε²} − 1, the χ² of the paths, for an error that depends on time alone",
    relation="<=",
    falsified_by="A drift error with a larger χ².",
)
DRIFT = _claim(
    id="Score errors, N rounds",
    words="D_N = Σ w_j w_k e^{s_j s_k} − 1 for a mixture of N(s_k, 1) against N(0, 1)",
    relation="==",
    falsified_by="A χ² of the mixture's density that differs.",
)
AMPLITUDE = _claim(
    id="Score errors, in amplitude",
    words="D_N >= (Σ (1−α)^m δ_{N−1−m})²",
    relation=">=",
    falsified_by="Shifts δ_i with a smaller χ².",
    values=(0.0, math.inf),
)
REPAIRED = _claim(
    id="Score errors, repaired",
    words="√D_N <= Σ (1−α)^m κ_{N−1−m}, κ_i the norm of (p̂_{i+1} − q_i)/p in L²(p)",
    relation="<=",
    falsified_by="A loop with a larger √D_N.",
)
FLOOR = _claim(
    id="Score errors, floor",
    words="errors that do not fall keep D_N above αηε²/(16(1 + (1−α)²))",
    relation=">=",
    falsified_by="A loop whose D_N ends below.",
    values=(0.0, math.inf),
)
ENDLESS = _claim(
    id="Score errors, without end",
    words="D_N >= (1−α)^{2N} (e^{N²δ²} − 1) for a shift δ in each round, however large α < 1 is",
    relation=">=",
    falsified_by="A loop with a smaller χ².",
    values=(0.0, math.inf),
)
PRINTED = _claim(
    id="Score errors, Theorem 4.2 as printed",
    words="D_N + C <= c Σ (1−α)^{2m} ε²_{N−1−m} for all N with some C, c > 0, if Σ ε² is finite",
    relation="<=",
    falsified_by="Summable errors for which the ratio of both sides grows without end.",
    refuted_because="Summable errors make the right side vanish, and the left side is at least C.",
)
SQUARES = _claim(
    id="Score errors, Theorem 4.2 without its constant",
    words="D_N <= 10 Σ (1−α)^{2m} ε²_{N−1−m} for all N, if Σ ε² is finite",
    relation="<=",
    falsified_by="Summable errors for which the ratio of both sides grows without end.",
    refuted_because="Errors of one sign that fall like (1−α)^i add up in amplitude: D_N is N times "
    "as large, and no other constant than 10 helps.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"alpha": 0.1, "size": 0.05, "time": 0.5},
    {"alpha": 0.5, "size": 0.3, "time": 2.0},
    {"alpha": 0.9, "size": 0.4, "time": 4.0},
)

_LONG = 8.0
"""Length T of the reverse paths of the counterexample: η = 1 − e^{−T}."""


@dataclass(frozen=True)
class Shifts:
    """A mixture Σ w_k N(s_k, 1).

    Attributes:
        weights: (K,), with sum 1.
        means: (K,).
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]

    def refreshed(self, alpha: float) -> "Shifts":
        """Mix with the data, N(0, 1).

        Args:
            alpha: Share of the data, in [0, 1].

        Returns:
            The training set of the next round.
        """
        return Shifts(np.r_[alpha, (1 - alpha) * self.weights], np.r_[0.0, self.means])

    def moved(self, delta: float) -> "Shifts":
        """Move every point.

        Args:
            delta: By how much.

        Returns:
            The mixture.
        """
        return Shifts(self.weights, self.means + delta)


DATA = Shifts(np.ones(1), np.zeros(1))
"""N(0, 1)."""


def rounds(alpha: float, deltas: Sequence[float]) -> list[tuple[Shifts, Shifts]]:
    """Training set and model of each round.

    Args:
        alpha: Share of real data.
        deltas: δ_i, one a round.

    Returns:
        (q_i, p̂_{i+1}) for each round; p̂_0 is the law of the data.
    """
    found, model = [], DATA
    for delta in deltas:
        q = model.refreshed(alpha)
        model = q.moved(delta)
        found.append((q, model))
    return found


def one_round(observed: float) -> float:
    """e^{ηε²} − 1.

    Args:
        observed: ηε² = δ².

    Returns:
        χ²(p̂, q).
    """
    return math.expm1(observed)


def lower_side(observed: float) -> float:
    """ηε²/4.

    Args:
        observed: ηε².

    Returns:
        The lower bound on χ²(p̂, q).
    """
    return observed / 4


def upper_side(energy: float) -> float:
    """4ε².

    Args:
        energy: ε².

    Returns:
        The upper bound on χ²(p̂, q).
    """
    return 4 * energy


def path_bound(energy: float) -> float:
    """e^{ε²} − 1, the χ² of two paths whose drifts differ by a function of time.

    Args:
        energy: ε².

    Returns:
        The upper bound on χ²(p̂, q).
    """
    return math.expm1(energy)


def drift(model: Shifts) -> float:
    """χ² of a mixture against N(0, 1).

    Args:
        model: The mixture.

    Returns:
        Σ w_j w_k (e^{s_j s_k} − 1).
    """
    return _form(model.weights, model.means)


def _form(weights: NDArray[np.float64], means: NDArray[np.float64]) -> float:
    return float(weights @ np.expm1(np.outer(means, means)) @ weights)


def amplitude(alpha: float, deltas: Sequence[float]) -> float:
    """Mean of the model after all rounds, Σ (1−α)^m δ_{N−1−m}.

    Args:
        alpha: Share of real data.
        deltas: δ_i, one a round.

    Returns:
        The mean.
    """
    return discounted(1 - alpha, deltas)


def discounted(factor: float, values: Sequence[float]) -> float:
    """Σ factor^m values_{N−1−m}.

    Args:
        factor: Of each later round.
        values: One a round.

    Returns:
        The sum.
    """
    return float(sum(factor**m * value for m, value in enumerate(reversed(values))))


def repaired(alpha: float, steps: Sequence[float]) -> float:
    """Σ (1−α)^m κ_{N−1−m}.

    Args:
        alpha: Share of real data.
        steps: κ_i, one a round.

    Returns:
        The upper bound on √D_N.
    """
    return discounted(1 - alpha, steps)


def floor(alpha: float, observed: float) -> float:
    """αηε²/(16(1 + (1−α)²)).

    Args:
        alpha: Share of real data.
        observed: ηε² of every round.

    Returns:
        The lower bound on lim sup D_N.
    """
    return alpha * observed / (16 * (1 + (1 - alpha) ** 2))


def oldest(alpha: float, delta: float, count: int) -> float:
    """(1−α)^{2N} (e^{N²δ²} − 1), the χ² that the oldest part of the model has alone.

    Args:
        alpha: Share of real data, < 1.
        delta: δ of each round.
        count: N.

    Returns:
        The lower bound on D_N.
    """
    return (1 - alpha) ** (2 * count) * math.expm1((count * delta) ** 2)


def energy(q: Shifts, delta: float, time: float) -> float:
    """Energy ε² of the score's error that moves a mixture by δ, on the ideal reverse path.

    The path is moved by m = δ e^{−τ/2}(1 − e^{−(T−τ)})/(1 − e^{−T}) at the forward time τ. The
    score of the mixture there is −y + μ(y), μ(y) the posterior mean of s_k e^{−τ/2}, so that the
    drift's error is δ e^{−τ/2}/(1 − e^{−T}) + μ(y − m) − μ(y).

    Args:
        q: The training set.
        delta: δ.
        time: T > 0.

    Returns:
        ∫ E error² dτ, by Gauss's quadrature.
    """
    x, x_weights = np.polynomial.hermite_e.hermegauss(8)
    u, u_weights = np.polynomial.legendre.leggauss(12)
    whole = -math.expm1(-time)

    total = 0.0
    for tau, weight in zip(time * (u + 1) / 2, time * u_weights / 2, strict=True):
        left = math.exp(-tau / 2)
        means = left * q.means
        shift = delta * left * -math.expm1(tau - time) / whole
        y = (means[:, None] + x).ravel()  # (K · 8,)
        error = delta * left / whole + _posterior(q, means, y - shift) - _posterior(q, means, y)
        mass = np.outer(q.weights, x_weights).ravel() / math.sqrt(2 * math.pi)
        total += weight * float(mass @ error**2)
    return total


def _posterior(
    q: Shifts, means: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """E of a component's mean given a point y of the mixture."""
    density = q.weights * np.exp(-np.square(y[:, None] - means) / 2)  # (points, K)
    return density @ means / density.sum(axis=1)


def check(alpha: float, size: float, time: float, count: int = 10) -> list[Verdict]:
    """One round of a constant drift error, then rounds whose errors have one sign.

    Args:
        alpha: Share of real data.
        size: ε of one round, and δ of each of several rounds.
        time: Length T of the reverse path of one round.
        count: Number of rounds, >= 1.

    Returns:
        The verdicts.
    """
    return [*_one(size, time), *_several(alpha, [size] * count), _endless(alpha, size)]


def _one(size: float, time: float) -> list[Verdict]:
    """The drift error size/√T, whose energy is size²."""
    g = size / math.sqrt(time)
    ended = solve_ivp(lambda _, mean: g - mean / 2, (0, time), [0.0], rtol=1e-11, atol=1e-13)
    seen = _chi_square(DATA.moved(float(ended.y[0, -1])))
    observed = (2 * g * -math.expm1(-time / 2)) ** 2
    case = f"ε = {size:g}, T = {time:g}"
    common: dict[str, Any] = {
        "measured": seen,
        "method": "the mean's equation, solved numerically, and χ² by quadrature; tolerance: of "
        "both",
        "tolerance": 1e-8,
        "assumptions": {"ε²": size**2, "η": observed / size**2},
    }
    return [
        ONE.verdict(case, claimed=one_round(observed), **common),
        LOWER.verdict(case, claimed=lower_side(observed), **common),
        UPPER.verdict(case, claimed=upper_side(size**2), **common),
        PATH.verdict(case, claimed=path_bound(size**2), **common),
    ]


def _several(alpha: float, deltas: Sequence[float]) -> list[Verdict]:
    """Rounds of the same error: their drift, and what bounds it."""
    run = rounds(alpha, deltas)
    last = run[-1][1]
    seen = _chi_square(last)
    # a mixture minus a mixture
    steps = [
        math.sqrt(_form(np.r_[new.weights, -q.weights], np.r_[new.means, q.means]))
        for q, new in run
    ]
    case = f"α = {alpha:g}, N = {len(deltas)}, δ = {deltas[0]:g}"
    quadrature: dict[str, Any] = {
        "method": "χ² of the mixture's density by quadrature; tolerance: of the quadrature",
        "tolerance": 1e-8 * (1 + seen),
    }
    return [
        DRIFT.verdict(case, measured=seen, claimed=drift(last), **quadrature),
        AMPLITUDE.verdict(case, measured=seen, claimed=amplitude(alpha, deltas) ** 2, **quadrature),
        REPAIRED.verdict(
            case, measured=math.sqrt(seen), claimed=repaired(alpha, steps), **quadrature
        ),
        FLOOR.verdict(
            case,
            measured=seen,
            claimed=floor(alpha, deltas[0] ** 2),
            note="ηε² = δ², that of a Gaussian training set and a long path",
            **quadrature,
        ),
    ]


def _endless(alpha: float, delta: float) -> Verdict:
    """D_N a little beyond the N from which the oldest part of the model makes it grow."""
    count = math.ceil(-2.2 * math.log1p(-alpha) / delta**2)
    return ENDLESS.verdict(
        f"α = {alpha:g}, N = {count}, δ = {delta:g}",
        measured=drift(rounds(alpha, [delta] * count)[-1][1]),
        claimed=oldest(alpha, delta, count),
        method="closed form of all parts of the mixture",
    )


def _chi_square(model: Shifts) -> float:
    """χ² of a mixture's density against that of N(0, 1), by quadrature."""

    def excess(y: float) -> float:
        # density over that of N(0, 1), minus 1
        ratio = float(model.weights @ np.expm1(model.means * y - model.means**2 / 2))
        return ratio**2 * math.exp(-(y**2) / 2) / math.sqrt(2 * math.pi)

    reach = 2 * float(np.abs(model.means).max()) + 12
    return quad(excess, -reach, reach, epsabs=1e-12, epsrel=1e-10, limit=400)[0]


def counterexamples() -> list[Verdict]:
    """Errors that fall like (1−α)^i: summable, and their squares do not bound the drift."""
    alpha, size, count = 0.5, 0.1, 40
    run = rounds(alpha, deltas := [size * (1 - alpha) ** i for i in range(count)])
    energies = [energy(q, delta, _LONG) for (q, _), delta in zip(run, deltas, strict=True)]

    squares = discounted((1 - alpha) ** 2, energies)
    found = drift(run[-1][1])
    case = f"α = {alpha:g}, δ_i = {size:g} (1−α)^i, N = {count}"
    return [
        PRINTED.verdict(
            f"{case}, C = 0.001, c = 10⁶",
            measured=found + 1e-3,
            claimed=1e6 * squares,
            method="D_N in closed form, energies by quadrature",
            note="the right side falls like N(1−α)^{2N}, so that no other C and c do",
        ),
        SQUARES.verdict(
            case,
            measured=found,
            claimed=10 * squares,
            method="D_N in closed form, energies by quadrature",
            note=f"D_N is {found / squares:.1f} times the discounted sum",
        ),
    ]


_FRESH, _CASE, _LARGE = GRID

MUTATIONS = (
    Mutation(ONE, f"{__name__}.one_round", "e^{ηε²} − 1", _CASE),
    Mutation(LOWER, f"{__name__}.lower_side", "the bound", _CASE),
    Mutation(UPPER, f"{__name__}.upper_side", "the bound", _CASE),
    Mutation(
        PATH,
        f"{__name__}.path_bound",
        "half the energy",
        _CASE,
        lambda right: lambda energy: right(energy / 2),
    ),
    Mutation(
        DRIFT,
        f"{__name__}.drift",
        "the squared mean alone",
        _LARGE,
        lambda right: lambda model: float(model.weights @ model.means) ** 2,
    ),
    Mutation(
        AMPLITUDE,
        f"{__name__}.amplitude",
        "no fresh data",
        _FRESH,
        lambda right: lambda alpha, deltas: right(0.0, deltas),
    ),
    Mutation(
        REPAIRED,
        f"{__name__}.repaired",
        "squares in place of amplitudes",
        _FRESH,
        lambda right: (
            lambda alpha, steps: math.sqrt(right(1 - (1 - alpha) ** 2, [step**2 for step in steps]))
        ),
    ),
    Mutation(FLOOR, f"{__name__}.floor", "the bound", _CASE),
    Mutation(
        ENDLESS,
        f"{__name__}.oldest",
        "(1−α)^N for (1−α)^{2N}",
        _FRESH,
        lambda right: lambda alpha, delta, count: right(alpha, delta, count) / (1 - alpha) ** count,
    ),
)
"""Slips, and the claim that each must break."""
