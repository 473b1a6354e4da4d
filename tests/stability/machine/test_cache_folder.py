import os
import stat
import tempfile
from pathlib import Path

import pytest

from stability.machine.cache_folder import cache_folder, private_folder


@pytest.fixture(autouse=True)
def temporary_files_of_this_test(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def test_the_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches" / "iterative-retraining"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "iterative-retraining"
    assert cache_folder().is_dir()


def test_a_folder_that_cannot_be_made_is_replaced_with_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="XDG_CACHE_HOME"):
        found = cache_folder()
    assert found == private_folder()
    (found / "kept").touch()


def test_a_user_without_a_home_folder_has_a_cache(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.warns(UserWarning, match="home directory"):
        assert cache_folder() == private_folder()


def test_the_private_folder_is_kept_and_nobody_else_can_write_it():
    folder = private_folder()
    assert folder == private_folder()
    assert stat.S_IMODE(folder.stat().st_mode) & 0o022 == 0


@pytest.mark.parametrize("trap", ["writable", "link", "file"])
def test_a_folder_that_somebody_else_prepared_is_not_used(trap, tmp_path):
    expected = private_folder()
    expected.rmdir()
    if trap == "writable":
        expected.mkdir()
        expected.chmod(0o777)
    elif trap == "link":
        (tmp_path / "elsewhere").mkdir()
        expected.symlink_to(tmp_path / "elsewhere")
    else:
        expected.touch()

    found = private_folder()
    assert found != expected
    assert found.is_dir()
    assert os.stat(found).st_uid == os.getuid()  # noqa: PTH116
