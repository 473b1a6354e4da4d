import itertools
from fractions import Fraction
from operator import mul

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deep.metrics.kernel_distance import kernel_distance, subset_kernel_distances
from tests.conftest import FALSE_ALARM, FIXTURES

D = 2
points = arrays(float, st.tuples(st.integers(3, 9), st.just(D)), elements=st.floats(-2, 2))


def kernel(x, y):
    return (float(np.dot(x, y)) / len(x) + 1) ** 3


def by_hand(x, y):
    """The mean over ordered pairs of different points, pair by pair."""
    xx = np.mean([kernel(*pair) for pair in itertools.permutations(x, 2)])
    yy = np.mean([kernel(*pair) for pair in itertools.permutations(y, 2)])
    return xx + yy - 2 * np.mean([kernel(a, b) for a in x for b in y])


def exact(x, y):
    """The estimate and the square of its error in rational numbers."""
    x, y = ([list(map(Fraction, point)) for point in points.tolist()] for points in (x, y))
    n, m, d = len(x), len(y), len(x[0])
    table = [[(sum(map(mul, a, b)) / d + 1) ** 3 for b in x + y] for a in x + y]
    own_x = [sum(table[i][:n]) - table[i][i] for i in range(n)]
    own_y = [sum(table[j][n:]) - table[j][j] for j in range(n, n + m)]
    other_x = [sum(table[i][n:]) for i in range(n)]
    other_y = [sum(table[j][:n]) for j in range(n, n + m)]
    value = sum(own_x) / (n * (n - 1)) + sum(own_y) / (m * (m - 1)) - 2 * sum(other_x) / (n * m)
    error = Fraction(0)
    for size, others, own, other in ((n, m, own_x, other_x), (m, n, own_y, other_y)):
        loss = [2 * (a / (size - 2) - b / others) for a, b in zip(own, other, strict=True)]
        error += sum((each - sum(loss) / size) ** 2 for each in loss) / (size - 1) / size
    return value, error


def tensors(*sets):
    return [torch.as_tensor(x) for x in sets]


@pytest.fixture(scope="module")
def published():
    return np.load(FIXTURES / "metrics.npz")


def test_published_value_of_all_pairs(published):
    found = kernel_distance(*tensors(published["fake"], published["real"]))
    assert found.value == pytest.approx(float(published["kid_full_unbiased_float64"]), rel=1e-12)


def test_published_values_of_random_subsets(published):
    fake, real = tensors(published["fake"], published["real"])
    old = np.random.RandomState
    for values, name in (
        (subset_kernel_distances(fake, real, old(42)), "kid_fld"),
        (subset_kernel_distances(fake, real, old(2020), size=100), "kid_torch_fidelity_100x100"),
    ):
        assert len(values) == 100
        # float32 there
        assert values.mean() == pytest.approx(float(published[f"{name}_mean"]), rel=1e-5)
        assert values.std() == pytest.approx(float(published[f"{name}_std"]), rel=1e-5)


def test_other_subsets_are_caught(published):
    """Negative control: the tolerance above tells one seed from another."""
    fake, real = tensors(published["fake"], published["real"])
    values = subset_kernel_distances(fake, real, np.random.RandomState(43))
    assert values.mean() != pytest.approx(float(published["kid_fld_mean"]), rel=1e-3)


@given(x=points, y=points)
def test_the_definition(x, y):
    found = kernel_distance(*tensors(x, y)).value
    assert found == pytest.approx(by_hand(x, y), rel=1e-9, abs=1e-9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deep.metrics.kernel_distance.BLOCK", 2)
        assert kernel_distance(*tensors(x, y)).value == pytest.approx(found, rel=1e-9, abs=1e-9)


@given(x=points, y=points)
def test_the_standard_error_is_that_of_leaving_each_point_out(x, y):
    def variance(values):
        return (len(values) - 1) * np.var(values)

    without_x = variance([by_hand(np.delete(x, i, 0), y) for i in range(len(x))])
    without_y = variance([by_hand(x, np.delete(y, j, 0)) for j in range(len(y))])
    found = kernel_distance(*tensors(x, y)).standard_error
    assert found**2 == pytest.approx(without_x + without_y, rel=1e-6, abs=1e-12)


@given(x=points, y=points, angle=st.floats(0, 7))
def test_it_is_symmetric_and_no_rotation_changes_it(x, y, angle):
    found = kernel_distance(*tensors(x, y))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for other in (kernel_distance(*tensors(y, x)), kernel_distance(*tensors(x @ turn, y @ turn))):
        assert other.value == pytest.approx(found.value, rel=1e-9, abs=1e-9)
        assert other.standard_error**2 == pytest.approx(found.standard_error**2, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("shift", [0, 1e3, 1e7])
@pytest.mark.parametrize("scale", [1e-8, 1, 1e8])
@pytest.mark.parametrize("far", [None, "in one", "in both"])
def test_rational_numbers_at_every_scale_and_place(rng, shift, scale, far):
    """Value and error are right relative to the error: at the origin of small points the value
    itself is near 0.
    """
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((6, 3)) + 0.1
    if far:
        x[0] = 1e6
    if far == "in both":
        y[0] = -1e6
    x, y = scale * (x + shift), scale * (y + shift)
    value, error = exact(x, y)
    found = kernel_distance(*tensors(x, y))
    assert found.standard_error == pytest.approx(float(error) ** 0.5, rel=1e-9, abs=0)
    assert found.value == pytest.approx(float(value), rel=1e-9, abs=1e-9 * float(error) ** 0.5)


def test_a_set_beside_itself():
    """The pairs of a point with its copy in the other set count; those with itself do not."""
    x = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5], [1.0, 1.0]])
    assert kernel_distance(x, x) == kernel_distance(x, x.clone())
    assert kernel_distance(x, x).value == pytest.approx(by_hand(x.numpy(), x.numpy()), rel=1e-9)


def test_no_bias_and_an_honest_standard_error(rng):
    """Draws from atoms, for which the true MMD² is a finite sum; two-sided z-tests."""
    atoms_x, atoms_y = rng.standard_normal((4, D)), rng.standard_normal((5, D))
    true = sum(
        sign * np.mean([kernel(a, b) for a in one for b in two])
        for sign, one, two in ((1, atoms_x, atoms_x), (1, atoms_y, atoms_y), (-2, atoms_x, atoms_y))
    )
    repeats = 2000
    found = [
        kernel_distance(
            *tensors(rng.choice(atoms_x, 12), rng.choice(atoms_y, 10)),
        )
        for _ in range(repeats)
    ]
    values = np.array([each.value for each in found])
    squared_errors = np.array([each.standard_error**2 for each in found])
    limit = scipy.stats.norm.isf(FALSE_ALARM / 4)
    assert abs(values.mean() - true) < limit * values.std(ddof=1) / repeats**0.5
    # the jackknife does not understate the variance: its mean, less what chance may add, is at
    # least that
    deviations = squared_errors - (values - true) ** 2
    assert deviations.mean() > -limit * deviations.std(ddof=1) / repeats**0.5


def test_bad_arguments():
    with pytest.raises(ValueError, match="n >= 3"):
        kernel_distance(torch.zeros(2, 2), torch.zeros(5, 2))
    with pytest.raises(ValueError, match="n >= 7"):
        subset_kernel_distances(
            torch.zeros(9, 2), torch.zeros(6, 2), np.random.default_rng(0), size=7
        )
