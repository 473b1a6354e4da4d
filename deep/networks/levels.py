"""The levels of a U-Net: level l works at the resolution R / 2^l, with channel_mult[l] times the
base width.
"""

from collections.abc import Sequence

__all__ = ["check_levels"]


def check_levels(
    resolution: int,
    channels: int,
    model_channels: int,
    channel_mult: Sequence[int],
    num_blocks: int,
    attn_resolutions: Sequence[int],
    dropout: float,
) -> None:
    """Check that these arguments describe a U-Net.

    Args:
        resolution: Pixels a side.
        channels: Channels of an image.
        model_channels: Channels that `channel_mult` multiplies.
        channel_mult: Factor of each level, the finest first.
        num_blocks: Residual blocks of a level.
        attn_resolutions: Resolutions with self-attention.
        dropout: Probability of dropout.

    Raises:
        ValueError: If they do not; it names the argument, its value and the allowed values.
    """
    # The upper limits are far beyond any use: a file may claim anything, and must not be taken at
    # its word.
    for name, value, most in (
        ("resolution", resolution, 2**14),
        ("channels", channels, 2**14),
        ("num_blocks", num_blocks, 100),
        ("the greatest channel_mult", max(channel_mult, default=1), 2**10),
    ):
        if not 1 <= value <= most:
            raise ValueError(f"{name} must be from 1 to {most}, got {value}")

    if model_channels < 4 or model_channels % 2:
        raise ValueError(f"model_channels must be even and >= 4, got {model_channels}")
    if model_channels > 2**16:
        raise ValueError(f"model_channels must be <= {2**16}, got {model_channels}")
    if not channel_mult or min(channel_mult) < 1:
        raise ValueError(
            f"channel_mult must be one or more integers >= 1, got {tuple(channel_mult)}"
        )

    deepest = 2 ** (len(channel_mult) - 1)
    if resolution % deepest:
        raise ValueError(
            f"resolution must be a multiple of {deepest} for the {len(channel_mult)} levels of "
            "channel_mult, "
            f"got {resolution}"
        )

    resolutions = [resolution >> level for level in range(len(channel_mult))]
    if not set(attn_resolutions) <= set(resolutions):
        raise ValueError(
            f"attn_resolutions must be among {resolutions}, got {tuple(attn_resolutions)}"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be >= 0 and < 1, got {dropout}")
