import io
import zipfile

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.array_file import read_arrays, read_sealed_arrays, write_arrays
from stability.sealed import sealed_digest
from stability.untrusted import UntrustedFileError

arrays = hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=3))


@given(given_arrays=st.dictionaries(st.text("abcd-", min_size=1), arrays, max_size=3))
def test_arrays_come_back_as_numpy_reads_them(given_arrays, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "arrays.npz"
    digest = write_arrays(path, given_arrays)
    found, found_digest = read_sealed_arrays(path)
    assert found_digest == digest
    assert list(found) == list(given_arrays)
    with np.load(path) as expected:
        for name, x in found.items():
            assert (x.dtype, x.shape, x.tobytes()) == (
                expected[name].dtype,
                expected[name].shape,
                expected[name].tobytes(),
            )
            assert x.flags.writeable


def member(header, content=b"", names=("x.npy",), method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in names:
            archive.writestr(name, b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content)
    return file


def header(dtype="'<f8'", shape="(2,)"):
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}\n".encode()


def renamed_twice():
    """Two members of one name, which Python itself writes with a warning only."""
    content = member(header(), bytes(16), names=["x.npy", "y.npy"]).getvalue()
    return io.BytesIO(content.replace(b"y.npy", b"x.npy"))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (member(header(shape=f"({10**15},)"), bytes(16)), "holds 16 bytes for an array of 8,000,000,000,000,000"),
        (member(header(), bytes(8)), "holds 8 bytes for an array of 16"),
        (member(header(dtype="'|O'"), bytes(16)), "Python objects"),
        (member(header(shape="(-1, -2)"), bytes(16)), "impossible shape"),
        (member(header(shape="(" * 300), bytes(16)), "damaged"),
        (member(header(), bytes(16), names=["evil.pkl"]), "evil.pkl, which is no array"),
        (renamed_twice(), "a second one"),
        (member(b"", b""), "damaged"),
        (io.BytesIO(b"PK"), "is not a zip archive"),
        (io.BytesIO(b""), "is not a zip archive"),
    ],
)  # fmt: skip
def test_what_an_array_claims_is_checked_before_memory_is_taken(file, message):
    with pytest.raises(UntrustedFileError, match=message):
        read_arrays(file)


def test_sizes_are_bounded(tmp_path):
    large = member(header(shape="(1000,)"), bytes(8000), method=zipfile.ZIP_DEFLATED)
    assert read_arrays(large)["x"].shape == (1000,)
    with pytest.raises(UntrustedFileError, match="unpacks to"):
        read_arrays(large, largest=4000)
    write_arrays(tmp_path / "x.npz", {"x": np.zeros(1000)})
    with pytest.raises(UntrustedFileError, match="at most 4,000 are read"):
        read_sealed_arrays(tmp_path / "x.npz", largest=4000)


def test_without_a_digest_a_file_is_not_taken_for_one_of_ours(tmp_path):
    with (tmp_path / "x.npz").open("w+b") as file:
        np.savez(file, x=np.zeros(3))
        with pytest.raises(UntrustedFileError, match="carries no digest"):
            sealed_digest(file)
    with pytest.raises(UntrustedFileError, match="carries no digest"):
        read_sealed_arrays(tmp_path / "x.npz")
