import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.stats import norm

from stability.diffusion.flow import Dopri5, Euler, Flow
from stability.diffusion.heun import Heun
from stability.diffusion.schedules import (
    ddim_times,
    edm_noise_levels,
    linear_alphas_cumprod,
    spaced_times,
)
from stability.diffusion.step_samplers import DDIM, Ancestral, StepSampler

widths = st.floats(1e-4, 30)
schedules = st.lists(st.floats(1e-4, 0.7), min_size=1, max_size=12).map(
    lambda betas: np.cumprod(1 - np.array(betas))
)


def linear_response(sampler, v):
    """Variance of the samples, by the response of `run` to its start and to each noise, one unit
    at a time.
    """
    steps = len(sampler.sd) if isinstance(sampler, StepSampler) else len(sampler.noise_levels)
    unit = np.eye(steps + 1)  # a particle for the start and one for the noise of each step

    def denoise(x, at):
        a, b = (
            (sampler.alphas_cumprod[at], 1 - sampler.alphas_cumprod[at])
            if isinstance(sampler, StepSampler)
            else (1, at**2)
        )
        return np.sqrt(a) * v / (a * v + b) * x

    return float((sampler.sample(denoise, unit[0], lambda i: unit[1 + i]) ** 2).sum())


def as_published(sampler, betas, v, x, noise):
    """The samplers as Ho et al. (algorithm 2) and Song et al. (eq. 12) print them, in terms of
    ε.
    """
    alphas_cumprod = np.cumprod(1 - betas)
    for t in reversed(range(len(betas))):
        a, beta = alphas_cumprod[t], betas[t]
        before = alphas_cumprod[t - 1] if t else 1.0
        # E[ε | x_t], from the joint normal law of ε and x_t
        eps = np.sqrt(1 - a) / (a * v + 1 - a) * x
        if sampler == "ddim":
            x = (
                np.sqrt(before) * (x - np.sqrt(1 - a) * eps) / np.sqrt(a)
                + np.sqrt(1 - before) * eps
            )
        else:
            variance = {"large": beta, "small": (1 - before) / (1 - a) * beta}[sampler]
            x = (x - beta / np.sqrt(1 - a) * eps) / np.sqrt(1 - beta) + (t > 0) * np.sqrt(
                variance
            ) * noise[t]
    return x


@given(alphas_cumprod=schedules, s=widths)
def test_phi_is_the_response_of_the_sampler(alphas_cumprod, s):
    for sampler in (
        Ancestral("large").over(alphas_cumprod),
        Ancestral("small").over(alphas_cumprod),
        DDIM().over(alphas_cumprod),
    ):
        assert sampler.variance(s**2) == pytest.approx(linear_response(sampler, s**2), rel=1e-10)


@given(steps=st.integers(2, 20), churn=st.floats(0, 40), s=widths, extra=st.floats(0.9, 1.1))
def test_phi_of_heun_is_the_response_of_the_sampler(steps, churn, s, extra):
    sampler = Heun(edm_noise_levels(steps), churn, (0.05, 50.0), extra)
    assert sampler.variance(s**2) == pytest.approx(linear_response(sampler, s**2), rel=1e-10)


@pytest.mark.parametrize("name", ["large", "small", "ddim"])
@given(
    betas=st.lists(st.floats(1e-4, 0.7), min_size=1, max_size=8).map(np.array), s=st.floats(0.01, 3)
)
def test_runs_take_the_published_steps(name, betas, s):
    alphas_cumprod = np.cumprod(1 - betas)
    sampler = (
        DDIM().over(alphas_cumprod) if name == "ddim" else Ancestral(name).over(alphas_cumprod)
    )
    noise = np.random.default_rng(0).standard_normal((len(betas), 5))
    start = np.linspace(-2, 2, 5)

    def denoise(x, i):
        return (
            np.sqrt(alphas_cumprod[i])
            * s**2
            / (alphas_cumprod[i] * s**2 + 1 - alphas_cumprod[i])
            * x
        )

    expected = as_published(name, betas, s**2, start, noise)
    np.testing.assert_allclose(
        sampler.sample(denoise, start, lambda i: noise[i]), expected, rtol=1e-7, atol=1e-9
    )


