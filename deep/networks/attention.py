"""Self-attention among the pixels of an image."""

from torch import Tensor
from torch.nn import functional

__all__ = ["attend", "from_tokens", "to_tokens"]


def to_tokens(x: Tensor) -> Tensor:
    """Turn pixels into tokens; a view where x is channels-last.

    Args:
        x: Images, (n, c, h, w).

    Returns:
        Tokens, (n, h·w, c).
    """
    return x.flatten(2).transpose(1, 2)


def from_tokens(tokens: Tensor, like: Tensor) -> Tensor:
    """Turn tokens into pixels; a view, channels-last.

    Args:
        tokens: Tokens, (n, h·w, c).
        like: Gives height and width, (n, c, h, w).

    Returns:
        Images, (n, c, h, w).
    """
    return tokens.transpose(1, 2).unflatten(2, like.shape[2:])


def attend(qkv: Tensor) -> Tensor:
    """Attend: softmax(q kᵀ/√c) v for each head.

    Args:
        qkv: l tokens, (n, l, heads, 3, c), the 3 being q, k, v.

    Returns:
        Tokens, (n, l, heads·c).
    """
    q, k, v = qkv.permute(3, 0, 2, 1, 4)  # each (n, heads, l, c)
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
