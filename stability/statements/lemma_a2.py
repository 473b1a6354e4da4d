"""Lemma A.2: one retraining of a Gaussian in d dimensions, and what it does to E √Σ.

Part iv) is proved by √(Σ^½ S Σ^½) = Σ^¼ √S Σ^¼, which needs Σ and S to commute (erratum E1). Its
rate, α_d(n), is right when Σ is a multiple of I and too small otherwise; the one-dimensional α(n)
is right for every Σ, and the least that is.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from stability.gaussian.alpha import alpha, alpha_isotropic
from stability.laws.psd import sqrtm
from stability.statements.claim import ERROR_RATE, Claim
from stability.statements.lemma_a1 import require_chains
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Verdict

__all__ = ["GRID", "MUTATIONS", "check", "counterexamples", "expected_root"]

_claim = partial(
    Claim,
    source="Lemma A.2",
    no_evidence="Matrices drawn from a Wishart law that the lemma itself states: the normals are "
    "drawn here.",
)

ONE_STEP = _claim(
    id="Lemma A.2 i",
    words="Σ_{t+1} = √Σ_t S √Σ_t / (n−1)",
    relation="==",
    falsified_by="Normals for which the refitted covariance differs by more than rounding.",
)
WISHART = _claim(
    id="Lemma A.2 ii",
    words="E S = (n−1) I",
    relation="==",
    falsified_by="An entry of the mean of S outside its confidence interval.",
    error_rate=ERROR_RATE,
)
ROOT = _claim(
    id="Lemma A.2 iii",
    words="E √S = α_d(n) √(n−1) I",
    relation="==",
    falsified_by="A mean of tr √S outside its confidence interval.",
    error_rate=ERROR_RATE,
)
BELOW_ONE = _claim(
    id="Lemma A.2 iii, α_d(n) < 1",
    words="α_d(n) = λmax(E √S)/√(n−1) < 1: (47) is strict",
    relation="<",
    source="Lemma A.2, (47)",
    falsified_by="One n and d with α_d(n) >= 1.",
    erratum="E8",
)
RATE = _claim(
    id="Lemma A.2 iv",
    words="E √Σ_{t+1} ≼ α(n) √Σ_t, with the one-dimensional α(n)",
    relation="<=",
    falsified_by="A direction in Σ_t's eigenbasis that shrinks by less than α(n).",
    erratum="E1",
    error_rate=ERROR_RATE,
)
DIAGONAL = _claim(
    id="Lemma A.2 iv, diagonal",
    words="E √Σ_{t+1} is diagonal where Σ_t is",
    relation="==",
    falsified_by="An entry off the diagonal whose mean is not 0.",
    erratum="E1",
    error_rate=ERROR_RATE,
)
QUADRATURE = _claim(
    id="Lemma A.2 iv, two ways",
    words="E √Σ_{t+1} by quadrature and by simulation",
    relation="==",
    falsified_by="A simulated mean outside its confidence interval about the quadrature.",
    erratum="E1",
    error_rate=ERROR_RATE,
)
PRINTED_ROOT = _claim(
    id="Lemma A.2 iii, (35) as printed",
    words="√(E S) = α √(n−1) I",
    relation="==",
    falsified_by="E S = (n − 1) I.",
    erratum="E8",
    refuted_because="√(E S) = √(n−1) I, without the factor α.",
)
PRINTED_RATE = _claim(
    id="Lemma A.2 iv, as printed",
    words="E √Σ_{t+1} ≼ α E √Σ_t with α = λmax(E √S)/√(n−1)",
    relation="<=",
    falsified_by="Σ_t = diag(1, 1e-4) at n = 4.",
    erratum="E1",
    refuted_because="√(Σ^½ S Σ^½) = Σ^¼ √S Σ^¼ only if Σ and S commute.",
)

GRID: tuple[dict[str, Any], ...] = (
    {"n": 4, "covariance": ((1.0, 0.0), (0.0, 1e-4))},  # erratum E1
    {"n": 4, "covariance": ((1.0, 0.0), (0.0, 1.0))},
    {"n": 10, "covariance": ((2.0, 0.5, 0.0), (0.5, 1.0, 0.3), (0.0, 0.3, 0.2))},
    {
        "n": 6,
        "covariance": (
            (9.0, 0.0, 0.0, 0.0),
            (0.0, 1.0, 0.0, 0.0),
            (0.0, 0.0, 0.1, 0.0),
            (0.0, 0.0, 0.0, 0.01),
        ),
    },
)


def expected_root(n: int, variances: ArrayLike) -> NDArray[np.float64]:
    """Diagonal of E √Σ_1 when Σ_0 = diag(variances) in two dimensions; the rest of that matrix is
    0. To 1e-12.

    With Bartlett's S = A Aᵀ, A = [[a, 0], [b, c]], and k = √(σ²_2/σ²_1),

        (√M)_11 = √σ²_1 a (a + k c) / √((a + k c)² + k² b²)   since √M = (M + √det M I) / √(tr M + 2
        √det M).

    a² + b² + c² ~ χ²_{2(n−1)} is independent of the direction of (a, b, c), whose two angles are
    integrated over with tan θ = e^y and cos φ = 1/cosh w. No singularity comes nearer to the real y
    and w than π/2, whatever k is, so the trapezoidal rule converges geometrically.

    Args:
        n: Samples a generation, whole, >= 3.
        variances: Of Σ_0, shape (2,), finite, > 0.

    Returns:
        The diagonal, (2,).

    Raises:
        ValueError: If out of range.
    """
    if n != int(n) or n < 3:
        raise ValueError(f"n must be a whole number >= 3, got {n}")
    sd = np.sqrt(np.asarray(variances, dtype=float))
    if sd.shape != (2,) or not (np.isfinite(sd) & (sd > 0)).all():
        raise ValueError(f"variances must be two finite positive numbers, got {variances}")
    freedom = n - 1
    y, log_y = _trapezoid(freedom)
    w, log_w = _trapezoid(freedom - 1)
    # (Y, 1)
    cos_t, sin_t = 1 / np.sqrt(1 + np.exp(2 * y))[:, None], 1 / np.sqrt(1 + np.exp(-2 * y))[:, None]
    cos_f, sin_f = 1 / np.cosh(w), np.tanh(w)  # (W,)
    weights = np.exp(log_y[:, None] + log_w)
    weights /= weights.sum()
    radius = math.sqrt(2 * freedom) * float(alpha(2 * freedom + 1))  # E χ_{2(n−1)}
    result = np.empty(2)
    for i in range(2):
        k = sd[1 - i] / sd[i]
        sum_ = cos_t + k * sin_t * cos_f  # (a + k c) / radius
        share = cos_t * sum_ / np.hypot(sum_, k * sin_t * sin_f)
        result[i] = sd[i] * radius / math.sqrt(freedom) * (weights * share).sum()
    return result


def _trapezoid(power: float) -> tuple[NDArray, NDArray]:
    """Nodes y for ∫ cosh(y)^−power (…) dy, and the logarithms of that weight."""
    step = min(0.1, 0.4 / math.sqrt(power))
    # weight there: e^−42
    reach = math.log(2) + 42 / power if power < 42 else math.acosh(math.exp(42 / power))
    y = np.arange(-math.ceil(reach / step), math.ceil(reach / step) + 1) * step
    return y, -power * (np.logaddexp(y, -y) - math.log(2))


def check(
    n: int,
    covariance: ArrayLike,
    rng: np.random.Generator,
    chains: int = 20_000,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """i) to iv) on models that draw their n normals from Σ_0 = `covariance` and refit once, as (4)
    and (5) say.

    Args:
        n: Samples, >= d + 1.
        covariance: (d, d), symmetric positive definite, of condition number <= 1e10, beyond which
            the roots of simulated matrices would lose the smallest eigenvalue to rounding.
        rng: Source of all draws.
        chains: Independent models; time and memory grow as n · d · chains.
        false_alarm: Of each verdict that uses randomness.

    Returns:
        The verdicts.

    Raises:
        ValueError: If out of range, or if `chains` is too small for a normal tail.
    """
    root, sd, basis = _start(n, covariance, false_alarm)
    d = len(sd)
    require_chains(n, 1, chains, float(norm.isf(false_alarm / (4 * d**2))))
    z = rng.standard_normal((chains, n, d))
    S, fitted = scatter(z), scatter(z @ root) / (n - 1)  # (33), (5): (chains, d, d)
    # in Σ_0's eigenbasis, in units of √Σ_0
    roots = _roots(basis.T @ fitted @ basis) / np.sqrt(np.outer(sd, sd))

    case = f"n = {n}, Σ_t with eigenvalues {', '.join(f'{s**2:.3g}' for s in sd[::-1])}"
    moments: dict[str, Any] = {
        "method": f"simulation, {chains} models, the entry farthest off; tolerance: normal tail, "
        "doubled for skewness",
        "false_alarm": false_alarm,
    }
    verdicts = [
        ONE_STEP.verdict(
            case,
            measured=float(np.abs(fitted - one_step(root, S, n)).max() / sd.max() ** 2),
            claimed=0.0,
            tolerance=1e-12,
            scale=1.0,
            method="largest difference over λmax(Σ_t), each side computed from the same normals; "
            "tolerance: rounding",
        ),
        WISHART.verdict(
            case,
            **_worst(S.reshape(chains, -1), mean_scatter(n, d).ravel(), false_alarm),
            **moments,
        ),
        *_isotropic(n, d, S, false_alarm, case),
        _contraction(n, sd, roots, false_alarm, case),
    ]
    if d > 1:
        entries = roots[:, ~np.eye(d, dtype=bool)]
        worst = _worst(entries, np.zeros(entries.shape[1]), false_alarm)
        verdicts.append(DIAGONAL.verdict(case, **worst, scale=1.0, **moments))
    if d == 2:
        worst = _worst(roots.diagonal(0, 1, 2), expected_root(n, sd**2) / sd, false_alarm)
        verdicts.append(QUADRATURE.verdict(case, **worst, **moments))
    return verdicts


def counterexamples() -> list[Verdict]:
    """Erratum E1: (36) with the rate that the paper prints, `violated`, at n = 4 and Σ = diag(1,
    1e-4).
    """
    n, variances = 4, (1.0, 1e-4)
    return [
        PRINTED_RATE.verdict(
            f"n = {n}, Σ_t = diag(1, 1e-4)",
            measured=float(expected_root(n, variances)[0]),
            claimed=isotropic_rate(n, 2),
            tolerance=1e-12,
            method="quadrature of E (√Σ_{t+1})_11 / (√Σ_t)_11; tolerance: of the quadrature",
            note=f"with the one-dimensional α({n}) = {float(alpha(n)):.6f} for α it holds",
        )
    ]


_CASE = {"n": 4, "covariance": ((1.0, 0.0), (0.0, 1e-4))}
_HERE = "stability.statements.lemma_a2"

MUTATIONS = (
    Mutation(ONE_STEP, f"{_HERE}.one_step", "1/n for 1/(n − 1) in (32)", _CASE, scaled(3 / 4)),
    Mutation(WISHART, f"{_HERE}.mean_scatter", "E S = n I in (34)", _CASE, scaled(4 / 3)),
    Mutation(ROOT, f"{_HERE}.isotropic_rate", "α_d(n)", _CASE),
    Mutation(BELOW_ONE, f"{_HERE}.isotropic_rate", "1.2 α_d(n)", _CASE, scaled(1.2)),
    Mutation(
        RATE,
        "stability.gaussian.alpha.alpha",
        "α_d(n) for α(n)",
        _CASE,
        lambda right: lambda n: np.float64(alpha_isotropic(4, 2).value) if n == 4 else right(n),
    ),
    Mutation(
        DIAGONAL,
        f"{_HERE}._roots",
        "a root without the signs of its entries",
        _CASE,
        lambda right: lambda matrices: np.abs(right(matrices)),
    ),
    Mutation(QUADRATURE, f"{_HERE}.expected_root", "the quadrature", {**_CASE, "chains": 40_000}),
)
"""Slips, and the claim that each must break."""


def _start(
    n: int, covariance: ArrayLike, false_alarm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """√Σ_0, its eigenvalues and eigenvectors.   ValueError if an argument is out of range."""
    root = sqrtm(np.asarray(covariance, dtype=float))
    sd, basis = np.linalg.eigh(root)
    d = len(sd)
    if not sd.min() >= 1e-5 * sd.max() > 0:
        raise ValueError(f"covariance must have eigenvalues > 0 within a factor 1e10, got {sd**2}")
    if n != int(n) or n < d + 1:
        raise ValueError(f"n must be a whole number >= d + 1 = {d + 1}, got {n}")
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")
    return root, sd, basis


def one_step(root: NDArray[np.float64], S: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(32): √Σ S √Σ / (n−1).

    Args:
        root: √Σ, (d, d).
        S: Scatter matrices of standard normals, (chains, d, d).
        n: Samples a generation, >= 2.

    Returns:
        The refitted covariances, (chains, d, d).
    """
    return root @ S @ root / (n - 1)


