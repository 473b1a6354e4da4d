"""Environments that say that this is one of several processes, but not how they meet."""

import os

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from deep.training.first_process import patient_accelerator
from stability.runs.command_line import UsageError

NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
         "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # fmt: skip


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            "WORLD_SIZE=1 RANK=0 LOCAL_RANK=0",
            "WORLD_SIZE=1 RANK=0 LOCAL_RANK=0 .* without MASTER_ADDR: .* torchrun",
        ),
        ("WORLD_SIZE=2 RANK=1", "WORLD_SIZE=2 RANK=1 .* without MASTER_ADDR"),
        ("LOCAL_RANK=0", "LOCAL_RANK=0 .* unset LOCAL_RANK for a process alone"),
        ("OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_SIZE=2 .* without MASTER_ADDR"),
        ("WORLD_SIZE=two", "WORLD_SIZE .* whole number >= 1, got 'two'"),
        ("WORLD_SIZE=0", "WORLD_SIZE .* whole number >= 1, got '0'"),
        ("RANK=-3", "RANK .* whole number >= 0, got '-3'"),
        ("LOCAL_RANK=", "LOCAL_RANK .* whole number >= 0, got ''"),
        ("LOCAL_WORLD_SIZE=0", "LOCAL_WORLD_SIZE .* whole number >= 1, got '0'"),
    ],
)
def test_half_an_environment_is_refused_in_a_line_that_names_it(environment, message, monkeypatch):
    for assignment in environment.split():
        monkeypatch.setenv(*assignment.split("="))
    with pytest.raises(UsageError, match=message) as refused:
        patient_accelerator(cpu=True)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "environment", ["", "WORLD_SIZE=1 RANK=0", "LOCAL_RANK=-1", "LOCAL_WORLD_SIZE=1"]
)
def test_a_process_alone_needs_no_launcher(environment, monkeypatch):
    for assignment in environment.split():
        monkeypatch.setenv(*assignment.split("="))
    before = dict(os.environ)
    assert patient_accelerator(cpu=True).num_processes == 1
    assert {name: os.environ.get(name) for name in NAMES} == {
        name: before.get(name) for name in NAMES
    }


@pytest.fixture
def no_accelerator_yet():
    """Its state is one for the whole process, and is kept by those that come later."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


ASKED = {
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_DYNAMO_BACKEND": "eager",
}


@pytest.mark.usefixtures("no_accelerator_yet")
def test_the_environment_does_not_change_what_is_computed(monkeypatch):
    for name, value in ASKED.items():
        monkeypatch.setenv(name, value)
    accelerator = patient_accelerator(cpu=True)
    assert accelerator.mixed_precision == "no"
    network = accelerator.prepare(torch.nn.Identity())
    assert type(network) is torch.nn.Identity  # not compiled
    assert not hasattr(network, "_original_forward")  # nor wrapped in autocast


@pytest.mark.usefixtures("no_accelerator_yet")
def test_the_environment_would_change_it(monkeypatch):
    """Negative control: accelerate's own defaults take what it asks for."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    accelerator = Accelerator(cpu=True)
    assert hasattr(accelerator.prepare(torch.nn.Identity()), "_original_forward")


@pytest.mark.parametrize(
    "name", ["DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG", "SAGEMAKER"]
)
def test_another_way_to_train_is_refused(name, monkeypatch):
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    with pytest.raises(
        UsageError, match=f"ACCELERATE_USE_{name}=true in the environment is not supported"
    ):
        patient_accelerator(cpu=True)
