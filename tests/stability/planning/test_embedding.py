"""The distance to real: unbiased, 1 without a change, and its error is the one that is seen."""

import numpy as np
import pytest

from stability.planning.embedding import distance, embedding_of, points_of
from stability.planning.scores import fit_scores
from stability.runs.table_files import raw_table
from stability.runs.table_schema import code_reference


def test_the_squared_distance_is_unbiased_and_its_error_right(rng):
    """Over 150 honest pairs: mean within 7 standard errors of 0, scatter within a factor 1.7."""
    fitted = rng.standard_normal((200, 3))
    found = []
    for _ in range(150):
        a, b = rng.standard_normal((400, 3)), rng.standard_normal((300, 3))
        found.append(distance(embedding_of(a, fitted), embedding_of(b, fitted)))
    squared = np.array([one.squared for one in found])
    assert abs(squared.mean()) < 7 * squared.std() / np.sqrt(150)
    stated = np.sqrt(np.mean([one.error**2 for one in found]))
    assert 1 / 1.7 < stated / squared.std() < 3  # the jackknife overstates it at the null


def test_far_away_the_error_is_the_scatter(rng):
    fitted = rng.standard_normal((200, 2))
    found = []
    for _ in range(150):
        a, b = rng.standard_normal((300, 2)), rng.standard_normal((300, 2)) + 0.7
        found.append(distance(embedding_of(a, fitted), embedding_of(b, fitted)))
    scatter = np.std([one.squared for one in found])
    assert 0.7 < np.mean([one.error for one in found]) / scatter < 1.4
    assert min(one.ratio for one in found) > 2


def test_the_same_rows_are_at_distance_0(rng):
    points = rng.standard_normal((100, 3))
    one = embedding_of(points, points)
    other = embedding_of(points[rng.permutation(100)], points)
    assert distance(one, other).ratio == pytest.approx(0, abs=1e-3)


def test_points_do_not_depend_on_the_order_of_columns_and_levels(rng):
    x = rng.standard_normal(50)
    c = rng.choice(["a", "b"], 50)
    real = code_reference(raw_table({"x": x, "c": c}), "real")
    scores = fit_scores(real)
    swapped = real.schema.read(raw_table({"c": c, "x": x}), "gen1")
    np.testing.assert_array_equal(points_of(real, scores), points_of(swapped, scores))


def test_infinite_and_missing_cells_are_finite_points():
    real = code_reference(raw_table({"x": [0.5, 1.5, 2.5, 3.5]}), "real")
    drawn = real.schema.read(raw_table({"x": [np.inf, -np.inf, np.nan]}), "gen1")
    assert np.isfinite(points_of(drawn, fit_scores(real))).all()
