"""Groups of normalisation in networks that are told the time.

What a residual block is told is one number a channel, added before a normalisation. A group of one
channel loses it again: the normalisation subtracts each channel's own mean.
"""

from collections.abc import Iterable

__all__ = ["GROUPS", "blind_widths", "require_groups"]

GROUPS = 32
"""Groups of every normalisation in the official networks."""


def require_groups(groups: int, widths: Iterable[int], name: str, value: str) -> None:
    """Check that all widths can be divided into groups.

    Args:
        groups: Groups of every normalisation.
        widths: Channels of the levels.
        name: Arguments that give the widths.
        value: Their values.

    Raises:
        ValueError: If one cannot.
    """
    if not 1 <= groups <= 2**10:
        raise ValueError(f"norm_groups must be from 1 to {2**10}, got {groups}")
    if any(width % groups for width in widths):
        raise ValueError(f"{name} must be a multiple of norm_groups {groups}, got {value}")


def blind_widths(groups: int, widths: Iterable[int]) -> list[int]:
    """Find the levels whose blocks do not see what they are told.

    Args:
        groups: Groups of every normalisation.
        widths: Channels of the levels.

    Returns:
        Widths of levels with one channel a group.
    """
    return sorted({width for width in widths if width <= groups})