def mean_scatter(n: int, d: int) -> NDArray[np.float64]:
    """(34): E S = (n − 1) I.

    Args:
        n: Samples a generation.
        d: Dimension.

    Returns:
        (d, d).
    """
    return (n - 1) * np.eye(d)


def isotropic_rate(n: int, d: int) -> float:
    """α_d(n) of (35): E √S = α_d(n) √(n−1) I.

    Args:
        n: Samples a generation.
        d: Dimension.

    Returns:
        α_d(n).
    """
    return alpha_isotropic(n, d).value


def _isotropic(
    n: int, d: int, S: NDArray[np.float64], false_alarm: float, case: str
) -> list[Verdict]:
    """(35): E √S against α_d(n), and α_d(n) < 1."""
    rate, method = isotropic_rate(n, d), alpha_isotropic(n, d).method
    singular = np.sqrt(np.linalg.eigvalsh(S).clip(min=0))  # (chains, d)
    mean = singular.mean(axis=1)[:, None] / math.sqrt(n - 1)
    printed = PRINTED_ROOT.verdict(
        f"n = {n}, d = {d}", measured=1.0, claimed=rate, method="closed form, over √(n−1)"
    )

    return [
        ROOT.verdict(
            case,
            **_worst(mean, np.array([rate]), false_alarm),
            method=f"simulation, against {method}",
            false_alarm=false_alarm,
        ),
        BELOW_ONE.verdict(
            f"n = {n}, d = {d}",
            measured=rate,
            claimed=1.0,
            method=method,
            in_place_of=printed,
            note="(35) prints α √(n−1) I = √(E S), which is off by the factor α: √(E S) = √(n−1) I",
        ),
    ]


