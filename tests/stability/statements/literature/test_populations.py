import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.statements.literature import populations
from stability.statements.literature.populations import (
    GRID,
    check,
    errors,
    limit_errors,
    pooled_error,
    uniform_error,
)
from stability.statements.stationary_error import mixed
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls

lambdas = st.floats(-2, 1).map(lambda u: 10.0**u)


@st.composite
def mixings(draw):
    k = draw(st.integers(1, 4))
    rows = [draw(st.lists(st.floats(0.01, 1), min_size=k, max_size=k)) for _ in range(k)]
    W = np.array(rows)
    return W / W.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("instance", GRID, ids=lambda i: f"K={len(i['mixing'])}")
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng, false_alarm=FALSE_ALARM / len(GRID))
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed(rng):
    for verdict in controls(populations, rng):
        assert verdict.status is Status.VIOLATED, verdict


@given(lam=lambdas, t=st.integers(0, 20))
def test_a_model_alone_is_the_mix(lam, t):
    alone = np.eye(2)
    np.testing.assert_allclose(errors(alone, lam, t), mixed(lam, t), rtol=1e-9)
    np.testing.assert_allclose(limit_errors(alone, lam), mixed(lam), rtol=1e-8)
    assert uniform_error(1, lam) == pytest.approx(mixed(lam), rel=1e-9)


@given(mixing=mixings(), lam=lambdas)
def test_the_limit_is_that_of_many_rounds_and_others_help(mixing, lam):
    limit = limit_errors(mixing, lam)
    np.testing.assert_allclose(errors(mixing, lam, 400), limit, rtol=1e-6)
    assert limit.max() <= mixed(lam) * (1 + 1e-9)


def test_reference_values():
    assert uniform_error(5, 2.0) == pytest.approx(0.5467, abs=5e-5)
    assert mixed(2.0) == pytest.approx(1.4)
    assert pooled_error(5, 2.0) == pytest.approx(0.689, abs=5e-4)
