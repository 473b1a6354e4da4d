"""Objects with fit and sample as learners: scikit-learn's, tables, and those that are refused."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from threadpoolctl import threadpool_info, threadpool_limits

from stability.loop.capabilities import HasLogProb, uses_weights
from stability.loop.estimator_learner import from_estimator
from stability.loop.regimes import FullySynthetic, Mix, TrainingSet, Weighted
from stability.loop.retraining import RetrainingError, retrain
from stability.loop.streams import Purpose, stream
from stability.runs.state_file import read_state, write_state
from stability.runs.table_schema import TableSchema
from tests.conftest import FALSE_ALARM


def mixture(seed):
    return GaussianMixture(2, max_iter=10_000, tol=0.01, random_state=seed)


def kernels(seed):
    return KernelDensity(bandwidth=0.3)


def streams(chains, t=0, seed=0):
    return [stream(seed, Purpose.SAMPLE, r, t) for r in range(chains)]


def two_groups(n, rng):
    return np.concatenate([rng.normal(-10, 1, (n // 2, 1)), rng.normal(10, 1, (n - n // 2, 1))])


class OwnSeed:
    """As many people write it: its draws cannot be repeated, and come with labels, by group."""

    def fit(self, x):
        return self

    def sample(self, n):
        return two_groups(n, np.random.default_rng()), np.repeat([0, 1], (n // 2, n - n // 2))


class FixedSeed:
    def fit(self, x):
        return self

    def sample(self, n):
        return np.random.default_rng(7).normal(size=(n, 1))


class PerCoordinate:
    def fit(self, x):
        return self

    def sample(self, n, seed):
        return np.random.default_rng(seed).normal(size=(n, 3))

    def log_prob(self, x):
        return -0.5 * x**2


class OneShort:
    def fit(self, x):
        return self

    def sample(self, n, seed):
        return np.random.default_rng(seed).normal(size=(n - 1, 1))


class FixedTable:
    """A synthesizer of tables: rows of its training table, drawn at random."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, table):
        assert isinstance(table, pd.DataFrame)
        self.table = table

    def sample(self, num_rows, seed):
        return self.table.sample(num_rows, replace=True, random_state=np.random.default_rng(seed))


def test_a_mixture_runs_under_three_regimes_and_keeps_its_law_where_real_data_stay(rng):
    real = [rng.standard_normal((400, 2))] * 3
    regimes = [Mix(0.5), Mix(1.0), FullySynthetic()]
    learner = from_estimator(mixture)(3)
    seen = list(retrain(learner, real, regimes, 3, seed=0, streams=[0, 0, 0], draws=400))
    assert [generation.samples[0].shape for generation in seen] == [(400, 2)] * 4
    assert len(learner.models) == 3
    # chains of one stream have the same model in generation 0, and so the same draws
    np.testing.assert_array_equal(seen[0].samples[0], seen[0].samples[2])
    assert not np.array_equal(seen[1].samples[0], seen[1].samples[2])


