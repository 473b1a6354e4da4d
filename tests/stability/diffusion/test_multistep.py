import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from stability.diffusion.multistep import DPMSolver2M, UniPC
from stability.diffusion.schedules import edm_noise_levels, linear_alphas_cumprod, spaced_times
from stability.diffusion.step_samplers import DDIM

SOLVERS = [DPMSolver2M(), UniPC(1), UniPC(2), UniPC(3)]
widths = st.floats(1e-2, 10)
schedules = st.lists(st.floats(0.01, 0.7), min_size=1, max_size=10).map(
    lambda betas: np.cumprod(1 - np.array(betas))
)


def dpm_solver_2m(denoise, x, levels):
    """Lu et al. (2022), Algorithm 2, for x = x₀ + σ ε, with λ = −log σ and σ = 0 at the end."""
    before, last = None, math.nan
    for here, there in zip(levels, [*levels[1:], 0.0], strict=True):
        clean = denoise(x, here)
        if there == 0:
            return clean
        h = math.log(here / there)
        slope = 0 * clean if before is None else (clean - before) * h / (2 * last)
        x = there / here * x - math.expm1(-h) * (clean + slope)
        before, last = clean, h
    raise AssertionError


def unipc(denoise, x, levels, order):
    """Zhao et al. (2023), Algorithms 5 and 6 with B(h) = e^h − 1, in their φ functions, for data
    prediction, where h counts negative.
    """
    lam = [-math.log(level) for level in levels]
    estimates = [denoise(x, levels[0])]  # at 0, 1, …
    for i in range(1, len(levels)):
        p = min(order, i, len(levels) + 1 - i)
        h = lam[i] - lam[i - 1]
        hh = -h
        big = math.expm1(hh)
        base = levels[i] / levels[i - 1] * x - big * estimates[i - 1]

        earlier = [i - 1 - m for m in range(1, p)]
        places = [(lam[k] - lam[i - 1]) / h for k in earlier]
        differences = [
            (estimates[k] - estimates[i - 1]) / r for k, r in zip(earlier, places, strict=True)
        ]
        rows, right, phi, factorial = [], [], math.expm1(hh) / hh - 1, 1
        for k in range(1, p + 1):
            rows.append([r ** (k - 1) for r in [*places, 1.0]])
            right.append(phi * factorial / big)
            factorial *= k + 1
            phi = phi / hh - 1 / factorial
        matrix, right = np.array(rows), np.array(right)

        rho = np.array([0.5]) if p == 2 else np.linalg.solve(matrix[:-1, :-1], right[:-1])
        ahead = base - big * sum(c * d for c, d in zip(rho, differences, strict=True))
        estimates.append(denoise(ahead, levels[i]))
        rho = np.array([0.5]) if p == 1 else np.linalg.solve(matrix, right)
        differences.append(estimates[i] - estimates[i - 1])
        x = base - big * sum(c * d for c, d in zip(rho, differences, strict=True))
    return estimates[-1]


def two_modes(x, sigma):
    """E[x₀ | x] for data ±1 with standard deviation 0.3."""
    v = 0.3**2
    mean = np.tanh(x / (v + sigma**2))
    return (v * x + sigma**2 * mean) / (v + sigma**2)


def no_noise(step):
    raise AssertionError(f"noise asked for at step {step}")


@given(steps=st.integers(1, 25), order=st.sampled_from([1, 2, 3]))
def test_samples_take_the_published_steps(steps, order):
    levels = edm_noise_levels(steps, 0.02, 5.0)
    start = np.linspace(-2, 2, 7)
    np.testing.assert_allclose(
        DPMSolver2M().along(levels).sample(two_modes, start, no_noise),
        dpm_solver_2m(two_modes, 5.0 * start, levels),
        rtol=1e-9,
        atol=1e-9,
    )
    # the φ functions of the paper lose digits where h is small
    np.testing.assert_allclose(
        UniPC(order).along(levels).sample(two_modes, start, no_noise),
        unipc(two_modes, 5.0 * start, levels, order),
        rtol=1e-8,
        atol=1e-8,
    )


