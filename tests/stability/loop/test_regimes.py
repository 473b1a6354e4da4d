import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from stability.loop.regimes import (
    Accumulate,
    AccumulateFresh,
    Curated,
    Exchange,
    Extrapolated,
    FreshReal,
    FullySynthetic,
    GenerationInputs,
    Mix,
    ReplaceFraction,
    Scheduled,
    Subsample,
    TrainingSet,
    Verified,
    Weighted,
    synthetic_count,
)
from tests.conftest import FALSE_ALARM

REAL, SYNTHETIC, FRESH = 0.0, 1.0, 2.0  # marks, so that a test can tell where a point came from


def any_reward(x):
    return x[:, 0]


def next_set(regime, n, previous=None, synthetic=None, rng=None):
    real = np.full((n, 2), REAL)
    return regime.next(
        GenerationInputs(
            real=real,
            previous=previous or TrainingSet(real, real=n),
            synthetic=np.full((regime.synthetic(n), 2), SYNTHETIC)
            if synthetic is None
            else synthetic,
            fresh=lambda k: np.full((k, 2), FRESH),
            rng=rng or np.random.default_rng(0),
        )
    )


def marks(data):
    return {mark: int((data.points == mark).all(axis=1).sum()) for mark in (REAL, SYNTHETIC, FRESH)}


@given(n=st.integers(1, 200), hundredths=st.integers(100, 400))
def test_what_each_regime_trains_on(n, hundredths):
    lam = hundredths / 100
    m = hundredths * n // 100
    assert marks(next_set(Mix(lam), n)) == {REAL: n, SYNTHETIC: m, FRESH: 0}
    assert marks(next_set(FullySynthetic(), n)) == {REAL: 0, SYNTHETIC: n, FRESH: 0}
    assert marks(next_set(FreshReal(lam), n)) == {REAL: 0, SYNTHETIC: m, FRESH: n}
    once = next_set(Accumulate(lam), n)
    twice = next_set(Accumulate(lam), n, previous=once)
    assert marks(once) == {REAL: n, SYNTHETIC: m, FRESH: 0}
    assert marks(twice) == {REAL: n, SYNTHETIC: 2 * m, FRESH: 0}


@given(n=st.integers(1, 200), lam=st.sampled_from([1.0, 0.5, 2.0]))
def test_both_measures_of_the_synthetic_data(n, lam):
    data = next_set(Mix(lam), 2 * n)
    assert data.lam == lam
    assert data.share == pytest.approx(lam / (1 + lam))
    assert (data.real, data.synthetic) == (2 * n, 2 * n * lam)


def test_fully_synthetic_data_have_infinite_lambda():
    data = next_set(FullySynthetic(), 7)
    assert (data.real, data.synthetic, data.lam, data.share) == (0, 7, math.inf, 1.0)


@given(digits=st.integers(0, 6), value=st.integers(0, 10**7), n=st.integers(1, 10**6))
def test_the_floor_is_of_the_written_decimal(digits, value, n):
    written = f"{value / 10**digits:.{digits}f}"
    exact = Fraction(written) * n
    if exact >= 1 or exact == 0:
        assert synthetic_count(float(written), n) == math.floor(exact)


def test_the_floor_of_a_decimal_below_its_double():
    assert math.floor(0.29 * 100) == 28  # what rounding would make of it
    assert Mix(0.29).synthetic(100) == 29


def test_too_little_synthetic_data_is_pointed_out():
    with pytest.warns(UserWarning, match=r"floor\(lam \* n\) is 0 for lam=0.001, n=999"):
        assert Mix(0.001).synthetic(999) == 0
    assert Mix(0.0).synthetic(999) == 0  # asked for, so no warning


@pytest.mark.parametrize("regime", [Mix, Accumulate, FreshReal, ReplaceFraction])
@pytest.mark.parametrize("lam", [-1, -1e-9, math.nan, math.inf])
def test_a_bad_lambda_is_refused(regime, lam):
    with pytest.raises(ValueError, match=f"lam must be finite and >= 0, got {lam}"):
        regime(lam)


@given(n=st.integers(1, 200), hundredths=st.integers(0, 400))
def test_a_share_is_replaced_at_constant_size(n, hundredths):
    m = hundredths * n // (100 + hundredths)
    data = next_set(ReplaceFraction(hundredths / 100), n)
    assert marks(data) == {REAL: n - m, SYNTHETIC: m, FRESH: 0}
    assert (data.real, data.synthetic) == (n - m, m)


