from dataclasses import dataclass

import pytest

from stability.runs.ranges import require_range


@dataclass(frozen=True)
class Config:
    sample_batch: int | None = 1


@pytest.mark.parametrize("value", [None, 1, 5])
def test_values_within_pass(value):
    require_range(Config(value), sample_batch=(1, 5))


@pytest.mark.parametrize(
    ("value", "message"), [(0, "--sample-batch must be >= 1, got 0"), (6, "<= 5, got 6")]
)
def test_values_outside_are_refused_by_name(value, message):
    with pytest.raises(ValueError, match=message):
        require_range(Config(value), sample_batch=(1, 5))
