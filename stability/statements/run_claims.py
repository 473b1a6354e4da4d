"""Claims about runs, decided over their seeds: exact sign tests, and intervals where nothing grows.

Such a claim is stated before a run. Its verdict is computed as that of any other claim.

Source: our own results; the claims are about Figures 3, 8 and 9 of the paper.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stability.laws.bracket import Bracket
from stability.runs.atomic import atomic_write
from stability.runs.trends import Interval, sign_test, student_interval
from stability.runs.untrusted import UntrustedFileError, parse_json, printable, read_bytes
from stability.statements.claim import Claim, Premise
from stability.statements.examination import Examination
from stability.statements.verdict import Evidence, Status, Verdict, compare

__all__ = [
    "ENOUGH_SEEDS",
    "FILE",
    "GROWTH_ERROR",
    "any_error",
    "growth_verdict",
    "interval_verdict",
    "read_verdicts",
    "sign_verdict",
    "write_verdicts",
]

FILE = "verdicts.json"
"""Name of the file of verdicts in the folder of a run."""

_LARGEST = 1 << 22
"""Bytes of a file that is read."""

ENOUGH_SEEDS = Premise("seeds", ">=", 3, Status.UNDECIDED)
"""Fewer seeds have no interval that says anything."""

GROWTH_ERROR = 0.025
"""Greatest probability that `growth_verdict` finds growth although there is none."""


def sign_verdict(
    claim: Claim, case: str, differences: NDArray[np.float64], level: float, unit: str
) -> Verdict:
    """Decide whether more than half of the differences are positive; a tie counts against it.

    Args:
        claim: Claim that the p-value is at most the level (`relation` "<=").
        case: Run that it is checked on.
        differences: One a seed, (S,).
        level: Greatest probability to find a sign although there is none, in (0, 1).
        unit: Unit of the differences, e.g. "a retraining".

    Returns:
        `HOLDS` if they are positive, `VIOLATED` if they are negative, `UNDECIDED` if neither is
        found.
    """
    test = sign_test(differences)
    opposite = test.p_opposite <= level
    return claim.verdict(
        case,
        measured=test.p,
        # a p-value above the level refutes nothing, unless the opposite is found
        claimed=level if opposite or test.p <= level else Bracket(level, math.inf),
        method=f"sign test over seeds at {level:g}",
        false_alarm=level,
        note=f"{test.positive} of {test.seeds} seeds, p = {test.p:.1g}; mean "
        f"{differences.mean():.3g} {unit}",
    )


def growth_verdict(
    claim: Claim, case: str, own: NDArray[np.float64], control: NDArray[np.float64], unit: str
) -> Verdict:
    """Decide whether slopes are above 0 and above those of a control, seed by seed.

    It is violated only where two one-sided t-tests at 2.5 % both find growth, so with no more
    probability than one of them.

    Args:
        claim: Claim that the lower of both ends is at most 0 (`relation` "<="), with the need
            `ENOUGH_SEEDS`.
        case: Run that it is checked on.
        own: Slopes, one a seed, (S,).
        control: Slopes of the control, the same seeds, (S,).
        unit: Unit of the slopes.

    Returns:
        `VIOLATED` if both intervals are above 0, `UNDECIDED` with fewer than three seeds, and
        `HOLDS` otherwise.
    """
    alone, beside = student_interval(own), student_interval(own - control)
    return claim.verdict(
        case,
        measured=min(alone.low, beside.low),
        claimed=0.0,
        method="95 % intervals of the mean slope, and of its difference from the control",
        false_alarm=GROWTH_ERROR,
        assumptions={"seeds": float(len(own))},
        note=f"[{alone.low:.2g}, {alone.high:.2g}] {unit}; difference [{beside.low:.2g}, "
        f"{beside.high:.2g}]",
    )


def interval_verdict(
    claim: Claim, case: str, interval: Interval, stated: float, method: str
) -> Verdict:
    """Decide a claim about a mean by its interval.

    Args:
        claim: Claim about the mean; its error rate is the level of the interval.
        case: Run that it is checked on.
        interval: Interval of the mean.
        stated: Number that the claim compares it with.
        method: What the interval is of.

    Returns:
        For an equation `HOLDS` where the interval holds the number, else `VIOLATED`. For an
        inequality `HOLDS` where the whole interval is on the claimed side, `VIOLATED` where none
        of it is, and `UNDECIDED` otherwise. What is measured is then the end that decides.
    """
    mean, half = interval.mean, interval.half_width
    rest = {"method": method, "false_alarm": interval.level}
    rest["note"] = f"{mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]"
    if claim.relation == "==":
        return claim.verdict(case, measured=mean, claimed=stated, tolerance=half, **rest)

    ends = interval.low, interval.high
    best, worst = ends if claim.relation in ("<", "<=") else ends[::-1]
    found = [compare(end, claim.relation, stated) for end in (best, worst)]
    if found[0] is found[1]:
        measured = worst if found[0] is Status.HOLDS else best
        return claim.verdict(case, measured=measured, claimed=stated, **rest)
    open_ = claim.verdict(case, measured=mean, claimed=stated, **rest)
    return dataclasses.replace(open_, status=Status.UNDECIDED)


def any_error(claims: Sequence[Claim]) -> float:
    """Greatest probability that any of some claims is decided wrongly: the sum of their rates.

    Args:
        claims: The claims of one run.

    Returns:
        The union bound, at most 1.
    """
    return min(1.0, sum(claim.error_rate for claim in claims))


def write_verdicts(folder: Path, command: str, title: str, verdicts: Sequence[Verdict]) -> Path:
    """Write the verdicts of a run, which `python -m stability --runs` reads.

    Args:
        folder: Folder of the run.
        command: Command that stated the claims, e.g. "toy.figure8".
        title: What was run, in one line.
        verdicts: The verdicts.

    Returns:
        The file.
    """
    path = folder / FILE
    content = Examination(command, title, tuple(verdicts), (), (), 0.0).to_dict()
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())
    return path


def read_verdicts(folder: Path) -> Examination:
    """Read the result of `write_verdicts`.

    Args:
        folder: Folder of the run.

    Returns:
        The verdicts, as an examination without controls.

    Raises:
        UntrustedFileError: If the file is no such file.
        OSError: If it cannot be read.
    """
    content = parse_json(read_bytes(folder / FILE, _LARGEST), _LARGEST)
    try:
        name, title = _text(content["statement"]), _text(content["title"])
        verdicts = tuple(_verdict(row) for row in content["verdicts"])
    except (KeyError, TypeError, ValueError) as error:
        raise UntrustedFileError(f"holds no verdicts of a run ({printable(error)})") from None
    if not verdicts:
        raise UntrustedFileError("holds no verdict")
    return Examination(name, title, verdicts, (), (), 0.0)


def _verdict(row: Mapping[str, Any]) -> Verdict:
    """A verdict from its plain values. KeyError, TypeError or ValueError if it is none."""
    read = {
        field.name: _READERS.get(str(field.type), _text)(row[field.name])
        for field in dataclasses.fields(Verdict)
    }
    if read["relation"] not in ("==", "<=", ">=", "<", ">"):
        raise ValueError(f"relation {read['relation']!r}")
    return Verdict(**read)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, got {value!r}")
    return printable(value, 2000)


def _numbers(value: Any) -> dict[str, float]:
    """Measured assumptions; an interval by its lower end."""
    return {
        _text(name): float(number["low"] if isinstance(number, Mapping) else number)
        for name, number in value.items()
    }


_READERS: dict[str, Any] = {
    str(float): float,
    str(Status): Status,
    str(Evidence): Evidence,
    str(Mapping[str, float | Bracket]): _numbers,
}
"""Type of a field -> what makes it of a plain value; "inf" and "nan" are texts there."""
