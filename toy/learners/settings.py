"""Settings of the 2-D learners; the defaults are the paper's or those of the official code.

They are apart from the networks, so that a command line is made without importing torch.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from stability.diffusion.flow import Dopri5, Euler, Integrator
from stability.diffusion.heun import Heun
from stability.diffusion.multistep import DPMSolver2M, MultistepSampler, UniPC
from stability.diffusion.schedules import (
    Spacing,
    edm_noise_levels,
    linear_alphas_cumprod,
    spaced_times,
)
from stability.diffusion.step_samplers import DDIM, Ancestral, StepSampler
from stability.runs.memory_limit import Need
from stability.runs.option_error import OptionError, option_name
from stability.runs.ranges import LARGEST_COUNT, MOST_STEPS, require_positive, require_range
from toy.densities.shapes import Source
from toy.learners.network_size import mlp_size, network_memory, spline_size, temporal_size

__all__ = [
    "DDPMConfig",
    "EDMConfig",
    "KDEConfig",
    "LearnerSettings",
    "MixtureConfig",
    "OTCFMConfig",
    "SplineFlowConfig",
    "VAEConfig",
]

LEAST_TOLERANCE = 1e-9  # single precision has none that is finer
COUNT = (1, LARGEST_COUNT)
MULTISTEP = {"dpm++2m": DPMSolver2M, "unipc": UniPC}


class LearnerSettings(Protocol):
    """Settings of a learner, which tell how much memory it takes."""

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate the memory of a fit from below.

        Args:
            chains: Number of models.
            points: Training points of each model.
            threads: Number of threads that work side by side.

        Returns:
            What is held at the same time.
        """
        ...


@dataclass(frozen=True)
class OTCFMConfig:
    """Settings of OT-CFM in two dimensions.

    The defaults and what the paper leaves open: docs, "Two moons".
    """

    epochs: int = 150
    """Passes over the training set in each (re)training."""
    batch: int = 256
    """Points per step."""
    plan: int = 0
    """Minibatch size of each transport plan; must divide the batch size. 0: one plan for the whole
    batch, as torchcfm does. With 32 plans take an eighth of the time, and distances are a little
    larger (docs, "Figure 8")."""
    learning_rate: float = 0.01
    """Adam learning rate (constant)."""
    width: int = 64
    """Width of each of the three hidden layers."""
    source: Source = "normal"
    """Distribution that the flow starts from: N(0, I), or torchcfm's eight Gaussians on a circle
    of radius 5."""
    sigma: float = 0.0
    """Standard deviation of the noise on the path between a source point and a data point, in
    units of the data."""
    pairs: Literal["plan", "permutation", "independent"] = "plan"
    """Draw pairs from the transport plan with replacement, as torchcfm does, or take each pair
    once, or make no plan: independent pairs, plain flow matching (CFM)."""
    solver: Literal["assignment", "pot"] = "assignment"
    """Exact optimal transport by this project's assignment solver or by POT's network simplex."""
    integrator: Literal["euler", "dopri5"] = "euler"
    """ODE solver of the sampler."""
    ode_steps: int | None = None
    """Steps of the Euler integrator. None: 99."""
    tolerance: float | None = None
    """Error that dopri5 allows in a step, absolute and relative. None: 1e-4."""

    def __post_init__(self) -> None:
        require_range(self, epochs=COUNT, batch=COUNT, width=COUNT, ode_steps=(1, MOST_STEPS))
        if self.plan < 0 or (self.plan and self.batch % self.plan):
            raise OptionError(f"--plan must be 0 or divide --batch {self.batch}, got {self.plan}")
        require_positive(self, "learning_rate")
        for option, default in (("plan", 0), ("solver", "assignment")):
            if self.pairs == "independent" and getattr(self, option) != default:
                raise OptionError(f"--{option} has no meaning for --pairs independent")
        if self.ode_steps is not None and self.integrator != "euler":
            raise OptionError(f"--ode-steps has no meaning for --integrator {self.integrator}")
        if self.tolerance is not None and self.integrator != "dopri5":
            raise OptionError(f"--tolerance has no meaning for --integrator {self.integrator}")
        if self.tolerance is not None and not LEAST_TOLERANCE <= self.tolerance < 1:
            raise OptionError(
                f"--tolerance must be from {LEAST_TOLERANCE} to below 1, got {self.tolerance}"
            )
        if not 0 <= self.sigma < math.inf:
            raise OptionError(f"--sigma must be finite and >= 0, got {self.sigma}")

    def make_integrator(self) -> Integrator:
        """Return the ODE solver that the settings name."""
        if self.integrator == "euler":
            return Euler(99 if self.ode_steps is None else self.ode_steps)
        return Dopri5(1e-4 if self.tolerance is None else self.tolerance)

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate the memory of a fit from below; each thread solves a transport plan.

        Args:
            chains: Number of models.
            points: Training points of each model; a plan has no more.
            threads: Number of threads, and of plans at the same time.

        Returns:
            Memory of the networks and of the plans.
        """
        plan = min(self.plan or self.batch, points) if self.pairs != "independent" else 0
        at_once = min(threads, chains)
        return [
            *network_memory(chains, mlp_size(self.sizes), self.width, self.batch),
            Need(f"transport plans of {plan:,} points", "--plan", 8 * plan**2 * at_once),
        ]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the network from input to output."""
        return (3, *[self.width] * 3, 2)


