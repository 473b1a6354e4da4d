"""The oracle is torch's own Adam and LambdaLR, in loops as the official codes write them."""

from dataclasses import replace

import pytest
import torch

from deep.formats.checkpoint_record import Checkpoint
from deep.training.resume_point import ResumePoint, resume_point
from tests.support.warm_up import BATCH, CFM, DDPM, NETWORK, WARMUP, official


def changed(checkpoint, **settings):
    """The same with other settings of its Adam; None takes one away."""
    group = {**checkpoint.optimizer["param_groups"][0], **settings}
    group = {name: value for name, value in group.items() if value is not None}
    return replace(checkpoint, optimizer={**checkpoint.optimizer, "param_groups": [group]})


@pytest.mark.parametrize("updates", [1, 12, WARMUP - 1, WARMUP, WARMUP + 7])
@pytest.mark.parametrize(
    ("training", "warmup"),
    [(CFM, lambda k: min(k, WARMUP) / WARMUP), (DDPM, lambda k: min((k + 1) / WARMUP, 1.0))],
    ids=["torchcfm", "ddpm-torch"],
)
def test_the_next_step_has_the_rate_of_the_official_loop(training, warmup, updates):
    checkpoint, rate = official(updates, warmup)
    point = resume_point(checkpoint, training)
    assert point == ResumePoint(updates, updates * BATCH)
    assert training.rate(point.images_seen) == pytest.approx(rate, rel=1e-6)


@pytest.mark.filterwarnings("ignore:init. its Adam stands at the learning rate")
@pytest.mark.parametrize("updates", [12, WARMUP + 7])
@pytest.mark.parametrize("batch", [1, 4, 32])
def test_another_batch_goes_on_at_the_same_rate(batch, updates):
    checkpoint, rate = official(updates, lambda k: min(k, WARMUP) / WARMUP)
    training = replace(CFM, batch=batch)
    point = resume_point(checkpoint, training)
    assert point.updates == updates
    assert training.rate(point.images_seen) == pytest.approx(rate, rel=0.01)  # whole images


def test_another_place_on_the_ramp_is_said():
    checkpoint, _ = official(12, lambda k: min(k, WARMUP) / WARMUP)
    with pytest.warns(UserWarning, match=r"stands at the learning rate 4\.8e-05 after 384 images"):
        resume_point(checkpoint, replace(CFM, batch=32))


@pytest.mark.parametrize("stated", [True, False])
def test_a_file_with_another_nominal_rate_is_refused_and_named(stated):
    checkpoint, _ = official(WARMUP + 7, lambda k: min(k, WARMUP) / WARMUP, rate=1e-5)
    checkpoint = checkpoint if stated else changed(checkpoint, initial_lr=None)
    with pytest.raises(
        ValueError, match=r"the learning rate 1e-05, not 0\.0002: go on with learning_rate 1e-05"
    ):
        resume_point(checkpoint, CFM)
    resume_point(checkpoint, replace(CFM, learning_rate=1e-5))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"betas": (0.5, 0.999)}, r"betas = \(0.5, 0.999\); only \(0.9, 0.999\)"),
        ({"eps": 1e-6}, "eps = 1e-06"),
        ({"weight_decay": 0.01}, "weight_decay = 0.01"),
        ({"amsgrad": True}, "amsgrad = True"),
        ({"maximize": True}, "maximize = True"),
        ({"lr": 3e-4}, "stands at the learning rate 0.0003"),
    ],
)
def test_an_adam_of_another_kind_is_refused(settings, words):
    checkpoint, _ = official(WARMUP + 7, lambda k: min(k, WARMUP) / WARMUP)
    with pytest.raises(ValueError, match=words):
        resume_point(changed(checkpoint, **settings), CFM)


def test_without_a_ramp_a_file_on_its_ramp_is_refused():
    checkpoint, _ = official(12, lambda k: min(k, WARMUP) / WARMUP)
    with pytest.raises(ValueError, match="ramp_images 0 do not give"):
        resume_point(checkpoint, replace(CFM, ramp_images=0))


def test_a_file_of_this_project_says_where_it_is_and_another_rate_is_said():
    checkpoint, _ = official(12, lambda k: 1.0)
    own = changed(replace(checkpoint, images=500), initial_lr=None)
    assert resume_point(own, CFM) == ResumePoint(12, 500)
    with pytest.warns(
        UserWarning,
        match=r"had the learning rate 0\.0002; from here on it is learning_rate 1e-09",
    ):
        resume_point(own, replace(CFM, learning_rate=1e-9))


def test_a_file_without_moments_is_taken_at_its_word():
    state = NETWORK.build(torch.Generator()).state_dict()
    assert resume_point(Checkpoint(NETWORK, state, step=5), CFM) == ResumePoint(5, 5 * BATCH)
    assert resume_point(Checkpoint(NETWORK, state), CFM) == ResumePoint(0, 0)
