"""A causal transformer over characters (Vaswani et al. 2017), normalising before each layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.networks.initial_weights import fresh
from stability.runs.option_error import OptionError
from stability.runs.ranges import require_range

__all__ = ["CharacterConfig", "CharacterTransformer"]

SCALE = 0.02
"""Standard deviation of new weights, as in GPT-2."""


@dataclass(frozen=True)
class CharacterConfig:
    """Configuration of the transformer."""

    width: int = 64
    """Numbers a position, a multiple of --heads."""
    layers: int = 2
    """Blocks of attention and two linear layers."""
    heads: int = 4
    """Heads of the attention."""
    dropout: float = 0.2
    """Probability of dropout behind the embedding and in each branch, where GPT-2 has it."""

    def __post_init__(self) -> None:
        require_range(self, width=(4, 2**12), layers=(1, 100), heads=(1, 2**8))
        if not 0 <= self.dropout < 1:
            raise OptionError(f"--dropout must be in [0, 1), got {self.dropout:g}")
        if self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of heads, got {self.width} and {self.heads}"
            )

    def build(self, symbols: int, length: int, generator: torch.Generator) -> nn.Module:
        """Make the network with new weights.

        Args:
            symbols: Number of symbols; the network also knows one that begins a window.
            length: Characters of a window.
            generator: Draws the weights.

        Returns:
            A network: tokens (n, l) int64, l <= length -> scores of the next one (n, l, symbols).
        """

        def initialise(network: nn.Module) -> None:
            for module in network.modules():
                if isinstance(module, nn.LayerNorm):
                    module.reset_parameters()
                elif isinstance(module, nn.Linear | nn.Embedding):
                    nn.init.normal_(module.weight, 0.0, SCALE, generator=generator)
                    if isinstance(module, nn.Linear) and module.bias is not None:
                        nn.init.zeros_(module.bias)

        return fresh(lambda: CharacterTransformer(self, symbols, length), initialise)


class TransformerBlock(nn.Module):
    """Causal attention and two linear layers, each added to what it is given."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention and the feed-forward layer, each added to its input.

        Args:
            x: Tokens, (n, l, width).

        Returns:
            Tokens, (n, l, width).
        """
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.down(functional.gelu(self.up(self.norm2(x)))))


class CharacterTransformer(nn.Module):
    """Scores of the next symbol, given those before. `CharacterConfig.build` makes one."""

    def __init__(self, config: CharacterConfig, symbols: int, length: int) -> None:
        super().__init__()
        self.token = nn.Embedding(symbols + 1, config.width)
        self.position = nn.Embedding(length, config.width)
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(config.width, config.heads, config.dropout)
                for _ in range(config.layers)
            )
        )
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, symbols)

    def forward(self, tokens: Tensor) -> Tensor:
        """Score the next symbol at every place.

        Args:
            tokens: Symbols so far, the beginning first, (n, l) int64.

        Returns:
            Unnormalised log-probabilities, (n, l, symbols).
        """
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.dropout(self.token(tokens) + self.position(places))
        return self.head(self.norm(self.blocks(x)))
