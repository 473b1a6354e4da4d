import contextlib
import io
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stability.proofs
from stability.analysis.local_analysis import analyse
from stability.families import StudentT
from stability.gaussian.alpha import alpha, alpha_isotropic
from stability.laws.bracket import Bracket
from stability.laws.law import NormalMixture
from stability.statements import certified
from stability.statements.certified import (
    GRID,
    MIXTURE,
    MUTATIONS,
    Retraining,
    ShrinkFactor,
    check,
    counterexamples,
)
from stability.statements.lemma_a2 import expected_root
from stability.statements.verdict import Status, compare

try:
    from flint import arb, arb_mat, ctx

    from stability.proofs import enclosure
except ImportError:
    pytest.skip("needs python-flint: pip install python-flint", allow_module_level=True)


SKEWED = NormalMixture(weights=(0.25, 0.5, 0.25), means=(-3.0, 0.5, 4.0), sds=(0.5, 1.0, 2.0))


def problem(nu, data):
    decimal = enclosure.decimal
    parts = zip(data.weights, data.means, data.sds, strict=True)
    return enclosure.StudentTProblem(
        nu, [(decimal(weight), decimal(mean), decimal(sd)) for weight, mean, sd in parts]
    )


def floats(matrix):
    return np.array([[float(entry) for entry in row] for row in matrix.tolist()])


def certified_condition(verdict):
    condition = verdict.assumptions["λ(1 + Lε/α)"]
    assert isinstance(condition, Bracket)
    return condition.high


@pytest.mark.parametrize("instance", GRID, ids=lambda instance: str(instance["subject"]))
def test_the_grid_is_certain_to_hold(instance):
    verdicts = check(**instance)
    vacuous = {verdict.claim for verdict in verdicts if verdict.status is Status.VACUOUS}
    assert vacuous <= {"Theorem 1, (11), certified"}
    for verdict in verdicts:
        assert verdict.status in (Status.HOLDS, Status.VACUOUS)
        assert compare(verdict.measured, verdict.relation, verdict.stated) is Status.HOLDS
        assert verdict.method.startswith("certified: ball arithmetic, radius ")
        assert verdict.tolerance == verdict.false_alarm == 0
        if verdict.claim == "Theorem 1, (11), certified":
            condition = certified_condition(verdict)
            assert (verdict.status is Status.HOLDS) == (condition < 0.5) == (verdict.stated < 1)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.words)
def test_every_control_is_certain_to_be_violated(mutation):
    verdict = mutation.run(check, None)
    assert verdict.status is Status.VIOLATED, verdict
    assert compare(verdict.measured, verdict.relation, verdict.stated) is Status.VIOLATED


def test_the_worked_example():
    at_five_percent, at_one = (check(Retraining(lam=lam))[2] for lam in (0.05, 1.0))
    assert at_five_percent.status is Status.HOLDS
    assert (at_five_percent.measured, at_five_percent.stated) == pytest.approx(
        (0.06062, 0.2024), abs=1e-5
    )
    assert at_one.status is Status.VACUOUS
    stable = check(Retraining(lam=1.0))[3]
    assert (stable.claim, stable.status) == ("S1, certified", Status.HOLDS)
    assert stable.measured == pytest.approx(0.55631, abs=5e-6)


