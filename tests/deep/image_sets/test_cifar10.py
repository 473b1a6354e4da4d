import gzip
import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest

import deep.image_sets.cifar10
from deep.data import load_images, read_cifar10
from tests.support.data_files import CIFAR, cifar_members, refused, tarred


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
        f"cifar-10-batches-py/data_batch_{i}": pickle.dumps(
            {"data": data, "labels": [i, 9]}, protocol
        )
        for i in range(1, 6)
    }
    members["cifar-10-batches-py/batches.meta"] = pickle.dumps({"num_cases_per_batch": 2}, protocol)
    read = load_images(tarred(tmp_path / "made.tar.gz", members))
    np.testing.assert_array_equal(read.images[:2].reshape(2, 3072), data)
    assert read.labels is not None
    assert read.labels.tolist() == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]


class Bomb:
    """Makes a folder when it is unpickled by an ordinary unpickler."""

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
        (
            {"data": np.zeros((4, 3071), np.uint8), "labels": [0] * 4},
            ["4 images of 3072 bytes", "(4, 3071)"],
        ),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [0] * 3}, ["4 images", "(3, 3072)"]),
        ({"data": np.zeros((4, 3072), np.float32), "labels": [0] * 4}, ["type f4", "uint8"]),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2]}, ["4 labels"]),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, 10]}, ["from 0 to 9"]),
        (
            {"data": np.asfortranarray(np.zeros((4, 3072), np.uint8)), "labels": [0] * 4},
            ["C order"],
        ),
        ([1, 2], ["list", "not a dictionary"]),
    ],
)
def test_a_batch_of_another_content_is_refused(batch, words, tmp_path):
    members = {**cifar_members(), "cifar-10-batches-py/data_batch_2": pickle.dumps(batch, 2)}
    refused(tarred(tmp_path / "bad.tar.gz", members), "data_batch_2", *words)


def test_a_pickle_that_claims_memory_it_does_not_need_is_refused_at_once(tmp_path):
    # memo place 2^31 − 1; 1 TiB
    claims = b"\x80\x02}r\xff\xff\xff\x7f." + b"\x80\x04\x8e" + struct.pack("<Q", 2**40)
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


def test_a_tar_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(deep.image_sets.cifar10, "LARGEST_ARCHIVE", 2**24)
    path = tmp_path / "bomb.tar.gz"
    info = tarfile.TarInfo("cifar-10-batches-py/zeros")
    info.size = 2**33 - 1  # a larger one takes another header
    with gzip.GzipFile(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        for _ in range(2**4):  # 16 MiB of zeros, beside the header
            file.write(bytes(2**20))
    refused(path, "unpacks to more than")


BATCH = "cifar-10-batches-py/data_batch_2"


def pickled(*operations):
    return b"\x80\x02" + b"".join(operations) + b"."


TOWER = b"()q\0" + b"h\0h\0\x86q\0" * 60 + b"l"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        # the tuple of a tuple and itself, 60 times over, as a key: its hash looks at 2^60 places
        (pickled(TOWER, b"}(h\0Nu"), "a key that is a tuple"),
        (pickled(TOWER, b"}h\0Ns"), "a key that is a tuple"),
        (pickled(TOWER, b"(h\0Nd"), "a key that is a tuple"),
        (pickled(TOWER, b"\x8f(h\0\x90"), "EMPTY_SET"),
        # such a tuple as the type of an array: its text has 2^60 letters
        (pickled(TOWER, b"cnumpy\ndtype\nh\0\x85R"), "type tuple"),
        # 16 MB of text that are encoded again and again
        (
            pickled(
                b"(X" + struct.pack("<I", 2**24) + b"a" * 2**24 + b"q\x00X\x06\0\0\0latin1q\x01",
                *[b"c_codecs\nencode\nh\x00h\x01\x86R"] * 1000,
                b"l",
            ),
            "more bytes than a batch has",
        ),
        (pickled(b"c" + b"a" * 40_000 + b"\nb\n"), "aaa…, which no CIFAR-10 batch needs"),
        (pickled(b"]" * 1_000_000), "more than 200000 operations"),
        (pickled(b"]" + b"2" * 100), "DUP"),
        (pickled(b"cos\nsystem\n"), "os.system"),
        (pickled(b"I" + b"9" * 100_000 + b"\n"), ""),
    ],
)
def test_pickles_that_never_end_are_refused_at_once(content, words, tmp_path):
    refused(
        tarred(tmp_path / "bad.tar.gz", {**cifar_members(), BATCH: content}), "data_batch_2", words
    )


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_SPARSE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.LNKTYPE]
)
def test_members_that_are_no_plain_files_are_refused(kind, tmp_path):
    def other(info):
        if info.name == BATCH:
            info.type = kind
        return info

    refused(
        tarred(tmp_path / "bad.tar.gz", cifar_members(), other),
        "data_batch_2 is neither a file nor a folder",
    )


def test_headers_for_times_and_long_names_are_passed_over(tmp_path):
    """As Python's tarfile and GNU tar write them; digits without end keep the former busy for
    hours.
    """

    def timed(info):
        info.mtime = 1.5
        info.pax_headers = {"comment": "7" * 1_000_000}
        return info

    members = {**cifar_members(), "long/" * 40 + "name": b"text"}
    timed_set = load_images(tarred(tmp_path / "timed.tar.gz", members, timed))
    np.testing.assert_array_equal(timed_set.images, load_images(CIFAR).images)


def test_a_batch_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "bad.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in [*cifar_members().items(), (BATCH, b"other")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    refused(path, "data_batch_2 twice")


def test_a_batch_that_is_a_pipe_is_refused(tmp_path):
    for name, content in cifar_members().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / BATCH).unlink()
    os.mkfifo(tmp_path / BATCH)
    refused(tmp_path, "lacks data_batch_2")