@dataclass(frozen=True)
class DDPMConfig:
    """Settings of DDPM in two dimensions: those of ddpm-torch's 2-D script except for the epochs,
    which the paper gives.
    """

    epochs: int = 200
    """Passes over the training set in each (re)training."""
    batch: int = 1000
    """Points per step."""
    learning_rate: float = 1e-3
    """Adam learning rate (constant)."""
    width: int = 128
    """Width of the hidden layers and of the embedding of time; even."""
    layers: int = 3
    """Number of times that the network's one residual layer is applied."""
    shuffle: bool = False
    """A new order of the data for each pass, instead of one random order for all passes of a
    (re)training."""
    diffusion_steps: int = 100
    """T, noise levels of the diffusion."""
    beta_first: float = 1e-3
    """β of the smallest noise level; β grows linearly to the largest."""
    beta_last: float = 0.2
    """β of the largest noise level."""
    sampler: Literal["fixed-large", "fixed-small", "ddim", "dpm++2m", "unipc"] = "fixed-large"
    """Ancestral sampling with variance β_t or β̃_t; or DDIM, DPM-Solver++(2M) or UniPC, which are
    deterministic."""
    sampler_steps: int | None = None
    """Steps of a deterministic sampler. None: all T."""
    spacing: Spacing | None = None
    """Distances of fewer than T steps: equal in time, in the square root of time, or in log SNR.
    None: equal in time (linear)."""
    clip: float | None = None
    """The sampler clips every x̂₀ to [−clip, clip], as image samplers do at 1. None: no clipping,
    as in the 2-D script."""

    def __post_init__(self) -> None:
        steps = (1, MOST_STEPS)
        require_range(self, epochs=COUNT, batch=COUNT, layers=steps, diffusion_steps=steps)
        if self.width < 4 or self.width % 2:
            raise OptionError(f"--width must be even and >= 4, got {self.width}")

        require_range(self, width=(4, LARGEST_COUNT))
        require_positive(self, "learning_rate", "clip")
        if self.sampler_steps is not None:
            if self.sampler.startswith("fixed"):
                raise OptionError(f"--sampler-steps has no meaning for --sampler {self.sampler}")
            if not 2 <= self.sampler_steps <= self.diffusion_steps:
                raise OptionError(
                    f"--sampler-steps must be from 2 to --diffusion-steps {self.diffusion_steps}, "
                    f"got {self.sampler_steps}"
                )
        if self.spacing is not None and self.sampler_steps is None:
            raise OptionError("--spacing has no meaning without --sampler-steps")

        for option in ("beta_first", "beta_last"):
            if not 0 < getattr(self, option) < 1:
                raise OptionError(
                    f"{option_name(option)} must be in (0, 1), got {getattr(self, option)}"
                )

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate the memory of a fit from below.

        Args:
            chains: Number of models.
            points: Training points of each model; not used.
            threads: Number of threads; not used.

        Returns:
            Memory of the networks and of the embeddings of time.
        """
        parameters = temporal_size(self.width)
        table = 4 * self.diffusion_steps * self.width * (2 * chains + 1)
        return [
            *network_memory(chains, parameters, self.width * self.layers, self.batch),
            Need(f"embeddings of {self.diffusion_steps:,} times", "--diffusion-steps", table),
        ]

    @cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """ᾱ_t of the diffusion, (T,), float64."""
        return linear_alphas_cumprod(self.diffusion_steps, self.beta_first, self.beta_last)

    def make_sampler(self) -> StepSampler | MultistepSampler:
        """Return the sampler that the settings name."""
        schedule, spacing = self.alphas_cumprod, self.spacing or "linear"
        if self.sampler == "ddim":
            return DDIM(self.sampler_steps, spacing, self.clip).over(schedule)
        if self.sampler in MULTISTEP:
            steps = self.sampler_steps
            times = None if steps is None else spaced_times(schedule, steps, spacing)
            return MULTISTEP[self.sampler](x0_clip=self.clip).over(schedule, times)
        noise = "large" if self.sampler == "fixed-large" else "small"
        return Ancestral(noise, self.clip).over(schedule)


@dataclass(frozen=True)
class EDMConfig:
    """Settings of EDM in two dimensions.

    Those of training and sampler that images share have EDM's defaults.
    """

    epochs: int = 200
    """Passes over the training set in each (re)training."""
    batch: int = 1000
    """Points per step."""
    learning_rate: float = 1e-3
    """Adam learning rate (constant)."""
    width: int = 128
    """Width of each of the three hidden layers."""
    sigma_data: float = 1.0
    """Standard deviation of a coordinate of the data (EDM: 0.5, for images)."""
    log_sigma_mean: float = -1.2
    """Mean of ln σ, the logarithm of the noise level in training, which is normal."""
    log_sigma_sd: float = 1.2
    """Standard deviation of ln σ in training."""
    sampler: Literal["heun", "dpm++2m", "unipc"] = "heun"
    """Heun's method, which calls the network twice a step, or DPM-Solver++(2M) or UniPC, once."""
    sampler_steps: int = 18
    """Steps of the sampler, σ from 80 to 0.002."""
    churn: float = 0.0
    """S_churn, the noise that Heun's method adds; 0: deterministic."""

    def __post_init__(self) -> None:
        require_range(self, epochs=COUNT, batch=COUNT, width=COUNT, sampler_steps=(2, MOST_STEPS))
        require_positive(self, "learning_rate", "sigma_data", "log_sigma_sd")
        if not abs(self.log_sigma_mean) < math.inf:
            raise OptionError(f"--log-sigma-mean must be finite, got {self.log_sigma_mean}")
        if not 0 <= self.churn < math.inf:
            raise OptionError(f"--churn must be finite and >= 0, got {self.churn}")
        if self.churn and self.sampler != "heun":
            raise OptionError(f"--churn has no meaning for --sampler {self.sampler}")

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate the memory of a fit from below.

        Args:
            chains: Number of models.
            points: Training points of each model; not used.
            threads: Number of threads; not used.

        Returns:
            Memory of the networks.
        """
        return network_memory(chains, mlp_size(self.sizes), self.width, self.batch)

    def make_sampler(self) -> Heun | MultistepSampler:
        """Return the sampler that the settings name."""
        levels = edm_noise_levels(self.sampler_steps)
        if self.sampler == "heun":
            return Heun(levels, self.churn)
        return MULTISTEP[self.sampler]().along(levels)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the network from input to output."""
        return (3, *[self.width] * 3, 2)


