"""Hypothesis strategies for local analyses: matrices A ≺ 0 and B ≼ 0 at random, and families
with data at random.
"""

from dataclasses import replace

import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st

from stability.analysis.lipschitz_search import Constant
from stability.families import CurvedNormal, Gamma, Linkage, Logistic, StudentT
from stability.laws.bracket import Bracket
from stability.laws.law import Member, NormalMixture
from stability.statements.instances import Instance, instance
from tests.support.strategies import (
    boxes,
    linear_logits,
    linkages,
    logistics,
    student_ts,
)


def few(examples: int) -> settings:
    """For properties that take a second an example: this many, and none to make a failing one
    smaller.
    """
    return settings(max_examples=examples, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def positive_matrix(seed, d, rank, log_condition):
    """A symmetric matrix with `rank` eigenvalues in [10^−log_condition, 1] and the others 0."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    values = np.where(np.arange(d) < rank, 10 ** (-log_condition * rng.random(d)), 0)
    return (basis * values) @ basis.T


@st.composite
def local_problems(draw):
    """A ≺ 0 with condition number <= 1e4, B ≼ 0 of any rank from 0 to d, and λ in [0, 1000]."""
    d = draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**31))
    A = -positive_matrix(seed, d, d, 4)
    B = -positive_matrix(seed + 1, d, draw(st.integers(0, d)), 4) * 10 ** draw(st.floats(-2, 2))
    return A, B, draw(st.floats(0, 1e3))


@st.composite
def local_analyses(draw):
    """A `LocalAnalysis` for random A, B and λ <= 1000, with the least Lε that eq. (80) allows, in
    random shares of L and ε.

    All else in it is that of an arbitrary instance.
    """
    A, B, lam = draw(local_problems())
    eps = draw(st.floats(0.1, 10))
    return replace(
        instance("linkage", "well specified").local,
        lam=lam,
        theta=np.zeros(len(A)),
        A=A,
        B=B,
        C=-A,
        fisher=-B,
        lipschitz=Constant(
            float(np.linalg.norm(A - B, 2)) / eps, "the least that (80) allows", is_upper_bound=True
        ),
        eps=Bracket(eps, eps),
    )


@st.composite
def normal_mixtures(draw):
    """Two normal laws with means 0 and 0.5 … 4, sds 0.5 … 1, each with at least a fifth of the
    mass.
    """
    weight, gap = draw(st.floats(0.2, 0.8)), draw(st.floats(0.5, 4))
    return NormalMixture(
        (weight, 1 - weight), (0.0, gap), (draw(st.floats(0.5, 1)), draw(st.floats(0.5, 1)))
    )


@st.composite
def counts(draw, k: int):
    """Points 0 … k−1, each at least 5 times."""
    return np.repeat(
        np.arange(float(k)), draw(st.lists(st.integers(5, 50), min_size=k, max_size=k))
    )


def bounded_gammas():
    """Gamma laws of shape >= 1: the density of smaller shapes has a pole at 0, where quadrature
    of scores gives up.
    """
    return st.tuples(st.just(Gamma()), boxes((1, 10), (0.3, 5)))


@st.composite
def instances(draw):
    """A family of one or two parameters on a law of the data inside it or outside it."""
    if draw(st.booleans()):
        family, theta = draw(
            st.one_of(bounded_gammas(), linear_logits(), linkages(), logistics(), student_ts())
        )
        return Instance(f"{family} at {theta.tolist()}", family, Member(family, theta))
    family = draw(st.sampled_from([CurvedNormal(), Linkage(), Logistic(), StudentT(5.0)]))
    return instance(family, draw(counts(4) if isinstance(family, Linkage) else normal_mixtures()))
