"""Self-attention among the pixels of an image."""

from torch import Tensor
from torch.nn import functional

__all__ = ["attend", "from_tokens", "to_tokens"]


def to_tokens(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, h·w, c); a view where x is channels-last."""
    return x.flatten(2).transpose(1, 2)


def from_tokens(tokens: Tensor, like: Tensor) -> Tensor:
    """(n, h·w, c) -> (n, c, h, w), height and width those of `like`; a view, channels-last."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[2:])


def attend(qkv: Tensor) -> Tensor:
    """softmax(q kᵀ/√c) v for each head: (n, l, heads, 3, c), l tokens, the 3 being q, k, v ->
    (n, l, heads·c).
    """
    q, k, v = qkv.permute(3, 0, 2, 1, 4)  # each (n, heads, l, c)
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
