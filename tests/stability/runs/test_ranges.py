from dataclasses import dataclass

import pytest

from stability.runs.ranges import require_positive, require_range


@dataclass(frozen=True)
class Config:
    sample_batch: float | None = 1


@pytest.mark.parametrize("value", [None, 1, 5])
def test_values_within_pass(value):
    require_range(Config(value), sample_batch=(1, 5))


@pytest.mark.parametrize(
    ("value", "message"), [(0, "sample_batch must be >= 1, got 0"), (6, "<= 5, got 6")]
)
def test_values_outside_are_refused_by_name(value, message):
    with pytest.raises(ValueError, match=message):
        require_range(Config(value), sample_batch=(1, 5))


@pytest.mark.parametrize("value", [None, 1e-300, 5])
def test_positive_values_pass(value):
    require_positive(Config(value), "sample_batch")


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_values_that_are_not_positive_are_refused_by_name(value):
    with pytest.raises(ValueError, match=f"sample_batch must be finite and > 0, got {value}"):
        require_positive(Config(value), "sample_batch")
