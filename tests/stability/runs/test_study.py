"""A study of a learner of one's own: recorded, resumed, opened from its folder."""

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stability import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    GaussianLearner,
    Mix,
    Pool,
    Result,
    RetrainingError,
    RunDirectoryError,
    Study,
)
from stability.runs import study as study_module
from stability.runs.observer import Floor, Quantity
from tests.support.kernels import Blur, Means

ROWS = [Mix(0.5), FullySynthetic()]


def law(n, rng):
    return rng.standard_normal((n, 2))


def make(out, **changes):
    options = {
        "learner": Blur, "real": law, "samples": 30, "regimes": ROWS, "seeds": 2,
        "generations": 3, "observers": [Means()], "threads": 1,
    }  # fmt: skip
    return Study(**options | {"out": out} | changes)


def contents(folder):
    """The files that two equal runs share, byte for byte."""
    names = ["history.jsonl", "study.json", *(f"samples/generation-{t:04d}.npz" for t in range(4))]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "run"
    make(folder).run()
    return folder


def test_a_run_is_recorded_and_opened_from_its_folder_alone(whole):
    result = Result.open(whole)
    assert result.finished
    assert list(result.history.rows) == ["λ = 0.5", "fully synthetic"]
    assert result.history.regimes == ROWS
    counts = [(c.regime, c.seed, c.n, c.m) for c in result.history[2].chains]
    assert counts == [(Mix(0.5), s, 30, 15) for s in (0, 1)] + [
        (FullySynthetic(), s, 0, 30) for s in (0, 1)
    ]
    drawn = result.samples(generation=2, regime=Mix(0.5), seed=1)
    recorded = result.history[2].chains[1].measured["mean"]
    assert isinstance(drawn, np.ndarray)
    truth = law(30, study_module.stream(0, study_module.Purpose.TRUTH, 1, 2))
    assert recorded == pytest.approx(np.linalg.norm(drawn[:30].mean(0) - truth.mean(0)), rel=1e-12)
    assert [q.key for q in result.shown()] == ["mean"]
    floor = result.floor("mean")
    assert floor.draws == 32
    assert 0 < floor.mean < 1
    assert np.isnan(result.floor("hidden").mean)


@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(stopped, whole, tmp_path):
    """An exception in an observer, as a kill between two records."""

    class Stopping(Means):
        def __call__(self, view):
            if view.t > stopped:
                raise KeyboardInterrupt
            return super().__call__(view)

    Stopping.__qualname__ = "Means"  # the configuration names observers
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "run", observers=[Stopping()]).run()
    assert len(Result.open(tmp_path / "run").history) == stopped + 1
    assert not Result.open(tmp_path / "run").finished
    make(tmp_path / "run").run()
    assert contents(tmp_path / "run") == contents(whole)


def test_max_hours_ends_cleanly_and_the_same_study_goes_on(whole, tmp_path):
    said = []
    result = make(tmp_path / "run", max_hours=1e-9, say=said.append).run()
    assert len(result.history) == 1
    assert "stopped after generation 0 of 3" in result.stopped
    assert said[0].startswith(f"run: {tmp_path / 'run'}; disk: about ")
    assert said[-1] == result.stopped
    assert make(tmp_path / "run").run().finished
    assert contents(tmp_path / "run") == contents(whole)


def test_a_trained_learner_comes_back(tmp_path):
    result = make(tmp_path / "run", keep="all").run()
    for t in range(4):
        learner = result.learner(generation=t)
        for points, chain in zip(learner.points, result.history[t].chains, strict=True):
            assert len(points) == chain.n + chain.m
    alone = Result.open(tmp_path / "run")
    with pytest.raises(ValueError, match="into must be a new learner"):
        alone.learner()
    assert len(alone.learner(generation=0, into=Blur(4)).points[0]) == 30


@pytest.mark.parametrize(
    ("keep", "keep_samples", "checkpoints", "samples"),
    [
        ("2", "all", [2, 3], [0, 1, 2, 3]),
        ("all", "2", [0, 1, 2, 3], [2, 3]),
        ("every:3", "every:2", [0, 2, 3], [0, 2, 3]),
        ("3", "3", [1, 2, 3], [1, 2, 3]),
    ],
)
def test_what_is_kept(keep, keep_samples, checkpoints, samples, tmp_path):
    result = make(tmp_path / "run", keep=keep, keep_samples=keep_samples).run()
    numbers = [int(p.stem.split("-")[1]) for p in (tmp_path / "run" / "checkpoints").glob("*.pt")]
    assert sorted(numbers) == checkpoints
    assert result.sample_generations == samples
    lost = sorted({0, 1} - set(checkpoints))
    if lost:
        with pytest.raises(RunDirectoryError, match="was not kept"):
            result.learner(generation=lost[0])
    make(tmp_path / "run", keep=keep, keep_samples=keep_samples).run()  # no warning of lost samples


