from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chisquare

from deep.models.ddpm import DDPM
from tests.conftest import FALSE_ALARM
from tests.support.gaussian_images import NoisePredictor, assert_drawn_from, correlated, law

SDS = [0.02, 0.05, 0.1, 0.3, 1.0]
SHORT = DDPM(timesteps=100, beta_first=1e-3, beta_last=0.2, ddim_steps=100, sampler="ddim-linear")


def predictor(model, sds=SDS):
    return NoisePredictor(
        torch.zeros(len(sds)), torch.diag(torch.tensor(sds).double() ** 2), (1, 1, len(sds)), model
    )


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            replace(SHORT, sampler="fixed-large", ddim_steps=None),
            [0.884, 1.106, 1.085, 1.032, 0.999],
        ),
        (
            replace(SHORT, sampler="fixed-small", ddim_steps=None),
            [0.491, 0.700, 0.801, 0.908, 0.960],
        ),
        (SHORT, [0.513, 0.774, 0.881, 0.957, 0.982]),
        (DDPM(sampler="ddim-linear", ddim_steps=1000), [0.862, 0.959, 0.983, 0.995, 0.998]),
        (DDPM(sampler="dpm++2m"), [0.882, 0.989, 1.010, 1.015, 1.015]),
        (DDPM(sampler="unipc"), [0.894, 0.991, 1.008, 1.010, 1.009]),
    ],
)
def test_how_much_each_sampler_widens_a_gaussian(model, expected):
    """Every step is linear there, so the widening is known in closed form: the table of the
    theory pages.
    """
    measured = law(model, predictor(model))[1].diagonal().sqrt() / torch.tensor(SDS)
    torch.testing.assert_close(
        measured, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=6e-4
    )


@pytest.mark.parametrize(
    "sampler", ["fixed-large", "fixed-small", "ddim-linear", "ddim-quadratic", "dpm++2m", "unipc"]
)
def test_samples_have_the_mean_and_covariance_of_the_samplers_law(sampler, rng):
    model = replace(SHORT, sampler=sampler, ddim_steps=50 if sampler.startswith("ddim") else None)
    g = correlated(rng, 0.1, NoisePredictor, diffusion=model)
    mean, covariance = law(model, g)
    samples = model.sample(
        g, lambda: torch.from_numpy(rng.standard_normal((4000, *g.shape), dtype=np.float32))
    )
    assert_drawn_from(samples.flatten(1), mean, covariance)
    # and that law is the data's, up to the discretisation: means are pulled by a thousandth,
    # spreads by a tenth
    torch.testing.assert_close(mean, g.mean, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("sampler", ["fixed-large", "fixed-small"])
def test_ancestral_samplers_approach_the_data_as_steps_become_finer(sampler):
    """Their bias is of first order in the step: half of it is left at twice the steps."""
    sds = [0.3]

    def bias(steps):
        model = DDPM(timesteps=steps, beta_first=0.1 / steps, beta_last=20 / steps, sampler=sampler)
        return float(law(model, predictor(model, sds))[1].diagonal()[0] / 0.09 - 1)

    coarse, fine = bias(200), bias(400)
    assert abs(fine) < 0.1
    assert coarse / fine == pytest.approx(2, abs=0.25)


def test_clean_images_are_clipped():
    def far_away(x, t):
        return torch.full_like(x, -1e3)

    start = torch.full((1, 1, 1, 1), 9.0)
    assert float(SHORT.denoise(far_away, start, 0)) > 1
    assert float(SHORT.sample(far_away, lambda: start)) == 1.0  # the last step is x̂₀ itself


def times(model):
    return list(model.make_sampler().times)


def test_time_steps_of_ddim():
    quadratic = times(DDPM())
    assert (len(quadratic), len(set(quadratic)), quadratic[-1]) == (100, 97, 800)
    assert quadratic[:14] == [0, 0, 0, 1, 1, 2, 3, 4, 5, 7, 8, 10, 12, 14]
    assert times(DDPM(sampler="ddim-linear", ddim_steps=50)) == list(range(0, 1000, 20))


def test_time_steps_of_the_multistep_samplers():
    """From the noisiest level to the cleanest, so many; all of a short schedule."""
    chosen = times(DDPM(sampler="unipc", solver_steps=12))
    assert (chosen[0], chosen[-1], len(chosen)) == (999, 0, 12)
    assert len(times(DDPM(sampler="dpm++2m"))) == 20
    assert times(replace(SHORT, timesteps=3, sampler="unipc", ddim_steps=None)) == [2, 1, 0]


def test_inputs_of_a_step(rng):
    n = 10_000
    images = torch.from_numpy(rng.integers(0, 256, (n, 1, 1, 3), dtype=np.uint8))
    generator = torch.Generator().manual_seed(int(rng.integers(2**32)))
    shown, t, noise = SHORT.inputs(images, generator)
    assert chisquare(np.bincount(t.numpy(), minlength=100)).pvalue > FALSE_ALARM / 2
    assert noise.shape == images.shape
    mirrored = (shown == images.flip(3)).all(dim=(1, 2, 3))
    assert (mirrored | (shown == images).all(dim=(1, 2, 3))).all()
    palindromes = (images == images.flip(3)).all(dim=(1, 2, 3))
    told = int(mirrored[~palindromes].sum())
    assert binomtest(told, int((~palindromes).sum()), 0.5).pvalue > FALSE_ALARM / 2
    assert torch.equal(replace(SHORT, flip=False).inputs(images, generator)[0], images)


def test_the_loss_of_the_best_predictor_is_the_one_of_theory(rng):
    """For N(0, s²) data, Var(ε | x_t) = ᾱ s²/(ᾱ s² + 1 − ᾱ)."""
    n, s = 20_000, 0.5
    g = predictor(SHORT, [s] * 4)
    t = torch.full((n,), 30)
    clean, noise = (
        g.draw(n, rng).float(),
        torch.from_numpy(rng.standard_normal((n, *g.shape), dtype=np.float32)),
    )
    predicted = g(SHORT.diffused(clean, t, noise), t)
    losses = (predicted - noise).square().mean(dim=(1, 2, 3)).numpy()
    alpha = SHORT.alphas_cumprod[30]
    z = (losses.mean() - alpha * s**2 / (alpha * s**2 + 1 - alpha)) / (losses.std() / np.sqrt(n))
    # normal to well within the skewness of a χ² with 4 degrees of freedom, at this n
    assert abs(z) < 5.5
    images = torch.zeros(3, 1, 1, 4, dtype=torch.uint8)
    asked = SHORT.inputs(images, torch.Generator().manual_seed(0))
    assert torch.equal(SHORT.losses(lambda x, t: asked[2] + 2, *asked), torch.full((3,), 4.0))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"timesteps": 1}, "timesteps must be >= 2, got 1"),
        ({"beta_first": 0.0}, "0 < beta_first"),
        ({"beta_last": 1.0}, "beta_last < 1"),
        ({"ddim_steps": 1}, "ddim_steps must be from 2 to timesteps 1000, got 1"),
        ({"ddim_steps": 2000}, "got 2000"),
        (
            {"ddim_steps": 50, "sampler": "fixed-large"},
            "ddim_steps 50 has no meaning for sampler fixed-large",
        ),
        ({"solver_steps": 9}, "solver_steps 9 has no meaning for sampler ddim-quadratic"),
        (
            {"solver_steps": 1, "sampler": "unipc"},
            "solver_steps must be from 2 to timesteps 1000, got 1",
        ),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        DDPM(**setting)
