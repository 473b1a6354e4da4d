"""The known values of the benchmarks of families, by other means."""

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks.family_audit import LAM, on_a_grid
from benchmarks.family_scale import Autoregression, Data, truth
from stability.laws.family import hessians, scores


def test_the_known_moments_of_an_autoregression_are_those_of_its_draws(rng):
    """At θ* the score has mean 0, and A and C are means: each within 9 of its standard errors."""
    data = Data(Autoregression(3, 1))
    known = truth(data, 0.5)
    theta = torch.from_numpy(known.theta)
    x = data.sample(20_000, torch.Generator().manual_seed(int(rng.integers(2**31))))
    s = scores(data.family, theta, x)
    seen = {
        "score": (s, np.zeros(len(theta))),
        "A": (hessians(data.family, theta, x), known.A),
        "C": (s[:, :, None] * s[:, None], known.C),
    }
    for values, true in seen.values():
        error = values.std(0).numpy() / np.sqrt(len(x))
        assert (np.abs(values.mean(0).numpy() - true) <= 9 * error + 1e-9).all()


def test_the_model_s_moments_are_those_of_its_draws(rng):
    """F is E s sᵀ under the model, with score mean 0."""
    data = Data(Autoregression(3, 2))
    known = truth(data, 0.5)
    theta = torch.from_numpy(known.theta)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    s = scores(data.family, theta, data.family.sample(theta, 20_000, generator))
    outer = s[:, :, None] * s[:, None]
    error = outer.std(0).numpy() / np.sqrt(len(s))
    assert (np.abs(outer.mean(0).numpy() - known.fisher) <= 9 * error + 1e-9).all()
    assert np.allclose(known.B, -known.fisher, rtol=0, atol=1e-6)


def test_a_normal_law_on_a_grid():
    """Well specified: μ = 1, and retraining costs (1 + 3λ)/(1 + 2λ)."""
    grid = np.linspace(-15.0, 17.0, 4001)
    found = on_a_grid(
        lambda theta, x: stats.norm.logpdf(x, theta[0], np.exp(theta[1])),
        stats.norm.pdf(grid, 1.0, 2.0),
        grid,
        np.full(len(grid), grid[1] - grid[0]),
        np.array([0.5, 0.5]),
    )
    assert found["theta"] == pytest.approx([1.0, np.log(2.0)], abs=1e-6)
    assert found["rho"] == pytest.approx(LAM / (1 + LAM), abs=1e-6)
    assert found["retraining"] == pytest.approx((1 + 3 * LAM) / (1 + 2 * LAM), abs=1e-6)
