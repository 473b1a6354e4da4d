"""Group normalisation and SiLU, as one layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["NormSiLU"]


class NormSiLU(nn.GroupNorm):
    """SiLU(GroupNorm(x + a)), a being one number a channel.

    On a CPU, in float32 and channels-last, it is one compiled pass
    (`deep.networks.norm_silu_cpu`); elsewhere, and within torch.compile, torch's operations. They
    agree but for rounding.
    """

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """Normalise and activate.

        Args:
            x: Features, (n, c, h, w); may be overwritten where `added` is given.
            added: Added to each channel before, (n or 1, c); None: nothing.

        Returns:
            Features, like x.
        """
        if not torch.compiler.is_compiling() and self._in_one_pass(x, added):
            from deep.networks.norm_silu_cpu import norm_silu  # numba, which takes half a second

            return norm_silu(x, added, self.weight, self.bias, self.num_groups, self.eps)

        if added is not None:
            x = x.add_(added[:, :, None, None])
        # in place where that is free: fresh memory costs more than the arithmetic
        return functional.silu(super().forward(x), inplace=not torch.is_grad_enabled())

    def _in_one_pass(self, x: Tensor, added: Tensor | None) -> bool:
        """True where the compiled pass is for these tensors."""
        tensors = (x, self.weight) if added is None else (x, self.weight, added)
        return x.is_contiguous(memory_format=torch.channels_last) and all(
            type(tensor) in (Tensor, nn.Parameter)  # not one of a tracer, which has no numbers
            and tensor.device.type == "cpu"
            and tensor.dtype == torch.float32
            for tensor in tensors
        )
