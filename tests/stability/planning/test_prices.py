import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import polygamma
from scipy.stats import chi2

from stability.loop.regimes import (
    Accumulate,
    AccumulateFresh,
    Exchange,
    Extrapolated,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    Scheduled,
    Subsample,
    Weighted,
)
from stability.planning.prices import (
    LARGEST_LAMBDA,
    best_fresh_lambda,
    growth,
    half_lives,
    largest_lambda,
    price,
    rounds_within,
    seeds_to_see_bias,
    seeds_to_see_variance,
)


@settings(max_examples=3)
@given(percent=st.integers(1, 40))
def test_the_largest_lambda_of_a_mix(percent):
    """(1 + 3λ)/(1 + 2λ) <= 1 + p on the variance, 1 + λ on the bias."""
    p, n = percent / 100, 100
    exact = p / (1 - 2 * p)
    assert largest_lambda(Mix, n, p, on="variance") == math.floor(exact * n + 1e-6) / n
    assert largest_lambda(Mix, n, p, on="bias") == math.floor(p * n + 1e-6) / n
    square = (1 + p) ** 2 - 1
    if square < 0.49:  # 1/2 is never reached
        exact = square / (1 - 2 * square)
        found = largest_lambda(Mix, n, p)
        assert found == pytest.approx(min(exact, LARGEST_LAMBDA), abs=1 / n + 1e-6)


@pytest.mark.parametrize(("alpha", "response"), [(0.2, 1.0), (0.5, 1.0), (0.8, 1.0), (0.3, 1.2)])
def test_prices_of_accumulating_with_new_real_data(alpha, response):
    """A batch of t + 1 counts 1/(t+1); a model of bias b makes the next training set off by
    (1 − α) b of its batch.
    """
    found = price(AccumulateFresh(alpha), 20, 12, response)
    training, variance, bias = [0.0], [1.0], [1.0]
    for k in range(2, 14):
        factor = 1 - (1 - (1 - alpha) * response) / k
        variance.append(factor**2 * variance[-1] + 1 / k**2)
        training.append(training[-1] * (1 - 1 / k) + (1 - alpha) * bias[-1] / k)
        bias.append(1 + response * training[-1])
    np.testing.assert_allclose(found.bias, bias)
    if response == 1:
        np.testing.assert_allclose(found.variance, variance)
        assert found.variance_growth.limit == pytest.approx(0, abs=0.05)
        product = np.cumprod(1 - alpha / np.arange(2.0, 14))[-1]
        assert bias[-1] == pytest.approx(1 / alpha - (1 - alpha) / alpha * product)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_prices_of_data_that_grow(power):
    found = price(Scheduled(FullySynthetic(), power=power), 10, 30)
    np.testing.assert_allclose(found.variance, np.cumsum(1 / np.arange(1.0, 32) ** power))
    np.testing.assert_allclose(found.bias, np.arange(1.0, 32))
    assert found.variance_growth.kind == ("log" if power == 1 else "settles")


def test_prices_of_models_that_exchange():
    """The limit in closed form; a bias is shared by all of them, so that nothing helps there."""
    k, lam = 5, 2.0
    c = lam / (1 + lam)
    found = price(Exchange.among(k, Mix(lam)), 10, 40)
    limit = (
        (1 - c) ** 2 * (1 - 1 / k) + 1 / k + c * c / (lam * k) * c * c / (1 - c * c) + c * c / lam
    )
    assert found.variance[-1] == pytest.approx(limit, rel=1e-9)
    np.testing.assert_allclose(found.bias, price(Mix(lam), 10, 40).bias)
    alone = Exchange(Mix(lam), ((1.0, 0.0), (0.0, 1.0)))
    np.testing.assert_allclose(price(alone, 10, 9).variance, price(Mix(lam), 10, 9).variance)


@pytest.mark.parametrize("response", [0.8, 1.25])
def test_prices_of_extrapolation(response):
    """At w = 1/J a model has no bias and its samples respond by 1; w = 0 is no extrapolation."""
    free = price(Extrapolated(Mix(1.0), 1 / response), 10, 20, response)
    np.testing.assert_allclose(free.bias, 0, atol=1e-12)
    # 1/n of the first fit, and as much of the draws that it is trained on again
    assert free.variance[0] == pytest.approx(2 / response**2)
    none = price(Extrapolated(Mix(1.0), 0.0), 10, 20, response)
    np.testing.assert_allclose(none.bias, price(Mix(1.0), 10, 20, response).bias)
    np.testing.assert_allclose(none.variance, price(Mix(1.0), 10, 20, response).variance)


def test_three_readings_of_ten_percent():
    found = [largest_lambda(Mix, 1000, 0.1, on=on) for on in ("error", "variance", "bias")]
    assert found == [0.362, 0.125, 0.1]


def test_a_regime_that_gains_has_no_largest_lambda():
    assert largest_lambda(FreshReal, 50, 0.05) == LARGEST_LAMBDA


