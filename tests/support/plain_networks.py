"""2-D networks of one chain as plain torch modules: oracles of the batched ones."""

import itertools

import numpy as np
import torch
from torch import nn
from torch.nn.utils import skip_init


class PlainLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fc1, self.fc2 = (skip_init(nn.Linear, width, width, bias=False) for _ in range(2))
        self.enc = skip_init(nn.Linear, width, width)
        self.act = nn.LeakyReLU(0.02)

    def forward(self, h, u):
        return h + self.fc2(self.act(self.norm2(self.fc1(self.act(self.norm1(h))) + self.enc(u))))


class PlainTemporal(nn.Module):
    """ddpm-torch's toy network written out for one chain, from its published description."""

    def __init__(self, width, layers):
        super().__init__()
        self.width = width
        self.in_fc = skip_init(nn.Linear, 2, width, bias=False)
        self.temp_fc = nn.ModuleList([PlainLayer(width)] * layers)
        self.out_norm = nn.LayerNorm(width)
        self.out_fc = skip_init(nn.Linear, width, 2)
        self.t_proj = nn.Sequential(skip_init(nn.Linear, width, width), nn.LeakyReLU(0.02))

    def forward(self, x, t):
        half = self.width // 2
        angle = t[:, None] * torch.exp(-np.log(10000) * torch.arange(half) / (half - 1))
        u = self.t_proj(torch.cat([angle.sin(), angle.cos()], dim=1))
        h = self.in_fc(x)
        for layer in self.temp_fc:
            h = layer(h, u)
        return self.out_fc(self.out_norm(h))


def plain_temporal(network, chain, width, layers):
    """One chain of a temporal network as a plain torch module."""
    module = PlainTemporal(width, layers)
    module.load_state_dict(network.state_of(chain))
    return module


def plain_mlp(network, chain):
    """One chain of a perceptron as a plain torch module."""
    widths = [network.shapes[0][0][1], *(shape[0] for shape, _ in network.shapes)]
    modules = []
    for a, b in itertools.pairwise(widths):
        modules += [torch.nn.utils.skip_init(torch.nn.Linear, a, b), torch.nn.SELU()]
    module = torch.nn.Sequential(*modules[:-1])
    module.load_state_dict(
        {name.removeprefix("net."): value for name, value in network.state_of(chain).items()}
    )
    return module
