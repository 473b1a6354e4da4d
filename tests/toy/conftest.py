"""Tiny networks gain nothing from a second thread, and lose much when the processors are busy."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_figures(monkeypatch):
    """Runs leave out their pictures, which take longer than the rest of a tiny one."""
    monkeypatch.setattr("toy.experiment.draw_figures", lambda *arguments: [])
