"""The memory of the average of the weights."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from deep.models.edm import EDM
from deep.networks.unet_edm import EDMNetwork
from deep.response.memory import kept_average
from deep.training.trainer import Decay, HalfLife, TrainConfig, Trainer

NETWORK = EDMNetwork(
    resolution=8,
    channels=1,
    model_channels=4,
    channel_mult=(1,),
    num_blocks=1,
    attn_resolutions=(),
    dropout=0.0,
    augment_dim=0,
)


@pytest.mark.parametrize("ema", [HalfLife(40, share=0.5), Decay(0.9), Decay(0.9, ramp=False)])
def test_the_average_keeps_as_much_of_itself(rng, ema):
    """A network that stands still: its average comes nearer by what is not kept."""
    settings = TrainConfig(batch=8, ema=ema)
    images = rng.integers(0, 256, size=(16, 1, 8, 8), dtype=np.uint8)

    def trainer(settings):
        network = NETWORK.build(torch.Generator().manual_seed(1))
        return Trainer(EDM(augment=0.0), network, settings, Accelerator(cpu=True))

    moving, still = trainer(settings), trainer(replace(settings, learning_rate=1e-30))
    list(moving.fit(images, 20, np.random.default_rng(1)))
    still.load_state_dict(copy.deepcopy(moving.state_dict()))
    list(still.fit(images, 30, np.random.default_rng(2)))

    kept = kept_average(settings, 20, 30, "optimizer")
    assert 0 < kept < 1
    for now, before, network in zip(
        still.ema.parameters(), moving.ema.parameters(), moving.network.parameters(), strict=True
    ):
        expected = network + kept * (before - network)
        torch.testing.assert_close(now, expected, rtol=1e-4, atol=1e-6)


def test_a_half_life_is_kept_by_half():
    settings = TrainConfig(batch=100, ema=HalfLife(1000, share=0))
    assert kept_average(settings, 5000, 1000, "ema") == pytest.approx(0.5)
    assert kept_average(settings, 5000, 2000, "optimizer") == pytest.approx(0.25)
