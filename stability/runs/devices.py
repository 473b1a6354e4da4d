"""Devices that networks may live on: one list for every command, one check, one choice."""

from typing import Literal

from stability.runs.option_error import OptionError

__all__ = ["Device", "Place", "chosen_device", "require_device"]

Device = Literal["auto", "cpu", "cuda", "mps"]
"""Device that a user asks for."""
Place = Literal["cpu", "cuda", "mps"]
"""Device that networks live on."""

NAMES = {"cuda": "CUDA", "mps": "MPS"}


def require_device(device: str) -> None:
    """Refuse a device that is not known or not there.

    Args:
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        OptionError: If it is none of these, or a GPU that torch does not have here.
    """
    if device not in ("auto", "cpu", *NAMES):
        raise OptionError(f"--device must be auto, cpu, cuda or mps, got {device!r}")
    if device in NAMES and not _available(device):
        raise OptionError(
            f"--device {device}: no {NAMES[device]} device is available, use cpu or auto"
        )


def chosen_device(device: str) -> Place:
    """Choose where networks live.

    MPS, the GPU of a Mac, is taken only if it is asked for: it has no float64, and small networks
    are faster on the CPU.

    Args:
        device: `auto`, `cpu`, `cuda` or `mps`.

    Returns:
        The device; for `auto`, CUDA if there is a GPU, else the CPU.

    Raises:
        OptionError: As of `require_device`.
    """
    require_device(device)
    if device == "mps":
        return "mps"
    return "cuda" if device != "cpu" and _available("cuda") else "cpu"


def _available(device: str) -> bool:
    import torch  # takes a second; a command's help does without

    return torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
