import pytest

from stability.statements import assumption1
from stability.statements.assumption1 import GRID, check
from stability.statements.verdict import Status
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance):
    verdicts = check(**instance)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(assumption1, rng):
        assert verdict.status is Status.VIOLATED, verdict
