import io
import zipfile

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stability.runs.sealed import read_sealed_npz, seal, sealed_digest, write_sealed_npz
from stability.runs.untrusted import UntrustedFileError


def archive(save):
    file = io.BytesIO()
    save(file)
    digest = seal(file)
    return file.getvalue(), digest


SAVED = {
    "npz": lambda file: np.savez(file, x=np.arange(5)),
    "torch": lambda file: torch.save({"x": torch.arange(5)}, file),
}


@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
def test_a_sealed_archive_is_read_by_everyone_and_has_equal_bytes_each_time(save):
    content, digest = archive(save)
    assert archive(save) == (content, digest)
    assert sealed_digest(io.BytesIO(content)) == digest
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    if save is SAVED["npz"]:
        assert np.load(io.BytesIO(content))["x"].tolist() == [0, 1, 2, 3, 4]
    else:
        assert torch.load(io.BytesIO(content), weights_only=True)["x"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
def test_every_flipped_bit_and_every_cut_is_noticed(save, rng):
    content, _ = archive(save)
    bits = (
        range(8 * len(content))
        if len(content) < 600
        else rng.choice(8 * len(content), 600, replace=False)
    )
    for bit in bits:
        spoiled = bytearray(content)
        spoiled[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UntrustedFileError):
            sealed_digest(io.BytesIO(spoiled))
    for size in rng.choice(len(content), 50):
        with pytest.raises(UntrustedFileError, match="carries no digest"):
            sealed_digest(io.BytesIO(content[:size]))


def test_only_a_whole_archive_can_be_sealed():
    with pytest.raises(ValueError, match="only a zip archive"):
        seal(io.BytesIO(b"no archive"))


numbers = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.floating_dtypes()
    | hnp.complex_number_dtypes()
)
arrays = hnp.arrays(numbers, hnp.array_shapes(min_dims=1, min_side=0, max_side=3))


@given(
    given_arrays=st.dictionaries(st.text("abcd-", min_size=1), arrays, max_size=3),
    order=st.sampled_from("CF"),
)
def test_sealed_arrays_come_back_as_numpy_reads_them(given_arrays, order, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "arrays.npz"
    digest = write_sealed_npz(
        path, {name: np.asarray(x, order=order) for name, x in given_arrays.items()}
    )
    content = path.read_bytes()
    assert write_sealed_npz(path, {name: x.copy() for name, x in given_arrays.items()}) == digest
    assert path.read_bytes() == content
    found, found_digest = read_sealed_npz(path)
    assert found_digest == digest
    assert list(found) == list(given_arrays)
    with np.load(path) as expected:
        for name, x in found.items():
            np.testing.assert_array_equal(x, expected[name])
            assert x.shape == expected[name].shape
            assert x.flags.writeable


def test_without_a_digest_an_npz_is_not_taken_for_one_of_ours(tmp_path):
    with (tmp_path / "x.npz").open("wb") as file:
        np.savez(file, x=np.zeros(3))
    with pytest.raises(UntrustedFileError, match="carries no digest"):
        read_sealed_npz(tmp_path / "x.npz")