def test_runs_take_torch_tensors_and_keep_their_precision():
    sampler = Ancestral("large").over(linear_alphas_cumprod(5))
    x = torch.ones(3, 2)
    out = sampler.sample(lambda x, i: 0.5 * x, x, lambda i: torch.full_like(x, i))
    reference = sampler.sample(
        lambda x, i: 0.5 * x, x.double().numpy(), lambda i: np.full((3, 2), float(i))
    )
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out, reference, rtol=1e-5)


def test_a_step_without_churn_is_heuns_method_for_the_probability_flow():
    """dx/dσ = (x − D(x, σ))/σ = xσ/(v + σ²), one step of a general integrator's formula at a
    time.
    """
    v, levels = 0.3, np.array([2.0, 1.2, 0.5])
    gain = 1.0
    for a, b in zip(levels, [*levels[1:], 0.0], strict=True):
        k1 = a / (v + a * a)
        k2 = (1 + (b - a) * k1) * b / (v + b * b)
        gain *= 1 + (b - a) * ((k1 + k2) / 2 if b else k1)
    assert Heun(levels).variance(v) == pytest.approx((2 * gain) ** 2, rel=1e-12)


@pytest.mark.parametrize(("sigma", "correlation"), [(0.0, 0.0), (0.0, 0.7), (0.3, 0.0), (0.3, 1.0)])
def test_the_exact_flow_solves_the_differential_equation(sigma, correlation):
    v = np.array([0.04, 0.5, 4.0])
    flow = Flow(Dopri5(), sigma, correlation)
    solved = solve_ivp(
        lambda t, x: flow.velocity(v, t) * x, (0, 1), np.ones(3), rtol=1e-10, atol=1e-12
    ).y[:, -1]
    np.testing.assert_allclose(flow.variance(v), solved**2, rtol=1e-7)
    np.testing.assert_allclose(
        Flow(Euler(20_000), sigma, correlation).variance(v), flow.variance(v), rtol=5e-3
    )


def test_the_velocity_is_the_regression_of_the_target_on_the_point(rng):
    """E[x₁ − x₀ | x_t] by least squares, in its standard errors."""
    n, s, t = 200_000, 0.6, 0.7
    flow = Flow(Euler(1), sigma=0.2, correlation=0.5)
    x0, other, eps = rng.standard_normal((3, n))
    x1 = s * (0.5 * x0 + np.sqrt(0.75) * other)
    xt, target = t * x1 + (1 - t) * x0 + 0.2 * eps, x1 - x0
    estimate = (xt * target).mean() / (xt**2).mean()
    residual = target - estimate * xt
    error = np.sqrt((residual**2).mean() / (xt**2).mean() / n)
    assert abs(estimate - flow.velocity(s**2, t)) < 5 * error  # 6e-7 two-sided


@pytest.mark.parametrize("kind", ["ddim", "small", "flow"])
def test_one_step_loses_the_conditional_variance_whatever_the_data(kind):
    """Data ±1, not Gaussian: from the right law of x_t, by quadrature over it."""
    a, b = (0.7, 0.9) if kind != "flow" else (0.6, 0.75)  # ᾱ before and after the step, or t
    fresh = 0.0
    if kind == "flow":
        scale, noise, after = a, 1 - a, (b, 1 - b)
    else:
        scale, noise, after = a**0.5, (1 - a) ** 0.5, (b**0.5, (1 - b) ** 0.5)

    def density(x):
        return norm.pdf(x, scale, noise) / 2 + norm.pdf(x, -scale, noise) / 2

    def denoise(x):
        return np.tanh(scale * x / noise**2)

    if kind == "small":
        sampler = Ancestral("small").over([b, a])
        to_x0, to_x, fresh = sampler.to_x0[1], sampler.to_x[1], sampler.sd[1] ** 2
    elif kind == "ddim":
        sampler = DDIM().over([b, a])
        to_x0, to_x = sampler.to_x0[1], sampler.to_x[1]
    else:  # x + h (x̂₁ − x̂₀), x̂₀ = (x − t x̂₁)/(1 − t)
        h = b - a
        to_x0, to_x = h * (1 + a / (1 - a)), 1 - h / (1 - a)

    def mean(f):
        return quad(lambda x: f(x) * density(x), -8, 8, points=(-scale, scale), epsabs=1e-12)[0]

    step = mean(lambda x: (to_x0 * denoise(x) + to_x * x) ** 2) + fresh
    lost = to_x0**2 * mean(lambda x: 1 - denoise(x) ** 2)
    assert lost > 1e-3
    assert step + lost == pytest.approx(after[0] ** 2 + after[1] ** 2, abs=1e-9)


