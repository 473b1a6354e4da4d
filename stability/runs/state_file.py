"""States of learners and trainers in files: plain values, tensors and NumPy arrays; nothing is
executed.

torch's restricted loader reads no NumPy arrays. They are stored as tensors of bytes beside their
type and shape, and come back as what they were.
"""

import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import numpy as np

from stability.runs.atomic import atomic_write
from stability.runs.sealed import seal, sealed_digest
from stability.runs.untrusted import UntrustedFileError, open_regular, printable, zip_members

__all__ = ["as_plain", "from_plain", "read_state", "write_state"]

LARGEST = 2**40
"""Bytes of a file of states: 1 TiB."""
_ARRAY = "numpy array: type, shape, bytes, whether a scalar"
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (dict, OrderedDict, list, tuple)


def as_plain(value: Any, name: str) -> Any:
    """A state with its NumPy arrays and scalars in a form that can be stored.

    Objects that occur more than once occur as often in the result, as one and the same object.

    Args:
        value: Tensors, NumPy arrays and scalars, numbers, strings and None, in lists, tuples and
            dictionaries.
        name: What to call it in an error.

    Returns:
        The same with each array replaced; what holds none is returned as it is.

    Raises:
        TypeError: If it holds anything else, naming the first place.
    """
    return _replaced(value, name, _stored, {})


def from_plain(value: Any) -> Any:
    """Restore the state that `as_plain` was given.

    Args:
        value: Result of `as_plain`, or a copy of it.

    Returns:
        The state, with its arrays.

    Raises:
        ValueError: If a stored array is not one. Errors of other kinds for other damage.
    """
    return _replaced(value, "the state", _restored, {})


def write_state(path: Path, state: dict[str, Any], name: str = "state") -> None:
    """Write a state and a digest of it, whole or not at all.

    Args:
        path: The file. Its folder must exist.
        state: See `as_plain`.
        name: What to call it in an error.

    Raises:
        TypeError: If it holds what cannot be stored.
        OSError: As from any file.
    """
    import torch  # takes a second; a command's help does without

    plain = as_plain(state, name)
    with atomic_write(path) as file:
        torch.save(plain, file)
        seal(file)


def read_state(path: Path) -> dict[str, Any]:
    """Read the result of `write_state`, on the CPU.

    Args:
        path: The file.

    Returns:
        The state.

    Raises:
        UntrustedFileError: If it is damaged, or was not written by `write_state`.
        OSError: If it cannot be opened.
    """
    import torch  # takes a second; a command's help does without

    with open_regular(path, LARGEST) as file:
        sealed_digest(file)
        _require_unpacked(file)
        file.seek(0)
        try:
            state = from_plain(torch.load(file, map_location="cpu", weights_only=True))
        except MemoryError:
            raise UntrustedFileError("does not fit into memory") from None
        except Exception as error:  # of many kinds, by where the damage is
            reason = (
                "it holds what is never loaded"
                if isinstance(error, UnpicklingError)
                else printable(error)
            )
            raise UntrustedFileError(f"is damaged ({reason})") from None

    if not isinstance(state, dict):
        raise UntrustedFileError(f"holds {type(state).__name__}, not a state")
    return state


def _require_unpacked(file: IO[bytes]) -> None:
    """torch stores tensors as they are; a packed one may unpack to more than the machine has."""
    members = zip_members(file, LARGEST)
    if any(
        member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size
        for member in members
    ):
        raise UntrustedFileError("is damaged or not one of ours (it is compressed)")


def _replaced(value: Any, name: str, replace: Any, known: dict[int, tuple[Any, Any]]) -> Any:
    """`value` with `replace` applied to all that is no container.

    Args:
        known: By identity, what was met before and what became of it.
    """
    if id(value) in known:
        return known[id(value)][1]
    if type(value) not in _CONTAINERS or (isinstance(value, dict) and _ARRAY in value):
        new = replace(value, name)
    elif isinstance(value, dict):
        for key in value:
            for part in key if type(key) is tuple else (key,):
                _require_plain(part, f"a key of {name}")
        items = {key: _replaced(x, f"{name}[{key!r}]", replace, known) for key, x in value.items()}
        new = value if all(items[key] is x for key, x in value.items()) else type(value)(items)
    else:
        parts = [_replaced(x, f"{name}[{i}]", replace, known) for i, x in enumerate(value)]
        new = (
            value if all(a is b for a, b in zip(parts, value, strict=True)) else type(value)(parts)
        )
    known[id(value)] = value, new  # which also keeps `value` alive, and so its identity
    return new


def _stored(value: Any, name: str) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        import torch  # takes a second; a command's help does without

        if value.dtype.hasobject or not (
            type(value) is np.ndarray or isinstance(value, np.generic)
        ):
            raise TypeError(
                f"{name} is {type(value).__name__} of {value.dtype}, which cannot be stored"
            )
        array = np.asarray(value)
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        content = torch.from_numpy(content if content.flags.writeable else content.copy())
        descriptor = np.lib.format.dtype_to_descr(array.dtype)
        return {_ARRAY: (descriptor, tuple(array.shape), content, isinstance(value, np.generic))}
    _require_plain(value, name)
    return value


def _require_plain(value: Any, name: str) -> None:
    if type(value) not in (*_PLAIN, *_torch_types()):
        raise TypeError(
            f"{name} is {type(value).__name__}, which cannot be stored: a state holds tensors, "
            "NumPy arrays, numbers, "
            "strings and None, in lists, tuples and dictionaries"
        )


def _torch_types() -> tuple[type, ...]:
    """Types of torch that a state may hold; none where it is not loaded, and so nothing is one."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ()
    return (torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device)


def _restored(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        return value
    descriptor, shape, content, scalar = value[_ARRAY]
    dtype = np.lib.format.descr_to_dtype(descriptor)
    if dtype.hasobject:
        raise ValueError(f"{name} is an array of objects")
    array = content.numpy().view(dtype).reshape(shape)
    return array[()] if scalar else array
