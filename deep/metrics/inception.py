"""The Inception-v3 of FID: the TensorFlow graph `inception-2015-12-05` with its weights as a
PyTorch state dict.

It differs from torchvision's: average pools do not count their padding, and the pool of the last
block is a maximum. The weights are not part of this project: bring
`pt_inception-2015-12-05-6726825d.pth` (pytorch-fid) or torch-fidelity's
`weights-inception-2015-12-05-6726825d.pth`, which has the same tensors.
"""

import hashlib
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

from deep.formats.checkpoint_error import CheckpointError
from deep.formats.torch_container import load_torch
from stability.runs.untrusted import UntrustedFileError, open_regular, printable

__all__ = [
    "INCEPTION_HASH",
    "Inception",
    "InceptionError",
    "Resize",
    "load_inception",
    "resize",
    "to_rgb",
]

INCEPTION_HASH = "6726825d"
"""Start of the SHA-256 of the weights' file, as its name says."""
SIDE = 299
LARGEST_FILE = 2**29
"""Bytes of the weights' file: 512 MiB; it has 95 million."""

Resize = Literal["half-pixel", "tensorflow"]


class InceptionError(ValueError):
    """A file does not hold the weights of this network; the message names it and says why."""


class Unit(nn.Module):
    """Convolution without bias, normalisation by stored statistics, ReLU; "same" padding unless
    `padding` is given.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        same = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, same if padding is None else padding, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)), inplace=True)


def _average(x: Tensor) -> Tensor:
    return avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _halved(x: Tensor) -> Tensor:
    return max_pool2d(x, 3, 2)


class MixedA(nn.Module):
    """Mixed_5b, 5c, 5d."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(inputs, 64)
        self.branch5x5_1 = Unit(inputs, 48)
        self.branch5x5_2 = Unit(48, 64, 5)
        self.branch3x3dbl_1 = Unit(inputs, 64)
        self.branch3x3dbl_2 = Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3)
        self.branch_pool = Unit(inputs, pooled)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_average(x))], 1)


