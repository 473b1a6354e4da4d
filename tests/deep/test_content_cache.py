from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep.content_cache import cached_arrays, digest

ARRAYS = {"x": np.arange(600.0).reshape(20, 30), "y": np.array([True])}


def check(found):
    assert found.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def fail():
    raise AssertionError("made although it was kept")


def test_made_once(tmp_path):
    path = tmp_path / "new" / "folder" / "arrays.npz"
    check(cached_arrays(path, lambda: ARRAYS))
    check(cached_arrays(path, fail))
    assert sorted(file.name for file in path.parent.iterdir()) == ["arrays.npz", "arrays.npz.lock"]


@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_made_again(tmp_path, where):
    path = tmp_path / "arrays.npz"
    cached_arrays(path, lambda: ARRAYS)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 0xFF
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="arrays.npz is damaged .* made again"):
        check(cached_arrays(path, lambda: ARRAYS))
    check(cached_arrays(path, fail))


def test_a_failure_leaves_nothing(tmp_path):
    path = tmp_path / "arrays.npz"
    with pytest.raises(AssertionError):
        cached_arrays(path, fail)
    assert not path.exists()
    check(cached_arrays(path, lambda: ARRAYS))


def test_of_several_that_ask_at_once_one_makes(tmp_path):
    made = []

    def make():
        made.append(1)
        return ARRAYS

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: cached_arrays(tmp_path / "arrays.npz", make), range(16)):
            check(found)
    assert made == [1]


parts = st.lists(
    st.one_of(st.text(max_size=3), st.lists(st.integers(0, 1), max_size=3).map(np.array)),
    max_size=3,
)


@given(one=parts, two=parts)
def test_equal_digests_mean_equal_parts(one, two):
    def same(a, b):
        if isinstance(a, str) or isinstance(b, str):
            return isinstance(a, str) and isinstance(b, str) and a == b
        return a.dtype == b.dtype and a.shape == b.shape and (a == b).all()

    equal = len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    assert (digest(*one) == digest(*two)) == equal


def test_the_digest_sees_shape_and_type_and_no_memory_layout():
    x = np.arange(6, dtype=np.uint8)
    assert digest(x) != digest(x.reshape(2, 3)) != digest(x.reshape(3, 2))
    assert digest(x) != digest(x.astype(np.int8))
    assert digest(x.reshape(2, 3)) == digest(np.asfortranarray(x.reshape(2, 3)))
