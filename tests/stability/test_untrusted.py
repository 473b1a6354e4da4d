import io
import json
import os
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.untrusted import UntrustedFileError, open_regular, parse_json, printable, read_bytes, zip_members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
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


def test_what_is_no_archive_is_refused():
    with pytest.raises(UntrustedFileError, match="not a zip"):
        zip_members(io.BytesIO(b"text"), 100)


@given(st.text(st.characters(), max_size=400))
def test_printable_text_is_one_short_line_without_control_characters(text):
    shown = printable(text)
    assert len(shown) <= 200
    assert not any(unicodedata.category(c)[0] == "C" for c in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(st.text(st.characters(categories=("L", "N", "P", "Zs")), max_size=200))
def test_printable_text_stays_as_it_is(text):
    assert printable(text) == text
