import math

import numpy as np
import pytest

from stability.gaussian import alpha as alpha_module
from stability.gaussian.alpha import alpha
from stability.statements import STATEMENTS, import_statement, lemma_a1
from stability.statements.assumption3 import Constants
from stability.statements.claim import Claim
from stability.statements.errata import ERRATA
from stability.statements.examination import claims
from stability.statements.mutation import Mutation, instead, replaced, scaled
from stability.statements.verdict import Status

NAME = "stability.gaussian.alpha.alpha"
MODULES = [import_statement(name) for name in STATEMENTS]


def test_a_function_is_replaced_wherever_it_is_imported_and_comes_back():
    right = alpha(5)
    with replaced(NAME, scaled(2.0)):
        assert alpha_module.alpha(5) == lemma_a1.alpha(5) == 2 * right
    assert alpha_module.alpha(5) == lemma_a1.alpha(5) == right


def test_a_method_is_replaced_in_its_class():
    constants, name = Constants(2.0, 1.5), "stability.statements.assumption3.Constants.step"
    right = constants.step(10, 0.1)
    with replaced(name, scaled(0.5)):
        assert constants.step(10, 0.1) == right / 2
    assert constants.step(10, 0.1) == right


def test_it_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), replaced(NAME, instead(lambda n: 1 / 0)):
        alpha_module.alpha(5)
    assert alpha_module.alpha is alpha


@pytest.mark.parametrize("name", ["stability.gaussian.alpha.beta", "stability.gaussian.mean.alpha"])
def test_a_function_that_is_not_there_is_an_error(name):
    with pytest.raises(AttributeError, match="has no"), replaced(name, scaled(2.0)):
        pass


def test_without_a_factor_a_mutation_goes_twice_as_far_as_its_claim_can_see(rng):
    """A claim with a relative tolerance of 10 %: 1/f = 0.9, so the factor is 1 + 2/9."""
    claim = Claim("C", "w", "==", "here", "", "")
    scale = alpha_module.half_life

    def check(rng):
        value = 3.0 + 0 * rng.random()
        law = float(alpha_module.half_life(10)) / float(scale(10)) * 3.0
        return [claim.verdict("i", measured=value, claimed=law, tolerance=0.3, method="m")]

    mutation = Mutation(claim, "stability.gaussian.alpha.half_life", "the law", {})
    spoiled = mutation.run(check, rng)
    assert spoiled.status is Status.VIOLATED
    assert spoiled.stated == pytest.approx(3 * (1 + 2 / 9))
    assert spoiled.instance == "i; the law times 1.222"


@pytest.mark.parametrize(
    ("measured", "claimed", "tolerance", "resolution"),
    [
        (0.1, 0.2, 0.3, "inf (holds)"),  # a factor of a number below its tolerance shows nowhere
        (0.0, 0.0, 1.0, "nan (holds)"),  # a sign alone
        (2.0, 1.0, 0.5, "nan (violated)"),
        (math.nan, 1.0, 0.5, "nan (violated)"),
    ],
)
def test_a_case_that_notices_no_factor_is_named(measured, claimed, tolerance, resolution, rng):
    claim = Claim("C, the law", "w", "==", "here", "", "")

    def check(n, rng):
        return [
            claim.verdict("i", measured=measured, claimed=claimed, tolerance=tolerance, method="m")
        ]

    with pytest.raises(ValueError, match="no factor of α would be noticed") as error:
        Mutation(claim, NAME, "α", {"n": 7}).run(check, rng)
    assert "by C, the law in {'n': 7}" in str(error.value)
    assert f"resolutions {resolution};" in str(error.value)


def test_a_verdict_without_a_resolution_does_not_hide_the_others(rng):
    claim, right = Claim("C", "w", "==", "here", "", ""), float(alpha(9))

    def check(rng):
        factor = float(alpha_module.alpha(9)) / right
        return [
            claim.verdict("i", measured=m, claimed=m * factor, tolerance=tolerance, method="m")
            for m, tolerance in ((1.0, 0.1), (0.0, 1.0), (0.1, 1.0))
        ]

    assert Mutation(claim, NAME, "α", {}).run(check, rng).status is Status.VIOLATED


def test_a_mutated_check_sees_the_same_draws(rng):
    claim = Claim("C", "w", "==", "here", "", "")
    seen = []

    def check(rng):
        seen.append(rng.random())
        return [
            claim.verdict("i", measured=1.0, claimed=float(alpha(9)), tolerance=0.1, method="m")
        ]

    Mutation(claim, NAME, "α", {}).run(check, rng)
    assert seen[0] == seen[1]
    with pytest.raises(ValueError, match="no verdict on D"):
        Mutation(Claim("D", "w", "==", "", "", ""), NAME, "α", {}, scaled(2.0)).run(check, rng)


def test_every_claim_has_an_id_of_its_own_and_says_what_would_refute_it():
    declared = {id(claim): claim for module in MODULES for claim in claims(module)}
    ids = [claim.id for claim in declared.values()]
    assert len(ids) == len(set(ids))
    for claim in declared.values():
        assert claim.falsified_by, claim
        assert claim.no_evidence, claim
        assert claim.source, claim
        assert claim.erratum in {"", *ERRATA}, claim


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_claim_that_is_to_hold_is_broken_by_a_mutation(module):
    if module.__name__.rpartition(".")[2].startswith("certified"):
        pytest.importorskip("flint", reason="needs python-flint: pip install python-flint")
    broken = {mutation.breaks.id for mutation in module.MUTATIONS}
    own = {claim.id for claim in claims(module) if not claim.refuted_because}
    assert own <= broken
    for mutation in module.MUTATIONS:
        with replaced(mutation.replaces, lambda right: right):
            pass
        assert not mutation.breaks.refuted_because


def test_numbers_arrays_and_tuples_are_scaled():
    assert scaled(2.0)(lambda: 3.0)() == 6
    assert scaled(2.0)(lambda: (1.0, math.inf))() == (2, math.inf)
    np.testing.assert_array_equal(scaled(0.5)(lambda: np.ones(3))(), np.full(3, 0.5))
