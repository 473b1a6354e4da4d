"""Tables that become arrays and come back as they were."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.runs.table_schema import TableColumn, TableSchema

MIXED = {
    "age": [31, 44, 27, 60],
    "income": [1200.5, 980.25, 3000.0, 10.125],
    "city": ["Bern", "Basel", "Bern", "Chur"],
    "member": [True, False, True, True],
    "since": np.array(["2020-02-29", "2021-01-01", "1999-12-31", "2024-07-09"], dtype="M8[D]"),
}


def test_a_mixed_table_comes_back():
    schema = TableSchema.of(MIXED)
    points = schema.encode(MIXED)
    assert points.shape == (4, 1 + 1 + 3 + 2 + 1)
    assert schema.coordinates == (
        "age",
        "income",
        *("city = Basel", "city = Bern", "city = Chur"),
        *("member = False", "member = True"),
        "since",
    )
    back = schema.decode(points)
    for name, cells in MIXED.items():
        assert list(back[name]) == list(cells), name
    assert back["age"].dtype == np.int64
    assert back["since"].dtype == np.dtype("M8[D]")


def test_numbers_have_mean_0_and_spread_1_and_a_constant_is_kept():
    schema = TableSchema.of({"x": [3.0, 5.0, 10.0], "k": [7.5, 7.5, 7.5]})
    points = schema.encode({"k": [7.5, 7.5, 7.5], "x": [3.0, 5.0, 10.0]})
    np.testing.assert_allclose(points[:, 0].mean(), 0, atol=1e-15)
    np.testing.assert_allclose(points[:, 0].std(), 1, rtol=1e-14)
    assert (points[:, 1] == 0).all()
    assert (schema.decode(points)["k"] == 7.5).all()


def test_the_order_of_columns_does_not_matter():
    schema = TableSchema.of(MIXED)
    turned = dict(reversed(list(MIXED.items())))
    np.testing.assert_array_equal(schema.encode(turned), schema.encode(MIXED))


def test_tables_of_pandas_with_missing_cells_of_every_sort():
    table = pd.DataFrame(
        {
            "x": [1.5, np.nan, 2.5, 0.0],
            "whole": pd.array([1, None, 3, 4], dtype="Int64"),
            "city": ["Bern", None, "Bern", np.nan],
            "flag": pd.array([True, pd.NA, False, True], dtype="boolean"),
            "code": pd.Categorical([1, 2, 1, 2]),
            "when": pd.to_datetime(["2020-01-01 12:00:01", None, "2021-05-05 00:00:00", None]),
        }
    )
    schema = TableSchema.of(table)
    back = schema.decode(schema.encode(table))
    assert list(back["x"]) == [1.5, None, 2.5, 0.0]
    assert list(back["whole"]) == [1, None, 3, 4]
    assert list(back["city"]) == ["Bern", None, "Bern", None]
    assert list(back["flag"]) == [True, None, False, True]
    assert list(back["code"]) == [1, 2, 1, 2]
    assert back["when"][0] == datetime.datetime(2020, 1, 1, 12, 0, 1)
    assert back["when"][1] is None


def test_instants_with_a_zone_are_the_same_instants():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    there = [datetime.datetime(2024, 5, 1, 14 + h, tzinfo=zone) for h in range(3)]
    utc = np.array(["2024-05-01T12", "2024-05-01T13", "2024-05-01T14"], dtype="M8[h]")
    schema = TableSchema.of({"t": utc})
    np.testing.assert_array_equal(schema.encode({"t": there}), schema.encode({"t": utc}))


def test_samples_that_no_row_encodes_to_are_moved_to_rows():
    schema = TableSchema.of(MIXED)
    noisy = schema.encode(MIXED) + 0.01
    projected = schema.project(noisy)
    city = projected[:, 2:5]
    np.testing.assert_array_equal(city.sum(axis=1), 1)
    np.testing.assert_array_equal(projected, schema.project(projected))
    assert list(schema.decode(projected)["city"]) == MIXED["city"]


def test_a_schema_is_data():
    table = {**MIXED, "grade": [1, None, 2, 2]}
    schema = TableSchema.of(table, categories=["grade"])
    assert TableSchema.from_data(schema.as_data()) == schema


cells = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-(10**6), 10**6))


@given(st.lists(cells, min_size=1, max_size=19).filter(lambda xs: any(x is not None for x in xs)))
def test_any_numbers_come_back(xs):
    back = TableSchema.of({"x": xs}).decode(TableSchema.of({"x": xs}).encode({"x": xs}))["x"]
    spread = max((abs(x) for x in xs if x is not None), default=0)
    for before, after in zip(xs, back, strict=True):
        assert (before is None) == (after is None)
        if before is not None:
            assert abs(before - after) <= 1e-12 * spread + 1e-12


def test_codes_of_numbers_are_a_category_in_the_order_of_their_values():
    schema = TableSchema.of({"grade": [3, 10, 3, 3, 10, 2], "x": [0.5, 1, 2, 3, 4, 5]}, ["grade"])
    assert schema.coordinates == ("grade = 2", "grade = 3", "grade = 10", "x")
    assert schema.column("grade").levels == ("3", "10", "2")  # most frequent first
    back = schema.decode(schema.encode({"x": [0.5], "grade": [10.0]}))
    assert back["grade"].tolist() == [10]
    assert back["grade"].dtype == np.int64


def test_whole_numbers_with_two_values_are_a_category():
    schema = TableSchema.of({"fraud": [0, 1, 0, 0], "x": [0.5, 1.5, 2.5, 3.5]})
    assert schema.coordinates == ("fraud = 0", "fraud = 1", "x")


def test_instants_with_a_zone_come_back_as_utc():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    table = {"t": [datetime.datetime(2024, 5, 1, 14 + h, tzinfo=zone) for h in range(3)]}
    schema = TableSchema.of(table)
    back = schema.decode(schema.encode(table))
    assert back["t"][0] == np.datetime64("2024-05-01T12:00:00")
    np.testing.assert_array_equal(schema.encode(back), schema.encode(table))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x": [1.0, np.inf, -np.inf]}, "column x has 2 infinite cells"),
        (
            {"id": [f"k{i}" for i in range(30)], "y": [0.5] * 30},
            "column id is a key or free text",
        ),
        ({"n": list(range(30)), "y": [0.5] * 30}, "column n is a key or free text"),
        ({"x": [None, None], "y": [1, 2]}, "column x must have a cell that is not missing"),
        ({"x": [1.0], "y": [1.0, 2.0]}, "same length"),
        ({}, "0 rows"),
        ({"x": ["a", 1.5]}, "column x"),
    ],
)
def test_what_has_no_points_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        TableSchema.of(table)


def test_what_is_no_table_is_refused():
    with pytest.raises(TypeError, match="must be a table or columns by name, got list"):
        TableSchema.of([1, 2])


def test_text_that_is_a_number_is_that_number():
    schema = TableSchema.of({"x": [1, 2, 7]})
    np.testing.assert_array_equal(
        schema.encode({"x": ["1", "2.0", "7"]}), schema.encode({"x": [1, 2, 7]})
    )
    with pytest.raises(ValueError, match="column x holds 'ten' in row 2"):
        schema.encode({"x": ["1", "ten", "7"]})


def test_whole_numbers_that_float64_rounds_are_levels():
    schema = TableSchema.of({"account": [2**53 + 1, 2**53 + 3, 2**53 + 1]})
    back = schema.decode(schema.encode({"account": [2**53 + 3]}))
    assert back["account"].tolist() == [str(2**53 + 3)]


def test_a_name_twice_is_refused_with_its_places():
    table = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    with pytest.raises(ValueError, match=r"'a' \(columns 1 and 3\)"):
        TableSchema.of(table)


def test_another_table_than_the_reference_is_refused():
    schema = TableSchema.of(MIXED)
    with pytest.raises(ValueError, match="lacks the column city"):
        schema.encode({name: cells for name, cells in MIXED.items() if name != "city"})
    with pytest.raises(ValueError, match="has a column extra that the real data lack"):
        schema.encode({**MIXED, "extra": [1, 2, 3, 4]})
    with pytest.raises(ValueError, match=r"level Genf \(2 of 4 cells\), which the reference lacks"):
        schema.encode({**MIXED, "city": ["Genf", "Bern", "Genf", "Chur"]})
    with pytest.raises(ValueError, match="age has 1 missing cells, the reference has none"):
        schema.encode({**MIXED, "age": [31, None, 27, 60]})
    with pytest.raises(ValueError, match=r"shape \(n, 8\), got shape \(4, 3\)"):
        schema.decode(np.zeros((4, 3)))


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "colour"},
        {"kind": "category"},
        {"kind": "category", "levels": ("a",), "level_type": "colour"},
        {"kind": "number", "scale": 0.0},
        {"kind": "date", "unit": "h"},
        {"kind": "number", "unit": "D"},
    ],
)
def test_a_column_that_is_none_is_refused(fields):
    with pytest.raises(ValueError, match="must be"):
        TableColumn("x", **fields)
