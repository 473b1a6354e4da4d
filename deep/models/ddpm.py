"""DDPM (Ho et al. 2020): loss and samplers, for a network that predicts the noise.

The network is ε_θ(x_t, t), `DDPMUNet` of deep.networks.unet_ddpm, t = 0 … T−1. Coefficients are
computed in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from deep.models.protocol import Noise
from deep.pixels import rounded_uint8, to_float
from stability.diffusion.denoiser import x0_from_noise
from stability.diffusion.multistep import DPMSolver2M, MultistepSampler, UniPC
from stability.diffusion.schedules import linear_alphas_cumprod, spaced_times
from stability.diffusion.step_samplers import DDIM, Ancestral, StepSampler
from stability.runs.option_error import OptionError
from stability.runs.ranges import MOST_STEPS, require_range

__all__ = ["DDPM"]

SamplerName = Literal[
    "ddim-quadratic", "ddim-linear", "fixed-large", "fixed-small", "dpm++2m", "unipc"
]
MULTISTEP = {"dpm++2m": DPMSolver2M, "unipc": UniPC}
FEW_STEPS = 20


@dataclass(frozen=True)
class DDPM:
    """DDPM's loss, and its samplers.

    The defaults are those of ddpm-torch for CIFAR-10.
    """

    timesteps: int = 1000
    """T: steps of the diffusion."""
    beta_first: float = 1e-4
    """Variance of its first step."""
    beta_last: float = 0.02
    """Variance of its last step; linear between."""
    flip: bool = True
    """Mirror half of the images in training."""
    sampler: SamplerName = "ddim-quadratic"
    """DDIM, deterministic, along quadratic or equal time steps; ancestral sampling with the
    variance β_t (large) or that of the posterior (small); or DPM-Solver++(2M) or UniPC,
    deterministic, with few steps at equal distances in log SNR."""
    ddim_steps: int | None = None
    """Steps of DDIM. Quadratic ones start at t = 0.8 T and repeat some of the smallest, as in
    the official code. None: 100, or --timesteps if it is smaller."""
    solver_steps: int | None = None
    """Steps of DPM-Solver++(2M) or UniPC. None: 20, or --timesteps if it is smaller."""
    solver_spacing: Literal["logsnr", "linear"] = "logsnr"
    """Distances of their steps: equal in log SNR, or equal in time, as is usual in diffusers."""
    x0_clip: float | None = 1.0
    """Bound on the pixels of the predicted image in sampling, which has pixels from -1 to 1;
    None: no bound."""
    clipped_noise: bool = True
    """DDIM: compute the noise from the clipped image, as ddpm-torch; else keep it as predicted, as
    diffusers."""

    def __post_init__(self) -> None:
        require_range(self, timesteps=(2, MOST_STEPS))
        if not 0 < self.beta_first <= self.beta_last < 1:
            raise OptionError(
                f"0 < --beta-first <= --beta-last < 1 must hold, got {self.beta_first}, "
                f"{self.beta_last}"
            )

        if self.x0_clip is not None and not 0 < self.x0_clip < float("inf"):
            raise OptionError(f"--x0-clip must be finite and > 0, got {self.x0_clip}")
        if not self.clipped_noise and (self.x0_clip is None or not self.sampler.startswith("ddim")):
            raise OptionError("--no-clipped-noise has no meaning without DDIM and --x0-clip")
        if self.solver_spacing != "logsnr" and self.sampler not in MULTISTEP:
            raise OptionError(
                f"--solver-spacing {self.solver_spacing} has no meaning for --sampler "
                f"{self.sampler}"
            )
        for option, of_it in (
            ("ddim_steps", self.sampler.startswith("ddim")),
            ("solver_steps", self.sampler in MULTISTEP),
        ):
            steps, name = getattr(self, option), f"--{option.replace('_', '-')}"
            if steps is not None and not of_it:
                raise OptionError(
                    f"{name} {steps} has no meaning for --sampler {self.sampler}; leave it out, or "
                    "set it to None where a preset gives it"
                )
            if steps is not None and not 2 <= steps <= self.timesteps:
                raise OptionError(
                    f"{name} must be from 2 to --timesteps {self.timesteps}, got {steps}"
                )

    @cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """ᾱ_t, the product of 1 − β up to t, (T,) float64."""
        return linear_alphas_cumprod(self.timesteps, self.beta_first, self.beta_last)

    def make_sampler(self) -> StepSampler | MultistepSampler:
        """The sampler that the settings name."""
        schedule, bound = self.alphas_cumprod, self.x0_clip
        if self.sampler in MULTISTEP:
            steps = self.solver_steps or min(FEW_STEPS, self.timesteps)
            if self.solver_spacing == "logsnr":
                times = spaced_times(schedule, steps, "logsnr")
            else:  # of steps + 1 equal ones, the last goes to the image
                times = np.linspace(0, self.timesteps - 1, steps + 1).round()[1:].astype(np.int64)
            return MULTISTEP[self.sampler](x0_clip=bound).over(schedule, times)
        if self.sampler.startswith("ddim"):
            steps = self.ddim_steps or min(100, self.timesteps)
            spacing = "linear" if self.sampler == "ddim-linear" else "quadratic"
            return DDIM(steps, spacing, bound, self.clipped_noise).over(schedule)
        noise = "large" if self.sampler == "fixed-large" else "small"
        return Ancestral(noise, bound).over(schedule)

    def inputs(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw the random parts of the loss: mirroring, timesteps and noise.

        Args:
            images: Images, (b, c, h, w) uint8.
            generator: Generator to draw with.

        Returns:
            Images, some of them mirrored, t (b,) uniform on 0 … T−1, and noise ε like the images.
        """
        b, device = len(images), generator.device
        if self.flip:
            images = mirrored(images, generator)
        t = torch.randint(self.timesteps, (b,), generator=generator, device=device)
        return images, t, torch.randn(images.shape, generator=generator, device=device)

    def losses(self, network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Squared error of the predicted noise: |ε − ε_θ(x_t, t)|², mean over pixels and channels.

        Args:
            network: Predicts ε, (b, c, h, w), from x_t and t.
            inputs: Given by the method `inputs`, shapes (b, …).

        Returns:
            The losses, (b,).
        """
        images, t, noise = inputs
        predicted = network(self.diffused(to_float(images), t, noise), t)
        return (predicted.float() - noise).square().mean(dim=(1, 2, 3))

    def diffused(self, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Diffuse clean images: x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε.

        Args:
            clean: x_0, (b, c, h, w).
            t: Timesteps, shape (b,) int64.
            noise: ε, (b, c, h, w).

        Returns:
            x_t, (b, c, h, w).
        """
        signal, spread = (
            torch.from_numpy(values).to(clean, non_blocking=True)[t][:, None, None, None]
            for values in (np.sqrt(self.alphas_cumprod), np.sqrt(1 - self.alphas_cumprod))
        )
        return signal * clean + spread * noise

    def sample(self, network: Callable[..., Tensor], noise: Noise) -> Tensor:
        """Draw with the sampler that is set.

        Args:
            network: Predicts ε, (b, c, h, w), from x_t and t.
            noise: Gives the noise of the batch.

        Returns:
            Images, (b, c, h, w).
        """
        return self.make_sampler().sample(
            partial(self.denoise, network), noise(), lambda step: noise()
        )

    def denoise(self, network: Callable[..., Tensor], x: Tensor, t: int) -> Tensor:
        """Estimate x̂₀ from x_t and the predicted noise, before it is clipped.

        Args:
            network: Predicts ε, (b, c, h, w), from x_t and t.
            x: x_t, (b, c, h, w).
            t: Timestep, from 0 to T−1.

        Returns:
            x̂₀, (b, c, h, w).
        """
        eps = network(x, torch.full((len(x),), t, device=x.device)).float()
        return x0_from_noise(x, eps, float(self.alphas_cumprod[t]))

    def to_uint8(self, images: Tensor) -> Tensor:
        return rounded_uint8(images)


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left-right with probability ½.

    Args:
        images: Images, (b, c, h, w).
        generator: Generator to draw with.

    Returns:
        Images, (b, c, h, w).
    """
    coins = torch.randint(2, (len(images), 1, 1, 1), generator=generator, device=generator.device)
    return torch.where(coins.bool(), images.flip(3), images)
