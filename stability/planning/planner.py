"""`plan`: how much synthetic data a loop can take, under which regime, and at what price."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

from stability.loop.arguments import require_number, whole_number
from stability.loop.regimes import (
    Accumulate,
    FreshReal,
    Mix,
    Regime,
    ReplaceShare,
    Subsample,
)
from stability.planning.plan_record import Plan
from stability.planning.prices import Measure
from stability.planning.theory_plan import MEASURES, Make, TheoryQuestion, answer

__all__ = ["REGIMES", "plan"]

REGIMES: dict[str, Make] = {
    "mix": Mix,
    "synthetic": None,
    "accumulate": Accumulate,
    "fresh": FreshReal,
    "replace": ReplaceShare,
    "subsample": lambda lam: Subsample(Accumulate(lam)),
}
"""Regimes by the names that command lines give them; None: it takes no λ."""


def plan(
    real: int | None = None,
    *,
    regime: str | Callable[[float], Regime] | Sequence[str | Callable[[float], Regime]] = "mix",
    lam: float | Collection[float] = (),
    generations: int | None = None,
    tolerate: float | None = None,
    on: Measure = "error",
    error: float | None = None,
    response: float = 1.0,
    bias: float = 0.0,
    cost_real: float | None = None,
    cost_synthetic: float | None = None,
) -> Plan:
    """Plan a loop. Leave out one of n, λ, rounds and tolerance, and it is solved for.

    Args:
        real: Number of real points n; None: found from `error`.
        regime: Names of `REGIMES`, or functions λ -> regime for rules of your own.
        lam: Synthetic points per real point, one or more; none: the largest that is tolerated.
        generations: Retrainings; None: for ever.
        tolerate: Largest acceptable increase, 0.1 for 10 %.
        on: What must not increase by more: the root mean squared `error`, the `variance`, or the
            `bias`.
        error: Root mean squared error wanted, in standard deviations of a feature; finds n.
        response: J, the slope of the model's value in that of its training set.
        bias: δ, the bias of one fit, in standard deviations of a feature.
        cost_real: Price in money of a real point.
        cost_synthetic: Price in money of a synthetic point.

    Returns:
        The plan.

    Raises:
        ValueError: If an argument is out of range, or too much is left out.
        RegimeError: If theory alone cannot plan a regime.
    """
    names = [regime] if isinstance(regime, str) or callable(regime) else list(regime)
    lams = (lam,) if isinstance(lam, int | float) else tuple(lam)
    for value in lams:
        _require_positive(value, "lam", zero=True)
    for name, value in (("tolerate", tolerate), ("error", error), ("response", response)):
        _require_positive(value, name)
    for name, value in (("cost_real", cost_real), ("cost_synthetic", cost_synthetic)):
        _require_positive(value, name, zero=True)
    require_number(bias, "bias")
    if not math.isfinite(bias):
        raise ValueError(f"bias must be finite, got {bias}")
    if on not in MEASURES:
        raise ValueError(f"on must be one of {tuple(MEASURES)}, got {on!r}")
    if (cost_real is None) != (cost_synthetic is None):
        raise ValueError("cost_real and cost_synthetic must be given together")
    if real is not None and error is not None:
        raise ValueError("error finds the number of real points: give real or error, not both")
    return answer(
        TheoryQuestion(
            n=None if real is None else whole_number(real, "real", 1),
            makes={_name(each): _make(each) for each in names},
            lams=tuple(map(float, lams)),
            generations=None
            if generations is None
            else whole_number(generations, "generations", 1),
            tolerance=tolerate,
            on=on,
            error=error,
            response=response,
            bias=bias,
            cost_real=cost_real,
            cost_synthetic=cost_synthetic,
        )
    )


def _require_positive(value: Any, name: str, zero: bool = False) -> None:
    if value is None:
        return
    require_number(value, name)
    if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise ValueError(f"{name} must be finite and {'>=' if zero else '>'} 0, got {value}")


def _name(regime: str | Callable[[float], Regime]) -> str:
    return regime if isinstance(regime, str) else getattr(regime, "__name__", str(regime))


def _make(regime: str | Callable[[float], Regime]) -> Make:
    if not isinstance(regime, str):
        return regime
    if regime not in REGIMES:
        raise ValueError(f"regime must be one of {tuple(REGIMES)}, got {regime!r}")
    return REGIMES[regime]
