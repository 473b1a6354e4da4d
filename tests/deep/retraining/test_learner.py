"""Chains through one trainer: as if each were alone, nothing done twice, and bit for bit the
same after a stop.
"""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from deep.data import load_images
from deep.formats.checkpoint_record import Checkpoint
from deep.models.edm import EDM
from deep.networks.unet_edm import EDMNetwork
from deep.retraining.learner import ImageLearner, Schedule
from deep.training.trainer import TrainConfig, Trainer
from stability.loop.extrapolation import extrapolating
from stability.loop.regimes import Extrapolated, FullySynthetic, Mix
from stability.loop.retraining import RetrainingError, retrain
from stability.loop.streams import Purpose, stream
from tests.support.states import equal

IMAGES = load_images("digits").images[:40]
NETWORK = EDMNetwork(
    resolution=8,
    channels=1,
    model_channels=8,
    channel_mult=(1,),
    num_blocks=1,
    attn_resolutions=(),
    dropout=0.1,
)
TRAINING = TrainConfig(batch=8, learning_rate=1e-3, ramp_images=64)
SCHEDULE = Schedule(first_images=6 * 8, images=7 * 8 - 1, sample_batch=10)
REPORT_STEPS = 5
REGIMES = [Mix(0.5), FullySynthetic()]


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(cpu=True)


class StoppedError(Exception):
    """Stands in for a kill."""


class Watch:
    """Keeps the progress that a learner reports, in order, and stops at one of its steps."""

    def __init__(self, stop=None):
        self.seen, self.stop = [], stop

    def __call__(self, what, done, total):
        self.seen.append((what.split()[0], done, total))
        if len(self.seen) == self.stop:
            raise StoppedError


@pytest.fixture
def make(accelerator, tmp_path):
    """Makes a learner; by default with files of its own."""
    fresh = itertools.count()

    def make(
        chains=2,
        schedule=SCHEDULE,
        model=EDM(augment=0.0, steps=3),  # noqa: B008
        training=TRAINING,
        **options,
    ):
        build = NETWORK.build
        trainer = Trainer(model, build(torch.Generator().manual_seed(9)), training, accelerator)
        trainer.fit = partial(trainer.fit, report_steps=REPORT_STEPS)
        places = {name: tmp_path / f"{name}-{next(fresh)}" for name in ("folder", "cache")}
        options = {"setting": "tiny", "seconds": 0.0, **places, **options}
        return ImageLearner(trainer, build, (1, 8, 8), chains, schedule, **options)

    return make


def generations(learner, regimes=REGIMES, count=2, seed=1, **options):
    real = [IMAGES] * len(regimes)
    streams = [0] * len(regimes)
    return retrain(learner, real, regimes, count, seed=seed, streams=streams, draws=25, **options)


def finished(learner, checkpoint=None):
    """The learner at the end, and the last generation; from a generation and the state at its
    end, if there is one.
    """
    if checkpoint:
        learner.load_state_dict(checkpoint[1])
    *_, last = generations(learner, after=checkpoint[0] if checkpoint else None)
    return learner, last


def stopped(learner):
    """The last generation before it stops, and the state at its end, as a run directory keeps
    them.
    """
    checkpoint = None
    try:
        for generation in generations(learner):
            checkpoint = generation, learner.state_dict()
            learner.forget()
    except StoppedError:
        return checkpoint
    raise AssertionError("it did not stop")


def flat(learner, r):
    return torch.cat([value.flatten() for value in learner.average(r).values()])


def test_a_chain_is_what_it_is_alone(make):
    """Both learners see the same streams; only the neighbour is missing."""
    together = make()
    samples = [generation.samples for generation in generations(together)]
    for r, regime in enumerate(REGIMES):
        alone = make(chains=1)
        for t, generation in enumerate(generations(alone, [regime])):
            np.testing.assert_array_equal(generation.samples[0], samples[t][r])
        assert equal(alone.state_dict()["states"][0], together.state_dict()["states"][r])
    assert not torch.equal(flat(together, 0), flat(together, 1))


