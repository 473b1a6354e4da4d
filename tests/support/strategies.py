"""Hypothesis strategies for members of the shipped families: pairs (family, θ), bounded away
from the domain's edge.
"""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor

from stability.families import (
    PPCA,
    CurvedNormal,
    Gamma,
    Gaussian,
    GaussianFull,
    GaussianMean,
    GaussianMixture,
    GaussianMixtureFreeSd,
    GaussianNatural,
    GeneralisedLogistic,
    LinearLogits,
    Linkage,
    Logistic,
    ParametricFamily,
    SinhArcsinh,
    StudentT,
)
from stability.families.gaussian import to_coordinates

Member = tuple[ParametricFamily, Tensor]


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def boxes(*bounds: tuple[float, float]) -> st.SearchStrategy[Tensor]:
    """Vectors with one coordinate in each of the intervals."""
    return st.tuples(*(st.floats(low, high) for low, high in bounds)).map(
        lambda values: tensor(*values)
    )


@st.composite
def spd_matrices(draw, d: int, smallest: float = 0.3, largest: float = 3.0) -> Tensor:
    """Symmetric matrices (d, d) with eigenvalues in [smallest, largest], in any orthonormal
    basis.
    """
    values = draw(boxes(*[(smallest, largest)] * d))
    rotation = torch.eye(d, dtype=torch.float64)
    for i in range(d):
        for j in range(i + 1, d):
            angle = draw(st.floats(0, math.pi))
            plane = torch.eye(d, dtype=torch.float64)
            plane[i, i] = plane[j, j] = math.cos(angle)
            plane[i, j], plane[j, i] = -math.sin(angle), math.sin(angle)
            rotation = rotation @ plane
    matrix = (rotation * values) @ rotation.T
    return (matrix + matrix.T) / 2


def means(d: int) -> st.SearchStrategy[Tensor]:
    return boxes(*[(-3, 3)] * d)


@st.composite
def gaussians(draw) -> Member:
    d = draw(st.integers(1, 3))
    family = Gaussian(d)
    return family, family.join(draw(means(d)), draw(spd_matrices(d)))


@st.composite
def full_gaussians(draw, smallest: int = 1) -> Member:
    d = draw(st.integers(smallest, 3))
    return GaussianFull(d), torch.cat([draw(means(d)), draw(spd_matrices(d)).flatten()])


@st.composite
def natural_gaussians(draw) -> Member:
    d = draw(st.integers(1, 3))
    precision = draw(spd_matrices(d))
    return GaussianNatural(d), torch.cat([precision @ draw(means(d)), to_coordinates(precision)])


@st.composite
def gaussian_means(draw) -> Member:
    d = draw(st.integers(1, 3))
    return GaussianMean(draw(spd_matrices(d))), draw(means(d))


@st.composite
def gammas(draw) -> Member:
    family = Gamma(draw(st.sampled_from(["natural", "log"])))
    theta = draw(boxes((0.5, 10), (0.3, 5)))
    return family, theta if family.parameters == "natural" else theta.log()


def student_ts() -> st.SearchStrategy[Member]:
    return st.tuples(st.floats(4, 20).map(StudentT), boxes((-3, 3), (-1.5, 1.5)))


@st.composite
def mixtures(draw) -> Member:
    """Means in random order, at least half an sd apart."""
    K, sd = draw(st.integers(2, 3)), draw(st.floats(0.5, 2))
    gaps = draw(boxes(*[(0.5, 4)] * K)) * sd
    order = draw(st.permutations(range(K)))
    mean = draw(st.floats(-2, 2)) + gaps.cumsum(0)[list(order)]
    return GaussianMixture(K, sd), torch.cat([draw(boxes(*[(-1.5, 1.5)] * (K - 1))), mean])


@st.composite
def free_sd_mixtures(draw) -> Member:
    K = draw(st.integers(2, 3))
    return GaussianMixtureFreeSd(K), draw(
        boxes(*[(-1.5, 1.5)] * (K - 1), *[(-3, 3)] * K, *[(-0.7, 0.7)] * K)
    )


def curved_normals() -> st.SearchStrategy[Member]:
    return st.tuples(st.just(CurvedNormal()), boxes((0.3, 5)))


def sinh_arcsinhs(largest_log_tail: float = 0.4) -> st.SearchStrategy[Member]:
    return st.tuples(
        st.just(SinhArcsinh()), boxes((-2, 2), (-1, 1), (-1, 1), (-1.4, largest_log_tail))
    )


def logistics() -> st.SearchStrategy[Member]:
    return st.tuples(st.just(Logistic()), boxes((-3, 3), (-1.5, 1.5)))


def generalised_logistics() -> st.SearchStrategy[Member]:
    return st.tuples(st.just(GeneralisedLogistic()), boxes((-3, 3), (-1.5, 1.5), (-1.5, 1.5)))


@st.composite
def ppcas(draw) -> Member:
    d = draw(st.integers(2, 3))
    return PPCA(d), draw(boxes(*[(-3, 3)] * d, *[(0.3, 2)] * d, (-0.7, 0.7)))


@st.composite
def linear_logits(draw) -> Member:
    """Polynomial features of degree at most 2 on 4 to 6 values, with a random offset."""
    k, P = draw(st.integers(4, 6)), draw(st.integers(1, 2))
    grid = torch.linspace(-1, 1, k, dtype=torch.float64)
    features = torch.stack([grid ** (i + 1) for i in range(P)], 1)
    return LinearLogits(features, draw(boxes(*[(-1, 1)] * k))), draw(boxes(*[(-2, 2)] * P))


def linkages() -> st.SearchStrategy[Member]:
    return st.tuples(st.just(Linkage()), boxes((0.1, 0.9)))
