"""The learners on a GPU, where steps are recorded and replayed: the same numbers as on a CPU,
but for rounding.
"""

import numpy as np
import pytest
import torch

from tests.support.learners_2d import LEARNERS, moons, rngs, trained
from toy.learners import training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
TRAINED = ("flow", "vae", "ot-cfm", "cfm", "ddpm", "edm")


@pytest.mark.parametrize("name", TRAINED)
def test_training_and_samples_are_those_of_a_cpu(name):
    """Chains of unequal length, in two fits of 3 epochs: each set of active chains is recorded
    and replayed.
    """
    data = moons(300, 130, 130)
    on = {device: trained(name, data, fits=2, device=device) for device in ("cpu", "cuda")}
    assert any(recording is not None for recording in on["cuda"].trainer._recordings.values())
    np.testing.assert_allclose(on["cuda"].parameters, on["cpu"].parameters, atol=2e-4)
    drawn = {device: learner.sample([200] * 3, rngs(3, 9)) for device, learner in on.items()}
    for one, two in zip(drawn["cuda"], drawn["cpu"], strict=True):
        assert np.median(np.abs(one - two)) < 1e-3


@pytest.mark.parametrize("name", TRAINED)
def test_a_state_goes_on_as_if_nothing_had_been(name):
    data = moons(100, 70)
    whole = trained(name, data, fits=2, device="cuda")
    half = trained(name, data, fits=1, device="cuda")
    other = LEARNERS[name](chains=2, device="cuda")
    other.load_state_dict(half.state_dict())
    other.fit(data, rngs(2, 3))
    np.testing.assert_allclose(other.parameters, whole.parameters, atol=2e-4)


def test_replaying_is_taking_the_step(monkeypatch):
    data = moons(300, 130)
    replayed = trained("ddpm", data, fits=2, device="cuda")
    monkeypatch.setattr(training.BatchedTrainer, "_replay", training.BatchedTrainer.step)
    np.testing.assert_allclose(
        replayed.parameters, trained("ddpm", data, fits=2, device="cuda").parameters, atol=1e-5
    )
