"""Statements about whole ranges of λ and of the data's parameters, proved by subdivision.

A range is cut into cells. On each cell every number is a ball that contains its values at all
points of the cell, so that an inequality between balls is proved for all of them; a cell where the
balls overlap is halved. Needs the extra `certify`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Protocol

from stability.proofs.enclosure import (
    Enclosure,
    StudentTProblem,
    decimal,
    lipschitz_student_t,
    precision,
)

try:
    from flint import acb, arb, arb_mat
except ImportError as error:
    raise ImportError(
        "certified ranges need python-flint; install it with: pip install python-flint"
    ) from error

__all__ = [
    "Balls",
    "Laws",
    "LinkageLaws",
    "LogisticLaws",
    "RangeProof",
    "Scalar",
    "StudentTLaws",
    "prove",
]

MOST_CELLS = 20_000


class Balls(Protocol):
    """Constants that Theorem 1 needs, for all laws in a cell."""

    @property
    def lipschitz(self) -> arb: ...

    @property
    def eps(self) -> arb: ...

    @property
    def alpha(self) -> arb: ...

    @property
    def ratio(self) -> arb:
        """1 + Lε/α."""
        ...

    def relative(self, lam: arb) -> tuple[arb, arb]:
        """‖J‖₂/λ and ρ(J)/λ.

        Args:
            lam: Synthetic points per real point.
        """
        ...


class Laws(Protocol):
    """A family, and a range of laws of the data."""

    def enclose(self, cell: tuple[arb, ...]) -> Balls:
        """Enclose α, 1 + Lε/α and J for all parameters in a cell.

        Args:
            cell: Ball of each parameter of the data.

        Raises:
            ArithmeticError: If the cell is too large.
        """
        ...


@dataclass(frozen=True)
class Scalar:
    """A family with one parameter: A, B, L and ε."""

    A: arb
    B: arb
    lipschitz: arb
    eps: arb

    @property
    def alpha(self) -> arb:
        """α = −A."""
        return -self.A

    @property
    def ratio(self) -> arb:
        """1 + Lε/α."""
        return 1 + self.lipschitz * self.eps / self.alpha

    def relative(self, lam: arb) -> tuple[arb, arb]:
        """|J|/λ, twice; with A and B in it once only, since both are < 0.

        Args:
            lam: Synthetic points per real point.

        Returns:
            |J|/λ as norm and as spectral radius.
        """
        value = 1 / (self.A / self.B + lam)
        return abs(value), abs(value)


@dataclass(frozen=True)
class LogisticLaws:
    """Location of a logistic law of scale 1, on data of another scale s: the cell is (s,).

    By symmetry θ* is the centre of the data. −∂² log p = ½ sech²(z/2), whose slope has the supremum
    1/(3√3); its mean at scale s falls as s grows, so both ends enclose it; W1 = |s − 1| E|Z|, and
    E|Z| = 2 log 2.
    """

    def enclose(self, cell: tuple[arb, ...]) -> Scalar:
        """Constants for all data laws in a cell; see `Laws`.

        Args:
            cell: Ball of the scale s.
        """
        (scale,) = cell
        curvature = _mean_curvature(scale.lower()).union(_mean_curvature(scale.upper()))
        return Scalar(
            A=-curvature,
            B=-arb(1) / 3,
            lipschitz=1 / (3 * arb(3).sqrt()),
            eps=abs(scale - 1) * 2 * arb(2).log(),
        )


def _mean_curvature(scale: arb, end: int = 80) -> arb:
    """E ½ sech²(sZ/2) for a standard logistic Z; at most ½·2e^(−end) lies outside (−end, end)."""

    def integrand(z: acb, _: bool) -> acb:
        return 1 / ((scale * z / 2).cosh() * (z / 2).cosh()) ** 2 / 8

    return acb.integral(integrand, -end, end).real + arb(0, 1) * arb(-end).exp()


@dataclass(frozen=True)
class LinkageLaws:
    """Genetic linkage on shares (f₀, f₁, f₂, f₃) of its four categories: the cell is (f₀, f₁, f₃).

    θ* is the positive root of θ² − (3f₀ + f₃ − 2) θ − 2f₃ = 0; log p is concave in θ. Sums over
    four integers give A, B, L and W1.
    """

    def enclose(self, cell: tuple[arb, ...]) -> Scalar:
        """Constants for all data laws in a cell; see `Laws`.

        Args:
            cell: Balls of the shares f₀, f₁ and f₃.

        Raises:
            ArithmeticError: If θ* may lie outside (0, 1).
        """
        first, second, last = cell
        middle = 3 * first + last - 2
        theta = (middle + (middle * middle + 8 * last).sqrt()) / 2
        if not (0 < theta < 1):
            raise ArithmeticError(f"theta = {theta} may lie outside (0, 1)")

        inverse = [1 / (2 + theta), 1 / (1 - theta), 1 / theta]
        low, mid, high = (value * value for value in inverse)
        return Scalar(
            A=-(first * low + (1 - first - last) * mid + last * high),
            B=-(inverse[0] + 2 * inverse[1] + inverse[2]) / 4,
            lipschitz=abs(mid - low).max(abs(mid - high)),
            eps=abs(first - (2 + theta) / 4)
            + abs(first + second - arb(3) / 4)
            + abs(last - theta / 4),
        )


@dataclass(frozen=True)
class StudentTLaws:
    """Student's t with ν = 5, location and scale, on 0.7 N(−1, 0.6²) + 0.3 N(m, 1): the cell is
    (m,).

    θ* of a cell is enclosed by the interval Newton method, and W1 from its value at the middle of
    the cell by the triangle inequality.
    """

    nu: int = 5

    def enclose(self, cell: tuple[arb, ...]) -> Enclosure:
        """Constants for all data laws in a cell; see `Laws`.

        Args:
            cell: Ball of the mean m.
        """
        (mean,) = cell
        problem, centre = self._problem(mean), self._problem(mean.mid())
        at = [value.mid() for value in centre.maximiser()]
        mu, log_scale = problem.maximiser_near(at)
        scale = log_scale.exp()

        # W1 of two t laws is at most |Δμ| + |Δσ| E|T|, and E|T| <= √(ν/(ν − 2))
        moved = (mu - at[0]).union(arb(0)), (scale - at[1].exp()).union(arb(0))
        spread = abs(moved[0]) + abs(moved[1]) * (arb(self.nu) / (self.nu - 2)).sqrt()
        reach = (spread + decimal(0.3) * abs(mean - mean.mid())).upper()
        fisher = [
            arb(self.nu + 1) / ((self.nu + 3) * scale * scale),
            arb(2 * self.nu) / (self.nu + 3),
        ]
        return Enclosure(
            mu=mu,
            log_scale=log_scale,
            A=problem.hessian(mu, log_scale),
            B=arb_mat([[-fisher[0], 0], [0, -fisher[1]]]),
            lipschitz=lipschitz_student_t(self.nu, scale, 256),
            eps=centre.distance(at[0], at[1].exp()) + reach.union(-reach),
        )

    def _problem(self, mean: arb) -> StudentTProblem:
        parts = [(decimal(0.7), arb(-1), decimal(0.6)), (decimal(0.3), mean, arb(1))]
        return StudentTProblem(self.nu, parts)


Inequality = Callable[[Balls, arb], tuple[arb, arb]]
"""Both sides of "<" for the laws of a cell and a ball of λ; a nan is never decided."""


@dataclass(frozen=True)
class RangeProof:
    """An inequality proved on a whole range, or refuted on a cell of it.

    Attributes:
        proved: Whether left < right on every cell; False if left >= right on one.
        left: The left side on the cell with the least gap: its end that is nearest to the right
            side where the inequality is proved, and its other end where it is refuted.
        right: The right side there: its end that is nearest to the left side, or its other end.
        cells: Number of cells.
        where: λ and parameters of the cell with the least gap, or of the refuted one.
        hull: Balls that hold α, L and ε of all laws on the cells that were decided.
    """

    proved: bool
    left: arb
    right: arb
    cells: int
    where: tuple[arb, ...]
    hull: Mapping[str, arb]


def prove(
    laws: Laws,
    lam: tuple[float, float],
    parameters: tuple[tuple[float, float], ...],
    inequality: Inequality,
) -> RangeProof:
    """Prove left < right for every λ and every law in a range, or refute it on a cell.

    Args:
        laws: The family and its data.
        lam: Ends of the range of λ, as decimals, 0 <= low <= high.
        parameters: Ends of the range of each parameter of the data, as decimals.
        inequality: Both sides.

    Returns:
        The proof, or the refutation.

    Raises:
        ValueError: If a range is empty.
        ArithmeticError: If it is not decided on `MOST_CELLS` cells, e.g. where the two sides are
            equal somewhere.
    """
    sides = (lam, *parameters)
    if any(not low <= high for low, high in sides):
        raise ValueError(f"each range must have low <= high, got {sides}")
    exact = tuple((Fraction(repr(low)), Fraction(repr(high))) for low, high in sides)
    with precision():
        search = _Search(laws, inequality, exact)
        # breadth first, or a refutation could wait behind a cell where both sides are equal
        todo, done = deque([exact]), 0
        while todo:
            box = todo.popleft()
            done += 1
            if done > MOST_CELLS:
                raise ArithmeticError(
                    f"not decided on {MOST_CELLS} cells; one that is left is {_shown(box)}"
                )
            certain = search.decide(box)
            if certain is None:
                todo += search.halves(box)
            elif not certain:
                return search.result(False, done)
        return search.result(True, done)


Box = tuple[tuple[Fraction, Fraction], ...]


class _Search:
    """State of one `prove`: the laws of the cells seen, and the cell with the least gap."""

    def __init__(self, laws: Laws, inequality: Inequality, whole: Box) -> None:
        self.laws, self.inequality, self.whole = laws, inequality, whole
        self.worst: tuple[arb, arb, arb, Box] | None = None  # gap, left, right, box
        self.hull: dict[str, arb] = {}

    def decide(self, box: Box) -> bool | None:
        """True or False if the inequality is certain on all of a box; None if it is not.

        Args:
            box: Ends of λ and of each parameter.
        """
        local = _enclosed(self.laws, box[1:])
        if local is None:
            return None
        left, right = self.inequality(local, _ball(*box[0]))
        if left < right:
            self._extend_hull(local)
            gap = (right.lower() - left.upper()).lower()
            if self.worst is None or gap < self.worst[0]:
                self.worst = gap, left.upper(), right.lower(), box
            return True
        if left >= right:
            self._extend_hull(local)
            self.worst = arb(0), left.lower(), right.upper(), box
            return False
        return None

    def halves(self, box: Box) -> list[Box]:
        """The box cut in two, where it is widest for its range; where the laws are too many for
        an enclosure, λ is left whole.

        Args:
            box: Ends of λ and of each parameter.

        Returns:
            Both halves.
        """
        first = 1 if _enclosed(self.laws, box[1:]) is None else 0
        widths = [
            (high - low) / (end - start) if end > start else Fraction(0)
            for (low, high), (start, end) in zip(box, self.whole, strict=True)
        ]
        i = max(range(first, len(box)), key=lambda k: widths[k])
        low, high = box[i]
        middle = (low + high) / 2
        return [(*box[:i], half, *box[i + 1 :]) for half in ((low, middle), (middle, high))]

    def result(self, proved: bool, cells: int) -> RangeProof:
        assert self.worst is not None  # a box was decided
        _, left, right, box = self.worst
        return RangeProof(
            proved, left, right, cells, tuple(_ball(*side) for side in box), self.hull
        )

    def _extend_hull(self, local: Balls) -> None:
        for name, ball in (("α", local.alpha), ("L", local.lipschitz), ("ε", local.eps)):
            self.hull[name] = self.hull.get(name, ball).union(ball)


@lru_cache(maxsize=4096)
def _enclosed(laws: Laws, parameters: Box) -> Balls | None:
    """The enclosure of a cell; None where it is too large for one."""
    try:
        local = laws.enclose(tuple(_ball(*side) for side in parameters))
    except (ArithmeticError, ZeroDivisionError):
        return None
    return local if local.alpha > 0 else None


def _ball(low: Fraction, high: Fraction) -> arb:
    """The interval from low to high."""
    ends = [arb(end.numerator) / end.denominator for end in (low, high)]
    return ends[0].union(ends[1]) if low < high else ends[0]


def _shown(box: Box) -> str:
    return " × ".join(f"[{float(low):g}, {float(high):g}]" for low, high in box)
