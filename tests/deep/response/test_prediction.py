import numpy as np
import pytest

from deep.response.prediction import PairMeans, drift, fit_responses, predict
from stability.loop.regimes import FullySynthetic, Mix

SIZE, SEEDS, ROUNDS, Q = 400, 6, 2, 12
RESPONSE, MEMORY, FIRST, BIAS = 0.5, 0.3, 0.5, 0.3


def loops(rng, regime, rounds, displaced=0.0, noise=0.0):
    """Means of a learner with known response, bias and noise: data and model, (T + 1, S, Q)."""
    fraction = regime.lam / (1 + regime.lam) if isinstance(regime, Mix) else 1.0
    data, model = np.zeros((rounds + 1, SEEDS, Q)), np.zeros((rounds + 1, SEEDS, Q))
    for t in range(rounds + 1):
        start = displaced if t == 0 else 0.0
        if t > 0:
            drawn = model[t - 1] + rng.standard_normal((SEEDS, Q)) / SIZE**0.5
            data[t] = fraction * drawn
        xi = noise * rng.standard_normal((SEEDS, Q))
        remembered = MEMORY * model[t - 1] if t else 0.0
        model[t] = RESPONSE * (data[t] + start) + remembered + (BIAS if t else FIRST) + xi
    return data, model


def pairs(rng, regimes, noise=0.0):
    found = [
        [loops(rng, regime, ROUNDS, displaced, noise) for regime in regimes]
        for displaced in (0.0, 2.0)
    ]
    # rows of a seed share generation 0
    for side in found:
        for _, model in side[1:]:
            model[0] = side[0][1][0]
    data, model = (
        np.array([[row[i] for row in side] for side in found]).transpose(0, 2, 1, 3, 4)
        for i in (0, 1)
    )
    return PairMeans(data, model, np.full((SEEDS, Q), 0.1), SIZE, SIZE)


def test_response_bias_and_noise_are_those_of_the_learner(rng):
    both = pairs(rng, [Mix(1.0), FullySynthetic()])
    for found in map(fit_responses, (both, both.undisplaced)):
        # without noise of training the points lie on the line exactly
        np.testing.assert_allclose(found.response, RESPONSE, atol=1e-9)
        np.testing.assert_allclose(found.memory, MEMORY, atol=1e-9)
        np.testing.assert_allclose(found.bias, BIAS, atol=1e-9)
        np.testing.assert_allclose(found.first_bias, FIRST, atol=1e-12)
        np.testing.assert_allclose(found.sampler, 0.1, atol=1e-12)


def test_prediction_follows_the_recursion_of_the_biases(rng):
    regimes = [Mix(1.0), FullySynthetic()]
    found = predict(pairs(rng, regimes), regimes, 10, SIZE)
    for regime, fraction in zip(regimes, (0.5, 1.0), strict=True):
        mean, variance = FIRST, 0.0
        for t in range(11):
            if t:
                kept = RESPONSE * fraction
                mean = (kept + MEMORY) * mean + BIAS
                variance = (kept + MEMORY) ** 2 * variance + kept**2 / SIZE
            expected = mean**2 + variance
            causes = found[str(regime)].causes
            assert causes["sampler"][t] + causes["learner"][t] == pytest.approx(mean**2, rel=1e-6)
            assert causes["noise"][t] == pytest.approx(variance, rel=1e-6, abs=1e-12)
            assert found[str(regime)].mean[t] == pytest.approx(expected + 1 / SIZE, rel=1e-6)


def test_the_jackknife_takes_the_noise_of_the_pairs_out_of_squares(rng):
    """Expected drift of an unbiased learner is noise alone, however noisy its pairs are."""
    regimes, means = [FullySynthetic()], []
    for _ in range(40):
        noisy = pairs(rng, regimes, noise=0.5)
        centred = PairMeans(
            noisy.data,
            noisy.model - np.array([FIRST, BIAS, BIAS])[None, :, None, None, None],
            noisy.sampler,
            SIZE,
            SIZE,
        )
        prediction = predict(centred, regimes, 0, SIZE)["fully synthetic"]
        means.append(prediction.causes["sampler"][0] + prediction.causes["learner"][0])
    # of 40 · Q squares; uncorrected their mean would be 0.25/6 = 0.042. Each has a variance below
    # 2 (0.042)², corrected below 2 (0.05)²: seven standard errors are 0.023
    assert abs(np.mean(means)) < 0.023


def test_drift_is_the_mean_square_over_functionals():
    assert drift(np.array([[3.0, 4.0], [0.0, 1.0]])) == pytest.approx([12.5, 0.5])
