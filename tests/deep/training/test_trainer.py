import copy
import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from deep.data import load_images
from deep.formats.checkpoint_record import Checkpoint
from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.networks.unet_edm import EDMNetwork
from deep.training.trainer import Decay, HalfLife, TrainConfig, Trainer

IMAGES = load_images("digits").images[:100]
NETWORK = EDMNetwork(
    resolution=8,
    channels=1,
    model_channels=8,
    channel_mult=(1,),
    num_blocks=1,
    attn_resolutions=(),
    dropout=0.0,
)
TRAINING = TrainConfig(batch=8, learning_rate=1e-3, ramp_images=64)


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(cpu=True)


def build(network=NETWORK, seed=0):
    return network.build(torch.Generator().manual_seed(seed))


@pytest.fixture
def make(accelerator):
    """Makes a trainer of a small network."""

    def make(settings=TRAINING, model=EDM(augment=0.0), network=NETWORK, weights=None):  # noqa: B008
        trained = build(network)
        if weights:
            trained.load_state_dict(weights)
        return Trainer(model, trained, settings, accelerator)

    return make


def run(trainer, steps=10, seed=1, images=IMAGES, **options):
    """A whole fit; the losses of its steps."""
    reports = list(
        trainer.fit(images, steps * trainer.settings.batch, np.random.default_rng(seed), **options)
    )
    return np.concatenate([report.losses for report in reports])


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


class Recording:
    """A model that keeps the inputs of its steps."""

    def __init__(self, model):
        self.model, self.kept = model, []

    def inputs(self, images, generator):
        self.kept.append(self.model.inputs(images, generator))
        return self.kept[-1]

    def __getattr__(self, name):
        return getattr(self.model, name)


def official_rate(kind, k, lr, batch):
    """Learning rate of step k as the official codes write it; ramps of 8 steps."""
    return {
        "edm": lr * min(k * batch / (8 * batch), 1),  # cur_nimg / lr_rampup
        "ddpm": lr * min((k + 1) / 8, 1),
        "cfm": lr * min(k, 8) / 8,
    }[kind]


def official_decay(kind, k, batch):
    return {
        "edm": 0.5 ** (batch / max(min(40, 0.5 * k * batch), 1e-8)),
        "ddpm": min(0.9, (1 + k) / (10 + k)),
        "cfm": 0.9,
    }[kind]


OFFICIAL = {
    "edm": TrainConfig(batch=8, learning_rate=1e-3, ramp_images=64, ema=HalfLife(40, 0.5)),
    "ddpm": TrainConfig(
        batch=8, learning_rate=1e-3, ramp_images=64, ramp_from_zero=False, clip=0.5, ema=Decay(0.9)
    ),
    "cfm": TrainConfig(
        batch=8, learning_rate=1e-3, ramp_images=64, clip=0.5, ema=Decay(0.9, ramp=False)
    ),
}


@pytest.mark.parametrize("kind", OFFICIAL)
def test_a_fit_is_what_a_plain_loop_does(kind, make):
    """Adam one tensor at a time, the average by hand, rates and decays as the official codes
    write them.
    """
    settings = OFFICIAL[kind]
    model = Recording(EDM(augment=0.5))
    trainer = make(settings, model)
    losses = run(trainer, steps=12)

    network = build()
    average = copy.deepcopy(network)
    adam = torch.optim.Adam(network.parameters(), fused=False, foreach=False)
    for k, inputs in enumerate(model.kept):
        adam.param_groups[0]["lr"] = official_rate(kind, k, settings.learning_rate, settings.batch)
        adam.zero_grad()
        loss = model.losses(network, *inputs).mean()
        assert loss.item() == pytest.approx(losses[k], rel=1e-4)
        loss.backward()
        if settings.clip:
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
            assert norm > settings.clip  # else the comparison says nothing about clipping
        adam.step()
        beta = official_decay(kind, k, settings.batch)
        with torch.no_grad():
            for a, p in zip(average.parameters(), network.parameters(), strict=True):
                a.copy_(p + beta * (a - p))
    torch.testing.assert_close(weights(trainer.network), weights(network), rtol=1e-4, atol=2e-6)
    torch.testing.assert_close(weights(trainer.ema), weights(average), rtol=1e-4, atol=2e-6)
    assert (weights(trainer.network) - weights(build())).abs().max() > 1e-3


