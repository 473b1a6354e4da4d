"""Certified ranges: Theorem 1 and S1 for every λ and every law of the data in a range, proved by
ball arithmetic.

A range is cut into cells, on each of which every inequality is proved for all of its points at once
(`stability.proofs.ranges`). So "Theorem 1 holds for every λ in [0, 0.2] here" is a proof. Families:
Student's t with location and scale, the location of a logistic law, and genetic linkage.

Needs the extra `certify`; without it everything here raises ImportError with one line that says so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stability.statements.certified import bracket
from stability.statements.claim import Claim
from stability.statements.mutation import Mutation, scaled
from stability.statements.verdict import Evidence, Verdict

if TYPE_CHECKING:
    from flint import arb

    from stability.proofs.ranges import Balls, Laws

__all__ = [
    "BOUND",
    "CONDITION",
    "GRID",
    "MUTATIONS",
    "STABLE",
    "Region",
    "bound_over_lam",
    "check",
]

CONDITION = Claim(
    id="Theorem 1, condition on a range",
    words="λ(1 + Lε/α) < ½ for every λ and every law of the data in the range",
    relation="<",
    source="Theorem 1, with the ½ of erratum E4",
    falsified_by="A cell of the range on which λ(1 + Lε/α) is certainly ½ or more.",
    no_evidence="Values at single points of the range.",
    erratum="E4",
    evidence=Evidence.CERTIFIED,
)
BOUND = Claim(
    id="Theorem 1, (11) on a range",
    words="‖J‖₂/λ < (11)/λ = (1 + Lε/α)/(1 − λ(1 + Lε/α)) for every λ and every law of the data in "
    "the range",
    relation="<",
    source="Theorem 1, eq. (11)",
    falsified_by="A cell of the range on which ‖J‖₂ is certainly above (11).",
    no_evidence="Values at single points of the range.",
    evidence=Evidence.CERTIFIED,
)
STABLE = Claim(
    id="S1 on a range",
    words="ρ(J) < 1 for every λ and every law of the data in the range",
    relation="<",
    source="own result S1",
    falsified_by="A cell of the range on which ρ(J) is certainly 1 or more.",
    no_evidence="Values at single points of the range.",
    evidence=Evidence.CERTIFIED,
)


@dataclass(frozen=True)
class Region:
    """A range of λ and of laws of the data, for one family.

    All numbers are taken as the decimals that they print as.

    Attributes:
        family: "student_t", "logistic" or "linkage".
        lam: Ends of the range of λ on which Theorem 1 is to hold, 0 <= low <= high.
        parameters: Ends of the ranges of the data: the mean m for Student's t on 0.7 N(−1, 0.6²) +
            0.3 N(m, 1); the scale s for logistic data of scale s; the shares f₀, f₁ and f₃ of the
            four categories for linkage.
        lam_stable: Ends of the range of λ on which ρ(J) < 1 is to hold.

    Raises:
        ValueError: If a range is empty or not finite, or the family is not known.
    """

    family: str
    lam: tuple[float, float]
    parameters: tuple[tuple[float, float], ...]
    lam_stable: tuple[float, float] = (0.0, 10.0)

    def __post_init__(self) -> None:
        if self.family not in _NAMES:
            raise ValueError(f"family must be one of {', '.join(_NAMES)}, got {self.family!r}")
        if len(self.parameters) != len(_NAMES[self.family]):
            names = ", ".join(_NAMES[self.family])
            raise ValueError(f"parameters must be ranges of {names}, got {self.parameters}")
        for low, high in (self.lam, self.lam_stable, *self.parameters):
            if not (math.isfinite(low) and low <= high < math.inf):
                raise ValueError(f"a range must be finite with low <= high, got {(low, high)}")
        if self.lam[0] < 0 or self.lam_stable[0] < 0:
            raise ValueError(f"lam must be >= 0, got {self.lam} and {self.lam_stable}")

    @property
    def laws(self) -> "Laws":
        """The family with its data."""
        from stability.proofs import ranges

        return {
            "student_t": ranges.StudentTLaws(),
            "logistic": ranges.LogisticLaws(),
            "linkage": ranges.LinkageLaws(),
        }[self.family]

    def __str__(self) -> str:
        named = zip(_NAMES[self.family], self.parameters, strict=True)
        parts = [f"{name} {_shown(side)}" for name, side in named]
        return f"{_TITLES[self.family]}, {', '.join(parts)}"


_NAMES = {"student_t": ("m",), "logistic": ("s",), "linkage": ("f₀", "f₁", "f₃")}
_TITLES = {
    "student_t": "Student-t, ν = 5, on 0.7 N(−1, 0.6²) + 0.3 N(m, 1)",
    "logistic": "location of a logistic law, on logistic data of scale s",
    "linkage": "linkage, on shares f",
}

GRID: tuple[dict[str, Any], ...] = (
    {"region": Region("student_t", (0.0, 0.148), ((2.0, 2.0),))},
    {"region": Region("student_t", (0.0, 0.11), ((1.9, 2.1),), lam_stable=(0.0, 2.0))},
    {"region": Region("logistic", (0.0, 0.2), ((1.1, 1.5),))},
    {"region": Region("linkage", (0.0, 0.2), ((0.62, 0.65), (0.09, 0.09), (0.16, 0.18)))},
)


def check(region: Region) -> list[Verdict]:
    """Prove Theorem 1's condition, its bound (11), and ρ(J) < 1 on a range.

    Args:
        region: The range.

    Returns:
        A verdict for each; both numbers are those of the cell with the least gap, rounded outwards.

    Raises:
        ImportError: Without python-flint.
        ArithmeticError: If an inequality can be neither proved nor refuted.
    """
    return [
        _verdict(CONDITION, region, region.lam, _condition),
        _verdict(BOUND, region, region.lam, _bound),
        _verdict(STABLE, region, region.lam_stable, _stable),
    ]


def _condition(local: "Balls", lam: "arb") -> "tuple[arb, arb]":
    """λ(1 + Lε/α) and ½."""
    return lam * local.ratio, local.ratio * 0 + 0.5


def _bound(local: "Balls", lam: "arb") -> "tuple[arb, arb]":
    """‖J‖₂/λ and (11)/λ; no number where λ(1 + Lε/α) may be 1."""
    return local.relative(lam)[0], bound_over_lam(local.ratio, lam)


def bound_over_lam(ratio: "arb", lam: "arb") -> "arb":
    """(11)/λ = (1 + Lε/α)/(1 − λ(1 + Lε/α)); nan where λ(1 + Lε/α) may be 1.

    Args:
        ratio: 1 + Lε/α.
        lam: Synthetic points per real point.

    Returns:
        Ball that contains it.
    """
    left = 1 - lam * ratio
    return ratio / left if left > 0 else left * math.nan


def _stable(local: "Balls", lam: "arb") -> "tuple[arb, arb]":
    """ρ(J) and 1."""
    return lam * local.relative(lam)[1], lam * 0 + 1


def _verdict(
    claim: Claim, region: Region, lam: tuple[float, float], sides: Callable[..., Any]
) -> Verdict:
    from stability.proofs.enclosure import rounded
    from stability.proofs.ranges import prove

    proof = prove(region.laws, lam, region.parameters, sides)
    return claim.verdict(
        f"{region}, λ {_shown(lam)}",
        measured=rounded(proof.left, up=proof.proved),
        claimed=rounded(proof.right, up=not proof.proved),
        method=f"certified: ball arithmetic on {proof.cells} cells",
        assumptions={name: bracket(ball) for name, ball in proof.hull.items()},
        note="" if proof.proved else f"refuted at λ = {float(proof.where[0]):.6g}",
    )


def _opposite_b(right: Callable[..., Any]) -> Callable[..., Any]:
    """J with the sign that E3 corrects: with −B in place of B."""
    return lambda local, lam: right(local, -lam)


def _shown(side: tuple[float, float]) -> str:
    low, high = side
    return f"= {low:g}" if low == high else f"∈ [{low:g}, {high:g}]"


_STUDENT = {"region": Region("student_t", (0.0, 0.148), ((2.0, 2.0),))}
_LOGISTIC = {"region": Region("logistic", (0.0, 0.2), ((1.1, 1.2),), lam_stable=(2.0, 4.0))}
_LINKAGE = GRID[3]
_SCALAR, _ENCLOSURE = "stability.proofs.ranges.Scalar", "stability.proofs.enclosure.Enclosure"
MUTATIONS = (
    Mutation(CONDITION, f"{_ENCLOSURE}.ratio", "1 + Lε/α times 1.005", _STUDENT, scaled(1.005)),
    Mutation(CONDITION, f"{_SCALAR}.ratio", "1 + Lε/α times 2.5", _LOGISTIC, scaled(2.5)),
    Mutation(CONDITION, f"{_SCALAR}.ratio", "1 + Lε/α times 2.5", _LINKAGE, scaled(2.5)),
    Mutation(
        BOUND,
        "stability.statements.certified_ranges.bound_over_lam",
        "half of (11)",
        _LOGISTIC,
        scaled(0.5),
    ),
    Mutation(
        STABLE, f"{_SCALAR}.relative", "J with B of the printed sign (E3)", _LOGISTIC, _opposite_b
    ),
)
"""Negative controls."""
