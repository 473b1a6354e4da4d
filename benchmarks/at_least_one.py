"""Counts and sizes of a benchmark."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from stability.runs.ranges import LARGEST_COUNT


def require_at_least_one(config: Any, *, apart_from: Sequence[str] = ()) -> None:
    """ValueError that names the option unless all whole numbers of a configuration, its tuples
    too, are >= 1.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if field.name in apart_from or not all(type(number) is int for number in numbers):
            continue
        if not numbers or min(numbers) < 1:
            raise ValueError(
                f"--{field.name.replace('_', '-')} must be >= 1, got {' '.join(map(str, numbers))}"
            )
        if max(numbers) > LARGEST_COUNT:
            raise ValueError(
                f"--{field.name.replace('_', '-')} must be <= {LARGEST_COUNT}, got {max(numbers)}"
            )
