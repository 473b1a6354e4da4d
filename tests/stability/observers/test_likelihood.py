"""Likelihood of true points, and what the truth itself gets."""

import numpy as np
import pytest

from stability.observers.likelihood import Likelihood
from tests.support.views import floors_of, view_of
from toy.densities.shapes import eight_gaussians


def law(n, rng):
    return rng.standard_normal((n, 2))


def test_likelihood_is_that_of_the_true_points(rng):
    truth = eight_gaussians(50, rng)
    found = Likelihood()(view_of(truth, truth, log_prob=eight_gaussians.log_prob))
    assert found["nll"] == pytest.approx(-eight_gaussians.log_prob(truth).mean())
    assert Likelihood()(view_of(truth, truth)) == {}
    assert Likelihood().floor(law, 9, rng) == {}  # this truth has no density


def test_its_floor_is_the_entropy_of_the_truth(rng):
    known = floors_of(Likelihood(), eight_gaussians, 200, int(rng.integers(2**32)))["nll"]
    entropy = np.log(8) + np.log(2 * np.pi * np.e * (0.02**2 / 2.0004))  # modes do not overlap
    # Student's t with 31 degrees of freedom at 1e-6 is 6
    assert abs(known.mean - entropy) < 7 * known.sd / 32**0.5
