"""Memorised rows are found; honest ones, coarse ones and those of a spoiled holdout are not."""

import numpy as np
import pandas as pd
import pytest

from stability.planning.copies import copies, row_hashes
from stability.planning.embedding import points_of
from stability.planning.scores import fit_scores
from stability.runs.table_files import raw_table
from stability.runs.table_schema import code_reference


def found(real, drawn, holdout=None):
    table = code_reference(raw_table(real), "real")
    other = table.schema.read(raw_table(drawn), "gen1")
    held = None if holdout is None else table.schema.read(raw_table(holdout), "holdout")
    scores = fit_scores(table)
    points = [None if t is None else points_of(t, scores) for t in (table, other, held)]
    return copies(table, other, held, points)  # type: ignore[arg-type]


def normal(rng, n, d=4):
    return pd.DataFrame(rng.standard_normal((n, d)), columns=list("pqst")[:d])


@pytest.fixture
def holdout(rng):
    return normal(rng, 200)


def test_copied_rows_are_memory(rng, holdout):
    real = normal(rng, 200)
    drawn = pd.concat([real.iloc[:60], normal(rng, 140)])
    seen = found(real, drawn, holdout)
    assert (seen.exact, seen.rows, seen.expected) == (60, 200, 0.0)
    assert seen.memorised


def test_near_copies_are_memory_too(rng, holdout):
    real = normal(rng, 200)
    seen = found(real, real + 1e-6, holdout)
    assert seen.exact == 0
    assert seen.closer == 1.0
    assert seen.memorised


def test_fresh_rows_are_not(rng, holdout):
    """The exact test at level 1e-9 would not flag them either: closer rows are within 6.1 σ."""
    seen = found(normal(rng, 200), normal(rng, 200), holdout)
    assert seen.exact == 0
    # training and holdout rows are of one law, but one pair of sets: σ is at most 1/√20 or so
    assert seen.closer is not None
    assert 0.2 < seen.closer < 0.8


def test_keys_do_not_hide_copies(rng):
    real = normal(rng, 60)
    seen = found(
        real.assign(id=[f"r{i}" for i in range(60)]), real.assign(id=[f"g{i}" for i in range(60)])
    )
    assert seen.exact == 60
    assert seen.memorised


def test_coarse_tables_coincide_by_themselves(rng):
    def coarse(n):
        return pd.DataFrame({"a": rng.choice(list("xy"), n), "b": rng.choice(list("uv"), n)})

    seen = found(coarse(100), coarse(100))
    assert seen.exact > 90
    assert not seen.memorised


def test_a_holdout_that_overlaps_is_void(rng):
    real = normal(rng, 100)
    seen = found(real, normal(rng, 100), pd.concat([real.iloc[:40], normal(rng, 60)]))
    assert seen.holdout_overlap == (40, 100)
    assert seen.closer is None


def test_hashes_do_not_depend_on_the_order_of_levels():
    real = code_reference(raw_table({"c": list("aab"), "x": [0.5, 1.5, np.nan]}), "real")
    drawn = real.schema.read(raw_table({"x": [np.nan, 0.5], "c": ["b", "a"]}), "gen1")
    assert row_hashes(drawn).tolist() == row_hashes(real)[[2, 0]].tolist()
    assert len(set(row_hashes(real).tolist())) == 3