def _contraction(
    n: int, sd: NDArray[np.float64], roots: NDArray[np.float64], false_alarm: float, case: str
) -> Verdict:
    """(36) in its strongest direction. roots: (chains, d, d), √Σ_1 over √Σ_0 in its eigenbasis."""
    chains, d = roots.shape[:2]
    if d == 1:
        measured, margin, method = float(alpha(n)), 1e-14, "closed form; tolerance: rounding"
    elif d == 2:
        measured, margin = float((expected_root(n, sd**2) / sd).max()), 1e-12
        method = "quadrature; tolerance: of the quadrature"
    else:
        measured = float(roots.mean(axis=0).diagonal().max())
        # d one-sided normal tails, doubled for skewness
        spread = roots.std(axis=0).diagonal().max() / math.sqrt(chains)
        margin = float(norm.isf(false_alarm / (2 * d)) * spread)
        method = f"simulation, {chains} models; tolerance: normal tail, doubled for skewness"
    printed = isotropic_rate(n, d)
    return RATE.verdict(
        case,
        measured=measured,
        claimed=float(alpha(n)),
        tolerance=margin,
        method=method,
        false_alarm=false_alarm if d > 2 else 0.0,
        in_place_of=PRINTED_RATE.verdict(
            case, measured=measured, claimed=printed, tolerance=margin, method=method
        ),
        note=f"the rate as printed is α_{d}(n) = {printed:.6f}",
    )


def scatter(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ_j (x_j − x̄)(x_j − x̄)ᵀ of each sample.

    Args:
        x: Samples, (chains, n, d).

    Returns:
        (chains, d, d).
    """
    gap = x - x.mean(axis=1, keepdims=True)
    return gap.swapaxes(1, 2) @ gap


def _roots(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric square roots of a stack of positive semi-definite matrices, (chains, d, d)."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * np.sqrt(values.clip(min=0))[:, None]) @ vectors.swapaxes(1, 2)


def _worst(
    sample: NDArray[np.float64], expected: NDArray[np.float64], false_alarm: float
) -> dict[str, Any]:
    """`measured`, `claimed` and `tolerance` of that column of a sample (N, k) whose mean is most
    standard errors off.
    """
    mean, error = sample.mean(axis=0), sample.std(axis=0, ddof=1) / math.sqrt(len(sample))
    i = int(np.argmax(np.abs(mean - expected) / error))
    limit = norm.isf(false_alarm / (4 * len(expected)))  # two sides, doubled for skewness
    return {
        "measured": float(mean[i]),
        "claimed": float(expected[i]),
        "tolerance": float(limit * error[i]),
    }