@pytest.mark.parametrize("microbatch", [1, 3, 8])
def test_a_step_does_not_depend_on_how_its_batch_is_split(microbatch, make):
    whole, split = make(), make(replace(TRAINING, microbatch=microbatch))
    np.testing.assert_allclose(run(whole), run(split), rtol=1e-4)
    torch.testing.assert_close(weights(split.network), weights(whole.network), rtol=1e-4, atol=1e-5)


def test_each_image_is_seen_once_before_any_is_seen_twice(make):
    model = Recording(EDM(augment=0.0))
    images = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8), np.uint8)
    run(make(model=model), steps=15, images=images)
    order = np.concatenate([kept[0][:, 0, 0, 0].numpy() for kept in model.kept]).reshape(6, 20)
    assert (np.sort(order, axis=1) == np.arange(20)).all()
    assert len({tuple(epoch) for epoch in order.tolist()}) == 6


def test_a_batch_larger_than_the_data(make):
    model = Recording(EDM(augment=0.0))
    run(make(model=model), steps=3, images=IMAGES[:3])
    shown = np.concatenate([kept[0].reshape(8, -1).numpy() for kept in model.kept])
    assert (np.unique(shown, axis=0, return_counts=True)[1] == 8).all()


def test_a_fit_depends_on_its_stream_and_on_nothing_global(make):
    one, two, other = make(), make(), make()
    torch.testing.assert_close(run(one), run(two), rtol=0, atol=0)
    assert torch.equal(weights(one.network), weights(two.network))
    assert not np.array_equal(run(other, seed=2), run(one))


DROPOUT = replace(NETWORK, dropout=0.3)


@pytest.mark.parametrize("stop", [1, 5, 10])
def test_going_on_from_a_state_within_a_fit_is_exact(stop, make):
    """Dropout, averages and Adam included, through a file, in another trainer, with a fit before
    and one after.
    """
    whole, part, resumed = (make(network=DROPOUT) for _ in range(3))
    for trainer in (whole, part):
        run(trainer, steps=3, seed=5)
    expected = run(whole, steps=10)
    fit = part.fit(IMAGES, 10 * 8, np.random.default_rng(1), report_steps=1)
    losses = [next(fit).losses for _ in range(stop)]
    file = io.BytesIO()
    torch.save(part.state_dict(), file)
    run(part, steps=2, seed=9) if stop == 10 else next(fit)  # the state is a copy
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    if stop < 10:
        losses.append(run(resumed, steps=10))
    np.testing.assert_array_equal(np.concatenate(losses), expected)
    for trainer in (whole, resumed):
        run(trainer, steps=2, seed=6, carry="ema")
    assert torch.equal(weights(resumed.network), weights(whole.network))
    assert torch.equal(weights(resumed.ema), weights(whole.ema))


def test_dropout_drops_and_leaves_torchs_global_generator_alone(make):
    """The second half is watched by the fixture that fails tests which move global random state."""
    assert not np.allclose(run(make(network=DROPOUT)), run(make()))


def test_an_interrupted_fit_refuses_to_become_another(make):
    trainer = make()
    next(trainer.fit(IMAGES, 80, np.random.default_rng(1), report_steps=1))
    for images, duration, seed in ((IMAGES[:50], 80, 1), (IMAGES, 160, 1), (IMAGES, 80, 2)):
        with pytest.raises(ValueError, match="in the middle of another fit"):
            trainer.fit(images, duration, np.random.default_rng(seed))


# What a fit takes over from the one before


def test_carrying_the_average_is_a_new_start_from_it(make):
    trainer = make()
    run(trainer, steps=20)
    fresh = make(weights=trainer.ema.state_dict())
    fresh.restart_from_ema()
    np.testing.assert_array_equal(run(trainer, seed=2, carry="ema"), run(fresh, seed=2))
    assert torch.equal(weights(trainer.network), weights(fresh.network))
    assert torch.equal(weights(trainer.ema), weights(fresh.ema))
    assert trainer.images_seen == 10 * 8


