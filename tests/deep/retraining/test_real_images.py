import numpy as np
import pytest

from deep.data import ImageSet, load_images
from deep.retraining.real_images import is_cifar10, split
from stability.runs.command_line import UsageError
from tests.conftest import FIXTURES

CIFAR = str(FIXTURES / "cifar10_tiny.tar.gz")
DIGITS = load_images("digits")


def rows(images):
    return sorted(image.tobytes() for image in images)


def numbered(n):
    """n different images whose labels say which is which."""
    images = np.zeros((n, 1, 2, 2), np.uint8)
    images[:, 0, 0, 0] = np.arange(n)
    return ImageSet(images, np.arange(n))


@pytest.mark.parametrize(("n", "rounds"), [(7, 0), (7, 2), (10, 3), (40, 0)])
def test_each_image_is_in_one_part(n, rounds, rng):
    images = numbered(40)
    real = split("x.npz", images, n, rounds, None, seed=int(rng.integers(2**31)))
    parts = [part for part in (real.train, real.fresh, real.held_out) if part is not None]
    sizes = [size for size in (n, rounds * n, 40 - (rounds + 1) * n) if size]
    assert [len(part.images) for part in parts] == sizes
    assert rows(np.concatenate([part.images for part in parts])) == rows(images.images)
    for part in parts:
        np.testing.assert_array_equal(part.labels, part.images[:, 0, 0, 0])


def test_who_is_chosen_depends_on_the_seed_alone_and_not_on_the_rounds():
    one, two, other = (
        split("x.npz", numbered(40), 10, rounds, None, seed)
        for rounds, seed in ((0, 1), (3, 1), (0, 2))
    )
    np.testing.assert_array_equal(one.train.images, two.train.images)
    assert not np.array_equal(one.train.images, other.train.images)


def test_half_of_the_digits_and_all_of_anything_else():
    real = split("digits", DIGITS, 0, 0, None, 0)
    assert real.held_out is not None
    assert (len(real.train.images), len(real.held_out.images)) == (898, 899)
    assert split("x.npz", numbered(5), 0, 0, None, 0).held_out is None
    np.testing.assert_array_equal(
        split("x.npz", numbered(5), 0, 0, None, 3).train.images, numbered(5).images
    )
    assert len(split("digits", DIGITS, 0, 0, "digits", 0).train.images) == 1797


def test_both_halves_of_the_digits_have_all_writers(rng):
    """In order, the first half has other writers than the second, and the mean images are 2.6
    times as far apart as by chance. Its square is about χ²/k with k = 22 at random halves
    (from 300 of them): above 2 with probability 1e-9.
    """
    real = split("digits", DIGITS, 0, 0, None, int(rng.integers(2**31)))
    assert real.held_out is not None
    halves = [real.train.images, real.held_out.images]
    ordered = [DIGITS.images[:898], DIGITS.images[898:]]

    def distance(one, two):
        sd = DIGITS.images.std(axis=0)
        gap = (one.mean(axis=0) - two.mean(axis=0))[sd > 1] / sd[sd > 1]
        return np.sqrt((gap**2).mean()) / np.sqrt(4 / 1797)

    assert distance(*halves) < 2 < distance(*ordered)


def test_the_archive_of_cifar10_has_its_own_test_images():
    real = split(CIFAR, load_images(CIFAR), 0, 0, None, 0)
    assert real.held_out is not None
    assert (len(real.train.images), len(real.held_out.images)) == (20, 4)
    few = split(CIFAR, load_images(CIFAR), 5, 2, None, 0)
    assert few.held_out is not None
    assert few.fresh is not None
    assert (len(few.fresh.images), len(few.held_out.images)) == (10, 4)
    assert is_cifar10(CIFAR)
    assert not is_cifar10("digits")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((6, 0, None), "--real must be at most 5, the number of images in x.npz, got 6"),
        (
            (2, 2, None),
            "--regime fresh needs 4 new real images in all, and x.npz has 3 beside the 2 of --real",
        ),
        ((0, 0, "digits"), r"--held-out digits has images of shape \(1, 8, 8\), not \(1, 2, 2\)"),
        ((0, 0, "/no/such.npz"), "--held-out: /no/such.npz: no such file"),
    ],
)
def test_what_cannot_be(arguments, message):
    n, rounds, held_out = arguments
    with pytest.raises(UsageError, match=message):
        split("x.npz", numbered(5), n, rounds, held_out, 0)
