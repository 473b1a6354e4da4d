from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chi2

from stability import (
    Accumulate,
    AccumulateFresh,
    Exchange,
    FreshReal,
    FullySynthetic,
    GaussianLearner,
    Mix,
    ReplaceFraction,
    RetrainingError,
    Scheduled,
    Subsample,
    Verified,
    Weighted,
    retrain,
)
from tests.conftest import FALSE_ALARM

CHAINS, DIMENSION, N = 400, 40, 8


def last_error(regime, retrainings, rng, **options):
    """E (μ_T − μ)² over Cramér–Rao, for the mean of a Gaussian with known variance: an average
    of many chains.
    """
    learner = GaussianLearner(CHAINS, DIMENSION, covariance=np.eye(DIMENSION))
    real = [rng.standard_normal((N, DIMENSION)) for _ in range(CHAINS)]
    for _ in retrain(
        learner, real, [regime] * CHAINS, retrainings, seed=int(rng.integers(2**62)), **options
    ):
        pass
    return N * np.mean(learner.mean**2)


def assert_variance(measured, expected, comparisons):
    """measured / expected is χ² over its degrees of freedom, exactly: coordinates of μ_T are
    independent normals.
    """
    freedom = CHAINS * DIMENSION
    tail = FALSE_ALARM / (2 * comparisons)
    low, high = chi2.isf([1 - tail, tail], freedom) / freedom
    assert low < measured / expected < high, f"{measured} against {expected}"


