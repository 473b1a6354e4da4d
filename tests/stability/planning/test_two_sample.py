"""Classifier, task and neighbours: what is the same looks the same, and what differs does not."""

import numpy as np
import pytest

from stability.planning.scores import fit_scores
from stability.planning.target_score import score_generation
from stability.planning.two_sample import classifier_auc, fidelity
from stability.runs.table_files import raw_table
from stability.runs.table_schema import code_reference


def told(real, drawn):
    found = classifier_auc(real, drawn)
    assert found is not None
    return found


def faithful(real, drawn):
    found = fidelity(real, drawn)
    assert found is not None
    return found


def test_the_classifier_tells_a_shift_and_nothing_else(rng):
    x, y = rng.standard_normal((2, 600, 2))
    same, error = told(x, y)
    assert abs(same - 0.5) < 6.5 * error
    assert told(x, y + 2)[0] > 0.5 + 10 * error
    assert classifier_auc(x, y[:19]) is None


def test_quality_and_diversity_are_told_apart(rng):
    real = rng.standard_normal((1200, 2))
    narrow = faithful(real, 0.2 * rng.standard_normal((600, 2)))
    wide = faithful(real, 5.0 * rng.standard_normal((600, 2)))
    same = faithful(real, rng.standard_normal((600, 2)))
    assert narrow.diversity < 0.6 < 0.9 < narrow.quality
    assert wide.quality < 0.5
    assert abs(same.quality - same.real_quality) < 0.15
    assert fidelity(real, real[:10]) is None


def table(rng, n, signal, kind="class"):
    x = rng.standard_normal(n)
    y = signal * x + 0.3 * rng.standard_normal(n)
    return {"x": x, "y": np.where(y > 0.5, "1", "0") if kind == "class" else y}


@pytest.mark.parametrize("kind", ["class", "number"])
def test_a_model_that_is_trained_on_nonsense_scores_worse(kind, rng):
    real = code_reference(raw_table(table(rng, 600, 1.0, kind)), "real", target="y")
    scores = fit_scores(real)

    def score(signal):
        drawn = real.schema.read(raw_table(table(rng, 600, signal, kind)), "gen1")
        found = score_generation(real, drawn, None, scores)
        assert found.drawn is not None
        return found.measure, found.real, found.drawn

    good, bad = score(1.0), score(-1.0)
    assert good[0] == ("average precision" if kind == "class" else "R²")
    assert min(good[1:]) > 0.7
    assert bad[2] < 0.4


def test_a_target_with_one_class_is_said_and_not_scored(rng):
    real = code_reference(raw_table(table(rng, 100, 1.0)), "real", target="y")
    only = {"x": rng.standard_normal(50), "y": ["0"] * 50}
    drawn = real.schema.read(raw_table(only), "gen1")
    score = score_generation(real, drawn, None, fit_scores(real))
    assert score.drawn is None
    assert "has one class (0)" in score.problem
