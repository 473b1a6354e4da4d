"""The alarm on tables: false alarms within its level, changes of each kind found, losses."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm

from benchmarks.false_alarms import CONTROLS, NULLS, Benchmark, alarms
from stability.planning.alarm import default_tolerance, rows_tolerance, start_alarm
from stability.planning.scores import split_real
from stability.runs.table_files import raw_table
from stability.runs.table_schema import code_reference
from tests.conftest import FALSE_ALARM

SMALL = Benchmark(loops=250, rounds=20, n=200, watched=100)


def frame(rng, n=1500, shift=0.0, scale=1.0, rho=0.6, share=0.3):
    x, z = rng.standard_normal((2, n))
    return pd.DataFrame(
        {
            "x": shift + scale * x,
            "y": rho * x + math.sqrt(1 - rho**2) * z,
            "c": np.where(rng.random(n) < share, "yes", "no"),
        }
    )


def watched(rng, *frames, **options):
    """The alarm after generations, on real rows of `frame`'s own law."""
    real = code_reference(raw_table(frame(rng)), "real")
    alarm = start_alarm(real, **options)
    for one in frames:
        alarm = alarm.look(real.schema.read(raw_table(one), "gen"))
    return alarm


SHOWN = NULLS[:3] + NULLS[4:6] + NULLS[7:]


@pytest.mark.parametrize("scenario", SHOWN, ids=lambda s: f"{s.null}: {s.name}")
def test_loops_without_a_change_seldom_alarm(scenario, rng):
    count = alarms(scenario, SMALL, rng, 0.05)
    assert count <= binom.isf(FALSE_ALARM / len(SHOWN), SMALL.loops, 0.05)


@pytest.mark.parametrize("scenario", CONTROLS[:2], ids=lambda s: s.name)
def test_without_an_upper_limit_they_often_do(scenario, rng):
    count = alarms(scenario, SMALL, rng, 0.05)
    assert count > binom.isf(FALSE_ALARM / 5, SMALL.loops, 0.05)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shift": 1.0}, "x: higher"),
        ({"shift": -1.0}, "x: lower"),
        ({"scale": 0.3}, "x: narrower"),
        ({"scale": 4.0}, "x: wider"),
        ({"rho": -0.6}, "x with y: less alike"),
        ({"share": 0.02}, "c: "),
    ],
    ids=str,
)
def test_each_kind_of_change_is_found_and_named(change, named, rng):
    """Each change is so large that the evidence exceeds what is needed by many powers of 10."""
    alarm = watched(rng, frame(rng), frame(rng, **change), frame(rng, **change))
    assert alarm.raised is not None
    assert alarm.since == 2
    assert any(name.startswith(named) for name, _ in alarm.leading())


def test_missing_cells_are_found(rng):
    gaps = frame(rng)
    gaps.loc[gaps.index % 2 == 0, "x"] = np.nan
    assert watched(rng, gaps).raised == 1


def test_a_settled_loop_with_a_bias_is_degrading_against_real_and_stationary_by_itself(rng):
    biased = [frame(rng, shift=1.0) for _ in range(5)]
    assert watched(rng, *biased).raised == 1
    settled = watched(rng, *biased, null="stationary", alpha=FALSE_ALARM)
    assert settled.raised is None
    worse = watched(rng, *biased, frame(rng, shift=3.0), null="stationary", alpha=FALSE_ALARM)
    assert worse.raised == worse.since == 6


def test_a_lost_category_is_an_alarm_only_if_chance_does_not_lose_it(rng):
    def table(**counts):
        return pd.DataFrame({"c": np.repeat(list(counts), list(counts.values()))})

    real = code_reference(raw_table(table(big=567, mid=30, rare=3)), "real")
    alarm = start_alarm(real)
    alarm = alarm.look(real.schema.read(raw_table(table(big=570, mid=30)), "gen1"))
    (rare,) = alarm.rounds[-1].losses
    assert (rare.level, rare.alarm) == ("rare", False)
    assert rare.chance == pytest.approx((1 - 3 / 600) ** 600)
    assert alarm.raised is None

    alarm = alarm.look(real.schema.read(raw_table(table(big=597, rare=3)), "gen2"))
    (mid,) = alarm.rounds[-1].losses
    assert (mid.level, mid.alarm) == ("mid", True)
    assert mid.chance == pytest.approx(0.95**600)
    assert alarm.since == 2


