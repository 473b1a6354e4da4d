"""Every reader of data sets against mutated and hand-made files, in a child with limits."""

import gzip
import json
import pickle

import numpy as np
import pytest

from deep.data import DataError, load_chains, load_images, read_cifar10
from deep.image_sets.picture import decode
from stability.array_files import read_npy, read_npz
from stability.untrusted import UntrustedFileError
from tests.deep.data_files import CIFAR, cifar_members, encoded, written, zipped
from tests.hostile import Reader, fuzz

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
COLOUR = np.stack([GREY, GREY[::-1], GREY.T], axis=2)


def pictures(folder):
    files = {"a.png": encoded(COLOUR), "b.png": encoded(GREY), "c.png": encoded(COLOUR // 64 * 64, mode="P")}
    files |= {"d.jpg": encoded(COLOUR, "JPEG"), "e.jpg": encoded(COLOUR, "JPEG", progressive=True, comment="text")}
    written(folder, files)
    return [folder / name for name in files]


def image_files():
    files = {f"ds/0000{i}/{i}.png": encoded(COLOUR + i) for i in range(3)} | {"ds/x.jpg": encoded(COLOUR, "JPEG")}
    table = {"labels": [[name.removeprefix("ds/"), i] for i, name in enumerate(files)]}
    return files | {"ds/dataset.json": json.dumps(table).encode()}


def folders(folder):
    classes = {f"{name}/{i}.png": encoded(GREY + i) for name in ("cat", "dog") for i in range(2)}
    return [written(folder / "table", image_files()), written(folder / "classes", classes)]


def zips(folder):
    return [zipped(folder / "a.zip", image_files()), zipped(folder / "b.zip", image_files(), compression=8)]


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
    return [written(folder / "x", names | {"batches.meta": pickle.dumps({"num_cases_per_batch": 2}, 2)})]


READERS = [
    Reader("picture", lambda path: decode(path.read_bytes(), path.name), pictures, (DataError,)),
    Reader("folder", load_images, folders, (DataError,)),
    Reader("zip", load_images, zips, (DataError,)),
    Reader("npz", load_chains, arrays, (DataError,)),
    Reader("npz-arrays", lambda path: read_npz(path, 2**26), arrays, (UntrustedFileError, OSError)),
    Reader("npy", load_images, single_arrays, (DataError,)),
    Reader("npy-array", lambda path: read_npy(path, 2**26), single_arrays, (UntrustedFileError, OSError)),
    Reader("archive", load_images, archives, (DataError,)),
    Reader("batches", load_images, batches, (DataError,)),
    Reader("batches-3", lambda path: read_cifar10(path), batches_of_python_3, (DataError,)),
]


def test_mutated_data_are_survived(tmp_path, rng):
    counts = fuzz(__name__, tmp_path, 40, rng)
    assert counts["result"] > 0
    assert counts["refusal"] > 0


@pytest.mark.slow
def test_many_mutated_data_are_survived(tmp_path, rng):
    counts = fuzz(__name__, tmp_path, 1000, rng)
    assert counts["result"] > 0
    assert counts["refusal"] > 0
