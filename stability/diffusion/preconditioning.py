"""EDM's preconditioning: D(x, σ) = c_skip x + c_out F(c_in x, c_noise), and the weight of the loss.

Source: Karras et al. (2022), Table 1, column "Ours". Each function takes σ > 0 and σ_data > 0, the
standard deviation of a coordinate of the data, both in units of x, elementwise.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["c_in", "c_noise", "c_out", "c_skip", "weight"]

Array = Any
"""A NumPy array or a torch tensor; the result is one of the same kind and shape."""


def c_skip(sigma: Array, sigma_data: float) -> Array:
    """Share of x that the denoiser passes on.

    Args:
        sigma: Noise level σ of x.
        sigma_data: Standard deviation of the data.

    Returns:
        σ_data²/(σ² + σ_data²), in (0, 1).
    """
    return sigma_data**2 / (sigma**2 + sigma_data**2)


def c_out(sigma: Array, sigma_data: float) -> Array:
    """Factor of the network's output, so that its target has unit variance.

    Args:
        sigma: Noise level σ of x.
        sigma_data: Standard deviation of the data.

    Returns:
        σ σ_data/√(σ² + σ_data²).
    """
    return sigma * sigma_data / (sigma**2 + sigma_data**2) ** 0.5


def c_in(sigma: Array, sigma_data: float) -> Array:
    """Factor of the network's input, so that it has unit variance.

    Args:
        sigma: Noise level σ of x.
        sigma_data: Standard deviation of the data.

    Returns:
        1/√(σ² + σ_data²).
    """
    return 1 / (sigma**2 + sigma_data**2) ** 0.5


def c_noise(sigma: "Tensor") -> "Tensor":
    """Noise level in the form in which the network takes it.

    Args:
        sigma: Noise level σ of x, any shape.

    Returns:
        ln σ / 4, of the same shape.
    """
    return sigma.log() / 4


def weight(sigma: Array, sigma_data: float) -> Array:
    """Weight of the squared error of D(x, σ) in the loss, 1/c_out².

    Args:
        sigma: Noise level σ of x.
        sigma_data: Standard deviation of the data.

    Returns:
        (σ² + σ_data²)/(σ σ_data)².
    """
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
