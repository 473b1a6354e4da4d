import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.families.lipschitz import Lipschitz, location_scale_derivative, spectral_supremum


def family_of_waves(a, b, c):
    """M(t) = [[a sin 3t, b cos t], [·, c sin t]]: ‖M''‖ is at most its Frobenius norm."""

    def matrix(t):
        corner = b * np.cos(t)
        return np.moveaxis(np.array([[a * np.sin(3 * t), corner], [corner, c * np.sin(t)]]), 2, 0)

    return matrix, math.sqrt((9 * a) ** 2 + 2 * b**2 + c**2)


@given(
    a=st.floats(0.1, 3),
    b=st.floats(0, 3),
    c=st.floats(-3, 3),
    lower=st.floats(-3, 3),
    width=st.floats(0.1, 6),
)
def test_supremum_is_above_a_fine_mesh_and_hardly(a, b, c, lower, width):
    """A mesh of 40001 points with |M''| <= K misses at most K h²/8 (the chord bound, exact for
    the mesh's h).
    """
    matrix, curvature = family_of_waves(a, b, c)
    value = spectral_supremum(
        matrix, lambda left, right: np.full_like(left, curvature), lower, lower + width
    )
    mesh = np.linspace(lower, lower + width, 40001)
    largest = np.linalg.norm(matrix(mesh), 2, axis=(1, 2)).max()
    assert largest <= value <= largest + curvature * (width / 40000) ** 2 / 8 + 2e-10 * largest


def test_a_needle_between_the_points_is_not_overlooked():
    """A bump of width 1e-4 on a slope, off every point of the first mesh; told a smaller
    curvature, it is missed.
    """
    centre, width = 0.123456, 1e-4

    def matrix(t):
        return (0.1 * (1 + t) + 5 * np.exp(-(((t - centre) / width) ** 2) / 2))[
            :, None, None
        ] * np.eye(3)

    honest = spectral_supremum(matrix, lambda left, right: np.full_like(left, 5 / width**2), -1, 1)
    blind = spectral_supremum(matrix, lambda left, right: np.full_like(left, 1.0), -1, 1)
    assert honest == pytest.approx(5 + 0.1 * (1 + centre), rel=1e-9)
    assert blind < 1


def test_a_flat_maximum_ends_and_bounds_from_above():
    value = spectral_supremum(
        lambda t: np.broadcast_to(np.eye(2), (len(t), 2, 2)),
        lambda left, right: np.full_like(left, 1e3),
        0,
        1,
    )
    assert 1 <= value <= 1 + 1e-7


@given(z=st.floats(-3, 3), scale=st.floats(0.3, 3))
def test_location_scale_derivative_is_a_finite_difference(z, scale):
    """For g = sin: the Hessian of g(z) in (μ, log s), written out, and its slope in x by a
    central difference.
    """

    def hessian(x):
        y = x / scale
        g1, g2 = np.cos(y), -np.sin(y)
        return np.array(
            [[g2 / scale**2, (g1 + y * g2) / scale], [(g1 + y * g2) / scale, y * g1 + y**2 * g2]]
        )

    slope = (hessian(scale * z + 1e-5) - hessian(scale * z - 1e-5)) / 2e-5
    y = np.array([z])
    value = location_scale_derivative(y, np.cos(y), -np.sin(y), -np.cos(y), scale)[0]
    np.testing.assert_allclose(value, slope, atol=1e-6 / scale**3 + 1e-6)


@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_a_constant_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="value must be >= 0 or inf"):
        Lipschitz(value, "because")