def test_which_real_points_stay_is_drawn_anew():
    real = np.arange(100.0)[:, None]
    kept = [
        ReplaceFraction(1.0).next(
            GenerationInputs(
                real,
                TrainingSet(real, 100),
                np.full((50, 1), -1.0),
                lambda k: real,
                np.random.default_rng(s),
            )
        )
        for s in (0, 1)
    ]
    one, two = (set(data.points[:50, 0]) for data in kept)
    assert len(one) == len(two) == 50
    assert one <= set(real[:, 0])
    assert one != two


@given(n=st.integers(1, 50), rounds=st.integers(1, 5))
def test_a_subsample_keeps_the_size_and_the_whole_pool(n, rounds):
    data = None
    for t in range(1, rounds + 1):
        data = next_set(Subsample(Accumulate(1.0)), n, data, rng=np.random.default_rng(t))
        assert data.pool is not None
        assert marks(data.pool) == {REAL: n, SYNTHETIC: t * n, FRESH: 0}
        assert len(data.points) == n
        assert marks(data)[REAL] == data.real  # and they come first
        assert (data.points[: data.real] == REAL).all()
    # there are no more points
    assert marks(next_set(Subsample(Mix(0.0)), n)) == {REAL: n, SYNTHETIC: 0, FRESH: 0}


