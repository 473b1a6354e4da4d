import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.loop.regimes import (
    Accumulate,
    Curated,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    Subsample,
    TrainingSet,
    Verified,
    Weighted,
)
from stability.planning.labels import RegimeError, propagate
from tests.support.user_regimes import UserRegime, last_two, random_half


def first_coordinate(points):
    return points[:, 0]


def positive(inputs):
    keep = inputs.synthetic[inputs.synthetic[:, 0] > 0]
    return TrainingSet(np.concatenate([inputs.real, keep]), len(inputs.real))


def noisy(inputs):
    return TrainingSet(np.concatenate([inputs.real, inputs.synthetic + 0.125]), len(inputs.real))


def bootstrap(inputs):
    return TrainingSet(inputs.rng.choice(inputs.real, 5), 5)


def random_pile(inputs):
    """A random half of everything before: which points it holds is random in all later rounds."""
    pile = np.concatenate([inputs.previous.points, inputs.synthetic])
    return TrainingSet(inputs.rng.choice(pile, len(pile) // 2, replace=False), 0)


def totals(propagation, t):
    """Numbers of points of each origin in training set t."""
    found = {}
    for draw in propagation.training[t][0].draws:
        for origin, size, count in zip(
            propagation.origin, propagation.sizes, draw.cells, strict=True
        ):
            assert count in (0, size)  # cells are used whole
            found[int(origin)] = found.get(int(origin), 0) + int(count)
    return {origin: count for origin, count in found.items() if count}


@given(n=st.integers(2, 40), lam=st.sampled_from([0.5, 1.0, 2.0]), t=st.integers(1, 5))
def test_the_points_of_each_training_set(n, lam, t):
    m = int(lam * n)
    assert totals(propagate(Mix(lam), n, t), t) == {-1: n} | ({t - 1: m} if m else {})
    assert totals(propagate(FullySynthetic(), n, t), t) == {t - 1: n}
    expected = {-1: n} | {s: m for s in range(t) if m}
    assert totals(propagate(Accumulate(lam), n, t), t) == expected
    assert propagate(FreshReal(lam), n, t).sizes.sum() == n + t * (n + m)


def test_expected_weights_of_each_model():
    real, models = propagate(Accumulate(1.0), 10, 3).origins_of(3)
    assert real == pytest.approx(1 / 4)
    assert models == pytest.approx([1 / 4, 1 / 4, 1 / 4])
    real, models = propagate(Subsample(Accumulate(1.0)), 10, 3).origins_of(3)
    assert real == pytest.approx(1 / 4)
    assert models == pytest.approx([1 / 4, 1 / 4, 1 / 4])
    real, models = propagate(Weighted(Subsample(Mix(1.0)), 0.7), 50, 2).origins_of(2)
    assert real == pytest.approx(0.7)  # a subset of one kind only has no probability here
    assert models == pytest.approx([0, 0.3])
    real, models = propagate(ReplaceFraction(3.0), 40, 2).origins_of(2)
    assert real == pytest.approx(1 / 4)


def test_the_weights_of_every_composition_sum_to_one():
    for regime in (
        Subsample(Accumulate(1.0)),
        Weighted(Subsample(Mix(1.0)), 0.7),
        Subsample(Weighted(Mix(2.0), 0.9)),
        UserRegime(last_two),
        UserRegime(random_half),
    ):
        for outcomes in propagate(regime, 12, 4).training:
            assert sum(outcome.probability for outcome in outcomes) == pytest.approx(1)
            for outcome in outcomes:
                assert sum(d.count * d.weight for d in outcome.draws) == pytest.approx(1)


@pytest.mark.parametrize(
    ("regime", "words"),
    [
        (Curated(Mix(1.0), first_coordinate), "looks at the values"),
        (Verified(FullySynthetic(), first_coordinate), "looks at the values"),
        (Subsample(Curated(Mix(1.0), first_coordinate)), "looks at the values"),
        (UserRegime(positive), "looks at the values"),
        (UserRegime(noisy), "makes new points"),
        (UserRegime(bootstrap), "draws random numbers"),
        (UserRegime(random_pile), "comes back to points that it picked at random"),
    ],
)
def test_what_theory_does_not_know_is_refused_in_one_line(regime, words):
    with pytest.raises(RegimeError, match=words) as caught:
        propagate(regime, 10, 3)
    assert "\n" not in str(caught.value)


def test_too_many_labels_are_refused_before_they_are_made():
    with pytest.raises(ValueError, match="must be <= 20,000,000"):
        propagate(Mix(1.0), 10**9, 10)