@pytest.mark.parametrize("lam", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("retrainings", [1, 15])
def test_fresh_and_shared_latents_settle_at_different_errors(lam, retrainings, rng):
    # theory S3: (1 + 3λ)/(1 + 2λ), its excess over 1 short of 1 − ρ^{2t};   S7: 1 + λ, with z̄
    # entering as λ(1 − ρ^t)
    rho = lam / (1 + lam)
    fresh = last_error(Mix(lam), retrainings, rng, latents="fresh")
    shared = last_error(Mix(lam), retrainings, rng, latents="shared")
    assert_variance(fresh, 1 + lam / (1 + 2 * lam) * (1 - rho ** (2 * retrainings)), comparisons=12)
    assert_variance(shared, 1 + lam * (1 - rho**retrainings) ** 2, comparisons=12)


def test_the_stationary_errors_are_told_apart(rng):
    """Negative control: the check above rejects one law where the other holds."""
    shared = last_error(Mix(1.0), 15, rng, latents="shared")
    with pytest.raises(AssertionError):
        assert_variance(shared, 4 / 3, comparisons=1)


def test_other_regimes_have_their_own_errors(rng):
    # theory S4: fresh real data (1 + λ)/(1 + 2λ); accumulate Σ 1/k²; replace t + 1
    assert_variance(last_error(FreshReal(1.0), 15, rng, fresh=normal), 2 / 3, comparisons=3)
    expected = sum(1 / k**2 for k in range(1, 8))
    assert_variance(last_error(Accumulate(1.0), 6, rng), expected, comparisons=3)
    assert_variance(last_error(FullySynthetic(), 6, rng), 7.0, comparisons=3)


def normal(n, rng):
    return rng.standard_normal((n, DIMENSION))


def run(regimes, retrainings=4, n=20, seed=3, **options):
    learner = GaussianLearner(len(regimes), 2)
    real = [np.random.default_rng(0).standard_normal((n, 2)) for _ in regimes]
    return list(retrain(learner, real, regimes, retrainings, seed=seed, **options)), learner


def test_generation_zero_sees_real_data_alone():
    generations, _ = run([Mix(0.5), FullySynthetic()])
    assert [generation.t for generation in generations] == [0, 1, 2, 3, 4]
    assert [(data.real, data.synthetic) for data in generations[0].training] == [(20, 0), (20, 0)]
    assert [(data.real, data.synthetic) for data in generations[1].training] == [(20, 10), (0, 20)]


def test_the_next_fit_sees_the_samples_of_this_generation():
    generations, _ = run([Mix(0.5), FullySynthetic(), Accumulate(1.0)], draws=25)
    for before, after in pairwise(generations):
        assert [len(x) for x in before.samples] == [25, 25, 25]
        np.testing.assert_array_equal(after.training[0].points[20:], before.samples[0][:10])
        np.testing.assert_array_equal(after.training[1].points, before.samples[1][:20])
        np.testing.assert_array_equal(after.training[2].points[-20:], before.samples[2][:20])


def test_draws_for_watchers_change_nothing():
    without, with_draws = (run([Mix(0.5), Mix(1.0)], draws=draws)[1].mean for draws in (0, 100))
    np.testing.assert_array_equal(without, with_draws)


def test_a_chain_does_not_depend_on_the_chains_beside_it():
    _, alone = run([Mix(0.5)])
    _, beside = run([Mix(2.0), Mix(0.5), FullySynthetic()], streams=[7, 0, 1])
    np.testing.assert_array_equal(alone.mean[0], beside.mean[1])


def test_equal_replicas_share_their_random_numbers():
    generations, _ = run([Mix(0.0), Mix(0.0), Mix(0.0)], streams=[0, 0, 1], draws=5)
    one, two, other = generations[-1].samples
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("stop", [0, 1, 3])
@pytest.mark.parametrize("latents", ["fresh", "shared"])
def test_going_on_after_a_generation_equals_not_stopping(stop, latents):
    regimes = [Mix(0.5), Accumulate(1.0), FullySynthetic(), FreshReal(1.0), ReplaceFraction(0.5)]
    regimes += [Subsample(Accumulate(1.0)), Weighted(FreshReal(1.0), 0.6), AccumulateFresh(0.3)]
    regimes += [Scheduled(Mix(0.5), 1.5), Scheduled(FreshReal(0.5), 0.7)]
    # streams 10 and 11
    regimes += [Exchange.among(2, Mix(0.5), 0.3)] * 2
    options = {"latents": latents, "fresh": lambda n, rng: rng.standard_normal((n, 2)), "draws": 3}
    whole, uninterrupted = run(regimes, **options)
    _, learner = run(regimes, retrainings=stop, **options)
    real = [np.random.default_rng(0).standard_normal((20, 2)) for _ in regimes]
    rest = list(retrain(learner, real, regimes, 4, seed=3, after=whole[stop], **options))
    assert [generation.t for generation in rest] == list(range(stop + 1, 5))
    np.testing.assert_array_equal(learner.mean, uninterrupted.mean)
    for one, two in zip(rest[-1].samples, whole[-1].samples, strict=True):
        np.testing.assert_array_equal(one, two)


def test_each_generation_draws_what_the_next_round_takes():
    regimes = [Scheduled(FullySynthetic(), 2.0), Scheduled(Mix(1.0), power=1.0)]
    generations, _ = run(regimes)
    for generation in generations:
        sizes = [len(x) for x in generation.samples]
        assert sizes == [20 * 2 ** (generation.t + 1), 20 * (generation.t + 2)]
        if generation.t:
            assert [data.synthetic for data in generation.training] == [
                20 * 2**generation.t, 20 * (generation.t + 1),
            ]  # fmt: skip


def test_models_of_a_population_train_on_each_others_samples():
    """Its own half, and half of its neighbour's that the neighbour does not use."""
    generations, _ = run([Exchange.among(2, Mix(1.0))] * 4)
    for before, after in pairwise(generations):
        for r, data in enumerate(after.training):
            half = slice(0, 10) if r % 2 == 0 else slice(10, 20)
            pair = before.samples[r - r % 2 : r - r % 2 + 2]
            expected = np.concatenate([pair[0][half], pair[1][half]])
            np.testing.assert_array_equal(data.points[20:], expected)


@pytest.mark.parametrize("streams", [[0, 2], [1, 2], [0, 0], [0]])
def test_a_population_that_is_not_whole_is_refused(streams):
    with pytest.raises(ValueError, match="needs the 2 chains with streams"):
        run([Exchange.among(2, Mix(1.0))] * len(streams), streams=streams)


class Recorder(GaussianLearner):
    """Notes when it is reset, and draws its initial mean, from which `fit` moves half of the
    way.
    """

    def __init__(self):
        super().__init__(1, 1, covariance=np.eye(1))
        self.starts = []

    def reset(self, rngs):
        self.mean = np.stack([rng.standard_normal(1) for rng in rngs])
        self.starts.append(self.mean.item())

    def fit(self, datasets, rngs):
        self.mean = (self.mean + np.stack([data.points.mean(axis=0) for data in datasets])) / 2


@pytest.mark.parametrize(("from_scratch", "resets"), [(False, 1), (True, 4)])
def test_from_scratch_starts_each_fit_from_new_parameters(from_scratch, resets, rng):
    learner = Recorder()
    real = [rng.standard_normal((10, 1))]
    for _ in retrain(learner, real, [Mix(1.0)], 3, seed=0, from_scratch=from_scratch):
        pass
    assert len(set(learner.starts)) == resets


class Broken(GaussianLearner):
    """Returns what `damage` makes of its samples from generation 2 on."""

    def __init__(self, damage):
        super().__init__(1, 2)
        self.damage, self.fits = damage, 0

    def fit(self, datasets, rngs):
        super().fit(datasets, rngs)
        self.fits += 1

    def sample(self, counts, rngs):
        samples = super().sample(counts, rngs)
        return self.damage(samples) if self.fits == 3 else samples


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda samples: [x[:, :1] for x in samples],
            r"generation 2: .* shape \(10, 1\) for chain 0, expected \(10, 2\)",
        ),
        (lambda samples: [x[1:] for x in samples], r"generation 2: .* shape \(9, 2\)"),
        (lambda samples: [x * np.inf for x in samples], "generation 2: .* NaN or Inf for chain 0"),
        (lambda samples: [], "generation 2: the learner returned 0 sets of samples for 1 chains"),
    ],
)
def test_a_learner_that_goes_wrong_is_named_with_its_generation(damage, message, rng):
    generations = retrain(Broken(damage), [rng.standard_normal((10, 2))], [Mix(1.0)], 5, seed=0)
    assert [next(generations).t, next(generations).t] == [0, 1]
    with pytest.raises(RetrainingError, match=message):
        next(generations)


