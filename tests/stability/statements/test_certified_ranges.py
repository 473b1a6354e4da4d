import pytest

from stability.statements import certified_ranges
from stability.statements.certified_ranges import GRID, MUTATIONS, Region, check
from stability.statements.verdict import Evidence, Status

try:
    from stability.proofs import enclosure, ranges
except ImportError:
    pytest.skip("needs python-flint: pip install python-flint", allow_module_level=True)


@pytest.mark.parametrize("instance", GRID, ids=lambda instance: str(instance["region"]))
def test_the_grid_is_proved(instance):
    verdicts = check(**instance)
    assert [verdict.claim for verdict in verdicts] == [
        "Theorem 1, condition on a range",
        "Theorem 1, (11) on a range",
        "S1 on a range",
    ]
    for verdict in verdicts:
        assert verdict.status is Status.HOLDS
        assert verdict.evidence is Evidence.CERTIFIED
        assert verdict.measured < verdict.stated
        assert set(verdict.assumptions) == {"α", "L", "ε"}


def test_there_are_three_families_none_of_them_gaussian():
    assert {instance["region"].family for instance in GRID} == {"student_t", "logistic", "linkage"}


def test_ranges_on_which_a_statement_fails_are_not_certified():
    spoiled = [mutation.run(check, None) for mutation in MUTATIONS]
    assert {verdict.claim for verdict in spoiled} == {
        "Theorem 1, condition on a range",
        "Theorem 1, (11) on a range",
        "S1 on a range",
    }
    for verdict in spoiled:
        assert verdict.status is Status.VIOLATED
        assert verdict.note.startswith("refuted at λ = ")


def test_points_of_a_proved_range_satisfy_what_is_proved(rng):
    """At random λ and laws, in balls without a radius."""
    for instance in GRID:
        region = instance["region"]
        with enclosure.precision():
            point = tuple(
                enclosure.decimal(float(rng.uniform(*side))) for side in region.parameters
            )
            local = region.laws.enclose(point)
            lam = enclosure.decimal(float(rng.uniform(*region.lam)))
            norm, rho = local.relative(lam)
            assert lam * local.ratio < 0.5
            assert norm < local.ratio / (1 - lam * local.ratio)
            assert lam * rho < 1


def test_a_verdict_holds_both_numbers_outwards():
    region = GRID[2]["region"]
    proof = ranges.prove(region.laws, region.lam, region.parameters, certified_ranges._condition)
    verdict = check(region)[0]
    assert proof.left <= verdict.measured < verdict.stated <= proof.right


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gaussian", (0.0, 0.1), ((1.0, 2.0),)), "family must be one of student_t"),
        (("logistic", (0.0, 0.1), ()), "parameters must be ranges of s"),
        (("logistic", (0.1, 0.0), ((1.0, 2.0),)), "low <= high"),
        (("logistic", (-0.1, 0.0), ((1.0, 2.0),)), "lam must be >= 0"),
        (("logistic", (0.0, float("inf")), ((1.0, 2.0),)), "must be finite"),
    ],
)
def test_bad_regions_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Region(*arguments)
