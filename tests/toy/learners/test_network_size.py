"""Sizes that memory is estimated by are those of the networks."""

import pytest

from toy.learners.ddpm import DDPMLearner
from toy.learners.edm import EDMLearner
from toy.learners.flow import SplineFlowLearner
from toy.learners.ot_cfm import OTCFMLearner
from toy.learners.settings import (
    DDPMConfig,
    EDMConfig,
    OTCFMConfig,
    SplineFlowConfig,
    VAEConfig,
)
from toy.learners.vae import VAELearner

CHAINS = 3


@pytest.mark.parametrize("width", [4, 10])
@pytest.mark.parametrize(
    ("learner", "config"),
    [
        (OTCFMLearner, OTCFMConfig),
        (DDPMLearner, DDPMConfig),
        (EDMLearner, EDMConfig),
        (SplineFlowLearner, SplineFlowConfig),
        (VAELearner, VAEConfig),
    ],
    ids=lambda value: value.__name__,
)
def test_the_memory_of_networks_is_that_of_their_parameters(learner, config, width):
    """Parameters, gradients and two moments: 4 numbers of 4 bytes each."""
    settings = config(width=width)
    needs = settings.memory(CHAINS, 100, 1)
    theta = learner(CHAINS, settings).theta
    (networks,) = [need.size for need in needs if "networks" in need.what]
    assert networks == 16 * theta.numel()