def test_a_training_set_that_cannot_be_made_names_its_generation(rng):
    generations = retrain(
        GaussianLearner(1, 1),
        [rng.standard_normal((10, 1))],
        [Verified(Mix(1.0), lambda x: x[:, 0] > 99)],
        3,
        seed=0,
    )
    next(generations)
    with pytest.raises(RetrainingError, match=r"generation 1: .*accepts none of 40 samples"):
        next(generations)


def test_weights_are_given_only_to_a_learner_that_takes_them(monkeypatch):
    arguments: dict = GOOD | {"real": [np.eye(2)], "regimes": [Weighted(Mix(1.0), 0.5)]}
    list(retrain(GaussianLearner(1, 2), **arguments))
    monkeypatch.delattr(GaussianLearner, "weighs")
    with pytest.raises(
        ValueError, match="weights its points, which GaussianLearner does not support"
    ):
        retrain(GaussianLearner(1, 2), **arguments)


GOOD = {"real": [np.ones((3, 2))], "regimes": [Mix(1.0)], "generations": 1, "seed": 0}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"real": [np.ones((0, 2))]}, r"at least one point, got shape \(0, 2\) for chain 0"),
        ({"real": [np.array([[1.0, np.nan]])]}, "finite, got NaN or Inf in chain 0"),
        (
            {"real": [np.ones((3, 2))] * 2},
            "real must have one entry for each of the 1 chains, got 2",
        ),
        ({"regimes": []}, "regimes must have one entry"),
        ({"streams": [0, 1]}, "streams must have one entry"),
        ({"generations": -1}, "generations must be >= 0, got -1"),
        ({"draws": -2}, "draws must be >= 0, got -2"),
        ({"latents": "frozen"}, "latents must be one of .* got 'frozen'"),
        ({"regimes": [FreshReal(1.0)]}, "draws new real data each round: pass fresh="),
    ],
)
def test_bad_arguments_are_refused_before_any_work(bad, message):
    with pytest.raises(ValueError, match=message):
        retrain(GaussianLearner(1, 2), **(GOOD | bad))  # not iterated
