"""The contract of `Learner`, for every learner of the package."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2, norm

from stability import FullySynthetic, GaussianLearner, Mix, TrainingSet, Weighted, retrain
from stability.loop.temperature import Tempered
from tests.conftest import FALSE_ALARM
from tests.support.learners_2d import LEARNERS, WEIGHING, WITH_DENSITY, moons, rngs, trained


@pytest.mark.parametrize("name", LEARNERS)
def test_a_chain_does_not_depend_on_the_chains_beside_it(name):
    """Random draws are identical; batched products may round differently."""
    data = moons(70, 40, 100)
    together = trained(name, data, fits=2)
    alone = LEARNERS[name](chains=1)
    alone.reset(rngs(2, 1)[1:])
    for fit in range(2):
        alone.fit(data[1:2], rngs(2, 2 + fit)[1:])
    np.testing.assert_allclose(together.parameters[1], alone.parameters[0], rtol=1e-4, atol=1e-5)
    one, two = together.sample([9] * 3, rngs(3, 9))[1], alone.sample([9], rngs(2, 9)[1:])[0]
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", LEARNERS)
def test_going_on_from_a_state_is_exact(name):
    data = moons(40, 64)
    whole, first, second = (
        trained(name, data, fits=2),
        trained(name, data),
        LEARNERS[name](chains=2),
    )
    state = first.state_dict()
    first.fit(moons(41, 65), rngs(2, 9))  # the state is a copy
    second.load_state_dict(state)
    second.fit(data, rngs(2, 3))
    np.testing.assert_array_equal(second.parameters, whole.parameters)
    for one, two in zip(
        second.sample([5, 3], rngs(2, 9)), whole.sample([5, 3], rngs(2, 9)), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_state_can_be_stored_and_is_refused_by_other_chains(name, tmp_path):
    learner = trained(name, moons(40, 64))
    torch.save(learner.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = LEARNERS[name](chains=2)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.parameters, learner.parameters)
    with pytest.raises(ValueError, match="state must"):
        LEARNERS[name](chains=1).load_state_dict(state)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_draw_does_not_depend_on_how_many_follow(name):
    learner = trained(name, moons(40, 64))
    few, many = learner.sample([3, 8], rngs(2, 9)), learner.sample([20, 20], rngs(2, 9))
    assert [len(x) for x in few] == [3, 8]
    for one, two in zip(few, many, strict=True):
        np.testing.assert_allclose(one, two[: len(one)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LEARNERS)
def test_progress_reaches_one_and_never_falls(name):
    fractions = []
    trained(name, moons(40, 100), on_progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize("name", WEIGHING)
def test_equal_weights_are_no_weights_and_others_matter(name):
    (data,) = moons(40)
    plain = trained(name, [data]).parameters
    np.testing.assert_allclose(
        trained(name, [replace(data, weights=np.full(40, 0.3))]).parameters, plain, atol=1e-6
    )
    other = trained(name, [replace(data, weights=np.arange(40.0))]).parameters
    assert np.abs(other - plain).max() > 1e-4


@pytest.mark.parametrize("name", WEIGHING)
def test_points_without_weight_are_not_seen(name):
    """Far points of weight 0 change nothing but the order and batches of the others."""
    (data,) = moons(40)
    far = TrainingSet(
        np.concatenate([data.points, np.full((40, 2), 1e3, np.float32)]),
        40,
        np.repeat([1.0, 0.0], 40),
    )
    learner = trained(name, [far])
    assert np.isfinite(learner.parameters).all()
    if name in WITH_DENSITY:
        assert (
            learner.log_prob([np.full((1, 2), 1e3)])[0][0]
            < learner.log_prob([data.points])[0].min() - 100
        )
    else:
        assert np.abs(learner.parameters - trained(name, [data]).parameters).max() < 1


@pytest.mark.parametrize("name", LEARNERS)
def test_weights_meet_only_learners_that_take_them(name):
    arguments = ([x.points for x in moons(40)], [Weighted(Mix(1.0), 0.5)], 1)
    if name in WEIGHING:
        assert len(list(retrain(LEARNERS[name](chains=1), *arguments, seed=0))) == 2
    else:
        with pytest.raises(ValueError, match="does not support"):
            retrain(LEARNERS[name](chains=1), *arguments, seed=0)


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_a_density_integrates_to_one_and_is_that_of_the_samples(name, rng):
    learner = trained(name, moons(60, 40), fits=2)
    side, edge = 400, 12.0
    axis = (np.arange(side) + 0.5) / side * 2 * edge - edge
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=2)  # (side, side, 2)
    density = (
        np.exp(learner.log_prob([grid.reshape(-1, 2)] * 2)[1]).reshape(side, side)
        * (2 * edge / side) ** 2
    )
    assert density.sum() == pytest.approx(1, abs=2e-3)
    count, cells = 20_000, 8
    (x,) = learner.sample([0, count], rngs(2, int(rng.integers(2**62))))[1:]
    expected = (
        count * density.reshape(cells, side // cells, cells, side // cells).sum(axis=(1, 3)).ravel()
    )
    seen = np.histogram2d(*x.T, bins=cells, range=[[-edge, edge]] * 2)[0].ravel()
    many = expected > 20
    seen, expected = (
        np.append(counts[many], count - counts[many].sum()) for counts in (seen, expected)
    )
    statistic = np.square(seen - expected) @ (1 / np.maximum(expected, 1))
    # χ² with counts above 20; doubled for the grid's error of 0.2 % and the rest's smallness
    assert statistic < 2 * chi2.isf(FALSE_ALARM, many.sum())


@pytest.mark.parametrize("name", LEARNERS)
def test_cool_samples_are_narrower_and_the_rest_is_unchanged(name):
    learner = trained(name, moons(80))
    cool = Tempered(learner, 0.25)
    (warm_x,), (cool_x,), (same_x,) = (
        m.sample([400], rngs(1, 5)) for m in (learner, cool, Tempered(learner, 1.0))
    )
    np.testing.assert_array_equal(same_x, warm_x)
    assert cool_x.dtype == warm_x.dtype
    assert np.linalg.det(np.cov(cool_x.T)) < 0.95 * np.linalg.det(np.cov(warm_x.T))
    assert cool.chains == 1
    np.testing.assert_array_equal(cool.parameters, learner.parameters)


def test_a_cool_gaussian_shrinks_by_the_temperature(rng):
    """Alemohammad et al.: samples of N(μ, τΣ).

    Without real data E Σ_t = τ^t Σ_0, exactly, as eq. (5) is unbiased.
    """
    temperature, chains, n, t = 0.7, 400, 12, 3
    learner = GaussianLearner(chains, 2)
    real = list(rng.standard_normal((chains, n, 2)))
    (start,) = retrain(Tempered(learner, temperature), real, [FullySynthetic()] * chains, 0, seed=0)
    first = np.trace(learner.covariance, axis1=1, axis2=2)
    for _ in retrain(
        Tempered(learner, temperature),
        real,
        [FullySynthetic()] * chains,
        t,
        seed=int(rng.integers(2**62)),
        after=start,
    ):
        pass
    gap = np.trace(learner.covariance, axis1=1, axis2=2) - temperature**t * first
    z = gap.mean() / (gap.std(ddof=1) / chains**0.5)
    # the average of 400 with skewness γ about 2 has its quantiles within γ(z² − 1)/(6·20) = 0.4 of
    # the normal ones
    assert abs(z) < norm.isf(FALSE_ALARM / 2) + 1


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bad_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be finite and > 0"):
        Tempered(GaussianLearner(1, 2), temperature)
