import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from deep.data import DataError, ImageSet, load_images, read_cifar10
from tests.conftest import FIXTURES

CIFAR = FIXTURES / "cifar10_tiny.tar.gz"


def png(pixels, mode=None, **options):
    """pixels: (h, w) or (h, w, c) uint8."""
    content = io.BytesIO()
    Image.fromarray(pixels, mode).save(content, format="PNG", **options)
    return content.getvalue()


def zipped(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def cifar_members():
    with tarfile.open(CIFAR) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]


def tarred(path, members, change=lambda info: info):
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(change(info), io.BytesIO(content))
    return path


def refused(source, *words):
    with pytest.raises(DataError) as caught:
        load_images(source)
    message = str(caught.value)
    assert "\n" not in message
    assert str(source) in message
    assert message.count(str(source)) == 1
    assert all(word in message for word in words), message
    return message


# What is read


def test_digits_are_embedded():
    digits = load_images("digits")
    assert digits.images.shape == (1797, 1, 8, 8)
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert digits.labels is not None
    np.testing.assert_array_equal(np.bincount(digits.labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])


def test_a_cifar10_archive_in_its_original_layout(tmp_path):
    """The images are those of the EDM zip, which EDM's own tool made of the same pictures."""
    training = load_images(CIFAR)
    assert training.images.shape == (20, 3, 32, 32)
    assert training.labels is not None
    assert training.labels.tolist()[:4] == [0, 6, 5, 6]
    assert read_cifar10(CIFAR, ["test_batch"]).images.shape == (4, 3, 32, 32)
    with tarfile.open(CIFAR) as archive:
        archive.extractall(tmp_path, filter="data")
    for folder in (tmp_path, tmp_path / "cifar-10-batches-py"):
        unpacked = load_images(folder)
        np.testing.assert_array_equal(unpacked.images, training.images)
        np.testing.assert_array_equal(unpacked.labels, training.labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_cifar10_archive_written_by_python_3(protocol, tmp_path):
    data = np.random.default_rng(0).integers(0, 256, (2, 3072), dtype=np.uint8)
    members = {
        f"cifar-10-batches-py/data_batch_{i}": pickle.dumps({"data": data, "labels": [i, 9]}, protocol)
        for i in range(1, 6)
    }
    members["cifar-10-batches-py/batches.meta"] = pickle.dumps({"num_cases_per_batch": 2}, protocol)
    read = load_images(tarred(tmp_path / "made.tar.gz", members))
    np.testing.assert_array_equal(read.images[:2].reshape(2, 3072), data)
    assert read.labels is not None
    assert read.labels.tolist() == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]


def test_edm_zips_of_edms_own_tool():
    """The tool sorts 0.png … 11.png as text; unresized, the zip holds the archive's images in that order."""
    plain = load_images(FIXTURES / "edm_dataset_unlabelled.zip")
    assert plain.labels is None
    order = sorted(range(12), key=lambda i: f"{i}.png")
    training = load_images(CIFAR)
    np.testing.assert_array_equal(plain.images, training.images[order])
    labelled = load_images(FIXTURES / "edm_dataset_labelled.zip")
    assert labelled.images.shape == (12, 3, 16, 16)
    assert labelled.labels is not None
    assert labelled.labels.tolist() == [0, 6, 7, 9, 5, 6, 2, 2, 7, 6, 5, 6]


def test_a_folder_is_read_like_the_zip_of_it(tmp_path):
    with zipfile.ZipFile(FIXTURES / "edm_dataset_labelled.zip") as archive:
        archive.extractall(tmp_path)
    read, same = load_images(tmp_path), load_images(FIXTURES / "edm_dataset_labelled.zip")
    np.testing.assert_array_equal(read.images, same.images)
    np.testing.assert_array_equal(read.labels, same.labels)  # type: ignore[arg-type]


def test_top_level_folders_are_classes(tmp_path):
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    for i, name in enumerate(("cat/b.png", "dog/x/a.png", "cat/a.png", "bird/1.PNG")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(grey + i))
    read = load_images(tmp_path)
    assert read.images[:, 0, 0, 0].tolist() == [3, 2, 0, 1]  # bird, cat/a, cat/b, dog
    assert read.labels is not None
    assert read.labels.tolist() == [0, 1, 1, 2]
    (tmp_path / "loose.png").write_bytes(png(grey))
    assert load_images(tmp_path).labels is None


@pytest.mark.parametrize("labels", [None, [0.5, 0.5]])
def test_labels_that_are_not_class_numbers_are_none(labels, tmp_path):
    entries = None if labels is None else [["a.png", labels]]
    files = {"a.png": png(np.zeros((4, 4), np.uint8)), "dataset.json": json.dumps({"labels": entries})}
    assert load_images(zipped(tmp_path / "x.zip", files)).labels is None


