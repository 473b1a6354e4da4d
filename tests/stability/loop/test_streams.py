from hypothesis import given
from hypothesis import strategies as st

from stability.loop.streams import Purpose, stream

keys = st.tuples(
    st.integers(0, 2**63), st.sampled_from(Purpose), st.integers(0, 10**4), st.integers(0, 10**4)
)


@given(key=keys)
def test_a_key_names_one_stream(key):
    assert stream(*key).bytes(32) == stream(*key).bytes(32)


@given(one=keys, two=keys)
def test_different_keys_name_different_streams(one, two):
    # 32 equal bytes from independent streams have probability 2^-256
    assert (stream(*one).bytes(32) == stream(*two).bytes(32)) == (one == two)


@given(key=keys)
def test_children_differ_from_every_parent(key):
    children = stream(*key).spawn(3)
    draws = {
        rng.bytes(32)
        for rng in (stream(*key), *children, stream(key[0], key[1], key[2], key[3] + 1))
    }
    assert len(draws) == 5
