"""DDPM and OT-CFM as one would write them down from their descriptions: what benchmarks/gpu.py
measures this project's code against.

The usual memory layout and SiLU out of place, an attention of explicit products, an Adam of many
small steps, weights averaged one tensor at a time, the loss read in every step; OT-CFM's plan by
SciPy.
"""

import copy
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import scipy.optimize
import scipy.spatial.distance
import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.models.ddpm import DDPM
from deep.models.ot_cfm import OTCFM
from deep.networks.dropout import Dropout
from deep.networks.norm_silu import NormSiLU
from deep.networks.unet_cfm import CFMAttention
from deep.networks.unet_ddpm import DDPMAttention

__all__ = ["plain_copy", "sample_ddpm_plainly", "sample_otcfm_plainly", "train_others_plainly"]


class PlainAttention(nn.Module):
    """Self-attention by explicit products, with the weights of one of ours."""

    def __init__(self, ours: DDPMAttention | CFMAttention) -> None:
        super().__init__()
        self.heads, self.norm = ours.heads, ours.norm
        one_head = isinstance(ours, DDPMAttention)
        self.rows = (3, self.heads) if one_head else (self.heads, 3)
        self.map_in = ours.project_in if isinstance(ours, DDPMAttention) else ours.qkv
        self.map_out = ours.project_out if isinstance(ours, DDPMAttention) else ours.proj_out

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Add to each pixel a mean of all pixels, weighted by likeness.

        Args:
            x: Features, (n, c, h, w).
            embedding: Embedding of each image, (n, e). Not used; U-Nets pass it to their layers.

        Returns:
            (n, c, h, w).
        """
        n, c, height, width = x.shape
        flat = self.norm(x).flatten(2)  # (n, c, l)
        weight, bias = self.map_in.weight.flatten(1), cast(Tensor, self.map_in.bias)
        qkv = (torch.einsum("oc,ncl->nol", weight.to(flat.dtype), flat) + bias[:, None]).unflatten(
            1, (*self.rows, -1)
        )
        q, k, v = qkv.unbind(1 if self.rows[0] == 3 else 2)  # (n, heads, c / heads, l)
        scale = (c // self.heads) ** -0.5
        weights = torch.einsum("nhcq,nhck->nhqk", q.float(), k.float() * scale).softmax(dim=3)
        attended = torch.einsum("nhqk,nhck->nhcq", weights.to(v.dtype), v).reshape(n, c, -1)
        out = torch.einsum("oc,ncl->nol", self.map_out.weight.flatten(1).to(v.dtype), attended)
        return x + (out + cast(Tensor, self.map_out.bias)[:, None]).reshape(n, c, height, width)


class PlainNormSiLU(nn.GroupNorm):
    """Normalisation and SiLU one after the other, out of place."""

    def __init__(self, ours: NormSiLU) -> None:
        super().__init__(ours.num_groups, ours.num_channels, ours.eps)
        self.weight, self.bias = ours.weight, ours.bias

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Normalise and activate.

        Args:
            x: Features, (n, c, h, w).
            added: Added to each channel before, (n or 1, c); None: nothing.

        Returns:
            Features, like x.
        """
        return functional.silu(super().forward(x if added is None else x + added[..., None, None]))


