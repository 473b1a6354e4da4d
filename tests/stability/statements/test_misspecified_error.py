import numpy as np
import pytest
import torch

from stability.families import Linkage
from stability.statements import misspecified_error
from stability.statements.misspecified_error import GRID, check, linkage_fit
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("instance", GRID, ids=str)
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / 10)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(misspecified_error, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_the_root_of_counts_is_the_largest_likelihood(rng):
    counts = rng.integers(1, 60, size=(5, 4))
    for row, theta in zip(counts, linkage_fit(counts), strict=True):
        points = torch.tensor(np.repeat(np.arange(4.0), row))[:, None]
        assert theta == pytest.approx(float(Linkage().start(points)[0]), rel=1e-9)

        def value(at, points=points):
            return float(Linkage().log_prob(torch.tensor([at]).double(), points).sum())

        assert value(theta) > max(value(theta - 1e-3), value(theta + 1e-3))


def test_simulated_counts_tell_five_per_cent():
    (case,) = [case for case in GRID if case["family"] == "linkage" and case["lam"] == 4.0]
    verdicts = check(**case, rng=np.random.default_rng())
    by_counts = [verdict for verdict in verdicts if verdict.claim.endswith("by counts")]
    assert len(by_counts) == 2
    assert all(verdict.tolerance < 0.07 for verdict in by_counts)
