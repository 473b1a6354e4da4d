import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from stability.families import GaussianMean
from stability.laws.law import Member
from stability.transport.couplings import (
    codebook,
    common_latents,
    differences,
    matched,
    moved,
    potentials,
    quantised,
)


def least_cost(x, x_mass, y, y_mass):
    """The linear program itself."""
    cost = np.linalg.norm(x[:, None] - y[None], axis=2)
    n, m = cost.shape
    rows = [np.kron(np.eye(n)[i], np.ones(m)) for i in range(n)]
    columns = [np.tile(np.eye(m)[j], n) for j in range(m)]
    limits = np.concatenate([x_mass, y_mass])
    return linprog(cost.ravel(), A_eq=np.array(rows + columns), b_eq=limits).fun


def masses(rng, n):
    values = rng.uniform(0.5, 1.5, n)
    return values / values.sum()


def test_moved_is_the_linear_program(rng):
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 1
    a, b = masses(rng, 7), masses(rng, 5)
    truth = least_cost(x, a, y, b)
    assert moved(x, a, y, b) == pytest.approx(truth, rel=1e-7)
    assert moved(x, 0.3 * a, y, b) == pytest.approx(0.3 * truth, rel=1e-7)


def test_potentials_are_a_dual_solution(rng):
    """φ(z) = min_j |z − y_j| − v_j is 1-Lipschitz, and tells the whole distance."""
    x, y, b = rng.standard_normal((9, 2)), rng.standard_normal((4, 2)), masses(rng, 4)
    v = potentials(x, y, b)

    def witness(z):
        return (np.linalg.norm(z[:, None] - y[None], axis=2) - v).min(axis=1)

    truth = least_cost(x, np.full(9, 1 / 9), y, b)
    assert witness(x).mean() - witness(y) @ b == pytest.approx(truth, rel=1e-7)


def test_couplings_order(rng):
    """A matching costs no more than the rows in order; quantisation no less than the matching."""
    x, y = rng.standard_normal((60, 2)), 1.5 * rng.standard_normal((60, 2))
    best = matched(x, y)
    assert best <= common_latents(x, y) + 1e-12
    for count in (3, 30):
        assert quantised(x, y, codebook(x, y, count, 0)) >= best - 1e-12


def test_quantisation_to_all_points_is_exact(rng):
    x, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 3))
    everywhere = np.concatenate([x, y])
    assert quantised(x, y, everywhere) == pytest.approx(matched(x, y), rel=1e-9)


def test_centres_are_means_of_what_is_nearest(rng):
    """Two heaps far apart: their means are the centres, in one step from any two of their points.

    A start within one heap ends there too: its two centres then share it, and the other heap.
    """
    x = rng.standard_normal((50, 2)) * 0.01
    y = x + 100
    centres = codebook(x, y, 2, int(rng.integers(2**31)))
    assert np.sort(centres[:, 0]) == pytest.approx(
        np.sort([x[:, 0].mean(), y[:, 0].mean()]), abs=1e-9
    )


def test_nothing_differs_between_a_density_and_itself(rng):
    law = Member(GaussianMean(torch.eye(2, dtype=torch.float64)), torch.zeros(2).double())
    x = rng.standard_normal((30, 2))
    assert differences(law, law, x, x + 1) == 0
