"""Dropout whose masks cost little on a CPU."""

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Dropout"]

PARTS = 2**16


class Dropout(nn.Dropout):
    """Dropout of single numbers, from 16 random bits each on a CPU.

    torch draws 64 bits for each, one after another: in training, more than a tenth of the time of a
    small network. On other devices, and within torch.compile, it is torch's dropout.
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Set numbers to 0 at random, and scale the others so that the mean stays.

        Args:
            x: Features, (n, c, h, w).

        Returns:
            Features, like x; x itself in evaluation, or if the probability is 0.
        """
        if not self.training or not self.p:
            return x
        tracer = type(x) is not Tensor  # has no numbers
        if x.device.type != "cpu" or tracer or torch.compiler.is_compiling():
            return super().forward(x)

        # torch's generator, which the trainer seeds, decides about all bits
        seed = int(torch.randint(2**62, ()))
        n, c, h, w = x.shape
        bits = np.random.Generator(np.random.SFC64(seed)).integers(
            PARTS, size=(n, h, w, c), dtype=np.uint16
        )
        kept = max(1, round(PARTS * (1 - self.p)))
        factors = torch.from_numpy(bits < kept).to(x.dtype).mul_(PARTS / kept)
        return x * factors.permute(0, 3, 1, 2)  # channels-last, as x is where that is faster
