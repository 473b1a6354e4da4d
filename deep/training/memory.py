"""Memory that training and drawing images takes, estimated from below before a run begins."""

import math
from collections.abc import Sequence

import torch

from deep.formats.checkpoint_record import Network
from deep.training.trainer import TrainConfig
from stability.runs.memory_limit import Need, require_memory

__all__ = ["require_room"]

COPIES = 5  # of the parameters: themselves, their average, the gradient and Adam's two moments
FLOAT = 4  # bytes


def require_room(
    network: Network,
    training: TrainConfig,
    shape: Sequence[int],
    sample_batch: int,
    drawn: int,
    trained: int,
    chains: int = 1,
    on_processor: bool = True,
) -> None:
    """Refuse a run that takes more memory than there is.

    Args:
        network: The configuration of the network.
        training: How it is trained.
        shape: (c, h, w) of an image.
        sample_batch: Images drawn at once.
        drawn: Images drawn in all, that are held together.
        trained: Images of the largest training set.
        chains: Rows of the run.
        on_processor: Whether the network lives in the processor's memory.

    Raises:
        UsageError: Names the option, the memory that it takes and the memory that there is.
    """
    size = math.prod(shape)
    needs = [
        Need(f"{drawn:.3g} generated images", "--samples", size * drawn * chains),
        Need(f"training sets of {trained:.3g} images", "--lambda", size * trained),
    ]
    if on_processor:
        with torch.device("meta"):  # sizes alone, no memory
            parameters = sum(p.numel() for p in network.build().parameters())
        # the activations of one, of one image
        layer = FLOAT * network.model_channels * network.resolution**2
        kept = 2 * network.num_blocks * layer  # what the backward pass needs of the first level
        together = min(sample_batch, drawn)
        at_once = min(training.microbatch or training.batch, training.batch)
        needs += [
            Need(
                f"a network of {parameters:.3g} parameters",
                "--model-channels",
                COPIES * FLOAT * parameters,
            ),
            Need(f"a step on {at_once:,} images", "--batch", kept * at_once),
            Need(f"drawing {together:,} images at once", "--sample-batch", layer * together),
        ]
    require_memory(needs)
