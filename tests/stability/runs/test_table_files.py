"""Tables as people have them: each is read as what it means, or refused in one line."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.runs import table_files
from stability.runs.command_line import UsageError
from stability.runs.table_files import raw_table, read_raw
from stability.runs.table_schema import TableSchema, code_reference


def written(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def read(folder, real, **options):
    """The real table, from its text."""
    return code_reference(read_raw(written(folder, "real.csv", real)), "real.csv", **options)


def both(folder, real, drawn):
    """The real table and a generation, from their texts."""
    table = read(folder, real)
    return table, table.schema.read(read_raw(written(folder, "gen1.csv", drawn)), "gen1.csv")


def rows(*columns):
    """Text of a table without its header, from columns of cells."""
    return "".join(",".join(map(str, cells)) + "\n" for cells in zip(*columns, strict=True))


def labels(table, name) -> list[Any]:
    """Categories of a column, None for missing."""
    levels = table.levels[name]
    return [levels[code] if code >= 0 else None for code in table.cells[name]]


def test_columns_are_matched_by_name(tmp_path):
    real, drawn = both(tmp_path, "a,b\n1.5,x\n2.5,y\n3.5,x\n", "b,a\ny,2.5\nx,3.5\nx,1.5\n")
    assert sorted(real.cells["a"]) == sorted(drawn.cells["a"])
    assert sorted(labels(real, "b")) == sorted(labels(drawn, "b"))


def test_a_column_that_is_named_twice_is_refused(tmp_path):
    path = written(tmp_path, "real.csv", "k,v,k\n1,2,3\n")
    with pytest.raises(UsageError, match=r"duplicate column 'k' \(columns 1 and 3\)"):
        read_raw(path)


def test_a_row_index_without_a_name_is_left_out_and_said(tmp_path):
    real, drawn = both(tmp_path, "a\n1.5\n2.5\n", ",a\n0,1.5\n1,2.5\n")
    assert list(drawn.cells) == list(real.cells) == ["a"]
    assert drawn.notes == ("column 1 of gen1.csv is unnamed (0..1, a row index): left out",)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    assert list(read(tmp_path, "\ufeffage,b\n1.5,x\n2.5,y\n").cells) == ["age", "b"]


def test_semicolons_and_decimal_commas(tmp_path):
    real, drawn = both(tmp_path, "h;w\n1,75;70,0\n1,6;81,5\n", "h,w\n1.75,70\n1.6,81.5\n")
    assert list(real.cells["h"]) == list(drawn.cells["h"]) == [1.75, 1.6]
    assert list(real.cells["w"]) == list(drawn.cells["w"]) == [70.0, 81.5]


def test_na_is_a_category_among_texts_and_missing_among_numbers(tmp_path):
    table = read(tmp_path, "country,x\nNA,1.5\nFR,NA\n,2.5\n")
    assert labels(table, "country") == ["NA", "FR", None]
    assert np.isnan(table.cells["x"]).tolist() == [False, True, False]


def test_equal_values_that_are_written_differently_are_equal(tmp_path):
    real, drawn = both(
        tmp_path,
        "flag,code,x\nTrue,1,0\nFalse,2,-15.361\n,2,2.5\n",
        "flag,code,x\ntrue,1.0,-0.0\nfalse,2.0,-15.361000\n,2.0,2.50\n",
    )
    assert labels(real, "flag") == labels(drawn, "flag") == ["true", "false", None]
    assert labels(real, "code") == labels(drawn, "code")
    assert real.cells["x"].tolist() == drawn.cells["x"].tolist()
    assert not np.signbit(drawn.cells["x"][0])


def test_leading_zeros_make_text(tmp_path):
    real, drawn = both(tmp_path, "zip\n02134\n10001\n02134\n", "zip\n2134\n10001\n2134\n")
    assert real.schema.column("zip").kind == "category"
    assert labels(drawn, "zip") == ["2134", "10001", "2134"]
    assert drawn.levels["zip"][2:] == ("2134",)


@given(st.integers(2**53 + 1, 2**62))
def test_whole_numbers_that_float64_lacks_stay_apart(number):
    number |= 1  # odd: beyond 2^53 no float64
    texts = [str(number), str(number), str(number + 2), str(number + 2)]
    table = code_reference(raw_table({"account": texts}), "real")
    assert labels(table, "account") == texts
    drawn = table.schema.read(raw_table({"account": [str(int(float(number)))]}), "gen1")
    assert drawn.cells["account"].tolist() == [2]  # a level that the real data lack


def test_large_whole_numbers_of_parquet_stay_apart(tmp_path):
    path = tmp_path / "real.parquet"
    pd.DataFrame({"account": [2**60 + 1, 2**60 + 1, 2**60 + 3]}).to_parquet(path)
    assert len(code_reference(read_raw(path), "real").levels["account"]) == 2


def test_digits_among_texts_are_a_category_and_new_ones_are_kept(tmp_path):
    real, drawn = both(tmp_path, "c\na\nb\n123\na\n", "c\nnew\n123\na\na\n")
    assert labels(drawn, "c") == ["new", "123", "a", "a"]
    assert drawn.levels["c"][len(real.levels["c"]) :] == ("new",)


def test_keys_are_left_out(tmp_path):
    n = 30
    text = "id,number,p\n" + rows(
        [f"r{i:03d}" for i in range(n)], range(n), np.linspace(0, 1, n).round(4) ** 2
    )
    table = read(tmp_path, text)
    assert table.schema.names("key") == ["id", "number"]
    assert list(table.cells) == ["p"]
    declared = read(tmp_path, "p,q\n1.5,a\n2.5,b\n", keys=("p",))
    assert declared.schema.column("p").kind == "key"
    with pytest.raises(UsageError, match="no column can be compared"):
        read(tmp_path, "p\n1.5\n2.5\n", keys=("p",))


def test_kinds_can_be_declared(tmp_path):
    text = "label,x\n" + rows([1, 2, 9] * 10, np.arange(30) / 7)
    assert read(tmp_path, text).schema.column("label").kind == "number"
    declared = read(tmp_path, text, categorical=("label",))
    assert declared.levels["label"] == ("1", "2", "9")
    with pytest.raises(UsageError, match="target must name a column"):
        read(tmp_path, text, target="y")


def test_few_distinct_fractions_stay_numbers(tmp_path):
    assert read(tmp_path, "x\n" + "0.1\n0.2\n0.3\n" * 20).schema.column("x").kind == "number"


@pytest.mark.parametrize(
    ("form", "zoned"),
    [("%d/%m/%Y", None), ("%Y-%m-%d", None), ("%d.%m.%Y", None), ("%Y/%m/%d", None)],
)
def test_dates_of_any_form_are_the_same_days(tmp_path, form, zoned):
    days = pd.date_range("2021-12-20", periods=30)
    real, drawn = both(
        tmp_path,
        "day\n" + rows(days.strftime("%Y-%m-%d")),
        "day\n" + rows(days.strftime(form)),
    )
    assert real.cells["day"].tolist() == drawn.cells["day"].tolist()
    assert real.cells["day"][0] == datetime(2021, 12, 20, tzinfo=UTC).timestamp()
    assert drawn.schema.column("day").zoned is zoned


def test_a_day_that_may_be_a_month_is_refused(tmp_path):
    with pytest.raises(UsageError, match="may be day first or month first"):
        both(tmp_path, "day\n2021-02-01\n2021-03-02\n", "day\n01/02/2021\n02/03/2021\n")


def test_instants_are_compared_in_utc_and_bare_ones_refused(tmp_path):
    real, drawn = both(
        tmp_path,
        "t\n2024-01-01T00:00:00Z\n2024-01-01T01:30:00Z\n",
        "t\n2024-01-01T02:00:00+02:00\n2024-01-01T03:30:00+02:00\n",
    )
    assert real.cells["t"].tolist() == drawn.cells["t"].tolist()
    with pytest.raises(UsageError, match="column t has no zone while the real data have one"):
        both(tmp_path, "t\n2024-01-01T00:00:00Z\n", "t\n2024-01-01T02:00:00\n")


def test_parquet_keeps_its_instants(tmp_path):
    stamps = [
        datetime.fromisoformat(text) for text in ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z")
    ]
    path = tmp_path / "real.parquet"
    pd.DataFrame({"t": stamps, "b": [True, None]}).to_parquet(path)
    table = code_reference(read_raw(path), "real")
    assert table.cells["t"].tolist() == [stamp.timestamp() for stamp in stamps]
    assert table.schema.column("t").zoned is True
    assert labels(table, "b") == ["true", None]


def test_dates_outside_nanoseconds_are_read(tmp_path):
    table = read(tmp_path, "d\n1555-02-17\n2021-05-01\n9999-12-31\n")
    assert table.schema.column("d").kind == "date"
    assert np.isfinite(table.cells["d"]).all()


def test_an_empty_column_and_missing_cells_of_one_column(tmp_path):
    table = read(tmp_path, "x,y\n,1.5\n,2.5\n")
    assert table.schema.column("x").kind == "empty"
    assert list(table.cells) == ["y"]
    single = read(tmp_path, "c\na\n\n\n\nb\n")
    assert labels(single, "c") == ["a", None, None, None, "b"]


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ("a\n1.5\n", "lacks the column b"),
        ("a,b,c\n1.5,x,1\n", "has a column c that the real data lack"),
        ("a,b\n1.5,x\nten,x\n", "column a holds 'ten' in row 2"),
        ("a,b\n", "0 rows"),
        ("", "no line of column names"),
        ("a,b\n1.5,x\n1.5\n", "Expected 2 columns, got 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, drawn, message):
    with pytest.raises(UsageError, match=message) as caught:
        both(tmp_path, "a,b\n1.5,x\n2.5,y\n", drawn)
    assert "gen1.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_encodings_are_refused(tmp_path):
    path = written(tmp_path, "real.csv", "größe\n1.5\n", "latin1")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_raw(path)


def test_an_empty_slice_of_parquet_is_refused(tmp_path):
    path = tmp_path / "gen1.parquet"
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    frame[frame.a < 0].to_parquet(path)
    with pytest.raises(UsageError, match="0 rows"):
        read_raw(path)


def test_of_a_large_file_some_rows_are_drawn_and_memory_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "_BLOCK", 2**12)
    n = 20_000
    path = written(tmp_path, "real.csv", "x\n" + rows(np.arange(n) + 0.5))
    raw = read_raw(path, most_rows=500)
    assert raw.total_rows == n
    assert len(raw.cells["x"]) == 500
    assert raw.notes == ("real.csv: 500 of 20,000 rows, drawn at random",)
    assert len(np.unique(raw.cells["x"])) == 500
    # 500 places among 20,000, each as likely: the mean is within 8 standard errors
    assert abs(raw.cells["x"].mean() - n / 2) < 8 * n / np.sqrt(12 * 500)
    assert (np.diff(raw.cells["x"]) > 0).all()


def test_a_schema_is_what_was_stored(tmp_path):
    schema = read(tmp_path, "a,b,d\n1.5,x,2021-01-01\n2.5,y,2021-01-02\n", target="b").schema
    assert TableSchema.from_data(schema.as_data()) == schema
