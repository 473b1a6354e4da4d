"""Rules for every test: warnings are errors, invalid arithmetic raises, no network, no
global random state.
"""

import gc
import os
import random  # noqa: TID251
import shutil
import socket
from pathlib import Path

# Tests run side by side: threads that wait for each other leave the processor to the tests beside
# them. read by OpenMP once, when torch is imported; children inherit it
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# POT imports every array library that is installed, and some of them draw from NumPy's global
# generator when imported.
os.environ.update(
    POT_BACKEND_DISABLE_JAX="1", POT_BACKEND_DISABLE_CUPY="1", POT_BACKEND_DISABLE_TENSORFLOW="1"
)

import hypothesis
import numpy as np
import pytest
import scipy.linalg  # noqa: F401  # has a library of its own
import threadpoolctl
import torch

from tests.support.browser import Browser

FIXTURES = Path(__file__).parent / "fixtures"
FALSE_ALARM = 1e-6
"""Probability that a Monte-Carlo test fails although what it tests is true; shared among its
comparisons."""

LIBRARIES = threadpoolctl.ThreadpoolController()
LIBRARIES.limit(limits=1)

hypothesis.settings.register_profile("project", deadline=None, max_examples=50, print_blob=True)
hypothesis.settings.load_profile("project")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Eight thousand tests are half a million objects that live to the end: Python's collector
    would visit them again and again, which took more time than many tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def one_thread():
    """Tests run side by side: a second thread gains nothing.

    Commands set the number for their process.
    """
    torch.set_num_threads(1)
    LIBRARIES.limit(limits=1, user_api="blas")


@pytest.fixture(autouse=True)
def invalid_arithmetic_raises():
    with np.errstate(invalid="raise"):
        yield


@pytest.fixture(autouse=True)
def no_global_random_state():
    """Python's own is given back: libraries draw from it when they are imported, and tyro when
    it sees pytest.
    """
    before, python = _states(), random.getstate()
    yield
    random.setstate(python)
    for name, state in _states().items():
        assert state == before[name], f"the test moved the global random state of {name}"


def _states():
    numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return {
        "numpy": (numpy["key"].tobytes(), numpy["pos"]),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    connect = socket.socket.connect

    def refuse(self, address):
        if self.family != socket.AF_UNIX:
            raise OSError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def rng():
    """A generator with a fresh seed, which a failure prints."""
    seed = np.random.SeedSequence().entropy
    print(f"rng seed: {seed}")  # noqa: T201
    return np.random.default_rng(seed)


@pytest.fixture
def browser(tmp_path):
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs Chromium")
    browser = Browser(program, tmp_path / "profile")
    yield browser
    browser.close()
