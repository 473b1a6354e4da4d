import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stability.analysis.local_analysis import analyse
from stability.families import Gaussian
from stability.statements import proposition2
from stability.statements.proposition2 import GRID, alpha, check, counterexamples
from stability.statements.verdict import Status
from tests.support.mutated import controls
from tests.support.strategies import spd_matrices

GOOD = (Status.HOLDS, Status.CORRECTED)


@pytest.mark.parametrize("instance", GRID, ids=lambda instance: f"d={len(instance['mean'])}")
def test_the_grid_holds(instance, rng):
    verdicts = check(**instance, rng=rng)
    assert all(verdict.status in GOOD for verdict in verdicts), verdicts
    corrected = [verdict.status is Status.CORRECTED for verdict in verdicts]
    assert corrected == ["(59)" in verdict.claim for verdict in verdicts]  # E2


@settings(max_examples=15)
@given(data=st.data(), d=st.integers(1, 3), scale=st.floats(-2, 2), seed=st.integers(0, 2**32 - 1))
def test_any_gaussian(data, d, scale, seed):
    covariance = 10.0**scale * data.draw(spd_matrices(d)).numpy()
    rng = np.random.default_rng(seed)
    verdicts = check(rng.normal(size=d), covariance, rng)
    assert all(verdict.status in GOOD for verdict in verdicts), verdicts


@given(data=st.data(), d=st.integers(1, 4))
def test_alpha_is_the_least_eigenvalue_of_the_fisher_information(data, d):
    covariance = data.draw(spd_matrices(d))
    family = Gaussian(d)
    theta = family.join(covariance[0], covariance.inverse())
    assert alpha(covariance) == pytest.approx(
        np.linalg.eigvalsh(family.fisher(theta).numpy())[0], rel=1e-9
    )


def test_alpha_for_misspecified_data_is_that_of_the_fitted_gaussian():
    """A = B in an exponential family, so that Proposition 2 gives Assumption 2 for any data,
    too.
    """
    points = np.random.default_rng(5).exponential(size=40)  # any 40 numbers
    local = analyse(Gaussian(1), points, 0.3)
    assert local.alpha == pytest.approx(alpha([[points.var()]]), rel=1e-9)
    assert local.lipschitz.value == 1


def test_every_mutation_is_noticed(rng):
    for verdict in controls(proposition2, rng):
        assert verdict.status is Status.VIOLATED, verdict


def test_a_spoiled_alpha_is_rejected(monkeypatch, rng):
    monkeypatch.setattr(proposition2, "alpha", lambda covariance: 0.99 * alpha(covariance))
    verdicts = {verdict.claim: verdict for verdict in check(**GRID[2], rng=rng)}
    assert verdicts["Proposition 2, α"].status is Status.VIOLATED
    assert verdicts["Proposition 2, Lipschitz"].status is Status.HOLDS


def test_the_counterexamples():
    printed, full = counterexamples()
    assert (printed.status, printed.erratum) == (Status.VIOLATED, "E2")
    assert (printed.measured, printed.stated) == (pytest.approx(-0.5), -1.0)
    assert full.status is Status.VIOLATED
    assert full.measured == pytest.approx(0.5)  # −E ∇² log p on (E − Eᵀ)/√2 at Σ = I


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": 1}, "points must be >= 2, got 1"),
        (
            {"covariance": ((1.0, 2.0), (2.0, 1.0))},
            "covariance must be symmetric positive definite",
        ),
        (
            {"covariance": ((1.0, 0.5), (0.4, 1.0))},
            "covariance must be symmetric positive definite",
        ),
        ({"mean": (0.0,)}, r"of shape \(1, 1\)"),
        ({"mean": (math.nan, 0.0)}, "mean must be finite"),
    ],
)
def test_bad_arguments(change, message, rng):
    good = {"mean": (0.0, 0.0), "covariance": ((1.0, 0.0), (0.0, 1.0)), "points": 3}
    with pytest.raises(ValueError, match=message):
        check(**{**good, **change}, rng=rng)