class MixedB(nn.Module):
    """Mixed_6a."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(inputs, 384, 3, 2, 0)
        self.branch3x3dbl_1 = Unit(inputs, 64)
        self.branch3x3dbl_2 = Unit(64, 96, 3)
        self.branch3x3dbl_3 = Unit(96, 96, 3, 2, 0)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, _halved(x)], 1)


class MixedC(nn.Module):
    """Mixed_6b to 6e; c channels within its 7×7 branches."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(768, 192)
        self.branch7x7_1 = Unit(768, c)
        self.branch7x7_2 = Unit(c, c, (1, 7))
        self.branch7x7_3 = Unit(c, 192, (7, 1))
        self.branch7x7dbl_1 = Unit(768, c)
        self.branch7x7dbl_2 = Unit(c, c, (7, 1))
        self.branch7x7dbl_3 = Unit(c, c, (1, 7))
        self.branch7x7dbl_4 = Unit(c, c, (7, 1))
        self.branch7x7dbl_5 = Unit(c, 192, (1, 7))
        self.branch_pool = Unit(768, 192)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class MixedD(nn.Module):
    """Mixed_7a."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = Unit(768, 192)
        self.branch3x3_2 = Unit(192, 320, 3, 2, 0)
        self.branch7x7x3_1 = Unit(768, 192)
        self.branch7x7x3_2 = Unit(192, 192, (1, 7))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1))
        self.branch7x7x3_4 = Unit(192, 192, 3, 2, 0)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, _halved(x)], 1)


class MixedE(nn.Module):
    """Mixed_7b, whose pool is an average, and 7c, whose pool is a maximum."""

    def __init__(self, inputs: int, pool: Literal["average", "maximum"]) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = Unit(inputs, 320)
        self.branch3x3_1 = Unit(inputs, 384)
        self.branch3x3_2a = Unit(384, 384, (1, 3))
        self.branch3x3_2b = Unit(384, 384, (3, 1))
        self.branch3x3dbl_1 = Unit(inputs, 448)
        self.branch3x3dbl_2 = Unit(448, 384, 3)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1))
        self.branch_pool = Unit(inputs, 192)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = _average(x) if self.pool == "average" else max_pool2d(x, 3, 1, 1)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(three),
                self.branch3x3_2b(three),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(pooled),
            ],
            1,
        )


class Inception(nn.Module):
    """uint8 images (b, c, h, w), c = 1 or 3 -> the 2048 pooled features of each, (b, 2048) float32.

    Args:
        resize: How images become 299×299. "half-pixel" as pytorch-fid and fls (the paper's);
            "tensorflow" as torch-fidelity and the original graph. The two differ also in how they
            scale pixels: 2x/255 − 1 and (x − 128)/128.
    """

    def __init__(self, resize: Resize = "half-pixel") -> None:
        super().__init__()
        self.resize: Resize = resize
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2, 0)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, 1, 0)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, 1, 0)
        self.Mixed_5b = MixedA(192, 32)
        self.Mixed_5c = MixedA(256, 64)
        self.Mixed_5d = MixedA(288, 64)
        self.Mixed_6a = MixedB(288)
        self.Mixed_6b = MixedC(128)
        self.Mixed_6c = MixedC(160)
        self.Mixed_6d = MixedC(160)
        self.Mixed_6e = MixedC(192)
        self.Mixed_7a = MixedD()
        self.Mixed_7b = MixedE(1280, "average")
        self.Mixed_7c = MixedE(2048, "maximum")
        # the logits of the graph, which features do not need: part of the state dict
        self.fc = nn.Linear(2048, 1008)

    def forward(self, images: Tensor) -> Tensor:
        x = resize(to_rgb(images).float(), SIDE, self.resize)
        x = x / 127.5 - 1 if self.resize == "half-pixel" else (x - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_halved(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(_halved(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((2, 3))


def load_inception(path: Path, resize: Resize = "half-pixel") -> tuple[Inception, str]:
    """Load the network with the weights of a state dict. Nothing that the file holds is executed.

    Only if the file's SHA-256 starts with INCEPTION_HASH are these the published weights.

    Args:
        path: File with the state dict.
        resize: Rule by which images are brought to the network's size.

    Returns:
        The network, in evaluation mode, and the SHA-256 of the file.

    Raises:
        InceptionError: If it is no state dict of this network.
        OSError: If it cannot be read.
    """
    try:
        with open_regular(path, LARGEST_FILE) as file:
            state = load_torch(file)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except (CheckpointError, UntrustedFileError) as error:
        raise InceptionError(
            f"{path} is not a PyTorch state dict: it {printable(error, 500)}"
        ) from error
    except Exception as error:  # of many kinds, by how the file is wrong
        if isinstance(error, OSError) and error.filename is not None:  # it cannot be opened
            raise
        raise InceptionError(
            f"{path} is not a PyTorch state dict ({type(error).__name__})"
        ) from error

    with torch.device("meta"):
        network = Inception(resize)
    _require_tensors(path, state, network.state_dict())
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False), sha256


def _require_tensors(path: Path, state: object, expected: dict[str, Tensor]) -> None:
    if not isinstance(state, dict):
        raise InceptionError(f"{path} holds a {type(state).__name__}, not a state dict")

    for name in [*expected, *state]:
        if name not in state:
            raise InceptionError(f"{path} is not the FID Inception: it lacks the tensor {name}")
        if name not in expected:
            raise InceptionError(
                f"{path} is not the FID Inception: it has {printable(name)}, which that network "
                "does not have"
            )
        found, wanted = state[name], expected[name]
        if (
            not isinstance(found, Tensor)
            or found.shape != wanted.shape
            or found.dtype != wanted.dtype
        ):
            got = (
                f"{found.dtype} {tuple(found.shape)}"
                if isinstance(found, Tensor)
                else type(found).__name__
            )
            raise InceptionError(
                f"{path} is not the FID Inception: {name} must be {wanted.dtype} "
                f"{tuple(wanted.shape)}, got {got}"
            )
        if not found.isfinite().all():
            raise InceptionError(f"{path} has values in {name} that are not finite")


def to_rgb(images: Tensor) -> Tensor:
    """Give images three channels, grey repeated.

    Args:
        images: Images, (b, 1 or 3, h, w) uint8.

    Returns:
        Images, (b, 3, h, w) uint8.

    Raises:
        ValueError: For anything else than uint8 of these shapes.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images must be uint8 (b, 1 or 3, h, w), got {images.dtype} {tuple(images.shape)}"
        )
    return images.expand(-1, 3, -1, -1)


def resize(images: Tensor, side: int, rule: Resize) -> Tensor:
    """Resize bilinearly without low-pass filter: from two neighbours, also for down-sizing.

    Args:
        images: Images, (b, c, h, w) floating-point.
        side: Height and width of the result, pixels.
        rule: Pixel i of the result lies at i·h/side ("tensorflow": TensorFlow 1, which shifts the
            image), or at (i + ½)·h/side − ½ ("half-pixel": centres on centres), beyond the border
            at the border.

    Returns:
        Images, (b, c, side, side).
    """
    rows, columns = (_interpolation(size, side, rule, images) for size in images.shape[2:])
    return rows @ images @ columns.T


def _interpolation(size: int, side: int, rule: Resize, like: Tensor) -> Tensor:
    """Weights (side, size) of the old pixels in each new one."""
    centre = 0.5 if rule == "half-pixel" else 0.0
    i = torch.arange(side, dtype=torch.float64)
    position = ((i + centre) * (size / side) - centre).clamp(0, size - 1)
    gap = (position[:, None] - torch.arange(size)).abs()
    return (1 - gap).clamp(min=0).to(like)
