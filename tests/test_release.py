"""A release is one: its version, its changelog, and the files that its wheel must hold."""

import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stability", "toy", "deep")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_is_the_same_in_all_places():
    version = project()["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    released = re.findall(
        r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert released[0] == version
    assert set(re.findall(r"^ *version: (\S+)$", citation, re.MULTILINE)) == {version}


def data_files() -> list[str]:
    """Files of the packages that are no Python code, and belong to the project."""
    suffixes = {".html", ".typed", ".v", ".mplstyle", ".json", ".csv", ".txt", ".js", ".css"}
    return [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*"))
        if path.suffix in suffixes
    ]


def test_files_that_the_packages_read_are_declared():
    declared = [
        path.relative_to(ROOT).as_posix()
        for package, patterns in project()["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package).glob(pattern)
    ]
    assert len(declared) > 10  # the patterns match
    assert sorted(declared) == data_files()


@pytest.mark.slow
def test_the_source_distribution_holds_what_git_holds(tmp_path):
    archive = subprocess.run(
        ["git", "archive", "HEAD", "--output", tmp_path / "source.tar"], cwd=ROOT, check=False
    )
    if archive.returncode:
        pytest.skip("needs a clone")
    with tarfile.open(tmp_path / "source.tar") as source:
        source.extractall(tmp_path / "source", filter="data")
    tracked = {
        path.relative_to(tmp_path / "source").as_posix()
        for path in (tmp_path / "source").rglob("*")
        if path.is_file()
    }

    code = "from setuptools import build_meta; build_meta.build_sdist('..')"
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "source", check=True, capture_output=True
    )
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as distribution:
        names = {name.partition("/")[2] for name in distribution.getnames()}
    assert tracked <= names
