"""Schedulers of diffusers whose algorithm is one of ours: a `scheduler_config.json` as a `DDPM`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from deep.formats.checkpoint_error import CheckpointError
from deep.models.ddpm import DDPM, SamplerName
from stability.runs.untrusted import printable

__all__ = ["PIPELINES", "model_of_scheduler"]

LONGEST_SCHEDULE = 10_000
STEPS = 50
"""Steps of diffusers' DDIM pipeline, where the caller does not say."""

_DIFFUSION = {
    "prediction_type": "epsilon",
    "beta_schedule": "linear",
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}
_NOT_KARRAS = dict.fromkeys(
    ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"), False
)
_MULTISTEP = {
    "solver_order": 2,
    "thresholding": False,
    "lower_order_final": True,
    "timestep_spacing": "linspace",
    "final_sigmas_type": "zero",
    "use_flow_sigmas": False,
    **_NOT_KARRAS,
}


@dataclass(frozen=True)
class _Known:
    """A scheduler: the sampler that it is, and settings that it must have, with their defaults.

    Attributes:
        sampler: Its name here; None: that of `variance_type`.
        fixed: Setting -> the only value that is known, which is taken where nothing is said.
        defaults: Setting -> diffusers' default, where that is another value than the known one.
        pipeline: Pipeline of diffusers that draws with it.
    """

    sampler: SamplerName | None
    fixed: Mapping[str, Any]
    defaults: Mapping[str, Any]
    pipeline: str = "DDPMPipeline"


_SCHEDULERS = {
    "DDPMScheduler": _Known(None, {"thresholding": False}, {}),
    "DDIMScheduler": _Known(
        "ddim-linear",
        {
            "thresholding": False,
            "timestep_spacing": "leading",
            "steps_offset": 0,
            "set_alpha_to_one": True,
        },
        {},
        "DDIMPipeline",
    ),
    "EulerDiscreteScheduler": _Known(
        "ddim-linear",
        {
            "timestep_spacing": "leading",
            "steps_offset": 0,
            "interpolation_type": "linear",
            "timestep_type": "discrete",
            "final_sigmas_type": "zero",
            **_NOT_KARRAS,
        },
        {"timestep_spacing": "linspace"},
    ),
    "DPMSolverMultistepScheduler": _Known(
        "dpm++2m",
        {
            "algorithm_type": "dpmsolver++",
            "solver_type": "midpoint",
            "variance_type": None,
            "use_lu_lambdas": False,
            **_MULTISTEP,
        },
        {},
    ),
}
PIPELINES = {name: known.pipeline for name, known in _SCHEDULERS.items()}
"""Scheduler -> the pipeline that is written beside it."""


def model_of_scheduler(said: Mapping[str, Any], base: DDPM | None = None) -> DDPM:
    """The diffusion and the sampler that a scheduler's configuration describes.

    Args:
        said: Content of `scheduler_config.json`.
        base: Gives what a scheduler does not say, such as mirroring; None: the defaults.

    Returns:
        Loss and sampler. DDIM and Euler take 50 steps, DPM-Solver++ takes 20.

    Raises:
        CheckpointError: If a setting makes it another algorithm than ours.
    """
    name = said.get("_class_name", "DDPMScheduler")
    known = _SCHEDULERS.get(name) if isinstance(name, str) else None
    if known is None:
        raise CheckpointError(
            f"has the scheduler {printable(name, 60)}; known are {', '.join(_SCHEDULERS)}"
        )
    for setting, value in {**_DIFFUSION, **known.fixed}.items():
        found = said.get(setting, known.defaults.get(setting, value))
        if found != value or isinstance(found, bool) != isinstance(value, bool):
            raise CheckpointError(
                f"has a scheduler with {setting} = {printable(found, 60)}, which is not read; "
                f"only {value} is known: to use the weights without it, name a folder without it"
            )

    timesteps = said.get("num_train_timesteps", 1000)
    if type(timesteps) is not int or not 2 <= timesteps <= LONGEST_SCHEDULE:
        raise CheckpointError(
            f"has a scheduler with num_train_timesteps = {printable(timesteps, 60)}; it must be "
            f"from 2 to {LONGEST_SCHEDULE}"
        )
    first, last = (_number(said, *pair) for pair in (("beta_start", 1e-4), ("beta_end", 0.02)))
    sampler = known.sampler or _ancestral(said)
    bound = None
    if name in ("DDPMScheduler", "DDIMScheduler") and said.get("clip_sample", True):
        bound = _number(said, "clip_sample_range", 1.0)
    try:
        return replace(
            base or DDPM(),
            timesteps=timesteps,
            beta_first=first,
            beta_last=last,
            sampler=sampler,
            ddim_steps=min(STEPS, timesteps) if sampler == "ddim-linear" else None,
            solver_steps=None,
            solver_spacing="linear" if sampler == "dpm++2m" else "logsnr",
            x0_clip=bound,
            # there the noise stays as predicted
            clipped_noise=bound is None or sampler != "ddim-linear",
        )
    except ValueError as error:
        raise CheckpointError(f"has a scheduler that cannot be used: {error}") from None


def _ancestral(said: Mapping[str, Any]) -> SamplerName:
    """The sampler of a `DDPMScheduler`."""
    variance = said.get("variance_type", "fixed_small")
    if variance == "fixed_small":
        return "fixed-small"
    if variance == "fixed_large":
        return "fixed-large"
    raise CheckpointError(
        f"has a scheduler with variance_type = {printable(variance, 60)}; only fixed_small and "
        "fixed_large are known"
    )


def _number(said: Mapping[str, Any], name: str, default: float) -> float:
    value = said.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CheckpointError(
            f"has a scheduler with {name} = {printable(value, 60)}; it must be a number"
        )
    return float(value)
