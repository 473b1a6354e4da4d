"""Coupled pairs of image models."""

from dataclasses import replace

import numpy as np
import pytest
from accelerate import Accelerator

from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.response.pairs import PairBuilder
from deep.retrain import image_study
from deep.retraining.observer import ImageStudy
from deep.retraining.presets import RetrainDDPM, RetrainEDM, RetrainOTCFM
from stability.loop.contraction import Displacement, coupled
from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.progress import Bars
from stability.runs.study import LearnerPlace
from tests.support import options_images as tiny

CONFIGS = {
    "edm": RetrainEDM(tiny.RUN, tiny.EDM_NETWORK, EDM(augment=0.0, steps=2), tiny.TRAINING),
    "ddpm": RetrainDDPM(
        tiny.RUN, tiny.DDPM_NETWORK, DDPM(flip=False, timesteps=9, ddim_steps=2), tiny.TRAINING
    ),
    "otcfm": RetrainOTCFM(
        tiny.RUN,
        tiny.CFM_NETWORK,
        OTCFM(flip=False, integrator="euler", euler_steps=2),
        tiny.TRAINING,
    ),
}
REGIMES = [Mix(0.5), FullySynthetic()]


def pairs_of(config, folder, move):
    """A learner of two pairs, and its generations; the second chain of a pair starts moved."""
    run = image_study(config, Accelerator(cpu=True))
    assert isinstance(run.learner, ImageStudy)
    place = LearnerPlace(2, "cpu", 1, folder, "digest", Bars())
    learner = PairBuilder(run.learner).build(place)
    real = [np.asarray(run.real)] * 2
    moves = [Displacement(move, lambda x: x.mean(axis=(1, 2, 3)))] * 2
    found = coupled(learner, real, moves, REGIMES, 2, seed=3, streams=[0, 0])
    return learner, list(found)


def same_weights(one, two):
    return all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kind", CONFIGS)
def test_copies_with_equal_data_stay_equal_to_the_bit(kind, tmp_path, monkeypatch):
    """They are trained apart: their data are equal, and not the same array."""
    monkeypatch.setattr(ImageStudy, "_make_metrics", lambda self: None)
    config = replace(CONFIGS[kind], run=replace(tiny.RUN, cache=tmp_path))
    for moved, expected in ((np.copy, True), (lambda x: x // 2, False)):
        learner, generations = pairs_of(config, tmp_path / str(expected), moved)
        assert len(generations) == 3
        for generation in generations:
            for pair in (0, 1):
                one, two = (generation.samples[r] for r in (pair, 2 + pair))
                assert np.array_equal(one, two) or not expected
        for pair in (0, 1):
            one, two = (learner.average(r) for r in (pair, 2 + pair))
            assert same_weights(one, two) is expected
        # rows with other data part
        assert not same_weights(learner.average(0), learner.average(1))
