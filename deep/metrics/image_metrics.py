"""Everything that is measured of a set of generated images, against real ones, each number beside
its noise floor.

Two references: the training set, as in the paper, and images that the model never saw; a model that
copies its training set scores best against the first and not against the second. Most of these
metrics depend on how many images are compared, so the number of generated ones is in the name
(`fid_50000`), and the floor is what *other real images, as many*, get against the same reference:
held-out ones against the training set, training images against the held-out set.

Where there are fewer other images than generated ones, the floor belongs to a second line with as
many generated images as there are others. Where nothing is held out, it is that of a random half of
the training set against the rest.

The floor is that of one set of other images; its standard error says how much it would vary from
set to set of as many, the reference being the same. It is that of the jackknife that leaves out a
fifth at a time (Quenouille 1956; Efron and Stein 1981), since real images for more sets of that
size are rarely there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from deep.metrics.features import FeatureSpace, cached_features, extract
from deep.metrics.frechet import FeatureMoments, frechet_distance, moments
from deep.metrics.kernel_distance import kernel_distance, subset_kernel_distances
from deep.metrics.precision_recall import Neighbourhoods, neighbourhoods, precision_recall
from stability.loop.streams import Purpose, stream

__all__ = ["METRICS", "W2_LIMIT", "ImageMetrics", "Measurement", "Metric", "least_images"]

Metric = Literal["fd", "kd", "pr", "w2"]
METRICS: tuple[Metric, ...] = get_args(Metric)
FLOOR_GROUPS = 5
"""Parts of the other real images that are left out in turn: so many measurements more a run, for
each reference."""
W2_LIMIT = 2000
"""W2 is exact and takes time n³: it is left out where one of the sets has more images than this."""


@dataclass(frozen=True)
class Measurement:
    """One number.

    Attributes:
        metric: What is measured, "_" and `images`.
        images: How many generated ones are compared.
        reference: With what, and how many images that has.
        standard_error: Of the value, where there is an estimate.
        floor: The value of as many other real images against the same reference; None where there
            are too few.
        floor_error: Standard error of the floor over sets of other images; None where they are too
            few to leave some out.
    """

    metric: str
    images: int
    reference: str
    reference_images: int
    value: float
    standard_error: float | None
    floor: float | None
    floor_error: float | None


_Values: TypeAlias = dict[str, tuple[float, float | None]]  # name -> value and standard error


def least_images(k: int, kid_subsets: int = 0) -> int:
    """Images that a set must have to be measured; twice as many if nothing is held out.

    Args:
        k: Neighbours of precision, recall, density and coverage.
        kid_subsets: Random subsets of the kernel distance; 0: it is of all pairs.

    Returns:
        The least number of images.
    """
    return max(k + 1, 6 if kid_subsets else 3)


def require_enough(
    train: np.ndarray, held_out: np.ndarray | None, samples: int, least: int
) -> None:
    """Refuse sets that are too small to be measured.

    Args:
        train: Real images (n, c, h, w).
        held_out: Real images (m, c, h, w); None: the halves of `train` are compared instead.
        samples: Number of generated images.
        least: Images that each of them must have; see `least_images`.

    Raises:
        ValueError: Names the set, its size and `least`.
    """
    counts = {"samples": samples, "train": len(train)}
    counts |= (
        {"half of train": len(train) // 2} if held_out is None else {"held_out": len(held_out)}
    )
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} must have at least {least} images, got {count}")


class ImageMetrics:
    """Measures sets of `samples` generated images; the floors and all that depends on real images
    alone are kept.

    Args:
        train: Real images (n, c, h, w) uint8; None: nothing is held out.
        held_out: See `train`.
        k: Neighbours of precision, recall, density and coverage.
        kid_subsets: 0 takes the kernel distance of all pairs; S > 0 the mean over S random subsets,
            as fld and torch-fidelity do.
        metrics: Some of fd (Fréchet distance, FID), kd (kernel distance, KID), pr (precision,
            recall, density, coverage), w2 (for at most W2_LIMIT images).
        seed: Of all random choices of images.
        cache: Folder for the features of real images.
        on_batch: Called with the number of images whose features are done.

    Raises:
        ValueError: If a set has too few images (k + 1 or less than 3, 6 with subsets; twice that if
            nothing is held out), or images of another shape than the training set.
    """

    def __init__(
        self,
        space: FeatureSpace,
        train: np.ndarray,
        held_out: np.ndarray | None,
        samples: int,
        *,
        cache: Path,
        device: torch.device,
        k: int = 3,
        kid_subsets: int = 0,
        metrics: Sequence[Metric] = METRICS,
        seed: int = 0,
        batch: int = 64,
        on_batch: Callable[[int], object] = lambda images: None,
    ) -> None:
        least = least_images(k, kid_subsets)
        require_enough(train, held_out, samples, least)
        self._space, self._device, self._batch, self._on_batch = space, device, batch, on_batch
        self._least = least
        self._k, self._kid_subsets, self._metrics, self._seed = k, kid_subsets, metrics, seed
        self._shape, self._samples = train.shape[1:], samples

        def features(images: np.ndarray) -> Tensor:
            self._check_shape(images)
            return cached_features(space, images, cache, device, batch=batch, on_batch=on_batch)

        held_out_features = None if held_out is None else features(held_out)
        self._comparisons = _plan(features(train), held_out_features, samples, k, self._permuted)
        self._floors: dict[int, _Values] = {}

    def __call__(self, images: np.ndarray) -> list[Measurement]:
        """Measure generated images.

        Args:
            images: Generated images, (samples, c, h, w) uint8.

        Returns:
            A measurement for each metric and comparison.

        Raises:
            ValueError: If their number or shape is another.
        """
        self._check_shape(images)
        if len(images) != self._samples:
            raise ValueError(f"there must be {self._samples} images, got {len(images)}")

        found = extract(
            self._space, images, self._device, batch=self._batch, on_batch=self._on_batch
        )
        features = self._permuted(found)
        sets: dict[int, _Set] = {}
        measured = []

        for i, comparison in enumerate(self._comparisons):
            size = comparison.size
            fake = sets.setdefault(size, _Set(features[:size], self._k))
            if comparison.others is not None and i not in self._floors:
                self._floors[i] = self._floor(comparison.others, comparison.reference)
            count = len(comparison.reference.features)
            for metric, (value, error) in self._compare(fake, comparison.reference).items():
                floor = self._floors[i][metric] if i in self._floors else (None, None)
                name = f"{metric}_{size}"
                measured.append(
                    Measurement(name, size, comparison.name, count, value, error, *floor)
                )

        return measured

    def _floor(self, others: "_Set", reference: "_Set") -> "_Values":
        """Values of other real images, with the standard errors of the jackknife by groups."""
        found = self._compare(others, reference)
        x = self._permuted(others.features)
        groups = torch.arange(len(x), device=x.device) % FLOOR_GROUPS
        if len(x) - int((groups == 0).sum()) < self._least:
            return {metric: (value, None) for metric, (value, _) in found.items()}

        without = [
            self._compare(_Set(x[groups != group], self._k), reference)
            for group in range(FLOOR_GROUPS)
        ]
        errors = {}
        for metric in found:
            values = np.array([each[metric][0] for each in without])
            errors[metric] = float(np.sqrt((FLOOR_GROUPS - 1) * values.var()))
        return {metric: (value, errors[metric]) for metric, (value, _) in found.items()}

    def _check_shape(self, images: np.ndarray) -> None:
        if images.shape[1:] != self._shape:
            raise ValueError(
                f"all images must have the training images' shape {self._shape}, got "
                f"{images.shape[1:]}"
            )

    def _permuted(self, x: Tensor) -> Tensor:
        """In an order that the seed and the number of rows determine: images may come sorted by
        class.
        """
        order = stream(self._seed, Purpose.FLOOR, 0).permutation(len(x))
        return x[torch.from_numpy(order).to(x.device)]

    def _compare(self, fake: "_Set", real: "_Set") -> "_Values":
        found: _Values = {}
        for metric in self._metrics:
            if metric == "fd":
                found[self._space.frechet.lower()] = (
                    frechet_distance(fake.moments, real.moments),
                    None,
                )
            elif metric == "kd":
                found[self._space.kernel.lower()] = self._kernel(fake.features, real.features)
            elif metric == "pr":
                both = precision_recall(real.neighbourhoods, fake.neighbourhoods)
                found |= {name: (value, None) for name, value in vars(both).items()}
            elif max(len(fake.features), len(real.features)) <= W2_LIMIT:
                from stability.transport.wasserstein import wasserstein  # compiled: half a second

                (w2,) = wasserstein(
                    fake.features.cpu().numpy(), real.features.cpu().numpy(), orders=[2]
                )
                found["w2"] = w2, None
        return found

    def _kernel(self, fake: Tensor, real: Tensor) -> tuple[float, float]:
        if not self._kid_subsets:
            every_pair = kernel_distance(fake, real)
            return every_pair.value, every_pair.standard_error
        values = subset_kernel_distances(
            fake, real, stream(self._seed, Purpose.FLOOR, 1), self._kid_subsets
        )
        return float(values.mean()), float(values.std() / len(values) ** 0.5)


@dataclass(frozen=True, eq=False)
class _Set:
    """Features of a set of images, and what the metrics need of them, made when it is first
    asked for.
    """

    features: Tensor
    k: int

    @cached_property
    def moments(self) -> FeatureMoments:
        return moments(self.features)

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        return neighbourhoods(self.features, self.k)


@dataclass(frozen=True, eq=False)
class _Comparison:
    """The first `size` generated images against a reference;

    Attributes:
        others: As many other real images, for the floor.
    """

    name: str
    reference: _Set
    size: int
    others: _Set | None


def _plan(
    train: Tensor,
    held_out: Tensor | None,
    samples: int,
    k: int,
    permuted: Callable[[Tensor], Tensor],
) -> list[_Comparison]:
    """Choose references and floors for features of real images, as this module's docstring says."""
    train_set = _Set(train, k)
    if held_out is None:
        size = min(samples, len(train) // 2)
        order = permuted(train)
        rest = _Comparison("rest of train", _Set(order[size:], k), size, _Set(order[:size], k))
        return [_Comparison("train", train_set, samples, None), rest]

    held_out_set = _Set(held_out, k)
    plan = []
    for name, reference, others in (
        ("train", train_set, held_out_set),
        ("held-out", held_out_set, train_set),
    ):
        if len(others.features) >= samples:
            plan.append(
                _Comparison(name, reference, samples, _Set(permuted(others.features)[:samples], k))
            )
        else:
            plan.append(_Comparison(name, reference, samples, None))
            plan.append(_Comparison(name, reference, len(others.features), others))

    return plan