def test_another_configuration_is_refused(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    for change, words in (
        ({"generations": 4}, "retrainings = 3, not 4"),
        ({"regimes": [Mix(0.5), Mix(1.0)]}, "regimes"),
        ({"config": {"width": 3}}, "width"),
        ({"latents": "shared"}, "latents"),
    ):
        with pytest.raises(RunDirectoryError, match=words):
            make(tmp_path / "run", **change).run()
    make(tmp_path / "run", threads=2, keep="all").run()  # they do not decide the result


def test_arrays_are_known_by_their_content(tmp_path, rng):
    x = rng.standard_normal((40, 2))
    make(tmp_path / "run", real=x, truth=x[:20], samples=None).run()
    with pytest.raises(RunDirectoryError, match=r"content of .*real"):
        make(tmp_path / "run", real=x + 1, truth=x[:20], samples=None).run()


def test_a_real_set_is_the_same_for_all_seeds_or_drawn_for_each(tmp_path, rng):
    x = rng.standard_normal((50, 2))
    seen = {}
    for name, real in (("array", x), ("pool", Pool(x)), ("boot", Pool(x, bootstrap=True))):
        data = make(tmp_path, real=real, truth=x, samples=30).data
        seen[name] = [data.real_of(s) for s in (0, 1)]
        words = {"array": "the same", "pool": "drawn from a pool", "boot": "bootstrapped"}[name]
        assert words in data.covers
    assert np.array_equal(*seen["array"])
    for name in ("pool", "boot"):
        assert not np.array_equal(*seen[name])
        assert all((point == x).all(1).any() for half in seen[name] for point in half)
    assert all(len(np.unique(half, axis=0)) == 30 for half in seen["pool"])
    # 30 of 50 with replacement are all different with probability 50!/20!/50^30 < 1e-6
    assert all(len(np.unique(half, axis=0)) < 30 for half in seen["boot"])


def test_fresh_data_come_from_a_pool_or_a_law_and_not_from_an_array(tmp_path, rng):
    x = rng.standard_normal((200, 2))
    with pytest.raises(ValueError, match="real must be a Pool or a function"):
        make(tmp_path / "a", real=x, samples=None, regimes=[FreshReal(1.0)])
    with pytest.raises(ValueError, match="real must have at least 240 points, of which 180 are"):
        make(tmp_path / "a", real=Pool(x), samples=60, regimes=[FreshReal(1.0)])

    class Seen(Means):
        sets: list = []  # noqa: RUF012

        def __call__(self, view):
            self.sets.append(view.training.points[: view.training.real])
            return super().__call__(view)

    make(tmp_path / "b", real=Pool(x), regimes=[FreshReal(1.0)], observers=[Seen()], seeds=1).run()
    points = np.concatenate(Seen.sets)
    assert len(points) == 4 * 30
    assert len(np.unique(points, axis=0)) == 4 * 30  # never the same point twice


def test_floors_of_an_array_are_of_disjoint_sets_or_unknown(tmp_path, rng):
    x = rng.standard_normal((20, 2))
    with pytest.warns(UserWarning, match="no noise floor of mean, hidden: 20 true points"):
        result = make(tmp_path / "few", real=x, samples=None, draws=20).run()
    assert np.isnan(result.floor("mean").mean)
    enough = make(tmp_path / "enough", real=x, truth=x + 1e-3, samples=None).run()
    assert enough.floor("mean").mean > 0


def test_an_observer_can_state_its_floor(tmp_path):
    class Stated(Means):
        def floor(self, truth, n, rng) -> Any:
            return {"mean": Floor(0.5, 0.1)}

    assert make(tmp_path / "run", observers=[Stated()]).run().floor("mean") == Floor(0.5, 0.1)


def test_numbers_that_are_not_finite_are_recorded(tmp_path):
    class Odd(Means):
        def __call__(self, view):
            return {"mean": float("inf"), "hidden": float("nan")}

    result = make(tmp_path / "run", observers=[Odd()]).run()
    assert result.history.values("mean")["λ = 0.5"][0, 0] == np.inf
    assert np.isnan(result.history.values("hidden")["λ = 0.5"]).all()


def test_a_run_that_blows_up_can_be_opened(tmp_path):
    class Huge(Means):
        def __call__(self, view):
            return {"mean": 1e150, "hidden": -1e150}

    make(tmp_path / "run", observers=[Huge()]).run()
    history = Result.open(tmp_path / "run").history
    assert history.values("mean")["λ = 0.5"][0, 0] == np.inf  # too large to be drawn
    assert history.values("hidden")["λ = 0.5"][0, 0] == -np.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "seeds must be >= 1, got 0"),
        ({"generations": -1}, "generations must be >= 0, got -1"),
        ({"regimes": []}, "regimes must have at least one"),
        ({"keep": "some"}, "keep must be all, a number >= 2 .* got 'some'"),
        ({"keep_samples": "1"}, "keep_samples must be all"),
        ({"samples": None}, "samples must be given where real is a function"),
        ({"observers": [Means(), Means()]}, "observers must not measure 'mean' twice"),
        ({"labels": [{}]}, "labels must have one entry for each of the 2 regimes"),
    ],
)
def test_bad_arguments_are_named_without_dashes(change, message, tmp_path):
    with pytest.raises(ValueError, match=message) as refused:
        make(tmp_path / "run", **change)
    assert "--" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_learner_without_a_method_is_refused(tmp_path):
    class NoState:
        chains = 4

        def reset(self, rngs): ...
        def fit(self, datasets, rngs): ...
        def sample(self, counts, rngs): ...

    with pytest.raises(TypeError, match="learner must have a method state_dict"):
        make(tmp_path / "run", learner=NoState()).run()
    assert not (tmp_path / "run").exists()