@given(n=st.integers(1, 60), numerator=st.integers(0, 20), rounds=st.integers(1, 4))
def test_everything_is_kept_and_new_real_data_come_in(n, numerator, rounds):
    """Each batch has ceil(α n) new real points; real points come first."""
    alpha, data = numerator / 20, None
    new = -(-numerator * n // 20)
    for t in range(1, rounds + 1):
        data = next_set(AccumulateFresh(alpha), n, data)
        assert marks(data) == {REAL: n, FRESH: t * new, SYNTHETIC: t * (n - new)}
        assert data.real == n + t * new
        assert not (data.points[: data.real] == SYNTHETIC).any()


@given(hundredths=st.integers(0, 500), n=st.integers(1, 500))
def test_a_real_fraction_of_a_lambda_is_meant_exactly(hundredths, n):
    """α = 1/(1 + λ) as a double may lie on the wrong side of a whole number of points."""
    exact = Fraction(hundredths, 100 + hundredths) * n
    assert AccumulateFresh(1 / (1 + hundredths / 100)).synthetic(n) == math.floor(exact)


@given(n=st.integers(1, 1000), t=st.integers(0, 30), power=st.sampled_from([0, 1, 2, -1]))
def test_a_schedule_stands_for_n(n, t, power):
    """Exactly, by whole numbers; half a point either way where it is none."""
    size = Scheduled(FullySynthetic(), power=power).size(n, t)
    exact = Fraction(n) * Fraction(t + 1) ** power
    assert size == max(1, size)
    assert abs(size - exact) <= Fraction(1, 2) or exact < 1
    assert Scheduled(Scheduled(Mix(1.0), power=1.0), power=-1.0).size(n, t) == n
    assert Subsample(Scheduled(Mix(1.0), power=power)).size(n, t) == size


def test_data_grow_by_the_rule_of_the_regime_inside():
    def of(regime, n=10, t=3):
        size = regime.size(n, t)
        real = np.full((n, 2), REAL)
        return regime.next(
            GenerationInputs(
                real=real,
                previous=TrainingSet(real, real=n),
                synthetic=np.full((regime.synthetic(size), 2), SYNTHETIC),
                fresh=lambda k: np.full((k, 2), FRESH),
                rng=np.random.default_rng(0),
                size=size,
            )
        )

    twice, half = {"factor": 2.0}, {"factor": 0.5}
    assert marks(of(Scheduled(Mix(0.5), **twice))) == {REAL: 10, SYNTHETIC: 40, FRESH: 0}
    assert marks(of(Scheduled(FullySynthetic(), **half))) == {REAL: 0, SYNTHETIC: 1, FRESH: 0}
    assert marks(of(Scheduled(FreshReal(0.5), **twice))) == {REAL: 0, SYNTHETIC: 40, FRESH: 80}
    assert marks(of(Scheduled(AccumulateFresh(0.25), **twice))) == {
        REAL: 10, FRESH: 20, SYNTHETIC: 60,
    }  # fmt: skip
    assert len(of(Scheduled(Subsample(Accumulate(1.0)), **twice)).points) == 80
    with pytest.raises(ArithmeticError, match="40 real points must stay, and there are 10"):
        of(Scheduled(ReplaceFraction(1.0), **twice))


@given(
    k=st.integers(2, 5),
    m=st.integers(0, 40),
    own=st.one_of(st.none(), st.floats(0, 1)),
)
def test_models_take_disjoint_parts_of_each_others_samples(k, m, own):
    """Each model takes m samples, rounded from its shares; no sample is taken twice."""
    regime = Exchange.among(k, Mix(float(m)), own)  # of one real point
    counts = regime.counts(m)
    assert (counts.sum(axis=1) == m).all()
    assert np.abs(counts - m * np.array(regime.mixing)).max() < 1
    drawn = regime.synthetic(1)
    assert drawn == counts.sum(axis=0).max()
    peers = [100.0 * j + np.arange(drawn)[:, None] / 1000 for j in range(k)]
    taken = [regime.taken(peers, i, 1) for i in range(k)]
    for i, points in enumerate(taken):
        origins = np.bincount((points[:, 0] // 100).astype(int), minlength=k)
        np.testing.assert_array_equal(origins, counts[i])
    together = np.concatenate(taken)
    assert len(np.unique(together)) == len(together)


@pytest.mark.parametrize("models", range(2, 12))
def test_how_an_exchange_is_called(models):
    assert str(Exchange.among(models, Mix(1.0))) == f"λ = 1, {models} models exchange"
    own = str(Exchange.among(models, Mix(1.0), 0.75))
    assert own == f"λ = 1, {models} models exchange, own share 0.75"
    assert str(Exchange(Mix(1.0), ((1, 0), (0.5, 0.5)))).endswith("exchange, mixed")


def test_a_mixing_of_ones_own_is_the_regime_itself(rng):
    synthetic = rng.standard_normal((6, 2))
    one = Exchange(Mix(2.0), ((1.0, 0.0), (0.0, 1.0)))
    np.testing.assert_array_equal(one.taken([synthetic, synthetic + 9], 0, 3), synthetic)
    np.testing.assert_array_equal(one.taken([synthetic, synthetic + 9], 1, 3), synthetic + 9)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: AccumulateFresh(1.5), ValueError, r"real_fraction must be in \[0, 1\], got 1.5"),
        (lambda: Scheduled(Mix(1.0), factor=0.0), ValueError, "factor must be finite and > 0"),
        (lambda: Scheduled(Mix(1.0), power=math.inf), ValueError, "power must be finite"),
        (
            lambda: Scheduled(Mix(1.0), factor=10.0).size(100, 8),
            ValueError,
            "data of round 8 would have more than 1,000,000,000 points",
        ),
        (lambda: Exchange.among(1, Mix(1.0)), ValueError, "models must be >= 2, got 1"),
        (lambda: Exchange.among(2, Mix(1.0), own=2.0), ValueError, "own must be in"),
        (lambda: Exchange(Mix(1.0), ((1.0, 0.0),)), ValueError, "must be a square matrix"),
        (lambda: Exchange(Mix(1.0), ((0.5,),)), ValueError, "must have rows with sum 1"),
        (lambda: Exchange(Mix(1.0), ((2.0, -1.0), (0, 1))), ValueError, "numbers >= 0"),
        (
            lambda: Curated(Exchange.among(2, Mix(1.0)), any_reward),
            ValueError,
            "regime must be no Exchange, which goes around the others",
        ),
        (
            lambda: Exchange.among(2, Mix(1.0)).taken([np.zeros(2), np.zeros(3)], 0, 2),
            ArithmeticError,
            "must have equally many real points",
        ),
        (
            lambda: Exchange.among(2, Mix(1.0)).taken([np.zeros(2)], 0, 2),
            ValueError,
            "2 models must see each other, got 1",
        ),
        (lambda: Extrapolated(Mix(1.0), math.nan), ValueError, "must be finite, got nan"),
        (
            lambda: Extrapolated(Extrapolated(Mix(1.0), 1.0), 1.0),
            ValueError,
            "must not extrapolate itself",
        ),
    ],
)
def test_bad_parameters_of_regimes(make, error, message):
    with pytest.raises(error, match=message):
        make()


@given(n=st.integers(2, 100), lam=st.sampled_from([0.5, 1.0, 2.0]), w=st.floats(0.01, 0.99))
def test_weights_give_each_kind_its_share_of_the_loss(n, lam, w):
    data = next_set(Weighted(Mix(lam), w), n)
    weights = data.normalised_weights
    assert weights.sum() == pytest.approx(1)
    assert weights[: data.real].sum() == pytest.approx(w)
    assert np.ptp(weights[: data.real]) == np.ptp(weights[data.real :]) == 0
    np.testing.assert_array_equal(next_set(Mix(lam), n).normalised_weights, 1 / len(data.points))
    assert next_set(Weighted(FullySynthetic(), w), n).weights is None
    chosen = next_set(Subsample(Weighted(Mix(lam), w)), n)
    assert chosen.weights is not None
    for kind, one in ((slice(chosen.real), 0), (slice(chosen.real, None), -1)):
        np.testing.assert_allclose(chosen.weights[kind], weights[one], rtol=1e-14)


