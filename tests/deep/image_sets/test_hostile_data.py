"""Every reader of data sets against mutated and hand-made files, in a child with limits."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

from deep.data import DataError, load_chains, load_images, read_cifar10
from deep.image_sets.picture import decode
from stability.runs.array_files import read_npy, read_npz
from stability.runs.untrusted import UntrustedFileError
from tests.support.data_files import CIFAR, cifar_members, encoded, written, zipped
from tests.support.hostile import Reader, examine, fuzz

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
COLOUR = np.stack([GREY, GREY[::-1], GREY.T], axis=2)


def pictures(folder):
    files = {
        "a.png": encoded(COLOUR),
        "b.png": encoded(GREY),
        "c.png": encoded(COLOUR // 64 * 64, mode="P"),
    }
    files |= {
        "d.jpg": encoded(COLOUR, "JPEG"),
        "e.jpg": encoded(COLOUR, "JPEG", progressive=True, comment="text"),
    }
    written(folder, files)
    return [folder / name for name in files]


def image_files():
    files = {f"ds/0000{i}/{i}.png": encoded(COLOUR + i) for i in range(3)} | {
        "ds/x.jpg": encoded(COLOUR, "JPEG")
    }
    table = {"labels": [[name.removeprefix("ds/"), i] for i, name in enumerate(files)]}
    return files | {"ds/dataset.json": json.dumps(table).encode()}


def folders(folder):
    classes = {f"{name}/{i}.png": encoded(GREY + i) for name in ("cat", "dog") for i in range(2)}
    return [written(folder / "table", image_files()), written(folder / "classes", classes)]


def zips(folder):
    return [
        zipped(folder / "a.zip", image_files()),
        zipped(folder / "b.zip", image_files(), compression=8),
    ]


def arrays(folder):
    images, labels = COLOUR.transpose(2, 0, 1)[None].repeat(5, 0), np.arange(5)
    np.savez(folder / "a.npz", images=images, labels=labels)
    np.savez_compressed(folder / "b.npz", images, labels)
    np.savez(folder / "c.npz", allow_pickle=False, **{"chain-000": images, "chain-001": images})
    return sorted(folder.glob("*.npz"))


def single_arrays(folder):
    np.save(folder / "a.npy", COLOUR[None])
    np.save(folder / "b.npy", np.asfortranarray(COLOUR[None]))
    return sorted(folder.glob("*.npy"))


def archives(folder):
    """The archive packed, and the same without packing, so that mutations reach what is in it."""
    (folder / "a.tar.gz").write_bytes(CIFAR.read_bytes())
    (folder / "b.tar.gz").write_bytes(gzip.compress(gzip.decompress(CIFAR.read_bytes()), 0))
    return [folder / "a.tar.gz", folder / "b.tar.gz"]


def batches(folder):
    return [written(folder, cifar_members()) / "cifar-10-batches-py"]


def batches_of_python_3(folder):
    data = {"data": np.zeros((2, 3072), np.uint8), "labels": [1, 2]}
    names = {f"data_batch_{i}": pickle.dumps(data, 2) for i in range(1, 6)}
    return [
        written(folder / "x", names | {"batches.meta": pickle.dumps({"num_cases_per_batch": 2}, 2)})
    ]


READERS = [
    Reader("picture", lambda path: decode(path.read_bytes(), path.name), pictures, (DataError,)),
    Reader("folder", load_images, folders, (DataError,)),
    Reader("zip", load_images, zips, (DataError,)),
    Reader("npz", load_chains, arrays, (DataError,)),
    Reader("npz-arrays", lambda path: read_npz(path, 2**26), arrays, (UntrustedFileError, OSError)),
    Reader("npy", load_images, single_arrays, (DataError,)),
    Reader(
        "npy-array",
        lambda path: read_npy(path, 2**26),
        single_arrays,
        (UntrustedFileError, OSError),
    ),
    Reader("archive", load_images, archives, (DataError,)),
    Reader("batches", load_images, batches, (DataError,)),
    Reader("batches-3", lambda path: read_cifar10(path), batches_of_python_3, (DataError,)),
]


def test_mutated_data_are_survived(tmp_path, rng):
    counts = fuzz(__name__, tmp_path, 40, rng)
    assert counts["result"] > 0
    assert counts["refusal"] > 0


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def large_png(side, *chunks):
    """A PNG of zeros; a thousand times smaller than its pixels."""
    start = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    )
    pixels = zlib.compress(bytes(side * (side + 1)))
    return b"".join([start, *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b"")])


def array_header(shape):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def bombs(folder):
    """Small files that could take the machine: name -> reader and path."""
    flat, text = large_png(4096), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20)))
    progressive = encoded(np.zeros((4000, 4000), np.uint8), "JPEG", progressive=True)
    pictures = {
        "side.png": large_png(9000),
        "text.png": large_png(8, *[text] * 5000),
        "chunks.png": large_png(8, *[chunk(b"tEXt", b"")] * 500_000),
        "scans.jpg": progressive[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 300_000 + b"\xff\xd9",
        "segments.jpg": b"\xff\xd8" + b"\xff\xe1\0\2" * 2_000_000,
    }
    written(folder / "pictures", pictures)
    zips = {
        "many.zip": {f"{i}.png": flat for i in range(3000)},
        "padded.zip": {
            f"{i}.png": large_png(4096, chunk(b"junk", bytes(2**25))) for i in range(20)
        },
        "one.zip": {"a.png": bytes(2**28)},
        "table.zip": {
            "a.png": encoded(GREY),
            "dataset.json": b'{"labels": [' + b"[]," * 2**26 + b"0]}",
        },
        "entries.zip": {f"{i}.txt": b"" for i in range(90_000)},
    }
    for name, files in zips.items():
        zipped(folder / name, files, compression=zipfile.ZIP_DEFLATED)
    zipped(folder / "zeros.npz", {"a.npy": array_header((2**28,)) + bytes(2**28)}, compression=8)
    zipped(folder / "shape.npz", {"a.npy": array_header((2**60,))}, compression=8)
    (folder / "shape.npy").write_bytes(array_header((2**60,)))
    with gzip.GzipFile(folder / "zeros.tar.gz", "wb", compresslevel=1) as file:
        info = tarfile.TarInfo("zeros")
        info.size = 2**31
        file.write(info.tobuf() + bytes(2**29))
    files = {name: ("picture", folder / "pictures" / name) for name in pictures}
    files |= {name: ("zip", folder / name) for name in zips} | {
        "shape.npy": ("npy", folder / "shape.npy")
    }
    files |= {name: ("npz", folder / name) for name in ("zeros.npz", "shape.npz")}
    return files | {"zeros.tar.gz": ("archive", folder / "zeros.tar.gz")}


@pytest.mark.slow
def test_small_files_do_not_take_the_machine(tmp_path):
    files = bombs(tmp_path / "bombs")
    assert all(path.stat().st_size < 10 * 2**20 for _, path in files.values())
    outcomes = examine(__name__, tmp_path / "child", files)
    assert {name: one.fault for name, one in outcomes.items() if one.fault} == {}
    read = {name for name, one in outcomes.items() if one.message is None}
    assert read <= {"text.png"}, "the others are refused, with one line"


@pytest.mark.slow
def test_many_mutated_data_are_survived(tmp_path, rng):
    counts = fuzz(__name__, tmp_path, 1000, rng)
    assert counts["result"] > 0
    assert counts["refusal"] > 0
