import numpy as np
import pytest
import torch

from deep.data import load_images
from deep.metrics.frechet import frechet_distance, moments
from deep.metrics.label_encoder import EncoderTraining, LabelEncoder, train_encoder

SHORT = EncoderTraining(steps=3, width=8, batch=16)


@pytest.fixture(scope="module")
def digits():
    return load_images("digits")


@pytest.fixture(scope="module")
def halves(digits):
    """The encoder of a random half of the digits, and which those are and are not."""
    seed = np.random.SeedSequence().entropy
    print(f"seed of the halves: {seed}")  # noqa: T201
    order = np.random.default_rng(seed).permutation(len(digits.images))
    own, other = order[:900], order[900:]
    return train_encoder(digits.images[own], digits.labels[own], EncoderTraining()), own, other


def equal(one, two):
    return all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


def test_it_learns_what_new_images_show(digits, halves):
    encoder, _, other = halves
    guesses = encoder.scores(torch.from_numpy(digits.images[other])).argmax(1).numpy()
    assert (guesses == digits.labels[other]).mean() > 0.9


def test_its_distances_see_noise_and_a_lost_class_above_the_floor(digits, halves, rng):
    encoder, own, other = halves

    def distance(images):
        return frechet_distance(moments(encoder(torch.from_numpy(images))), reference)

    reference = moments(encoder(torch.from_numpy(digits.images[own])))
    floor = distance(digits.images[other])
    noise = rng.integers(0, 80, digits.images[other].shape)
    noisy = (digits.images[other].astype(int) + noise).clip(0, 255).astype(np.uint8)
    assert distance(noisy) > 2 * floor
    assert distance(digits.images[other][digits.labels[other] != 3]) > 1.5 * floor


def test_the_seed_decides(digits):
    one, same, other = (
        train_encoder(digits.images, digits.labels, EncoderTraining(seed=seed, steps=3, width=8))
        for seed in (1, 1, 2)
    )
    assert equal(one, same)
    assert not equal(one, other)
    assert not one.training


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 8, 31, 32, 33])
def test_images_of_any_size_and_features_of_one(side):
    with torch.device("meta"):
        encoder = LabelEncoder(3, side, 4, 5)
    last = side
    for _ in encoder.halve:
        assert last > 2
        last = -(-last // 2)
    assert last <= 2
    images = torch.zeros(2, 3, side, side, dtype=torch.uint8, device="meta")
    assert encoder(images).shape == (2, 5)
    assert encoder.scores(images).shape == (2, 4)


def test_class_numbers_need_not_be_consecutive(digits):
    shifted = train_encoder(digits.images, digits.labels * 7 + 2, SHORT)
    assert equal(shifted, train_encoder(digits.images, digits.labels, SHORT))


def test_bad_arguments(digits):
    with pytest.raises(ValueError, match="two classes or more, got 1"):
        train_encoder(digits.images, np.zeros(len(digits.images), int), SHORT)
    with pytest.raises(ValueError, match="a label for each image, got 3 for 1797"):
        train_encoder(digits.images, digits.labels[:3], SHORT)
    with pytest.raises(FloatingPointError, match=r"the loss of the encoder is .* at step"):
        train_encoder(
            digits.images, digits.labels, EncoderTraining(steps=9, width=8, learning_rate=1e30)
        )
