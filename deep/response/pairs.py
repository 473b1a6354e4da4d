"""Coupled chains of an image model: what displaces the real images, and what is recorded of pairs.

See `stability.loop.contraction`. The second chain of a pair starts from displaced images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from deep.models.protocol import ImageModel
from deep.response.functionals import ImageFunctionals
from deep.retraining.learner import ImageLearner
from deep.retraining.observer import ImageStudy
from stability.loop.contraction import Displacement, shares
from stability.loop.retraining import Generation
from stability.loop.streams import Purpose, stream
from stability.runs.observer import Quantity, View
from stability.runs.study import LearnerPlace

__all__ = ["Kind", "PairBuilder", "PairRecorder", "displacement"]

Kind = Literal["fade", "shift", "mirror"]
CHAINS = ("true", "displaced")


def displacement(
    kind: Kind, size: float, real: np.ndarray, functionals: ImageFunctionals
) -> Displacement:
    """Make a displacement of images.

    Args:
        kind: "fade": darker by the fraction `size`; "shift": to the right, by `size` of the width;
            "mirror": left and right exchanged, `size` of the way in brightness.
        size: In (0, 1].
        real: Real images, (n, c, h, w) uint8.
        functionals: What is seen of it.

    Returns:
        The displacement; its feature is the sum of the functionals that follows it best.

    Raises:
        ValueError: If no functional changes.
    """
    move = _MOVES[kind]

    def moved(images: np.ndarray) -> np.ndarray:
        return np.rint(move(images.astype(float), size)).astype(np.uint8)

    difference = functionals.means(moved(real)) - functionals.means(real)
    length = float(np.linalg.norm(difference))
    if not length > 0:
        raise ValueError(f"displacement {kind} must change the images' features")
    direction = difference / length
    return Displacement(moved, lambda images: functionals.values(images) @ direction)


def _shifted(images: np.ndarray, size: float) -> np.ndarray:
    return np.roll(images, max(1, round(size * images.shape[-1])), axis=-1)


def _mirrored(images: np.ndarray, size: float) -> np.ndarray:
    return (1 - size) * images + size * images[..., ::-1]


_MOVES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "fade": lambda images, size: (1 - size) * images,
    "shift": _shifted,
    "mirror": _mirrored,
}


@dataclass(frozen=True)
class PairBuilder:
    """Builds a learner of two chains for each that is recorded.

    Attributes:
        images: Builder of one chain each.
    """

    images: ImageStudy

    def build(self, place: LearnerPlace) -> ImageLearner:
        """Build the learner.

        Args:
            place: Where it will run.

        Returns:
            A learner of twice as many chains.
        """
        return self.images.build(replace(place, chains=2 * place.chains))


class PairRecorder:
    """Records pairs of coupled chains: functionals of what each saw and drew, and the sampler's
    bias.

    Args:
        functionals: What is recorded.
        moves: Displacement of each pair.
        fine: The same model with a sampler of negligible bias.
        variances: Images -> variances along principal components of pixels, (K,).
        components: K.
        draws: Images of generation 0 that both samplers draw from the same latents.
        seed: Determines these latents.
    """

    def __init__(
        self,
        functionals: ImageFunctionals,
        moves: Sequence[Displacement],
        *,
        fine: ImageModel,
        variances: Callable[[np.ndarray], np.ndarray],
        components: int,
        draws: int,
        seed: int,
    ) -> None:
        self._functionals, self._moves, self._fine = functionals, moves, fine
        self._variances, self._draws, self._seed = variances, draws, seed
        self._components = components
        self._of_sampler: list[dict[str, float]] = []

    @property
    def quantities(self) -> list[Quantity]:
        """The share that is left, and numbers that are recorded only."""
        names = self._functionals.names
        keys = [
            f"{side} {chain}: {n}" for side in ("data", "model") for chain in CHAINS for n in names
        ]
        keys += [f"sampler: {name}" for name in names]
        keys += [f"{sampler} variance {k}" for sampler in ("own", "fine") for k in self._axes]
        share = Quantity("share", "Share of the displacement that is left")
        return [share, *(Quantity(key, shown=False) for key in keys)]

    @property
    def _axes(self) -> range:
        return range(1, self._components + 1)

    def measure(
        self, generation: Generation, learner: ImageLearner, views: Sequence[View]
    ) -> list[dict[str, float]]:
        """Measure all pairs.

        Args:
            generation: The generation, with two chains a pair.
            learner: The learner after its fit, of as many chains.
            views: One view a pair.

        Returns:
            Numbers by quantity, one dictionary a pair.
        """
        pairs, names = len(views), self._functionals.names
        if not self._of_sampler:
            self._of_sampler = self._sampler(learner, pairs)

        left, records = shares(generation, self._moves), []
        for pair in range(pairs):
            record = {"share": float(left[pair])}
            for chain, r in zip(CHAINS, (pair, pairs + pair), strict=True):
                drawn = generation.samples[r][: len(views[pair].samples)]
                points = generation.training[r].points, drawn
                for side, images in zip(("data", "model"), points, strict=True):
                    means = self._functionals.means(np.asarray(images)).tolist()
                    record |= {f"{side} {chain}: {n}": x for n, x in zip(names, means, strict=True)}
            records.append(record | self._of_sampler[pair])
        return records

    def _sampler(self, learner: ImageLearner, pairs: int) -> list[dict[str, float]]:
        """The sampler in use beside a fine one, with the networks of generation 0."""
        drawn = {}
        for name, model in (("own", None), ("fine", self._fine)):
            rng = stream(self._seed, Purpose.OBSERVE, 0)  # the same latents
            drawn[name] = learner.sample_alike(self._draws, rng, chains=range(pairs), model=model)

        records = []
        for own, fine in zip(drawn["own"], drawn["fine"], strict=True):
            bias = (self._functionals.means(own) - self._functionals.means(fine)).tolist()
            record = {
                f"sampler: {n}": x for n, x in zip(self._functionals.names, bias, strict=True)
            }
            for name, images in (("own", own), ("fine", fine)):
                values = self._variances(images).tolist()
                record |= {
                    f"{name} variance {k}": x for k, x in zip(self._axes, values, strict=True)
                }
            records.append(record)
        return records

    def state_dict(self) -> dict[str, Any]:
        return {"sampler": self._of_sampler}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._of_sampler = state["sampler"]
