"""OT-CFM's velocity v(t, x): the U-Net of torchcfm's CIFAR-10 example (Tong et al. 2023).

Names, shapes and order of the tensors are those of torchcfm.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.networks.attention import attend, from_tokens, to_tokens
from deep.networks.dropout import Dropout
from deep.networks.groups import GROUPS, require_groups
from deep.networks.initial_weights import fresh
from deep.networks.levels import check_levels
from deep.networks.norm_silu import NormSiLU
from deep.networks.sinusoidal import sines_and_cosines
from deep.networks.state_dict import Shapes, StateError, count, has, size

__all__ = ["CIFAR10", "DIGITS", "CFMNetwork", "CFMUNet"]

_ZERO_AT_FIRST = ("out_layers.3", "proj_out", "out.2")


@dataclass(frozen=True)
class CFMNetwork:
    """Configuration of OT-CFM's network. The defaults are those of torchcfm's CIFAR-10 example."""

    resolution: int = 32
    """Height and width of the images, in pixels."""
    channels: int = 3
    """Channels of the images."""
    model_channels: int = 128
    """Width of the network; of level l: channel_mult[l] times this, a multiple of norm_groups."""
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    """Width of each level, as a multiple of model_channels; each level has half the resolution
    of the one before."""
    num_blocks: int = 2
    """Residual blocks at each level on the way down; on the way up there is one more."""
    attn_resolutions: tuple[int, ...] = (16,)
    """Resolutions at which every block is followed by self-attention."""
    head_channels: int | None = 64
    """Width of an attention head; None: num_heads decides."""
    num_heads: int | None = None
    """Attention heads, where head_channels is None."""
    dropout: float = 0.1
    """Probability that an activation is dropped in training."""
    norm_groups: int = GROUPS
    """Groups of every normalisation; a level with one channel a group is not told the time."""

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
        got = f"{self.model_channels} × {self.channel_mult}"
        require_groups(self.norm_groups, self.widths, "model_channels × channel_mult", got)
        if (self.head_channels is None) == (self.num_heads is None):
            raise ValueError(
                f"one of head_channels and num_heads must be None, got {self.head_channels} and "
                f"{self.num_heads}"
            )

        name, divisor = (
            ("head_channels", self.head_channels)
            if self.num_heads is None
            else ("num_heads", self.num_heads)
        )
        attended = [
            self.widths[-1],
            *(w for level, w in enumerate(self.widths) if self.attends(level)),
        ]
        if divisor is None or divisor < 1 or any(width % divisor for width in attended):
            raise ValueError(
                f"{name} must divide the widths {sorted(set(attended))} with attention, got "
                f"{divisor}; --{name.replace('_', '-')} sets it"
            )

    @property
    def widths(self) -> list[int]:
        """Channels of each level."""
        return [mult * self.model_channels for mult in self.channel_mult]

    def attends(self, level: int) -> bool:
        """Tell whether a level has self-attention.

        Args:
            level: Number of the level; 0 is the finest.

        Returns:
            True if it has.
        """
        return self.resolution >> level in self.attn_resolutions

    def heads(self, width: int) -> int:
        """Attention heads at a level of this width.

        Args:
            width: Channels of the level.

        Returns:
            Their number.
        """
        return width // self.head_channels if self.head_channels else self.num_heads or 1

    def build(self, generator: torch.Generator | None = None) -> "CFMUNet":
        """Build the network with fresh weights (`deep.networks.initial_weights`).

        They are torch's defaults, but the velocity is 0.

        Args:
            generator: Generator on the CPU; None: torch's global one.

        Returns:
            The network.
        """
        return fresh(lambda: CFMUNet(self), partial(_initialise, generator=generator))

    @classmethod
    def deduce(cls, shapes: Shapes, resolution: int = 32, head_channels: int = 64) -> "CFMNetwork":
        """Deduce the configuration of the network that has these tensors.

        Resolution, width of a head and dropout leave no trace in them, nor do the groups of
        normalisation, which are the official ones.

        A network that fits otherwise need not have exactly these tensors.

        Args:
            shapes: Shapes by name.
            resolution: Pixels a side.
            head_channels: Channels of an attention head.

        Returns:
            The configuration.

        Raises:
            StateError: If a tensor is missing that tells.
        """
        levels: list[list[str]] = [[]]
        for i in range(1, count(shapes, r"input_blocks\.(\d+)\.")):
            if has(shapes, f"input_blocks.{i}.0.op."):
                levels.append([])
            else:
                levels[-1].append(f"input_blocks.{i}")

        if not all(levels):
            raise StateError("lacks the tensors input_blocks.*.0.in_layers.*")
        width = size(shapes, "time_embed.0.weight", 1)

        return cls(
            resolution=resolution,
            channels=size(shapes, "input_blocks.0.0.weight", 1),
            model_channels=width,
            channel_mult=tuple(
                size(shapes, f"{level[0]}.0.in_layers.2.bias") // width for level in levels
            ),
            num_blocks=len(levels[0]),
            attn_resolutions=tuple(
                resolution >> level
                for level, names in enumerate(levels)
                if has(shapes, f"{names[0]}.1.")
            ),
            head_channels=head_channels,
        )


def _norm_silu(width: int, groups: int) -> NormSiLU:
    return NormSiLU(groups, width, eps=1e-5)


def _initialise(network: "CFMUNet", generator: torch.Generator | None) -> None:
    for name, module in network.named_modules():
        if isinstance(module, nn.GroupNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            bound = (
                0.0 if name.endswith(_ZERO_AT_FIRST) else 1 / math.sqrt(module.weight[0].numel())
            )
            for parameter in module.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator)


class CFMBlock(nn.Module):
    """Time-conditioned residual block."""

    def __init__(
        self, inputs: int, outputs: int, embedding: int, dropout: float, groups: int
    ) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            _norm_silu(inputs, groups), nn.Identity(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.Identity(), nn.Linear(embedding, outputs))
        self.out_layers = nn.Sequential(
            _norm_silu(outputs, groups),
            nn.Identity(),
            Dropout(dropout),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.skip_connection = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: Features, (n, inputs, r, r).
            embedding: Embedding of the time, (n or 1, e), activated.

        Returns:
            Features, (n, outputs, r, r).
        """
        norm_silu, *others = self.out_layers
        h = norm_silu(self.in_layers(x), self.emb_layers(embedding))
        for layer in others:
            h = layer(h)
        return h.add_(self.skip_connection(x))


