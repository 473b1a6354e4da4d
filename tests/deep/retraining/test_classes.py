"""Class-conditional models in the loop: images keep their classes through every regime, a stop,
and the files of a run.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

import deep.metrics.feature_choice
import deep.metrics.real_accuracy
from deep.data import load_chains, load_images
from deep.image_sets.labelled import class_shares, joined, split
from deep.metrics.label_encoder import EncoderTraining
from deep.metrics.real_accuracy import ACCURACY, key_of_class
from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.networks import unet_ddpm
from deep.networks.unet_edm import EDMNetwork
from deep.retraining.learner import ImageLearner, Schedule
from deep.training.network_inputs import images_for
from deep.training.sampling import draw_classes
from deep.training.trainer import TrainConfig, Trainer
from stability.loop.regimes import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    Subsample,
)
from stability.loop.retraining import retrain
from stability.runs.command_line import UsageError
from stability.runs.recorded_run import read_run
from tests.support.figures import leave_out_page
from tests.support.states import equal

DIGITS = load_images("digits")
assert DIGITS.labels is not None
LABELS = DIGITS.labels
REAL = joined(DIGITS.images[:40], LABELS[:40])
SHARES = class_shares(LABELS[:40], 10)
EDM_NETWORK = EDMNetwork(
    resolution=8,
    channels=1,
    model_channels=8,
    channel_mult=(1,),
    num_blocks=1,
    attn_resolutions=(),
    augment_dim=0,
    dropout=0.0,
    label_dim=10,
)
DDPM_NETWORK = replace(unet_ddpm.DIGITS, label_dim=10, dropout=0.0)
MODELS = {
    "edm": (EDM(augment=0.0, steps=2), EDM_NETWORK),
    "ddpm": (DDPM(timesteps=10, flip=False, ddim_steps=2), DDPM_NETWORK),
}
REGIMES = [
    Mix(0.5),
    FullySynthetic(),
    Accumulate(0.5),
    Subsample(Accumulate(1.0)),
    ReplaceFraction(1.0),
    FreshReal(0.5),
]


def learner_of(kind, folder, chains):
    model, network = MODELS[kind]
    trainer = Trainer(
        model, network.build(torch.Generator()), TrainConfig(batch=8), Accelerator(cpu=True)
    )
    return ImageLearner(
        trainer,
        network.build,
        (1, 8, 8),
        chains,
        Schedule(first_images=32, images=16, sample_batch=20),
        folder=folder / "unfinished",
        cache=folder / "cache",
        setting=kind,
        class_shares=SHARES,
    )


def fresh(n, rng):
    chosen = 40 + rng.permutation(len(DIGITS.images) - 40)[:n]
    return joined(DIGITS.images[chosen], LABELS[chosen])


def run(learner, after=None):
    return retrain(
        learner,
        [REAL] * len(REGIMES),
        REGIMES,
        2,
        seed=3,
        streams=[0] * len(REGIMES),
        fresh=fresh,
        after=after,
    )


def told_labels(learner, monkeypatch):
    """The training sets that the trainer gets, fit by fit."""
    seen, fit = [], learner._trainer.fit

    def watched(images, *arguments, labels, **options):
        seen.append(joined(images, labels))
        return fit(images, *arguments, labels=labels, **options)

    monkeypatch.setattr(learner._trainer, "fit", watched)
    return seen


@pytest.mark.parametrize("kind", MODELS)
def test_every_regime_keeps_images_and_classes_together(kind, tmp_path, monkeypatch):
    learner = learner_of(kind, tmp_path, len(REGIMES))
    seen = told_labels(learner, monkeypatch)
    known = {point.tobytes() for point in [*REAL, *fresh(1757, np.random.default_rng(0))]}
    for generation in run(learner):
        for training in generation.training:
            assert {point.tobytes() for point in training.points} <= known
        assert any(np.array_equal(generation.training[0].points, points) for points in seen)
        for samples in generation.samples:
            known |= {point.tobytes() for point in samples}
            assert np.isin(samples[:, -1], np.flatnonzero(SHARES)).all()


def test_a_stop_leaves_the_classes_as_they_were(tmp_path):
    finished = learner_of("edm", tmp_path / "whole", len(REGIMES))
    whole = list(run(finished))
    first = learner_of("edm", tmp_path / "part", len(REGIMES))
    generations = run(first)
    next(generations)
    generation = next(generations)
    second = learner_of("edm", tmp_path / "other", len(REGIMES))
    second.load_state_dict(first.state_dict())
    (last,) = run(second, after=generation)
    for one, two in zip(whole[-1].samples, last.samples, strict=True):
        np.testing.assert_array_equal(one, two)
    assert equal(second.average(0), finished.average(0))


def test_the_class_of_image_i_is_stream_i_and_has_its_share(rng):
    shares, seed = np.array([0.2, 0.0, 0.5, 0.3]), int(rng.integers(2**62))
    drawn = draw_classes(shares, range(4000), seed)
    np.testing.assert_array_equal(draw_classes(shares, range(100, 107), seed), drawn[100:107])
    assert (drawn != 1).all()
    # Hoeffding: a share of 4000 is off by 0.07 with probability 2 exp(−2 · 4000 · 0.07²) = 2e-17
    assert np.abs(class_shares(drawn, 4) - shares).max() < 0.07
    assert (draw_classes(np.array([0.0, 1.0, 0.0]), range(9), seed) == 1).all()


def test_the_network_is_told_the_class_it_draws(tmp_path):
    """Noise and weights alike, another class: other pixels."""
    learner = learner_of("edm", tmp_path, 1)
    list(retrain(learner, [REAL], [Mix(1.0)], 0, seed=3))
    learner._trainer.ema.load_state_dict(learner.state_dict()["states"][0]["ema"])
    with torch.no_grad():
        learner._trainer.ema.model.map_label.weight.normal_(
            0, 30, generator=torch.Generator().manual_seed(1)
        )
    state = learner._trainer.ema.state_dict()
    learner._states[0] = {**learner._states[0], "ema": dict(state)}
    one = split(learner._draw(0, range(30), 5))
    learner._class_shares = np.eye(10)[1]
    other = split(learner._draw(0, range(30), 5))
    differ = one.labels != 1
    assert (other.labels == 1).all()
    assert (one.images[differ] != other.images[differ]).any()


def test_images_without_classes_or_with_too_many_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", images=DIGITS.images[:5])
    with pytest.raises(UsageError, match="--label-dim 10 is for images with classes, and --data"):
        images_for(EDM_NETWORK, str(tmp_path / "x.npz"))
    with pytest.raises(UsageError, match="--label-dim 9 must be more than 9, the largest class"):
        images_for(replace(EDM_NETWORK, label_dim=9), "digits")


def test_the_command_measures_what_a_classifier_learns(tmp_path, monkeypatch, capsys):
    from deep.retrain import main
    from deep.retraining.presets import Retrain, RetrainEDM

    def short(seed):
        return EncoderTraining(seed=seed, steps=5, width=8)

    for module in (deep.metrics.feature_choice, deep.metrics.real_accuracy):
        monkeypatch.setattr(module, "EncoderTraining", short)
    monkeypatch.setattr("deep.retraining.figures.draw_figures", lambda run: [])
    leave_out_page(monkeypatch)
    options = Retrain(
        real=60,
        retrainings=1,
        images_per_retraining=32,
        first_images=64,
        grid=4,
        metrics=("fd",),
        sample_batch=30,
        threads=1,
        device="cpu",
        out=tmp_path / "run",
        cache=tmp_path / "cache",
    )
    main(RetrainEDM(options, EDM_NETWORK, EDM(augment=0.0, steps=2), TrainConfig(batch=16)))
    printed = capsys.readouterr().out
    words = " ".join(printed.split())
    assert f"λ = 1: {ACCURACY}" in words
    assert f"fully synthetic: {ACCURACY}" in words
    assert all(f"\n  {k}  " in printed or f"\n {k}  " in printed for k in range(10))

    recorded = read_run(tmp_path / "run")
    keys = [ACCURACY, *map(key_of_class, range(10))]
    assert set(keys) <= set(recorded.study.floors)
    for line in recorded.history:
        for chain in line.chains:
            values = [chain.measured[key] for key in keys]
            assert all(0 <= value <= 1 for value in values)
    for chain in load_chains(tmp_path / "run" / "samples" / "generation-0001.npz").values():
        assert chain.images.shape == (60, 1, 8, 8)
        assert chain.labels is not None
