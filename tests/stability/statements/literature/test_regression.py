import numpy as np
import pytest

from stability import Accumulate, FullySynthetic, Mix
from stability.statements.literature import regression
from stability.statements.literature.regression import (
    GRID,
    check,
    first_risk,
    kept_signal,
    new_inputs,
    same_inputs,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"{case['regime']},{case.get('same')}")
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng, false_alarm=FALSE_ALARM / 9)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(regression, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_numbers_of_four_laws():
    assert new_inputs(Accumulate(1.0), 20, 4, 6) == pytest.approx(0.37984, abs=5e-6)
    assert first_risk(20, 4) * same_inputs(Accumulate(1.0), 6) == pytest.approx(0.40315, abs=5e-6)
    assert first_risk(20, 4) * same_inputs(Mix(1.0), 5) == pytest.approx(0.35547, abs=5e-6)
    assert [kept_signal(8, 12, t) for t in (3, 4)] == pytest.approx([0.1975, 0.1317], abs=5e-5)
    assert new_inputs(FullySynthetic(), 20, 4, 2) == pytest.approx(0.8)
    floor = 0.25**2 * 0.3**2  # of a shift of 0.3
    assert floor + first_risk(4000, 3) == pytest.approx(0.00619, abs=2e-4)


def test_many_rows_make_all_inputs_alike():
    rows = 10**7
    new = new_inputs(Accumulate(1.0), rows, 3, 10) / first_risk(rows, 3)
    assert new == pytest.approx(same_inputs(Accumulate(1.0), 10), rel=1e-6)
    assert same_inputs(Accumulate(1.0), 10**5) == pytest.approx(np.pi**2 / 6, rel=1e-4)
