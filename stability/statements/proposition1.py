"""Proposition 1 (Gaussian collapse): E √Σ_t ≼ α^t √Σ_0 → 0 when a Gaussian is refitted to n of its
own samples.

True in every dimension with the one-dimensional α(n), while the proof gives it with the smaller
λmax(E √S)/√(n−1), which fails unless d = 1 (erratum E1). No rate below α(n) will do, whatever Σ_0
is:

    α(n)^t √λmax(Σ_0) ≤ E λmax(√Σ_t) ≤ E tr √Σ_t ≤ α(n)^t tr √Σ_0.

The proofs are in docs/theory/gaussian-collapse.md.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from stability.gaussian.alpha import alpha, alpha_isotropic, log_alpha
from stability.gaussian.collapse import simulate
from stability.laws.psd import sqrtm
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.lemma_a1 import require_chains
from stability.statements.lemma_a2 import expected_root
from stability.statements.mutation import Mutation, instead, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "counterexamples"]

_claim = partial(
    Claim,
    source="Proposition 1, eq. (6)",
    no_evidence="That single chains collapse: every chain does, at the rate of the exponents of "
    "S5; the claim is about the mean.",
    error_rate=ERROR_RATE,
)

ONE = _claim(
    id="Proposition 1, d = 1",
    words="E σ_t = α(n)^t σ_0",
    relation="==",
    falsified_by="A mean over chains outside its confidence interval.",
)
MANY = _claim(
    id="Proposition 1, d > 1",
    words="E √Σ_t ≼ α(n)^t √Σ_0, with the one-dimensional α(n)",
    relation="<=",
    falsified_by="A direction in Σ_0's eigenbasis whose mean shrinks by less than α(n)^t.",
    erratum="E1",
)
CONSERVED = _claim(
    id="Proposition 1, E Σ_t",
    words="E Σ_t = Σ_0: the mean does not show the collapse",
    relation="==",
    falsified_by="A mean of Σ_t outside its confidence interval about Σ_0.",
)
NO_LESS = _claim(
    id="Proposition 1, rate",
    words="E λmax(√Σ_t) ≥ α(n)^t λmax(√Σ_0): no rate below α(n) will do",
    relation=">=",
    falsified_by="A Σ_0 for which the mean of λmax(√Σ_t) is smaller.",
    erratum="E1",
)
SINGULAR = _claim(
    id="Proposition 1, n ≤ d",
    words="E √Σ_t ≼ α(n)^t √Σ_0 also where n − 1 < d, so that Σ_t is singular",
    relation="<=",
    falsified_by="A direction in Σ_0's eigenbasis whose mean shrinks by less than α(n)^t.",
)
RANK = _claim(
    id="Proposition 1, n ≤ d, rank",
    words="Σ_t has at most n − 1 directions: the others are gone after one retraining",
    relation="==",
    falsified_by="A Σ_t whose n-th largest eigenvalue is not 0.",
    error_rate=0.0,
)
PRINTED = _claim(
    id="Proposition 1, rate as printed",
    words="E √Σ_t ≼ α^t √Σ_0 with α = λmax(E √S)/√(n−1)",
    relation="<=",
    falsified_by="Σ_0 = diag(1, 1e-4) at n = 4, t = 1.",
    erratum="E1",
    refuted_because="The proof takes √(Σ^½ S Σ^½) for Σ^¼ √S Σ^¼, which needs Σ and S to commute.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"n": 2, "covariance": ((4.0,),), "t": 1},
    {"n": 10, "covariance": ((4.0,),), "t": 5},
    {"n": 1000, "covariance": ((4.0,),), "t": 100},
    {"n": 4, "covariance": ((1.0, 0.0), (0.0, 1e-4)), "t": 1},  # erratum E1
    # E1 too
    {
        "n": 10,
        "covariance": tuple(tuple(float(i == j) for j in range(4)) for i in range(4)),
        "t": 5,
    },
    {"n": 10, "covariance": ((2.0, 0.6), (0.6, 0.5)), "t": 5},
    {"n": 100, "covariance": ((3.0, 1.0, 0.0), (1.0, 2.0, 0.5), (0.0, 0.5, 1.0)), "t": 30},
    {
        "n": 30,
        "covariance": tuple(tuple(10.0**-i * (i == j) for j in range(4)) for i in range(4)),
        "t": 10,
    },
    {"n": 3, "covariance": ((2.0, 0.6, 0.0), (0.6, 0.5, 0.1), (0.0, 0.1, 1.0)), "t": 2},  # n <= d
)


def check(
    n: int,
    covariance: ArrayLike,
    t: int,
    rng: np.random.Generator,
    chains: int = 40_000,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """Σ_t after t retrainings from Σ_0 = `covariance`, by simulation of its law (see
    `gaussian_collapse`).

    In one dimension E σ_t = α(n)^t σ_0 exactly; above, (6) with α(n). In both E Σ_t = Σ_0 (claim
    C4), and the rate is exact. After one retraining in two dimensions E √Σ_1 is also found by
    quadrature.

    Args:
        n: Samples a generation, whole, >= 2; up to d, the normals themselves are drawn.
        covariance: (d, d), symmetric positive definite.
        t: >= 1.
        rng: Source of all draws.
        chains: Independent runs.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range, or if `chains` is too small for a normal tail (see
            `lemma_a1.require_chains`).
    """
    if n != int(n) or n < 2 or t != int(t) or t < 1:
        raise ValueError(f"n must be a whole number >= 2 and t one >= 1, got n = {n} and t = {t}")
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")
    if n <= len(np.asarray(covariance)):
        return _few_samples(int(n), np.asarray(covariance, float), t, rng, chains, false_alarm)
    seen = simulate(n, covariance, [0, t], chains, rng)
    variances, basis = np.linalg.eigh(seen.covariance[0])
    sd, d = np.sqrt(variances), len(variances)
    for power in (1, 2):
        require_chains(n, t, chains, float(norm.isf(false_alarm / (4 * d))), power)

    roots = basis.T @ seen.last_root @ basis  # (chains, d, d), in Σ_0's eigenbasis
    largest = np.exp(seen.last_log_eigenvalues[:, 0]) / sd.max()
    case = (
        f"n = {n}, t = {t}, Σ_0 with eigenvalues {', '.join(f'{v:.3g}' for v in variances[::-1])}"
    )
    verdicts = [
        _contraction(n, t, roots.diagonal(axis1=1, axis2=2) / sd, false_alarm, case),
        _conservation(n, t, np.square(roots).sum(axis=2) / variances, false_alarm, case),
    ]
    if d > 1:
        verdicts.append(_no_lower_rate(n, t, largest, false_alarm, case))
    if d == 2 and t == 1:
        verdicts.append(_contraction_by_quadrature(n, expected_root(n, variances) / sd, case))
    return verdicts


def _few_samples(
    n: int,
    covariance: NDArray[np.float64],
    t: int,
    rng: np.random.Generator,
    chains: int,
    false_alarm: float,
) -> list[Verdict]:
    """n <= d samples a generation: (6) with α(n), and the rank, on chains that draw and refit."""
    variances, basis = np.linalg.eigh(covariance)
    sd, d = np.sqrt(variances), len(variances)
    require_chains(n, t, chains, float(norm.isf(false_alarm / (4 * d))))
    root, values = np.broadcast_to(sqrtm(covariance), (chains, d, d)), np.empty((chains, d))
    for _ in range(t):
        values, vectors = np.linalg.eigh(refit(rng.standard_normal((chains, n, d)) @ root))
        root = (vectors * np.sqrt(values.clip(min=0))[:, None]) @ vectors.swapaxes(1, 2)

    along = np.einsum("ik,rij,jk->rk", basis, root, basis) / sd  # (chains, d)
    i = int(along.mean(axis=0).argmax())
    case = f"n = {n}, d = {d}, t = {t}"
    error = float(along[:, i].std()) / math.sqrt(chains)
    return [
        SINGULAR.verdict(
            case,
            measured=float(along[:, i].mean()),
            claimed=shrunk(n, t),
            tolerance=float(norm.isf(false_alarm / (4 * d))) * error,
            method="E (√Σ_t)_ii/(√Σ_0)_ii in Σ_0's eigenbasis, the largest; " + _simulation(chains),
            false_alarm=false_alarm,
        ),
        RANK.verdict(
            case,
            measured=float((values[:, d - n] / values[:, -1]).max()),
            claimed=0.0,
            tolerance=1e-12,
            scale=1.0,
            method="the n-th largest eigenvalue over the largest; tolerance: rounding",
        ),
    ]


def counterexamples() -> list[Verdict]:
    """Erratum E1: (6) with the rate that the paper's proof gives, `violated`, at n = 4 and Σ_0 =
    diag(1, 1e-4).
    """
    n, variances = 4, (1.0, 1e-4)
    return [
        PRINTED.verdict(
            f"n = {n}, t = 1, Σ_0 = diag(1, 1e-4)",
            measured=float(expected_root(n, variances)[0]),
            claimed=alpha_isotropic(n, 2).value,
            tolerance=1e-12,
            method="quadrature of E (√Σ_1)_11 / (√Σ_0)_11; tolerance: of the quadrature",
            note=f"with the one-dimensional α({n}) = {float(alpha(n)):.6f} it holds",
        )
    ]


_HERE = "stability.statements.proposition1"
_RATE = f"{_HERE}.shrunk"
_ONE = {"n": 10, "covariance": ((4.0,),), "t": 2}
_TWO = {"n": 10, "covariance": ((1.0, 0.0), (0.0, 1e-4)), "t": 2}
_E1 = {"n": 4, "covariance": ((1.0, 0.0), (0.0, 1e-4)), "t": 1}


def _known_mean(right: Callable[..., NDArray[np.float64]]) -> Callable[..., NDArray[np.float64]]:
    """The covariance about the mean of the model, 0."""
    return lambda x: x.swapaxes(1, 2) @ x / (x.shape[1] - 1)


MUTATIONS = (
    Mutation(ONE, _RATE, "α(n)^t", _ONE),
    Mutation(ONE, _RATE, "1/n for 1/(n − 1) in (5)", _ONE, scaled(9 / 10)),
    Mutation(MANY, _RATE, "α(n)^t", _TWO),
    Mutation(
        MANY,
        _RATE,
        "the printed rate for α(n)",
        _E1,
        instead(lambda n, t: alpha_isotropic(n, 2).value ** t),
    ),
    Mutation(
        CONSERVED,
        "stability.statements.proposition1.conserved",
        "1/n for 1/(n − 1) in (5)",
        _TWO,
        scaled((9 / 10) ** 2),
    ),
    Mutation(NO_LESS, _RATE, "α(n)^t", _TWO),
    Mutation(SINGULAR, _RATE, "α(n)^t", GRID[-1]),
    Mutation(RANK, f"{_HERE}.refit", "the model's mean for the sample's", GRID[-1], _known_mean),
)
"""Slips, and the claim that each must break."""


def shrunk(n: int, t: int) -> float:
    """α(n)^t, the factor of (6) after t retrainings.

    Args:
        n: Samples a generation, >= 2.
        t: Retrainings, >= 0.

    Returns:
        The factor, in (0, 1].
    """
    return float(alpha(n)) ** t


def refit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(5): the covariance of each sample.

    Args:
        x: Samples, (chains, n, d), n >= 2.

    Returns:
        (chains, d, d).
    """
    gap = x - x.mean(axis=1, keepdims=True)
    return gap.swapaxes(1, 2) @ gap / (x.shape[1] - 1)


