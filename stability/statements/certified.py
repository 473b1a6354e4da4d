"""Certified numbers: Proposition 1, Theorem 1 and S1 on instances where every inequality is proved
by ball arithmetic.

Each number is enclosed in a ball that contains it, whatever rounding did
(`stability.proofs.enclosure`); a comparison is made only if it is true, or false, of all numbers in
the balls. So "Theorem 1 holds here, strictly" is a proof, not a float. For α(n) beyond the range
that is looked at, n to n + 1 for all n, see
`stability.proofs.symbolic.proposition1.monotone_alpha`.

Needs the extra `certify`; without it everything here raises ImportError with one line that says so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stability.gaussian.alpha import alpha as float_alpha
from stability.laws.bracket import Bracket
from stability.laws.law import NormalMixture
from stability.statements.claim import Claim, Premise
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Evidence, Verdict

if TYPE_CHECKING:
    from flint import arb

    from stability.proofs.enclosure import Enclosure

__all__ = [
    "BELOW_ONE",
    "BOUND",
    "DISTANCE",
    "FLOATS",
    "GRID",
    "INCREASES",
    "MIXTURE",
    "MUTATIONS",
    "PRINTED_RATE",
    "RATIO",
    "STABLE",
    "SUPREMUM",
    "Retraining",
    "ShrinkFactor",
    "SmallAxis",
    "bracket",
    "check",
    "counterexamples",
]

_SINGLE = "Floating-point numbers, whose rounding is not enclosed."

BELOW_ONE = Claim(
    id="Proposition 1, α(n) < 1",
    words="α(n) < 1 (the largest is shown)",
    relation="<",
    source="Proposition 1",
    falsified_by="An n at which the ball around α(n) lies above 1.",
    no_evidence=_SINGLE,
    evidence=Evidence.CERTIFIED,
)
INCREASES = Claim(
    id="Proposition 1, α(n) increases",
    words="α(n + 1) − α(n) > 0 (the smallest is shown)",
    relation=">",
    source="Proposition 1",
    falsified_by="An n at which the ball around the difference lies below 0.",
    no_evidence=_SINGLE,
    evidence=Evidence.CERTIFIED,
)
FLOATS = Claim(
    id="Proposition 1, α(n) in floats",
    words="relative error of `stability.gaussian.alpha.alpha` (the largest is shown)",
    relation="<=",
    source="own result S5",
    falsified_by="An n at which the float is further than 10⁻¹⁴ from the ball.",
    no_evidence="Agreement with another float.",
    evidence=Evidence.CERTIFIED,
)
SUPREMUM = Claim(
    id="Proposition 1, α(n) is the supremum",
    words="(E √Σ_1)_11 > 0.9999 α(n) (√Σ_0)_11 for Σ_0 = diag(1, ε²) with a small ε: in two "
    "dimensions no rate below α(n) will do",
    relation=">",
    source="Proposition 1, as erratum E1 corrects its proof",
    falsified_by="A ball around the left side that lies below the right side.",
    no_evidence="A Σ_0 that is a multiple of I, for which a smaller rate holds.",
    erratum="E1",
    evidence=Evidence.CERTIFIED,
)
PRINTED_RATE = Claim(
    id="Proposition 1, rate as printed, certified",
    words="E √Σ_1 ≼ λmax(E √S)/√(n−1)·√Σ_0, as the proof has it",
    relation="<=",
    source="Lemma A.2 iv), eq. (51)",
    falsified_by="A Σ_0 for which the ball around one entry of the left side lies above the right "
    "side.",
    no_evidence="A Σ_0 that is a multiple of I.",
    erratum="E1",
    refuted_because="(50) needs Σ and S to commute; at n = 4 and Σ_0 = diag(1, 10⁻⁴) the first "
    "entry keeps more than 0.92 of its size, and the printed rate is 0.8735",
    evidence=Evidence.CERTIFIED,
)
DISTANCE = Claim(
    id="Lemma E.1, (80), certified",
    words="‖B − A‖₂ ≤ Lε",
    relation="<=",
    source="Lemma E.1, eq. (80)",
    falsified_by="A family and data for which the ball around the left side lies above that "
    "around the right side.",
    no_evidence=_SINGLE,
    evidence=Evidence.CERTIFIED,
)
RATIO = replace(
    DISTANCE,
    id="Lemma E.1, (79), certified",
    words="‖A⁻¹B‖₂ ≤ 1 + Lε/α",
    source="Lemma E.1, eq. (79)",
)
BOUND = replace(
    DISTANCE,
    id="Theorem 1, (11), certified",
    words="‖J‖₂ ≤ λ(α + εL)/(α − λ(α + εL)) < 1 where λ(1 + Lε/α) < ½",
    source="Theorem 1, eq. (11)",
    needs=(Premise("λ(1 + Lε/α)", "<", 0.5),),
)
STABLE = replace(
    DISTANCE,
    id="S1, certified",
    words="ρ(J) < 1 at every λ",
    relation="<",
    source="own result S1",
)

MIXTURE = NormalMixture(weights=(0.7, 0.3), means=(-1.0, 2.0), sds=(0.6, 1.0))
"""Data of the worked example: skewed, and no t law."""


@dataclass(frozen=True)
class ShrinkFactor:
    """α(n) for n = 2 … `last` (>= 3), and its floating-point values there and at 10^5 … 10^15."""

    last: int = 10_000

    def __post_init__(self) -> None:
        if self.last != int(self.last) or self.last < 3:
            raise ValueError(f"last must be a whole number >= 3, got {self.last}")


@dataclass(frozen=True)
class Retraining:
    """Student's t with `nu` degrees of freedom (odd, >= 3), retrained with `lam` synthetic points
    per point of `data`.

    All numbers are taken as the decimals that they print as: 0.05 is 1/20.   lam: finite, >= 0.
    """

    lam: float
    nu: int = 5
    data: NormalMixture = MIXTURE

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lam) and self.lam >= 0):
            raise ValueError(f"lam must be finite and >= 0, got {self.lam}")

    def __str__(self) -> str:
        parts = zip(self.data.weights, self.data.means, self.data.sds, strict=True)
        mixture = " + ".join(f"{weight:g} N({mean:g}, {sd:g}²)" for weight, mean, sd in parts)
        return f"Student-t, ν = {self.nu}, on {mixture}, λ = {self.lam:g}"


@dataclass(frozen=True)
class SmallAxis:
    """Covariance Σ_0 = diag(1, spread²), taken as decimals, refitted to n >= 3 samples."""

    n: int = 4
    spread: float = 0.01

    def __str__(self) -> str:
        return f"n = {self.n}, t = 1, Σ_0 = diag(1, {self.spread:g}²)"


GRID: tuple[dict[str, Any], ...] = (
    {"subject": ShrinkFactor()},
    {"subject": SmallAxis()},
    {"subject": Retraining(lam=0.05)},
    {"subject": Retraining(lam=1.0)},  # the condition of Theorem 1 fails
    {"subject": Retraining(lam=0.05, nu=3)},
    {"subject": Retraining(lam=0.1, nu=7, data=NormalMixture((0.5, 0.5), (-2.0, 2.0), (1.0, 1.0)))},
    {"subject": Retraining(lam=0.25, nu=7, data=NormalMixture((1.0,), (0.0,), (1.0,)))},
)


def check(subject: ShrinkFactor | SmallAxis | Retraining) -> list[Verdict]:
    """The statements about a subject, each certain to hold, or certain to be violated.

    ShrinkFactor: α(n) < 1, α(n + 1) > α(n), and the accuracy of `stability.gaussian.alpha`.
    SmallAxis: α(n) is the supremum of what one retraining does to a direction.
    Retraining: (79) and (80) of Lemma E.1, Theorem 1 (vacuous where its condition is certain to
    fail), and ρ(J) < 1 (S1). The numbers in the verdicts are the ends of the balls that are
    nearest to failing, rounded outwards.

    Args:
        subject: The range of n, or the family, data and λ, to check.

    Returns:
        The verdicts.

    Raises:
        ImportError: Without python-flint.
        ArithmeticError: If a comparison cannot be decided at the working precision.
    """
    if isinstance(subject, ShrinkFactor):
        return _collapse(subject)
    return _supremum(subject) if isinstance(subject, SmallAxis) else _retraining(subject)


def counterexamples() -> list[Verdict]:
    """Erratum E1: the rate in the paper's proof of Proposition 1 is certain to be `violated` at
    n = 4.
    """
    from stability.proofs import enclosure

    subject = SmallAxis()
    with enclosure.precision():
        entry, printed = _small_axis_entry(subject), enclosure.printed_rate(subject.n)
        return [_verdict(PRINTED_RATE, str(subject), entry, printed)]


def _collapse(subject: ShrinkFactor) -> list[Verdict]:
    from stability.proofs import enclosure

    small, large = range(2, subject.last + 1), [10**k for k in range(5, 16)]
    case = f"n = 2 … {subject.last}"
    with enclosure.precision():
        alphas = [enclosure.alpha(n) for n in small]
        balls = [*alphas, *(enclosure.alpha(n) for n in large)]
        floats = float_alpha([*small, *large])
        steps = [before - after for before, after in pairwise(alphas)]
        errors = [abs(ball / float(f) - 1) for ball, f in zip(balls, floats, strict=True)]
        return [
            _verdict(BELOW_ONE, case, _largest(alphas), enclosure.decimal(1)),
            _verdict(INCREASES, case, -_largest(steps), enclosure.decimal(0)),
            _verdict(
                FLOATS, f"{case}, 10⁵ … 10¹⁵", _largest(errors), enclosure.decimal(_FLOAT_ERROR)
            ),
        ]


_FLOAT_ERROR = 1e-14


def _supremum(subject: SmallAxis) -> list[Verdict]:
    from stability.proofs import enclosure

    with enclosure.precision():
        almost = enclosure.decimal(0.9999) * enclosure.alpha(subject.n)
        return [_verdict(SUPREMUM, str(subject), _small_axis_entry(subject), almost)]


def _small_axis_entry(subject: SmallAxis) -> "arb":
    from stability.proofs import enclosure

    return enclosure.root_entry(subject.n, subject.spread)


def _retraining(subject: Retraining) -> list[Verdict]:
    from stability.proofs import enclosure

    local, case = enclosure.enclose(subject.nu, subject.data), str(subject)
    with enclosure.precision():
        lam = enclosure.decimal(subject.lam)
        J = local.jacobian(lam)
        balls = {
            "α": local.alpha,
            "L": local.lipschitz,
            "ε": local.eps,
            "λ(1 + Lε/α)": lam * local.ratio,
        }
        assumed = {name: bracket(ball) for name, ball in balls.items()}
        sides = {
            DISTANCE: (enclosure.norm(local.B - local.A), local.lipschitz * local.eps),
            RATIO: (enclosure.norm(local.A.solve(local.B)), local.ratio),
            BOUND: (enclosure.norm(J), local.bound(lam)),
            STABLE: (enclosure.spectral_radius(J), enclosure.decimal(1)),
        }
        return [_verdict(claim, case, *both, assumed) for claim, both in sides.items()]


def _largest(balls: "list[arb]") -> "arb":
    """The largest of some numbers."""
    return reduce(lambda a, b: a.max(b), balls)


def _verdict(
    claim: Claim,
    case: str,
    measured: "arb",
    stated: "arb",
    assumptions: dict[str, Bracket] | None = None,
) -> Verdict:
    """Holds if the comparison is true of all numbers in the balls, violated if of none.

    Raises:
        ArithmeticError: If of some only.
    """
    from stability.proofs.enclosure import rounded

    holds = {"<": measured < stated, "<=": measured <= stated, ">": measured > stated}
    fails = {"<": measured >= stated, "<=": measured > stated, ">": measured <= stated}
    if not (holds[claim.relation] or fails[claim.relation]):
        raise ArithmeticError(
            f"{claim.id}: whether {measured} {claim.relation} {stated} cannot be decided"
        )
    # the end of `measured` that is nearest to the other outcome
    upper = (claim.relation == ">") != holds[claim.relation]
    radius = max(float(ball.rad()) for ball in (measured, stated) if ball.is_finite())
    return claim.verdict(
        case,
        measured=rounded(measured, up=upper),
        claimed=rounded(stated, up=not upper),
        method=f"certified: ball arithmetic, radius {radius:.1g}",
        assumptions=assumptions or {},
    )


def bracket(ball: "arb") -> Bracket:
    """The interval of a ball, rounded outwards.

    Args:
        ball: The ball.

    Returns:
        The interval.
    """
    from stability.proofs.enclosure import rounded

    return Bracket(rounded(ball, up=False), rounded(ball, up=True))


def _opposite_b(right: Callable[..., Any]) -> Callable[..., Any]:
    """J with the sign that E3 corrects."""

    def wrong(local: "Enclosure", lam: "arb") -> Any:
        return right(replace(local, B=local.B * -1), lam)

    return wrong


_SMALL, _AT_ONE = {"subject": ShrinkFactor(last=100)}, {"subject": Retraining(lam=1.0)}
_AT_FIVE_PERCENT = {"subject": Retraining(lam=0.05)}
MUTATIONS = (
    Mutation(
        BELOW_ONE, "stability.proofs.enclosure.alpha", "α(n) times 1.005", _SMALL, scaled(1.005)
    ),
    Mutation(
        INCREASES,
        "stability.proofs.enclosure.alpha",
        "1/α(n) in place of α(n)",
        _SMALL,
        lambda right: lambda n: 1 / right(n),
    ),
    Mutation(
        FLOATS,
        "stability.gaussian.alpha.alpha",
        "α(n) times 1 + 2·10⁻¹⁴",
        _SMALL,
        scaled(1 + 2e-14),
    ),
    Mutation(
        SUPREMUM,
        "stability.proofs.enclosure.root_entry",
        "E √Σ_1",
        {"subject": SmallAxis()},
        scaled(0.999),
    ),
    Mutation(
        DISTANCE, "stability.proofs.enclosure.StudentTProblem.distance", "ε", _AT_FIVE_PERCENT
    ),
    Mutation(RATIO, "stability.proofs.enclosure.Enclosure.ratio", "1 + Lε/α", _AT_FIVE_PERCENT),
    Mutation(BOUND, "stability.proofs.enclosure.Enclosure.bound", "(11)", _AT_FIVE_PERCENT),
    Mutation(
        STABLE,
        "stability.proofs.enclosure.Enclosure.jacobian",
        "J with B of the printed sign (E3)",
        _AT_ONE,
        _opposite_b,
    ),
)
"""Negative controls."""