@pytest.mark.parametrize("factory", [mixture, kernels])
def test_a_run_that_is_resumed_equals_the_one_that_was_not(factory, rng, tmp_path):
    real = [rng.standard_normal((80, 2))] * 2
    regimes = [Mix(1.0), FullySynthetic()]
    whole = list(retrain(from_estimator(factory)(2), real, regimes, 4, seed=3))

    first = from_estimator(factory)(2)
    begun = list(retrain(first, real, regimes, 2, seed=3))
    write_state(tmp_path / "state.pt", first.state_dict())
    again = from_estimator(factory)(2)
    again.load_state_dict(read_state(tmp_path / "state.pt"))
    rest = list(retrain(again, real, regimes, 4, seed=3, after=begun[-1]))
    for one, two in zip(whole[3:], rest, strict=True):
        for x, y in zip(one.samples, two.samples, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("factory", [mixture, kernels])
def test_an_object_comes_back_from_its_state(factory, rng, tmp_path):
    learner = from_estimator(factory)(2)
    data = [TrainingSet(rng.standard_normal((60, 2)), 60) for _ in range(2)]
    learner.fit(data, streams(2))
    write_state(tmp_path / "state.pt", learner.state_dict())
    back = from_estimator(factory)(2)
    back.load_state_dict(read_state(tmp_path / "state.pt"))
    for x, y in zip(
        learner.sample([90, 10], streams(2, 1)), back.sample([90, 10], streams(2, 1)), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def test_arrays_are_kept_where_the_object_says_that_they_are_all(rng):
    data = [TrainingSet(rng.standard_normal((60, 2)), 60)]
    by_arrays, by_refit = from_estimator(mixture)(1), from_estimator(kernels)(1)
    for learner in (by_arrays, by_refit):
        learner.fit(data, streams(1))
    assert "means_" in by_arrays.state_dict()["chains"][0]["attributes"]
    assert "points" in by_refit.state_dict()["chains"][0]  # a tree is no array


def test_draw_i_does_not_depend_on_how_many_follow(rng):
    learner = from_estimator(mixture)(1)
    learner.fit([TrainingSet(two_groups(200, rng), 200)], streams(1))
    (many,), (few,) = learner.sample([700], streams(1, 1)), learner.sample([300], streams(1, 1))
    np.testing.assert_array_equal(many[:300], few)


def test_rows_that_come_grouped_are_shuffled(rng):
    means = [[-10.0], [10.0]]
    learner = from_estimator(lambda s: GaussianMixture(2, means_init=means, random_state=s))(1)
    learner.fit([TrainingSet(two_groups(400, rng), 400)], streams(1))
    (x,) = learner.sample([2000], [rng])
    right = x[:, 0] > 0
    # of 1000 independent rows the share in a group is within 0.1 but for 2 exp(-2 · 1000 · 0.01)
    assert abs(right[:1000].mean() - 0.5) < 0.1
    model = learner.models[0]
    assert (model.sample(2000)[0][:500, 0] > 0).mean() in (0, 1)  # as scikit-learn gives them


def test_rows_with_labels_are_used_without_the_labels(rng):
    learner = from_estimator(lambda seed: OwnSeed())(1)
    learner.fit([TrainingSet(two_groups(200, rng), 200)], [rng])
    with pytest.warns(UserWarning, match=r"sample\(\) of OwnSeed takes no seed"):
        (x,) = learner.sample([200], [rng])
    assert x.shape == (200, 1)
    # 100 of a shuffled block with 128 rows of each group are all of one with probability 1e-44
    assert 0 < (x[:100] > 0).sum() < 100


def test_a_fixed_seed_inside_is_found_out(rng):
    learner = from_estimator(lambda seed: FixedSeed())(1)
    with pytest.raises(RetrainingError, match=r"FixedSeed gives the same rows on each call"):
        list(retrain(learner, [rng.normal(size=(50, 1))], [Mix(1.0)], 1, seed=0))


def test_a_law_with_one_or_two_values_is_not_taken_for_a_fixed_seed(rng):
    class Coin:
        def __init__(self, p):
            self.p = p

        def fit(self, x):
            return self

        def sample(self, n, seed):
            return (np.random.default_rng(seed).random((n, 1)) < self.p).astype(float)

    for p in (0.0, 1e-3, 0.5):
        learner = from_estimator(lambda seed, p=p: Coin(p))(1)
        learner.fit([TrainingSet(np.zeros((3, 1)), 3)], [rng])
        assert learner.sample([5], [rng])[0].shape == (5, 1)


def test_log_prob_must_give_one_number_a_row(rng):
    learner = from_estimator(lambda seed: PerCoordinate())(1)
    assert isinstance(learner, HasLogProb)
    learner.fit([TrainingSet(np.zeros((3, 3)), 3)], [rng])
    with pytest.raises(ArithmeticError, match=r"log_prob gave \(50, 3\), want \(50,\)"):
        learner.log_prob([np.zeros((50, 3))])


def test_log_prob_is_that_of_scikit_learn_and_only_where_there_is_one(rng):
    learner = from_estimator(mixture)(1)
    assert isinstance(learner, HasLogProb)
    x = rng.standard_normal((100, 2))
    learner.fit([TrainingSet(x, 100)], streams(1))
    (value,) = learner.log_prob([x[:7]])
    np.testing.assert_allclose(value, learner.models[0].score_samples(x[:7]), rtol=1e-12)
    assert not isinstance(from_estimator(lambda seed: OwnSeed())(1), HasLogProb)


def test_another_number_of_rows_than_asked_is_refused(rng):
    learner = from_estimator(lambda seed: OneShort())(1)
    with pytest.raises(RetrainingError, match="was asked for 64 rows and returned 63"):
        list(retrain(learner, [rng.normal(size=(50, 1))], [Mix(1.0)], 1, seed=0))


def test_weights_reach_an_object_that_takes_them(rng):
    assert uses_weights(from_estimator(kernels)(1))
    assert not uses_weights(from_estimator(mixture)(1))
    real = [rng.standard_normal((40, 1))]
    plain, weighted = (
        list(retrain(from_estimator(kernels)(1), real, [regime], 1, seed=0))[-1].samples[0]
        for regime in (Mix(1.0), Weighted(Mix(1.0), 0.99))
    )
    assert not np.array_equal(plain, weighted)
    with pytest.raises(ValueError, match="which _EstimatorWithDensity does not support"):
        retrain(from_estimator(mixture)(1), real, [Weighted(Mix(1.0), 0.9)], 1, seed=0)


def test_a_synthesizer_of_tables_sees_tables(rng):
    table = {"x": rng.normal(size=60), "city": rng.choice(["Bern", "Chur"], 60).tolist()}
    schema = TableSchema.of(table)
    learner = from_estimator(FixedTable, schema=schema)(2)
    regimes = [Mix(1.0), FullySynthetic()]
    *_, last = retrain(learner, [schema.encode(table)] * 2, regimes, 2, seed=0)
    back = schema.decode(last.samples[1])
    assert set(back["city"]) <= {"Bern", "Chur"}
    assert np.isin(np.round(back["x"], 9), np.round(table["x"], 9)).all()


def test_a_fit_that_fails_names_the_generation_and_the_chain():
    class Fails(FixedSeed):
        def fit(self, x):
            raise ValueError("the covariance is singular")

    with pytest.raises(RetrainingError, match="generation 0: the fit of chain 0 failed: the cov"):
        list(retrain(from_estimator(lambda s: Fails())(1), [np.zeros((5, 1))], [Mix(1)], 1, seed=0))


def test_a_fit_may_change_its_points_in_place(rng):
    """They are a copy: real data, the loop and the state keep theirs."""

    class Centres(OwnSeed):
        def fit(self, x):
            x -= 100.0
            return self

    real = rng.standard_normal((50, 1))
    before = real.copy()
    learner = from_estimator(lambda seed: Centres())(1)
    with pytest.warns(UserWarning, match="takes no seed"):
        next(iter(retrain(learner, [real], [Mix(1.0)], 0, seed=0)))
    np.testing.assert_array_equal(real, before)
    np.testing.assert_array_equal(learner.state_dict()["chains"][0]["points"], before)


def test_a_seed_inside_the_loop_is_that_of_the_loop(rng):
    """Two seeds of a study differ, and one repeats itself."""
    real = [rng.standard_normal((50, 2))]

    def samples(seed):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return list(retrain(from_estimator(mixture)(1), real, [Mix(1.0)], 2, seed=seed))[-1]

    np.testing.assert_array_equal(samples(1).samples[0], samples(1).samples[0])
    assert not np.array_equal(samples(1).samples[0], samples(2).samples[0])


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (mixture(0), "factory must be a function seed -> object, got GaussianMixture"),
        (lambda seed: object(), r"factory\(0\) must have a method fit, got object without it"),
        (lambda seed: GaussianMixture, r"factory\(0\) must be an instance, got the class Gauss"),
    ],
)
def test_what_is_no_factory_is_refused(factory, message):
    with pytest.raises(TypeError, match=message):
        from_estimator(factory)


