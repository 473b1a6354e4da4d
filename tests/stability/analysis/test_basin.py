import math

import numpy as np
import pytest
import torch
from hypothesis import given

from stability.analysis.basin import axes, basin, linear_rate
from stability.analysis.jacobian import spectral_radius
from stability.analysis.operators import NoMaximum
from tests.support.problems import local_analyses

ORIGIN, ONE = np.zeros(1), np.eye(1)


@given(local_analyses())
def test_axes_diagonalise_j_and_are_orthonormal_for_the_information(local):
    V = axes(local)
    information = (-local.A - local.lam * local.B) / (1 + local.lam)
    # condition numbers up to 1e8
    np.testing.assert_allclose(V.T @ information @ V, np.eye(len(V)), atol=1e-6)
    J = np.linalg.solve(V, local.J @ V)
    np.testing.assert_allclose(
        J, np.diag(local.lam * local.mu / (1 + local.lam * local.mu)), atol=1e-6
    )


@given(local_analyses())
def test_a_linear_map_contracts_by_its_spectral_radius(local):
    V, theta = axes(local), np.arange(len(local.A)) + 1.0
    rate = linear_rate(
        lambda at: torch.from_numpy(theta + local.J @ (at.numpy() - theta)), theta, V
    )
    assert rate == pytest.approx(spectral_radius(local.J), abs=1e-6)


def test_the_basin_of_a_cubic_map():
    def cube(at):
        return at**3

    # 1 stays where it is; from ½: ⅛, 1/512, which is near, and 1/512³
    found = basin(cube, ORIGIN, ONE, steps=2)
    assert (found.ellipsoid, found.radius, found.rate) == (0.5, 0.5, pytest.approx(2.0**-18))
    wider = basin(cube, ORIGIN, np.diag([2.0]), steps=1)  # in units of 2: r = ¼ is ½
    assert (wider.ellipsoid, wider.radius, wider.rate) == (0.25, 0.5, pytest.approx(2.0**-18))


def test_the_radius_is_that_of_a_ball_inside_the_ellipsoid():
    found = basin(lambda at: at / 2, np.zeros(2), np.diag([3.0, 0.1]))
    assert (found.ellipsoid, found.radius, found.rate) == (
        2.0,
        pytest.approx(0.2),
        pytest.approx(0.5),
    )


def test_one_expanding_direction_is_enough_to_have_none():
    expand = torch.tensor([0.5, 1.1], dtype=torch.float64)
    found = basin(lambda at: expand * at, np.zeros(2), np.eye(2))
    assert (found.ellipsoid, found.radius) == (0.0, 0.0)
    assert math.isnan(found.rate)


@pytest.mark.parametrize("error", [NoMaximum, ValueError])
def test_what_leads_nowhere_is_outside(error):
    def walled(at):
        if at.abs() > 0.6:
            raise error("outside")
        return at / 10

    assert basin(walled, ORIGIN, ONE).ellipsoid == 0.5


def test_what_has_arrived_is_not_told_apart_from_rounding():
    assert basin(lambda at: 1e-9 * at, ORIGIN, ONE).rate == pytest.approx(1e-9)
    assert basin(lambda at: 1e-4 * at + 1e-10, ORIGIN, ONE).rate == pytest.approx(1e-4, rel=0.01)