@given(alphas_cumprod=schedules, s=widths)
def test_deterministic_and_fixed_small_sampling_shrink_but_for_the_start(alphas_cumprod, s):
    """φ(v) ≤ v / (ᾱ v + 1 − ᾱ), ᾱ the last, and φ(v) ≤ v for v ≥ 1: the start N(0, 1) is too
    wide only if v < 1.
    """
    v, last = s**2, alphas_cumprod[-1]
    bound = v * max(1, 1 / (last * v + 1 - last)) * (1 + 1e-12)
    assert DDIM().over(alphas_cumprod).variance(v) <= bound
    assert Ancestral("small").over(alphas_cumprod).variance(v) <= bound


@given(alphas_cumprod=schedules, s=st.floats(1e-4, 1))
def test_fixed_large_spreads_but_for_its_last_step(alphas_cumprod, s):
    """φ(v) ≥ v · ᾱ₀v/(ᾱ₀v + 1 − ᾱ₀) for v ≤ 1, the factor being that of the noiseless step; φ(1)
    = ᾱ₀ exactly.
    """
    v, first = s**2, alphas_cumprod[0]
    sampler = Ancestral("large").over(alphas_cumprod)
    assert sampler.variance(v) >= v * first * v / (first * v + 1 - first) * (1 - 1e-12)
    assert sampler.variance(1.0) == pytest.approx(first, rel=1e-12)


@given(steps=st.integers(1, 200), sigma=st.floats(0, 1), correlation=st.floats(0, 1), s=widths)
def test_eulers_method_for_a_flow_shrinks(steps, sigma, correlation, s):
    exact = Flow(Dopri5(), sigma, correlation).variance(s**2)
    assert Flow(Euler(steps), sigma, correlation).variance(s**2) <= exact * (1 + 1e-12)


@given(steps=st.integers(1, 200), s=widths)
def test_optimal_transport_is_integrated_exactly(steps, s):
    """Straight lines: Euler's method makes no error, and the loop stays where it is."""
    assert Flow(Euler(steps), correlation=1.0).variance(s**2) == pytest.approx(s**2, rel=1e-9)


def test_what_samplers_do_to_small_widths():
    """lim φ(v)/v² as v → 0, in closed form."""
    a, v = linear_alphas_cumprod(), 1e-13
    assert DDIM().over(a).variance(v) / v**2 == pytest.approx(
        a[0] / ((1 - a[0]) * (1 - a[-1])), rel=1e-6
    )
    assert Ancestral("small").over(a).variance(v) / v**2 == pytest.approx(
        a[0] / (1 - a[0]), rel=1e-3
    )
    assert Heun(edm_noise_levels()).variance(v) / v**2 == pytest.approx(0.002**-2, rel=1e-6)
    # rounding in 1 + u/99
    assert Flow(Euler(99)).variance(v) / v**2 == pytest.approx(98**2, rel=1e-4)


