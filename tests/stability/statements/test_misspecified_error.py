import pytest

from stability.statements import misspecified_error
from stability.statements.examination import controls
from stability.statements.misspecified_error import GRID, check
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / 10)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(misspecified_error, rng):
        assert verdict.status is Status.VIOLATED, verdict
