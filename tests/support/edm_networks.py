"""EDM's networks for tests: the one of the fixtures, and small ones of every kind."""

from typing import Any

from hypothesis import strategies as st

from deep.checkpoint import read
from deep.networks.unet_edm import EDMNetwork
from tests.conftest import FIXTURES


def fixture_network() -> Any:
    return read(FIXTURES / "edm_tiny.pkl").build().eval()


@st.composite
def edm_networks(draw):
    """Small configurations of every kind."""
    levels = draw(st.integers(1, 3))
    resolution = draw(st.sampled_from([1, 2, 3])) * 2 ** (levels - 1)
    resolutions = [resolution >> level for level in range(levels)]
    return EDMNetwork(
        resolution=resolution,
        channels=draw(st.integers(1, 3)),
        model_channels=4 * draw(st.integers(1, 3)),
        channel_mult=tuple(draw(st.lists(st.integers(1, 3), min_size=levels, max_size=levels))),
        num_blocks=draw(st.integers(1, 3)),
        attn_resolutions=tuple(r for r in resolutions if draw(st.booleans())),
        augment_dim=draw(st.integers(0, 3)),
        channel_mult_emb=draw(st.integers(1, 4)),
    )