def test_published_schedules():
    alphas_cumprod = linear_alphas_cumprod()
    assert (alphas_cumprod[0], alphas_cumprod[-1]) == (
        pytest.approx(0.999),
        pytest.approx(2.039e-5, rel=1e-3),
    )
    alphas_cumprod = linear_alphas_cumprod(1000, 1e-4, 0.02)
    assert (alphas_cumprod[0], alphas_cumprod[-1]) == (
        pytest.approx(0.9999),
        pytest.approx(4.036e-5, rel=1e-3),
    )
    levels = edm_noise_levels(18)
    assert levels[[0, 1, 2, -2, -1]] == pytest.approx(
        [80, 57.586, 40.7856, 0.00752802, 0.002], rel=1e-5
    )
    assert edm_noise_levels(40)[[1, 2, -2]] == pytest.approx(
        [69.4509, 60.1174, 0.00367659], rel=1e-5
    )
    times = ddim_times(1000, 100, "quadratic")
    assert times[:14].tolist() == [0, 0, 0, 1, 1, 2, 3, 4, 5, 7, 8, 10, 12, 14]
    assert times[-3:].tolist() == [768, 784, 800]
    assert ddim_times(1000, 50).tolist() == list(range(0, 1000, 20))


@given(alphas_cumprod=schedules.filter(lambda a: len(a) >= 2), steps=st.integers(2, 12))
def test_steps_at_equal_distances_in_log_snr(alphas_cumprod, steps):
    """Each is the level nearest to where it is wanted; the ends are those of the schedule."""
    steps = min(steps, len(alphas_cumprod))
    times = spaced_times(alphas_cumprod, steps, "logsnr")
    log_snr = np.log(alphas_cumprod / (1 - alphas_cumprod))
    assert (times[0], times[-1]) == (0, len(alphas_cumprod) - 1)
    assert (np.diff(times) >= 0).all()
    for k, time in enumerate(times):
        wanted = log_snr[0] + k / (steps - 1) * (log_snr[-1] - log_snr[0])
        distances = np.abs(log_snr - wanted)
        assert distances[time] <= distances.min() + 1e-9


@pytest.mark.parametrize("spacing", ["linear", "quadratic"])
def test_other_spacings_are_those_of_ddim(spacing):
    a = linear_alphas_cumprod(100)
    np.testing.assert_array_equal(spaced_times(a, 20, spacing), ddim_times(100, 20, spacing))
    assert DDIM(20, spacing).over(a).times.tolist() == ddim_times(100, 20, spacing).tolist()


def test_evaluations_are_counted():
    for sampler in (
        Heun(edm_noise_levels(7)),
        Ancestral().over(linear_alphas_cumprod(9)),
        DDIM(5, "logsnr").over(linear_alphas_cumprod(9)),
    ):
        calls = []
        sampler.sample(
            lambda x, at, calls=calls: calls.append(at) or x, np.ones(2), lambda i: np.zeros(2)
        )
        assert sampler.evaluations == len(calls)


def test_a_repeated_level_is_no_step():
    a = linear_alphas_cumprod(20)
    times = ddim_times(20, 15, "quadratic")
    assert len(set(times)) < len(times)
    assert DDIM().over(a[times]).variance(0.1) == pytest.approx(
        DDIM().over(a[np.unique(times)]).variance(0.1), rel=1e-12
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Ancestral().over([0.5, 0.7]),
            "alphas_cumprod must be a list of numbers in .0, 1. that do not increase",
        ),
        (lambda: DDIM().over([]), "alphas_cumprod must be"),
        (lambda: DDIM().over([1.0, 0.5]), "alphas_cumprod must be"),
        (lambda: ddim_times(10, 11), r"steps must be in \[2, 10\], got 11"),
        (
            lambda: spaced_times(linear_alphas_cumprod(10), 1, "logsnr"),
            r"steps must be in \[2, 10\], got 1",
        ),
        (lambda: edm_noise_levels(0), "steps must be >= 1, got 0"),
        (lambda: Heun(np.array([1.0, 2.0])), "noise_levels must be positive and decrease"),
        (lambda: Heun(np.array([1.0, 0.0])), "noise_levels must be positive and decrease"),
        (lambda: Euler(0), "steps must be >= 1, got 0"),
        (lambda: Dopri5(1.0), "tolerance must be in"),
        (
            lambda: Ancestral(x0_clip=1.0).over([0.5]).variance(1.0),
            "a sampler that clips x̂₀ .x0_clip = 1. has no linear steps",
        ),
        (lambda: Flow(sigma=-1), "sigma must be >= 0"),
        (lambda: Flow(correlation=1.5), r"correlation in \[0, 1\]"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
