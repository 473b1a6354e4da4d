from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from deep import checkpoint
from deep.models.edm import EDM
from deep.training.network_inputs import weights_for
from deep.training.trainer import Trainer
from stability.runs.command_line import UsageError
from tests.support.warm_up import CFM, NETWORK, WARMUP, official


@pytest.fixture
def file(tmp_path):
    """A file of torchcfm's kind after 12 updates, and the rate that its own loop uses next."""
    found, rate = official(12, lambda k: min(k, WARMUP) / WARMUP)
    checkpoint.write(tmp_path / "network.safetensors", replace(found, ema=None))
    return tmp_path / "network.safetensors", rate


def test_a_trainer_goes_on_with_the_stored_rate_and_adams_count(file):
    path, rate = file
    trainer = Trainer(EDM(), NETWORK.build(torch.Generator()), CFM, Accelerator(cpu=True))
    trainer.start_from(weights_for(NETWORK, path, CFM, "optimizer"), "optimizer")
    state = trainer.state_dict()
    assert state["updates"] == 12
    assert {float(moments["step"]) for moments in state["adam"]["state"].values()} == {12}
    assert CFM.rate(trainer.images_seen) == pytest.approx(rate, rel=1e-6)


def test_an_adam_that_cannot_go_on_is_a_usage_error_unless_it_is_not_carried(file):
    path, _ = file
    other = replace(CFM, learning_rate=1e-3)
    with pytest.raises(
        UsageError, match=r"--init: .*network\.safetensors: its Adam has the learning rate 0\.0002"
    ):
        weights_for(NETWORK, path, other, "optimizer")
    weights_for(NETWORK, path, other, "ema")
