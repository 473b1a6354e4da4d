import pytest

from stability.statements import gaussian_exponents
from stability.statements.gaussian_exponents import GRID, check
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / 10)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(gaussian_exponents, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_one_dimension_in_closed_form(rng):
    """E log χ²_1 = −γ − log 2, Euler's γ, at n = 2."""
    exponent = check(2, 1, 5, rng)[0]
    assert exponent.stated == pytest.approx(-(0.5772156649015329 + 0.6931471805599453) / 2)


@pytest.mark.parametrize("t", [0, 1.5])
def test_bad_arguments(t, rng):
    with pytest.raises(ValueError, match="t must be a whole number >= 1"):
        check(5, 1, t, rng)
