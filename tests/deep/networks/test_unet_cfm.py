import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deep.networks.state_dict import shapes_of
from deep.networks.unet_cfm import CIFAR10, DIGITS, CFMNetwork
from tests.support.official import otcfm_fixture, outputs, randomised, relative_error


@st.composite
def networks(draw):
    """Configurations of every kind, of small images."""
    levels = draw(st.integers(1, 3))
    resolution = draw(st.sampled_from([1, 2, 3])) * 2 ** (levels - 1)
    resolutions = [resolution >> level for level in range(levels)]
    return CFMNetwork(
        resolution=resolution,
        channels=draw(st.integers(1, 3)),
        model_channels=32 * draw(st.integers(1, 2)),
        channel_mult=tuple(draw(st.lists(st.integers(1, 3), min_size=levels, max_size=levels))),
        num_blocks=draw(st.integers(1, 3)),
        attn_resolutions=tuple(r for r in resolutions if draw(st.booleans())),
        head_channels=draw(st.sampled_from([8, 16, 32])),
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("which", "output"), [("state", "velocity_raw"), ("ema", "velocity_ema")])
def test_official_otcfm_outputs(which, output, layout, tmp_path):
    expected = outputs("otcfm_tiny_io.npz")
    network = otcfm_fixture(tmp_path).build(which).eval().to(memory_format=layout)  # type: ignore[call-overload]
    t, x = expected["t"], expected["x"]
    with torch.no_grad():
        assert relative_error(network(t, x), expected[output]) < 1e-5
        one = network(t[1], x)  # one time for all
    assert relative_error(one[1], expected[output][1]) < 1e-5
    # the comparison tells them apart
    assert relative_error(expected["velocity_raw"], expected["velocity_ema"]) > 1e-3


def test_official_otcfm_size():
    with torch.device("meta"):
        network = CIFAR10.build()
    assert sum(p.numel() for p in network.parameters()) == 35_746_307
    assert len(network.state_dict()) == 304


BLOCK = r"(in_layers\.[02]|emb_layers\.1|out_layers\.[03]|skip_connection)"
ATTENTION = r"(norm|qkv|proj_out)"
LAYER = re.compile(
    rf"(time_embed\.[02]|out\.[02]|input_blocks\.0\.0|middle_block\.[02]\.{BLOCK}|middle_block\.1\.{ATTENTION}"
    rf"|input_blocks\.\d+\.(0\.{BLOCK}|0\.op|1\.{ATTENTION})"
    rf"|output_blocks\.\d+\.(0\.{BLOCK}|1\.{ATTENTION}|[12]\.conv))\.(weight|bias)"
)


@given(networks())
@settings(max_examples=30)
def test_names_follow_the_rule_and_tell_the_configuration(config):
    with torch.device("meta"):
        network = config.build()
    shapes = shapes_of(network.state_dict())
    assert all(LAYER.fullmatch(name) for name in shapes)
    assert CFMNetwork.deduce(shapes, config.resolution, config.head_channels) == config
    resamplers = [name for name in shapes if re.search(r"\.(op|conv)\.weight$", name)]
    assert len(resamplers) == 2 * (len(config.channel_mult) - 1)


def test_heads_may_be_given_by_number_or_by_width(rng):
    """And they matter, although they leave no trace in the tensors."""
    by_width = randomised(
        CFMNetwork(**SMALL, head_channels=32).build(torch.Generator()), rng
    ).eval()
    t, x = torch.tensor(0.3), torch.from_numpy(rng.standard_normal((2, 1, 4, 4)).astype("float32"))
    others = [
        CFMNetwork(**SMALL, head_channels=None, num_heads=2),
        CFMNetwork(**SMALL, head_channels=64),
    ]
    with torch.no_grad():
        expected = by_width(t, x)
        same, other = (_with_weights_of(by_width, config)(t, x) for config in others)
    assert torch.equal(same, expected)
    assert relative_error(other, expected) > 1e-3


SMALL = {
    "resolution": 4,
    "channels": 1,
    "model_channels": 64,
    "channel_mult": (1,),
    "attn_resolutions": (),
}


def _with_weights_of(network, config):
    copy = config.build(torch.Generator()).eval()
    copy.load_state_dict(network.state_dict())
    return copy


def test_an_untrained_network_stands_still(rng):
    network = DIGITS.build(torch.Generator().manual_seed(int(rng.integers(2**31)))).eval()
    x = torch.from_numpy(rng.standard_normal((2, 1, 8, 8)).astype("float32"))
    with torch.no_grad():
        assert not network(torch.tensor(0.5), x).any()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"model_channels": 48},
            "model_channels × channel_mult must be a multiple of norm_groups 32, "
            "got 48 × (1, 2, 2, 2)",
        ),
        (
            {"head_channels": 96},
            "head_channels must divide the widths [256] with attention, got 96",
        ),
        ({"head_channels": 0}, "head_channels must divide the widths [256] with attention, got 0"),
        (
            {"attn_resolutions": (32,), "head_channels": 256},
            "must divide the widths [128, 256] with attention",
        ),
        (
            {"head_channels": None, "num_heads": 3},
            "num_heads must divide the widths [256] with attention, got 3",
        ),
        ({"num_heads": 4}, "one of head_channels and num_heads must be None, got 64 and 4"),
        (
            {"head_channels": None},
            "one of head_channels and num_heads must be None, got None and None",
        ),
        ({"num_blocks": 0}, "num_blocks must be from 1 to 100, got 0"),
    ],
)
def test_a_bad_configuration_names_the_field(fields, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        CFMNetwork(**fields)


def test_digits_fit_into_two_hundred_thousand_parameters():
    assert sum(p.numel() for p in DIGITS.build(torch.Generator()).parameters()) <= 200_000
