import numpy as np
from scipy.stats import binom

from tests.conftest import FALSE_ALARM
from tests.support.views import floors_of
from toy.densities.shapes import standard_normal
from toy.measures.metrics import Resemblance, resemblance


def test_copies_are_memorised_and_independent_samples_are_not(rng):
    real, fresh = standard_normal(400, rng), standard_normal(400, rng)
    near = real + 1e-4 * standard_normal(400, rng)
    assert resemblance(near, real, fresh)["memorised"] == 1
    assert resemblance(near, fresh, real)["memorised"] == 0
    # a collapsed model that never saw the training points: one point, nearer to one set or the
    # other; many such models
    points = [np.tile(standard_normal(1, rng), (3, 1)) for _ in range(300)]
    sets = [(standard_normal(3, rng), standard_normal(3, rng)) for _ in points]
    share = np.mean(
        [resemblance(x, *pair)["memorised"] for x, pair in zip(points, sets, strict=True)]
    )
    assert (
        binom.ppf(FALSE_ALARM / 2, 300, 0.5) <= 300 * share <= binom.isf(FALSE_ALARM / 2, 300, 0.5)
    )


def test_the_floor_of_resemblance(rng):
    seed = int(rng.integers(2**32))
    floor = floors_of(Resemblance(), standard_normal, 200, seed)
    assert set(floor) == {"sliced", "memorised"}
    memorised = floor["memorised"]
    assert 0.02 < memorised.sd < 0.06  # binomial of 200 would be 0.035; nearest points are shared
    # Student's t with 31 degrees of freedom at 1e-6 is 6
    assert abs(memorised.mean - 0.5) < 7 * memorised.sd / 32**0.5
    assert Resemblance(shown=False).floor(standard_normal, 9, rng) == {}
