"""EDM's augmentation of images, on any device (Karras et al. 2022, appendix F.2; from
StyleGAN2-ADA).

Mirroring, isotropic and anisotropic scaling, rotation and translation, composed into one affine map
a batch element and resampled once with a band-limited filter. Each image comes with the nine
numbers that say what was done to it. The network is conditioned on them, so that it can be asked
for images that nothing was done to (all zero) and does not leak mirrored or rotated ones.
"""

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["LABELS", "Transforms", "augment", "draw_transforms"]

LABELS = 9
SCALE_SD = 0.2  # of log2 of a scale
TRANSLATION_SD = 0.125  # of the side
# The low-pass of the wavelet sym6: 12 taps, sum √2.
SYM6 = (
    0.015404109327, 0.003490712084, -0.117990111148, -0.048311742586, 0.491055941927,
    0.787641141030, 0.337929421728, -0.072637522786, -0.021060292512, 0.044724901771,
    0.001767711864, -0.007800708325,
)  # fmt: skip
PADDING = len(SYM6) // 4


@dataclass(frozen=True)
class Transforms:
    """Transforms of n images, (n,) each. 0: that transform leaves the image alone.

    Attributes:
        x_flip: 1 mirrors left-right, up-down.
        y_flip: See `x_flip`.
        scale: w of a scale 2^(0.2 w).
        angle: Angle of rotation, radians.
        stretch: w of a scale 2^(0.2 w) along the direction stretch_angle, and its inverse across
            it.
        shift_x: w of a translation by 0.125 w of the side.
        shift_y: See `shift_x`.
    """

    x_flip: Tensor
    y_flip: Tensor
    scale: Tensor
    angle: Tensor
    stretch: Tensor
    stretch_angle: Tensor
    shift_x: Tensor
    shift_y: Tensor

    def stacked(self) -> Tensor:
        """(n, 8): the fields as columns, one row an image."""
        return torch.stack([getattr(self, field.name) for field in fields(self)], dim=1)

    @classmethod
    def from_stacked(cls, rows: Tensor) -> "Transforms":
        """Undo `stacked`.

        Args:
            rows: One row an image, (n, 8).

        Returns:
            The transforms.
        """
        return cls(*rows.unbind(dim=1))

    def labels(self) -> Tensor:
        """(n, 9): condition of the network, 0 where nothing was done."""
        return torch.stack(
            [
                self.x_flip,
                self.y_flip,
                self.scale,
                self.angle.cos() - 1,
                self.angle.sin(),
                self.stretch * self.stretch_angle.cos(),
                self.stretch * self.stretch_angle.sin(),
                self.shift_x,
                self.shift_y,
            ],
            dim=1,
        )


def draw_transforms(n: int, p: float, generator: torch.Generator) -> Transforms:
    """Draw transforms of n images, on the device of `generator`.

    Each kind happens with probability p, independently.

    Mirroring left-right is drawn for all images (half of them are mirrored then), whatever p: so
    EDM does.

    Args:
        n: Number of images.
        p: Probability of each kind, in [0, 1].
        generator: Generator to draw with.

    Returns:
        The transforms, of length n.
    """
    device = generator.device

    def uniform() -> Tensor:
        return torch.rand(n, generator=generator, device=device)

    def normal() -> Tensor:
        return torch.randn(n, generator=generator, device=device)

    def happens(probability: float = p) -> Tensor:
        return (uniform() < probability).float()

    def coin() -> Tensor:
        return torch.randint(2, (n,), generator=generator, device=device).float()

    shift_happens = happens()
    return Transforms(
        x_flip=coin(),
        y_flip=coin() * happens(),
        scale=normal() * happens(),
        angle=(2 * uniform() - 1) * math.pi * happens(),
        stretch=normal() * happens(),
        stretch_angle=(2 * uniform() - 1) * math.pi * happens(0.5),
        shift_x=normal() * shift_happens,
        shift_y=normal() * shift_happens,
    )


def augment(images: Tensor, transforms: Transforms) -> Tensor:
    """Transform images.

    Outside the image lies its reflection. An image does not depend on the others of its batch, up
    to rounding. Computed in the precision of the images, also where matrix products are cast to a
    lower one.

    Args:
        images: Images, (n, c, h, w) floating-point.
        transforms: Transforms of the n images.

    Returns:
        The transformed images, (n, c, h, w).
    """
    with torch.autocast(images.device.type, enabled=False):
        images = torch.where(transforms.x_flip.bool()[:, None, None, None], images.flip(3), images)
        images = torch.where(transforms.y_flip.bool()[:, None, None, None], images.flip(2), images)
        height, width = images.shape[2:]
        return _resample(images, _output_to_input(transforms, height, width))


