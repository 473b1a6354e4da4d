"""The answer of a run in one sentence."""

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from stability import FullySynthetic, Mix, Study
from stability.loop.regimes import Exchange
from stability.runs.answer import duration, growth, seeds_to_tell
from stability.runs.option_error import on_command_line
from tests.support.kernels import Blur

T: Any = np.arange(11)[:, None]


@pytest.mark.parametrize("rows", [1, 2, 4, 9])
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_so_many_seeds_can_tell_and_one_fewer_cannot(rows, level):
    seeds = seeds_to_tell(rows, level)
    one_sided = [binomtest(s, s, alternative="greater").pvalue for s in (seeds - 1, seeds)]
    assert one_sided[1] <= level / (2 * rows) < one_sided[0]


def test_rows_that_grow_fall_and_neither():
    seeds = np.linspace(0.9, 1.1, 8)
    wave = np.where(np.arange(8) % 2, 1, -1)
    values = {"a": T * seeds, "b": -T * seeds, "c": T * wave}
    said = growth("W1 to the truth", values, 0)
    assert said.startswith("W1 to the truth grows under a (1, [")
    assert "8 of 8); falls under b (-1, [" in said
    assert "is not seen to grow or fall under c (0, [" in said
    assert "4 of 8)" in said
    assert said.endswith("Chance of any false word about W1 to the truth: at most 5 %.")


def test_one_seed_cannot_tell_and_is_told_what_can():
    one: dict[str, Any] = {"a": 1.0 * T, "b": 2.0 * T}
    assert growth("W2", one, 0, seconds=30) == (
        "One seed cannot tell whether W2 grows: seeds 7, about 4 minutes."
    )
    with on_command_line():
        assert "--seeds 7, about 4 minutes." in growth("W2", one, 0, seconds=30)
    assert growth("Sliced W2", one, 0).endswith("whether sliced W2 grows: seeds 7.")


def test_a_few_seeds_have_an_interval_and_not_the_last_word():
    said = growth("W2", {"a": T * np.array([1.0, 1.1, 1.2])}, 0, seconds=60)
    assert said.startswith("W2 is not seen to grow or fall under a (1.1, [0.85, 1.3], 3 of 3)")
    assert said.endswith("3 seeds cannot tell, 6 can: seeds 6, about 2 minutes.")


def test_a_run_without_retrainings_has_no_slope():
    assert growth("W2", {"a": np.ones((1, 9))}, 0) == (
        "Too few retrainings to tell whether W2 grows: retrainings 1."
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.1, "1 s"), (80, "80 s"), (200, "3 minutes"), (9000, "2.5 hours")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_result_answers_from_its_folder(tmp_path):
    study = Study(
        learner=Blur, real=lambda n, rng: rng.standard_normal((n, 2)), samples=20, seeds=2,
        regimes=[Mix(0.5), FullySynthetic()], generations=2, out=tmp_path / "run", threads=1,
    )  # fmt: skip
    result = study.run()
    assert "λ = 0.5" in result.answer("variance_ratio")
    assert "2 seeds cannot tell, 7 can: seeds 7, about " in result.answer()
    file = tmp_path / "run" / "timings.jsonl"
    lines = [json.dumps({"t": t, "seconds": s}) for t, s in ((0, 1.0), (1, 5.0), (1, 2.0))]
    file.write_text("\n".join(lines) + "\n")
    assert result.seconds == 3.0  # what was done twice counts once
    file.write_text("[1]\n")
    assert math.isnan(result.seconds)
    with pytest.raises(KeyError, match="'w9' is not measured"):
        result.answer("w9")


def test_models_that_train_on_each_other_are_one_repeat(tmp_path):
    """Four chains in two populations are two repeats, and the seeds that it takes are pairs."""
    result = Study(
        learner=Blur, real=lambda n, rng: rng.standard_normal((n, 2)), samples=20, seeds=4,
        regimes=[Exchange.among(2, Mix(1.0))], generations=3, out=tmp_path / "run", threads=1,
    ).run()  # fmt: skip
    said = result.answer()
    assert " of 2)" in said
    assert "4 seeds cannot tell, 12 can: seeds 12" in said