@pytest.mark.parametrize("reward", [(0.0, 0.0), (0.0, 1.0), (0.5, -2.0)])
def test_of_two_samples_the_user_picks_by_their_rewards(reward, rng):
    """One sample of each kind in each pair: the second is picked with probability e^{r_2} /
    (e^{r_1} + e^{r_2}).
    """
    pairs = 100_000
    kinds = np.tile([[0.0, 0.0], [1.0, 1.0]], (pairs, 1))
    regime = Curated(FullySynthetic(), lambda x: np.array(reward)[x[:, 0].astype(int)], choices=2)
    assert regime.synthetic(pairs) == 2 * pairs
    picked = next_set(regime, pairs, synthetic=kinds, rng=rng).points[:, 0]
    assert len(picked) == pairs
    p = 1 / (1 + math.exp(reward[0] - reward[1]))
    tail = FALSE_ALARM / 6
    assert binom.ppf(tail, pairs, p) <= picked.sum() <= binom.isf(tail, pairs, p)


def test_of_many_samples_the_picked_follow_the_tilted_law(rng):
    """K → ∞ (Ferbach et al.): p(x) e^{r(x)} / E e^r, on three values."""
    p, r, choices, sets = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, -1.0]), 1000, 4000
    x = rng.choice(3, size=choices * sets, p=p).astype(float)
    picked = next_set(
        Curated(FullySynthetic(), lambda x: r[x[:, 0].astype(int)], choices),
        sets,
        None,
        x[:, None],
        rng,
    )
    tilted = p * np.exp(r) / (p @ np.exp(r))
    share = np.bincount(picked.points[:, 0].astype(int), minlength=3) / sets
    # the law at K is within 2 E|mean of K e^r / E e^r − 1| < 2 sd(e^r)/(E e^r √K) of it
    bias = 2 * np.sqrt(p @ np.exp(2 * r) / (p @ np.exp(r)) ** 2 - 1) / np.sqrt(choices)
    slack = norm.isf(FALSE_ALARM / 12) * np.sqrt(tilted * (1 - tilted) / sets)
    assert (np.abs(share - tilted) < bias + slack).all(), (share, tilted)
    assert np.abs(p - tilted).max() > 3 * (bias + slack.max())  # the tilt is seen


def test_a_verifier_lets_the_first_good_samples_pass():
    regime = Verified(FullySynthetic(), lambda x: x[:, 0] > 0, tries=3)
    assert regime.synthetic(4) == 12
    good = np.array([0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0])
    samples = np.where(good, np.arange(12.0), -1.0)[:, None]
    np.testing.assert_array_equal(next_set(regime, 4, synthetic=samples).points[:, 0], [1, 2, 5, 6])
    samples[:6] = -1
    # too few passed
    np.testing.assert_array_equal(next_set(regime, 4, synthetic=samples).points[:, 0], [6, 7])
    samples[:] = -1
    with pytest.raises(ArithmeticError, match="accepts none of 12 samples"):
        next_set(regime, 4, synthetic=samples)


def test_regimes_compose():
    around = Weighted(Verified(FreshReal(1.0), lambda x: x[:, 0] > 0), 0.5)
    assert around.needs_fresh_real
    assert around.weighted
    assert not Curated(Mix(1.0), any_reward).weighted
    assert marks(next_set(around, 10)) == {REAL: 0, SYNTHETIC: 10, FRESH: 10}
    assert marks(next_set(Curated(Accumulate(1.0), lambda x: x[:, 0], 3), 10)) == {
        REAL: 10,
        SYNTHETIC: 10,
        FRESH: 0,
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Weighted(Mix(1.0), 1.0), r"weight must be in \(0, 1\), got 1.0"),
        (lambda: Weighted(Mix(1.0), math.nan), "weight must be in"),
        (lambda: Curated(Mix(1.0), any_reward, choices=0), "choices must be >= 1, got 0"),
        (lambda: Verified(Mix(1.0), any_reward, tries=0), "tries must be >= 1, got 0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_tell_regimes_apart():
    regimes = [
        Mix(0.5),
        Mix(1.0),
        FullySynthetic(),
        Accumulate(0.5),
        FreshReal(0.5),
        ReplaceFraction(0.5),
    ]
    regimes += [
        Subsample(Mix(0.5)),
        Weighted(Mix(0.5), 0.4),
        Weighted(Mix(0.5), 0.5),
        Curated(Mix(0.5), any_reward),
    ]
    regimes += [
        Curated(Mix(0.5), any_reward, 3),
        Curated(Mix(0.5), np.abs),
        Verified(Mix(0.5), any_reward),
    ]
    assert len({str(regime) for regime in regimes}) == len(regimes)
