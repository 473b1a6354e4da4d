"""OT-CFM (Tong et al. 2023), conditional flow matching with minibatch optimal transport, for
images.

The network is the velocity v_θ(t, x), `CFMUNet` of `deep.networks.unet_cfm`: it carries noise at t
= 0 to images at t = 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from deep.models.ddpm import mirrored
from deep.models.protocol import Noise
from deep.pixels import floored_uint8, to_float
from stability.diffusion.flow import Dopri5, Euler, Integrator
from stability.runs.option_error import OptionError
from stability.runs.ranges import MOST_STEPS, require_range

__all__ = ["OTCFM"]

LEAST_TOLERANCE = 1e-9  # single precision has none that is finer


@dataclass(frozen=True)
class OTCFM:
    """OT-CFM's loss, and the integration of its flow.

    The defaults are those of torchcfm for CIFAR-10.
    """

    flip: bool = True
    """Mirror half of the images in training. The paper's fine-tuning does not."""
    sigma: float = 0.0
    """Standard deviation of the noise on the path between a noise image and a training image."""
    pairs: Literal["plan", "permutation"] = "plan"
    """Draw the pairs of a batch from its transport plan with replacement, as torchcfm does:
    about 1/e of the batch is then left out and others are repeated; or take each pair once."""
    integrator: Literal["dopri5", "euler"] = "dopri5"
    """Dormand–Prince with steps chosen for each image by itself, or equal steps of Euler."""
    tolerance: float | None = None
    """Error that dopri5 allows in a step, absolute and relative. None: 1e-5."""
    euler_steps: int | None = None
    """Steps of the Euler integrator. None: 100."""

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < float("inf"):
            raise OptionError(f"--sigma must be finite and >= 0, got {self.sigma}")
        for option, integrator in (("tolerance", "dopri5"), ("euler_steps", "euler")):
            if getattr(self, option) is not None and self.integrator != integrator:
                name = option.replace("_", "-")
                raise OptionError(f"--{name} has no meaning for --integrator {self.integrator}")
        if self.tolerance is not None and not LEAST_TOLERANCE <= self.tolerance < 1:
            raise OptionError(
                f"--tolerance must be from {LEAST_TOLERANCE} to below 1, got {self.tolerance}"
            )
        require_range(self, euler_steps=(1, MOST_STEPS))

    def make_integrator(self) -> Integrator:
        """The ODE solver that the settings name."""
        if self.integrator == "euler":
            return Euler(100 if self.euler_steps is None else self.euler_steps)
        return Dopri5(1e-5 if self.tolerance is None else self.tolerance)

    def inputs(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw points on paths between pairs of the batch's plan with b noise images.

        The plan is solved on the host: with a GPU, this is the only thing in a step that waits for
        it.

        Args:
            images: Images, (b, c, h, w) uint8.
            generator: Generator to draw with.

        Returns:
            x_t like the images, t (b,), and the velocity x_1 − x_0.
        """
        from stability.diffusion.minibatch import optimal_permutation  # compiled: half a second

        b, device = len(images), generator.device
        data = to_float(mirrored(images, generator) if self.flip else images)
        source = torch.randn(data.shape, generator=generator, device=device)
        plan = optimal_permutation(source.flatten(1).cpu().numpy(), data.flatten(1).cpu().numpy())
        partner = torch.from_numpy(plan).to(device)
        if self.pairs == "plan":
            drawn = torch.randint(b, (b,), generator=generator, device=device)
            source, partner = source[drawn], partner[drawn]
        data = data[partner]
        t = torch.rand(b, generator=generator, device=device)
        path = torch.lerp(source, data, t[:, None, None, None])
        if self.sigma:
            path = path + self.sigma * torch.randn(data.shape, generator=generator, device=device)
        return path, t, data - source

    def losses(self, network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Squared error of the velocity: |v_θ(t, x_t) − (x_1 − x_0)|², averaged over each image.

        Args:
            network: Velocity v_θ, (b, c, h, w) from t and x_t.
            inputs: Given by the method `inputs`, shapes (b, …).

        Returns:
            The losses, (b,).
        """
        path, t, velocity = inputs
        return (network(t, path).float() - velocity).square().mean(dim=(1, 2, 3))

    def sample(self, network: Callable[..., Tensor], noise: Noise) -> Tensor:
        """Integrate the flow from t = 0 to t = 1.

        Args:
            network: Velocity v_θ, (b, c, h, w) from t and x_t.
            noise: Gives the noise of the batch.

        Returns:
            Images, (b, c, h, w).
        """
        return self.make_integrator().sample(lambda t, x: network(t, x).float(), noise())

    def to_uint8(self, images: Tensor) -> Tensor:
        return floored_uint8(images)
