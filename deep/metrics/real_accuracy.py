"""Accuracy on real images of a classifier that is trained on generated ones, class by class.

It asks what users of synthetic data ask: what is a model worth that learns from them? Known as the
classification accuracy score (Ravuri and Vinyals 2019) and as "train on synthetic, test on real".
The classifier is the encoder of `deep.metrics.label_encoder`, trained anew on each set.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from deep.content_cache import cached_arrays, digest
from deep.image_sets.image_set import ImageSet
from deep.metrics.label_encoder import EncoderTraining, train_encoder
from stability.runs.observer import Floor, as_floor

__all__ = ["ACCURACY", "RealAccuracy", "class_accuracies", "key_of_class"]

ACCURACY = "accuracy on real images"
"""Key of the share of all real images that are classified correctly."""
FLOOR_TRAININGS = 5
"""Classifiers that are trained on as many real images, each with a seed of its own."""
BATCH = 500
"""Images that are classified at once."""


def key_of_class(number: int) -> str:
    """Name the accuracy of one class.

    Args:
        number: The class.

    Returns:
        Key of its quantity in the history of a run.
    """
    return f"{ACCURACY}, class {number}"


def class_accuracies(
    training: ImageSet, test: ImageSet, settings: EncoderTraining
) -> dict[str, float]:
    """Train a classifier on one set of images and classify another one.

    Args:
        training: Images with labels; where all have one class, every image is given that class.
        test: Images with labels, of the same shape.
        settings: How the classifier is trained.

    Returns:
        Share of the test images that are given their class: of all of them (`ACCURACY`) and of each
        class among them (`key_of_class`), and the standard errors √(p(1 − p)/n) of drawing the n
        test images.

    Raises:
        ValueError: If a set has no labels, or the shapes differ.
    """
    if training.labels is None or test.labels is None:
        raise ValueError("training and test must have labels")
    if training.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"test must have images of shape {training.images.shape[1:]}, got "
            f"{test.images.shape[1:]}"
        )
    right = _predicted(training, test.images, settings) == test.labels

    parts = {ACCURACY: right}
    parts |= {key_of_class(k): right[test.labels == k] for k in np.unique(test.labels).tolist()}
    found = {key: float(part.mean()) for key, part in parts.items()}
    errors = {
        f"{key}, standard error": (found[key] * (1 - found[key]) / len(part)) ** 0.5
        for key, part in parts.items()
    }
    return found | errors


@torch.inference_mode()
def _predicted(training: ImageSet, images: np.ndarray, settings: EncoderTraining) -> np.ndarray:
    """Class of each image, (n,), by a classifier that is trained on `training`."""
    assert training.labels is not None
    classes = np.unique(training.labels)
    if len(classes) == 1:
        return np.repeat(classes, len(images))
    with torch.inference_mode(False):
        encoder = train_encoder(training.images, training.labels, settings)
    scores = [
        encoder.scores(torch.from_numpy(images[start : start + BATCH]))
        for start in range(0, len(images), BATCH)
    ]
    return classes[torch.cat(scores).argmax(dim=1).numpy()]


class RealAccuracy:
    """Measures sets of labelled images by what a classifier learns from them.

    Args:
        train: The real images of a run, with labels: for the floor.
        test: Other real images, with labels.
        samples: Images of a set that is measured.
        seed: Of the classifier, the same for every set.
        cache: Folder for the floor.
    """

    def __init__(
        self, train: ImageSet, test: ImageSet, samples: int, seed: int, cache: Path
    ) -> None:
        self._train, self._test, self._cache = train, test, cache
        self._samples, self._settings = samples, EncoderTraining(seed=seed)
        assert test.labels is not None
        self.classes: list[int] = np.unique(test.labels).tolist()

    @property
    def test_images(self) -> int:
        """Number of real images that are classified."""
        return len(self._test.images)

    def __call__(self, images: ImageSet) -> dict[str, float]:
        """Measure one set; see `class_accuracies`."""
        return class_accuracies(images, self._test, self._settings)

    def floor(self) -> Mapping[str, Floor]:
        """Measure as many real images, or all if there are fewer, several times.

        Returns:
            Mean and standard deviation over `FLOOR_TRAININGS` classifiers by key.
        """
        real = self._train
        if self._samples < len(real.images):
            assert real.labels is not None
            real = ImageSet(real.images[: self._samples], real.labels[: self._samples])

        def make() -> dict[str, np.ndarray]:
            seeds = range(self._settings.seed, self._settings.seed + FLOOR_TRAININGS)
            found = [
                class_accuracies(real, self._test, replace(self._settings, seed=seed))
                for seed in seeds
            ]
            return {key: np.array([one[key] for one in found]) for key in self._keys}

        key = digest(json.dumps(asdict(self._settings)), real.digest, self._test.digest)
        kept = cached_arrays(self._cache / "accuracies" / f"{key}.npz", make)
        return {name: as_floor(kept[name].tolist()) for name in self._keys}

    @property
    def _keys(self) -> list[str]:
        return [ACCURACY, *map(key_of_class, self.classes)]
