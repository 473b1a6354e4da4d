import math

import numpy as np
import pytest
import torch

from stability.laws.expectation import rule
from stability.laws.law import Member, NormalMixture, as_law, draw
from tests.support.laws import Custom, normal


def test_a_member_of_a_family_is_a_law():
    class Exponential:
        support = ((0.0, math.inf),)

        def log_prob(self, theta, x):
            return torch.where(x[:, 0] >= 0, theta[0].log() - theta[0] * x[:, 0], -torch.inf)

        def sample(self, theta, n, generator):
            return (
                -torch.log1p(-torch.rand(n, 1, generator=generator, dtype=torch.float64)) / theta[0]
            )

    law = Member(Exponential(), torch.tensor([4.0], dtype=torch.float64))
    assert float((r := rule(law, lambda x: x)).expect(r.points).value) == pytest.approx(
        0.25, rel=1e-12
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: as_law(np.zeros((0, 2))), r"n >= 1, got shape \(0, 2\)"),
        (lambda: as_law(np.array([1.0, np.nan])), "NaN or Inf"),
        (lambda: as_law(np.zeros((2, 2, 2))), r"shape \(n, d\)"),
        (lambda: as_law("points"), "must be an array of points or have sample"),  # type: ignore[arg-type]
        (
            lambda: draw(
                Custom(normal().log_prob, lambda n, generator: torch.zeros(n)),
                7,
                torch.Generator(),
            ),
            r"points \(7, d\), got shape \(7,\)",
        ),
        (lambda: NormalMixture((0.5, 0.6), (0.0, 1.0), (1.0, 1.0)), "sum 1"),
        (lambda: NormalMixture((1.0,), (0.0,), (0.0,)), "> 0"),
        (lambda: NormalMixture((1.0,), (0.0, 1.0), (1.0,)), "one length"),
    ],
)
def test_what_is_no_law_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