@dataclass(frozen=True)
class SplineFlowConfig:
    """Settings of a flow of spline couplings in two dimensions."""

    epochs: int = 150
    """Passes over the training set in each (re)training."""
    batch: int = 256
    """Points per step."""
    learning_rate: float = 2e-3
    """Adam learning rate (constant)."""
    width: int = 64
    """Width of each of the two hidden layers of a coupling's network."""
    couplings: int = 4
    """Number of coupling layers; each transforms one coordinate by a spline that depends on the
    other, in turn."""
    bins: int = 16
    """Number of bins of a spline."""
    box: float = 6.0
    """Half the side of the square that splines act in, in units of x; the flow is the identity
    outside."""

    def __post_init__(self) -> None:
        steps = (1, MOST_STEPS)
        require_range(self, epochs=COUNT, batch=COUNT, width=COUNT, couplings=steps)
        require_range(self, bins=(2, MOST_STEPS))
        require_positive(self, "learning_rate", "box")

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate the memory of a fit from below.

        Args:
            chains: Number of models.
            points: Training points of each model; not used.
            threads: Number of threads; not used.

        Returns:
            Memory of the networks of all couplings.
        """
        parameters = self.couplings * mlp_size(self.sizes)
        return network_memory(chains, parameters, self.width * self.couplings, self.batch)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of a coupling's network from input to output."""
        return (1, self.width, self.width, spline_size(self.bins))


