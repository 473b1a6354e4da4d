import numpy as np
import pytest

from deep.data import DataError, ImageSet


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
