"""Options and history of a run of a 2-D experiment, read from its folder, which may be damaged
or hostile.
"""

import math
from pathlib import Path
from typing import Any

from stability.runs.command_line import UsageError
from stability.runs.untrusted import UntrustedFileError, parse_json, read_bytes

__all__ = ["QUANTITIES", "read_config", "read_history"]

QUANTITIES = ("w1", "w2")
LARGEST_CONFIG = 2**20  # bytes
LARGEST_HISTORY = 2**28  # bytes


def read_config(run: Path) -> dict[str, Any]:
    """Read the options of a run of a 2-D experiment.

    Args:
        run: Its folder.

    Returns:
        The options, flat, by name.

    Raises:
        UsageError: If the folder holds no such run, or its `config.json` is damaged.
        OSError: If there is no `config.json`.
    """
    file = run / "config.json"
    try:
        content = parse_json(read_bytes(file, LARGEST_CONFIG))
    except UntrustedFileError as error:
        raise UsageError(f"{file} {error}") from None

    config = content.get("config") if isinstance(content, dict) else None
    needed = {"lam", "regime", "samples", "seed", "seeds", "retrainings", "latents"}
    if not isinstance(config, dict) or not config.keys() >= needed or "data" in config:
        raise UsageError(f"{run} is not a run of a 2-D experiment (toy.run, toy.two_moons, …)")
    return config


def read_history(run: Path) -> list[Any]:
    """Read the finished generations of a run of a 2-D experiment.

    Args:
        run: Its folder.

    Returns:
        The lines of its history, each with the same chains, and finite W1 and W2 of each.

    Raises:
        UsageError: If the history is damaged, or has no generation yet.
        OSError: If there is none.
    """
    file = run / "history.jsonl"
    try:
        lines = read_bytes(file, LARGEST_HISTORY).splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()  # being written, or cut by a kill
        history = [parse_json(line) for line in lines]
    except UntrustedFileError as error:
        raise UsageError(f"{file} is damaged: it {error}") from None

    if not history:
        raise UsageError(f"{file} has no finished generation")
    chains = _chains(history[0])
    for t, line in enumerate(history):
        if not chains or _chains(line) != chains or line.get("t") != t:
            raise UsageError(
                f"{file} is damaged: line {t + 1} is not generation {t} of this run with W1 and W2"
            )
    return history


def _chains(line: Any) -> list[tuple[str, int]] | None:
    """Regime and replica of each chain of a line, all regimes with equally many; None if it is
    not of such a line.
    """
    chains = line.get("chains") if isinstance(line, dict) else None
    if not isinstance(chains, list) or not all(map(_is_measured, chains)):
        return None
    found = [(chain["regime"], chain["replica"]) for chain in chains]
    names = [name for name, _ in found]
    whole = len(set(found)) == len(found) and len({names.count(name) for name in names}) == 1
    return sorted(found) if whole else None


def _is_measured(chain: Any) -> bool:
    if not (
        isinstance(chain, dict)
        and isinstance(chain.get("regime"), str)
        and isinstance(chain.get("replica"), int)
    ):
        return False
    return all(_is_finite(chain.get(quantity)) for quantity in QUANTITIES)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
