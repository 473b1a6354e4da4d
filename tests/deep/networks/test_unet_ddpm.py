import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deep.networks.state_dict import shapes_of
from deep.networks.unet_ddpm import CIFAR10, DIGITS, DDPMNetwork
from tests.support.official import ddpm_fixture, outputs, relative_error


@st.composite
def networks(draw):
    """Configurations of every kind, of small images."""
    levels = draw(st.integers(1, 3))
    resolution = draw(st.sampled_from([1, 2, 3])) * 2 ** (levels - 1)
    resolutions = [resolution >> level for level in range(levels)]
    return DDPMNetwork(
        resolution=resolution,
        channels=draw(st.integers(1, 3)),
        model_channels=32 * draw(st.integers(1, 2)),
        channel_mult=(
            1,
            *draw(st.lists(st.integers(1, 3), min_size=levels - 1, max_size=levels - 1)),
        ),
        num_blocks=draw(st.integers(1, 3)),
        attn_resolutions=tuple(r for r in resolutions if draw(st.booleans())),
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("which", "output"), [("state", "eps_raw"), ("ema", "eps_ema")])
def test_official_ddpm_outputs(which, output, layout, tmp_path):
    expected = outputs("ddpm_tiny_io.npz")
    network = ddpm_fixture(tmp_path).build(which).eval().to(memory_format=layout)  # type: ignore[call-overload]
    with torch.no_grad():
        assert relative_error(network(expected["x"], expected["t"]), expected[output]) < 1e-5
    # the comparison tells them apart
    assert relative_error(expected["eps_raw"], expected["eps_ema"]) > 1e-3


def test_official_ddpm_size():
    with torch.device("meta"):
        network = CIFAR10.build()
    assert sum(p.numel() for p in network.parameters()) == 35_746_307
    assert len(network.state_dict()) == 304


BLOCK = r"(norm1|conv1|fc|norm2|conv2|skip)"
ATTENTION = r"(norm|project_in|project_out)"
LAYER = re.compile(
    rf"(embed\.[02]|in_conv|out_conv\.[02]|middle\.[02]\.{BLOCK}|middle\.1\.{ATTENTION}"
    rf"|(down|up)samples\.level_\d+\.\d+\.(1|{BLOCK}|0\.{BLOCK}|1\.{ATTENTION}))\.(weight|bias)"
)


@given(networks())
@settings(max_examples=30)
def test_names_follow_the_rule_and_tell_the_configuration(config):
    with torch.device("meta"):
        network = config.build()
    shapes = shapes_of(network.state_dict())
    assert all(LAYER.fullmatch(name) for name in shapes)
    assert DDPMNetwork.deduce(shapes, config.resolution) == config
    levels = len(config.channel_mult)
    resamplers = [
        name for name in shapes if re.fullmatch(r"\w+samples\.level_\d+\.\d+\.1\.weight", name)
    ]
    assert len(resamplers) == 2 * (levels - 1)


def test_an_untrained_network_predicts_almost_nothing(rng):
    network = DIGITS.build(torch.Generator().manual_seed(int(rng.integers(2**31)))).eval()
    x = torch.from_numpy(rng.standard_normal((2, 1, 8, 8)).astype("float32"))
    with torch.no_grad():
        assert float(network(x, torch.tensor([0, 999])).abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model_channels": 48}, "model_channels must be a multiple of norm_groups 32, got 48"),
        ({"norm_groups": 0}, "norm_groups must be from 1 to 1024, got 0"),
        ({"channel_mult": (2, 2)}, "channel_mult must start with 1, got (2, 2)"),
        (
            {"resolution": 12},
            "resolution must be a multiple of 8 for the 4 levels of channel_mult, got 12",
        ),
        ({"attn_resolutions": (5,)}, "attn_resolutions must be among [32, 16, 8, 4], got (5,)"),
    ],
)
def test_a_bad_configuration_names_the_field(fields, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        DDPMNetwork(**fields)


def test_digits_fit_into_two_hundred_thousand_parameters():
    assert sum(p.numel() for p in DIGITS.build(torch.Generator()).parameters()) <= 200_000
