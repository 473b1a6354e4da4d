"""Histories made up for tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from stability.loop.regimes import FullySynthetic, Regime
from stability.runs.history import ChainRecord, History, HistoryLine

__all__ = ["chain", "history_of"]


def chain(regime: Regime, seed: int, **measured: Any) -> ChainRecord:
    """A record of 6 real and 3 synthetic points; fully synthetic has no real ones."""
    n, m = (0, 9) if regime == FullySynthetic() else (6, 3)
    return ChainRecord(regime, seed, n, m, measured)


def history_of(
    curves: Mapping[str, Mapping[Any, Sequence[Sequence[float]]]],
) -> History:
    """A history with these curves.

    Args:
        curves: Quantity -> regime -> (T + 1, S).
    """
    first = next(iter(curves.values()))
    regimes = list(first)
    generations, seeds = len(first[regimes[0]]), len(first[regimes[0]][0])
    return History(
        tuple(
            HistoryLine(
                t,
                tuple(
                    chain(regime, s, **{key: float(of[regime][t][s]) for key, of in curves.items()})
                    for regime in regimes
                    for s in range(seeds)
                ),
            )
            for t in range(generations)
        )
    )