@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (5, 1, 4, 4), (5, 4, 4, 3), (5, 4, 4)])
def test_arrays_with_the_channels_anywhere(shape, tmp_path, rng):
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    first = {4: lambda: images if shape[1] != 4 else images.transpose(0, 3, 1, 2), 3: lambda: images[:, None]}[
        len(shape)
    ]()
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "named.npz", other=[1], images=images, labels=np.arange(5, dtype=np.uint8))
    np.savez_compressed(tmp_path / "single.npz", images)
    for name in ("a.npy", "named.npz", "single.npz"):
        read = load_images(tmp_path / name)
        np.testing.assert_array_equal(read.images, first)
        assert read.images.flags.c_contiguous
        if name == "named.npz":
            assert read.labels is not None
            assert read.labels.dtype == np.int64
            assert read.labels.tolist() == [0, 1, 2, 3, 4]


# What is refused


class Bomb:
    """Writes a file when it is unpickled by an ordinary unpickler."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_malicious_batch_is_refused_and_executes_nothing(tmp_path):
    harmful = pickle.dumps({"data": Bomb(tmp_path / "ran"), "labels": []}, 2)
    members = {**cifar_members(), "cifar-10-batches-py/data_batch_3": harmful}
    refused(tarred(tmp_path / "bad.tar.gz", members), "data_batch_3", "posix.mkdir", "not loaded")
    assert not (tmp_path / "ran").exists()
    pickle.loads(harmful)  # the control: it is harmful indeed
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"labels": [0] * 4}, ["4 images of 3072 bytes", "NoneType"]),
        ({"data": np.zeros((4, 3071), np.uint8), "labels": [0] * 4}, ["4 images of 3072 bytes", "(4, 3071)"]),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [0] * 3}, ["4 images", "(3, 3072)"]),
        ({"data": np.zeros((4, 3072), np.float32), "labels": [0] * 4}, ["'f4'", "uint8"]),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2]}, ["4 labels"]),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, 10]}, ["from 0 to 9"]),
        ({"data": np.asfortranarray(np.zeros((4, 3072), np.uint8)), "labels": [0] * 4}, ["C order"]),
        ([1, 2], ["list", "not a dictionary"]),
    ],
)
def test_a_batch_of_another_content_is_refused(batch, words, tmp_path):
    members = {**cifar_members(), "cifar-10-batches-py/data_batch_2": pickle.dumps(batch, 2)}
    refused(tarred(tmp_path / "bad.tar.gz", members), "data_batch_2", *words)


def test_a_pickle_that_claims_memory_it_does_not_need_is_refused_at_once(tmp_path):
    claims = b"\x80\x02}r\xff\xff\xff\x7f." + b"\x80\x04\x8e" + struct.pack("<Q", 2**40)  # memo place 2^31 − 1; 1 TiB
    for content in (claims[:7] + claims[8:], claims[:2] + claims[-9:]):
        members = {**cifar_members(), "cifar-10-batches-py/data_batch_2": content}
        refused(tarred(tmp_path / "bad.tar.gz", members), "data_batch_2")


def test_a_damaged_archive_is_refused(tmp_path):
    whole = CIFAR.read_bytes()
    for name, content in {
        "truncated.tar.gz": whole[: len(whole) // 2],
        "flipped.tar.gz": whole[:2000] + bytes([whole[2000] ^ 255]) + whole[2001:],
        "text.tar.gz": b"hello",
        "empty.tar.gz": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name)


def test_an_archive_without_all_batches_is_refused(tmp_path):
    members = cifar_members()
    del members["cifar-10-batches-py/data_batch_5"]
    refused(tarred(tmp_path / "bad.tar.gz", members), "lacks data_batch_5")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:evil"])
def test_names_that_lead_out_of_an_archive_are_refused(name, tmp_path):
    tar = tarred(tmp_path / "bad.tar.gz", {**cifar_members(), name: b"evil"})
    refused(tar, "leads out of the archive")
    grey = png(np.zeros((4, 4), np.uint8))
    refused(zipped(tmp_path / "bad.zip", {"a.png": grey, name + ".png": grey}), "leads out of the archive")


def test_links_in_an_archive_are_refused(tmp_path):
    def link(info):
        if info.name == "link":
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        return info

    refused(tarred(tmp_path / "bad.tar.gz", {"link": b"", **cifar_members()}, link), "link", "neither a file")
    info = zipfile.ZipInfo("a.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "bad.zip", "a.png", "link")


def test_a_tar_that_unpacks_without_end_is_refused(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    info = tarfile.TarInfo("cifar-10-batches-py/zeros")
    info.size = 2**33
    with gzip.GzipFile(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        for _ in range(2**8):  # 256 MiB of zeros, beside the header
            file.write(bytes(2**20))
    refused(path, "unpacks to more than")


def test_a_png_that_unpacks_to_more_than_its_header_says_or_is_plausible(tmp_path):
    """A PNG of 30,000 × 30,000 zeros has a megabyte; it is refused by its header."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def header(side):
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))

    for side in (5000, 12_000, 30_000):  # beyond our limit, where Pillow warns, where Pillow refuses
        bomb = header(side) + chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
        refused(zipped(tmp_path / "bomb.zip", {"a.png": bomb}), "a.png")
    with warnings.catch_warnings(record=True) as caught:
        refused(zipped(tmp_path / "bomb.zip", {"a.png": bomb}), "a.png")
    assert not caught