def plain_copy(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a network of DDPM or OT-CFM in the usual layout, with explicit attention.

    Args:
        network: The network.
        device: Where the copy lives.

    Returns:
        The copy, with the same weights.
    """
    made = copy.deepcopy(network).to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in list(made.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, DDPMAttention | CFMAttention):
                setattr(module, name, PlainAttention(child))
            elif isinstance(child, NormSiLU):
                setattr(module, name, PlainNormSiLU(child))
            elif isinstance(child, Dropout):
                setattr(module, name, nn.Dropout(child.p).train(child.training))
    return made


def train_others_plainly(
    network: nn.Module,
    average: nn.Module,
    model: DDPM | OTCFM,
    images: Tensor,
    steps: int,
    batch: int,
    context: Callable[[], Any],
    rng: np.random.Generator,
) -> None:
    """Steps of DDPM's or OT-CFM's training on uint8 images, on their device.

    Args:
        network: Trained.
        average: Its exponential moving average.
        model: Says which of the two, and DDPM's schedule.
        images: (n, c, h, w) uint8.
        steps: Steps to take.
        batch: Images a step.
        context: Of the network's calls, for half precision.
        rng: Draws everything.
    """
    device = images.device
    network.train()
    adam = torch.optim.Adam(network.parameters(), lr=2e-4)
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")

    for _ in range(steps):
        adam.zero_grad()
        chosen = torch.from_numpy(rng.integers(len(images), size=batch)).to(device)
        clean = images[chosen].float() / 127.5 - 1
        flipped = torch.from_numpy(rng.random(batch) < 0.5).to(device)[:, None, None, None]
        clean = torch.where(flipped, clean.flip(3), clean)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32)).to(device)

        with context():
            if isinstance(model, DDPM):
                predicted, target = _noise_and_prediction(network, model, clean, noise, rng)
            else:
                predicted, target = _velocity_and_prediction(network, clean, noise, rng)

        loss = (predicted.float() - target).square().mean()
        scaler.scale(loss).backward()
        loss.item()
        scaler.unscale_(adam)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        scaler.step(adam)
        scaler.update()

        for mean, parameter in zip(average.parameters(), network.parameters(), strict=True):
            mean.copy_(parameter.detach().lerp(mean, 0.9999))


def _noise_and_prediction(
    network: nn.Module, model: DDPM, clean: Tensor, noise: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    t = torch.from_numpy(rng.integers(model.timesteps, size=len(clean))).to(clean.device)
    level = torch.from_numpy(model.alphas_cumprod).float().to(clean.device)[t][:, None, None, None]
    return network(level.sqrt() * clean + (1 - level).sqrt() * noise, t), noise


def _velocity_and_prediction(
    network: nn.Module, clean: Tensor, noise: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    cost = scipy.spatial.distance.cdist(
        noise.flatten(1).cpu().numpy(), clean.flatten(1).cpu().numpy(), "sqeuclidean"
    )
    rows, columns = scipy.optimize.linear_sum_assignment(cost)
    noise, clean = noise[torch.from_numpy(rows)], clean[torch.from_numpy(columns)]
    t = torch.from_numpy(rng.random(len(clean), np.float32)).to(clean.device)
    at = t[:, None, None, None]
    return network(t, (1 - at) * noise + at * clean), clean - noise


@torch.no_grad()
def sample_ddpm_plainly(
    network: nn.Module, model: DDPM, shape: tuple[int, ...], count: int, device: torch.device
) -> Tensor:
    """DDIM along the model's times, each image's noise from a generator of its own.

    Args:
        network: Predicts the noise.
        model: Gives schedule and times.
        shape: (c, h, w).
        count: Images.
        device: Where they are drawn.

    Returns:
        Images, (count, c, h, w) uint8.
    """
    x = _noise(shape, count, device)
    times = [int(t) for t in model.make_sampler().times]
    schedule = model.alphas_cumprod
    for i in reversed(range(len(times))):
        now, after = schedule[times[i]], schedule[times[i - 1]] if i else 1.0
        noise = network(x, torch.full((count,), times[i], device=device)).float()
        clean = ((x - (1 - now) ** 0.5 * noise) / now**0.5).clip(-1, 1)
        noise = (x - now**0.5 * clean) / (1 - now) ** 0.5
        x = after**0.5 * clean + (1 - after) ** 0.5 * noise
    return (x * 127.5 + 127.5).round().clip(0, 255).byte().cpu()


@torch.no_grad()
def sample_otcfm_plainly(
    network: nn.Module, shape: tuple[int, ...], steps: int, count: int, device: torch.device
) -> Tensor:
    """Equal steps of Euler, each image's noise from a generator of its own.

    Args:
        network: Velocity, from t and x.
        shape: (c, h, w).
        steps: Their number.
        count: Images.
        device: Where they are drawn.

    Returns:
        Images, (count, c, h, w) uint8.
    """
    x = _noise(shape, count, device)
    for i in range(steps):
        x = x + network(torch.full((count,), i / steps, device=device), x).float() / steps
    return (x * 127.5 + 128).clip(0, 255).byte().cpu()


def _noise(shape: tuple[int, ...], count: int, device: torch.device) -> Tensor:
    generators = [torch.Generator(device).manual_seed(i) for i in range(count)]
    return torch.stack([torch.randn(shape, generator=g, device=device) for g in generators])
