"""Counts and sizes of a benchmark."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from stability.runs.ranges import LARGEST_COUNT


def require_at_least_one(config: Any, *, apart_from: Sequence[str] = ()) -> None:
    """Refuse whole numbers of a configuration, in tuples too, that are < 1 or too large.

    Args:
        config: A dataclass of options.
        apart_from: Names of fields that may have any value.

    Raises:
        ValueError: If a number is not from 1 to `LARGEST_COUNT`; it names the option.
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
