"""Files of weights that are made to harm a reader: each has a name, a way to make it, and words
of its refusal.
"""

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from deep.formats.checkpoint_record import weights_digest
from deep.formats.torch_container import BEFORE_ZIP
from tests.support.official import torch_bytes

__all__ = ["HOSTILE", "Hostile", "own_file"]


@dataclass(frozen=True)
class Hostile:
    """A file.

    Args:
        make: Writes it at a path.
        words: Its refusal has them.
    """

    make: Callable[[Path], object]
    words: str


def _content(make: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(make())


def _sparse(size: int, start: bytes = b"") -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.write_bytes(start)
        os.truncate(path, size)

    return make


def zip_of(members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def _torch_zip(pickled: bytes, **storages: bytes) -> bytes:
    return zip_of(
        {"data.pkl": pickled, **{f"data/{key}": value for key, value in storages.items()}}
    )


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _nested_key(pickled_as: Callable[[bytes], bytes] = lambda content: content) -> bytes:
    """{(((…), (…)), …): None}: the hash of the key takes 2^60 steps."""
    return pickled_as(b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"Ns.")


def _laughs(levels: int = 40) -> list[Any]:
    """Lists that hold the one before ten times."""
    value: list[Any] = ["ha"]
    for _ in range(levels):
        value = [value] * 10
    return value


def _cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _shared(names: int) -> dict[str, Any]:
    """4 MB under many names."""
    numbers = torch.zeros(10**6)
    return {f"embed.{i}": numbers for i in range(names)}


def _nested_storages() -> bytes:
    """EDM's storages within storages, two in each: 2^30 of them in a few kilobytes."""
    inner = body = b"\x80\x02N."
    for _ in range(30):
        ask = b"ctorch.storage\n_load_from_bytes\n"
        block = b"B" + struct.pack("<I", len(inner)) + inner
        body = b"\x80\x02" + ask + b"q\x01" + block + b"q\x02\x85R0h\x01h\x02\x85R."
        inner = (
            BEFORE_ZIP
            + pickle.dumps(1001, 2)
            + pickle.dumps({"little_endian": True}, 2)
            + body
            + b"\x80\x02]."
        )
    return body


def _ordered_again_and_again() -> bytes:
    """OrderedDict(items) of 100,000 items, 200,000 times."""
    items = b"(" + b"K\x01K\x01\x86" * 100_000 + b"lq\x01"
    return (
        b"\x80\x02ccollections\nOrderedDict\nq\x02" + items + b"h\x02h\x01\x85R0" * 200_000 + b"."
    )


def own_file(state: dict[str, torch.Tensor], network: dict[str, Any], **description: Any) -> bytes:
    """This project's format with a digest that is right, and anything in the description."""
    held = {
        "version": 2,
        "kind": "edm",
        "network": network,
        "step": None,
        "images": None,
        "extra": {},
        "assumed": [],
    }
    text = json.dumps(held | description)
    digest = weights_digest({"": state}, text)
    return safetensors.torch.save(state, {"checkpoint": f'{text[:-1]}, "sha256": "{digest}"}}'})


def _header(value: Any, data: bytes = b"") -> bytes:
    text = json.dumps(value).encode()
    return struct.pack("<Q", len(text)) + text + data


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _folder_of_pipes(path: Path) -> None:
    path.mkdir()
    os.mkfifo(path / "config.json")


_ONE = {"state/a": torch.zeros(1)}
_LARGE = {
    "resolution": 2**14,
    "channels": 1,
    "model_channels": 4,
    "channel_mult": [1] * 14,
    "num_blocks": 100,
}

HOSTILE: dict[str, Hostile] = {
    # The file system
    "200 GB, sparse": Hostile(_sparse(200 * 2**30), "at most 8,589,934,592 are read"),
    "2 GB, sparse": Hostile(_sparse(2 * 2**30), "is neither a pickle"),
    "2 GB, sparse, of a pickle": Hostile(_sparse(2 * 2**30, b"\x80\x04"), "opcode 0"),
    "2 GB, sparse, of a zip archive": Hostile(
        _sparse(2 * 2**30, b"PK\x03\x04"), "not a zip archive"
    ),
    "a named pipe": Hostile(_pipe, "not a regular file"),
    "a folder of pipes": Hostile(_folder_of_pipes, "not a regular file"),
    "a device": Hostile(lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    # Sizes that a file claims
    "a tensor of stride 0": Hostile(
        _content(
            lambda: torch_bytes({"model": {"embed.0": torch.zeros(10**6).expand(10**3, 10**6)}})
        ),
        "1000000 numbers",
    ),
    "4 MB under 2,000 names": Hostile(
        _content(lambda: torch_bytes(_shared(2000))), "many times over"
    ),
    "a bytearray of 2^62": Hostile(
        _content(lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**62)), "opcode 150"
    ),
    "a frame of 2^62": Hostile(
        _content(lambda: b"\x80\x04\x95" + struct.pack("<Q", 2**62)), "ends within a value"
    ),
    "text of 2^62": Hostile(
        _content(lambda: b"\x80\x04\x8d" + struct.pack("<Q", 2**62)), "ends within a value"
    ),
    "a storage of 2^50": Hostile(
        _content(
            lambda: (
                BEFORE_ZIP
                + pickle.dumps(1001, 2)
                + pickle.dumps({"little_endian": True}, 2)
                + b"\x80\x02(("
                + _text("storage")
                + b"ctorch\nFloatStorage\n"
                + _text("0")
                + _text("cpu")
                + b"\x8a\x07\x00\x00\x00\x00\x00\x00\x04NtQ."
            )
        ),
        "claims more numbers",
    ),
    "a header of 2^63": Hostile(
        _content(lambda: struct.pack("<Q", 2**63) + b"{}"), "its header would have"
    ),
    "a tensor beyond the end": Hostile(
        _content(
            lambda: _header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
        ),
        "no safetensors file",
    ),
    # What is packed
    "packed records": Hostile(
        _content(
            lambda: zip_of({"data.pkl": bytes(2**25), "data/0": bytes(2**25)}, zipfile.ZIP_DEFLATED)
        ),
        "unpacks to",
    ),
    "a packed pickle": Hostile(
        _content(
            lambda: (
                zip_of({"data.pkl": pickle.dumps([1] * 50, 2)}, zipfile.ZIP_DEFLATED) + bytes(100)
            )
        ),
        "compressed",
    ),
    # Time
    "nested tuples as a key": Hostile(_content(_nested_key), "a key that is a tuple"),
    "nested tuples as a key, in torch's format": Hostile(
        _content(lambda: _nested_key(_torch_zip)), "a key that is a tuple"
    ),
    "nested tuples in a set": Hostile(
        _content(lambda: b"\x80\x04\x8f()" + b"q\x00h\x00\x86" * 60 + b"\x90."),
        "a key that is a tuple",
    ),
    "a billion laughs": Hostile(
        _content(lambda: torch_bytes({"epoch": _laughs()})), "written out in full"
    ),
    "a billion laughs in a snapshot": Hostile(
        _content(lambda: pickle.dumps({"ema": 1, "loss_fn": _laughs()}, 4)), "written out in full"
    ),
    "a list that holds itself": Hostile(
        _content(lambda: torch_bytes({"epoch": _cycle()})), "in each other"
    ),
    "lists 10^5 deep": Hostile(
        _content(lambda: b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."), "in each other"
    ),
    "JSON 10^5 deep": Hostile(
        _content(lambda: struct.pack("<Q", 2 * 10**5 + 5) + b'{"a":' + b"[" * 10**5 + b"]" * 10**5),
        "nested too deeply",
    ),
    "storages in storages": Hostile(_content(_nested_storages), "refused"),
    "long work, again and again": Hostile(_content(_ordered_again_and_again), "steps to be read"),
    "10^7 opcodes": Hostile(
        _content(lambda: b"\x80\x02" + b"N0" * 5 * 10**6 + b"N."), "steps to be read"
    ),
    "a network of 2,800 blocks": Hostile(
        _content(lambda: own_file(_ONE, _LARGE)), "lacks tensors: it holds 1"
    ),
    # Text
    "a global of 40,000 characters": Hostile(
        _content(lambda: b"\x80\x02c" + b"a" * 40_000 + b"\nb\n."), "a line of more than 10,000"
    ),
    "a global of 9,000 characters": Hostile(
        _content(lambda: b"\x80\x02c" + b"a" * 9000 + b"\nb\n."), "asks for aaa"
    ),
    "a global of 40,000 characters, in torch's format": Hostile(
        _content(lambda: _torch_zip(b"\x80\x02" + _text("a" * 40_000) + _text("b") + b"\x93.")),
        "asks for aaa",
    ),
    "names with escape sequences": Hostile(
        _content(
            lambda: torch_bytes(
                {"\x1b[31mred\x07": torch.zeros(1), "\x1b]0;title\x07": torch.zeros(1)}
            )
        ),
        r"\x1b]0;title\x07",
    ),
    "a name of 100,000 characters": Hostile(
        _content(lambda: torch_bytes({"x" * 100_000: torch.zeros(1)})),
        "a key of 100,000 characters",
    ),
    "a name of 100,000 characters, in safetensors": Hostile(
        _content(lambda: safetensors.torch.save({"x" * 100_000: torch.zeros(1)})),
        "no network that is known: xxx",
    ),
    # Parts that are of another kind
    "extra is a list": Hostile(_content(lambda: own_file(_ONE, {}, extra=[])), "extra"),
    "half a surrogate pair": Hostile(
        _content(lambda: own_file(_ONE, {}, extra={"\ud800": "\udfff"})), "half a surrogate pair"
    ),
    "a description that is a number": Hostile(
        _content(lambda: safetensors.torch.save(_ONE, {"checkpoint": "3"})), "version"
    ),
    "a kind that is a list": Hostile(
        _content(lambda: own_file(_ONE, {}, kind=[["edm"]])), "is of the kind"
    ),
    "a state that is a list": Hostile(
        _content(lambda: torch_bytes({"model": [1, 2]})), "weights that are a list"
    ),
    "a TorchScript program": Hostile(
        _content(
            lambda: zip_of(
                {
                    "data.pkl": pickle.dumps(OrderedDict(), 2),
                    "constants.pkl": b"\x80\x02).",
                    "code/a.py": b"import os",
                }
            )
        ),
        "TorchScript program, which is code",
    ),
    "another zip archive": Hostile(
        _content(lambda: zip_of({"thesis.txt": b"words"})), "holds no data.pkl"
    ),
    "a tar archive": Hostile(_content(lambda: b"pickle" + bytes(10_000)), "is neither a pickle"),
}
