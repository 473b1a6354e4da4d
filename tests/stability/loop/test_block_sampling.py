"""Draws in blocks: a shorter one is the beginning of a longer one, and none is repeated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.loop.block_sampling import BLOCK, draw_in_blocks, new_seed, require_random_draws


def honest(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 2))


@given(st.integers(0, 3 * BLOCK), st.integers(0, 3 * BLOCK), st.integers(0, 2**31))
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(one, two, seed):
    first, second = (
        draw_in_blocks(honest, count, np.random.default_rng(seed), "it") for count in (one, two)
    )
    shared = min(one, two)
    assert (len(first), len(second)) == (one, two)
    np.testing.assert_array_equal(first[:shared], second[:shared])


def test_each_block_has_a_seed_of_its_own_and_its_points_are_only_moved(rng):
    seeds = []

    def draw(count, seed):
        seeds.append(seed)
        return np.arange(count)[:, None]

    points = draw_in_blocks(draw, 2 * BLOCK, rng, "it")[:, 0]
    assert len(seeds) == 2
    for block in (points[:BLOCK], points[BLOCK:]):
        np.testing.assert_array_equal(np.sort(block), np.arange(BLOCK))
        assert not np.array_equal(block, np.arange(BLOCK))


def test_draws_that_take_their_seed_are_told_from_those_that_do_not(rng):
    own = np.random.default_rng()
    assert require_random_draws(honest, rng, "it")
    assert not require_random_draws(lambda count, seed: own.normal(size=(count, 1)), rng, "it")


def test_draws_that_are_repeated_are_refused(rng):
    with pytest.raises(ArithmeticError, match="it gives the same rows on each call"):
        require_random_draws(lambda count, seed: honest(count, 3), rng, "it")


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (np.zeros((BLOCK + 1, 2)), f"it was asked for {BLOCK} rows and returned {BLOCK + 1}"),
        (0.5, f"it was asked for {BLOCK} rows and returned 0"),
        (["a"] * BLOCK, "what it returned must be an array of real numbers"),
    ],
)
def test_what_is_no_sample_is_refused(drawn, message, rng):
    with pytest.raises(ArithmeticError, match=message):
        draw_in_blocks(lambda count, seed: drawn, 10, rng, "it")


def test_seeds_are_what_libraries_take(rng):
    assert all(0 <= new_seed(rng) < 2**31 for _ in range(100))