@dataclass(frozen=True)
class VAEConfig:
    """Settings of a variational autoencoder with two latents and a Gaussian decoder of learned
    variance.
    """

    epochs: int = 200
    """Passes over the training set in each (re)training."""
    batch: int = 256
    """Points per step."""
    learning_rate: float = 3e-3
    """Adam learning rate (constant)."""
    width: int = 64
    """Width of each of the three hidden layers of encoder and decoder."""

    def __post_init__(self) -> None:
        require_range(self, epochs=COUNT, batch=COUNT, width=COUNT)
        require_positive(self, "learning_rate")

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate the memory of a fit from below.

        Args:
            chains: Number of models.
            points: Training points of each model; not used.
            threads: Number of threads; not used.

        Returns:
            Memory of the encoders and decoders.
        """
        parameters = mlp_size(self.encoder_sizes) + mlp_size(self.decoder_sizes) + 1
        return network_memory(chains, parameters, self.width, self.batch)

    @property
    def encoder_sizes(self) -> tuple[int, ...]:
        """Widths of the encoder from input to mean and log standard deviation of two latents."""
        return (2, *[self.width] * 3, 4)

    @property
    def decoder_sizes(self) -> tuple[int, ...]:
        """Widths of the decoder from two latents to the mean of a point."""
        return (2, *[self.width] * 3, 2)


@dataclass(frozen=True)
class MixtureConfig:
    """Settings of a Gaussian mixture with full covariances, fitted by EM."""

    components: int = 8
    """K, number of components."""
    iterations: int = 300
    """Most EM steps in each (re)training."""
    gain: float = 1e-6
    """A chain stops at a step that raises its mean log-likelihood by less than this."""
    floor: float = 1e-6
    """Added to the variances, in units of x squared: a component on a single point would have
    none."""

    def __post_init__(self) -> None:
        require_range(self, components=COUNT, iterations=COUNT)
        require_positive(self, "gain", "floor")

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate the memory of a fit from below.

        Args:
            chains: Number of models.
            points: Training points of each model.
            threads: Number of threads; not used.

        Returns:
            Memory of all components at all points.
        """
        pairs = chains * points * self.components  # the gap has two coordinates, the density one
        what = f"{self.components:,} components at {points:.3g} points"
        return [Need(what, "--components", 3 * 8 * pairs)]


@dataclass(frozen=True)
class KDEConfig:
    """Settings of a kernel density estimate."""

    bandwidth: float = 0.0
    """Standard deviation of the kernel, in units of x; 0: Scott's rule, n^(−1/6) times the
    spread of the data."""

    def __post_init__(self) -> None:
        if not 0 <= self.bandwidth < math.inf:
            raise OptionError(f"--bandwidth must be finite and >= 0, got {self.bandwidth}")

    def memory(self, chains: int, points: int, threads: int) -> list[Need]:
        """Estimate the memory of a fit from below.

        Args:
            chains: Number of models.
            points: Training points of each model.
            threads: Number of threads; not used.

        Returns:
            Memory of the kernels.
        """
        return [Need(f"kernels of {points:.3g} points", "--samples", 3 * 8 * chains * points)]