def test_a_zip_member_that_unpacks_to_far_more_than_an_image_is_refused(tmp_path):
    grey = png(np.zeros((4, 4), np.uint8))
    files = {"a.png": grey, "b.png": grey + bytes(2**24)}
    path = zipped(tmp_path / "bomb.zip", files, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**15
    refused(path, "b.png has more than")


def test_an_npz_that_unpacks_to_far_more_than_fits_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 3, 8, 8)}
        )
        archive.writestr("images.npy", header.getvalue())
    refused(tmp_path / "bomb.npz")
    (tmp_path / "bomb.npy").write_bytes(header.getvalue())
    refused(tmp_path / "bomb.npy")


def test_images_that_are_not_alike_are_refused(tmp_path):
    grey, larger = np.zeros((4, 4), np.uint8), np.zeros((8, 8), np.uint8)
    colour = np.zeros((4, 4, 3), np.uint8)
    for other in (larger, colour):
        refused(zipped(tmp_path / "x.zip", {"a.png": png(grey), "b.png": png(other)}), "different shapes", "b.png")
    for file, words in {
        "rgba.png": (png(np.zeros((4, 4, 4), np.uint8)), "mode RGBA"),
        "wide.png": (png(np.zeros((4, 8), np.uint8)), "(n, c, h, h)"),
        "broken.png": (png(np.arange(4096, dtype=np.uint8).reshape(64, 64))[:-40], "broken.png"),
        "text.png": (b"hello", "text.png"),
    }.items():
        content, expected = words
        refused(zipped(tmp_path / "x.zip", {file: content}), expected)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["a.png", 1]], "no label for b.png"),
        ([["a.png", 1], ["b.png", -1]], "class numbers >= 0"),
        ([["a.png", 1], ["b.png", "cat"]], "class numbers >= 0"),
        ([["a.png", 1], ["b.png", [1.0]]], "class numbers >= 0"),
        ("nonsense", "dataset.json"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, words, tmp_path):
    grey = png(np.zeros((4, 4), np.uint8))
    files = {"a.png": grey, "b.png": grey, "dataset.json": json.dumps({"labels": labels})}
    refused(zipped(tmp_path / "x.zip", files), "dataset.json", words)


def test_a_damaged_zip_is_refused(tmp_path):
    whole = (FIXTURES / "edm_dataset_labelled.zip").read_bytes()
    place = whole.index(b"IDAT") + 100
    for content in (whole[:-200], whole[:place] + b"\xff\x00\xff" + whole[place + 3 :], b"hello", b""):
        (tmp_path / "bad.zip").write_bytes(content)
        refused(tmp_path / "bad.zip")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((2, 1, 4, 4), np.float32)}, "uint8, got float32"),
        ({"images": np.zeros((2, 2, 4, 4), np.uint8)}, "(n, c, h, h)"),
        ({"images": np.zeros((0, 1, 4, 4), np.uint8)}, "(n, c, h, h)"),
        ({"images": np.zeros((2, 1, 4, 4), np.uint8), "labels": np.array([1])}, "2 class numbers"),
        ({"images": np.zeros((2, 1, 4, 4), np.uint8), "labels": np.array([0.5, 1])}, "float64"),
        ({"images": np.array([{}], dtype=object)}, "allow_pickle"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "array named images"),
    ],
)
def test_arrays_that_are_not_images_are_refused(arrays, words, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    refused(tmp_path / "x.npz", words)


def test_an_array_file_that_is_cut_short_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 1, 8, 8), np.uint8))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-64])
    refused(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", images=np.zeros((20, 1, 8, 8), np.uint8))
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content[:-400])
    refused(tmp_path / "x.npz")


def test_sources_that_are_nothing_are_refused(tmp_path):
    refused(tmp_path / "none.zip", "no such file")
    refused(tmp_path, "no PNG images")
    (tmp_path / "x.txt").write_text("hello")
    refused(tmp_path / "x.txt", "'digits'", "*.tar.gz")


def test_an_image_set_checks_itself():
    with pytest.raises(DataError, match=r"\(n, c, h, h\)"):
        ImageSet(np.zeros((2, 3, 4, 5), np.uint8))


def test_the_digest_tells_sets_apart(rng):
    images = rng.integers(0, 256, (4, 1, 3, 3), dtype=np.uint8)
    labels = np.array([0, 1, 2, 3])
    other = images.copy()
    other[2, 0, 1, 1] ^= 1
    sets = [
        ImageSet(images),
        ImageSet(images, labels),
        ImageSet(images, labels[::-1].copy()),
        ImageSet(images[::-1].copy(), labels),
        ImageSet(other),
        ImageSet(images[:3]),
        ImageSet(images.reshape(4, 1, 9).reshape(1, 1, 6, 6)),
    ]
    assert len({one.digest for one in sets}) == len(sets)
    for one in sets[:2]:
        assert one.digest == ImageSet(one.images.copy(), one.labels).digest
