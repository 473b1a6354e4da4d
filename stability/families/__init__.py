"""The shipped model families. Each is a frozen dataclass that satisfies `ParametricFamily`."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from stability.families.categorical import LinearLogits, Linkage
from stability.families.curved_normal import CurvedNormal
from stability.families.gamma import Gamma
from stability.families.gaussian import Gaussian, GaussianFull, GaussianMean, GaussianNatural
from stability.families.lipschitz import Lipschitz
from stability.families.logistic import GeneralisedLogistic, Logistic
from stability.families.mixture import GaussianMixture, GaussianMixtureFreeSd
from stability.families.ppca import PPCA
from stability.families.protocol import ParametricFamily
from stability.families.sinh_arcsinh import SinhArcsinh
from stability.families.student_t import StudentT

__all__ = [
    "FAMILIES",
    "PPCA",
    "CurvedNormal",
    "Gamma",
    "Gaussian",
    "GaussianFull",
    "GaussianMean",
    "GaussianMixture",
    "GaussianMixtureFreeSd",
    "GaussianNatural",
    "GeneralisedLogistic",
    "LinearLogits",
    "Linkage",
    "Lipschitz",
    "Logistic",
    "ParametricFamily",
    "SinhArcsinh",
    "StudentT",
]


def _binomial(trials: int = 3) -> LinearLogits:
    counts = torch.arange(trials + 1, dtype=torch.float64)
    choose = [math.log(math.comb(trials, j)) for j in range(trials + 1)]
    return LinearLogits(counts[:, None], torch.tensor(choose, dtype=torch.float64))


FAMILIES: Mapping[str, Callable[[], ParametricFamily]] = MappingProxyType(
    {
        "gaussian": Gaussian,
        "gaussian_2d": lambda: Gaussian(2),
        "gaussian_full": GaussianFull,
        "gaussian_natural": GaussianNatural,
        "gaussian_mean": lambda: GaussianMean(torch.eye(1, dtype=torch.float64)),
        "gamma": Gamma,
        "gamma_log": lambda: Gamma("log"),
        "student_t": StudentT,
        "mixture": GaussianMixture,
        "mixture_free_sd": GaussianMixtureFreeSd,
        "curved_normal": CurvedNormal,
        "sinh_arcsinh": SinhArcsinh,
        "logistic": Logistic,
        "generalised_logistic": GeneralisedLogistic,
        "ppca": PPCA,
        "binomial": _binomial,
        "linkage": Linkage,
    }
)
"""Name on the command line -> constructor of the default member."""