@pytest.mark.parametrize(
    ("nu", "data"), [(5, MIXTURE), (3, SKEWED), (9, NormalMixture((1.0,), (2.0,), (3.0,)))]
)
def test_the_floating_point_analysis_lies_in_the_balls(nu, data):
    """Up to its own errors: rounding, and those of its quadrature."""
    local, balls = analyse(StudentT(nu), data, 1.0), enclosure.enclose(nu, data)
    lam = enclosure.decimal(1.0)
    J = balls.jacobian(lam)
    assert local.theta == pytest.approx([float(balls.mu), float(balls.log_scale)], abs=1e-9)
    assert local.alpha == pytest.approx(float(balls.alpha), rel=1e-9)
    assert local.eps.middle == pytest.approx(float(balls.eps), abs=1e-9)
    assert pytest.approx(floats(balls.A), abs=1e-9) == local.A
    assert pytest.approx(floats(balls.B), abs=1e-9) == local.B
    assert pytest.approx(floats(J), abs=1e-9) == local.J
    assert local.norm == pytest.approx(float(enclosure.norm(J)), abs=1e-9)
    assert local.rho == pytest.approx(float(enclosure.spectral_radius(J)), abs=1e-9)
    # an upper bound within 1e-10 of L, so it lies between the lower end and a little above the
    # upper one
    assert balls.lipschitz.lower() <= local.lipschitz.value
    assert balls.lipschitz.upper() * (1 + 2e-10) >= local.lipschitz.value
    at = local.at(0.05)
    assert at.bound.middle == pytest.approx(float(balls.bound(enclosure.decimal(0.05))), rel=1e-5)
    assert 0 < float(balls.lipschitz.rad()) < 1e-5 * local.lipschitz.value


points = st.tuples(st.sampled_from([3, 5, 7, 11]), st.floats(-3, 3), st.floats(-1.5, 1.5))


@given(points)
def test_gradient_and_hessian_against_quadrature(point):
    nu, mu, log_scale = point
    theta = torch.tensor([mu, log_scale], dtype=torch.float64)
    # trapezoids: the integrand is smooth, and ends like the normal laws
    x = np.linspace(-30, 30, 6001)
    weights = torch.from_numpy(
        np.exp(SKEWED.log_prob(torch.from_numpy(x)[:, None]).numpy()) * (x[1] - x[0])
    )

    def objective(theta):
        return weights @ StudentT(nu).log_prob(theta, torch.from_numpy(x)[:, None])

    with enclosure.precision():
        balls = problem(nu, SKEWED)
        gradient, hessian = (f(arb(mu), arb(log_scale)) for f in (balls.gradient, balls.hessian))
    assert floats(gradient)[:, 0] == pytest.approx(
        torch.func.grad(objective)(theta).numpy(), abs=1e-9
    )
    assert floats(hessian) == pytest.approx(torch.func.hessian(objective)(theta).numpy(), abs=1e-9)


@settings(max_examples=10)
@given(points)
def test_distance_against_quadrature(point):
    nu, mu, log_scale = point
    x = np.sinh(np.linspace(-8.3, 8.3, 100_001))  # to ±2000
    model = scipy.stats.t(nu, mu, math.exp(log_scale)).cdf(x)
    data = sum(
        w * scipy.stats.norm(m, s).cdf(x)
        for w, m, s in zip(SKEWED.weights, SKEWED.means, SKEWED.sds, strict=True)
    )
    with enclosure.precision():
        distance = problem(nu, SKEWED).distance(arb(mu), arb(log_scale).exp())
    # what lies beyond 2000: ∫ c z^−ν dz of the heaviest tail, ν = 3, is below 1e-4
    assert float(distance) == pytest.approx(
        np.trapezoid(np.abs(model - data), x), abs=1e-4 if nu == 3 else 1e-5
    )
    assert float(distance.rad()) < 1e-15


@pytest.mark.parametrize("nu", [3, 5, 7, 9])
def test_the_t_law_against_scipy(nu):
    balls = problem(nu, MIXTURE)
    for z in (-7.0, -0.3, 0.0, 1.0, 30.0):
        assert float(balls._t_cdf(arb(z))) == pytest.approx(scipy.stats.t.cdf(z, nu), rel=1e-12)
        assert float(balls._t_density(arb(z))) == pytest.approx(scipy.stats.t.pdf(z, nu), rel=1e-12)


