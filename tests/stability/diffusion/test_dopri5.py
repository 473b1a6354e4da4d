import numpy as np
import pytest
import torch
import torchdiffeq
from scipy.integrate import solve_ivp

from stability.diffusion.dopri5 import dopri5, row_norm


def problem(rng, rows, dtype):
    """A field that is not linear and changes fast, and starts of very different size, so that
    rows need other steps.
    """
    matrix = torch.from_numpy(rng.standard_normal((6, 6))).to(dtype)
    sizes = torch.logspace(-2, 1, rows, dtype=dtype)[:, None]

    def field(t, x):
        t = t.reshape(-1, 1) if t.ndim else t
        return torch.tanh(x @ matrix) * torch.cos(7 * t) + torch.sin(11 * t) * x

    return field, sizes * torch.from_numpy(rng.standard_normal((rows, 6))).to(dtype)


def reference(field, x, tolerance):
    times = torch.tensor([0.0, 1.0], dtype=x.dtype)
    solution = torchdiffeq.odeint(field, x, times, rtol=tolerance, atol=tolerance, method="dopri5")
    assert isinstance(solution, torch.Tensor)
    return solution[-1]


@pytest.mark.parametrize(("dtype", "accuracy"), [(torch.float64, 1e-9), (torch.float32, 5e-3)])
def test_every_row_is_what_torchdiffeq_makes_of_it_alone(dtype, accuracy, rng):
    """In float64 step by step the same; in float32 rounding moves the steps, and results agree
    as two solutions do.
    """
    field, x = problem(rng, 9, dtype)
    alone = torch.cat([reference(field, x[i : i + 1], 1e-5) for i in range(9)])
    torch.testing.assert_close(dopri5(field, x, 1e-5), alone, rtol=accuracy, atol=accuracy)


def test_with_the_norm_of_the_batch_it_is_torchdiffeq_on_the_batch(rng):
    field, x = problem(rng, 9, torch.float64)

    def batch_norm(error):
        return row_norm(error.reshape(1, -1)).expand(len(error))

    together = dopri5(field, x, 1e-5, batch_norm)
    torch.testing.assert_close(together, reference(field, x, 1e-5), rtol=1e-9, atol=1e-9)
    # the control: there, rows depend on one another
    assert (together - dopri5(field, x, 1e-5)).abs().max() > 1e-7


def test_a_row_does_not_depend_on_the_others(rng):
    field, x = problem(rng, 9, torch.float64)
    whole = dopri5(field, x, 1e-5)
    torch.testing.assert_close(dopri5(field, x[4:6], 1e-5), whole[4:6], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(dopri5(field, x.flip(0), 1e-5).flip(0), whole, rtol=1e-9, atol=1e-12)


def test_the_solution_of_another_method(rng):
    field, x = problem(rng, 4, torch.float64)
    ours = dopri5(field, x, 1e-10)
    for row, start in zip(ours, x, strict=True):
        solved = solve_ivp(
            lambda t, y: field(torch.tensor(t), torch.from_numpy(y)[None])[0].numpy(),
            (0, 1),
            start.numpy(),
            method="DOP853",
            rtol=1e-11,
            atol=1e-11,
        )
        np.testing.assert_allclose(row, solved.y[:, -1], rtol=1e-7, atol=1e-7)


def test_a_field_at_rest_and_images_of_any_shape():
    x = torch.arange(24.0).reshape(2, 3, 2, 2)
    torch.testing.assert_close(dopri5(lambda t, x: torch.zeros_like(x), x, 1e-5), x)
    torch.testing.assert_close(dopri5(lambda t, x: torch.ones_like(x), x, 1e-5), x + 1)


@pytest.mark.parametrize(
    "field",
    [
        lambda t, x: x * float("nan"),
        lambda t, x: x**2 * 1e3,
        lambda t, x: x / (t - 0.5)[:, None] ** 2,
    ],
)
def test_a_field_that_cannot_be_integrated_is_an_error(field):
    with pytest.raises(FloatingPointError, match="the flow cannot be integrated beyond t = 0"):
        dopri5(field, torch.ones(2, 3, dtype=torch.float64), 1e-5)
