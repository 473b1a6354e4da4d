import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deep.metrics.precision_recall import PrecisionRecall, neighbourhoods, precision_recall
from tests.conftest import FALSE_ALARM, FIXTURES

D = 3
k_values = st.integers(1, 4)


def points(elements):
    return arrays(float, st.tuples(st.integers(5, 15), st.just(D)), elements=elements)


grid = points(st.integers(-2, 2).map(float))  # ties and copies everywhere
scattered = points(st.floats(-10, 10))


def measure(real, fake, k=3):
    real, fake = (torch.as_tensor(np.asarray(x)) for x in (real, fake))
    return precision_recall(neighbourhoods(real, k), neighbourhoods(fake, k))


def by_hand(real, fake, k):
    """The definitions, point by point, with distances from differences."""

    def gap(a, b):
        return sum((u - v) ** 2 for u, v in zip(a, b, strict=True))

    def radius(own, i):
        return sorted(gap(own[i], other) for j, other in enumerate(own) if j != i)[k - 1]

    r_real = [radius(real, i) for i in range(len(real))]
    r_fake = [radius(fake, j) for j in range(len(fake))]
    # real balls, fake points
    inside = [[gap(x, y) <= r for y in fake] for x, r in zip(real, r_real, strict=True)]
    return PrecisionRecall(
        precision=sum(any(column) for column in zip(*inside, strict=True)) / len(fake),
        recall=sum(any(gap(x, y) <= r for y, r in zip(fake, r_fake, strict=True)) for x in real)
        / len(real),
        density=sum(map(sum, inside)) / (k * len(fake)),
        coverage=sum(map(any, inside)) / len(real),
    )


@pytest.fixture(scope="module")
def published():
    return np.load(FIXTURES / "metrics.npz")


@pytest.mark.parametrize("i", range(3))
def test_published_values_in_both_conventions(published, i):
    """torch-fidelity leaves the point out, as here; fld, which the paper used, counts it: its k
    is ours + 1.
    """
    k = int(published["k"][i])
    for ours, convention in ((k, "self_excluded"), (k - 1, "self_counted")):
        found = measure(published["real"], published["fake"], ours)
        assert found.precision == pytest.approx(
            float(published[f"precision_{convention}"][i]), abs=1e-7
        )
        assert found.recall == pytest.approx(float(published[f"recall_{convention}"][i]), abs=1e-7)


def test_a_wrong_k_is_caught(published):
    """Negative control: the two conventions differ on these data by more than the tolerance
    above.
    """
    gaps = np.abs(published["precision_self_counted"] - published["precision_self_excluded"])
    assert gaps.min() > 1e-3


@given(real=grid, fake=grid, k=k_values)
def test_the_definitions_with_ties_and_copies(real, fake, k):
    assert measure(real, fake, k) == by_hand(real, fake, k)


@given(real=grid, fake=grid, k=k_values)
def test_float32_and_many_blocks(real, fake, k):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deep.metrics.precision_recall.BLOCK", 4)
        assert measure(real.astype(np.float32), fake.astype(np.float32), k) == by_hand(
            real, fake, k
        )


@given(real=grid, fake=grid, k=k_values)
def test_precision_is_recall_with_the_sets_exchanged(real, fake, k):
    one, two = measure(real, fake, k), measure(fake, real, k)
    assert (one.precision, one.recall) == (two.recall, two.precision)


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 9), k=k_values)
def test_no_rotation_shift_scale_or_order_changes_anything(seed, d, k):
    rng = np.random.default_rng(seed)  # points in general position, so that no decision is a tie
    real, fake = rng.standard_normal((17, d)), rng.standard_normal((13, d))
    turn, shift = scipy.stats.ortho_group.rvs(d, random_state=rng), rng.standard_normal(d)
    moved_real, moved_fake = (rng.permutation(3 * x @ turn + shift) for x in (real, fake))
    assert measure(moved_real, moved_fake, k) == measure(real, fake, k)


