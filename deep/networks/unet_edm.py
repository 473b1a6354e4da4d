"""EDM's denoiser D(x, σ): the "DDPM++" U-Net in EDM's preconditioning (Karras et al. 2022, Table
1), with or without classes.

Names, shapes and order of the tensors are those of the official implementation.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.networks.attention import attend, from_tokens, to_tokens
from deep.networks.class_code import class_code, require_label_dim
from deep.networks.dropout import Dropout
from deep.networks.initial_weights import fresh, xavier
from deep.networks.levels import check_levels
from deep.networks.norm_silu import NormSiLU
from deep.networks.sinusoidal import sines_and_cosines
from deep.networks.state_dict import Shapes, StateError, count, has, size
from stability.diffusion.preconditioning import c_in, c_noise, c_out, c_skip

__all__ = ["CIFAR10", "DIGITS", "FFHQ64", "EDMNetwork", "EDMPrecond", "SongUNet"]

Resampling = Literal["keep", "down", "up"]
_GAINS = {"conv1": 1e-5, "proj": 1e-5, "aux_conv": 1e-5, "qkv": math.sqrt(0.2)}


class Place(NamedTuple):
    """One block of the U-Net."""

    name: str
    inputs: int
    outputs: int
    resampling: Resampling = "keep"
    attention: bool = False
    skip: bool = False
    """Decoder: the input is what comes from below, joined with the output of the encoder at the
    same depth."""


@dataclass(frozen=True)
class EDMNetwork:
    """Configuration of EDM's network. The defaults are those of the official CIFAR-10 model."""

    resolution: int = 32
    """Height and width of the images, in pixels."""
    channels: int = 3
    """Channels of the images."""
    model_channels: int = 128
    """Width of the network; of level l: channel_mult[l] times this."""
    channel_mult: tuple[int, ...] = (2, 2, 2)
    """Width of each level, as a multiple of model_channels; each level has half the resolution
    of the one before."""
    num_blocks: int = 4
    """Residual blocks at each level of the encoder; the decoder has one more."""
    attn_resolutions: tuple[int, ...] = (16,)
    """Resolutions at which the blocks of the encoder and the last one of the decoder have
    self-attention."""
    augment_dim: int = 9
    """Length of the augmentation label; 0: none."""
    dropout: float = 0.13
    """Probability that an activation is dropped in training."""
    channel_mult_emb: int = 4
    """Width of the embedding of σ, as a multiple of model_channels."""
    sigma_data: float = 0.5
    """Standard deviation of the data that the preconditioning assumes."""
    label_dim: int = 0
    """Number of classes of a class-conditional network; 0: unconditional."""

    def __post_init__(self) -> None:
        check_levels(
            self.resolution,
            self.channels,
            self.model_channels,
            self.channel_mult,
            self.num_blocks,
            self.attn_resolutions,
            self.dropout,
        )
        if self.augment_dim < 0:
            raise ValueError(f"augment_dim must be >= 0, got {self.augment_dim}")
        if self.channel_mult_emb < 1:
            raise ValueError(f"channel_mult_emb must be >= 1, got {self.channel_mult_emb}")

        require_label_dim(self.label_dim)
        for name in ("augment_dim", "channel_mult_emb"):
            if getattr(self, name) > 2**10:
                raise ValueError(f"{name} must be <= {2**10}, got {getattr(self, name)}")

        if not 0 < self.sigma_data < math.inf:
            raise ValueError(f"sigma_data must be finite and > 0, got {self.sigma_data}")
        for place in [place for half in self.places() for place in half]:
            for width in (place.inputs, place.outputs):
                if width % _groups(width):
                    raise ValueError(
                        "model_channels and channel_mult must give widths that min(32, width // "
                        "4) groups divide; "
                        f"got {self.model_channels} and {self.channel_mult}: width {width} in "
                        f"{place.name}"
                    )

    def places(self) -> tuple[list[Place], list[Place]]:
        """The blocks of the encoder and of the decoder, in the order in which they run."""
        width, encoder, skips = self.model_channels, [], [self.model_channels]
        for level, mult in enumerate(self.channel_mult):
            at = f"{self.resolution >> level}x{self.resolution >> level}"
            attention = self.resolution >> level in self.attn_resolutions
            if level > 0:
                encoder.append(Place(f"{at}_down", width, width, "down"))
                skips.append(width)
            for i in range(self.num_blocks):
                encoder.append(
                    Place(f"{at}_block{i}", width, mult * self.model_channels, attention=attention)
                )
                width = mult * self.model_channels
                skips.append(width)

        decoder = []
        for level, mult in reversed(list(enumerate(self.channel_mult))):
            at = f"{self.resolution >> level}x{self.resolution >> level}"
            if level == len(self.channel_mult) - 1:
                decoder += [
                    Place(f"{at}_in0", width, width, attention=True),
                    Place(f"{at}_in1", width, width),
                ]
            else:
                decoder.append(Place(f"{at}_up", width, width, "up"))
            for i in range(self.num_blocks + 1):
                attention = (
                    i == self.num_blocks and self.resolution >> level in self.attn_resolutions
                )
                joined, width = width + skips.pop(), mult * self.model_channels
                decoder.append(
                    Place(f"{at}_block{i}", joined, width, attention=attention, skip=True)
                )

        return encoder, decoder

    def build(self, generator: torch.Generator | None = None) -> "EDMPrecond":
        """Build the network with fresh weights (`deep.networks.initial_weights`).

        Its output starts almost at c_skip x.

        Args:
            generator: Generator on the CPU; None: torch's global one.

        Returns:
            The network.
        """

        def initialise(network: EDMPrecond) -> None:
            xavier(network, _GAINS, generator)
            for name, buffer in network.named_buffers():
                assert name.endswith("resample_filter")
                buffer.fill_(0.25)

        return fresh(lambda: EDMPrecond(self), initialise)

    @classmethod
    def deduce(cls, shapes: Shapes) -> "EDMNetwork":
        """Deduce the configuration of the network that has these tensors.

        Dropout and sigma_data leave no trace in them: those are official.

        A network that fits otherwise need not have exactly these tensors.

        Args:
            shapes: Shapes by name.

        Returns:
            The configuration.

        Raises:
            StateError: If a tensor is missing that tells.
        """
        resolutions = {
            int(m[1]) for name in shapes if (m := re.match(r"model\.enc\.(\d+)x\1_block0\.", name))
        }
        if not resolutions:
            raise StateError("lacks the tensors model.enc.*_block0.*")

        levels = [f"model.enc.{r}x{r}" for r in sorted(resolutions, reverse=True)]
        width = size(shapes, f"{levels[0]}_conv.bias")
        return cls(
            resolution=max(resolutions),
            channels=size(shapes, f"{levels[0]}_conv.weight", 1),
            model_channels=width,
            channel_mult=tuple(
                size(shapes, f"{level}_block0.norm1.bias") // width for level in levels
            ),
            num_blocks=count(shapes, rf"{re.escape(levels[0])}_block(\d+)\."),
            attn_resolutions=tuple(
                r
                for r in sorted(resolutions, reverse=True)
                if has(shapes, f"model.enc.{r}x{r}_block0.qkv.")
            ),
            augment_dim=size(shapes, "model.map_augment.weight", 1)
            if "model.map_augment.weight" in shapes
            else 0,
            channel_mult_emb=size(shapes, "model.map_layer0.bias") // width,
            label_dim=size(shapes, "model.map_label.weight", 1)
            if "model.map_label.weight" in shapes
            else 0,
        )


