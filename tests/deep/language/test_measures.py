import math

import numpy as np
import pytest

from deep.language.measures import (
    ENTROPY,
    PERPLEXITY,
    SURVIVAL,
    SURVIVAL_LAW,
    TextMeasures,
    grams,
)
from deep.language.survival import loss_rate
from stability.loop.regimes import TrainingSet
from stability.runs.observer import View

REAL = np.array([[1, 2, 3, 1], [1, 2, 3, 4]], np.uint8)  # 123 twice, 231 and 234 once
SAMPLES = np.array([[1, 2, 3, 3], [1, 2, 3, 3]], np.uint8)


def view(t=0, training=None, log_prob=None):
    return View(
        t=t,
        chain=0,
        seed=0,
        samples=SAMPLES,
        training=training or TrainingSet(REAL, real=2),
        truth=REAL,
        real=REAL,
        log_prob=log_prob,
        rng=np.random.default_rng(0),
    )


def test_grams_are_counted_within_windows():
    codes, counts = grams(REAL)
    assert dict(zip(codes.tolist(), counts.tolist(), strict=True)) == {
        1 + 2 * 256 + 3 * 65536: 2,
        2 + 3 * 256 + 1 * 65536: 1,
        2 + 3 * 256 + 4 * 65536: 1,
    }


def test_numbers_by_hand():
    found = TextMeasures(law=True)(view(log_prob=lambda x: np.full(len(x), -4 * math.log(5.0))))
    assert found[PERPLEXITY] == pytest.approx(5)  # windows have four characters
    assert found["distinct-3"] == 2 / 4
    assert found[ENTROPY] == pytest.approx(0.25 * 2 + 0.25 * 2 + 0.5 * 1)
    assert found[SURVIVAL] == pytest.approx(1 / 3)
    expected = np.mean([1 - math.exp(-k) for k in (2, 1, 1)])
    assert found[SURVIVAL_LAW] == pytest.approx(expected)


def test_the_law_is_that_of_the_training_set():
    mixed = TrainingSet(np.concatenate([REAL, SAMPLES]), real=2)
    alone = TrainingSet(SAMPLES, real=0)
    for training, lam in ((mixed, 1.0), (alone, math.inf)):
        found = TextMeasures(law=True)(view(2, training))
        expected = np.mean([1 - math.exp(-k * loss_rate(lam, 2)) for k in (2, 1, 1)])
        assert found[SURVIVAL_LAW] == pytest.approx(expected)
        assert PERPLEXITY not in found


def test_quantities_are_what_is_measured():
    for law in (False, True):
        measures = TextMeasures(law)
        keys = {one.key for one in measures.quantities}
        assert set(measures(view(log_prob=lambda x: np.zeros(len(x))))) == keys
        assert (SURVIVAL_LAW in keys) == law
        floor = measures.floor(lambda n, rng: REAL[:n], 2, np.random.default_rng(0))
        assert floor[SURVIVAL] == 1
        assert set(floor) <= keys
