"""Fixtures of many tests of toy."""

import pytest


@pytest.fixture
def no_figures(monkeypatch):
    """Runs leave out their pictures, which take longer than the rest of a tiny one."""
    monkeypatch.setattr("toy.measures.figures.draw_figures", lambda *arguments: [])
