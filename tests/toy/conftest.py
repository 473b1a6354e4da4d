"""Fixtures of many tests of toy."""

import pytest

from tests.support.figures import leave_out_figures


@pytest.fixture
def no_figures(monkeypatch):
    """Runs leave out their pictures, which take longer than the rest of a tiny one."""
    leave_out_figures(monkeypatch)
