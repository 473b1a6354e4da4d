from stability.statements.sampler_bias import GRID, check, controls
from stability.statements.verdict import Status


def test_every_claim_holds_for_every_sampler(rng):
    for instance in GRID:
        for verdict in check(**instance, rng=rng):
            assert verdict.status is Status.HOLDS, verdict


def test_spoiled_claims_are_violated(rng):
    for verdict in controls(rng):
        assert verdict.status is Status.VIOLATED, verdict
