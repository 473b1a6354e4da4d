"""The sampler of an image model as the width map sees it, and one whose bias is negligible."""

from dataclasses import replace
from typing import Any

from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from stability.diffusion.flow import Flow
from stability.diffusion.sampler import Sampler

__all__ = ["fine_model", "linear_sampler"]

FINE_STEPS = 100
FINE_TOLERANCE = 1e-6


def fine_model(model: EDM | DDPM | OTCFM) -> EDM | DDPM | OTCFM:
    """Make a model of the same networks that follows the probability flow with many steps.

    Args:
        model: The model.

    Returns:
        UniPC with 100 steps for EDM and DDPM, dopri5 with tolerance 1e-6 for OT-CFM.
    """
    if isinstance(model, EDM):
        plain = {name: getattr(EDM, name) for name in ("churn_min", "churn_max", "churn_noise")}
        return replace(model, sampler="unipc", steps=FINE_STEPS, churn=0.0, **plain)
    if isinstance(model, DDPM):
        steps = min(FINE_STEPS, model.timesteps)
        return replace(model, sampler="unipc", ddim_steps=None, solver_steps=steps)
    return replace(model, integrator="dopri5", tolerance=FINE_TOLERANCE, euler_steps=None)


def linear_sampler(model: EDM | DDPM | OTCFM, network: Any) -> Sampler:
    """Make the sampler in use, without clipping, for its width map.

    Args:
        model: The model.
        network: A network of EDM, which says what noise levels it knows; others are not asked.

    Returns:
        The sampler; minibatch optimal transport is taken as if its plans were optimal.
    """
    if isinstance(model, EDM):
        return model.make_sampler(network)
    if isinstance(model, DDPM):
        return replace(model.make_sampler(), x0_clip=None)
    return Flow(model.make_integrator(), sigma=model.sigma, correlation=1.0)