def conserved(n: int, t: int) -> float:
    """E Σ_t over Σ_0: 1, whatever n and t are, since the estimator is unbiased.

    Args:
        n: Samples a generation.
        t: Retrainings.

    Returns:
        1.
    """
    return 1.0


def _contraction(
    n: int, t: int, sample: NDArray[np.float64], false_alarm: float, case: str
) -> Verdict:
    """(6) in its strongest direction. sample: (chains, d), (√Σ_t)_ii/(√Σ_0)_ii."""
    chains, d = sample.shape
    i = int(sample.mean(axis=0).argmax())
    # in one dimension Var σ_t/σ_0 = 1 − α^2t is known: E σ²_t/σ²_0 = 1
    spread = float(sample[:, i].std()) if d > 1 else math.sqrt(-math.expm1(2 * t * log_alpha(n)))
    numbers: dict[str, Any] = {
        "measured": float(sample[:, i].mean()),
        "tolerance": float(norm.isf(false_alarm / (4 * d))) * spread / math.sqrt(chains),
        "method": "E (√Σ_t)_ii/(√Σ_0)_ii in Σ_0's eigenbasis, the largest; " + _simulation(chains),
        "false_alarm": false_alarm,
    }
    claimed = shrunk(n, t)
    if d == 1:
        return ONE.verdict(case, claimed=claimed, **numbers)
    printed = alpha_isotropic(n, d).value ** t
    return MANY.verdict(
        case,
        claimed=claimed,
        in_place_of=PRINTED.verdict(case, claimed=printed, **numbers),
        note=f"the rate as printed gives α_{d}(n)^t = {printed:.6f}",
        **numbers,
    )


