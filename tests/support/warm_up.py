"""Checkpoints as the official loops leave them while the learning rate warms up."""

import copy
from dataclasses import replace

import torch

from deep.formats.checkpoint_record import Checkpoint
from deep.networks.unet_edm import EDMNetwork
from deep.training.trainer import TrainConfig

NETWORK = EDMNetwork(
    resolution=8, channels=1, model_channels=4, channel_mult=(1,), num_blocks=1, attn_resolutions=()
)
WARMUP, BATCH, RATE = 50, 8, 2e-4
CFM = TrainConfig(batch=BATCH, learning_rate=RATE, ramp_images=WARMUP * BATCH)
DDPM = replace(CFM, ramp_from_zero=False)


def official(updates, warmup, rate=RATE):
    """A checkpoint after so many updates, and the rate that the official loop uses next."""
    network = NETWORK.build(torch.Generator())
    adam = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, warmup)
    for _ in range(updates):
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        adam.step()
        schedule.step()
    moments = copy.deepcopy(adam.state_dict())
    state = network.state_dict()
    return Checkpoint(NETWORK, state, state, moments, step=updates - 1), adam.param_groups[0]["lr"]
