"""EDM as one would write it down from its description: what benchmarks/deep.py measures this
project's code against.

The same network under the same names, with products and sums in the order of the formulas, float32
in the usual layout, and the training loop of the common public implementations: an Adam of many
small steps, gradients cleaned and weights averaged one tensor at a time, the loss read in every
step.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.models.augment import Transforms, augment, draw_transforms
from deep.networks.unet_edm import EDMNetwork, Place


def norm(width: int) -> nn.GroupNorm:
    """Group norm as EDM has it, of up to 32 groups of four channels or more.

    Args:
        width: Number of channels.

    Returns:
        The layer.
    """
    return nn.GroupNorm(min(32, width // 4), width, eps=1e-6)


class PlainBlock(nn.Module):
    """A residual block of the DDPM++ U-Net."""

    def __init__(self, place: Place, embedding: int, dropout: float) -> None:
        super().__init__()
        self.place, self.dropout = place, dropout
        inputs, outputs = place.inputs, place.outputs
        self.norm0, self.norm1 = norm(inputs), norm(outputs)
        self.conv0 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.affine = nn.Linear(embedding, outputs)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        resized = inputs != outputs or place.resampling != "keep"
        self.skip = nn.Conv2d(inputs, outputs, 1) if resized else nn.Identity()
        if place.attention:
            self.norm2 = norm(outputs)
            self.qkv = nn.Conv2d(outputs, 3 * outputs, 1)
            self.proj = nn.Conv2d(outputs, outputs, 1)

    def resampled(self, x: Tensor) -> Tensor:
        """Halve or double the resolution, by a filter for each channel, if the block does.

        The filter is 1/4 everywhere on the way down and 1 on the way up.

        Args:
            x: Features, (n, c, h, w).

        Returns:
            Features, (n, c, h', w'), with the resolution of the block's output.
        """
        channels = x.shape[1]
        if self.place.resampling == "down":
            return functional.conv2d(
                x, x.new_full((channels, 1, 2, 2), 0.25), stride=2, groups=channels
            )
        if self.place.resampling == "up":
            return functional.conv_transpose2d(
                x, x.new_ones(channels, 1, 2, 2), stride=2, groups=channels
            )
        return x

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Run the block.

        Args:
            x: Features, (n, c, h, w).
            embedding: Embedding of the noise level of each image, (n, e).

        Returns:
            Features, (n, c', h', w').
        """
        h = self.conv0(self.resampled(functional.silu(self.norm0(x))))
        h = h + self.affine(embedding)[:, :, None, None]
        h = functional.silu(self.norm1(h))
        h = self.conv1(functional.dropout(h, p=self.dropout, training=self.training))
        x = (h + self.skip(self.resampled(x))) * math.sqrt(0.5)
        if not self.place.attention:
            return x
        n, c, height, width = x.shape
        q, k, v = self.qkv(self.norm2(x)).reshape(n, c, 3, height * width).unbind(2)
        weights = (
            torch.einsum("ncq,nck->nqk", q.float(), k.float() / math.sqrt(c))
            .softmax(dim=2)
            .to(q.dtype)
        )
        attended = torch.einsum("nqk,nck->ncq", weights, v).reshape(x.shape)
        return (x + self.proj(attended)) * math.sqrt(0.5)


class PlainUNet(nn.Module):
    """The DDPM++ U-Net."""

    def __init__(self, network: EDMNetwork) -> None:
        super().__init__()
        self.width = network.model_channels
        embedding = network.channel_mult_emb * self.width
        if network.augment_dim:
            self.map_augment = nn.Linear(network.augment_dim, self.width, bias=False)

        self.map_layer0, self.map_layer1 = (
            nn.Linear(self.width, embedding),
            nn.Linear(embedding, embedding),
        )
        encoder, decoder = network.places()
        top = f"{network.resolution}x{network.resolution}"
        self.enc = nn.ModuleDict(
            {f"{top}_conv": nn.Conv2d(network.channels, self.width, 3, padding=1)}
        )
        self.enc.update(
            {place.name: PlainBlock(place, embedding, network.dropout) for place in encoder}
        )
        self.dec = nn.ModuleDict(
            {place.name: PlainBlock(place, embedding, network.dropout) for place in decoder}
        )
        self.dec[f"{top}_aux_norm"] = norm(decoder[-1].outputs)
        self.dec[f"{top}_aux_conv"] = nn.Conv2d(decoder[-1].outputs, network.channels, 3, padding=1)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None) -> Tensor:
        """Run the network.

        Args:
            x: Scaled noisy images, (n, c, h, w).
            c_noise: Scaled log noise level of each image, (n,).
            labels: Labels of the augmentation, (n, augment_dim). None: there was none.

        Returns:
            (n, c, h, w).
        """
        half = self.width // 2
        frequencies = (1 / 10000) ** (torch.arange(half, device=x.device) / (half - 1))
        angles = c_noise.outer(frequencies)
        embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
        if labels is not None:
            embedding = embedding + self.map_augment(labels)
        embedding = functional.silu(self.map_layer1(functional.silu(self.map_layer0(embedding))))
        skips = []
        for module in self.enc.values():
            x = module(x, embedding) if isinstance(module, PlainBlock) else module(x)
            skips.append(x)
        *blocks, last_norm, last = self.dec.values()
        for block in blocks:
            if isinstance(block, PlainBlock) and block.place.skip:
                x = torch.cat([x, skips.pop()], dim=1)
            x = block(x, embedding)
        return last(functional.silu(last_norm(x)))


