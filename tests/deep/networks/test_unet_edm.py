import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from deep.networks.state_dict import shapes_of
from deep.networks.unet_edm import CIFAR10, DIGITS, FFHQ64, EDMNetwork
from tests.support.edm_networks import edm_networks, fixture_network
from tests.support.official import outputs, relative_error


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_official_edm_outputs(layout):
    network, expected = fixture_network(), outputs("edm_tiny_io.npz")
    network.to(memory_format=layout)  # type: ignore[call-overload]
    x, sigma, labels = expected["x"], expected["sigma"], expected["augment_labels"]
    with torch.no_grad():
        denoised = network(x, sigma)
        augmented = network(x, sigma, labels)
        unet = network.model(expected["unet_x"], expected["unet_c_noise"])
    assert relative_error(denoised, expected["denoised"]) < 1e-5
    assert relative_error(augmented, expected["denoised_augmented"]) < 1e-5
    assert relative_error(unet, expected["unet_output"]) < 1e-5
    assert relative_error(augmented, expected["denoised"]) > 1e-2  # the comparison sees the labels


def test_official_edm_gradients():
    network, expected = fixture_network(), outputs("edm_tiny_io.npz")
    clean = expected["loss_images"]
    sigma = (-1.2 + 1.2 * expected["loss_rnd_normal"].flatten()).exp()
    level = sigma[:, None, None, None]
    denoised = network(clean + level * expected["loss_unit_noise"], sigma)
    loss = (level**2 + 0.25) / (0.5 * level) ** 2 * (denoised - clean) ** 2
    assert relative_error(loss.detach(), expected["loss_map"]) < 1e-4
    (loss.sum() / len(clean)).backward()
    parameters = dict(network.named_parameters())
    assert list(parameters) == list(expected["grad_names"])
    norms = [np.nan if p.grad is None else float(p.grad.norm()) for p in parameters.values()]
    # NaN: no gradient, here and there
    np.testing.assert_allclose(norms, expected["grad_norms"], rtol=1e-4)


@pytest.mark.parametrize(
    ("config", "parameters", "buffers", "tensors"),
    [(CIFAR10, 55_733_891, 32, 425), (FFHQ64, 61_805_571, 48, 553)],
)
def test_official_edm_sizes(config, parameters, buffers, tensors):
    with torch.device("meta"):
        network = config.build()
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert sum(b.numel() for b in network.buffers()) == buffers
    assert len(network.state_dict()) == tensors


def test_official_edm_widths_of_the_decoder():
    widths = {}
    for place in FFHQ64.places()[1]:
        if place.skip:
            widths.setdefault(place.name.partition("_")[0], []).append(
                (place.inputs, place.outputs)
            )
    assert widths == {
        "8x8": [(512, 256)] * 5,
        "16x16": [(512, 256)] * 5,
        "32x32": [(512, 256)] * 4 + [(384, 256)],
        "64x64": [(384, 128)] + [(256, 128)] * 4,
    }


LAYER = re.compile(
    r"model\.(map_augment|map_layer0|map_layer1"
    r"|enc\.(?P<r>\d+)x(?P=r)_conv|dec\.(?P<s>\d+)x(?P=s)_aux_(norm|conv)"
    r"|(enc\.(?P<t>\d+)x(?P=t)_(down|block\d+)|dec\.(?P<u>\d+)x(?P=u)_(in0|in1|up|block\d+))"
    r"\.(norm0|conv0|affine|norm1|conv1|skip|norm2|qkv|proj))\.(weight|bias|resample_filter)"
)


@given(edm_networks())
@settings(max_examples=30)
def test_names_follow_the_rule_and_tell_the_configuration(config):
    with torch.device("meta"):
        network = config.build()
    shapes = shapes_of(network.state_dict())
    assert all(LAYER.fullmatch(name) for name in shapes)
    resampled = [name for name in shapes if name.endswith("resample_filter")]
    # two in each block that goes down or up
    assert len(resampled) == 4 * (len(config.channel_mult) - 1)
    assert EDMNetwork.deduce(shapes) == config


def test_an_untrained_network_is_the_best_linear_denoiser_of_white_data(rng):
    """D = c_skip x, for data of mean 0 and covariance σ_data² I; the layers that start small
    keep the rest away.
    """
    network = EDMNetwork(
        resolution=8, channels=2, model_channels=16, channel_mult=(1, 2), attn_resolutions=(4,)
    ).build(torch.Generator().manual_seed(int(rng.integers(2**31))))
    x = torch.from_numpy(rng.standard_normal((3, 2, 8, 8), dtype=np.float32))
    sigma = torch.tensor([0.01, 1.0, 50.0])
    with torch.no_grad():
        denoised = network.eval()(x, sigma)
    expected = 0.25 / (sigma**2 + 0.25)[:, None, None, None] * x
    torch.testing.assert_close(denoised, expected, rtol=0, atol=1e-3)


def test_no_label_is_the_label_zero(rng):
    network, x = (
        fixture_network(),
        torch.from_numpy(rng.standard_normal((2, 1, 8, 8), dtype=np.float32)),
    )
    sigma = torch.tensor([0.5, 2.0])
    with torch.no_grad():
        assert torch.equal(network(x, sigma), network(x, sigma, torch.zeros(1, 9)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"resolution": 0}, "resolution must be from 1 to 16384, got 0"),
        (
            {"resolution": 30},
            "resolution must be a multiple of 4 for the 3 levels of channel_mult, got 30",
        ),
        ({"channels": 0}, "channels must be from 1 to 16384, got 0"),
        ({"model_channels": 3}, "model_channels must be even and >= 4, got 3"),
        ({"model_channels": 18}, "widths that min(32, width // 4) groups divide; got 18"),
        ({"channel_mult": ()}, "channel_mult must be one or more integers >= 1, got ()"),
        ({"channel_mult": (2, 0)}, "channel_mult must be one or more integers >= 1, got (2, 0)"),
        ({"num_blocks": 0}, "num_blocks must be from 1 to 100, got 0"),
        ({"attn_resolutions": (16, 5)}, "attn_resolutions must be among [32, 16, 8], got (16, 5)"),
        ({"augment_dim": -1}, "augment_dim must be >= 0, got -1"),
        ({"dropout": 1.0}, "dropout must be >= 0 and < 1, got 1.0"),
        ({"dropout": float("nan")}, "dropout must be >= 0 and < 1, got nan"),
        ({"channel_mult_emb": 0}, "channel_mult_emb must be >= 1, got 0"),
        ({"sigma_data": 0.0}, "sigma_data must be finite and > 0, got 0.0"),
    ],
)
def test_a_bad_configuration_names_the_field(fields, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        EDMNetwork(**fields)


def test_digits_fit_into_two_hundred_thousand_parameters():
    assert sum(p.numel() for p in DIGITS.build(torch.Generator()).parameters()) == 188_913
