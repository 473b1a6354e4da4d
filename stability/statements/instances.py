"""Instances to check a statement on: for each shipped family a law of the data inside the family,
and one outside it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stability.analysis.local_analysis import LocalAnalysis, analyse
from stability.families import FAMILIES, Gaussian
from stability.laws.bracket import Bracket
from stability.laws.capabilities import in_domain
from stability.laws.family import Family
from stability.laws.law import Blend, Data, Law, Member, NormalMixture, as_law

__all__ = [
    "MISSPECIFIED",
    "TRUTHS",
    "DataName",
    "Instance",
    "LogNormal",
    "assumptions",
    "instance",
    "jacobian_slack",
    "mean_slack",
]

DataName: TypeAlias = Literal["well specified", "misspecified"]


@dataclass(frozen=True)
class LogNormal:
    """e^y with y ~ N(mean, sd²): a law on the half-line. sd > 0, else ValueError."""

    mean: float
    sd: float

    def __post_init__(self):
        if not (math.isfinite(self.mean) and math.isfinite(self.sd) and self.sd > 0):
            raise ValueError(
                f"mean and sd must be finite and sd > 0, got {self.mean} and {self.sd}"
            )

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, math.inf),)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of the log-normal law; −inf for x <= 0.

        Args:
            x: Points, (n, 1).

        Returns:
            (n,).
        """
        inside = x[:, 0] > 0
        y = torch.where(inside, x[:, 0], 1.0).log()
        value = (
            -(((y - self.mean) / self.sd) ** 2) / 2 - y - math.log(self.sd * math.sqrt(2 * math.pi))
        )
        return torch.where(inside, value, -torch.inf)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw independent points.

        Args:
            n: Number of points.
            generator: Source of all draws.

        Returns:
            (n, 1).
        """
        return torch.exp(
            self.mean + self.sd * torch.randn(n, 1, generator=generator, dtype=torch.float64)
        )


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


TRUTHS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "gaussian": (0.5, 2.0),
        "gaussian_2d": (0.0, 1.0, 1.0, -0.4, 0.7),
        "gaussian_full": (0.5, 2.0),
        "gaussian_natural": (1.0, 2.0),
        "gaussian_mean": (0.5,),
        "gamma": (2.0, 1.5),
        "gamma_log": (math.log(2.0), math.log(1.5)),
        "student_t": (0.5, -0.3),
        "mixture": (0.4, -1.5, 1.5),
        "mixture_free_sd": (0.4, -1.5, 1.5, -0.4, 0.1),
        "curved_normal": (1.5,),
        "sinh_arcsinh": (0.2, 0.1, 0.3, -0.2),
        "logistic": (0.5, -0.3),
        "generalised_logistic": (0.5, -0.3, 0.4),
        "ppca": (0.0, 1.0, 1.2, -0.6, -0.3),
        "binomial": (0.4,),
        "linkage": (0.4,),
    }
)
"""Name of a family -> θ of the law of the data that lies in it."""

_LINE = NormalMixture((0.7, 0.3), (-1.0, 2.0), (0.6, 1.0))
_PLANE = Blend(
    Member(Gaussian(2), _vector(-1.0, 0.5, 2.0, 0.0, 1.0)),
    Member(Gaussian(2), _vector(1.5, 0.0, 1.0, 0.5, 1.5)),
    0.7,
)
_HALF_LINE = LogNormal(0.2, 0.7)

MISSPECIFIED: Mapping[str, Data] = MappingProxyType(
    {
        "gaussian": _LINE,
        "gaussian_2d": _PLANE,
        "gaussian_full": _LINE,
        "gaussian_natural": _LINE,
        "gaussian_mean": _LINE,
        "gamma": _HALF_LINE,
        "gamma_log": _HALF_LINE,
        "student_t": _LINE,
        "mixture": _LINE,
        # _LINE lies in it
        "mixture_free_sd": NormalMixture((0.4, 0.3, 0.3), (-2.0, 0.0, 2.5), (0.6, 0.8, 1.0)),
        "curved_normal": _LINE,
        "sinh_arcsinh": _LINE,
        "logistic": _LINE,
        # on _LINE it has no maximum
        "generalised_logistic": NormalMixture((0.3, 0.7), (-2.0, 1.0), (1.0, 0.6)),
        "ppca": _PLANE,
        "binomial": np.repeat(np.arange(4.0), [10, 3, 4, 13]),  # two humps
        "linkage": np.repeat(np.arange(4.0), [125, 18, 20, 34]),  # Rao's counts
    }
)
"""Name of a family -> a law of the data that does not lie in it: a mixture with two humps, a
lognormal, or counts."""


@dataclass(frozen=True, eq=False)
class Instance:
    """A family and a law of the data.

    Attributes:
        name: For people. start (P,) or (s, P): where the search for θ* begins; None: where the
            family says.
    """

    name: str
    family: Family
    law: Law
    start: Tensor | None = field(default=None, repr=False)

    def contains(self, theta: Tensor) -> bool:
        """Tell whether θ is in the family's domain; True where the family does not say.

        Args:
            theta: Parameters, (P,).

        Returns:
            True if θ is in the domain.
        """
        return in_domain(self.family, theta)

    @cached_property
    def local(self) -> LocalAnalysis:
        """The local analysis at λ = 0; `local.at(lam)` is that at another λ.

        Raises as `analyse`.
        """
        return analyse(self.family, self.law, 0.0, self.start)


@cache
def _shipped(family: str, data: DataName) -> Instance:
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
    member: Family = FAMILIES[family]()
    laws: Mapping[str, Callable[[], Data]] = {
        "well specified": lambda: Member(member, _vector(*TRUTHS[family])),
        "misspecified": lambda: MISSPECIFIED[family],
    }
    if data not in laws:
        raise ValueError(f"data must be one of {', '.join(laws)}, got {data!r}")
    return Instance(f"{family}, {data}", member, as_law(laws[data]()))


def instance(family: str | Family, data: DataName | Data, start: Tensor | None = None) -> Instance:
    """A family on a law of the data: names of both, or a family of one's own, or data of one's own.

    Named instances are the same object at each call, so that their analysis is done once.

    Args:
        family: A name in FAMILIES, or anything with `log_prob` and `sample`.
        data: "well specified" or "misspecified" (shipped families alone), or an array, a density or
            a sampler.
        start: Initial θ of the search for θ*, (P,); needed if the family has no `start`.

    Returns:
        The instance.

    Raises:
        ValueError: For an unknown name, and for a named law with a family of one's own.
    """
    if isinstance(data, str):
        if not isinstance(family, str):
            raise ValueError(
                "data must be an array, a density or a sampler for a family of one's own, got "
                f"{data!r}"
            )
        named = _shipped(family, data)
        return named if start is None else replace(named, start=start)
    if isinstance(family, str):
        known = _shipped(family, "misspecified")
        return Instance(f"{family}, data given", known.family, as_law(data), start)
    return Instance(f"{type(family).__name__}, data given", family, as_law(data), start)


def assumptions(local: LocalAnalysis) -> dict[str, float | Bracket]:
    """The assumptions of Theorem 1, as measured: the `assumptions` of a verdict.

    Args:
        local: The analysis.

    Returns:
        Name -> the number, or the interval that holds it.
    """
    named = {
        "L": local.lipschitz.bracket,
        "ε": local.eps,
        "λ(1 + Lε/α)": local.condition,
    }
    return {"α": local.alpha} | {
        name: value.low if value.known else value for name, value in named.items()
    }


def mean_slack(local: LocalAnalysis) -> float:
    """Error that integration and rounding leave in A and in B, in spectral norm.

    P times the error of the largest entry; six standard errors of it where the integral is Monte
    Carlo.

    Args:
        local: The analysis that holds A and B.

    Returns:
        The bound on the error, >= 0.
    """
    errors = 6 if "monte carlo" in local.method else 1
    size = float(np.linalg.norm(local.A, 2) + np.linalg.norm(local.B, 2))
    return len(local.A) * errors * local.integration_error + 1e-12 * size


def jacobian_slack(local: LocalAnalysis) -> float:
    """Error that `mean_slack` leaves in J = λKB, K = (A + λB)⁻¹, in spectral norm, to first
    order.

    Args:
        local: The analysis that holds A, B and λ.

    Returns:
        The bound on the error, > 0.
    """
    inverse = float(np.linalg.norm(np.linalg.inv(local.A + local.lam * local.B), 2))
    return mean_slack(local) * inverse * ((1 + local.lam) * local.norm + local.lam) + 1e-12