def test_carrying_the_optimizer_goes_on_with_everything(make):
    """Two fits are one long one but for the stream; with new moments or a new ramp they would
    not be.
    """
    model = Recording(EDM(augment=0.0))
    trainer = make(model=model)
    for seed in (1, 2):
        run(trainer, seed=seed, carry="optimizer")
    assert trainer.images_seen == 2 * 10 * 8
    long = make(model=Replay(model))
    run(long, steps=20)
    assert torch.equal(weights(long.network), weights(trainer.network))
    assert torch.equal(weights(long.ema), weights(trainer.ema))


class Replay:
    """A model that gives recorded inputs again."""

    def __init__(self, recording):
        self.recording, self.left = recording, iter(list(recording.kept))

    def inputs(self, images, generator):
        return next(self.left)

    def __getattr__(self, name):
        return getattr(self.recording, name)


def test_the_first_fit_is_the_same_whatever_is_carried(make):
    np.testing.assert_array_equal(run(make(), carry="ema"), run(make(), carry="optimizer"))


def test_a_file_that_does_not_say_how_far_it_is(make):
    """EDM's snapshots hold the average alone: it is the network too, the rate climbs its ramp,
    the average is slow.
    """
    trainer = make(replace(TRAINING, ema=HalfLife(80, 0.5)))
    average = trainer.ema.state_dict()
    trainer.start_from(Checkpoint(network=NETWORK, ema=average), "optimizer")
    run(trainer, steps=1)  # at rate 0
    run(trainer, steps=1)
    moved = weights(trainer.network) - weights(build())
    torch.testing.assert_close(
        weights(trainer.ema) - weights(build()), moved * (1 - 0.5**0.1), rtol=1e-3, atol=1e-7
    )
    assert trainer.images_seen == 16
    other = make(replace(TRAINING, ema=HalfLife(80, 0.5)))
    other.start_from(Checkpoint(network=NETWORK, ema=average), "optimizer")
    run(other, steps=1, carry="ema")  # is a trained network, though no step is counted
    assert other.images_seen == 8


def test_what_the_official_edm_command_does_in_a_retraining():
    """Figures of the docstring of `fit`, for 1 Mimg in batches of 256: rates, and what is left
    of the start.
    """
    settings = TrainConfig(batch=256, learning_rate=1e-3, ramp_images=10_000_000)
    steps = math.ceil(1_000_000 / 256)
    rates = [settings.rate(step * 256) for step in range(steps)]
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(1e-4, rel=1e-3)
    assert np.mean(rates) == pytest.approx(5e-5, rel=1e-3)
    decays = [settings.ema.decay(256, step * 256, step, ramp=False) for step in range(steps)]
    assert decays[0] == pytest.approx(0.999645, abs=1e-6)
    assert np.prod(decays) == pytest.approx(0.25, rel=1e-3)


# Precision and layout


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_nearly_alike(precision, make):
    full, half = make(), make(replace(TRAINING, precision=precision))
    expected, losses = run(full, steps=12), run(half, steps=12)
    assert not np.array_equal(losses, expected)
    np.testing.assert_allclose(losses, expected, rtol=0.1)
    assert {p.dtype for p in half.network.parameters()} == {torch.float32}


def test_a_step_whose_half_precision_gradient_overflows_is_left_out(make):
    trainer = make(replace(TRAINING, precision="fp16"))
    trainer._scaler.load_state_dict({**trainer._scaler.state_dict(), "scale": 2.0**20})
    before = weights(trainer.network)
    run(trainer, steps=2)  # with the full rate, but for the first step
    assert torch.equal(weights(trainer.network), before)
    assert trainer._scaler.get_scale() == 2.0**18
    run(trainer, steps=25, seed=2)  # halving the scale at each step that overflows
    assert not torch.equal(weights(trainer.network), before)