def _groups(width: int) -> int:
    return min(32, width // 4)


def _norm_silu(width: int) -> NormSiLU:
    return NormSiLU(_groups(width), width, eps=1e-6)


def _upsampled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


class Conv(nn.Conv2d):
    """A convolution that keeps height and width; behind a resampling it also holds the official
    code's filter.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, resampling: Resampling = "keep"
    ) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        # all 0.25, the mean of 2 × 2 pixels; only kept: `EDMBlock` does not need it
        if resampling != "keep":
            self.register_buffer("resample_filter", torch.empty(1, 1, 2, 2))


class EDMBlock(nn.Module):
    """Residual block conditioned on the noise level, with or without self-attention (one head)."""

    def __init__(self, place: Place, embedding: int, dropout: float) -> None:
        super().__init__()
        inputs, outputs, self.resampling, self.attention, self.takes_skip = place[1:]
        self.norm0 = _norm_silu(inputs)
        self.conv0 = Conv(inputs, outputs, 3, self.resampling)
        self.affine = nn.Linear(embedding, outputs)
        self.norm1 = _norm_silu(outputs)
        self.dropout = Dropout(dropout)
        self.conv1 = Conv(outputs, outputs, 3)
        if inputs != outputs or self.resampling != "keep":
            self.skip = Conv(inputs, outputs, 1, self.resampling)
        else:
            self.skip = nn.Identity()
        if self.attention:
            self.norm2 = nn.GroupNorm(_groups(outputs), outputs, eps=1e-6)
            self.qkv = Conv(outputs, 3 * outputs, 1)
            self.proj = Conv(outputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: Input, (n, inputs, r, r).
            embedding: Embedding of the noise level, (n or 1, e).

        Returns:
            Output, (n, outputs, r', r'), r' = r, r/2 or 2r.
        """
        h = self.norm0(x)
        if self.resampling == "down":
            h, x = functional.avg_pool2d(h, 2), functional.avg_pool2d(x, 2)
        elif self.resampling == "up":
            h = _upsampled(h)
        h = self.norm1(self.conv0(h), self.affine(embedding))
        h = self.conv1(self.dropout(h))
        x = self.skip(x)
        # after the 1 × 1 convolution, with which it commutes: a quarter of the work
        if self.resampling == "up":
            x = _upsampled(x)
        h = h.add_(x).mul_(math.sqrt(0.5))
        return (self._attended(h) + h).mul_(math.sqrt(0.5)) if self.attention else h

    def _attended(self, h: Tensor) -> Tensor:
        tokens = to_tokens(self.norm2(h))  # (n, l, c)
        # Row 3i + j of the official projection makes channel i of q, k, v for j = 0, 1, 2. To sort
        # its rows is cheaper than to sort what it makes of every pixel.
        weight, bias = (
            parameter.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)
            for parameter in (self.qkv.weight.flatten(1), cast(Tensor, self.qkv.bias))
        )
        # (n, l, heads, 3, c)
        qkv = functional.linear(tokens, weight, bias).unflatten(2, (1, 3, -1))
        return from_tokens(
            functional.linear(attend(qkv), self.proj.weight.flatten(1), self.proj.bias), like=h
        )