@pytest.mark.parametrize(
    ("regime", "kind", "value"),
    [
        (Mix(1.0), "settles", 4 / 3),
        (FreshReal(1.0), "settles", 2 / 3),
        (ReplaceFraction(1.0), "settles", 2),
        (Accumulate(1.0), "settles", math.pi**2 / 6),
        (Accumulate(4.0), "settles", 1 + polygamma(1, 1.25) / 4),
        (FullySynthetic(), "power", 1),
        (Subsample(Accumulate(1.0)), "settles", math.pi**2 / 2 - 2),
        (Weighted(Mix(1.0), 0.5), "settles", 1 + 0.25 / 0.75),
    ],
    ids=str,
)
def test_how_the_variance_price_goes_on(regime, kind, value):
    found = price(regime, 40).variance_growth
    assert found.kind == kind
    assert found.value == pytest.approx(value, rel=0.02)


@pytest.mark.parametrize(
    ("regime", "response", "kind", "value"),
    [
        (Mix(2.0), 1.0, "settles", 3),
        (Mix(2.0), 0.8, "settles", 1 / (1 - 0.8 * 2 / 3)),
        (Mix(4.0), 1.5, "geometric", 1.2),
        (FullySynthetic(), 1.0, "power", 1),
        (FullySynthetic(), 1.1, "geometric", 1.1),
        (FullySynthetic(), 0.9, "settles", 10),
        (Accumulate(1.0), 1.0, "log", 0),
        (Accumulate(1.0), 1.3, "power", 0.3),
        (Accumulate(1.0), 0.5, "settles", 2),
    ],
    ids=str,
)
def test_how_the_bias_price_goes_on(regime, response, kind, value):
    found = price(regime, 40, response=response).bias_growth
    assert found.kind == kind
    assert found.value == pytest.approx(value, rel=0.03, abs=0.04)


def test_a_constant_price_of_accumulating_is_rejected():
    """Control: the price of `Accumulate` taken for that of `Mix`, 1 + λ."""
    found = price(Accumulate(1.0), 40, 60)
    assert found.bias[-1] > 4
    assert found.bias_growth.limit == math.inf


def test_growth_of_plain_curves():
    t = np.arange(65.0)
    assert growth(3 - 1 / (1 + t)).limit == pytest.approx(3, rel=0.01)
    assert growth(np.log1p(t)).kind == "log"
    assert growth(1 + t**0.5).value == pytest.approx(0.5, abs=0.02)
    assert growth(1.3**t).value == pytest.approx(1.3, rel=0.01)


def test_how_much_synthetic_data_helps():
    """λ* and the number of real points that the loop is worth, by a scan of the risk."""
    for bias_ratio, lam, worth in ((0.02, 1.19, 1.34), (0.45, 0.02, 1.0)):
        grid = np.linspace(0, 4, 4001)
        risk = (1 + grid) / (1 + 2 * grid) + (1 + grid) ** 2 * bias_ratio
        assert best_fresh_lambda(bias_ratio) == pytest.approx(grid[risk.argmin()], abs=1e-3)
        assert best_fresh_lambda(bias_ratio) == pytest.approx(lam, abs=0.005)
        if worth > 1:
            assert 1 / risk.min() == pytest.approx(worth, abs=0.01)
    assert best_fresh_lambda(0.6) == 0
    assert best_fresh_lambda(0.0) == math.inf

    found = price(FreshReal(1.0), 100)
    risk = found.variance_growth.limit + found.bias_growth.limit**2 * 0.02
    assert 1 / risk == pytest.approx(1.34, abs=0.005)
    assert found.at("error", None, 0.02) == pytest.approx(math.sqrt(risk / 1.02))


def test_rounds_until_a_tolerance_is_left():
    found = price(FullySynthetic(), 50, 20)  # variance t + 1
    assert rounds_within(found, 1.0) == 3  # error √(t + 1) <= 2
    assert rounds_within(found, 5.5, on="variance") == 5
    assert rounds_within(price(Mix(1.0), 50, 20), 0.5) is None
    assert rounds_within(price(Mix(1.0), 50, 20), 0.12) == 1  # 1.25, then 1.3125: √ 1.118, 1.1456


def test_half_lives():
    mean, typical = half_lives(100)
    assert mean == pytest.approx(274.5, abs=0.05)
    assert typical == pytest.approx(136.8, abs=0.05)


@given(ratio=st.floats(1.05, 50))
def test_seeds_that_show_a_variance(ratio):
    seeds = seeds_to_see_variance(ratio)
    power = chi2.sf(chi2.isf(0.05, seeds) / ratio, seeds)
    assert power >= 0.8 - 1e-9
    if seeds > 1:
        assert chi2.sf(chi2.isf(0.05, seeds - 1) / ratio, seeds - 1) < 0.8 + 1e-9


def test_seeds_that_show_nothing_are_infinite():
    assert seeds_to_see_variance(1.0) == math.inf
    assert seeds_to_see_bias(0.0, 1.0) == math.inf
    assert seeds_to_see_bias(0.5, 1.0) == 32  # the textbook's n for half a standard deviation
