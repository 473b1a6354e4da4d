import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from deep.data import DataError, ImageSet, load_chains, load_images
from deep.image_sets import image_set


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


@pytest.mark.parametrize("kind", ["x.npy", "x.npz", "x.zip", "x"])
def test_a_set_larger_than_memory_is_refused_before_it_is_read(kind, tmp_path, monkeypatch, rng):
    """The same file is read where there is room."""
    images = rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    folder = tmp_path / "x"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[0]).save(folder / f"{i:02d}.png")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", images=images, unread=np.zeros(10**6))

    monkeypatch.setattr(image_set, "memory_limit", lambda: 10_000)
    with warnings.catch_warnings(action="ignore"):
        assert np.array_equal(load_images(tmp_path / kind).images, images)

    monkeypatch.setattr(image_set, "memory_limit", lambda: images.nbytes - 100)
    with pytest.raises(DataError, match=r"takes 2\.\d+e-06 GB of memory, and there are 2\.46e-06"):
        load_images(tmp_path / kind)


def test_chains_larger_than_memory_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    chain = np.zeros((50, 1, 4, 4), np.uint8)
    np.savez(path, **{"chain-0": chain, "chain-1": chain})  # type: ignore[arg-type]
    assert len(load_chains(path)) == 2
    monkeypatch.setattr(image_set, "memory_limit", lambda: 1500)
    with pytest.raises(DataError, match=r"GB of memory, and there are 1\.5e-06 GB"):
        load_chains(path)