class CFMAttention(nn.Module):
    """Self-attention with several heads."""

    def __init__(self, width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, width, eps=1e-5)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply self-attention, added to its input.

        Args:
            x: Input, (n, width, r, r).
            embedding: Not used; as in the residual block, (n, e).

        Returns:
            Output, (n, width, r, r).
        """
        tokens = to_tokens(self.norm(x))
        qkv = functional.linear(tokens, self.qkv.weight.flatten(1), self.qkv.bias)
        attended = attend(qkv.unflatten(2, (self.heads, 3, -1)))
        return (
            from_tokens(
                functional.linear(attended, self.proj_out.weight.flatten(1), self.proj_out.bias), x
            )
            + x
        )


class Down(nn.Module):
    """Halve the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.op(x)


class Up(nn.Module):
    """Double the resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


class Layers(nn.ModuleList):
    """Time-conditioned layers, one after the other."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, embedding)
        return x


class CFMUNet(nn.Module):
    """v(t, x). `CFMNetwork.build` makes one with weights."""

    def __init__(self, network: CFMNetwork) -> None:
        super().__init__()
        self.width = network.model_channels
        embedding, groups = 4 * self.width, network.norm_groups

        def block(level: int, inputs: int) -> list[nn.Module]:
            outputs = network.widths[level]
            made: list[nn.Module] = [CFMBlock(inputs, outputs, embedding, network.dropout, groups)]
            return (
                [*made, CFMAttention(outputs, network.heads(outputs), groups)]
                if network.attends(level)
                else made
            )

        width = network.widths[0]
        self.time_embed = nn.Sequential(
            nn.Linear(self.width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.input_blocks = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(network.channels, width, 3, padding=1))]
        )
        skips = [width]
        for level, outputs in enumerate(network.widths):
            if level > 0:
                self.input_blocks.append(Layers([Down(width)]))
                skips.append(width)
            for _ in range(network.num_blocks):
                self.input_blocks.append(Layers(block(level, width)))
                width = outputs
                skips.append(width)
        self.middle_block = Layers(
            [
                CFMBlock(width, width, embedding, network.dropout, groups),
                CFMAttention(width, network.heads(width), groups),
                CFMBlock(width, width, embedding, network.dropout, groups),
            ]
        )
        self.output_blocks = nn.ModuleList()
        for level, outputs in reversed(list(enumerate(network.widths))):
            for i in range(network.num_blocks + 1):
                layers = block(level, width + skips.pop())
                width = outputs
                if level > 0 and i == network.num_blocks:
                    layers.append(Up(width))
                self.output_blocks.append(Layers(layers))
        self.out = nn.Sequential(
            _norm_silu(width, groups),
            nn.Identity(),
            nn.Conv2d(width, network.channels, 3, padding=1),
        )

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Predict the velocity at x.

        Args:
            t: Times in [0, 1], (n,), (1,) or ().
            x: Points, (n, channels, r, r).

        Returns:
            The velocity, like x.
        """
        embedding = self._embedding(t.reshape(-1))
        first, *down = self.input_blocks
        x = first(x)
        skips = [x]
        for layers in down:
            x = layers(x, embedding)
            skips.append(x)
        x = self.middle_block(x, embedding)
        for layers in self.output_blocks:
            x = layers(torch.cat([x, skips.pop()], dim=1), embedding)
        return self.out(x)

    def _embedding(self, t: Tensor) -> Tensor:
        """(n or 1, 4·width), activated; float32 also under autocast, which would confuse
        neighbouring times.
        """
        with torch.autocast(t.device.type, enabled=False):
            sines, cosines = sines_and_cosines(t, self.width, endpoint=False)
            return functional.silu(self.time_embed(torch.cat([cosines, sines], dim=1)))


CIFAR10 = CFMNetwork()
DIGITS = CFMNetwork(
    resolution=8,
    channels=1,
    model_channels=32,
    channel_mult=(1,),
    num_blocks=1,
    attn_resolutions=(8,),
    head_channels=32,
    norm_groups=8,
)