def test_categories_that_die_out_by_redrawing_alone_are_no_alarm(rng):
    """Fully synthetic frequencies: categories are lost, and each step is as likely as it says."""
    counts, alarms_seen, loops = np.array([120, 40, 20, 10, 6, 4]), 0, 60
    names = np.array(list("abcdef"))
    real = code_reference(raw_table({"c": np.repeat(names, counts)}), "real")
    for _ in range(loops):
        alarm, p = start_alarm(real), counts / 200
        for _ in range(8):
            drawn = rng.multinomial(200, p)
            table = real.schema.read(raw_table({"c": np.repeat(names, drawn)}), "gen")
            alarm, p = alarm.look(table), drawn / 200
        alarms_seen += any(loss.alarm for one in alarm.rounds for loss in one.losses)
    assert alarms_seen <= binom.isf(FALSE_ALARM, loops, 0.01)


def test_the_smallest_visible_change_parts_what_is_seen_from_what_is_not(rng):
    """All of 40 generations alarm that are shifted by four times as much; by a tenth of it, few."""
    real = code_reference(raw_table(frame(rng, n=3000)), "real")
    alarm = start_alarm(real)
    first = alarm.look(real.schema.read(raw_table(frame(rng)), "gen"))
    size, unit = first.smallest_effects(split_real(real)[0])["x"]
    assert unit == "sd"

    def found(shift):
        tables = [frame(rng, shift=shift) for _ in range(40)]
        looks = [alarm.look(real.schema.read(raw_table(t), "gen")) for t in tables]
        return sum(look.raised is not None for look in looks)

    assert found(4 * size) == 40
    assert found(0.1 * size) <= binom.isf(FALSE_ALARM, 40, 0.05)


def test_more_rows_show_smaller_changes(rng):
    alarm = watched(rng, frame(rng))
    fitted = split_real(code_reference(raw_table(frame(rng)), "real"))[0]
    few, many = (alarm.smallest_effects(fitted, scale)["x"][0] for scale in (1.0, 100.0))
    assert many < few / 3


def test_against_the_rows_themselves_smaller_changes_are_seen(rng):
    """τ alone is between the mean of the rows and the limit; against real data there is a
    confidence limit, too, of more than two standard errors.
    """
    real = code_reference(raw_table(frame(rng)), "real")
    same = real.schema.read(raw_table(frame(rng)), "gen")
    fitted = split_real(real)[0]
    alarms = [start_alarm(real, null=null).look(same) for null in ("rows", "real")]
    sizes = [alarm.smallest_effects(fitted)["x"][0] for alarm in alarms]
    assert sizes[0] < sizes[1]
    assert alarms[0].limits == pytest.approx(
        alarms[0].scores.sums(real).mean + alarms[0].tolerance * np.sqrt(alarms[0].scores.variance)
    )


def test_the_tolerance_about_the_rows_is_passed_by_an_accumulating_mean_as_often_as_it_says(rng):
    """Given the rows, each round adds a mean of n fresh draws with the weight 1/(t + 1): after 60
    rounds the variance is within 0.017/n of its limit (π²/6 − 1)/n.
    """
    n, level, runs = 50, 0.05, 20_000
    weights = 1 / np.arange(2, 62)
    mean = (weights * rng.standard_normal((runs, 60))).sum(axis=1) / math.sqrt(n)
    above = int((mean > rows_tolerance(n, level)).sum())
    exact = norm.sf(norm.isf(level) * math.sqrt((math.pi**2 / 6 - 1) / (weights**2).sum()))
    low, high = binom.ppf(FALSE_ALARM / 2, runs, exact), binom.isf(FALSE_ALARM / 2, runs, exact)
    assert low <= above <= high


def test_the_default_tolerance_is_the_standard_error_of_an_accumulating_mean():
    """By its recursion: the mean of t + 1 sets, of which each was drawn around the mean before."""
    variance = 1.0 + sum(1 / (t + 1) ** 2 for t in range(1, 4000))
    assert default_tolerance(100) == pytest.approx(math.sqrt(variance / 100), rel=1e-3)
