import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import chi2, norm

from stability.diffusion.minibatch import PLANNERS
from tests.conftest import FALSE_ALARM, FIXTURES
from toy.densities.shapes import standard_normal, two_moons
from toy.learners.coupling import EPOCHS_A_BLOCK, Coupling, blocks

SETTINGS = {
    "source": standard_normal,
    "batch": 16,
    "plan": 16,
    "sigma": 0.0,
    "pairs": "permutation",
    "solver": "assignment",
}


def all_blocks(data, seeds, epochs=2, workers=2, **settings):
    rngs = [np.random.default_rng(seed) for seed in seeds]
    return list(blocks(data, rngs, epochs, Coupling(**(SETTINGS | settings)), workers))


def moons(*sizes):
    return [two_moons(size, np.random.default_rng(size)) for size in sizes]


def ends(block, chain):
    """Source and data points of a chain's pairs, from x_t = t x1 + (1 − t) x0 and the velocity
    x1 − x0.
    """
    used = block.weights[:, chain] > 0
    xt, t, velocity = (
        block.inputs[:, chain, :, :2][used],
        block.inputs[:, chain, :, 2:][used],
        block.targets[:, chain],
    )
    return xt - t * velocity[used], xt + (1 - t) * velocity[used]


@pytest.mark.parametrize("solver", PLANNERS)
def test_the_published_plan(solver):
    data = np.load(FIXTURES / "ot_plan.npz")
    x0, x1, n = data["x0"], data["x1"], len(data["x0"])
    plan = PLANNERS[solver](x0[None], x1, np.arange(n)[None], n)[0]
    np.testing.assert_array_equal(plan, data["permutation"])
    assert np.mean(((x0 - x1[plan]) ** 2).sum(axis=1)) == pytest.approx(
        float(data["mean_squared_cost"]), rel=1e-5
    )


@pytest.mark.parametrize("n", [1, 40, 64, 100])
def test_both_solvers_find_the_same_plans(n, rng):
    data = two_moons(n, rng)
    order = rng.permuted(np.tile(np.arange(n), (5, 1)), axis=1)
    x0 = standard_normal(5 * n, rng).reshape(5, n, 2)
    one, two = (plan(x0, data, order, 32) for plan in PLANNERS.values())
    np.testing.assert_array_equal(one, two)  # with points drawn from densities the plan is unique
    for epoch in range(5):
        for start in range(0, n, 32):
            batch = slice(start, start + 32)
            assert sorted(one[epoch, batch]) == sorted(order[epoch, batch])


