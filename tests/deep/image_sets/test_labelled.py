import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep.data import load_chains
from deep.image_sets.image_set import DataError
from deep.image_sets.labelled import class_shares, is_labelled, joined, split


@given(
    n=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    side=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_images_and_classes_come_back(n, channels, side, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, channels, side, side), dtype=np.uint8)
    labels = rng.integers(0, 256, n)
    points = joined(images, labels)
    assert is_labelled(points.shape)
    assert not is_labelled(images.shape)
    found = split(points)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, labels)


def test_what_is_no_class_is_refused():
    images = np.zeros((2, 1, 2, 2), np.uint8)
    with pytest.raises(
        ValueError, match="labels must be class numbers from 0 to 255, got 0 to 256"
    ):
        joined(images, np.array([0, 256]))
    with pytest.raises(ValueError, match="labels must be class numbers from 0 to 255, got -1 to 0"):
        joined(images, np.array([0, -1]))
    with pytest.raises(ValueError, match="labels must be 2 class numbers"):
        joined(images, np.array([0]))
    points = joined(images, np.array([3, 4]))
    points[1, 1, 1, 0] = 5
    with pytest.raises(DataError, match="has 2 channels, of which the last must hold the class"):
        split(points)


def test_the_samples_of_a_run_come_with_their_classes(tmp_path, rng):
    images = rng.integers(0, 256, (3, 1, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", **{"chain-000": joined(images, np.arange(3)), "chain-001": images})
    told, untold = load_chains(tmp_path / "a.npz").values()
    np.testing.assert_array_equal(told.images, images)
    np.testing.assert_array_equal(told.labels, [0, 1, 2])
    assert untold.labels is None


def test_shares_are_counts():
    np.testing.assert_array_equal(class_shares(np.array([2, 0, 2, 2]), 4), [0.25, 0, 0.75, 0])
