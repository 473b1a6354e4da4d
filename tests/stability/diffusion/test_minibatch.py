from itertools import permutations

import numpy as np

from stability.diffusion.minibatch import optimal_permutation


def test_no_other_pairing_is_cheaper(rng):
    source, data = rng.standard_normal((2, 6, 3))
    squares = np.square(source[:, None] - data).sum(axis=2)
    costs = {p: squares[np.arange(6), list(p)].sum() for p in permutations(range(6))}
    found = tuple(optimal_permutation(source, data).tolist())
    assert costs[found] <= min(costs.values()) * (1 + 1e-12)


def test_on_the_line_points_are_paired_in_order(rng):
    source, data = rng.standard_normal((2, 200, 1)).astype(np.float32)
    found = optimal_permutation(source, data)
    np.testing.assert_array_equal(data[found].argsort(axis=0), source.argsort(axis=0))