@pytest.mark.parametrize("channels_last", [False, True])
def test_memory_layout(channels_last, make):
    trainer = make(replace(TRAINING, channels_last=channels_last))
    kernels = [
        p for p in trainer.network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1
    ]
    assert all(p.is_contiguous(memory_format=torch.channels_last) == channels_last for p in kernels)
    np.testing.assert_allclose(run(trainer), run(make()), rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own modules
def test_compiled_it_computes_the_same(make, monkeypatch):
    """The network is captured as a graph; turning that into machine code takes minutes, and is
    torch's affair.
    """
    compile_, captured = torch.compile, []

    def capture(network, **options):
        captured.append(network)
        return compile_(network, backend="eager", fullgraph=True, **options)

    monkeypatch.setattr(torch, "compile", capture)
    plain, compiled = make(), make(replace(TRAINING, compile=True))
    np.testing.assert_allclose(run(compiled, steps=3), run(plain, steps=3), rtol=1e-4)
    assert captured == [compiled.ema, compiled.network]
    x, sigma = torch.ones(2, 1, 8, 8), torch.tensor([0.1, 2.0])
    with torch.no_grad():
        drawn = [trainer.drawn_from(x, sigma) for trainer in (compiled, plain)]
    torch.testing.assert_close(*drawn, rtol=1e-4, atol=1e-5)


# Failures


class BreaksAt(Recording):
    """A model whose loss is NaN at one step."""

    def __init__(self, model, step):
        super().__init__(model)
        self.step = step

    def losses(self, network, *inputs):
        losses = self.model.losses(network, *inputs)
        return losses * math.nan if len(self.kept) == self.step + 1 else losses


def test_a_loss_that_is_not_finite_stops_with_its_step(make):
    trainer = make(model=BreaksAt(EDM(augment=0.0), 7))
    fit = trainer.fit(IMAGES, 20 * 8, np.random.default_rng(1), report_steps=5)
    assert next(fit).step == 5
    good = trainer.state_dict()
    with pytest.raises(FloatingPointError, match="step 7: the loss is nan"):
        next(fit)
    assert all(value.isfinite().all() for value in good["network"].values())


def test_weights_that_are_not_finite_stop_before_they_are_saved(make):
    trainer = make(replace(TRAINING, learning_rate=1e38, ramp_images=0))
    with pytest.raises(FloatingPointError, match="step 0: a weight is not finite"):
        run(trainer, steps=1)


def test_a_state_of_another_network_is_refused(make):
    with pytest.raises(ValueError, match="another network"):
        make().load_state_dict(make(network=replace(NETWORK, model_channels=16)).state_dict())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch": 0}, "batch must be >= 1, got 0"),
        ({"microbatch": -1}, "microbatch must be >= 0, got -1"),
        ({"ramp_images": -1}, "ramp_images must be >= 0"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and > 0, got 0.0"),
        ({"clip": float("nan")}, "clip must be finite and >= 0, got nan"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**setting)


def test_bad_averages():
    with pytest.raises(ValueError, match=r"ema.images must be >= 1, got 0"):
        HalfLife(images=0)
    with pytest.raises(ValueError, match=r"ema.share must be finite"):
        HalfLife(share=math.inf)
    with pytest.raises(ValueError, match=r"ema.factor must be in \[0, 1\), got 1.0"):
        Decay(factor=1.0)


@pytest.mark.parametrize(
    ("images", "duration", "message"),
    [
        (IMAGES.astype(np.float32), 8, "uint8"),
        (IMAGES[:0], 8, "n >= 1"),
        (IMAGES[0], 8, r"\(n, c, h, w\)"),
        (IMAGES, 0, "duration_images"),
    ],
)
def test_bad_arguments(images, duration, message, make):
    with pytest.raises(ValueError, match=message):
        make().fit(images, duration, np.random.default_rng(0))


def test_learning_reduces_the_loss(make):
    """The mean of the last steps is below that of the first by far more than the loss varies."""
    losses = run(make(replace(TRAINING, batch=32)), steps=100)
    first, last = losses[:20], losses[-20:]
    assert last.mean() < first.mean() - 6 * (first.std() + last.std()) / math.sqrt(20)


def test_ddpm_trains_in_the_same_trainer(make):
    class Predictor(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x, t):
            return self.layer(x)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Predictor()
    trainer = Trainer(
        DDPM(flip=False), network, replace(TRAINING, learning_rate=0.01), Accelerator(cpu=True)
    )
    losses = run(trainer, steps=200)
    assert losses[-20:].mean() < 0.9 * losses[:20].mean()
