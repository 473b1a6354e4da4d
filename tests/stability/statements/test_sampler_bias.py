from stability.statements import sampler_bias
from stability.statements.sampler_bias import GRID, check
from stability.statements.verdict import Status
from tests.support.mutated import controls


def test_every_claim_holds_for_every_sampler(rng):
    for instance in GRID:
        for verdict in check(**instance, rng=rng):
            assert verdict.status is Status.HOLDS, verdict


def test_every_mutation_is_noticed(rng):
    for verdict in controls(sampler_bias, rng):
        assert verdict.status is Status.VIOLATED, verdict