def test_what_a_recipe_says_of_itself():
    data = from_estimator(mixture).as_data()
    assert data["estimator"] == "sklearn.mixture._gaussian_mixture.GaussianMixture"
    assert data["params"]["n_components"] == "2"
    assert "random_state" not in data["params"]


def test_a_class_of_a_file_of_ones_own_is_the_same_however_the_file_is_started():
    def described(module):
        mine = type("Mine", (FixedSeed,), {"__module__": module})
        return from_estimator(lambda seed: mine()).as_data()

    assert described("__main__") == described("study") == described("study_script")
    assert described("package.mine") != described("study")


def test_a_false_alarm_about_repeated_draws_is_rarer_than_the_tests_allow():
    from stability.loop.block_sampling import CHANCE

    assert CHANCE <= FALSE_ALARM


class SeesThreads:
    """Reports how many threads the linear algebra may use while it fits, samples and evaluates."""

    def __init__(self):
        self.seen = []

    def look(self):
        self.seen.append(max(library["num_threads"] for library in threadpool_info()))

    def fit(self, x):
        self.look()
        return self

    def sample(self, n, seed):
        self.look()
        return np.random.default_rng(seed).normal(size=(n, 1))

    def log_prob(self, x):
        self.look()
        return -0.5 * x[:, 0] ** 2


@pytest.mark.parametrize("threads", [1, 2])
def test_an_object_uses_the_threads_that_the_recipe_says(threads):
    learner = from_estimator(lambda seed: SeesThreads(), threads=threads)(1)
    assert isinstance(learner, HasLogProb)
    with threadpool_limits(3):
        learner.fit([TrainingSet(np.zeros((4, 1)), 4)], streams(1))
        learner.sample([3], streams(1))
        learner.log_prob([np.zeros((2, 1))])
        assert set(learner.models[0].seen) == {threads}
        assert max(library["num_threads"] for library in threadpool_info()) == 3


def test_a_number_of_threads_below_one_is_refused():
    with pytest.raises(ValueError, match="threads must be >= 1, got 0"):
        from_estimator(mixture, threads=0)
