"""MPS where there is none: tensors of the CPU that behave as its tensors do where that matters.

In the context `FakeMPS()`, tensors made on the device `mps`, or moved there, refuse float64 and
refuse to be combined with tensors of the CPU, as torch does on a Mac.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["FakeMPS"]

MPS, CPU = torch.device("mps"), torch.device("cpu")


class _Faked(Tensor):
    """A tensor that is said to live on MPS."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Faked":
        return self.detach().clone().as_subclass(_Faked)


class FakeMPS(TorchFunctionMode):
    """Within the context, this thread has a device `mps`."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        found = list(_tensors((*args, *kwargs.values())))
        faked = any(isinstance(x, _Faked) for x in found)

        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return MPS if faked else CPU
        if func is Tensor.to:
            return self._moved(*args, **kwargs)
        if func in (Tensor.cpu, Tensor.copy_, Tensor.__setitem__):  # these may cross devices
            with torch._C.DisableTorchFunction():
                return func(*args, **kwargs).as_subclass(Tensor) if func is Tensor.cpu else func(
                    *args, **kwargs
                )  # fmt: skip
        if faked and func is Tensor.numpy:
            raise TypeError("can't convert mps:0 device type tensor to numpy")
        if faked and any(x.ndim and not isinstance(x, _Faked) for x in found):
            raise RuntimeError("Expected all tensors to be on the same device, mps:0 and cpu")

        device = kwargs.get("device")
        asked = device is not None and torch.device(device).type == "mps"
        if device is not None:
            kwargs["device"] = CPU
        with torch._C.DisableTorchFunction():
            result = func(*args, **kwargs)
        return _marked(result) if asked or (faked and device is None) else result

    def _moved(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args and isinstance(args[0], Tensor):  # like another tensor
            like = args[0]
            args = (MPS if isinstance(like, _Faked) else CPU, like.dtype, *args[1:])
        with torch._C.DisableTorchFunction():
            device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)  # type: ignore[attr-defined]
            on_mps = isinstance(x, _Faked) if device is None else device.type == "mps"
            moved = x.to(dtype=dtype or x.dtype).as_subclass(Tensor)
            moved = moved if layout is None else moved.to(memory_format=layout)
        return _marked(moved) if on_mps else moved


def _marked(result: Any) -> Any:
    """The result of an operation on MPS; float64 is refused."""
    if isinstance(result, Tensor):
        if result.dtype in (torch.float64, torch.complex128):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework "
                            "doesn't support float64")  # fmt: skip
        with torch._C.DisableTorchFunction():
            return result if isinstance(result, _Faked) else result.as_subclass(_Faked)
    if isinstance(result, tuple | list) and type(result) in (tuple, list):
        return type(result)(_marked(each) for each in result)
    return result


def _tensors(values: Any) -> Any:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)
