"""Identical calls of a proof are computed once in all the tests of this folder; the tests go
through the modules.
"""

import functools

import pytest

from stability.proofs.symbolic import (
    lemma_e1,
    proposition1,
    proposition2,
    stationary_error,
    student_t,
    theorem1,
    theorem2,
)


@pytest.fixture(scope="session", autouse=True)
def computed_once():
    modules = (
        lemma_e1,
        proposition1,
        proposition2,
        stationary_error,
        student_t,
        theorem1,
        theorem2,
    )
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            for name in module.__all__:
                if callable(getattr(module, name)):
                    patch.setattr(module, name, functools.cache(getattr(module, name)))
        yield
