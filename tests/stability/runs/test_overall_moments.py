"""The default measurements of a study."""

import math

import numpy as np
import pytest

from stability import FullySynthetic, Mix, Study
from stability.runs.overall_moments import OverallMoments, overall_moments
from tests.support.kernels import Blur


def test_by_hand():
    true = np.array([[0.0, 5.0, 0.0], [2.0, 5.0, 4.0]])  # sd 1, 0, 2
    shifted = true + np.array([0.5, 7.0, 3.0])  # a coordinate that does not vary has no scale
    found = overall_moments(shifted, true)
    assert found == {"mean_shift": pytest.approx(1.5), "variance_ratio": pytest.approx(1.0)}
    wide = overall_moments(3 * true, true)
    assert wide["variance_ratio"] == pytest.approx(9.0)
    still = overall_moments(true, np.ones((4, 3)))
    assert math.isnan(still["variance_ratio"])
    assert still["mean_shift"] == 0


@pytest.mark.parametrize("shape", [(), (3,), (1, 4, 4)])
def test_a_study_without_observers_measures_them_in_any_dimension(tmp_path, shape):
    def law(n, rng):
        return rng.standard_normal((n, *shape))

    result = Study(
        learner=Blur, real=law, samples=20, regimes=[Mix(0.5), FullySynthetic()], seeds=2,
        generations=2, out=tmp_path / "run", threads=1,
    ).run()  # fmt: skip
    assert [quantity.key for quantity in result.shown()] == ["mean_shift", "variance_ratio"]
    assert result.floor("variance_ratio").draws > 1
    for line in result.history:
        assert all(set(chain.measured) == {"mean_shift", "variance_ratio"} for chain in line.chains)
    drawn = np.asarray(result.samples(regime=Mix(0.5), seed=1), dtype=float)
    assert drawn.shape[1:] == shape
    assert result.report().is_file()


def test_one_point_has_no_spread(tmp_path):
    result = Study(
        learner=Blur,
        real=lambda n, rng: rng.standard_normal((n, 2)),
        samples=1,
        regimes=[Mix(1.0)],
        generations=1,
        out=tmp_path / "run",
    ).run()
    assert result.shown() == []
    assert result.history[0].chains[0].measured == {}


def test_nothing_is_measured_where_that_is_asked_for(tmp_path):
    study = Study(
        learner=Blur, real=np.zeros((20, 2)), regimes=[Mix(1.0)], generations=1, observers=(),
        out=tmp_path / "run",
    )  # fmt: skip
    with pytest.raises(ValueError, match="nothing was measured"):
        study.run().plot()


def test_a_control_for_the_floor(rng):
    """The law against itself is near the floor, and half the spread is far from it."""

    def law(n, rng):
        return rng.standard_normal((n, 2))

    floor = OverallMoments().floor(law, 4000, rng)
    # 4000 × 2 squares: a ratio of two χ² of 8000 degrees, sd 0.022; 12 sd are less than 1e-30
    assert floor["variance_ratio"] == pytest.approx(1.0, abs=0.27)
    x = law(4000, rng)
    assert overall_moments(x / 2, x)["variance_ratio"] == pytest.approx(0.25)