@settings(max_examples=10)
@given(st.floats(-2, 2), st.floats(0.1, 3))
def test_a_zero_of_the_score_is_inside_the_box_that_is_proved_to_hold_one(mean, sd):
    """Another way to θ* of a single normal law: by symmetry μ = mean, and s is a root in one
    variable.
    """
    balls = enclosure.enclose(5, NormalMixture((1.0,), (mean,), (sd,)))
    assert balls.mu.overlaps(enclosure.decimal(mean))
    x = np.linspace(-10, 10, 2001)
    density = scipy.stats.norm.pdf(x) * (x[1] - x[0])

    def score(log_scale):
        z2 = (x * sd) ** 2 * math.exp(-2 * log_scale)
        return density @ (-1 + 6 * z2 / (5 + z2))

    root = scipy.optimize.brentq(score, math.log(sd) - 2, math.log(sd) + 2, xtol=1e-14)
    assert float(balls.log_scale) == pytest.approx(root, abs=1e-9)
    assert balls.log_scale.rad() < 1e-25


def test_zeros_of_a_known_function():
    with enclosure.precision():
        zeros = enclosure._zeros(lambda x: x.sin(), lambda x: x.cos(), arb(-10), arb(10.5))
        assert len(zeros) == 7
        for k, zero in zip(range(-3, 4), zeros, strict=True):
            assert zero.overlaps(arb.pi() * k)
            assert zero.rad() < 1e-30
        assert enclosure._zeros(lambda x: x * x + 1, lambda x: 2 * x, arb(-5), arb(4)) == []
        # a double zero is not guessed at
        with pytest.raises(ArithmeticError, match="cannot be told apart"):
            enclosure._zeros(lambda x: x * x, lambda x: 2 * x, arb(-5), arb(4))


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=4))
def test_norm_and_spectral_radius_against_numpy(entries):
    matrix = np.array(entries).reshape(2, 2)
    balls = arb_mat(matrix.tolist())
    assert float(enclosure.norm(balls)) == pytest.approx(np.linalg.norm(matrix, 2), abs=1e-7)
    radius = enclosure.spectral_radius(balls)
    values = np.linalg.eigvals(matrix)
    if radius.is_nan():
        assert np.abs(values.imag).max() > 0 or abs(values[0] - values[1]) < 1e-6
    else:
        assert float(radius) == pytest.approx(np.abs(values).max(), abs=1e-5)


def test_constants_of_proposition_1():
    with enclosure.precision():
        assert (arb.pi() / 2).sqrt().overlaps(1 / enclosure.alpha(2))  # √(2/π)
        for n in (3, 4, 10, 50):
            assert float(enclosure.printed_rate(n)) == pytest.approx(
                alpha_isotropic(n, 2).value, rel=1e-12
            )
        for spread in (0.001, 0.01, 0.1):
            low, high = (
                float(end)
                for end in (f(enclosure.root_entry(4, spread)) for f in (arb.lower, arb.upper))
            )
            assert low <= expected_root(4, [1, spread**2])[0] <= high + 1e-12
            assert high == pytest.approx(alpha(4), rel=1e-9)  # radii have 30 bits


def test_erratum_e1_is_certain():
    (verdict,) = counterexamples()
    assert verdict.status is Status.VIOLATED
    assert verdict.erratum == "E1"
    assert verdict.measured == pytest.approx(0.9213, abs=5e-5)
    assert verdict.stated == pytest.approx(0.8735, abs=5e-5)


def test_numbers_are_decimals():
    with enclosure.precision():
        assert (10 * enclosure.decimal(0.1)).contains(1)
        assert not (10 * arb(0.1)).contains(1)  # the binary fraction