def test_equal_chains_are_trained_and_drawn_from_once_until_their_data_part(make):
    watch = Watch()
    run = generations(make(on_progress=watch))
    samples = next(run).samples
    np.testing.assert_array_equal(samples[0], samples[1][:25])
    assert [what for what, *_ in watch.seen] == ["training"] * 2 + [
        "sampling"
    ] * 4  # after 5 and 6 steps, 10 of 40 images
    watch.seen.clear()
    samples = next(run).samples
    assert not np.array_equal(samples[0], samples[1])
    assert [what for what, *_ in watch.seen] == ["training"] * 4 + ["sampling"] * (3 + 4)


def test_a_training_from_new_weights_has_its_own_length(make):
    watch = Watch()
    learner = make(chains=1, on_progress=watch)
    lengths = [learner.images_seen for _ in generations(learner, [Mix(1)])]
    assert lengths == [48, 48 + 56, 48 + 112]
    assert {total for what, _, total in watch.seen if what == "training"} == {48, 56}
    learner = make(chains=1, on_progress=watch)
    assert [learner.images_seen for _ in generations(learner, [Mix(1)], from_scratch=True)] == [
        48,
        96,
        144,
    ]


def test_wherever_it_stops_it_goes_on_to_the_same_bits_and_repeats_nothing(make, tmp_path, rng):
    """Stopped after each report in turn: all that was reported before it is kept."""
    watch = Watch()
    whole, expected = finished(make(on_progress=watch))
    all_seen = watch.seen
    assert len(all_seen) == (2 + 4) + 2 * (4 + 3 + 4)
    for stop in sorted(rng.choice(np.arange(1, len(all_seen) + 1), 3, replace=False)):
        places = {name: tmp_path / f"{name}-stop-{stop}" for name in ("folder", "cache")}
        watch = Watch(stop)
        checkpoint = stopped(make(on_progress=watch, **places))
        before, watch = watch.seen[:-1], Watch()
        learner, last = finished(make(on_progress=watch, **places), checkpoint)
        # the report at which it stopped comes again, nothing else does
        assert before + watch.seen == all_seen
        for one, two in zip(last.samples, expected.samples, strict=True):
            np.testing.assert_array_equal(one, two)
        assert equal(learner.state_dict(), whole.state_dict())


def test_what_is_kept_of_a_generation_is_forgotten_when_it_is_recorded(make, tmp_path):
    learner = make(folder=tmp_path / "kept")
    run = generations(learner)
    next(run)
    next(run)
    assert len(list((tmp_path / "kept").iterdir())) == 4
    learner.forget()
    assert not list((tmp_path / "kept").iterdir())


def test_generation_0_is_made_once_for_all_runs_that_begin_alike(make, tmp_path):
    cache = tmp_path / "cache"
    first = make(cache=cache)
    samples = next(generations(first)).samples
    watch = Watch()
    second = make(chains=1, cache=cache, on_progress=watch)
    np.testing.assert_array_equal(next(generations(second, [Mix(0.1)])).samples[0], samples[0])
    assert torch.equal(flat(second, 0), flat(first, 0))
    assert not watch.seen
    shorter, other_batches = replace(SCHEDULE, first_images=40), replace(SCHEDULE, sample_batch=5)
    for seed, change, again in (
        (1, {"setting": "other"}, {"training", "sampling"}),
        (1, {"schedule": shorter}, {"training", "sampling"}),
        (2, {}, {"training", "sampling"}),
        (1, {"schedule": other_batches}, {"sampling"}),
    ):
        watch = Watch()
        next(generations(make(cache=cache, on_progress=watch, **change), seed=seed))
        assert {what for what, *_ in watch.seen} == again


