import resource

import numpy as np
import pytest
import torch

from stability.runs.atomic import PARTIAL_SUFFIX, atomic_write


def test_the_file_appears_whole(tmp_path):
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half():
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_half()
    assert path.read_bytes() == b"old"
    assert not list(tmp_path.glob(f"*{PARTIAL_SUFFIX}"))


@pytest.mark.parametrize(
    "save",
    [
        lambda file: torch.save(torch.zeros(10**5), file),
        lambda file: np.savez(file, x=np.zeros(10**5)),
    ],
)
def test_a_full_disk_is_an_error_that_names_the_file(save, tmp_path):
    """Also where torch raises another error on the way out.

    A limit on the size of files stands for the disk's.
    """
    path = tmp_path / "file"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write():
        with atomic_write(path) as file:
            save(file)

    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert not list(tmp_path.iterdir())


def test_links_are_replaced_and_never_followed(tmp_path):
    """Under the final name, and under that of a half-written file."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    for name in ("file", f"file{PARTIAL_SUFFIX}"):
        (tmp_path / name).symlink_to(precious)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"new")
    assert precious.read_bytes() == b"precious"
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
