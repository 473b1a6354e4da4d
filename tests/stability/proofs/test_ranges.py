import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from stability import families
from stability.analysis.local_analysis import analyse
from stability.laws.law import NormalMixture

try:
    from flint import acb, arb

    from stability.proofs import enclosure, ranges
except ImportError:
    pytest.skip("needs python-flint: pip install python-flint", allow_module_level=True)

ROUNDING = 1e-9
"""Of the floating-point analysis: quadrature and rounding."""


def ball(low, high):
    return arb(low).union(arb(high))


def holds(enclosed, value):
    return enclosed.overlaps(arb(float(value), ROUNDING * max(1.0, abs(float(value)))))


@given(
    st.floats(-6, 6), st.floats(0.05, 6), st.floats(0, 0.5), st.floats(-1, 1), st.floats(-0.9, 1)
)
def test_the_faddeeva_function_lies_in_its_ball(x, y, reach, right, up):
    """At points of a box, against SciPy; the derivative against a difference of the antiderivative
    w."""
    spread = min(reach, 0.9 * y)
    with enclosure.precision():
        box = acb(ball(x - spread, x + spread), ball(y - spread, y + spread))
        w, slope = enclosure._faddeeva(box)
    z = complex(x + right * spread, y + up * spread)
    value = scipy.special.wofz(z)
    derivative = 2j / math.sqrt(math.pi) - 2 * z * value
    for enclosed, number in ((w, value), (slope, derivative)):
        assert holds(enclosed.real, number.real)
        assert holds(enclosed.imag, number.imag)


def local_of(balls):
    """A and B as nested lists of balls, whatever the number of parameters."""
    return [
        [[matrix]] if isinstance(matrix, arb) else matrix.tolist() for matrix in (balls.A, balls.B)
    ]


def require_in_balls(local, balls):
    for enclosed, matrix in zip(local_of(balls), (local.A, local.B), strict=True):
        for row, numbers in zip(enclosed, matrix, strict=True):
            assert all(holds(entry, number) for entry, number in zip(row, numbers, strict=True))
    assert holds(balls.alpha, local.alpha)
    assert holds(balls.eps, local.eps.middle)
    assert holds(balls.lipschitz, local.lipschitz.value)
    with enclosure.precision():
        norm, rho = balls.relative(enclosure.decimal(0.3))
    at = local.at(0.3)
    assert holds(norm, at.norm / 0.3)
    assert holds(rho, at.rho / 0.3)


def test_laws_of_a_cell_have_the_numbers_of_their_analysis_student_t(rng):
    middle = rng.uniform(1.9, 2.1)
    with enclosure.precision():
        balls = ranges.StudentTLaws().enclose((ball(middle - 0.01, middle + 0.01),))
    for mean in (middle - 0.01, middle, middle + rng.uniform(0, 0.01)):
        data = NormalMixture((0.7, 0.3), (-1.0, mean), (0.6, 1.0))
        require_in_balls(analyse(families.StudentT(5.0), data, 0.3), balls)


def test_laws_of_a_cell_have_the_numbers_of_their_analysis_linkage(rng):
    for _ in range(5):
        counts = np.array([125, 18, 20, 34]) + rng.integers(-3, 4, 4)
        f = counts / counts.sum()
        with enclosure.precision():
            balls = ranges.LinkageLaws().enclose(
                tuple(ball(share - 0.002, share + 0.002) for share in (f[0], f[1], f[3]))
            )
        data = np.repeat(np.arange(4.0), counts)
        require_in_balls(analyse(families.Linkage(), data, 0.3), balls)


def test_laws_of_a_cell_have_the_numbers_of_their_analysis_logistic(rng):
    """A by SciPy's quadrature; ε by the quantiles; L by a fine grid."""
    low = rng.uniform(0.5, 2)
    with enclosure.precision():
        balls = ranges.LogisticLaws().enclose((ball(low, 1.1 * low),))
    scale = low * rng.uniform(1, 1.1)

    def curvature(z):
        return 0.5 / np.cosh(scale * z / 2) ** 2 * 0.25 / np.cosh(z / 2) ** 2

    assert holds(balls.A, -scipy.integrate.quad(curvature, -60, 60, epsabs=1e-13)[0])
    u = (np.arange(200_000) + 0.5) / 200_000
    distance = np.abs((scale - 1) * np.log(u / (1 - u))).mean()
    assert float(balls.eps.lower()) - 1e-4 <= distance <= float(balls.eps.upper()) + 1e-4
    x = torch.linspace(-10, 10, 20001, dtype=torch.float64)
    slopes = torch.diff(torch.cosh(x / 2) ** -2 / 2).abs() / (x[1] - x[0])
    assert float(balls.lipschitz) == pytest.approx(float(slopes.max()), abs=1e-6)
    assert float(balls.B) == pytest.approx(-1 / 3)


@dataclass(frozen=True)
class Line:
    """A "family" whose α is its parameter, and whose other numbers do not matter."""

    def enclose(self, cell):
        return ranges.Scalar(-cell[0], arb(-1), arb(1), arb(1))


def product(local, lam):
    return lam * local.alpha, arb(1)


@given(st.floats(0.1, 3), st.floats(0.1, 3))
def test_a_product_on_a_rectangle_is_decided_by_its_largest_corner(lam, parameter):
    assume(abs(lam * parameter - 1) > 0.05)
    proof = ranges.prove(Line(), (0.0, lam), ((0.05, parameter),), product)
    assert proof.proved == (lam * parameter < 1)
    if proof.proved:
        assert lam * parameter - 1e-12 <= float(proof.left) < 1
        assert proof.hull["α"].contains(parameter)
    else:
        assert float(proof.left) >= 1


def test_a_range_that_is_undecided_is_an_error(monkeypatch):
    monkeypatch.setattr(ranges, "MOST_CELLS", 200)
    with pytest.raises(ArithmeticError, match=r"not decided on 200 cells; one that is left is \["):
        ranges.prove(Line(), (0.0, 1.0), ((1.0, 1.0),), lambda b, lam: (lam * b.alpha, lam))


def test_a_cell_that_is_too_large_is_cut_in_its_parameters(monkeypatch):
    seen = []

    @dataclass(frozen=True)
    class Picky(Line):
        def enclose(self, cell):
            seen.append(float(cell[0].rad()))
            if seen[-1] > 0.1:
                raise ArithmeticError("too large")
            return super().enclose(cell)

    proof = ranges.prove(Picky(), (0.0, 1.0), ((0.1, 0.9),), product)
    assert proof.proved
    assert max(seen) > 0.1 > min(seen)


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="low <= high"):
        ranges.prove(Line(), (1.0, 0.0), ((1.0, 1.0),), product)
