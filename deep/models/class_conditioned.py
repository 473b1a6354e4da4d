"""A class-conditional network, together with the classes of the batch that it is called for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["ClassConditioned"]


@dataclass(frozen=True)
class ClassConditioned:
    """A network conditioned on the same classes in every call: losses and samplers see a network
    like any other.

    Attributes:
        network: A network that takes `classes` beside its other arguments.
        classes: Class of each image of the batch, (b,) int64.
    """

    network: Callable[..., Tensor]
    classes: Tensor

    def __call__(self, *inputs: Any) -> Tensor:
        """Call the network with the batch's classes."""
        return self.network(*inputs, classes=self.classes)

    @property
    def module(self) -> Any:
        """The network itself, where it is wrapped for data parallelism."""
        return getattr(self.network, "module", self.network)
