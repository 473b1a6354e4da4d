"""DDPM (Ho et al. 2020): loss and samplers, for a network that predicts the noise.

The network is ε_θ(x_t, t), `DDPMUNet` of deep.networks.unet_ddpm, t = 0 … T−1. Coefficients are computed in float64.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from deep.models.protocol import Noise
from deep.pixels import rounded_uint8, to_float

__all__ = ["DDPM"]

Sampler = Literal["ddim-quadratic", "ddim-linear", "fixed-large", "fixed-small"]


@dataclass(frozen=True)
class DDPM:
    """DDPM's loss, and ancestral and DDIM sampling. The defaults are those of ddpm-torch for CIFAR-10."""

    timesteps: int = 1000
    """T: steps of the diffusion."""
    beta_first: float = 1e-4
    """Variance of its first step."""
    beta_last: float = 0.02
    """Variance of its last step; linear between."""
    flip: bool = True
    """Mirror half of the images in training."""
    sampler: Sampler = "ddim-quadratic"
    """DDIM, deterministic, along quadratic or equal time steps, or ancestral sampling with the variance β_t (large) or
    that of the posterior (small)."""
    ddim_steps: int = 100
    """Steps of DDIM. Quadratic ones start at t = 0.8 T and repeat some of the smallest, as in the official code."""

    def __post_init__(self) -> None:
        if self.timesteps < 2:
            raise ValueError(f"--timesteps must be >= 2, got {self.timesteps}")
        if not 0 < self.beta_first <= self.beta_last < 1:
            raise ValueError(f"0 < --beta-first <= --beta-last < 1 must hold, got {self.beta_first}, {self.beta_last}")
        if not 2 <= self.ddim_steps <= self.timesteps:
            raise ValueError(f"--ddim-steps must be from 2 to --timesteps {self.timesteps}, got {self.ddim_steps}")

    @cached_property
    def betas(self) -> np.ndarray:
        """β_t, (T,) float64."""
        return np.linspace(self.beta_first, self.beta_last, self.timesteps)

    @cached_property
    def alphas_bar(self) -> np.ndarray:
        """ᾱ_t, the product of 1 − β up to t, (T,) float64."""
        return np.cumprod(1 - self.betas)

    @cached_property
    def posterior_variances(self) -> np.ndarray:
        """β̃_t = β_t (1 − ᾱ_{t−1})/(1 − ᾱ_t), (T,) float64; 0 at t = 0."""
        before = np.append(1.0, self.alphas_bar[:-1])
        return self.betas * (1 - before) / (1 - self.alphas_bar)

    def inputs(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Images, some of them mirrored, t (b,) uniform on 0 … T−1, and noise ε like the images."""
        b, device = len(images), generator.device
        if self.flip:
            images = mirrored(images, generator)
        t = torch.randint(self.timesteps, (b,), generator=generator, device=device)
        return images, t, torch.randn(images.shape, generator=generator, device=device)

    def losses(self, network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """|ε − ε_θ(x_t, t)|², the mean over pixels and channels; (b,)."""
        images, t, noise = inputs
        predicted = network(self.diffused(to_float(images), t, noise), t)
        return (predicted.float() - noise).square().mean(dim=(1, 2, 3))

    def diffused(self, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε: (b, c, h, w), with t (b,)."""
        signal, spread = (
            torch.from_numpy(values).to(clean, non_blocking=True)[t][:, None, None, None]
            for values in (np.sqrt(self.alphas_bar), np.sqrt(1 - self.alphas_bar))
        )
        return signal * clean + spread * noise

    def ddim_times(self) -> list[int]:
        """Time steps of DDIM, ascending."""
        if self.sampler == "ddim-linear":
            return [i * (self.timesteps // self.ddim_steps) for i in range(self.ddim_steps)]
        return [round(float(x**2)) for x in np.linspace(0, math.sqrt(0.8 * self.timesteps), self.ddim_steps)]

    def denoised(self, network: Callable[..., Tensor], x: Tensor, t: int) -> Tensor:
        """x̂_0 = (x_t − √(1 − ᾱ_t) ε_θ)/√ᾱ_t, clipped to [−1, 1]."""
        alpha = float(self.alphas_bar[t])
        epsilon = network(x, torch.full((len(x),), t, device=x.device)).float()
        return ((x - math.sqrt(1 - alpha) * epsilon) / math.sqrt(alpha)).clip(-1, 1)

    def posterior_mean(self, x: Tensor, clean: Tensor, t: int) -> Tensor:
        """Mean of x_{t−1} given x_t and x_0."""
        beta, alpha = float(self.betas[t]), float(self.alphas_bar[t])
        before = float(self.alphas_bar[t - 1]) if t else 1.0
        return (beta * math.sqrt(before) * clean + math.sqrt(1 - beta) * (1 - before) * x) / (1 - alpha)

    def sample(self, network: Callable[..., Tensor], noise: Noise) -> Tensor:
        """Draw with the sampler that is set."""
        if self.sampler.startswith("ddim"):
            return self.ddim(network, noise(), self.ddim_times())
        variances = self.betas if self.sampler == "fixed-large" else self.posterior_variances
        x = noise()
        for t in reversed(range(self.timesteps)):
            x = self.posterior_mean(x, self.denoised(network, x, t), t)
            if t > 0:
                x = x + math.sqrt(variances[t]) * noise()
        return x

    def ddim(self, network: Callable[..., Tensor], x: Tensor, times: list[int]) -> Tensor:
        """DDIM with η = 0 down the ascending `times`; x: (b, c, h, w), taken to be at times[-1].

        ε is not predicted anew after x̂_0 has been clipped: what x_t holds beyond the clipped x̂_0 counts as noise.
        """
        for i in reversed(range(len(times))):
            alpha = float(self.alphas_bar[times[i]])
            before = float(self.alphas_bar[times[i - 1]]) if i else 1.0
            clean = self.denoised(network, x, times[i])
            x = math.sqrt(before) * clean + math.sqrt((1 - before) / (1 - alpha)) * (x - math.sqrt(alpha) * clean)
        return x

    def to_uint8(self, images: Tensor) -> Tensor:
        return rounded_uint8(images)


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """(b, c, h, w), each image mirrored left-right with probability ½."""
    coins = torch.randint(2, (len(images), 1, 1, 1), generator=generator, device=generator.device)
    return torch.where(coins.bool(), images.flip(3), images)
