"""Image data sets to be read in tests, and what is asked of a refusal."""

import io
import tarfile
import zipfile

import pytest
from PIL import Image

from deep.data import DataError, load_images
from tests.conftest import FIXTURES

CIFAR = FIXTURES / "cifar10_tiny.tar.gz"


def encoded(pixels, kind="PNG", mode=None, **options):
    """A picture file.   pixels: (h, w) or (h, w, c) uint8.   mode: to be converted to."""
    content = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(content, format=kind, **options)
    return content.getvalue()


def written(folder, files):
    """A folder of files, by their names in it."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


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
