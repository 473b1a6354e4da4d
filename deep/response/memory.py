"""The memory of the average of the weights, from which samples are drawn."""

import math

from deep.training.trainer import Carry, TrainConfig

__all__ = ["kept_average"]


def kept_average(settings: TrainConfig, first_images: int, images: int, carry: Carry) -> float:
    """Weight that the average of generation 0 has in that of generation 1.

    Args:
        settings: Settings of the training; they say how the average forgets.
        first_images: Training images of generation 0, counted with repetition.
        images: Training images of a retraining.
        carry: State that goes on from generation 0. With `ema` the network starts from the average
            too, which is not counted here.

    Returns:
        The weight, from 0 to 1.
    """
    before, steps = (math.ceil(count / settings.batch) for count in (first_images, images))
    goes_on = carry == "optimizer"
    first = before if goes_on else 0
    return math.prod(
        settings.ema.decay(settings.batch, step * settings.batch, step, goes_on)
        for step in range(first, first + steps)
    )
