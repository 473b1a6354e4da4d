import io
import json
import os
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stability.runs.untrusted
from stability.runs.untrusted import (
    UntrustedFileError,
    open_regular,
    parse_json,
    printable,
    read_bytes,
    zip_members,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_a_file_comes_back_as_it_is(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert read_bytes(tmp_path / "file", 7) == b"content"


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UntrustedFileError, match="1,099,511,627,776 bytes; at most 100 are read"):
        read_bytes(tmp_path / "sparse", 100)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, make):
    make(tmp_path / "odd")
    with pytest.raises(UntrustedFileError, match="not a"):
        open_regular(tmp_path / "odd", 100)


def test_a_device_without_end_is_refused():
    with pytest.raises(UntrustedFileError, match="device"):
        read_bytes(Path("/dev/zero"), 100)


@given(JSON)
def test_json_goes_there_and_back(value):
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"9" * 10_000, "not JSON"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b'[{"a": 1, "b": 2, "a": 1}]', "name a twice"),
    ],
)
def test_bad_json_is_one_line(content, message):
    with pytest.raises(UntrustedFileError, match=message) as caught:
        parse_json(content)
    assert "\n" not in str(caught.value)


def test_large_json_is_refused_before_it_is_parsed():
    with pytest.raises(UntrustedFileError, match="at most 10"):
        parse_json(b"[" + b" " * 20 + b"]", largest=10)


def archive(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in members.items():
            writer.writestr(name, content)
    return file


def test_members_of_an_archive():
    assert [m.filename for m in zip_members(archive(a=b"1", b=b""), 10)] == ["a", "b"]


def test_an_archive_that_unpacks_to_too_much_is_refused():
    with pytest.raises(UntrustedFileError, match="unpacks to 1,000 bytes"):
        zip_members(archive(a=bytes(1000)), 999)


def test_a_member_cannot_claim_more_than_deflate_packs():
    file = archive(a=b"some text")
    claimed = bytearray(file.getvalue())
    at = claimed.rindex(b"PK\x01\x02") + 24  # uncompressed size, in the central directory
    claimed[at : at + 4] = (10**6).to_bytes(4, "little")
    with pytest.raises(UntrustedFileError, match="more than it can hold"):
        zip_members(io.BytesIO(claimed), 10**9)


def test_a_small_archive_cannot_unpack_to_very_much(monkeypatch):
    """A member of zeros, within what deflate can pack, and far more than is plausible."""
    file = archive(a=bytes(2**20))
    assert zip_members(file, 2**40)
    monkeypatch.setattr(stability.runs.untrusted, "ALWAYS_PLAUSIBLE", 2**19)
    with pytest.raises(UntrustedFileError, match="more than 64 times its own size"):
        zip_members(file, 2**40)


def test_two_members_of_one_name_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        writer.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            writer.writestr("a", b"2")
    with pytest.raises(UntrustedFileError, match="two members of the name a"):
        zip_members(file, 100)


def test_packing_that_has_no_bound_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as writer:
        writer.writestr("a", b"1")
    with pytest.raises(UntrustedFileError, match="member a is packed by a method"):
        zip_members(file, 100)


def test_the_number_of_members_is_bounded():
    many = archive(**{f"{i:0200}": b"" for i in range(11)})
    assert len(zip_members(many, 100, most=11)) == 11
    for most in (10, 1):  # too many members; a table of contents that is too large to be looked at
        with pytest.raises(UntrustedFileError, match=f"more than {most} members"):
            zip_members(many, 100, most=most)


def test_an_archive_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UntrustedFileError, match="regular"):
        zip_members(tmp_path / "pipe", 100)


def test_what_is_no_archive_is_refused():
    with pytest.raises(UntrustedFileError, match="not a zip"):
        zip_members(io.BytesIO(b"text"), 100)


@given(st.text(st.characters(), max_size=400))
def test_printable_text_is_one_short_line_without_control_characters(text):
    shown = printable(text)
    assert len(shown) <= 200
    assert not any(unicodedata.category(c)[0] == "C" for c in shown)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(st.text(st.characters(categories=("L", "N", "P"), include_characters=" "), max_size=200))
def test_printable_text_stays_as_it_is(text):
    assert printable(text) == text
