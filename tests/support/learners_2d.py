"""Every learner of the package at a small size, for tests of what they have in common."""

from functools import partial

import numpy as np

from stability import TrainingSet
from toy.densities.shapes import two_moons
from toy.learners.ddpm import DDPMLearner
from toy.learners.edm import EDMLearner
from toy.learners.em import MixtureLearner
from toy.learners.flow import SplineFlowLearner
from toy.learners.kde import KDELearner
from toy.learners.ot_cfm import OTCFMLearner
from toy.learners.settings import (
    DDPMConfig,
    EDMConfig,
    KDEConfig,
    MixtureConfig,
    OTCFMConfig,
    SplineFlowConfig,
    VAEConfig,
)
from toy.learners.vae import VAELearner

LEARNERS = {
    "em": partial(MixtureLearner, settings=MixtureConfig(components=3, iterations=20)),
    "kde": partial(KDELearner, settings=KDEConfig()),
    "flow": partial(
        SplineFlowLearner,
        settings=SplineFlowConfig(epochs=3, batch=32, width=8, couplings=2, bins=4),
    ),
    "vae": partial(VAELearner, settings=VAEConfig(epochs=3, batch=32, width=8)),
    "ot-cfm": partial(OTCFMLearner, settings=OTCFMConfig(epochs=3, batch=32, width=8, ode_steps=5)),
    "cfm": partial(
        OTCFMLearner,
        settings=OTCFMConfig(epochs=3, batch=32, width=8, ode_steps=5, pairs="independent"),
    ),
    "ddpm": partial(
        DDPMLearner, settings=DDPMConfig(epochs=3, batch=32, width=8, diffusion_steps=5)
    ),
    "edm": partial(EDMLearner, settings=EDMConfig(epochs=3, batch=32, width=8, sampler_steps=3)),
}
SMALL_FLOW = OTCFMConfig(epochs=3, batch=32, width=16)
"""A flow that trains in a tenth of a second, for whole experiments."""

WEIGHING = ("em", "kde", "flow", "vae")
WITH_DENSITY = ("em", "kde", "flow")
SETTINGS = {
    {"em": "mixture"}.get(name, name): learner.keywords["settings"]
    for name, learner in LEARNERS.items()
}
"""Small settings by the names of the command line."""


def moons(*sizes):
    return [
        TrainingSet(two_moons(size, np.random.default_rng([7, size])), real=size) for size in sizes
    ]


def rngs(count, seed):
    return [np.random.default_rng([seed, r]) for r in range(count)]


def trained(name, data, fits=1, **options):
    learner = LEARNERS[name](chains=len(data), **options)
    learner.reset(rngs(len(data), 1))
    for fit in range(fits):
        learner.fit(data, rngs(len(data), 2 + fit))
    return learner
