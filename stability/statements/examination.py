"""Runs a statement: its check on every instance, its negative controls and its counterexamples,
and the proofs.
"""

import copy
import inspect
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from threading import Thread
from types import ModuleType
from typing import Any

import numpy as np

from stability.runs.command_line import UsageError
from stability.runs.processors import processors
from stability.statements import GROUPS, STATEMENTS, import_statement
from stability.statements.claim import Claim
from stability.statements.errata import ERRATA, Kind
from stability.statements.mutation import Seen
from stability.statements.verdict import Evidence, MachineChecked, Status, Verdict

__all__ = [
    "RUN_CLAIMS",
    "ClaimVerdicts",
    "Examination",
    "claims",
    "controls",
    "evidence",
    "examine",
    "examine_all",
    "grouped",
    "machine_checked",
    "summary",
]

RUN_CLAIMS = "Claims about runs"
"""Title of the group of claims that modules outside of this package declare."""

DEFAULT_LAMS = (0.05, 0.2, 1.0)
"""λ at which a statement that depends on it is examined where only families are given."""

_LONGEST = frozenset({"proofs", "theorem2", "theorem1", "lemma_e1"})
"""Statements that are started first, so that no process is left alone with one at the end."""

_WORST_FIRST = (
    Status.VIOLATED,
    Status.CORRECTED,
    Status.HOLDS,
    Status.UNDECIDED,
    Status.VACUOUS,
    Status.NOT_APPLICABLE,
    Status.SKIPPED,
)


_PLURAL = {Status.HOLDS: "hold", Status.CORRECTED: "hold with correction"}


def tally(verdicts: Iterable[Verdict]) -> str:
    """Count the verdicts of each status, best first: "5 hold, 1 vacuous, 1 not applicable".

    Args:
        verdicts: Any.

    Returns:
        The counts, in words.
    """
    counts = Counter(verdict.status for verdict in verdicts)
    words = [
        f"{counts[status]} {_PLURAL.get(status, status.value) if counts[status] > 1 else status}"
        for status in Status
        if counts[status]
    ]
    return ", ".join(words)


@dataclass(frozen=True)
class ClaimVerdicts:
    """The verdicts on one claim, at least one, over all instances."""

    name: str
    verdicts: tuple[Verdict, ...]

    @property
    def status(self) -> Status:
        """Violated if one is; else corrected, if the printed statement fails somewhere; else the
        best of them.
        """
        return min((verdict.status for verdict in self.verdicts), key=_WORST_FIRST.index)

    @property
    def tally(self) -> str:
        """Count the verdicts of each status, e.g. "5 hold, 1 vacuous, 1 not applicable"."""
        return tally(self.verdicts)

    @property
    def resolution(self) -> float:
        """The smallest factor of a wrong number that one of the verdicts would notice; nan if all
        compare a sign alone.
        """
        factors = [verdict.resolution for verdict in self.verdicts]
        return min((factor for factor in factors if not math.isnan(factor)), default=math.nan)

    @property
    def notices(self) -> str:
        """The smallest wrong factor that is noticed, in words: "a factor of 1.03", "a sign"."""
        if math.isnan(self.resolution):
            return "a sign"
        if math.isinf(self.resolution):
            return "no factor"
        part = self.resolution - 1
        near = f"1 part in {1 / part:.0e}" if part else "every digit"
        return f"a factor of {self.resolution:.3g}" if part >= 5e-3 else near

    @property
    def tightest(self) -> Verdict:
        """The verdict with the least margin among those that say something; the first, if none
        compares finite numbers.
        """
        silent = (Status.VACUOUS, Status.NOT_APPLICABLE)
        return min(
            [verdict for verdict in self.verdicts if verdict.status not in silent] or self.verdicts,
            key=lambda verdict: math.inf if math.isnan(verdict.margin) else verdict.margin,
        )

    @property
    def errata(self) -> tuple[str, ...]:
        """Ids of the errata that apply, sorted."""
        return tuple(sorted({verdict.erratum for verdict in self.verdicts} - {""}))


