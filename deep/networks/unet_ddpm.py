"""DDPM's network ε_θ(x_t, t): the U-Net of Ho et al. (2020), with or without classes.

Names, shapes and order of the tensors are those of ddpm-torch, which has no classes. A class is
added to the embedding of the time, as in Dhariwal and Nichol (2021). In a few details diffusers'
`UNet2DModel` may differ: `UNOFFICIAL` names them.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.networks.attention import attend, from_tokens, to_tokens
from deep.networks.class_code import class_code, require_label_dim
from deep.networks.dropout import Dropout
from deep.networks.groups import GROUPS, require_groups
from deep.networks.initial_weights import fresh, xavier
from deep.networks.levels import check_levels
from deep.networks.norm_silu import NormSiLU
from deep.networks.sinusoidal import sines_and_cosines
from deep.networks.state_dict import Shapes, StateError, count, has, size

__all__ = ["CIFAR10", "DIGITS", "UNOFFICIAL", "DDPMNetwork", "DDPMUNet"]

_GAINS = {"conv2": 1e-5, "project_out": 1e-5, "out_conv.2": 1e-5}


@dataclass(frozen=True)
class DDPMNetwork:
    """Configuration of DDPM's network. The defaults are those of ddpm-torch for CIFAR-10."""

    resolution: int = 32
    """Height and width of the images, in pixels."""
    channels: int = 3
    """Channels of the images."""
    model_channels: int = 128
    """Width of the network, a multiple of norm_groups; of level l: channel_mult[l] times this."""
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    """Width of each level, as a multiple of model_channels, the first 1; each level has half the
    resolution of the one before."""
    num_blocks: int = 2
    """Residual blocks at each level on the way down; on the way up there is one more."""
    attn_resolutions: tuple[int, ...] = (16,)
    """Resolutions at which every block is followed by self-attention."""
    dropout: float = 0.1
    """Probability that an activation is dropped in training."""
    label_dim: int = 0
    """Number of classes of a class-conditional network; 0: unconditional."""
    norm_groups: int = GROUPS
    """Groups of every normalisation; a level with one channel a group is not told the time."""
    norm_eps: float = 1e-6
    """Number added to the variance in every normalisation."""
    head_channels: int | None = None
    """Width of an attention head; None: one head."""
    cosines_first: bool = False
    """Put the cosines of the time's embedding before its sines."""
    freq_shift: Literal[0, 1] = 1
    """Lowest frequency of the time's embedding: 1/10000 (1), or one step above it (0)."""
    downsample_padding: Literal[0, 1] = 0
    """Padding of the convolutions that halve the resolution: right and below (0), or all around
    (1)."""

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
        require_label_dim(self.label_dim)
        require_groups(self.norm_groups, self.widths, "model_channels", str(self.model_channels))
        self._check_details()
        if self.channel_mult[0] != 1:
            raise ValueError(f"channel_mult must start with 1, got {self.channel_mult}")

    def _check_details(self) -> None:
        """ValueError for a detail that is out of range."""
        if not 0 < self.norm_eps < 1:
            raise ValueError(f"norm_eps must be > 0 and < 1, got {self.norm_eps}")
        for name in ("freq_shift", "downsample_padding"):
            if getattr(self, name) not in (0, 1):
                raise ValueError(f"{name} must be 0 or 1, got {getattr(self, name)}")
        head, widths = self.head_channels, self.widths
        attended = {
            widths[-1],
            *(w for i, w in enumerate(widths) if self.resolution >> i in self.attn_resolutions),
        }
        if head is not None and (head < 1 or any(width % head for width in attended)):
            raise ValueError(
                f"head_channels must divide the widths {sorted(attended)} with attention, got "
                f"{head}"
            )

    @property
    def widths(self) -> list[int]:
        """Channels of each level."""
        return [mult * self.model_channels for mult in self.channel_mult]

    def build(self, generator: torch.Generator | None = None) -> "DDPMUNet":
        """Build the network with fresh weights (`deep.networks.initial_weights`).

        It starts by predicting almost 0.

        Args:
            generator: Generator on the CPU; None: torch's global one.

        Returns:
            The network.
        """
        return fresh(lambda: DDPMUNet(self), lambda network: xavier(network, _GAINS, generator))

    @classmethod
    def deduce(cls, shapes: Shapes, resolution: int = 32) -> "DDPMNetwork":
        """Deduce the configuration of the network that has these tensors.

        Resolution and dropout leave no trace in them, nor do the groups of normalisation, which
        are the official ones.

        A network that fits otherwise need not have exactly these tensors.

        Args:
            shapes: Shapes by name.
            resolution: Pixels a side.

        Returns:
            The configuration.

        Raises:
            StateError: If a tensor is missing that tells.
        """
        levels = [
            f"downsamples.level_{level}"
            for level in range(count(shapes, r"downsamples\.level_(\d+)\."))
        ]
        if not levels:
            raise StateError("lacks the tensors downsamples.level_*")

        width = size(shapes, "in_conv.bias")
        attended = [has(shapes, f"{level}.0.1.") for level in levels]
        first = [
            f"{level}.0.0" if attention else f"{level}.0"
            for level, attention in zip(levels, attended, strict=True)
        ]

        return cls(
            resolution=resolution,
            channels=size(shapes, "in_conv.weight", 1),
            model_channels=width,
            channel_mult=tuple(size(shapes, f"{block}.conv1.bias") // width for block in first),
            num_blocks=count(shapes, rf"downsamples\.level_{len(levels) - 1}\.(\d+)\."),
            attn_resolutions=tuple(
                resolution >> level for level, attention in enumerate(attended) if attention
            ),
            label_dim=size(shapes, "label_embed.weight", 1)
            if "label_embed.weight" in shapes
            else 0,
        )


UNOFFICIAL = ("norm_groups", "norm_eps", "head_channels", "cosines_first", "freq_shift")
UNOFFICIAL += ("downsample_padding",)
"""Fields of a network that ddpm-torch does not have: there they have their defaults."""


def _norm_silu(width: int, network: DDPMNetwork) -> NormSiLU:
    return NormSiLU(network.norm_groups, width, eps=network.norm_eps)


def _halving(width: int, before: int) -> nn.Sequential:
    """Halve the resolution; with 0 before, padded right and below only, as TensorFlow does."""
    pad = nn.ZeroPad2d((before, 1, before, 1))
    return nn.Sequential(pad, nn.Conv2d(width, width, 3, stride=2))


class DDPMBlock(nn.Module):
    """Time-conditioned residual block."""

    def __init__(self, inputs: int, outputs: int, network: DDPMNetwork) -> None:
        super().__init__()
        self.norm1 = _norm_silu(inputs, network)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.fc = nn.Linear(4 * network.model_channels, outputs)
        self.norm2 = _norm_silu(outputs, network)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.dropout = Dropout(network.dropout)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: Features, (n, inputs, r, r).
            embedding: Embedding of the time, (n, e), activated.

        Returns:
            Features, (n, outputs, r, r).
        """
        h = self.norm2(self.conv1(self.norm1(x)), self.fc(embedding))
        return self.conv2(self.dropout(h)).add_(self.skip(x))


class DDPMAttention(nn.Module):
    """Self-attention."""

    def __init__(self, width: int, network: DDPMNetwork) -> None:
        super().__init__()
        self.heads = width // (network.head_channels or width)
        self.norm = nn.GroupNorm(network.norm_groups, width, eps=network.norm_eps)
        self.project_in = nn.Conv2d(width, 3 * width, 1)
        self.project_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply self-attention, added to its input.

        Args:
            x: Input, (n, width, r, r).

        Returns:
            Output, (n, width, r, r).
        """
        tokens = to_tokens(self.norm(x))
        qkv = functional.linear(tokens, self.project_in.weight.flatten(1), self.project_in.bias)
        # (n, l, heads, 3, c): rows of the projection are all queries, then all keys and values
        attended = attend(qkv.unflatten(2, (3, self.heads, -1)).transpose(2, 3))
        return (
            from_tokens(
                functional.linear(
                    attended, self.project_out.weight.flatten(1), self.project_out.bias
                ),
                x,
            )
            + x
        )


class AttendingBlock(nn.ModuleList):
    """A residual block and self-attention."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        block, attention = self
        return attention(block(x, embedding))


class DDPMUNet(nn.Module):
    """ε_θ(x_t, t). `DDPMNetwork.build` makes one with weights."""

    def __init__(self, network: DDPMNetwork) -> None:
        super().__init__()
        self.width, self.num_blocks = network.model_channels, network.num_blocks
        self.cosines_first, self.endpoint = network.cosines_first, network.freq_shift == 1
        embedding, widths = 4 * self.width, network.widths
        deepest = len(widths) - 1

        def blocks(level: int, inputs: list[int]) -> list[nn.Module]:
            made: list[nn.Module] = [DDPMBlock(width, widths[level], network) for width in inputs]
            if network.resolution >> level in network.attn_resolutions:
                made = [
                    AttendingBlock([block, DDPMAttention(widths[level], network)]) for block in made
                ]
            return made

        def down(level: int) -> nn.ModuleList:
            width = widths[level]
            layers = blocks(level, [widths[max(level - 1, 0)], *[width] * (self.num_blocks - 1)])
            if level < deepest:
                layers.append(_halving(width, network.downsample_padding))
            return nn.ModuleList(layers)

        def up(level: int) -> nn.ModuleList:
            width = widths[level]
            below = [widths[min(level + 1, deepest)], *[width] * self.num_blocks]
            skips = [*[width] * self.num_blocks, widths[max(level - 1, 0)]]
            layers = blocks(level, [a + b for a, b in zip(below, skips, strict=True)])
            if level > 0:
                layers.append(
                    nn.Sequential(
                        nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1)
                    )
                )
            return nn.ModuleList(layers)

        self.embed = nn.Sequential(
            nn.Linear(self.width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.label_dim = network.label_dim
        if network.label_dim:
            self.label_embed = nn.Linear(network.label_dim, embedding, bias=False)
        self.in_conv = nn.Conv2d(network.channels, self.width, 3, padding=1)
        self.downsamples = nn.ModuleDict(
            {f"level_{level}": down(level) for level in range(len(widths))}
        )
        self.middle = nn.ModuleList(
            [
                DDPMBlock(widths[-1], widths[-1], network),
                DDPMAttention(widths[-1], network),
                DDPMBlock(widths[-1], widths[-1], network),
            ]
        )
        self.upsamples = nn.ModuleDict(
            {f"level_{level}": up(level) for level in range(len(widths))}
        )
        self.out_conv = nn.Sequential(
            _norm_silu(self.width, network),
            nn.Identity(),  # SiLU in the official network
            nn.Conv2d(self.width, network.channels, 3, padding=1),
        )

    def forward(self, x: Tensor, t: Tensor, classes: Tensor | None = None) -> Tensor:
        """Predict the noise in x.

        Args:
            x: Noisy images, (n, channels, r, r).
            t: Time steps, counted from 0, (n,) or (1,).
            classes: Class numbers, (n,) int64; None: no class.

        Returns:
            The noise, like x.
        """
        embedding = self._embedding(t, classes)
        x = self.in_conv(x)
        skips = [x]
        for layers in self.downsamples.values():
            for i, layer in enumerate(cast(nn.ModuleList, layers)):
                x = layer(x, embedding) if i < self.num_blocks else layer(x)
                skips.append(x)
        first, attention, second = self.middle
        x = second(attention(first(x, embedding)), embedding)
        for layers in reversed(list(self.upsamples.values())):
            for i, layer in enumerate(cast(nn.ModuleList, layers)):
                x = (
                    layer(torch.cat([x, skips.pop()], dim=1), embedding)
                    if i <= self.num_blocks
                    else layer(x)
                )
        return self.out_conv(x)

    def _embedding(self, t: Tensor, classes: Tensor | None = None) -> Tensor:
        """(n or 1, 4·width), activated; float32 also under autocast, which would confuse
        neighbouring steps.
        """
        with torch.autocast(t.device.type, enabled=False):
            sines, cosines = sines_and_cosines(t, self.width, endpoint=self.endpoint)
            order = (cosines, sines) if self.cosines_first else (sines, cosines)
            embedding = self.embed(torch.cat(order, dim=1))
            if self.label_dim and classes is not None:
                embedding = embedding + self.label_embed(class_code(classes, self.label_dim))
            return functional.silu(embedding)


CIFAR10 = DDPMNetwork()
DIGITS = DDPMNetwork(
    resolution=8,
    channels=1,
    model_channels=32,
    channel_mult=(1,),
    num_blocks=1,
    attn_resolutions=(8,),
    norm_groups=8,
)
