import numpy as np
import pytest

from toy.learners import denoising
from toy.learners.denoising import blocks


def keep(x, rng):
    """No corruption, but a number for each point from the noise stream."""
    u = rng.random((*x.shape[:2], 1), dtype=np.float32)
    return np.concatenate([x, u], axis=2), x, np.ones(x.shape[:2])


def points(n, first=0):
    return np.arange(first, first + 2 * n, dtype=np.float32).reshape(n, 2)


def all_blocks(data, seeds, epochs=3, batch=4, shuffle=False, corrupt=keep):
    return list(
        blocks(
            data, [np.random.default_rng(seed) for seed in seeds], epochs, batch, shuffle, corrupt
        )
    )


def of_chain(found, chain):
    """Inputs of the chain's points in the order of training."""
    return np.concatenate([block.inputs[:, chain][block.weights[:, chain] > 0] for block in found])


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_pass_takes_each_point_once(shuffle):
    (block,) = all_blocks([points(10)], [0], shuffle=shuffle)
    assert block.steps.tolist() == [9]
    passes = of_chain([block], 0).reshape(3, 10, 3)
    for one in passes:
        np.testing.assert_array_equal(np.sort(one[:, 0]), points(10)[:, 0])
    assert (np.array_equal(passes[0, :, 0], passes[1, :, 0])) is not shuffle
    # 1 in 10! for a good seed, and the seed is fixed
    assert not np.array_equal(passes[0, :, 0], points(10)[:, 0])
    assert len(np.unique(passes[..., 2])) == 30  # noise is always new
    np.testing.assert_allclose(block.weights[:, 0].sum(axis=1), 1, rtol=1e-6)


def test_a_chain_depends_on_its_own_data_and_stream_only(monkeypatch):
    data = [points(10), points(7, 50), points(16, 90)]
    beside = all_blocks(data, [1, 2, 3], epochs=5, shuffle=True)
    monkeypatch.setattr(denoising, "POINTS_A_BLOCK", 14)
    alone = all_blocks(data[1:2], [2], epochs=5, shuffle=True)
    assert (len(beside), len(alone)) == (1, 3)
    np.testing.assert_array_equal(of_chain(beside, 1), of_chain(alone, 0))


def test_weights_of_the_corruption_are_kept():
    def weighted(x, rng):
        return np.concatenate([x, x[..., :1]], axis=2), x, x[..., 0] + 1

    (block,) = all_blocks([points(6)], [0], epochs=1, corrupt=weighted)
    sizes = np.array([[4.0], [2.0]])
    used = block.weights[:, 0] > 0
    np.testing.assert_allclose(
        (block.weights[:, 0] * sizes)[used], (block.inputs[:, 0, :, 0] + 1)[used], rtol=1e-6
    )
