import numpy as np
from scipy.stats import binom

from tests.conftest import FALSE_ALARM
from toy.measures.claims import Figure, markdown

T, SEEDS = 20, 12
FIGURE = Figure("Figure 8", 4, 1e-3)


def curves(rng, **slope):
    """One quantity, regimes with these true slopes and noise of their own around them."""
    t = np.arange(T + 1.0)[:, None]
    return {
        "w1": {
            name: 1 + s * t + 0.1 * rng.standard_normal((T + 1, SEEDS)) for name, s in slope.items()
        }
    }


def test_clear_cases_are_decided(rng):
    """Slopes of 1 stand 70 standard deviations away from 0, and intervals of slopes of 1 and 0
    apart.
    """
    seen = curves(rng, up=1.0, steeper=2.0, flat=0.0, control=0.0, down=-1.0)
    assert FIGURE.drifts("w1", "up").test(seen).status == "holds"
    assert FIGURE.drifts("w1", "down").test(seen).status == "violated"
    assert FIGURE.drifts_less("w1", "flat", "up").test(seen).status == "holds"
    assert FIGURE.drifts_less("w1", "up", "flat").test(seen).status == "violated"
    assert FIGURE.shrinks("w1", "down").test(seen).status == "holds"
    assert FIGURE.shrinks("w1", "up").test(seen).status == "violated"
    assert FIGURE.ends_below("w1", "flat", "up").test(seen).status == "holds"
    assert FIGURE.ends_below("w1", "up", "flat").test(seen).status == "violated"
    assert FIGURE.stays("w1", "up", "control").test(seen).status == "violated"
    assert FIGURE.stays("w1", "down", "control").test(seen).status == "holds"
    assert FIGURE.stays("w1", "up", "steeper").test(seen).status == "holds"  # less than the control
    assert "12 of 12 seeds, p = 0.0002" in FIGURE.drifts("w1", "up").test(seen).note


def test_too_few_seeds_leave_a_claim_undecided(rng):
    few = {
        "w1": {
            name: values[:, :2] for name, values in curves(rng, up=1.0, control=0.0)["w1"].items()
        }
    }
    assert FIGURE.drifts("w1", "up").test(few).status == "undecided"
    assert FIGURE.stays("w1", "up", "control").test(few).status == "undecided"


def test_without_a_difference_claims_go_wrong_at_their_error_rates(rng):
    """2000 runs.

    A sign test of 12 at 1e-3 holds with probability 2^−12 + 0 (11 of 12 is 0.003). Growth, and
    growth beyond a control that grows as fast, is each found in 2.5 %.
    """
    runs = 2000
    seen = [curves(rng, flat=0.0, control=0.0, up=1.0, too=1.0, down=-1.0) for _ in range(runs)]
    found = sum(FIGURE.drifts("w1", "flat").test(run).status == "holds" for run in seen)
    assert found <= binom.isf(FALSE_ALARM / 6, runs, 2.0**-12)
    for regime, control in (("flat", "down"), ("up", "too")):
        lost = sum(
            FIGURE.stays("w1", regime, control).test(run).status == "violated" for run in seen
        )
        assert (
            binom.ppf(FALSE_ALARM / 6, runs, 0.025)
            <= lost
            <= binom.isf(FALSE_ALARM / 6, runs, 0.025)
        )
    assert sum(
        FIGURE.stays("w1", "flat", "control").test(run).status == "violated" for run in seen
    ) <= binom.isf(FALSE_ALARM / 6, runs, 0.025)


def test_a_page_shows_every_claim_with_its_error_rate(rng):
    seen = curves(rng, up=1.0, flat=0.0)
    stated = [FIGURE.drifts("w1", "up"), FIGURE.stays("w1", "flat", "up")]
    page = markdown(stated, [claim.test(seen) for claim in stated])
    assert page.count("\n") == 6
    assert "any such error among the 2 claims: at most 0.026." in page
    assert (
        "| up: W1 grows: its slope over t ≥ 4 is positive, sign test over seeds at 0.001 | "
        "The opposite sign, found by the same test at 0.001. | 0.001 |" in page
    )
    assert "**holds**" in page
