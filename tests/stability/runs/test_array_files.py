import io
import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from stability.runs.array_files import npz_sizes, read_npy, read_npz
from stability.runs.untrusted import UntrustedFileError

ARRAYS = npst.arrays(
    st.sampled_from(["u1", "<i8", ">i4", "<f4", ">f8", "?", "<c8"]),
    npst.array_shapes(min_dims=0, min_side=0, max_side=4),
)
LIMIT = 2**20


def npy(array, **options):
    content = io.BytesIO()
    np.lib.format.write_array(content, array, **options)
    return content.getvalue()


def with_header(text, content=b"", version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + content


def header(descr="'|u1'", fortran="False", shape="(4,)"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def same(found, array):
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, array)


@given(ARRAYS, st.booleans(), st.sampled_from([(1, 0), (2, 0), (3, 0)]))
def test_arrays_that_numpy_wrote(tmp_path_factory, array, fortran, version):
    folder = tmp_path_factory.mktemp("npy")
    written = np.asfortranarray(array) if fortran else array
    (folder / "x.npy").write_bytes(npy(written, version=version))
    same(read_npy(folder / "x.npy", LIMIT), array)


@given(st.lists(ARRAYS, max_size=3), st.booleans())
def test_archives_that_numpy_wrote(tmp_path_factory, arrays, packed):
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    by_name = {f"array {i}": array for i, array in enumerate(arrays)}
    (np.savez_compressed if packed else np.savez)(path, **by_name)
    sizes = npz_sizes(path, LIMIT)
    assert list(sizes) == list(by_name)
    for name, array in by_name.items():
        assert array.nbytes < sizes[name] < array.nbytes + 200
    for name, array in read_npz(path, LIMIT).items():
        same(array, by_name[name])


def test_only_the_arrays_that_are_wanted_are_read(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.array([{}], dtype=object))
    assert list(read_npz(tmp_path / "x.npz", LIMIT, ["a"])) == ["a"]
    with pytest.raises(UntrustedFileError, match="lacks the array c"):
        read_npz(tmp_path / "x.npz", LIMIT, ["a", "c"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an array"),
        (b"\x93NUMPY", "not an array"),
        (with_header(header(), bytes(4), version=3)[:9], "header"),
        (b"\x93NUMPY\x09\x00" + bytes(20), "version 9"),
        (with_header(header(shape=f"({2**40}, {2**20})"), bytes(4)), "says that it holds"),
        (with_header(header(shape="(0, 5)"), bytes(4)), "says that it holds 0 bytes"),
        (with_header(header(shape=f"({2**70}, 0)")), "shape"),
        (with_header(header(shape="(" + "9" * 3000 + ",)")), "shape that is none"),
        (with_header(header(shape="(1, " * 1 + ", ".join("1" * 80) + ")"), bytes(1)), "shape"),
        (with_header(header(shape="(-4,)"), bytes(4)), "header"),
        (with_header(header(shape="(4.0,)"), bytes(4)), "header"),
        (with_header(header(shape="[4]"), bytes(4)), "header"),
        (with_header(header(shape="(" * 3000 + ")" * 3000), version=2), "header of"),
        (with_header(header(shape="(" * 900 + ")" * 900)), "header that is not"),
        (with_header(header(shape="-" * 3000 + "1")), "header that is not"),
        (with_header(header(shape="(*[4],)")), "header that is not"),
        (with_header("x" * 40_000), "header of 40,000 bytes"),
        (with_header(header("[('a', '|u1')]"), bytes(4)), "header that is not"),
        (with_header(header("'|O'"), bytes(32)), "Python objects"),
        (with_header(header("'<U4'", shape="(1,)"), bytes(16)), "not of numbers"),
        (with_header(header("'<M8'"), bytes(32)), "not of numbers"),
        (with_header(header("'<f3'"), bytes(12)), "NumPy does not have"),
        (npy(np.arange(9))[:-1], "says that it holds 72 bytes of numbers, and has 71"),
        (npy(np.arange(9)) + b"\0", "says that it holds 72 bytes of numbers, and has 73"),
    ],
)
def test_what_is_no_array_of_numbers_is_one_line(tmp_path, content, message):
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
    for read, name in ((read_npy, "x.npy"), (read_npz, "x.npz")):
        with pytest.raises(UntrustedFileError, match=message) as caught:
            read(tmp_path / name, LIMIT)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


def test_sizes_are_bounded_before_memory_is_taken(tmp_path):
    with (tmp_path / "sparse.npy").open("wb") as file:
        file.write(with_header(header(shape=f"({2**40},)")))
        file.truncate(2**40 + 100)
    with pytest.raises(UntrustedFileError, match="at most"):
        read_npy(tmp_path / "sparse.npy", LIMIT)

    content = with_header(header(shape=f"({2**24},)"), bytes(2**24))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(UntrustedFileError, match="at most"):
        read_npz(tmp_path / "bomb.npz", 2**23)
    assert len(read_npz(tmp_path / "bomb.npz", 2**24)["images"]) == 2**24


def test_a_flipped_bit_is_noticed(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.arange(100))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[content.index(struct.pack("<q", 50))] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UntrustedFileError, match=r"images\.npy: Bad CRC-32"):
        read_npz(tmp_path / "x.npz", LIMIT)


def test_a_pipe_and_other_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (read_npy, read_npz, npz_sizes):
        with pytest.raises(UntrustedFileError, match="regular"):
            read(tmp_path / "pipe", LIMIT)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.png", b"")
    with pytest.raises(UntrustedFileError, match=r"a\.png, which is no array"):
        npz_sizes(tmp_path / "x.npz", LIMIT)