def test_a_damaged_file_in_the_cache_is_made_again(make, tmp_path):
    expected = next(generations(make(cache=tmp_path / "cache"))).samples[0]
    for file in (tmp_path / "cache").rglob("*.pt"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 255
        file.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged .* what it held is done again"):
        again = next(generations(make(cache=tmp_path / "cache"))).samples[0]
    np.testing.assert_array_equal(again, expected)


def test_a_given_start_is_generation_0_as_it_is(make):
    trained = make(chains=1)
    next(generations(trained, [Mix(0)]))
    state = trained.state_dict()["states"][0]
    start = Checkpoint(
        NETWORK,
        state["network"],
        state["ema"],
        state["adam"],
        state["updates"],
        state["images_seen"],
    )
    learner = make(start=start)
    run = generations(learner)
    next(run)
    assert torch.equal(flat(learner, 0), flat(trained, 0))
    assert learner.images_seen == 0
    next(run)
    assert not torch.equal(flat(learner, 0), flat(trained, 0))
    assert learner.images_seen == 56


def test_what_is_carried_is_a_choice(make):
    """From the average alone, the next fit starts elsewhere and with a new counter."""
    ends = {}
    for carry in ("optimizer", "ema"):
        learner = make(chains=1, schedule=replace(SCHEDULE, carry=carry))
        list(generations(learner, [Mix(1)], count=1))
        ends[carry] = learner.state_dict()["states"][0]
    assert ends["optimizer"]["images_seen"] == 48 + 56
    assert ends["ema"]["images_seen"] == 56
    assert not equal(ends["optimizer"]["ema"], ends["ema"]["ema"])


def test_the_same_latents_for_every_chain_and_those_of_generation_0(make):
    learner = make()
    run = generations(learner)
    first = next(run)
    latents = stream(1, Purpose.SAMPLE, 0)
    grid = learner.sample_alike(20, latents)
    assert grid.shape == (2, 20, 1, 8, 8)
    np.testing.assert_array_equal(grid[0], grid[1])
    np.testing.assert_array_equal(grid[0], first.samples[0][:20])
    second = next(run)
    grid = learner.sample_alike(20, stream(1, Purpose.SAMPLE, 0))
    assert not np.array_equal(grid[0], grid[1])
    assert not np.array_equal(grid[0], second.samples[0][:20])


def test_a_draw_does_not_depend_on_how_many_follow(make):
    learner = make(chains=1)
    next(generations(learner, [Mix(0)]))
    rngs = [[stream(3, Purpose.SAMPLE, 0)] for _ in range(2)]
    few, many = learner.sample([13], rngs[0]), learner.sample([30], rngs[1])
    np.testing.assert_array_equal(few[0], many[0][:13])


def test_a_loss_that_is_not_finite_names_generation_and_chain(make):
    learner = make(training=replace(TRAINING, learning_rate=1e38, ramp_images=0))
    with pytest.raises(RetrainingError, match=r"generation 0: chain 0: step 1: the loss is nan"):
        next(generations(learner))


def test_a_state_of_other_chains_is_refused(make):
    with pytest.raises(ValueError, match="the state must be of 3 chains, got 2"):
        make(chains=3).load_state_dict(make(chains=2).state_dict())


def test_extrapolated_weights_lie_on_the_line_through_both_trainings(make):
    """w = −1 is the training on its own samples, θ′; the others follow from θ and θ′."""
    weights = (-1.0, 1.0, 2.0)
    regimes = [FullySynthetic(), *(Extrapolated(FullySynthetic(), w) for w in weights)]
    inner = make(chains=len(regimes))
    (first,) = generations(extrapolating(inner, regimes), regimes, 0)
    theta, own, once, twice = (
        torch.cat([value.double().flatten() for value in inner.average(r).values()])
        for r in range(len(regimes))
    )
    change = own - theta
    assert change.norm() > 1e-6
    # each is rounded to single precision, from numbers of the weights' size
    assert (once - (theta - change)).norm() < 1e-5 * theta.norm()
    assert (twice - (theta - 2 * change)).norm() < 1e-5 * theta.norm()
    assert inner.images_seen == 48  # those of θ alone
    assert not np.array_equal(first.samples[0], first.samples[2])


def test_an_extrapolating_chain_goes_on_from_where_it_was(make):
    """θ, not what it draws with, is trained on: a second generation, from a state, bit for bit."""
    regimes = [Extrapolated(Mix(1.0), 0.5)]
    whole = extrapolating(make(chains=1), regimes)
    states = [(g, whole.state_dict()) for g in generations(whole, regimes, 2)]
    later = extrapolating(make(chains=1), regimes)
    later.load_state_dict(states[1][1])
    *_, last = generations(later, regimes, 2, after=states[1][0])
    np.testing.assert_array_equal(last.samples[0], states[2][0].samples[0])
