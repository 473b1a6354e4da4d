"""S3, S4, S6 and S7 for any family, against the Gaussian mean, where all of them are exact."""

import numpy as np
import pytest
import torch

from stability.analysis.local_analysis import analyse
from stability.families import GaussianMean
from stability.loop.regimes import Accumulate, FreshReal, FullySynthetic, Mix
from stability.statements.family_regimes import check, regime_covariance
from stability.statements.stationary_error import predicted
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.small_families import StudentT, vector

POINTS = np.array([[-1.0], [0.5], [2.5], [1.0]])
REGIMES = [
    (Mix(0.5), "fresh", 1.0),
    (Mix(0.5), "shared", 1.0),
    (Accumulate(0.5), "fresh", 1.0),
    (FullySynthetic(), "fresh", 1.0),
    (FreshReal(0.5), "fresh", 0.0),
]


@pytest.mark.parametrize(("regime", "latents", "fit"), REGIMES, ids=str)
def test_of_a_gaussian_mean_the_covariance_is_the_exact_law(regime, latents, fit):
    """Well specified: over Cramér–Rao the error is that of the fit, 1, and the scatter about it."""
    local = analyse(
        GaussianMean(torch.eye(1, dtype=torch.float64)), POINTS, 0.5, n=10, bounds=False
    )
    local = type(local)(**{**vars(local), "C": -local.A})
    for t in (1, 2, 5):
        scatter = float(regime_covariance(local, regime, t, latents)[0, 0]) * 10
        assert fit + scatter == pytest.approx(predicted(regime, t, latents), rel=1e-9)


def test_what_is_not_stated_is_refused():
    local = analyse(GaussianMean(torch.eye(1, dtype=torch.float64)), POINTS, 0.5, bounds=False)
    with pytest.raises(ValueError, match="no covariance is stated"):
        regime_covariance(local, FreshReal(0.5), 3, "shared")


def test_a_family_and_points_of_one_s_own(rng):
    """Real points of each run are draws of the points given; a start is passed on."""
    points = np.random.default_rng(0).standard_t(4, size=(300, 1))
    verdicts = check(
        StudentT(),
        points,
        Mix(0.5),
        2,
        rng,
        n=400,
        chains=60,
        start=vector(0.0, 0.0),
        false_alarm=FALSE_ALARM / 10,
    )
    assert [verdict.claim for verdict in verdicts] == ["S3, any family", "S6, any family"]
    assert all(verdict.status is Status.HOLDS for verdict in verdicts), verdicts
    assert torch.isfinite(torch.tensor([verdict.measured for verdict in verdicts])).all()
