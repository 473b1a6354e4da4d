"""Networks that are told a class: against the official formula, and against themselves."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from deep.models.class_conditioned import ClassConditioned
from deep.networks import unet_ddpm, unet_edm
from deep.networks.class_code import class_code
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork
from tests.support.official import randomised

EDM = replace(unet_edm.DIGITS, label_dim=7, dropout=0.0)
DDPM = replace(unet_ddpm.DIGITS, label_dim=7, dropout=0.0)


def test_a_code_has_mean_square_one():
    code = class_code(torch.tensor([2, 0]), 5)
    expected = np.zeros((2, 5), np.float32)
    expected[0, 2] = expected[1, 0] = math.sqrt(5)
    np.testing.assert_array_equal(code.numpy(), expected)


def test_edm_adds_the_class_to_the_noise_level_as_the_official_code(rng):
    """There: emb + map_label(one-hot × √K) + map_augment(a), SiLU(layer 0), SiLU(layer 1)."""
    network = randomised(EDM.build(torch.Generator()), rng).model
    levels = torch.from_numpy(rng.uniform(-1, 1, 4).astype(np.float32))
    classes = torch.tensor([6, 0, 3, 3])
    told = torch.from_numpy(rng.standard_normal((4, 9), dtype=np.float32))
    half = network.width // 2
    frequencies = (1 / 10000) ** (torch.arange(half) / (half - 1))
    angles = levels[:, None] * frequencies
    embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
    one_hot = functional.one_hot(classes, 7).float()
    embedding = embedding + network.map_label(one_hot * np.sqrt(7)) + network.map_augment(told)
    for layer in (network.map_layer0, network.map_layer1):
        embedding = functional.silu(layer(embedding))
    torch.testing.assert_close(
        network._embedding(levels, told, classes), embedding, atol=1e-5, rtol=1e-5
    )
    # No class is a code of zeros there: the bias stays.
    none = network._embedding(levels, told, None)
    gap = network.map_label.bias - network.map_label(one_hot * np.sqrt(7))
    assert not torch.allclose(none, embedding)
    assert gap.abs().max() > 0


@pytest.mark.parametrize("config", [EDM, DDPM], ids=["edm", "ddpm"])
def test_the_class_decides_and_each_image_has_its_own(config, rng):
    network = randomised(config.build(torch.Generator()), rng).eval()
    x = torch.from_numpy(rng.standard_normal((3, 1, 8, 8), dtype=np.float32))
    level = torch.full((3,), 2.0 if config is EDM else 20)
    with torch.inference_mode():
        mixed = ClassConditioned(network, torch.tensor([1, 4, 1]))(x, level)
        same = ClassConditioned(network, torch.tensor([1, 1, 1]))(x, level)
    torch.testing.assert_close(mixed[[0, 2]], same[[0, 2]], atol=1e-5, rtol=1e-5)
    assert (mixed[1] - same[1]).abs().max() > 1e-3 * mixed.abs().max()


@pytest.mark.parametrize("config", [EDM, DDPM], ids=["edm", "ddpm"])
def test_the_tensors_tell_the_number_of_classes(config):
    network = config.build(torch.Generator())
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    told = {} if config is EDM else {"resolution": 8}
    assert type(config).deduce(shapes, **told).label_dim == 7
    without = replace(config, label_dim=0).build(torch.Generator())
    shapes = {name: value.shape for name, value in without.state_dict().items()}
    assert type(config).deduce(shapes, **told).label_dim == 0


@pytest.mark.parametrize("kind", [EDMNetwork, DDPMNetwork])
@pytest.mark.parametrize("label_dim", [-1, 257])
def test_classes_that_do_not_fit_into_a_byte_are_refused(kind, label_dim):
    with pytest.raises(ValueError, match=f"label_dim must be from 0 to 256, got {label_dim}"):
        kind(label_dim=label_dim)
