"""Properties of the networks of all three models."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from deep.formats.checkpoint_record import NETWORKS
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork
from tests.support.official import randomised, relative_error

SMALL = {
    "edm": EDMNetwork(
        resolution=8,
        channels=2,
        model_channels=16,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(4,),
    ),
    "ddpm": DDPMNetwork(
        resolution=8,
        channels=2,
        model_channels=32,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(4,),
    ),
    "otcfm": CFMNetwork(
        resolution=8,
        channels=2,
        model_channels=32,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(4,),
        head_channels=16,
    ),
}
KINDS = list(SMALL)


def seeded(rng):
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def inputs(kind, n, rng):
    """Arguments of the network: x (n, 2, 8, 8) and times or noise levels (n,)."""
    x = torch.from_numpy(rng.standard_normal((n, 2, 8, 8), dtype=np.float32))
    uniform = torch.from_numpy(rng.random(n, dtype=np.float32))
    return {
        "edm": (x, (4 * uniform - 2).exp()),
        "ddpm": (x, (999 * uniform).long()),
        "otcfm": (uniform, x),
    }[kind]


def test_every_kind_is_looked_at():
    assert SMALL.keys() == NETWORKS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_does_not_depend_on_the_others(kind, rng):
    network = randomised(SMALL[kind].build(seeded(rng)), rng).eval()
    batch = inputs(kind, 5, rng)
    with torch.no_grad():
        together = network(*batch)
        alone = torch.cat([network(*(value[i : i + 1] for value in batch)) for i in range(5)])
    assert relative_error(alone, together) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_one_time_serves_a_batch(kind, rng):
    network = randomised(SMALL[kind].build(seeded(rng)), rng).eval()
    batch = inputs(kind, 3, rng)
    one = tuple(value if value.dim() == 4 else value[1:2] for value in batch)
    same = tuple(value if value.dim() == 4 else value[1:2].expand(3) for value in batch)
    with torch.no_grad():
        assert relative_error(network(*one), network(*same)) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_by_working_in_place_changes_nothing(kind, rng):
    """With gradients, without them, and once more: the same output, and the inputs as they were."""
    network = randomised(SMALL[kind].build(seeded(rng)), rng).eval()
    batch = inputs(kind, 3, rng)
    before = [value.clone() for value in batch]
    recorded = network(*batch)
    recorded.square().sum().backward()
    with torch.no_grad():
        first, second = network(*batch), network(*batch)
    assert torch.equal(first, second)
    assert relative_error(first, recorded.detach()) < 1e-6
    assert all(torch.equal(a, b) for a, b in zip(before, batch, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes_of_the_loss(kind, rng):
    """Along a random direction, against a central difference."""
    network = randomised(SMALL[kind].build(seeded(rng)), rng).eval()
    batch = inputs(kind, 3, rng)
    target = torch.from_numpy(rng.standard_normal((3, 2, 8, 8), dtype=np.float32))
    # it has no part in this
    start = {name: p for name, p in network.named_parameters() if "map_augment" not in name}
    direction = {
        name: torch.from_numpy(rng.standard_normal(p.shape, dtype=np.float32))
        for name, p in start.items()
    }

    def loss(step=0.0):
        moved = {name: p + step * direction[name] for name, p in start.items()}
        return (torch.func.functional_call(network, moved, batch) * target).double().mean()

    gradients = torch.autograd.grad(loss(), list(start.values()))
    slope = sum(
        float((g.double() * d).sum()) for g, d in zip(gradients, direction.values(), strict=True)
    )
    # the slope's standard deviation
    typical = sum(float(g.double().square().sum()) for g in gradients) ** 0.5
    with torch.no_grad():
        difference = float(loss(1e-4) - loss(-1e-4)) / 2e-4
    # rounding and curvature: below 0.001 in 36 trials
    assert slope == pytest.approx(difference, abs=0.02 * typical)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_autocast_is_close_and_keeps_times_apart(kind, rng):
    network: Any = randomised(SMALL[kind].build(seeded(rng)), rng).eval()
    batch = inputs(kind, 3, rng)
    embed = (
        partial(network.model._embedding, augment_labels=None)
        if kind == "edm"
        else network._embedding
    )
    t = torch.tensor([1.0])
    with torch.no_grad():
        exact, embedding = network(*batch), embed(t)
        with torch.autocast("cpu", torch.bfloat16):
            assert relative_error(network(*batch).float(), exact) < 0.1
            assert torch.equal(embed(t), embedding)


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_as_one_graph(kind, rng):
    """torch.compile finds nothing that it cannot follow.

    The backend that generates code would take a minute.
    """
    network = randomised(SMALL[kind].build(seeded(rng)), rng)
    batch = inputs(kind, 2, rng)
    compiled = torch.compile(network.eval(), backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        assert relative_error(compiled(*batch), network(*batch)) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_weights_come_from_the_generator_alone(kind):
    first, second = (
        SMALL[kind].build(torch.Generator().manual_seed(7)).state_dict() for _ in range(2)
    )
    other = SMALL[kind].build(torch.Generator().manual_seed(8)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert all(value.isfinite().all() for value in first.values())


def bound(kind, name, shape):
    """The largest value that an initial weight may have: 0 for those that are constant."""
    fan_in, fan_out = (n * int(np.prod(shape[2:])) for n in (shape[1], shape[0]))
    if kind == "otcfm":  # PyTorch's default
        return (
            0.0
            if name.endswith(("out_layers.3.weight", "proj_out.weight", "out.2.weight"))
            else fan_in**-0.5
        )
    small = (
        (".conv1.", ".proj.", "aux_conv.")
        if kind == "edm"
        else (".conv2.", ".project_out.", "out_conv.2.")
    )
    gain = 1e-5 if any(layer in name for layer in small) else 0.2**0.5 if ".qkv." in name else 1.0
    return gain * (6 / (fan_in + fan_out)) ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_fill_their_official_range(kind, rng):
    for name, value in SMALL[kind].build(seeded(rng)).state_dict().items():
        if value.dim() > 1 and "resample_filter" not in name:
            limit = bound(kind, name, value.shape)
            # the largest of k uniform numbers is below 0.9 of the bound with probability 0.9^k <=
            # 0.9^144 < 1e-6
            assert value.numel() >= 144
            assert 0.9 * limit <= float(value.abs().max()) <= limit * (1 + 1e-6)
        elif "resample_filter" in name:
            assert (value == 0.25).all()
        elif "norm" in name or name.endswith(
            ("in_layers.0.weight", "out_layers.0.weight", "out.0.weight")
        ):
            assert (value == (1.0 if name.endswith("weight") else 0.0)).all()


FIELDS = {
    "resolution": 16,
    "channels": 3,
    "model_channels": 64,
    "channel_mult": (1, 3),
    "num_blocks": 2,
    "attn_resolutions": (8, 4),
    "augment_dim": 4,
    "channel_mult_emb": 2,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_makes_another_network(kind):
    """Those of dropout, sigma_data and the heads, which no tensor shows, have tests of their
    own.
    """

    def shapes(config):
        with torch.device("meta"):
            return {name: value.shape for name, value in config.build().state_dict().items()}

    base = SMALL[kind]
    for name, value in FIELDS.items():
        if hasattr(base, name) and not (name == "resolution" and kind != "edm"):
            changes = (
                {name: value} if name != "resolution" else {name: value, "attn_resolutions": (8,)}
            )
            assert shapes(replace(base, **changes)) != shapes(base), name


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_a_matter_of_training(kind, rng):
    always, never = replace(SMALL[kind], dropout=0.9), replace(SMALL[kind], dropout=0.0)
    network, other = (
        randomised(config.build(torch.Generator()), rng) for config in (always, never)
    )
    other.load_state_dict(network.state_dict())
    batch = inputs(kind, 2, rng)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(int(rng.integers(2**62)))
        assert torch.equal(network.eval()(*batch), other.eval()(*batch))
        assert torch.equal(other.train()(*batch), other.eval()(*batch))
        assert not torch.equal(network.train()(*batch), other(*batch))


def test_sigma_data_sets_the_preconditioning(rng):
    """D = c_skip x in an untrained network, c_skip = σ_data²/(σ² + σ_data²)."""
    x, sigma = inputs("edm", 2, rng)
    for data in (0.5, 2.0):
        network = replace(SMALL["edm"], sigma_data=data).build(seeded(rng)).eval()
        assert network.sigma_data == data
        with torch.no_grad():
            got = network(x, sigma)
        torch.testing.assert_close(
            got, data**2 / (sigma**2 + data**2)[:, None, None, None] * x, rtol=0, atol=1e-3
        )
