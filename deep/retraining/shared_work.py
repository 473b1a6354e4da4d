"""Chains that are alike so far: work for one of them is work for all."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

__all__ = ["one_for_all"]


def one_for_all(keys: Sequence[Hashable], make: Callable[[int], Any]) -> list[Any]:
    """Make a result for each chain, but only once for equal keys, which then share the object.

    Args:
        keys: What the result of chain r depends on.
        make: Chain r -> its result.

    Returns:
        The results, one a chain.
    """
    made: dict[Hashable, Any] = {}
    for r, key in enumerate(keys):
        if key not in made:
            made[key] = make(r)
    return [made[key] for key in keys]
