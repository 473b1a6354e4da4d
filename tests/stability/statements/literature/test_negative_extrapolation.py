import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.diffusion.width_map import SAMPLERS
from stability.statements.literature import negative_extrapolation
from stability.statements.literature.negative_extrapolation import (
    GRID,
    best_weight,
    check,
    counterexamples,
    first_order,
    merged,
)
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.mutated import controls


@pytest.mark.parametrize("case", GRID, ids=lambda case: f"{case['sampler']}, {case['width']}")
def test_the_grid_holds(case, rng):
    verdicts = check(**case, rng=rng, false_alarm=FALSE_ALARM / 2)
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts


def test_every_mutation_is_noticed_and_one_merge_can_harm(rng):
    for verdict in [*controls(negative_extrapolation, rng), *counterexamples()]:
        assert verdict.status is Status.VIOLATED, verdict


@pytest.mark.parametrize(
    ("sampler", "width", "exact", "linear"),
    [
        ("DDPM 100, fixed-small", 0.05, 1.563, 1.648),
        ("DDPM 100, fixed-small", 0.1, 1.315, 1.346),
        ("DDPM 100, fixed-small", 1.0, 1.061, 1.061),
        ("DDIM 100", 0.1, 1.135, 1.143),
        ("EDM Heun 18", 0.1, 0.862, 0.863),
        ("EDM Heun 10", 0.1, 0.569, 0.569),
        ("flow, Euler 99", 0.1, 1.052, 1.053),
    ],
)
def test_weights_of_seven_cases(sampler, width, exact, linear):
    map_, v = SAMPLERS[sampler], width**2
    assert best_weight(map_, v) == pytest.approx(exact, abs=6e-4)
    assert first_order(map_, v) == pytest.approx(linear, abs=6e-4)


@given(
    sampler=st.sampled_from(["DDPM 100, fixed-small", "DDIM 100", "EDM Heun 18"]),
    width=st.floats(0.1, 3),
)
def test_at_the_best_weight_samples_have_the_width_of_the_data(sampler, width):
    map_, v = SAMPLERS[sampler], width**2
    assert merged(map_, v, best_weight(map_, v)) == pytest.approx(v, rel=1e-9)
    assert merged(map_, v, 0.0) == pytest.approx(float(map_.variance(v)))
