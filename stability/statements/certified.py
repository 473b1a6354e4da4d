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
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stability.gaussian.alpha import alpha as float_alpha
from stability.laws.law import NormalMixture
from stability.statements.verdict import Evidence, Relation, Status, Verdict

if TYPE_CHECKING:
    from flint import arb

__all__ = ["GRID", "MIXTURE", "Retraining", "ShrinkFactor", "check", "controls", "counterexamples"]

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


GRID: tuple[dict[str, Any], ...] = (
    {"subject": ShrinkFactor()},
    {"subject": Retraining(lam=0.05)},
    {"subject": Retraining(lam=1.0)},  # the condition of Theorem 1 fails
    {"subject": Retraining(lam=0.05, nu=3)},
    {"subject": Retraining(lam=0.1, nu=7, data=NormalMixture((0.5, 0.5), (-2.0, 2.0), (1.0, 1.0)))},
    {"subject": Retraining(lam=0.25, nu=7, data=NormalMixture((1.0,), (0.0,), (1.0,)))},
)


def check(subject: ShrinkFactor | Retraining) -> list[Verdict]:
    """The statements about a subject, each certain to hold, or certain to be violated.

    ShrinkFactor: α(n) < 1, α(n + 1) > α(n), and the accuracy of `stability.gaussian.alpha`.
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
    return _collapse(subject) if isinstance(subject, ShrinkFactor) else _retraining(subject)


def controls() -> list[Verdict]:
    """The same with spoiled constants: each is certain to be `violated`."""
    first, second = Retraining(lam=0.05), Retraining(lam=1.0)
    small = ShrinkFactor(last=100)
    return [
        *_collapse(small, factor=1.25)[:1],  # α(n)·5/4
        *_collapse(small, direction=-1)[1:2],  # α(n) > α(n + 1)
        *_collapse(small, accuracy=1e-18)[2:],
        *_retraining(first, factor=0.1)[:3],  # a tenth of Lε, of 1 + Lε/α and of bound (11)
        *_retraining(second, sign=-1)[3:],  # B with the printed sign (E3)
        _root_entry(rate=0.97, words="E √Σ_1 ≼ 0.97 α(n) √Σ_0"),
    ]


def counterexamples() -> list[Verdict]:
    """Erratum E1: the rate in the paper's proof of Proposition 1 is certain to be `violated` at
    n = 4.
    """
    return [_root_entry(rate=None, words="E √Σ_1 ≼ λmax(E √S)/√(n−1)·√Σ_0, as the proof has it")]


def _collapse(
    subject: ShrinkFactor, factor: float = 1, direction: int = 1, accuracy: float = 1e-14
) -> list[Verdict]:
    """Args:
    factor: Of α(n) in the first.
    direction: −1 turns the second round.
    accuracy: Stated in the third.
    """
    from stability.proofs import enclosure

    small, large = range(2, subject.last + 1), [10**k for k in range(5, 16)]
    instance = f"n = 2 … {subject.last}"
    with enclosure.precision():
        alphas = [enclosure.alpha(n) for n in small]
        steps = [direction * (after - before) for before, after in pairwise(alphas)]
        balls = [*alphas, *(enclosure.alpha(n) for n in large)]
        errors = [
            abs(ball / float(f) - 1)
            for ball, f in zip(balls, float_alpha([*small, *large]), strict=True)
        ]
        return [
            _verdict(
                "Proposition 1, α(n) < 1",
                "α(n) < 1 (the largest is shown)",
                instance,
                enclosure.decimal(factor) * _largest(alphas),
                "<",
                enclosure.decimal(1),
            ),
            _verdict(
                "Proposition 1, α(n) increases",
                "α(n + 1) − α(n) > 0 (the smallest is shown)",
                instance,
                -_largest([-step for step in steps]),
                ">",
                enclosure.decimal(0),
            ),
            _verdict(
                "Proposition 1, α(n) in floats",
                "relative error of `stability.gaussian.alpha.alpha` (the largest is shown)",
                f"{instance}, 10⁵ … 10¹⁵",
                _largest(errors),
                "<=",
                enclosure.decimal(accuracy),
            ),
        ]


def _retraining(subject: Retraining, factor: float = 1, sign: int = 1) -> list[Verdict]:
    """Certify the statements on retraining.

    Args:
        subject: The instance.
        factor: Multiplies each bound.
        sign: Multiplies B in the J of S1.
    """
    from stability.proofs import enclosure

    local = enclosure.enclose(subject.nu, subject.data)
    with enclosure.precision():
        lam, spoiled = enclosure.decimal(subject.lam), enclosure.decimal(factor)
        condition = lam * local.ratio
        if not (condition < 0.5 or condition >= 0.5):
            raise ArithmeticError(f"whether λ(1 + Lε/α) = {condition} is below ½ cannot be decided")
        numbers = {"α": local.alpha, "L": local.lipschitz, "ε": local.eps, "λ(1 + Lε/α)": condition}
        assumptions = {name: float(ball) for name, ball in numbers.items()}
        instance, J = str(subject), local.jacobian(lam)
        verdicts = [
            _verdict(
                "Lemma E.1, (80)",
                "‖B − A‖₂ <= Lε",
                instance,
                enclosure.norm(local.B - local.A),
                "<=",
                spoiled * local.lipschitz * local.eps,
            ),
            _verdict(
                "Lemma E.1, (79)",
                "‖A⁻¹B‖₂ <= 1 + Lε/α",
                instance,
                enclosure.norm(local.A.solve(local.B)),
                "<=",
                spoiled * local.ratio,
            ),
            _verdict(
                "Theorem 1",
                "‖J‖₂ <= λ(α + εL)/(α − λ(α + εL)) < 1 where λ(1 + Lε/α) < ½",
                instance,
                enclosure.norm(J),
                "<=",
                spoiled * local.bound(lam),
            ),
            _verdict(
                "S1",
                "ρ(J) < 1 at every λ",
                instance,
                enclosure.spectral_radius(local.jacobian(lam, sign)),
                "<",
                enclosure.decimal(1),
            ),
        ]
        if condition >= 0.5:
            verdicts[2] = replace(
                verdicts[2], status=Status.VACUOUS, note="λ(1 + Lε/α) >= ½ is certain"
            )
        return [replace(verdict, assumptions=assumptions) for verdict in verdicts]


def _root_entry(rate: float | None, words: str, n: int = 4, spread: float = 0.01) -> Verdict:
    """E (√Σ_1)_11/(√Σ_0)_11 against rate·α(n), or against the printed rate where that is None."""
    from stability.proofs import enclosure

    with enclosure.precision():
        verdict = _verdict(
            "Proposition 1, rate as printed" if rate is None else "Proposition 1, rate",
            words,
            f"n = {n}, t = 1, Σ_0 = diag(1, {spread:g}²)",
            enclosure.root_entry(n, spread),
            "<=",
            enclosure.printed_rate(n)
            if rate is None
            else enclosure.decimal(rate) * enclosure.alpha(n),
        )
    return replace(verdict, erratum="E1")


def _largest(balls: "list[arb]") -> "arb":
    """The largest of some numbers."""
    return reduce(lambda a, b: a.max(b), balls)


def _verdict(
    claim: str, words: str, instance: str, measured: "arb", relation: Relation, stated: "arb"
) -> Verdict:
    """Holds if `measured` `relation` `stated` for all numbers in the balls, violated if for none.

    Raises:
        ArithmeticError: If for some only.
    """
    holds = {"<": measured < stated, "<=": measured <= stated, ">": measured > stated}[relation]
    fails = {"<": measured >= stated, "<=": measured > stated, ">": measured <= stated}[relation]
    if not (holds or fails):
        raise ArithmeticError(f"{claim}: whether {measured} {relation} {stated} cannot be decided")
    upper = (relation == ">") != holds  # the end of `measured` that is nearest to the other outcome
    radius = max(float(ball.rad()) for ball in (measured, stated) if ball.is_finite())
    return Verdict(
        claim=claim,
        words=words,
        instance=instance,
        measured=_end(measured, upper),
        relation=relation,
        stated=_end(stated, not upper),
        status=Status.HOLDS if holds else Status.VIOLATED,
        method=f"certified: ball arithmetic, radius {radius:.1g}",
        evidence=Evidence.CERTIFIED,
    )


def _end(ball: "arb", upper: bool) -> float:
    """The upper or lower end of a ball, rounded outwards to a float."""
    end = ball.upper() if upper else ball.lower()
    value = float(end)
    if (end <= value) if upper else (end >= value):
        return value
    return math.nextafter(value, math.inf if upper else -math.inf)
