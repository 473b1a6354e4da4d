import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from deep.data import DataError
from deep.image_sets.picture import decode
from tests.support.data_files import encoded, refused, zipped

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def header(side, depth=8, colour=0):
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0))


def with_chunks(png, *chunks):
    """A PNG with more chunks before its pixels."""
    return png[:33] + b"".join(chunks) + png[33:]


def test_a_png_that_unpacks_to_more_than_its_header_says_or_is_plausible(tmp_path):
    """A PNG of 30,000 × 30,000 zeros has a megabyte; it is refused by its header."""

    # beyond our limit, where Pillow warns, where Pillow refuses
    for side in (5000, 12_000, 30_000):
        bomb = header(side) + chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
        refused(zipped(tmp_path / "bomb.zip", {"a.png": bomb}), "a.png")
    with warnings.catch_warnings(record=True) as caught:
        refused(zipped(tmp_path / "bomb.zip", {"a.png": bomb}), "a.png")
    assert not caught


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
COLOUR = np.stack([GREY, GREY[::-1], GREY.T], axis=2)
OPAQUE = np.dstack([COLOUR, np.full((8, 8), 255, np.uint8)])
FEW = COLOUR // 64 * 64  # few enough colours for a palette


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(GREY), GREY),
        (encoded(COLOUR), COLOUR),
        (encoded(FEW, mode="P"), None),
        (encoded(OPAQUE), COLOUR),
        (encoded(OPAQUE, mode="LA"), None),
        (encoded((GREY > 80).astype(np.uint8) * 255, mode="1"), (GREY > 80) * 255),
        (encoded(COLOUR, "JPEG", quality=100, subsampling=0), None),
        (encoded(COLOUR, "JPEG", progressive=True), None),
        (encoded(GREY, "JPEG"), None),
    ],
)
def test_what_is_unambiguous_is_read(content, expected):
    """Against the pixels that were written, or Pillow's own reading of the whole file."""
    if expected is None:
        with Image.open(io.BytesIO(content)) as image:
            expected = np.asarray(image.convert("L" if image.mode in ("L", "LA") else "RGB"))
    pixels, turned = decode(content, "x")
    assert not turned
    np.testing.assert_array_equal(
        pixels, expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    )


def test_an_interlaced_png():
    """The seven passes of Adam7, written by hand: pass by pass, each row with filter 0."""
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in GREY[y::dy, x::dx])
    made = (
        PNG
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1))
        + chunk(b"IDAT", zlib.compress(rows))
    )
    np.testing.assert_array_equal(decode(made + chunk(b"IEND", b""), "x")[0][0], GREY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(np.dstack([COLOUR, GREY])), "transparent pixels"),
        (encoded(FEW, mode="P", transparency=bytes(256)), "transparent pixels"),
        (encoded(GREY, transparency=0), "transparent pixels"),
        (encoded(COLOUR, "JPEG", mode="CMYK"), "CMYK"),
        (encoded(GREY.astype(np.uint16) * 200), "16 bits"),
        (
            header(2, 16, 2) + chunk(b"IDAT", zlib.compress(bytes(26))) + chunk(b"IEND", b""),
            "16 bits",
        ),
        (encoded(GREY, "WEBP"), "neither a PNG nor a JPEG"),
        (b"", "neither a PNG nor a JPEG"),
        (PNG, "is damaged"),
        (b"\xff\xd8\xff\xe0", "is damaged"),
        (encoded(COLOUR, "JPEG")[:-100], "(?i)truncated"),
    ],
)
def test_what_is_ambiguous_or_damaged_is_refused(content, message):
    with pytest.raises(DataError, match=message) as caught:
        decode(content, "\x1b[31mx")
    assert str(caught.value).isprintable()
    assert "object at" not in str(caught.value)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_pixels_are_those_that_are_stored_and_an_orientation_is_said(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, turned = decode(encoded(COLOUR, "JPEG", exif=exif, comment="text"), "x")
    np.testing.assert_array_equal(pixels, decode(encoded(COLOUR, "JPEG"), "x")[0])
    assert turned == (orientation != 1)


def test_metadata_do_not_reach_the_decoder():
    """Text and a profile that unpack to much more, and an animation, beside the pixels."""
    bomb = zlib.compress(bytes(2**22))
    chunks = [chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iCCP", b"a\0\0" + bomb)] * 20
    chunks += [
        chunk(b"iTXt", b"a\0\1\0\0\0" + bomb),
        chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)),
    ]
    spoiled = with_chunks(encoded(GREY), *chunks)
    np.testing.assert_array_equal(decode(spoiled, "x")[0][0], GREY)
    with pytest.raises(ValueError, match="too large"):  # the control: they would
        Image.open(io.BytesIO(spoiled)).load()


def test_chunks_and_scans_are_counted():
    with pytest.raises(DataError, match=r"more than \d+ chunks"):
        decode(with_chunks(encoded(GREY), *[chunk(b"tEXt", b"")] * 200), "x")

    large = encoded(np.zeros((2000, 2000), np.uint8), "JPEG", progressive=True)
    decode(large, "x")
    with pytest.raises(DataError, match=r"JPEG of \d+ scans"):
        decode(large[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 1000 + large[-2:], "x")
