"""One PNG or JPEG as an array of bytes.

Only what decides the pixels reaches the decoder: text, profiles, animations and other metadata, in
which small files unpack to large ones, are left out before.
"""

import io
import struct

import numpy as np
from PIL import Image, UnidentifiedImageError

from deep.image_sets.image_set import DataError, one_error
from stability.runs.untrusted import printable

__all__ = ["LARGEST_SIDE", "SUFFIXES", "decode"]

LARGEST_SIDE = 4096
"""Pixels."""
SUFFIXES = (".png", ".jpg", ".jpeg")

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PIXEL_CHUNKS = (b"PLTE", b"tRNS", b"IDAT", b"IEND")
SMALLEST_CHUNK = 512
"""Bytes of the chunks of a PNG, on average, beyond the first hundred: encoders write 4096 and
more."""
MOST_SCANNED = 2**31
"""Pixels times scans of a JPEG: a progressive one is decoded scan by scan."""
_ORIENTATION = 0x0112  # tag of Exif


def decode(content: bytes, name: str) -> tuple[np.ndarray, bool]:
    """Decode a PNG or a JPEG, whatever its name says.

    Args:
        content: The file.
        name: To be named in errors.

    Returns:
        The pixels, (c, h, w) uint8, as they are stored; and whether the file asks viewers to turn
        or mirror them (Exif).

    Raises:
        DataError: If it is neither, damaged, larger than `LARGEST_SIDE`, or has no unambiguous
            grey or RGB bytes: transparent pixels, 16 bits, CMYK.
    """
    with one_error(printable(name)):
        if content.startswith(_PNG):
            pixels_only, turned = _png_pixels(content), False
        elif content.startswith(_JPEG):
            pixels_only, turned = _jpeg_pixels(content)
        else:
            raise DataError("is neither a PNG nor a JPEG image")

        try:
            opened = Image.open(io.BytesIO(pixels_only), formats=("PNG", "JPEG"))
        except UnidentifiedImageError:
            raise DataError("is damaged") from None
        with opened as image:
            width, height = image.size
            if max(image.size) > LARGEST_SIDE:
                raise DataError(
                    f"has {width} × {height} pixels; at most {LARGEST_SIDE} a side are read"
                )
            scans = pixels_only.count(b"\xff\xda") if image.format == "JPEG" else 1
            if scans * width * height > MOST_SCANNED:
                raise DataError(f"is a JPEG of {scans} scans")
            pixels = np.array(_grey_or_rgb(image))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), turned


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "CMYK":
        raise DataError("has CMYK colours, for print: convert it to RGB")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        grey, image = image.mode in ("1", "L", "LA"), image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise DataError(
                "has transparent pixels: put it on a background, and save it as grey or RGB"
            )
        return image.getchannel("R") if grey else image.convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "P":
        return image.convert("RGB")
    if image.mode not in ("L", "RGB"):
        raise DataError(f"has mode {image.mode}; it must be 8-bit grey or RGB")
    return image


def _png_pixels(content: bytes) -> bytes:
    """The chunks of a PNG that its pixels depend on."""
    if content[12:16] != b"IHDR" or len(content) < 33:
        raise DataError("is damaged")
    if content[24] == 16:
        raise DataError("has 16 bits a channel: convert it to 8")

    kept, place = [content[:33]], 33
    most = 100 + len(content) // SMALLEST_CHUNK
    for _ in range(most):
        if place + 8 > len(content):
            return b"".join(kept)
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind in _PIXEL_CHUNKS:
            kept.append(content[place : place + 12 + length])
        if kind == b"IEND":
            return b"".join(kept)
        place += 12 + length
    raise DataError(f"has more than {most} chunks")


def _jpeg_pixels(content: bytes) -> tuple[bytes, bool]:
    """The segments of a JPEG that its pixels depend on; whether Exif asks to turn them."""
    kept, place, turned = [content[:2]], 2, False
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == 0xFF:  # a byte to fill up
            place += 1
            continue
        if marker < 0xC0 or 0xD0 <= marker <= 0xDA:  # the pixels begin
            break
        segment = content[place : place + 2 + length]
        if segment[4:10] == b"Exif\0\0":
            turned = turned or _orientation(segment[10:]) != 1
        if marker in (0xE0, 0xEE) or marker < 0xE0:  # JFIF, Adobe's colours; no metadata
            kept.append(segment)
        place += 2 + length
    return b"".join([*kept, content[place:]]), turned


def _orientation(exif: bytes) -> int:
    """1: as stored. 2 to 8: to be turned or mirrored."""
    order = "<" if exif[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, start)
        for i in range(entries):
            tag, value = struct.unpack_from(f"{order}H6xH", exif, start + 2 + 12 * i)
            if tag == _ORIENTATION:
                return value
    except struct.error:  # damaged metadata do not matter
        pass
    return 1
