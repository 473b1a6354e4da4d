"""The waiting of OpenMP's threads is set before the library that reads it is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARIES = ("torch", "numba")  # each brings an OpenMP
AT_FIRST = f"""
import os, sys

class Spy:
    def find_spec(self, name, path=None, target=None):
        if name in {LIBRARIES!r}:
            print(name, os.environ.get("GOMP_SPINCOUNT"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Spy())
"""
MODULES = ("stability.transport.assignment", "toy.learners.ot_cfm", "deep.train", "deep.retrain")


def said(code, **chosen):
    """The output of a fresh process, without anything in the environment about waiting but
    `chosen`.
    """
    chosen["PYTHONPATH"] = str(ROOT)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))
    }
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=kept | chosen, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_it_is_said_before_the_first_library_is_imported(module):
    library, count = said(f"{AT_FIRST}import {module}").split()
    assert library in LIBRARIES
    assert count == "1000"


def test_the_spy_sees_a_package_that_comes_too_late():
    assert said(f"{AT_FIRST}import torch, stability") == "torch None\n"


def test_what_the_user_says_is_kept():
    code = f"{AT_FIRST}import stability, torch"
    assert said(code, OMP_WAIT_POLICY="ACTIVE") == "torch None\n"
    assert said(code, GOMP_SPINCOUNT="7") == "torch 7\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs GNU OpenMP")
def test_the_library_reads_it():
    displayed = said("import deep, torch", OMP_DISPLAY_ENV="VERBOSE")
    assert "GOMP_SPINCOUNT = '1000'" in displayed
    assert "GOMP_SPINCOUNT = '1000'" not in said("import torch", OMP_DISPLAY_ENV="VERBOSE")