class SongUNet(nn.Module):
    """The U-Net F(x; ln σ / 4). `EDMNetwork.build` makes one with weights."""

    def __init__(self, network: EDMNetwork) -> None:
        super().__init__()
        self.width, self.label_dim = network.model_channels, network.label_dim
        embedding = network.channel_mult_emb * self.width
        if network.label_dim:
            self.map_label = nn.Linear(network.label_dim, self.width)
        if network.augment_dim:
            self.map_augment = nn.Linear(network.augment_dim, self.width, bias=False)

        self.map_layer0 = nn.Linear(self.width, embedding)
        self.map_layer1 = nn.Linear(embedding, embedding)
        encoder, decoder = network.places()
        top = f"{network.resolution}x{network.resolution}"
        self.enc = nn.ModuleDict({f"{top}_conv": Conv(network.channels, self.width, 3)})
        self.enc.update(
            {place.name: EDMBlock(place, embedding, network.dropout) for place in encoder}
        )
        self.dec = nn.ModuleDict(
            {place.name: EDMBlock(place, embedding, network.dropout) for place in decoder}
        )
        self.dec[f"{top}_aux_norm"] = _norm_silu(decoder[-1].outputs)
        self.dec[f"{top}_aux_conv"] = Conv(decoder[-1].outputs, network.channels, 3)

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        augment_labels: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> Tensor:
        """Apply the U-Net.

        Args:
            x: Scaled noisy images, (n, channels, r, r).
            c_noise: ln σ / 4, (n,) or (1,).
            augment_labels: (n or 1, augment_dim), None as zeros.
            classes: Class numbers, (n,) int64; None: no class, as in the official code.

        Returns:
            F, like x.
        """
        embedding = self._embedding(c_noise, augment_labels, classes)
        first, *encoder = self.enc.values()
        *decoder, norm_silu, last = self.dec.values()
        x = first(x)
        skips = [x]
        for block in encoder:
            x = block(x, embedding)
            skips.append(x)
        for block in decoder:
            if block.takes_skip:
                x = torch.cat([x, skips.pop()], dim=1)
            x = block(x, embedding)
        return last(norm_silu(x))

    def _embedding(
        self, c_noise: Tensor, augment_labels: Tensor | None, classes: Tensor | None = None
    ) -> Tensor:
        """(n or 1, e), float32 also under autocast: rounded to bfloat16, noise levels 2 % apart
        would look the same.
        """
        with torch.autocast(c_noise.device.type, enabled=False):
            embedding = torch.cat(sines_and_cosines(c_noise, self.width, endpoint=True), dim=1)
            if self.label_dim:
                none = c_noise.new_zeros(1, self.label_dim, dtype=torch.float32)
                code = none if classes is None else class_code(classes, self.label_dim)
                embedding = embedding + self.map_label(code)
            if augment_labels is not None:
                embedding = embedding + self.map_augment(augment_labels.float())
            return functional.silu(self.map_layer1(functional.silu(self.map_layer0(embedding))))


class EDMPrecond(nn.Module):
    """D(x, σ) = c_skip x + c_out F(c_in x; ln σ / 4), an estimate of the clean image in x = image +
    σ noise.

    sigma_min, sigma_max: range of σ that the network accepts.
    """

    sigma_min = 0.0
    sigma_max = math.inf

    def __init__(self, network: EDMNetwork) -> None:
        super().__init__()
        self.sigma_data = network.sigma_data
        self.augment_dim, self.label_dim = network.augment_dim, network.label_dim
        self.model = SongUNet(network)

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        augment_labels: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> Tensor:
        """Estimate the clean images.

        Args:
            x: Noisy images, (n, channels, r, r).
            sigma: Their noise levels, (n,) or (1,), > 0.
            augment_labels: Augmentation labels, (n or 1, augment_dim); None as zeros.
            classes: Class numbers, shape (n,) int64; None: no class.

        Returns:
            The estimates, like x, float32.
        """
        x, sigma = x.float(), sigma.float()[:, None, None, None]
        inputs = c_in(sigma, self.sigma_data) * x
        output = self.model(inputs, c_noise(sigma.flatten()), augment_labels, classes).float()
        return c_skip(sigma, self.sigma_data) * x + c_out(sigma, self.sigma_data) * output


CIFAR10 = EDMNetwork()
FFHQ64 = EDMNetwork(resolution=64, channel_mult=(1, 2, 2, 2), dropout=0.05)
DIGITS = EDMNetwork(
    resolution=8,
    channels=1,
    model_channels=16,
    channel_mult=(1, 2),
    num_blocks=1,
    attn_resolutions=(4,),
)
