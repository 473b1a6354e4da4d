import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.loop.whole_counts import require_whole


@given(n=st.integers(1, 10**6), m=st.integers(0, 10**7))
def test_a_ratio_of_counts_is_whole_if_it_is_written_in_full(n, m):
    """Ratios m/n with a short decimal; λ = m/n in general may be rounded below, and floor(λn) is
    then m − 1.
    """
    if m <= 1000 * n:
        require_whole(m, n)
        require_whole(m / 10, 10 * n)


@pytest.mark.parametrize(("lam", "n"), [(0.29, 100), (0.1, 10), (0.5, 2), (0.0, 3)])
def test_whole(lam, n):
    require_whole(lam, n)


def test_a_third_of_three_is_not_what_a_float_can_say():
    """Written out, 1/3 is 0.3333333333333333, and three times that is less than 1."""
    with (
        pytest.warns(UserWarning, match=r"floor\(lam \* n\) is 0"),
        pytest.raises(ValueError, match=r"lam \* n must be whole"),
    ):
        require_whole(1 / 3, 3)


@pytest.mark.parametrize("n", [0, -1])
def test_no_points(n):
    with pytest.raises(ValueError, match="n must be >= 1, got"):
        require_whole(1.0, n)


@pytest.mark.parametrize(("lam", "n"), [(0.3, 4), (0.29, 101), (1.5, 3)])
def test_not_whole(lam, n):
    with pytest.raises(
        ValueError, match=r"lam \* n must be whole, for floor\(lam \* n\) to be that, got lam ="
    ):
        require_whole(lam, n)
