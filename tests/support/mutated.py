"""The mutations of a statement, with no check that is made twice."""

import copy
import inspect
from functools import partial

from stability.statements.mutation import Seen
from stability.statements.verdict import Status

__all__ = ["controls"]


def controls(module, rng):
    """The verdict on its claim under each mutation of a statement; each must be violated.

    A case is checked once by the right functions, whose resolution decides how far a factor goes,
    and once under each slip, whichever claims it is to break.

    Args:
        module: The statement's.
        rng: For checks that use randomness.

    Returns:
        As `stability.statements.examination.controls`.
    """
    given = {"rng": rng} if "rng" in inspect.signature(module.check).parameters else {}
    seen, slips, verdicts = [], [], []
    for mutation in module.MUTATIONS:
        check = module.check
        if mutation.by is None:
            if all(each.case != mutation.case for each in seen):
                draws = copy.deepcopy(rng) if given else None
                seen.append(Seen(mutation.case, draws, check(**mutation.case, **given)))
        else:
            same = [answers for other, answers in slips if _is_same_slip(mutation, other)]
            answers = same[0] if same else []
            slips.append((mutation, answers))
            check = partial(_once, check, answers)
        verdicts.append(mutation.run(check, given.get("rng"), seen))
    return [verdict for verdict in verdicts if verdict.status is not Status.SKIPPED]


def _once(check, answers, **arguments):
    """The check's answer, which is kept in a list."""
    if not answers:
        answers.append(check(**arguments))
    return answers[0]


def _is_same_slip(one, two):
    """Tell whether two mutations differ in the claim alone: wrong functions made by the same lines
    from the same values.
    """
    return (
        (one.replaces, one.words, one.case) == (two.replaces, two.words, two.case)
        and getattr(one.by, "__code__", one.by) == getattr(two.by, "__code__", two.by)
        and _values(one.by) == _values(two.by)
    )


def _values(function):
    return [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
