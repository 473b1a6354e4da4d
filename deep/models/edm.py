"""EDM (Karras et al. 2022): loss and samplers, for a network that denoises.

The network is D(x, σ; a), `EDMPrecond` of `deep.networks.unet_edm`: x = y + σ ε -> an estimate of
y, conditioned on the augmentation a.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor

from deep.models.augment import LABELS, Transforms, augment, draw_transforms
from deep.models.protocol import Noise
from deep.pixels import floored_uint8, to_float
from stability.diffusion.float64_device import float64_device
from stability.diffusion.heun import Heun
from stability.diffusion.multistep import DPMSolver2M, MultistepSampler, UniPC
from stability.diffusion.preconditioning import weight
from stability.diffusion.schedules import edm_noise_levels
from stability.runs.option_error import OptionError, option_name
from stability.runs.ranges import MOST_STEPS, require_range

__all__ = ["EDM"]

UNIPC_12 = (12, 20.0)
"""Steps and ρ of unipc-12: with ρ = 7 most of so few steps would be spent at large σ."""


class Denoiser(Protocol):
    """Properties of a denoising network that a sampler and a loss ask for."""

    sigma_data: float
    """Standard deviation of the data that it was preconditioned for."""
    sigma_min: float
    """Least noise level that it knows."""
    sigma_max: float
    """Greatest noise level that it knows."""
    augment_dim: int
    """Numbers of the augmentation on which it is conditioned; 0: none."""


@dataclass(frozen=True)
class EDM:
    """EDM's loss, its Heun sampler and others. The defaults are those of the official CIFAR-10
    model.
    """

    p_mean: float = -1.2
    """Mean of ln σ in training."""
    p_std: float = 1.2
    """Standard deviation of ln σ in training."""
    augment: float = 0.12
    """Probability of each kind of augmentation; 0: none, not even mirroring. Needs a network
    that is conditioned on it."""
    sampler: Literal["heun", "dpm++2m", "unipc", "unipc-12"] = "heun"
    """Heun's method, or DPM-Solver++(2M) or UniPC, which call the network once a step; unipc-12
    is UniPC with --steps 12 --rho 20."""
    steps: int = 18
    """Steps of the sampler. Heun's method calls the network once less than twice as often."""
    sigma_min: float = 0.002
    """Last noise level before 0, in units of x; the network's own range counts too."""
    sigma_max: float = 80.0
    """First noise level."""
    rho: float = 7.0
    """Exponent of the levels between: they are equally spaced in σ^(1/ρ)."""
    churn: float = 0.0
    """S_churn: noise that Heun's method puts back in the course of sampling; 0: the sampler is
    deterministic."""
    churn_min: float = 0.0
    """S_min: no noise is put back below this σ."""
    churn_max: float = math.inf
    """S_max: nor above this one."""
    churn_noise: float = 1.0
    """S_noise: standard deviation of the noise put back, in units of what keeps the level exact."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.p_mean) and 0 < self.p_std < math.inf):
            raise OptionError(
                f"--p-mean must be finite and --p-std finite and > 0, got {self.p_mean} and "
                f"{self.p_std}"
            )
        if not 0 <= self.augment <= 1:
            raise OptionError(f"--augment must be a probability, got {self.augment}")

        require_range(self, steps=(1, MOST_STEPS))
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise OptionError(
                f"0 < --sigma-min < --sigma-max must hold, got {self.sigma_min} and "
                f"{self.sigma_max}"
            )

        for option in ("rho", "churn_noise"):
            if not 0 < getattr(self, option) < math.inf:
                raise OptionError(
                    f"{option_name(option)} must be finite and > 0, got {getattr(self, option)}"
                )

        for option in ("churn", "churn_min", "churn_max"):
            if not getattr(self, option) >= 0:
                raise OptionError(
                    f"{option_name(option)} must be >= 0, got {getattr(self, option)}"
                )

        if self.sampler == "unipc-12":
            for option in ("steps", "rho"):
                if getattr(self, option) != getattr(EDM, option):
                    raise OptionError(
                        f"{option_name(option)} has no meaning for --sampler unipc-12, which sets "
                        f"it; leave it out, or set it to {getattr(EDM, option):g} where a preset "
                        "gives it"
                    )

        if self.churn and self.sampler != "heun":
            raise OptionError(f"--churn has no meaning for --sampler {self.sampler}")
        for option in ("churn_min", "churn_max", "churn_noise"):
            if not self.churn and getattr(self, option) != getattr(EDM, option):
                raise OptionError(f"{option_name(option)} has no meaning without --churn")

    def inputs(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw the random parts of the loss: noise levels, augmentation and noise.

        Args:
            images: Images, (b, c, h, w) uint8.
            generator: Generator to draw with.

        Returns:
            Images, σ (b,), transforms of augmentation (b, 8), and noise ε like the images.
        """
        b, device = len(images), generator.device
        sigma = (
            self.p_mean + self.p_std * torch.randn(b, generator=generator, device=device)
        ).exp()
        transforms = draw_transforms(b, self.augment, generator).stacked()
        noise = torch.randn(images.shape, generator=generator, device=device)
        return images, sigma, transforms, noise

    def losses(self, network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Weighted denoising loss: w(σ) |D(y + σε, σ; a) − y|², summed over pixels and channels.

        y is the augmented image.

        Args:
            network: Denoiser D, (b, c, h, w) from y + σε, σ and labels a.
            inputs: Given by the method `inputs`, shapes (b, …).

        Returns:
            The losses, (b,).
        """
        images, sigma, transforms, noise = inputs
        clean = to_float(images)
        labels = None
        if self.augment:
            chosen = Transforms.from_stacked(transforms)
            clean, labels = augment(clean, chosen), chosen.labels()
        elif _denoiser(network).augment_dim:
            # every weight has a gradient, as data parallelism needs
            labels = transforms.new_zeros(len(images), LABELS)
        return self.denoising_losses(network, clean, sigma, noise, labels).sum(dim=(1, 2, 3))

    def denoising_losses(
        self,
        network: Callable[..., Tensor],
        clean: Tensor,
        sigma: Tensor,
        noise: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """Weighted squared errors, element by element: w(σ) (D(y + σε, σ; a) − y)².

        Args:
            network: Denoiser D, (b, c, h, w) from y + σε, σ and labels a.
            clean: y, (b, c, h, w).
            sigma: Noise levels σ, shape (b,).
            noise: ε, (b, c, h, w).
            labels: Augmentation labels a, (b, 9); None: none.

        Returns:
            The errors, (b, c, h, w).
        """
        weights = weight(sigma, _denoiser(network).sigma_data)[:, None, None, None]
        denoised = network(clean + sigma[:, None, None, None] * noise, sigma, labels)
        return weights * (denoised.float() - clean) ** 2

    def sample(self, network: Callable[..., Tensor], noise: Noise) -> Tensor:
        """Follow the probability flow from pure noise: float64, except in the network.

        Args:
            network: Denoiser D, (b, c, h, w) from x and σ.
            noise: Gives the noise of the batch.

        Returns:
            Images, (b, c, h, w).
        """
        start = noise()
        home = start.device
        place = float64_device(home)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            level = torch.full((1,), sigma, device=home)
            return network(x.float().to(home), level).to(place).double()

        sampler = self.make_sampler(_denoiser(network))
        return sampler.sample(denoise, start.to(place).double(), lambda step: noise().to(place))

    def make_sampler(self, network: Denoiser) -> Heun | MultistepSampler:
        """Make the sampler of the settings, within the noise levels that the network knows.

        Args:
            network: Gives the least and the greatest noise level.

        Returns:
            The sampler.
        """
        steps, rho = UNIPC_12 if self.sampler == "unipc-12" else (self.steps, self.rho)
        low = max(self.sigma_min, network.sigma_min)
        high = min(self.sigma_max, network.sigma_max)
        levels = edm_noise_levels(steps, low, high, rho)
        if self.sampler == "heun":
            between = self.churn_min, self.churn_max
            return Heun(levels, self.churn, between, self.churn_noise)
        return (DPMSolver2M() if self.sampler == "dpm++2m" else UniPC()).along(levels)

    def to_uint8(self, images: Tensor) -> Tensor:
        return floored_uint8(images)


def _denoiser(network: Callable[..., Tensor]) -> Denoiser:
    """The network itself, where it is wrapped for data parallelism."""
    return cast(Denoiser, getattr(network, "module", network))
