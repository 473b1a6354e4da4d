"""Sampling bias: any learner with a sampler that draws less noise than its model asks for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stability.loop.capabilities import HasLogProb
from stability.loop.wrapped_learner import WithDensity, WrappedLearner

__all__ = ["Tempered", "TemperedDensity", "tempered"]


def tempered(learner: Any, temperature: float) -> Any:
    """Sample a learner at another temperature.

    Args:
        learner: Any learner.
        temperature: τ, > 0.

    Returns:
        The learner itself at τ = 1, or else around it a `Tempered`, which has a density if it has.
    """
    if temperature == 1:
        return learner
    kind = TemperedDensity if isinstance(learner, HasLogProb) else Tempered
    return kind(learner, temperature)


class Tempered(WrappedLearner):
    """The learner, but for its samples: every standard normal number that makes them is multiplied
    by √temperature.

    For a Gaussian this draws from N(μ, τΣ), for a mixture from the same with each component, as
    Alemohammad et al. (arXiv:2307.01850) define sampling bias; for a flow, a VAE or flow matching
    it is the reduced temperature of the latents, for a diffusion model also that of the noise added
    on the way, for a kernel estimate a narrower kernel. It is a property of how a model is sampled,
    not of a regime or a fit: nothing else changes.

    Args:
        learner: Any learner.
        temperature: τ, > 0; 1 is no change, below 1 trades diversity for quality, as truncation and
            guidance do.
    """

    def __init__(self, learner: Any, temperature: float) -> None:
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be finite and > 0, got {temperature}")
        super().__init__(learner)
        self._scale = temperature**0.5

    @property
    def extrapolated(self) -> Any:
        """Method of the learner that extrapolates its parameters, if it has one."""
        return self._learner.extrapolated

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> Sequence[np.ndarray]:
        """Draw as the learner does, with cooled noise.

        Args:
            counts: Number of draws of each chain.
            rngs: One generator a chain.

        Returns:
            One array (counts[r], …) a chain.
        """
        return self._learner.sample(counts, [_Cooled(rng, self._scale) for rng in rngs])


class TemperedDensity(WithDensity, Tempered):
    """A `Tempered` learner with a density: of its model, not of the law of its samples."""


class _Cooled:
    """A generator whose standard normal numbers are scaled; all else, such as the choice of a
    mode, is as it was.
    """

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        self._rng, self._scale = rng, scale

    def standard_normal(self, *args: Any, **options: Any) -> Any:
        z = self._rng.standard_normal(*args, **options)
        return z * np.asarray(self._scale, dtype=np.asarray(z).dtype)

    def spawn(self, n: int) -> list["_Cooled"]:
        return [_Cooled(rng, self._scale) for rng in self._rng.spawn(n)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rng, name)