@pytest.mark.parametrize("place", [1e3, 1e7, 1e8])
def test_where_the_points_lie_changes_nothing(rng, place):
    """A shift, a far point in both sets, and half of the points far away: each ball sees its
    neighbours alone.
    """
    real, fake = (np.round(rng.standard_normal((40, 3)), 4) for _ in range(2))
    near = measure(real, fake)
    assert measure(real + place, fake + place) == by_hand(real + place, fake + place, 3)

    real_far, fake_far = (np.vstack([x, [[place] * 3]]) for x in (real, fake))
    far = measure(real_far, fake_far)
    assert far == by_hand(real_far, fake_far, 3)
    assert far.coverage == pytest.approx((40 * near.coverage + 1) / 41)

    real_halves, fake_halves = (np.vstack([x, x + place]) for x in (real, fake))
    halves = measure(real_halves, fake_halves)
    assert halves == by_hand(real_halves, fake_halves, 3)
    # a rounded tie or two of the shifted half
    assert halves.density == pytest.approx(near.density, abs=0.05)


def test_many_pairs_from_differences(rng, monkeypatch):
    monkeypatch.setattr("deep.metrics.precision_recall._PAIRS", 10)
    real, fake = (np.vstack([x, x + 1e7]) for x in rng.standard_normal((2, 30, 3)))
    assert measure(real, fake) == by_hand(real, fake, 3)


@given(x=scattered, k=k_values)
def test_a_set_covers_itself(x, k):
    found = measure(x, x, k)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density >= 1  # the point itself and its k neighbours lie in each ball


@given(x=grid, data=st.data())
def test_more_neighbours_never_lower_it(x, data):
    y = data.draw(grid)
    few, many = measure(x, y, 1), measure(x, y, 3)
    assert few.precision <= many.precision
    assert few.recall <= many.recall
    assert few.coverage <= many.coverage


def test_far_sets_share_nothing(rng):
    x = rng.standard_normal((30, D))
    assert measure(x, x + 1e3) == PrecisionRecall(0, 0, 0, 0)


def test_a_model_collapsed_onto_one_real_image_is_precise_without_recall(rng):
    """Copies of one point, whose balls have radius 0: they reach that very point alone.

    In features of an odd size.
    """
    real = rng.standard_normal((40, 64)).astype(np.float32) * 1e3
    found = measure(real, np.repeat(real[7:8], 20, axis=0))
    assert found.precision == 1
    assert found.recall == 1 / 40


def test_a_model_of_one_mode_of_two_has_low_recall(rng):
    """Modes 100 sd apart: recall is at most the share of the mode that it kept."""
    real = np.concatenate([rng.standard_normal((60, D)), rng.standard_normal((140, D)) + 100])
    found = measure(real, rng.standard_normal((200, D)))
    assert found.recall <= 0.3
    assert found.coverage <= 0.3


def test_density_and_coverage_of_equal_laws(rng):
    """Their exact means for any continuous law (Naeem et al. 2020, Lemmas 1 and 2), by a two-sided
    z-test.

    Coverage: 1 − (n−1)⋯(n−k) / ((m+n−1)⋯(m+n−k)), n real and m fake points; density: 1.
    """
    n, m, k, repeats = 30, 20, 3, 2000
    found = [measure(rng.random((n, 2)), rng.random((m, 2)), k) for _ in range(repeats)]
    i = np.arange(1, k + 1)
    for quantity, mean in (("density", 1.0), ("coverage", 1 - np.prod((n - i) / (m + n - i)))):
        values = np.array([getattr(each, quantity) for each in found])
        z = (values.mean() - mean) / (values.std(ddof=1) / repeats**0.5)
        assert abs(z) < scipy.stats.norm.isf(FALSE_ALARM / 4)


@pytest.mark.parametrize(
    ("k", "n", "message"),
    [(0, 9, "k must be >= 1 .* got 0"), (3, 3, "n >= 4")],
)
def test_bad_arguments(k, n, message):
    with pytest.raises(ValueError, match=message):
        neighbourhoods(torch.zeros(n, 2), k)


def test_sets_that_do_not_fit_together():
    one = neighbourhoods(torch.zeros(9, 2), 3)
    with pytest.raises(ValueError, match="same k, got 3 and 4"):
        precision_recall(one, neighbourhoods(torch.zeros(9, 2), 4))
    with pytest.raises(ValueError, match="equal dimension"):
        precision_recall(one, neighbourhoods(torch.zeros(9, 3), 3))
