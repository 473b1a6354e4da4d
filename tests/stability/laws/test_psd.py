import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stability.laws.psd import sqrtm

matrices = st.integers(1, 6).flatmap(lambda d: arrays(float, (d, d), elements=st.floats(-10, 10)))


@given(a=matrices)
def test_the_root_is_symmetric_positive_and_squares_to_the_matrix(a):
    spd = a @ a.T
    root = sqrtm(spd)
    np.testing.assert_allclose(root, root.T, atol=1e-12 * (1 + np.abs(a).max()))
    assert np.linalg.eigvalsh(root).min() > -1e-12 * (1 + np.abs(a).max())
    np.testing.assert_allclose(root @ root, spd, atol=1e-11 * (1 + np.abs(spd).max()))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((2, 3)), r"square symmetric matrix, got shape \(2, 3\)"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "square symmetric"),
        (np.diag([1.0, -1.0]), "positive semi-definite, got eigenvalue -1"),
    ],
)
def test_other_matrices_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        sqrtm(bad)
