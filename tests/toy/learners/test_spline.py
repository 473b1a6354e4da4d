import pytest
import torch

from toy.learners.network_size import spline_size
from toy.learners.spline import Spline

BOUND = 3.0


def random_spline(rng, points, bins=5, spread=2.0):
    raw = torch.from_numpy(spread * rng.standard_normal((points, spline_size(bins))))
    return Spline.from_raw(raw, BOUND)


def test_there_and_back(rng):
    spline = random_spline(rng, 2000)
    x = torch.from_numpy(rng.uniform(-1.3 * BOUND, 1.3 * BOUND, 2000))
    y, _ = spline.forward(x)
    # float64; a slope of 1e-3 · 1e-3 loses six digits
    torch.testing.assert_close(spline.inverse(y), x, rtol=0, atol=1e-8)


def test_the_derivative_is_that_of_the_value(rng):
    spline = random_spline(rng, 2000)
    x = torch.from_numpy(rng.uniform(-1.3 * BOUND, 1.3 * BOUND, 2000)).requires_grad_()
    y, log_derivative = spline.forward(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert (slope > 0).all()
    torch.testing.assert_close(log_derivative.exp(), slope, rtol=1e-8, atol=1e-12)


def test_it_goes_through_its_knots_with_their_slopes(rng):
    spline = random_spline(rng, 1, spread=0.5)
    for k in range(6):
        for side in (-1e-9, 1e-9):
            y, log_derivative = spline.forward(spline.xs[:, k] + side)
            torch.testing.assert_close(y, spline.ys[:, k], rtol=0, atol=1e-6)
            torch.testing.assert_close(
                log_derivative.exp(), spline.slopes[:, k], rtol=1e-4, atol=1e-6
            )


def test_it_is_the_identity_outside_and_where_all_numbers_are_zero(rng):
    y, log_derivative = random_spline(rng, 4).forward(
        torch.tensor([-9.0, -BOUND, BOUND, 9.0]).double()
    )
    assert y.tolist() == [-9.0, -BOUND, BOUND, 9.0]
    assert not log_derivative.any()
    x = torch.linspace(-4, 4, 101)
    y, log_derivative = Spline.from_raw(torch.zeros(101, spline_size(7)), BOUND).forward(x)
    torch.testing.assert_close(y, x, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_derivative, torch.zeros(101), atol=1e-5, rtol=0)


@pytest.mark.parametrize("spread", [30.0, 300.0])
def test_extreme_numbers_stay_finite(spread, rng):
    spline = random_spline(rng, 500, spread=spread)
    x = torch.from_numpy(rng.uniform(-BOUND, BOUND, 500))
    y, log_derivative = spline.forward(x)
    assert torch.isfinite(y).all()
    assert torch.isfinite(log_derivative).all()
    assert torch.isfinite(spline.inverse(y)).all()