@pytest.mark.parametrize(
    ("solver", "order"), [(DPMSolver2M(), 2), (UniPC(1), 2), (UniPC(2), 3), (UniPC(3), 4)]
)
def test_the_order_of_convergence_on_the_exact_gaussian_solution(solver, order):
    """The flow of N(0, v) takes x to x √((v + σ'²)/(v + σ²)), then the last step takes x̂₀.

    `order` is the least that theory gives; UniPC of order 3 begins with lower ones, whose error is
    small where σ is large.
    """
    v, errors = 0.25, []
    for steps in (40, 80, 160):
        levels = edm_noise_levels(steps, 0.02, 10.0)
        first, last = levels[0] ** 2, levels[-1] ** 2
        exact = first * (v + last) / (v + first) * (v / (v + last)) ** 2
        errors.append(float(solver.along(levels).variance(v)) / exact - 1)
    rates = np.log2(np.abs(np.array(errors[:-1]) / errors[1:]))
    assert (rates > order - 0.1).all()
    if order < 4:
        assert (rates < order + 0.3).all()
    assert abs(errors[-1]) < 1e-3


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_samples_follow_the_probability_flow_of_two_modes(solver):
    """Another integrator, which takes the ordinary differential equation itself."""
    start = np.linspace(-2, 2, 9)
    levels = edm_noise_levels(250, 0.02, 5.0)
    flow = solve_ivp(
        lambda sigma, x: (x - two_modes(x, sigma)) / sigma,
        (5.0, 0.02),
        5.0 * start,
        rtol=1e-9,
        atol=1e-11,
    ).y[:, -1]
    ends = solver.along(levels).sample(two_modes, start, no_noise)
    np.testing.assert_allclose(ends, two_modes(flow, 0.02), atol=2e-3)
    coarse = solver.along(levels[:: len(levels) - 1]).sample(two_modes, start, no_noise)
    assert np.abs(coarse - two_modes(flow, 0.02)).max() > 0.05  # two steps are not enough


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@given(alphas_cumprod=schedules, s=widths)
def test_phi_is_the_square_of_what_becomes_of_one(solver, alphas_cumprod, s):
    sampler = solver.over(alphas_cumprod)
    v = s**2

    def denoise(x, t):
        a = alphas_cumprod[t]
        return np.sqrt(a) * v / (a * v + 1 - a) * x

    assert sampler.variance(v) == pytest.approx(
        float(sampler.sample(denoise, np.ones(1), no_noise)[0] ** 2), rel=1e-10
    )


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@given(alphas_cumprod=schedules, s=widths)
def test_a_schedule_is_noise_levels_in_other_units(solver, alphas_cumprod, s):
    """x/a = x₀ + (b/a) ε; the schedule starts with variance 1 where b₀² would be exact."""
    levels = np.sqrt(1 / alphas_cumprod[::-1] - 1)
    one, other = solver.over(alphas_cumprod), solver.along(levels)
    assert one.variance(s**2) * (1 - alphas_cumprod[-1]) == pytest.approx(
        float(other.variance(s**2)), rel=1e-9, abs=1e-12
    )


@given(alphas_cumprod=schedules.filter(lambda a: len(a) <= 2), s=widths)
def test_one_step_or_two_of_the_first_order_are_ddim(alphas_cumprod, s):
    assert DPMSolver2M().over(alphas_cumprod).variance(s**2) == pytest.approx(
        float(DDIM().over(alphas_cumprod).variance(s**2)), rel=1e-9
    )


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@given(steps=st.integers(1, 12), constant=st.floats(-3, 3))
def test_a_denoiser_that_knows_the_answer_is_believed(solver, steps, constant):
    sampler = solver.along(edm_noise_levels(steps))
    asked = []

    def denoise(x, sigma):
        asked.append(sigma)
        return constant + 0 * x

    ends = sampler.sample(denoise, np.linspace(-1, 1, 3), no_noise)
    np.testing.assert_allclose(ends, constant, atol=1e-12)
    assert asked == pytest.approx(edm_noise_levels(steps))
    assert sampler.evaluations == len(asked) == steps
    assert sampler.noises == []


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_tensors_keep_their_precision(solver):
    sampler = solver.over(linear_alphas_cumprod(9))
    out = sampler.sample(lambda x, t: 0.1 * t * x, torch.ones(3, 2), no_noise)
    reference = sampler.sample(lambda x, t: 0.1 * t * x, np.ones((3, 2)), no_noise)
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out, reference, rtol=1e-4)


def test_estimates_are_clipped():
    for make in (lambda clip: DPMSolver2M(clip), lambda clip: UniPC(2, clip)):
        sampler = make(0.5).over(linear_alphas_cumprod(9))
        free = make(None).over(linear_alphas_cumprod(9))
        start = np.linspace(-2, 2, 5)

        def clipped(x, t):
            return np.clip(3 * x, -0.5, 0.5)

        np.testing.assert_allclose(
            sampler.sample(lambda x, t: 3 * x, start, no_noise),
            free.sample(clipped, start, no_noise),
        )
        with pytest.raises(ValueError, match=r"a sampler that clips x̂₀ .x0_clip = 0.5. has no"):
            sampler.variance(1.0)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_levels_that_repeat_are_one_step(solver):
    a = linear_alphas_cumprod(100)
    times = spaced_times(a, 50, "quadratic")
    assert len(set(times)) < len(times)
    sampler = solver.over(a, times)
    assert sampler.times == sorted(set(times.tolist()), reverse=True)
    assert sampler.variance(0.1) == solver.over(a, np.unique(times)).variance(0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniPC(cast(Any, 4)), "order must be 1, 2 or 3, got 4"),
        (lambda: UniPC().over([0.5, 0.7]), "alphas_cumprod must be a list of numbers in"),
        (lambda: DPMSolver2M().over([]), "alphas_cumprod must be"),
        (lambda: UniPC().along([1.0, 1.0]), "noise_levels must be positive and decrease"),
        (lambda: DPMSolver2M().along([1.0, 0.0]), "noise_levels must be positive and decrease"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
