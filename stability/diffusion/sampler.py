"""The interface of samplers: the variance that each gives to Gaussian data (S9)."""

from typing import Any, Protocol

from numpy.typing import ArrayLike, NDArray

__all__ = ["Array", "Sampler"]

Array = Any
"""An array of NumPy or of torch."""


class Sampler(Protocol):
    """A sampler whose steps are linear for Gaussian data, as the width map needs it.

    A perfect learner of N(0, v) has the denoiser E[x₀ | x] = k x, so every step of a sampler is
    linear, and the variance of its samples is a function φ(v) in closed form. With data N(μ, Σ) it
    acts on Σ's eigenvalues.
    """

    def variance(self, v: ArrayLike) -> NDArray[Any]:
        """Variance φ(v) of the samples if the model has learned N(0, v) perfectly.

        Analytic in v: a complex argument gives the continuation, whence derivatives without
        cancellation.

        Args:
            v: Variances >= 0, of any shape.

        Returns:
            φ(v), elementwise.

        Raises:
            ValueError: If the sampler's steps are not linear, as with clipping.
        """
        ...