@dataclass(frozen=True)
class Examination:
    """The result of examining one statement.

    Attributes:
        name: Of its module.
        title: First line of the module's docstring.
        verdicts: Of `check`, on every instance.
        counterexamples: To sentences of the paper.
        controls: The check with spoiled constants.
        seconds: It took.
    """

    name: str
    title: str
    verdicts: tuple[Verdict, ...]
    counterexamples: tuple[Verdict, ...]
    controls: tuple[Verdict, ...]
    seconds: float

    @property
    def claims(self) -> tuple[ClaimVerdicts, ...]:
        """The verdicts by claim, in the order of their first appearance."""
        names = dict.fromkeys(verdict.claim for verdict in self.verdicts)
        return tuple(
            ClaimVerdicts(name, tuple(v for v in self.verdicts if v.claim == name))
            for name in names
        )

    @property
    def failures(self) -> tuple[str, ...]:
        """The unexpected results: a violated verdict, or a control or counterexample that is not
        violated.
        """
        wrong = [
            f"violated: {v.claim}, {v.instance}"
            for v in self.verdicts
            if v.status is Status.VIOLATED
        ]
        for kind, verdicts in (
            ("control not rejected", self.controls),
            ("no counterexample", self.counterexamples),
        ):
            wrong += [
                f"{kind}: {v.claim}, {v.instance}"
                for v in verdicts
                if v.status is not Status.VIOLATED
            ]
        return tuple(wrong)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "statement": self.name,
            "title": self.title,
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "counterexamples": [verdict.to_dict() for verdict in self.counterexamples],
            "controls": [verdict.to_dict() for verdict in self.controls],
            "failures": list(self.failures),
        }


def grouped(examinations: Sequence[Examination]) -> dict[str, list[Examination]]:
    """Sort examinations into the groups of statements.

    Args:
        examinations: Of any statements.

    Returns:
        Title of the group -> its examinations, both in the order of `GROUPS`, and those of runs
        last; groups of which nothing was examined are left out.
    """
    by_name = {examination.name: examination for examination in examinations}
    found = {
        title: [by_name[name] for name in names if name in by_name]
        for title, names in GROUPS.items()
    }
    found[RUN_CLAIMS] = [each for each in examinations if each.name not in STATEMENTS]
    return {title: own for title, own in found.items() if own}


def evidence(examinations: Sequence[Examination]) -> dict[str, dict[Evidence, int]]:
    """Count the verdicts that hold on each statement, by kind of evidence.

    Args:
        examinations: Of any statements.

    Returns:
        Id of the statement -> kind -> number of verdicts, in the order of the paper.
    """
    found: dict[str, dict[Evidence, int]] = {}
    for verdict in (verdict for each in examinations for verdict in each.verdicts):
        counts = found.setdefault(verdict.statement, dict.fromkeys(Evidence, 0))
        counts[verdict.evidence] += verdict.status in (Status.HOLDS, Status.CORRECTED)
    return found


def machine_checked(
    examinations: Sequence[Examination],
) -> list[tuple[MachineChecked, Sequence[Verdict]]]:
    """Pair each file that Coq has checked with the verdicts on its spoiled copies.

    Args:
        examinations: Of any statements.

    Returns:
        The pairs, in order; none where Coq is not installed.
    """
    return [
        (file, [each for each in examination.controls if each.claim == file.claim])
        for examination in examinations
        for file in examination.verdicts
        if isinstance(file, MachineChecked)
    ]


def summary(examinations: Sequence[Examination]) -> str:
    """Count the verdicts of each status, and the spoiled checks and false claims that were caught.

    Args:
        examinations: Of any statements.

    Returns:
        The counts, in words.
    """
    verdicts = [verdict for each in examinations for verdict in each.verdicts]
    counts = {
        "negative controls rejected": [v for each in examinations for v in each.controls],
        "false claims refuted": [v for each in examinations for v in each.counterexamples],
    }
    caught = [
        f"{sum(v.status is Status.VIOLATED for v in group)} of {len(group)} {words}"
        for words, group in counts.items()
        if group
    ]
    false = counts["false claims refuted"]
    kinds = f" ({_kinds(false)})" if false else ""
    return "; ".join([f"{len(verdicts)} verdicts: {tally(verdicts)}", *caught]) + kinds


def _kinds(false: Sequence[Verdict]) -> str:
    """Count the false claims of the paper, by kind of erratum, and the others."""
    printed = [ERRATA[verdict.erratum].kind for verdict in false if verdict.erratum]
    parts = [f"{printed.count(kind)} {kind}" for kind in Kind if kind in printed]
    others = len(false) - len(printed)
    return "; ".join(
        [
            *([f"in the paper {', '.join(parts)}"] if parts else []),
            *([f"{others} of others, or of ours without a hypothesis"] if others else []),
        ]
    )


def examine_all(
    names: Sequence[str], seed: int, families: Sequence[str] = (), lams: Sequence[float] = ()
) -> Iterator[Examination]:
    """`examine` each of the statements, in that order, side by side in processes of one thread
    each.

    Args:
        names: Statements, each a name in STATEMENTS.
        seed: >= 0; a statement's random stream depends on it and on the statement alone. Raises as
            `examine`.
        families: As for `examine`.
        lams: As for `examine`.

    Yields:
        The examination of each statement, in the order of `names`.
    """
    streams = np.random.SeedSequence(seed).spawn(len(STATEMENTS))
    rngs = [np.random.default_rng(streams[STATEMENTS.index(name)]) for name in names]
    workers = min(len(names), processors())
    if workers == 1:
        yield from map(examine, names, rngs, repeat(families), repeat(lams))
        return
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(os.getpid(),)
    ) as pool:
        order = sorted(range(len(names)), key=lambda k: names[k] not in _LONGEST)
        started = {k: pool.submit(examine, names[k], rngs[k], families, lams) for k in order}
        for k in range(len(names)):
            yield started[k].result()