def test_nothing_is_decided_where_the_balls_overlap():
    """Theorem 1's condition at the λ where it is ½, as well as L is known."""
    with enclosure.precision():
        edge = float(0.5 / enclosure.enclose(5, MIXTURE).ratio)
    assert check(Retraining(lam=edge))[2].status is Status.UNDECIDED
    assert check(Retraining(lam=edge * (1 - 1e-5)))[2].status is Status.HOLDS
    assert check(Retraining(lam=edge * (1 + 1e-5)))[2].status is Status.VACUOUS
    with pytest.raises(ArithmeticError, match="cannot be decided"):
        certified._verdict(certified.BELOW_ONE, "", arb(1, 0.1), arb(1))


def test_ends_are_rounded_outwards():
    third = arb(1) / 3
    low, high = enclosure.rounded(third, up=False), enclosure.rounded(third, up=True)
    assert third >= low
    assert third <= high
    assert high - low < 1e-15
    assert enclosure.rounded(arb(1), up=True) == enclosure.rounded(arb(1), up=False) == 1


def test_the_precision_of_others_is_left_alone():
    before = ctx.prec
    enclosure.enclose.cache_clear()
    check(Retraining(lam=0.05))
    assert ctx.prec == before
    with enclosure.precision():
        assert ctx.prec > before


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Retraining(lam=math.inf), ValueError, "lam must be finite and >= 0, got inf"),
        (lambda: Retraining(lam=-1.0), ValueError, "lam must be finite and >= 0, got -1.0"),
        (lambda: ShrinkFactor(last=2), ValueError, "last must be a whole number >= 3, got 2"),
        (lambda: check(Retraining(lam=0.1, nu=4)), ValueError, "nu must be odd and >= 3, got 4"),
        (lambda: check(Retraining(lam=0.1, nu=1)), ValueError, "nu must be odd and >= 3, got 1"),
        (
            lambda: check(
                Retraining(lam=0.1, data=NormalMixture((1 / 3,) * 3, (0.0, 1.0, 2.0), (1.0,) * 3))
            ),
            ValueError,
            "weights must have the sum 1 as decimals",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_one_line_names_the_extra_where_flint_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    monkeypatch.delitem(sys.modules, "stability.proofs.enclosure")
    monkeypatch.delattr(stability.proofs, "enclosure")
    for call in (
        lambda: check(Retraining(lam=0.05)),
        lambda: check(ShrinkFactor()),
        lambda: MUTATIONS[0].run(check, None),
        counterexamples,
    ):
        with pytest.raises(ImportError, match=r"pip install python-flint") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_lambda_zero_is_one_fit():
    verdicts = check(Retraining(lam=0.0))
    assert [verdict.measured for verdict in verdicts[2:3]] == [0.0]


def test_more_data_than_the_default_are_described():
    text = str(replace(Retraining(lam=0.1), data=SKEWED))
    assert text == "Student-t, ν = 5, on 0.25 N(-3, 0.5²) + 0.5 N(0.5, 1²) + 0.25 N(4, 2²), λ = 0.1"


def test_the_program_in_the_documentation_prints_what_it_says():
    page = (Path(__file__).parents[3] / "docs" / "theory" / "proofs.md").read_text(encoding="utf-8")
    found = re.search(
        r"<!-- certify -->\n```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL
    )
    assert found
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(found[1], {})
    assert printed.getvalue() == found[2]


def test_the_numbers_in_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "theory" / "proofs.md").read_text(encoding="utf-8")
    local = enclosure.enclose(5, MIXTURE)
    with enclosure.precision():
        for ball in (local.mu, local.log_scale, local.alpha, local.eps):
            digits = ball.str(25, radius=False).lstrip("-")[:19]
            assert f"{digits}…" in page, digits
        for ball in (
            local.mu,
            local.log_scale,
            local.alpha,
            local.eps,
            *local.A.entries(),
            *local.B.entries(),
        ):
            assert ball.rad() < 1e-30
    low, high = (float(end) for end in (local.lipschitz.lower(), local.lipschitz.upper()))
    assert 2.00829 - 6e-6 <= low <= high <= 2.00829 + 6e-6
    assert "2.00829 ± 6e-6" in page
