"""Pickles of weights, read without running anything that they contain and within bounds.

A pickle is a program. The one here can make plain containers, numbers, text, and what `KNOWN`
names: tensors, and EDM's objects as a name and a dictionary, whose source text stays text.
Everything else is refused. A small pickle can also ask for endless work, by containers that hold
each other many times over: steps, keys, tensors and the size of the result written out in full are
bounded before they cost anything.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from deep.formats.checkpoint_error import CheckpointError

__all__ = [
    "Budget",
    "ModuleDict",
    "PersistentObject",
    "Storage",
    "Unpickler",
    "bytes_left",
    "require_bounded",
]

MOST_STEPS = 1_000_000
"""Opcodes of a file, and items that its containers are made of."""
MOST_VALUES = 1_000_000
"""Values in the result, those that are held twice counted twice."""
DEEPEST = 100
"""Containers within each other."""
LONGEST_NAME = 10_000
"""Characters of a key or of a line."""


@dataclass
class Budget:
    """Remaining work and memory that all pickles of a file share.

    Args:
        numbers: Bytes of tensors that may still be allocated: those of the file.
        steps: Opcodes that may still be run.
    """

    numbers: int
    steps: int = MOST_STEPS

    def pay(self, steps: int = 0, numbers: int = 0) -> None:
        """Subtract from the budget.

        Args:
            steps: Opcodes to run.
            numbers: Bytes of tensors to allocate.

        Raises:
            CheckpointError: If it is used up.
        """
        self.steps -= steps
        self.numbers -= numbers
        if self.steps < 0:
            raise CheckpointError(f"asks for more than {MOST_STEPS:,} steps to be read: refused")
        if self.numbers < 0:
            raise CheckpointError("claims more numbers than it has bytes")


@dataclass(frozen=True)
class Storage:
    """The numbers of one or more tensors.

    Args:
        numbers: (n,) of their type.
    """

    numbers: Tensor


@dataclass(frozen=True)
class PersistentObject:
    """One of EDM's "persistent" objects: its class's name, and what its `__dict__` was."""

    class_name: str
    state: dict[str, Any]


class ModuleDict:
    """A torch.nn.ModuleDict: what its `__dict__` was."""

    state: dict[str, Any]

    def restore(self, state: dict[str, Any]) -> None:
        self.state = state


class _Dtype:
    """The type of a NumPy number."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
            raise CheckpointError(f"holds a NumPy value of type {code!r}")
        self.dtype = np.dtype(code)

    def restore(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", "|"):
            raise CheckpointError(f"holds a NumPy value of byte order {state[1]!r}")


def _object(meta: dict[str, Any]) -> PersistentObject:
    if not isinstance(meta["class_name"], str) or type(meta["state"]) is not dict:
        raise CheckpointError("holds an object without a class's name or attributes")
    return PersistentObject(meta["class_name"], meta["state"])


def _tensor(
    storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> Tensor:
    """A tensor of numbers that are there. Strides of 0 would make gigabytes of a few bytes."""
    if not isinstance(storage, Storage) or any(
        type(n) is not int or n < 0 for n in (offset, *shape, *stride)
    ):
        raise CheckpointError("holds a tensor that is not made of a storage, a shape and strides")
    if len(shape) != len(stride) or len(shape) > 8:
        raise CheckpointError(f"holds a tensor of {len(shape)} axes and {len(stride)} strides")

    there, size, last = len(storage.numbers), 1, offset
    for n, step in zip(shape, stride, strict=True):
        size *= n
        last += (n - 1) * step
    if size > there or (size and last >= there) or offset > there:
        raise CheckpointError(f"holds a tensor of shape {shape} with {there} numbers")
    return storage.numbers.as_strided(shape, stride, offset)


def _parameter(tensor: Tensor, *_: object) -> Tensor:
    return tensor


def _scalar(kind: _Dtype, content: bytes) -> Any:
    return np.frombuffer(content, kind.dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise CheckpointError("holds bytes as text of an unknown encoding")
    return text.encode("latin1")


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    pairs = list(items.items() if isinstance(items, dict) else items)
    for key, _ in pairs:
        _require_key(key)
    return OrderedDict(pairs)


def _default(*_: object) -> dict[Any, Any]:
    return {}


def _size(axes: Any) -> tuple[Any, ...]:
    if not isinstance(axes, list | tuple):
        raise CheckpointError("holds a shape that is none")
    return tuple(axes)


def _device(name: Any, *_: object) -> str:
    if not isinstance(name, str):
        raise CheckpointError("holds a device without a name")
    return name


def _set(items: list[Any] | tuple[Any, ...] = ()) -> set[Any]:
    for item in items:
        _require_key(item)
    return set(items)


KNOWN: dict[str, Any] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _object,
    "torch.nn.modules.container.ModuleDict": ModuleDict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _default,
    "builtins.dict": _default,
    "__builtin__.dict": _default,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "dnnlib.util.EasyDict": _ordered,
}
"""Everything that a file of weights may ask for, and what it gets."""

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
for _name, _dtype in _STORAGES.items():
    KNOWN[f"torch.{_name}"] = _dtype
KNOWN["torch.storage.UntypedStorage"] = torch.uint8


class Unpickler(pickle._Unpickler):  # the one in C sizes its memory by a number in the file
    """Plain containers, and what `KNOWN` makes.

    Args:
        file: The pickle, from where it stands; may go on behind it.
        budget: What it may do.
        known: More names that it may ask for.
        storage: Makes a storage of a persistent identifier, and returns it; None: there must be
            none.
    """

    stack: list[Any]

    def __init__(
        self,
        file: IO[bytes],
        budget: Budget,
        known: Mapping[str, Callable[..., Any]] | None = None,
        storage: Callable[[Any], Storage] | None = None,
    ) -> None:
        super().__init__(_Bounded(file))  # type: ignore[arg-type]
        self._budget = budget
        self._known = KNOWN | dict(known or {})
        self._storage = storage
        self.dispatch = _Steps(budget)  # type: ignore[misc]

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self._known:
            raise CheckpointError(
                f"asks for {module[:200]}.{name[:200]}, which weights do not need: refused, "
                "nothing was run"
            )
        return self._known[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> Storage:
        if self._storage is None:
            raise CheckpointError(
                "holds a reference to something outside of it: refused, nothing was run"
            )
        return self._storage(pid)

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or not any(
            function is known for known in self._known.values()
        ):
            raise CheckpointError("calls what it did not ask for: refused, nothing was run")
        containers = sum(len(a) for a in arguments if isinstance(a, dict | list | tuple | set))
        self._budget.pay(
            containers + sum(len(a) // 1000 for a in arguments if isinstance(a, str | bytes))
        )
        self.stack.append(function(*arguments))

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_build(self) -> None:
        """Set the state of an object. The inherited method would set any attribute of anything.

        Raises:
            CheckpointError: If the object is none whose state is known.
        """
        state = self.stack.pop()
        if isinstance(self.stack[-1], ModuleDict | _Dtype):
            self.stack[-1].restore(state)
        elif not (isinstance(self.stack[-1], OrderedDict) and type(state) is dict):
            # of a module: its versions
            raise CheckpointError(
                f"sets the attributes of a {type(self.stack[-1]).__name__}: refused, nothing was "
                "run"
            )

    def load_dict(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self.stack.append({})
        self._set_items(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def load_setitems(self) -> None:
        self._set_items(self.pop_mark())  # type: ignore[attr-defined]

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise CheckpointError(
                f"sets the items of a {type(target).__name__}: refused, nothing was run"
            )
        if len(items) % 2:
            raise CheckpointError("is damaged: it holds a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            _require_key(key)
            target[key] = value

    def load_additems(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        if type(self.stack[-1]) is not set:
            raise CheckpointError(
                f"adds to a {type(self.stack[-1]).__name__}: refused, nothing was run"
            )
        self.stack[-1].update(_set(items))

    def load_appends(self) -> None:
        self._extend(self.pop_mark())  # type: ignore[attr-defined]

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise CheckpointError(
                f"appends to a {type(self.stack[-1]).__name__}: refused, nothing was run"
            )
        self.stack[-1].extend(items)

    def load_frozenset(self) -> None:
        self.stack.append(frozenset(_set(self.pop_mark())))  # type: ignore[attr-defined]

    def _instantiate(self, klass: Any, args: list[Any]) -> None:
        raise CheckpointError(
            "makes an object in a way that weights do not need: refused, nothing was run"
        )


_METHODS = {
    pickle.REDUCE: Unpickler.load_reduce,
    pickle.NEWOBJ: Unpickler.load_newobj,
    pickle.BUILD: Unpickler.load_build,
    pickle.DICT: Unpickler.load_dict,
    pickle.SETITEM: Unpickler.load_setitem,
    pickle.SETITEMS: Unpickler.load_setitems,
    pickle.ADDITEMS: Unpickler.load_additems,
    pickle.APPEND: Unpickler.load_append,
    pickle.APPENDS: Unpickler.load_appends,
    pickle.FROZENSET: Unpickler.load_frozenset,
}
_REFUSED = [
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.LONG4,  # an integer whose every use takes as long as it is
    pickle.NEWOBJ_EX,
    pickle.BYTEARRAY8,  # allocates before it reads
    pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
]
_OPCODES = {
    **{
        opcode: method
        for opcode, method in pickle._Unpickler.dispatch.items()
        if bytes([opcode]) not in _REFUSED
    },
    **{opcode[0]: method for opcode, method in _METHODS.items()},
}


class _Steps(dict[int, Any]):
    """Opcode -> method, counting."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(_OPCODES)
        self._budget = budget

    def __getitem__(self, opcode: int) -> Any:
        self._budget.pay(steps=1)
        return super().__getitem__(opcode)

    def __missing__(self, opcode: int) -> Any:
        raise CheckpointError(
            f"is damaged, or needs more than weights do (opcode {opcode}): refused"
        )


class _Bounded:
    """A file whose reads do not allocate more than it has."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, n: int) -> bytes:
        if n > LONGEST_NAME and n > bytes_left(self._file):
            raise EOFError("it ends within a value")
        return self._file.read(n)

    def readline(self) -> bytes:
        line = self._file.readline(LONGEST_NAME + 1)
        if len(line) > LONGEST_NAME:
            raise CheckpointError(f"holds a line of more than {LONGEST_NAME:,} characters")
        return line


def bytes_left(file: IO[bytes]) -> int:
    """Count the bytes of a file behind its position.

    Args:
        file: A seekable file; its position stays as it is.

    Returns:
        The count.
    """
    here = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(here)
    return end - here


def _require_key(key: Any) -> None:
    """Keys whose hash takes no time: a tuple of tuples of tuples … takes for ever."""
    if key is not None and type(key) not in (str, int, float, bool, bytes):
        raise CheckpointError(
            f"holds a key that is a {type(key).__name__}; only text and numbers are known"
        )
    if isinstance(key, str | bytes) and len(key) > LONGEST_NAME:
        raise CheckpointError(
            f"holds a key of {len(key):,} characters; at most {LONGEST_NAME:,} are read"
        )


def require_bounded(value: Any) -> None:
    """Refuse anything that is small in the file and large when it is written out, or has no end.

    Args:
        value: What an unpickler made.

    Raises:
        CheckpointError: If containers are nested too deeply, hold themselves, or hold too many
            values, those that are held several times counted as often.
    """
    _written_out(value, {}, 0)


def _written_out(value: Any, known: dict[int, int], depth: int) -> int:
    """Number of values in a value written out in full.   known: by identity, of what was counted
    before.
    """
    match value:
        case PersistentObject() | ModuleDict():
            children = [getattr(value, "state", None)]
        case dict():
            children = value.values()
        case list() | tuple() | set() | frozenset():
            children = value
        case _:
            return 1

    if id(value) not in known:
        if depth > DEEPEST:
            raise CheckpointError(
                f"holds containers in each other more than {DEEPEST} deep: refused"
            )
        total = 1
        for child in children:
            total += _written_out(child, known, depth + 1)
            if total > MOST_VALUES:
                raise CheckpointError(
                    f"holds more than {MOST_VALUES:,} values when written out in full: refused"
                )
        known[id(value)] = total
    return known[id(value)]
