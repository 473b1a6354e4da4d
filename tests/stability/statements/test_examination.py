import math
import types

import numpy as np
import pytest

from stability.runs.command_line import UsageError
from stability.statements import GROUPS, STATEMENTS, examination, import_statement
from stability.statements.examination import (
    ClaimVerdicts,
    Examination,
    examine,
    examine_all,
    grouped,
    tally,
)
from stability.statements.verdict import Status, Verdict, compare


def verdict(measured=1.0, stated=2.0, claim="C", status=None, **rest):
    return Verdict(
        claim=claim,
        words="w",
        instance=rest.pop("instance", "i"),
        measured=measured,
        relation="<=",
        stated=stated,
        status=status or compare(measured, "<=", stated),
        method="m",
        **rest,
    )


class Spoiled:
    """Stands in for a mutation whose verdict has this number."""

    def __init__(self, measured):
        self.measured = measured

    def run(self, check, rng, seen):
        return verdict(self.measured)


@pytest.fixture
def statement(monkeypatch):
    """Stands in for a statement's module; returns it, to be changed."""

    def check(n, rng):
        return [verdict(float(rng.random()), claim="first"), verdict(n, claim="second")]

    module = types.ModuleType("stability.statements.sample", "Sample: the title.\n\nMore.")
    module.GRID = ({"n": 0.5}, {"n": 1.5})  # type: ignore[attr-defined]
    module.check, module.MUTATIONS, module.counterexamples = (  # type: ignore[attr-defined]
        check,
        (Spoiled(3.0),),
        lambda: [verdict(4.0)],
    )
    monkeypatch.setattr(examination, "import_statement", lambda name: module)
    return module


def test_every_instance_is_checked_and_grouped_by_claim(statement, rng):
    result = examine("sample", rng)
    assert (result.title, len(result.verdicts), result.failures) == ("Sample: the title.", 4, ())
    assert [(claim.name, len(claim.verdicts)) for claim in result.claims] == [
        ("first", 2),
        ("second", 2),
    ]
    assert result.claims[1].tightest.measured == 1.5
    assert len(result.controls) == len(result.counterexamples) == 1
    assert result.to_dict()["verdicts"][1]["measured"] == 0.5


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("check", lambda n: [verdict(n + 2)], "violated: C, i"),
        ("MUTATIONS", (Spoiled(1.0),), "control not rejected: C, i"),
        (
            "counterexamples",
            lambda: [verdict(1.0, status=Status.VACUOUS)],
            "no counterexample: C, i",
        ),
    ],
)
def test_what_did_not_come_out_as_it_must_is_a_failure(statement, rng, name, value, words):
    setattr(statement, name, value)
    assert examine("sample", rng).failures[0] == words


def test_a_claim_is_as_good_as_its_worst_verdict_that_says_something():
    def status(*values):
        return ClaimVerdicts("C", tuple(verdict(status=value) for value in values)).status

    assert status(Status.HOLDS, Status.VIOLATED, Status.VACUOUS) is Status.VIOLATED
    assert status(Status.HOLDS, Status.CORRECTED) is Status.CORRECTED
    assert status(Status.NOT_APPLICABLE, Status.VACUOUS, Status.HOLDS) is Status.HOLDS
    assert status(Status.NOT_APPLICABLE, Status.VACUOUS) is Status.VACUOUS


def test_the_tightest_verdict_compares_finite_numbers_if_any_does():
    wide, tight, nothing = verdict(0.1), verdict(1.9), verdict(1.0, math.inf)
    assert ClaimVerdicts("C", (nothing, wide, tight)).tightest is tight
    assert ClaimVerdicts("C", (nothing,)).tightest is nothing


def test_statuses_are_counted_in_words():
    found = [Status.HOLDS] * 5 + [Status.NOT_APPLICABLE, Status.VACUOUS]
    claim = ClaimVerdicts("C", tuple(verdict(status=status) for status in found))
    assert claim.tally == "5 hold, 1 vacuous, 1 not applicable"
    assert tally([verdict(status=Status.CORRECTED)]) == "1 holds with correction"
    assert claim.resolution == pytest.approx(2)
    assert math.isnan(ClaimVerdicts("C", (verdict(status=Status.VACUOUS),)).resolution)


def test_families_and_lambdas_replace_the_grid(statement, rng):
    seen = []

    def check(family, data, lam):
        seen.append((family, data, lam))
        return [verdict()]

    statement.check, statement.GRID = (
        check,
        ({"family": "gamma", "data": "misspecified", "lam": 7.0},),
    )
    result = examine("sample", rng, families=("student_t",), lams=(0.1, 1.0))
    assert seen == [
        ("student_t", data, lam) for data in ("well "
                                              "specified", "misspecified") for lam in (0.1, 1.0)
    ]  # fmt: skip
    assert not result.controls
    assert not result.counterexamples
    seen.clear()
    examine("sample", rng, lams=(3.0,))
    assert {(family, lam) for family, _, lam in seen} == {("gamma", 3.0)}


def test_a_statement_without_families_says_so(statement, rng):
    with pytest.raises(UsageError, match="--family: sample does not depend on it, got student_t"):
        examine("sample", rng, families=("student_t",))
    with pytest.raises(UsageError, match="--lambda: sample does not depend on it"):
        examine("sample", rng, lams=(1.0,))


def test_a_statement_has_the_same_draws_alone_and_beside_others():
    alone = next(examine_all(["lemma_a1"], 5))
    _, beside = examine_all(["lemma_a2", "lemma_a1"], 5)
    assert isinstance(beside, Examination)
    assert beside.verdicts == alone.verdicts


def test_every_statement_has_a_check_a_grid_and_a_title():
    for name in STATEMENTS:
        module = import_statement(name)
        assert module.GRID, name
        assert callable(module.check), name
        assert module.MUTATIONS, name
        title = " ".join((module.__doc__ or "").split("\n\n")[0].split())
        assert title.endswith((".", ":")), name
        assert "`" not in title, f"{name}: a report shows this line, and no names of modules"


def test_every_statement_is_in_one_group():
    listed = [name for names in GROUPS.values() for name in names]
    assert sorted(listed) == sorted(STATEMENTS)
    assert len(set(STATEMENTS)) == len(STATEMENTS)


def test_examinations_are_grouped_in_the_order_of_listings():
    def named(name):
        return Examination(name, name, (), (), (), 0.1)

    groups = grouped([named("weighted_real"), named("lemma_a2"), named("lemma_a1")])
    assert {title: [each.name for each in own] for title, own in groups.items()} == {
        "Statements of the paper": ["lemma_a1", "lemma_a2"],
        "Results of the literature": ["weighted_real"],
    }


def test_margin_is_what_is_left_of_what_is_allowed():
    below, above = verdict(0.5, 2.0), verdict(3.0, 2.0)
    assert (below.margin, above.margin) == (0.75, -0.5)
    equal = Verdict("C", "w", "i", 1.25, "==", 1.0, Status.HOLDS, "m", tolerance=0.5)
    assert equal.margin == 0.5
    exact = Verdict("C", "w", "i", 1.0, "==", 1.0, Status.HOLDS, "m")
    assert exact.margin == 0
    assert math.isnan(verdict(1.0, math.inf).margin)
    at_least = Verdict("C", "w", "i", 0.9, ">=", 1.0, Status.HOLDS, "m", tolerance=0.2)
    assert at_least.margin == pytest.approx(0.1 / 1.2)
    assert np.sign(at_least.margin) == 1