def _start_worker(parent: int) -> None:
    """Let torch use one thread in this process, and end it soon after its parent."""

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    # first, since the import below may outlive the parent
    Thread(target=follow, daemon=True).start()
    import torch  # takes a second; a command's help does without

    torch.set_num_threads(1)


def examine(
    name: str, rng: np.random.Generator, families: Sequence[str] = (), lams: Sequence[float] = ()
) -> Examination:
    """Run the statement that has this name; see `stability.statements`.

    Args:
        name: Name of the statement's module, in STATEMENTS.
        rng: Source of all draws.
        families: Instead of the module's own grid, its check on these families (names in FAMILIES),
            on data inside and outside each, at these λ; without controls and counterexamples, which
            have instances of their own.
        lams: See `families`.

    Returns:
        The verdicts, with controls and counterexamples.

    Raises:
        UsageError: If families or λ are asked for and the statement has none.
    """
    module = import_statement(name)
    started = time.perf_counter()
    seen = [_see(module, rng, case) for case in _grid(module, families, lams)]
    verdicts = [verdict for each in seen for verdict in each.verdicts]
    rest: dict[str, Iterable[Verdict]] = {}
    if not (families or lams):
        if hasattr(module, "counterexamples"):
            rest["counterexamples"] = _call(module.counterexamples, rng)
        rest["controls"] = controls(module, rng, seen)
    return Examination(
        name=name,
        title=" ".join((module.__doc__ or name).split("\n\n")[0].split()),
        verdicts=tuple(verdicts),
        counterexamples=tuple(rest.get("counterexamples", ())),
        controls=tuple(rest.get("controls", ())),
        seconds=time.perf_counter() - started,
    )


def claims(module: ModuleType) -> list[Claim]:
    """The claims that a statement's module declares or uses, in that order.

    Args:
        module: The statement's.

    Returns:
        The claims, each once.
    """
    found: dict[int, Claim] = {}
    for value in vars(module).values():
        several = value if isinstance(value, tuple) else [value]
        several = value.values() if isinstance(value, Mapping) else several
        found |= {id(each): each for each in several if isinstance(each, Claim)}
    return list(found.values())


def _see(module: ModuleType, rng: np.random.Generator, case: Mapping[str, Any]) -> Seen:
    """The verdicts of a statement's module on a case."""
    draws = copy.deepcopy(rng) if _random(module.check) else None
    return Seen(case, draws, list(_call(module.check, rng, **case)))


def controls(
    module: ModuleType, rng: np.random.Generator, seen: Sequence[Seen] = ()
) -> list[Verdict]:
    """The verdict on its claim under each mutation of a statement's module; each must be violated.

    Args:
        module: The statement's.
        rng: For checks that use randomness.
        seen: Verdicts that its check has given already.

    Returns:
        A verdict for each mutation whose claim is looked at on this machine.
    """
    source = rng if _random(module.check) else None
    spoiled = (each.run(module.check, source, seen) for each in module.MUTATIONS)
    return [verdict for verdict in spoiled if verdict.status is not Status.SKIPPED]


def _grid(
    module: ModuleType, families: Sequence[str], lams: Sequence[float]
) -> Sequence[Mapping[str, Any]]:
    if not (families or lams):
        return module.GRID

    name = module.__name__.rpartition(".")[2]
    known = [instance for instance in module.GRID if isinstance(instance.get("family"), str)]
    accepted = inspect.signature(module.check).parameters if known else {}
    for option, values, parameter in (("--family", families, "family"), ("--lambda", lams, "lam")):
        if values and parameter not in accepted:
            raise UsageError(
                f"{option}: {name} does not depend on it, got {' '.join(map(str, values))}"
            )

    families = families or tuple(dict.fromkeys(instance["family"] for instance in known))
    data = (
        [{"data": law} for law in ("well specified", "misspecified")]
        if "data" in accepted
        else [{}]
    )
    at = [{"lam": lam} for lam in lams or DEFAULT_LAMS] if "lam" in accepted else [{}]
    return [{"family": family, **law, **lam} for family in families for law in data for lam in at]


def _call(
    function: Callable[..., Iterable[Verdict]], rng: np.random.Generator, **instance: Any
) -> Iterable[Verdict]:
    return function(**instance, rng=rng) if _random(function) else function(**instance)


def _random(function: Callable[..., Any]) -> bool:
    return "rng" in inspect.signature(function).parameters
