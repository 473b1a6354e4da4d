"""Distances of columns against SciPy and by hand, and floors that honest samples stay within."""

import numpy as np
import pytest
from scipy.stats import binom, ks_2samp, spearmanr

from stability.planning.column_changes import column_changes, constant_columns, pair_trends
from stability.runs.table_files import raw_table
from stability.runs.table_schema import code_reference
from tests.conftest import FALSE_ALARM


def pair(real, drawn, **options):
    table = code_reference(raw_table(real), "real", **options)
    return table, table.schema.read(raw_table(drawn), "gen1")


def changed(real, drawn, **options):
    return {change.column: change for change in column_changes(*pair(real, drawn, **options))}


def test_numbers_by_scipy_and_categories_by_hand(rng):
    x, y = rng.standard_normal(70).round(1), rng.standard_normal(40).round(1)
    found = changed(
        {"x": x, "c": ["a"] * 35 + ["b"] * 35},
        {"x": y, "c": ["a"] * 10 + ["new"] * 10 + [None] * 20},
    )
    assert found["x"].distance == pytest.approx(ks_2samp(x, y, method="asymp")[0])
    # real .5, .5; drawn .25, 0, .25 new, .5 missing
    assert found["c"].distance == pytest.approx(0.75)
    assert found["c"].missing == (0.0, 0.5)
    assert found["c"].new_levels == (("new", 10),)


def test_infinite_cells_are_counted_and_are_extreme_values():
    real = {"x": np.arange(60) + 0.5}
    drawn = {"x": np.concatenate([np.arange(57) + 0.5, [np.inf, np.inf, -np.inf]])}
    found = changed(real, drawn)["x"]
    assert found.infinite == (0, 3)
    # below every finite value lies −inf, 1 of 60; at the top 57 real cells face 58 drawn ones
    assert found.distance == pytest.approx(2 / 60)


def test_values_that_differ_by_rounding_are_equal():
    """A hair beside each of three values, KS would be a third; a tenth of their scatter counts."""
    values = np.array([0.1, 0.2, 0.3] * 20)
    for shift, distance in ((1e-9, 0.0), (-1e-9, 0.0), (0.01, 1 / 3)):
        found = changed({"x": values}, {"x": values[::-1] + shift})["x"]
        assert found.distance == pytest.approx(distance)
    assert changed({"x": [0.5] * 9}, {"x": [0.5 + 1e-9] * 9})["x"].distance == 1.0  # no scatter


def test_a_column_that_is_missing_altogether_has_no_distance():
    found = changed({"x": [0.5, 1.5, 2.5]}, {"x": [np.nan, np.nan]})["x"]
    assert np.isnan(found.distance)
    assert found.missing == (0.0, 1.0)
    assert not found.above_floor


def test_a_yes_no_column_has_the_floor_of_its_share():
    found = changed({"c": ["0", "1"] * 4000}, {"c": ["0"] * 4200 + ["1"] * 3800})["c"]
    assert found.distance == pytest.approx(0.025)
    assert found.floor == pytest.approx(1.96 * np.sqrt(0.25 * 2 / 8000), rel=1e-3)


@pytest.mark.parametrize("kind", ["numbers", "two levels", "six levels"])
def test_honest_samples_are_seldom_above_the_floor(kind, rng):
    repeats, n, m = 200, 300, 200
    above = 0
    for _ in range(repeats):
        draw = {
            "numbers": lambda k: rng.standard_normal(k),
            "two levels": lambda k: rng.choice(["a", "b"], k, p=[0.3, 0.7]),
            "six levels": lambda k: rng.choice(list("abcdef"), k),
        }[kind]
        above += changed({"x": draw(n)}, {"x": draw(m)})["x"].above_floor
    # the floor of categories uses the real shares, which have an error: up to 10 % for 5 %
    assert above <= binom.isf(FALSE_ALARM / 3, repeats, 0.1)


def test_pairs_by_scipy_without_constant_columns(rng):
    x, z = rng.standard_normal((2, 80))
    real, drawn = pair(
        {"x": x, "y": x + z, "k": np.full(80, 0.5)}, {"x": x, "y": z - x, "k": np.full(80, 0.5)}
    )
    ((one, other, before, after),) = pair_trends(real, drawn)
    assert {one, other} == {"x", "y"}
    assert before == pytest.approx(spearmanr(x, x + z)[0])
    assert after == pytest.approx(spearmanr(x, z - x)[0])
    assert constant_columns(real) == ["k"]
