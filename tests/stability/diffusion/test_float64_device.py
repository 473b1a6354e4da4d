"""Samplers beside a device without float64 give what they give on the CPU."""

import pytest
import torch

from deep.metrics.features import FeatureSpace, extract
from deep.metrics.parameter_distance import parameter_distance
from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from stability.diffusion.dopri5 import dopri5
from stability.diffusion.float64_device import float64_device
from tests.support.fake_mps import FakeMPS

MPS, CPU = torch.device("mps"), torch.device("cpu")


class Network:
    """A denoiser, noise predictor or velocity of a few operations."""

    sigma_data, sigma_min, sigma_max, augment_dim = 0.5, 0.0, float("inf"), 0

    def __call__(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        if x.ndim < level.ndim:  # a velocity is asked for (t, x)
            x, level = level, x
        weight = 0.25 / (0.25 + level.reshape(-1, 1, 1, 1) ** 2)
        return weight * x


class Means(torch.nn.Module):
    """Features of an image: the mean of each channel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean(dim=(2, 3))


def test_float64_is_where_the_device_has_it():
    assert float64_device(MPS) == CPU
    assert [float64_device(torch.device(name)).type for name in ("cpu", "cuda")] == ["cpu", "cuda"]


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x.double(),
        lambda x: x.to(torch.float64),
        lambda x: x + torch.ones(2),
        lambda x: x.numpy(),
        lambda x: x.new_zeros(3, dtype=torch.float64),
        lambda x: torch.zeros(3, dtype=torch.float64, device="mps"),
        lambda x: torch.ones(2, dtype=torch.float64).to("mps"),
    ],
)
def test_the_faked_device_refuses_what_mps_refuses(act):
    with FakeMPS():
        x = torch.zeros(2, device="mps")
        assert x.device == MPS
        assert (x + 1).device == MPS
        assert x.cpu().double().dtype == torch.float64
        with pytest.raises((TypeError, RuntimeError)):
            act(x)


@pytest.mark.parametrize(
    "model",
    [EDM(), EDM(sampler="unipc", steps=6), EDM(churn=10.0), DDPM(), OTCFM()],
    ids=["edm", "unipc", "edm-churn", "ddpm", "otcfm"],
)
def test_images_are_those_of_the_cpu(model, rng):
    noises = torch.from_numpy(rng.standard_normal((2000, 2, 1, 3, 3)).astype("float32"))

    def drawn(device):
        rows = iter(noises)
        return model.sample(Network(), lambda: next(rows).to(device)).cpu()

    expected = drawn(CPU)
    with FakeMPS():
        torch.testing.assert_close(drawn(MPS), expected, rtol=0, atol=0)


def test_an_integrated_flow_is_that_of_the_cpu(rng):
    x = torch.from_numpy(rng.standard_normal((5, 2)).astype("float32"))

    def field(t, x):
        return x * (1 - t[:, None])

    expected = dopri5(field, x, 1e-5)
    with FakeMPS():
        end = dopri5(field, x.to("mps"), 1e-5)
        assert end.device == MPS
        torch.testing.assert_close(end.cpu(), expected, rtol=0, atol=0)


def test_features_and_parameters_are_measured(rng):
    images = rng.integers(256, size=(5, 3, 4, 4), dtype="uint8")
    space = FeatureSpace("means", Means().eval())
    expected = extract(space, images, CPU)
    with FakeMPS():
        found = extract(space, images, MPS, batch=2)
        assert found.double().dtype == torch.float64  # as the metrics do
        torch.testing.assert_close(found, expected)

        on_mps = {"w": torch.tensor([3.0, 0.0], device="mps")}
        assert parameter_distance(on_mps, {"w": torch.tensor([0.0, 4.0])}).norm == 5.0
