"""Files in the official formats: the fixtures, and EDM snapshots of any network."""

import copy
import io
import lzma
import pickle
import sys
import types
from functools import cache

import numpy as np
import torch
from torch import nn

from deep.checkpoint import read
from deep.formats.edm_pickle import network_arguments
from tests.conftest import FIXTURES


def outputs(name):
    """The arrays of a fixture, as tensors where they are numbers."""
    with np.load(FIXTURES / name) as file:
        return {
            key: torch.from_numpy(file[key]) if file[key].dtype.kind != "U" else file[key]
            for key in file.files
        }


@cache
def unpacked(name):
    """The bytes of a compressed fixture."""
    return lzma.decompress((FIXTURES / name).read_bytes())


def ddpm_fixture(tmp_path):
    """The checkpoint of the official DDPM file, a copy of one's own, and the file in a folder."""
    return _fixture(tmp_path / "ddpm_tiny.pt", resolution=8)


def otcfm_fixture(tmp_path):
    """The same for OT-CFM."""
    return _fixture(tmp_path / "otcfm_tiny.pt", resolution=8, head_channels=16)


_READ = {}
"""Name of a file -> its checkpoint: the same bytes are read once, for many tests."""


def _fixture(path, **assumed):
    path.write_bytes(unpacked(f"{path.name}.xz"))
    if path.name not in _READ:
        _READ[path.name] = read(path, **assumed)
    return copy.deepcopy(_READ[path.name])


def relative_error(got, expected):
    """The largest error over the largest value."""
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


def randomised(network, rng):
    """The network with every tensor random, so that each one matters; scales keep activations of
    order one.
    """
    for name, value in network.named_parameters():
        draw = torch.from_numpy(rng.standard_normal(value.shape, dtype=np.float32))
        fan_in = max(1, value[0].numel()) if value.dim() > 1 else 1
        scale, shift = (
            (fan_in**-0.5, 0.0)
            if value.dim() > 1
            else (0.1, float("norm" in name and "weight" in name))
        )
        with torch.no_grad():
            value.copy_(scale * draw + shift)
    return network


class Persistent:
    """An object as EDM's persistence pickles it: by its class's name, its module's source and
    its attributes.
    """

    def __init__(self, class_name, state):
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise RuntimeError('the source text was executed')",
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def snapshot(config, network, monkeypatch, state=None, **arguments):
    """The bytes of an EDM snapshot of `network`, an EDMPrecond of the configuration `config`, in
    the official layout.

    Args:
        state: The tensors to write, under the names of the network's state dict; its own by
            default.
        arguments: Of the constructor, instead of those that describe the network; None leaves one
            out.
    """
    state = network.state_dict() if state is None else state
    content = {
        "ema": _persistent(network, "", state, {**network_arguments(config), **arguments}),
        "loss_fn": Persistent("EDMLoss", {"sigma_data": 0.5, "_init_args": (), "_init_kwargs": {}}),
        "augment_pipe": None,
        "dataset_kwargs": {"path": "data.zip"},
    }
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("only its name is pickled")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = _reconstruct_persistent_obj.__name__
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch_utils", package)
        patch.setitem(sys.modules, "torch_utils.persistence", module)
        return pickle.dumps(content, protocol=4)


def _persistent(module, prefix, state, arguments):
    own = {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }
    buffers = {name: value.detach() for name, value in own.items() if name == "resample_filter"}
    attributes = {
        "training": False,
        "_parameters": {
            name: nn.Parameter(value, False) for name, value in own.items() if name not in buffers
        },
        "_buffers": buffers,
        "_non_persistent_buffers_set": set(),
        "_modules": {
            name: _persistent(child, f"{prefix}{name}.", state, {})
            for name, child in module.named_children()
        },
        "init_weight": np.float64(1e-5),
    }
    if isinstance(module, nn.ModuleDict):
        plain = nn.ModuleDict()
        plain.__dict__.update(attributes)
        return plain
    attributes |= {
        "_init_args": (),
        "_init_kwargs": {k: v for k, v in arguments.items() if v is not None},
    }
    return Persistent(type(module).__name__, attributes)


def torch_bytes(content):
    """The bytes that `torch.save` writes."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()