def test_the_learner_may_be_an_object_or_a_function(tmp_path):
    one = make(tmp_path / "one", learner=GaussianLearner(4, 2)).run()
    two = make(tmp_path / "two", learner=lambda chains: GaussianLearner(chains, 2)).run()
    for line, other in zip(one.history, two.history, strict=True):
        assert line == other


def test_a_failure_names_the_generation_and_keeps_the_ones_before(tmp_path):
    class Failing(Blur):
        def fit(self, datasets, rngs):
            if len(datasets[0].points) > 30:
                raise FloatingPointError("chain 0: step 1: the loss is nan")
            super().fit(datasets, rngs)

    with pytest.raises(RetrainingError, match="generation 1: chain 0"):
        make(tmp_path / "run", learner=Failing).run()
    assert len(Result.open(tmp_path / "run").history) == 1


def test_frame_trends_page_and_notebook(whole, tmp_path):
    pandas = pytest.importorskip("pandas")
    result = Result.open(whole)
    frame = result.frame()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 4 * 4 * 2
    one = frame[(frame.generation == 3) & (frame["lambda"] == 0.5) & (frame.quantity == "mean")]
    assert sorted(one.value) == sorted(c.measured["mean"] for c in result.history[3].chains[:2])
    trends = result.trends()
    assert [(row.row, row.quantity) for row in trends.rows] == [
        ("λ = 0.5", "mean"),
        ("fully synthetic", "mean"),
    ]
    assert "at most 0.05" in str(trends).replace("\n", " ")
    assert "<table>" in trends._repr_html_()
    assert "fully synthetic" in result._repr_html_()
    page = result.report(tmp_path / "page.html").read_text(encoding="utf-8")
    for words in ("Distance of the mean", "fully synthetic", "data:image/svg", "Trends", "t = 3"):
        assert words in page
    assert 'src="http' not in page
    assert "href=" not in page
    assert len(result.plot().axes) == 1


def test_without_pandas_there_are_records(whole, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    frame = Result.open(whole).frame()
    assert frame[0] | {"value": 0} == {
        "generation": 0, "regime": "λ = 0.5", "lambda": 0.0, "seed": 0, "n": 30, "m": 0,
        "quantity": "mean", "value": 0,
    }  # fmt: skip


def test_a_damaged_study_file_is_made_again(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    file = tmp_path / "run" / "study.json"
    file.write_text(file.read_text().replace('"generations": 3', '"generations": 4'))
    with pytest.warns(UserWarning, match=r"study.json is damaged; it is made again"):
        make(tmp_path / "run").run()
    assert contents(tmp_path / "run") == contents(whole)


def test_it_reads_while_another_process_writes(whole):
    """Without the lock."""
    import filelock

    with filelock.FileLock(whole / ".lock"):
        assert Result.open(whole).finished


def test_unknown_rows_generations_and_quantities(whole):
    result = Result.open(whole)
    with pytest.raises(KeyError, match=r"there are λ = 0.5, fully synthetic"):
        result.samples(regime=Accumulate(1.0))
    with pytest.raises(IndexError, match="generation must be from 0 to 3, got 4"):
        result.samples(generation=4)
    with pytest.raises(KeyError, match="'w9' is not measured"):
        result.plot(["w9"])


def test_no_observers_is_a_run_without_tables(tmp_path):
    result = make(tmp_path / "run", observers=[]).run()
    assert result.report().exists()
    with pytest.raises(ValueError, match="nothing was measured"):
        result.trends()


def test_regimes_of_ones_own_are_recorded_by_name(tmp_path):
    class Twice(Mix):
        def __str__(self):
            return "twice"

    result = make(tmp_path / "run", regimes=[Twice(0.5)]).run()
    assert list(Result.open(tmp_path / "run").history.rows) == ["twice"]
    line = json.loads((tmp_path / "run" / "history.jsonl").read_text().splitlines()[0])
    assert line["chains"][0]["regime"] == {"own": {"name": "twice", "kind": "Twice", "lam": 0.5}}
    assert result.history[1].chains[0].lam == 0.5


def test_a_quantity_has_words_by_default():
    assert Quantity("w1") == Quantity("w1", "w1", "w1")
    assert replace(Quantity("w1"), label="W").title == "w1"