def _conservation(
    n: int, t: int, sample: NDArray[np.float64], false_alarm: float, case: str
) -> Verdict:
    """E Σ_t = Σ_0 where it is farthest off.

    Args:
        sample: (chains, d), (Σ_t)_ii/(Σ_0)_ii, a product of t χ²_{n−1}/(n−1).
    """
    chains, d = sample.shape
    claimed = conserved(n, t)
    i = int(np.abs(sample.mean(axis=0) - claimed).argmax())
    spread = math.sqrt(math.expm1(t * math.log1p(2 / (n - 1))))
    return CONSERVED.verdict(
        case,
        measured=float(sample[:, i].mean()),
        claimed=claimed,
        tolerance=float(norm.isf(false_alarm / (4 * d))) * spread / math.sqrt(chains),
        method=f"E (Σ_t)_ii/(Σ_0)_ii in Σ_0's eigenbasis, the farthest off; {_simulation(chains)}",
        false_alarm=false_alarm,
    )


def _no_lower_rate(
    n: int, t: int, sample: NDArray[np.float64], false_alarm: float, case: str
) -> Verdict:
    """The rate is exact. sample: (chains,), λmax(√Σ_t)/λmax(√Σ_0)."""
    error = sample.std() / math.sqrt(len(sample))
    return NO_LESS.verdict(
        case,
        measured=float(sample.mean()),
        claimed=shrunk(n, t),
        tolerance=float(norm.isf(false_alarm / 2) * error),
        method=_simulation(len(sample)),
        false_alarm=false_alarm,
    )


def _contraction_by_quadrature(n: int, ratios: NDArray[np.float64], case: str) -> Verdict:
    """(6) for t = 1 in two dimensions, without chance. ratios: (2,), E (√Σ_1)_ii/(√Σ_0)_ii."""
    printed = alpha_isotropic(n, 2).value
    numbers: dict[str, Any] = {
        "measured": float(ratios.max()),
        "tolerance": 1e-12,
        "method": "quadrature of E (√Σ_1)_ii/(√Σ_0)_ii, the largest; tolerance: of the quadrature",
    }
    return MANY.verdict(
        case,
        claimed=shrunk(n, 1),
        in_place_of=PRINTED.verdict(case, claimed=printed, **numbers),
        note=f"the rate as printed is α_2(n) = {printed:.6f}",
        **numbers,
    )


def _simulation(chains: int) -> str:
    return f"simulation, {chains} chains; tolerance: normal tail, doubled for skewness"
