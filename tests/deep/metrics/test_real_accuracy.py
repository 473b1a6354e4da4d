import numpy as np
import pytest

from deep.data import load_images
from deep.image_sets.image_set import ImageSet
from deep.metrics.label_encoder import EncoderTraining
from deep.metrics.real_accuracy import (
    ACCURACY,
    FLOOR_TRAININGS,
    RealAccuracy,
    class_accuracies,
    key_of_class,
)

QUICK = EncoderTraining(steps=60, width=16, batch=32, learning_rate=1e-2)


def constant(levels, labels):
    """Images of one grey level each: a class that anything can learn."""
    images = np.broadcast_to(
        np.array(levels, np.uint8)[:, None, None, None], (len(levels), 1, 4, 4)
    )
    return ImageSet(np.ascontiguousarray(images), np.array(labels))


def test_a_class_that_the_images_lack_is_never_found():
    """Black and white are learned, and grey, which only the test has, is always wrong: exact
    numbers, whatever the classifier does with it.
    """
    training = constant([0, 255] * 20, [3, 5] * 20)
    test = constant([0] * 6 + [255] * 2 + [128] * 4, [3] * 6 + [5] * 2 + [9] * 4)
    found = class_accuracies(training, test, QUICK)
    assert found[key_of_class(9)] == 0
    assert found[key_of_class(3)] == found[key_of_class(5)] == 1
    assert found[ACCURACY] == pytest.approx(8 / 12)
    assert found[f"{ACCURACY}, standard error"] == pytest.approx((2 / 3 * 1 / 3 / 12) ** 0.5)
    assert found[f"{key_of_class(9)}, standard error"] == 0


def test_wrong_classes_are_wrong():
    """Negative control: with the classes exchanged, nothing is right."""
    training = constant([255, 0] * 20, [3, 5] * 20)
    test = constant([0, 255], [3, 5])
    assert class_accuracies(training, test, QUICK)[ACCURACY] == 0


def test_images_of_one_class_teach_that_class_alone():
    found = class_accuracies(constant([0, 9], [5, 5]), constant([0, 7, 9], [5, 5, 1]), QUICK)
    assert (found[key_of_class(5)], found[key_of_class(1)]) == (1, 0)


def test_sets_that_cannot_be_compared_are_refused():
    one = constant([0, 9], [5, 5])
    with pytest.raises(ValueError, match="training and test must have labels"):
        class_accuracies(ImageSet(one.images), one, QUICK)
    digits = load_images("digits")
    with pytest.raises(ValueError, match=r"test must have images of shape \(1, 4, 4\)"):
        class_accuracies(one, digits, QUICK)


def test_the_floor_is_that_of_as_many_real_images(tmp_path, monkeypatch):
    calls = []

    def trained(training, test, settings):
        calls.append((len(training.images), settings.seed))
        return {ACCURACY: settings.seed / 100, key_of_class(3): 1.0, key_of_class(5): 0.5}

    monkeypatch.setattr("deep.metrics.real_accuracy.class_accuracies", trained)
    train, test = constant([0, 255] * 5, [3, 5] * 5), constant([0, 255], [3, 5])
    measure = RealAccuracy(train, test, 4, 10, tmp_path)
    floors = measure.floor()
    assert calls == [(4, 10 + i) for i in range(FLOOR_TRAININGS)]
    assert floors[ACCURACY].mean == pytest.approx(0.12)
    assert floors[ACCURACY].sd == pytest.approx(0.025**0.5 / 10)
    assert floors[key_of_class(5)].sd == 0
    assert RealAccuracy(train, test, 4, 10, tmp_path).floor() == floors
    assert len(calls) == FLOOR_TRAININGS  # kept
