"""Clusters, and networks that have learned them exactly."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.response.clusters import Clusters, exact_network, fit_clusters
from stability.diffusion.flow import Flow


class Known:
    """Noise levels of a network of EDM."""

    sigma_min, sigma_max = 0.0, float("inf")


def two(rng):
    """Two clusters in three dimensions, and the same as means and covariance."""
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    variances, means = np.array([0.1, 0.5, 2.0]), np.array([[1.0, 0.0, -1.0], [-0.5, 1.0, 0.5]])
    clusters = Clusters(
        *map(torch.from_numpy, (np.array([0.3, 0.7]), means @ axes, variances, axes))
    )
    return clusters, means, axes @ np.diag(variances) @ axes.T


@pytest.mark.parametrize(("signal", "noise"), [(1.0, 0.7), (0.6, 0.8), (0.0, 1.0)])
def test_denoised_is_the_mean_by_the_rule_of_bayes(rng, signal, noise):
    clusters, means, covariance = two(rng)
    x = 2 * rng.standard_normal((5, 3))
    found = clusters.denoise(torch.from_numpy(x), signal, noise).numpy()

    total = signal**2 * covariance + noise**2 * np.eye(3)
    for row, point in enumerate(x):
        chance = np.array([0.3, 0.7]) * [
            multivariate_normal(signal * mean, total).pdf(point) for mean in means
        ]
        gain = signal * covariance @ np.linalg.inv(total)
        each = means + (point - signal * means) @ gain.T
        np.testing.assert_allclose(found[row], chance @ each / chance.sum(), rtol=1e-9, atol=1e-9)


def test_levels_may_differ_by_row(rng):
    clusters, _, _ = two(rng)
    x = torch.from_numpy(rng.standard_normal((2, 1, 1, 3)))
    both = clusters.denoise(x, torch.tensor([1.0, 0.5]), torch.tensor([0.2, 0.9]))
    for row, levels in enumerate([(1.0, 0.2), (0.5, 0.9)]):
        alone = clusters.denoise(x[row : row + 1], *levels)
        # levels of float32
        torch.testing.assert_close(both[row : row + 1], alone, rtol=1e-5, atol=1e-6)


def test_fitted_clusters_have_mean_and_covariance_of_the_images(rng):
    real = rng.integers(0, 256, size=(60, 1, 2, 3), dtype=np.uint8)
    x = real.reshape(60, 6) / 127.5 - 1
    one = fit_clusters(real, count=1)
    np.testing.assert_allclose(one.means @ one.axes.T, x.mean(axis=0)[None], atol=1e-6)
    covariance = one.axes @ torch.diag(one.variances) @ one.axes.T
    np.testing.assert_allclose(covariance, np.cov(x.T), atol=1e-6)

    many = fit_clusters(real, count=4)
    assert float(many.weights.sum()) == pytest.approx(1)
    centre = many.weights @ many.means @ many.axes.T
    np.testing.assert_allclose(centre, x.mean(axis=0), atol=1e-6)
    assert float(many.variances.sum()) < float(one.variances.sum())


MODELS = [
    EDM(augment=0.0, steps=5, sigma_max=10.0),
    DDPM(timesteps=50, ddim_steps=5, x0_clip=None),
    OTCFM(integrator="euler", euler_steps=5),
    OTCFM(integrator="euler", euler_steps=5, sigma=0.3),
]


@pytest.mark.parametrize("model", MODELS, ids=["edm", "ddpm", "otcfm", "otcfm-sigma"])
def test_one_cluster_is_widened_as_the_width_map_says(rng, model):
    real = rng.integers(0, 256, size=(60, 1, 2, 3), dtype=np.uint8)
    clusters = fit_clusters(real, count=1)
    noise = torch.zeros(7, 1, 2, 3)
    noise[1:] = clusters.axes.T.reshape(6, 1, 2, 3)  # latents along each axis, and none
    drawn = model.sample(exact_network(model, clusters, Known()), lambda: noise).double()

    # the sampler is linear for one Gaussian: a latent along an axis moves along it alone
    moved = (drawn[1:] - drawn[:1]).flatten(1) @ clusters.axes
    if isinstance(model, EDM):
        sampler = model.make_sampler(Known())  # pyright: ignore[reportArgumentType]
    elif isinstance(model, DDPM):
        sampler = model.make_sampler()
    else:
        sampler = Flow(model.make_integrator(), sigma=model.sigma)
    gains = np.sqrt(sampler.variance(clusters.variances.numpy()))
    np.testing.assert_allclose(moved, np.diag(gains), rtol=1e-3, atol=1e-3)
