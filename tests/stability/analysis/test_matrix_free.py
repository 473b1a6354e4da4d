import numpy as np
import torch

from benchmarks.family_audit import CholeskyGaussian
from stability.analysis.matrix_free import climb_matrix_free


def test_from_far_away_it_climbs_to_the_maximum_that_moments_give():
    """A Gaussian of ten dimensions, from (0, I) to data whose deviations are .01 to 3.

    One round does not come there: units of the scores at the start are those of a bad fit.
    """
    d, n = 10, 1000
    waves = np.sqrt(2) * np.cos(np.pi * np.outer(np.arange(n) + 0.5, np.arange(1, d + 1)) / n)
    axis = np.arange(1.0, d + 1)
    turn = np.eye(d) - 2 * np.outer(axis, axis) / (axis @ axis)
    points = waves * np.logspace(-2, 0.5, d) @ turn
    root = np.linalg.cholesky(np.linalg.inv(np.cov(points.T, bias=True)))
    root[np.diag_indices(d)] = np.log(root.diagonal())
    known = np.append(points.mean(0), root[np.tril_indices(d)])

    x, start = torch.from_numpy(points), torch.zeros(len(known), dtype=torch.float64)
    weights = torch.full((n,), 1 / n, dtype=torch.float64)
    climb = climb_matrix_free(CholeskyGaussian(d), x, weights, start)
    assert climb.ended
    # the value is within half the decrement that a climb may leave, 1e-4 a direction, of n of them
    values = [
        float(weights @ CholeskyGaussian(d).log_prob(torch.as_tensor(theta), x))
        for theta in (climb.theta, known)
    ]
    assert abs(values[1] - values[0]) <= 1e-4 * len(known) / n
