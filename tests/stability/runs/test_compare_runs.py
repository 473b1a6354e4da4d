"""Any number of runs, compared in pairs over seeds, or refused with the reason."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from stability.gaussian.learner import GaussianLearner
from stability.loop.regimes import FullySynthetic, Mix
from stability.observers.moments import Moments
from stability.runs.command_line import UsageError, parse
from stability.runs.compare_runs import (
    CompareRuns,
    changed_options,
    main,
    require_same_data,
    run_differences,
)
from stability.runs.history import History
from stability.runs.recorded_run import RecordedRun, read_run
from stability.runs.study import Study
from stability.runs.study_file import StudyFile


def normal(n, rng):
    return rng.standard_normal((n, 1))


def shifted(n, rng):
    return normal(n, rng) + 1


def run(out, **changes):
    fields = {
        "learner": lambda chains: GaussianLearner(chains, 1),
        "real": normal,
        "samples": 20,
        "seeds": 4,
        "regimes": [Mix(1.0), FullySynthetic()],
        "generations": 3,
        "observers": [Moments()],
        "progress": False,
    }
    Study(**(fields | {"out": out} | changes)).run()
    return out


def test_three_runs_are_compared_with_the_first(tmp_path, capsys):
    one = run(tmp_path / "one")
    two = run(tmp_path / "two", latents="shared")
    three = run(tmp_path / "three", generations=2, regimes=[FullySynthetic()], seeds=3)
    found = run_differences([read_run(folder) for folder in (one, two, three)], 0.05)
    assert [(d.run.name, d.row, d.seeds) for d in found if d.quantity == "mean_shift"] == [
        ("two", "λ = 1", 4),
        ("two", "fully synthetic", 4),
        ("three", "fully synthetic", 3),
    ]
    values = [read_run(x).history.values("mean_shift")["λ = 1"].mean(axis=0) for x in (one, two)]
    interval = ttest_rel(values[1], values[0]).confidence_interval(1 - 0.05 / len(found))
    assert (found[0].interval.low, found[0].interval.high) == pytest.approx(tuple(interval))

    main(CompareRuns((one, two, three)))
    said = capsys.readouterr().out
    assert "latents fresh → shared" in said
    assert "hold together with probability 0.95" in said


def test_long_options_are_shown_from_where_they_part():
    def estimator(covar):
        return {"estimator": f"{'a' * 60}(covar={covar}, more={'b' * 60})"}

    words = changed_options({"learner": estimator(0.01)}, {"learner": estimator(0.05)})
    before, after = words.split(" → ")
    assert before.startswith("learner.estimator …")
    assert "covar=0.01" in before
    assert "covar=0.05" in after
    assert changed_options({"m": {"k": 2, "j": 1}}, {"m": {"k": 3, "j": 1}}) == "m.k 2 → 3"
    assert changed_options({"n": 1}, {"n": 1}) == "equal options"


def test_a_run_beside_itself_does_not_differ(tmp_path):
    one = read_run(run(tmp_path / "one"))
    assert all(not d.interval.leaves_out_zero for d in run_differences([one, one], 0.05))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"real": shifted}, "is not comparable with .*: real is shifted and normal, so equal"),
        ({"seed": 1}, "seed is 1 and 0, so equal seeds have other data"),
        ({"samples": 21}, "samples is 21 and 20"),
        ({"real": np.random.default_rng(0).normal(size=(60, 1))}, "real is None and normal"),
        ({"regimes": [Mix(0.5)]}, r"its rows are λ = 0.5, and those of the first λ = 1, fully"),
        ({"seeds": 1}, "a comparison takes two seeds or more, got 1"),
    ],
)
def test_incomparable_runs_are_refused_with_the_reason(changes, message, tmp_path):
    one, two = run(tmp_path / "one"), run(tmp_path / "two", **changes)
    with pytest.raises(UsageError, match=message):
        main(CompareRuns((one, two)))


@pytest.mark.parametrize(
    ("one", "two", "differ"),
    [
        ({}, {"density": "moons"}, ""),
        ({"angles": "random"}, {"density": "moons"}, ""),
        ({"angles": "grid"}, {"density": "moons"}, "angles"),
        ({"mixture": "ffjord"}, {"density": "8gaussians-ffjord"}, ""),
        ({"mixture": "ffjord"}, {"density": "8gaussians"}, "density"),
        ({"data": "digits"}, {"density": "moons"}, "density"),
        ({"data": "digits"}, {"data": "digits", "data_digest": "a"}, "data_digest"),
    ],
)
def test_commands_name_the_same_data_in_their_own_way(one, two, differ):
    runs = [RecordedRun(Path("a"), config, {}, History(()), StudyFile()) for config in (one, two)]
    for pair in (runs, runs[::-1]):
        if differ:
            with pytest.raises(UsageError, match=f": {differ} is .* so equal seeds have other"):
                require_same_data(*pair)
        else:
            require_same_data(*pair)


def test_one_run_is_no_comparison(tmp_path, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(CompareRuns, [str(tmp_path)])
    assert leaving.value.code == 2
    assert "takes two runs or more, got 1" in capsys.readouterr().err
    with pytest.raises(UsageError, match="holds no run"):
        main(CompareRuns((tmp_path, tmp_path)))
