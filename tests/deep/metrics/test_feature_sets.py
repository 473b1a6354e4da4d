import pytest
import torch

from deep.metrics.feature_sets import BLOCK, require_features


def test_features_of_equal_dimension_pass():
    require_features(2, one=torch.zeros(2, 3), two=torch.zeros(5, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (torch.zeros(3), r"one must be .* got torch.float32 of shape \(3,\)"),
        (torch.zeros(1, 3), r"n >= 2 .* got torch.float32 of shape \(1, 3\)"),
        (torch.zeros(4, 0), r"d >= 1, got torch.float32 of shape \(4, 0\)"),
        (torch.zeros(4, 3, dtype=torch.int64), "floating-point features .* got torch.int64"),
        (
            torch.tensor([[0.0] * 3, [0, torch.nan, 0]]),
            "one must be finite, got NaN or infinite numbers from row 1 on",
        ),
        (torch.zeros(4, 2), "equal dimension, got {'one': 2, 'two': 3}"),
    ],
)
def test_anything_else_is_refused(one, message):
    with pytest.raises(ValueError, match=message):
        require_features(2, one=one, two=torch.zeros(4, 3))


def test_the_row_is_named_in_a_later_block():
    x = torch.zeros(BLOCK + 9, 1)
    x[BLOCK + 7] = -torch.inf
    with pytest.raises(ValueError, match=f"from row {BLOCK + 7} on"):
        require_features(1, x=x)