class PlainEDM(nn.Module):
    """The preconditioned denoiser.

    Its state dict is that of `EDMPrecond`, less the constant filters.
    """

    def __init__(self, network: EDMNetwork) -> None:
        super().__init__()
        self.sigma_data = network.sigma_data
        self.augment_dim = network.augment_dim
        self.model = PlainUNet(network)

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """Denoise images.

        Args:
            x: Noisy images, (n, c, h, w).
            sigma: Noise level, scalar or one an image, (n,) or (n, 1, 1, 1).
            labels: Labels of the augmentation, (n, augment_dim). None: there was none.

        Returns:
            Denoised images, (n, c, h, w).
        """
        x, sigma = x.float(), sigma.float().reshape(-1, 1, 1, 1)
        c_skip = self.sigma_data**2 / (sigma**2 + self.sigma_data**2)
        c_out = sigma * self.sigma_data / (sigma**2 + self.sigma_data**2).sqrt()
        c_in = 1 / (sigma**2 + self.sigma_data**2).sqrt()
        return c_skip * x + c_out * self.model(c_in * x, sigma.log().flatten() / 4, labels).float()


def train_plainly(
    network: PlainEDM,
    average: PlainEDM,
    images: Tensor,
    steps: int,
    batch: int,
    augmentation: float,
    context: Callable[[], Any],
    rng: np.random.Generator,
) -> None:
    """Take steps of EDM's training on uint8 images, on their device.

    Args:
        network: The network that is trained.
        average: Its exponential moving average.
        images: Training set, (n, c, h, w) uint8.
        steps: Number of steps.
        batch: Images a step.
        augmentation: Probability of each kind of augmentation; 0: none.
        context: Makes the context of the network's calls, for half precision.
        rng: Source of all randomness.
    """
    device = images.device
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**32)))

    for _ in range(steps):
        adam.zero_grad()
        chosen = torch.from_numpy(rng.integers(len(images), size=batch)).to(device)
        clean, labels = images[chosen].float() / 127.5 - 1, None
        sigma = (1.2 * torch.randn(batch, 1, 1, 1, generator=generator, device=device) - 1.2).exp()
        if augmentation:
            transforms: Transforms = draw_transforms(batch, augmentation, generator)
            clean, labels = augment(clean, transforms), transforms.labels()
        noise = torch.randn(clean.shape, generator=generator, device=device) * sigma
        with context():
            denoised = network(clean + noise, sigma, labels)
        weight = (sigma**2 + network.sigma_data**2) / (sigma * network.sigma_data) ** 2
        loss = (weight * (denoised - clean) ** 2).sum() / batch
        scaler.scale(loss).backward()
        loss.item()
        scaler.unscale_(adam)
        for parameter in network.parameters():
            if parameter.grad is not None and not scaler.is_enabled():
                torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        scaler.step(adam)
        scaler.update()
        for mean, parameter in zip(average.parameters(), network.parameters(), strict=True):
            mean.copy_(parameter.detach().lerp(mean, 0.999))


@torch.no_grad()
def sample_plainly(
    network: PlainEDM,
    shape: tuple[int, ...],
    steps: int,
    batch: int,
    count: int,
    device: torch.device,
) -> None:
    """Draw by Heun's method, each image's noise from a generator of its own, one to the next.

    Args:
        network: The denoiser.
        shape: Shape (c, h, w) of an image.
        steps: Number of noise levels, >= 2.
        batch: Images drawn at once.
        count: Images in all.
        device: Device that they are drawn on.
    """
    for start in range(0, count, batch):
        generators = [
            torch.Generator(device).manual_seed(i) for i in range(start, min(start + batch, count))
        ]
        x = torch.stack(
            [torch.randn(shape, generator=g, device=device) for g in generators]
        ).double()
        i = torch.arange(steps, dtype=torch.float64, device=device)
        levels = (80 ** (1 / 7) + i / (steps - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
        levels = torch.cat([levels, levels.new_zeros(1)])
        x = x * levels[0]

        for k in range(steps):
            now, after = levels[k], levels[k + 1]
            slope = (x - network(x.float(), now.float()).double()) / now
            ahead = x + (after - now) * slope
            if k < steps - 1:
                slope = (
                    slope + (ahead - network(ahead.float(), after.float()).double()) / after
                ) / 2
                ahead = x + (after - now) * slope
            x = ahead

        (x * 127.5 + 128).clip(0, 255).byte().cpu()