def test_an_epoch_takes_each_point_once_and_batches_are_optimal():
    data = moons(40)
    (block,) = all_blocks(data, [1], epochs=2)
    assert block.steps.tolist() == [6]
    x0, x1 = ends(block, 0)
    for epoch in range(2):
        mine = x1[40 * epoch : 40 * (epoch + 1)]
        np.testing.assert_allclose(np.sort(mine, axis=0), np.sort(data[0], axis=0), atol=1e-5)
    for step in range(6):
        at = slice(
            40 * (step // 3) + 16 * (step % 3),
            min(40 * (step // 3) + 16 * (step % 3 + 1), 40 * (step // 3 + 1)),
        )
        order = np.arange(at.stop - at.start)[None]
        plan = PLANNERS["pot"](x0[None, at], x1[at], order, 16)[0]
        np.testing.assert_array_equal(plan, order[0])


def test_a_batch_may_be_planned_in_parts():
    """Parts of 8 of a batch of 16: each is optimal, the same points are in it, and the whole is
    not.
    """
    data = moons(32)
    (parts,), (whole,) = (all_blocks(data, [1], epochs=1, plan=plan) for plan in (8, 16))
    assert parts.steps.tolist() == whole.steps.tolist() == [2]
    (x0, x1), (start, end) = ends(parts, 0), ends(whole, 0)
    np.testing.assert_allclose(x0, start, atol=1e-6)
    for first in range(0, 32, 8):
        at = slice(first, first + 8)
        plan = PLANNERS["pot"](x0[None, at], x1[at], np.arange(8)[None], 8)[0]
        np.testing.assert_array_equal(plan, np.arange(8))
    for first in (0, 16):
        at = slice(first, first + 16)
        np.testing.assert_allclose(np.sort(x1[at], axis=0), np.sort(end[at], axis=0), atol=1e-5)
    assert ((end - start) ** 2).sum() < ((x1 - x0) ** 2).sum()


def test_weights_average_over_a_batch_and_leave_padding_out():
    (block,) = all_blocks(moons(40, 16), [1, 2], epochs=2)
    assert block.inputs.shape == (6, 2, 16, 3)
    assert block.targets.shape == (6, 2, 16, 2)
    assert block.steps.tolist() == [6, 2]
    np.testing.assert_allclose(block.weights[:, 0].sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(block.weights[:, 1].sum(axis=1), [1, 1, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal((block.weights[:, 0] > 0).sum(axis=1), [16, 16, 8, 16, 16, 8])


@pytest.mark.parametrize("pairs", ["plan", "permutation", "independent"])
def test_a_chain_depends_on_its_own_data_and_stream_only(pairs):
    data = moons(40, 23, 64)
    beside = all_blocks(
        data, [1, 2, 3], epochs=EPOCHS_A_BLOCK + 3, pairs=pairs, sigma=0.1, workers=3
    )
    alone = all_blocks(data[1:2], [2], epochs=EPOCHS_A_BLOCK + 3, pairs=pairs, sigma=0.1, workers=1)
    assert len(beside) == len(alone) == 2
    for one, two in zip(beside, alone, strict=True):
        steps = two.steps[0]
        assert one.steps[1] == steps
        for field in ("inputs", "targets", "weights"):
            np.testing.assert_array_equal(
                getattr(one, field)[:steps, 1], getattr(two, field)[:steps, 0]
            )


def test_every_epoch_and_block_is_new():
    one, two = all_blocks(moons(16), [1], epochs=2 * EPOCHS_A_BLOCK)
    batches = {batch.tobytes() for block in (one, two) for batch in block.inputs[:, 0]}
    assert len(batches) == 2 * EPOCHS_A_BLOCK


def test_pairs_drawn_from_the_plan_are_uniform_over_it(rng):
    data = moons(16)
    epochs = 1000
    drawn = all_blocks(data, [rng.integers(2**32)], epochs=epochs, pairs="plan", workers=2)
    x1 = np.concatenate([ends(block, 0)[1] for block in drawn])  # (16 · epochs, 2)
    which = cdist(x1, data[0]).argmin(axis=1)
    counts = np.bincount(which, minlength=16)
    # independent uniform draws: the statistic is χ²_15
    assert ((counts - epochs) ** 2 / epochs).sum() < chi2.isf(FALSE_ALARM, 15)
    distinct = [len(set(batch)) for batch in which.reshape(epochs, 16)]
    # a batch of b draws leaves out (1 − 1/b)^b of the points; 16 binomial-like counts, sd of one
    # below sqrt(16)/2
    assert abs(np.mean(distinct) - 16 * (1 - (15 / 16) ** 16)) < 5 * 2 / epochs**0.5


def test_independent_pairs_are_not_correlated_and_a_plan_s_are(rng):
    def correlations(pairs):
        (block,) = all_blocks(moons(64), [seed], epochs=EPOCHS_A_BLOCK, pairs=pairs)
        x0, x1 = ends(block, 0)
        assert len({x.tobytes() for x in x1.round(3)}) == 64  # each point of the data is there
        return [np.corrcoef(x0[:, i], x1[:, i])[0, 1] for i in range(2)]

    seed = rng.integers(2**32)
    # under independence √N r is nearly standard normal, x0 being normal and independent; N = 640;
    # tail doubled
    assert np.abs(correlations("independent")).max() < norm.isf(FALSE_ALARM / 8) / 640**0.5
    assert min(correlations("permutation")) > 0.5


def test_path_noise_is_added_to_the_path_alone(rng):
    seed, data = rng.integers(2**32), moons(64)
    (clean,), (noisy,) = (all_blocks(data, [seed], sigma=sigma) for sigma in (0.0, 0.5))
    np.testing.assert_array_equal(clean.targets, noisy.targets)
    np.testing.assert_array_equal(clean.inputs[..., 2], noisy.inputs[..., 2])
    z = (noisy.inputs - clean.inputs)[..., :2][noisy.weights > 0] / 0.5
    freedom = z.size
    tail = chi2.isf([1 - FALSE_ALARM / 2, FALSE_ALARM / 2], freedom)
    assert tail[0] < np.sum(z.astype(float) ** 2) < tail[1]


def test_leaving_early_stops_the_threads():
    stream = blocks(moons(64), [np.random.default_rng(0)], 50, Coupling(**SETTINGS), workers=2)
    next(stream)
    stream.close()