def _output_to_input(t: Transforms, height: int, width: int) -> Tensor:
    """(n, 3, 3): where in the input each output pixel comes from, in pixels from the centre."""
    scale, stretch = torch.exp2(SCALE_SD * t.scale), torch.exp2(SCALE_SD * t.stretch)
    zoom = _scaling(1 / scale, 1 / scale)
    turn = _rotation(t.angle)
    pull = _rotation(-t.stretch_angle) @ _scaling(1 / stretch, stretch) @ _rotation(t.stretch_angle)
    move = _translation(-TRANSLATION_SD * width * t.shift_x, -TRANSLATION_SD * height * t.shift_y)
    return zoom @ turn @ pull @ move


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def _translation(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[one, zero, x], [zero, one, y], [zero, zero, one]])


def _rotation(angle: Tensor) -> Tensor:
    zero, one, cos, sin = torch.zeros_like(angle), torch.ones_like(angle), angle.cos(), angle.sin()
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _resample(images: Tensor, inverse: Tensor) -> Tensor:
    """Images (n, c, h, w) seen through the map `inverse` (n, 3, 3) from output to input pixels,
    without aliasing: reflect, interpolate to twice the resolution, sample bilinearly there,
    and filter back down.
    """
    channels, height, width = images.shape[1:]
    taps = _taps(images.device, images.dtype)

    def scaling(x: float, y: float) -> Tensor:
        return _scaling(inverse.new_full((1,), x), inverse.new_full((1,), y))

    def translation(x: float, y: float) -> Tensor:
        return _translation(inverse.new_full((1,), x), inverse.new_full((1,), y))

    # As far as reflection goes, for every batch: margins fitted to the batch would stop the host
    # until a GPU had them.
    images = F.pad(images, [width - 1, width - 1, height - 1, height - 1], mode="reflect")
    for axis in (3, 2):
        images = _upsampled(images, taps, axis)
    # Pixel centres lie at halves; twice as fine, they lie at other halves.
    inverse = (
        translation(-0.5, -0.5)
        @ scaling(2, 2)
        @ inverse
        @ scaling(0.5, 0.5)
        @ translation(0.5, 0.5)
    )

    out_height, out_width = 2 * (height + 2 * PADDING), 2 * (width + 2 * PADDING)
    normalised = (
        scaling(2 / images.shape[3], 2 / images.shape[2])
        @ inverse
        @ scaling(out_width / 2, out_height / 2)
    )
    grid = F.affine_grid(
        normalised[:, :2], [len(images), channels, out_height, out_width], align_corners=False
    )
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    for axis in (3, 2):
        images = _downsampled(images, taps, axis)
    return images


@lru_cache  # a copy to a GPU would stop the host in every step
def _taps(device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(SYM6, device=device, dtype=dtype)


def _along(taps: Tensor, channels: int, axis: int) -> Tensor:
    """A filter for each channel, (channels, 1, 1, k) or (channels, 1, k, 1)."""
    shape = (1, 1, 1, -1) if axis == 3 else (1, 1, -1, 1)
    return taps.reshape(shape).repeat(channels, 1, 1, 1)


def _upsampled(images: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Twice as many pixels along the axis, less one: zeros between the old ones, then the
    reversed filter.
    """
    shape = list(images.shape)
    shape[axis] = 2 * shape[axis] - 1
    spread = images.new_zeros(shape)
    spread[(slice(None),) * axis + (slice(None, None, 2),)] = images
    padding = [2 * PADDING if axis == 2 else 0, 2 * PADDING if axis == 3 else 0]
    channels = images.shape[1]
    return F.conv2d(spread, _along(taps.flip(0), channels, axis), padding=padding, groups=channels)


def _downsampled(images: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Half as many pixels along the axis, filtered; the padding of the sampled grid is cut off."""
    channels = images.shape[1]
    stride = [2 if axis == 2 else 1, 2 if axis == 3 else 1]
    padding = [2 * PADDING - 1 if axis == 2 else 0, 2 * PADDING - 1 if axis == 3 else 0]
    images = F.conv2d(
        images, _along(taps, channels, axis), stride=stride, padding=padding, groups=channels
    )
    return images.narrow(axis, PADDING, images.shape[axis] - 2 * PADDING)
