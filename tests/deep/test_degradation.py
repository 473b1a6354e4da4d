"""Growth over generations, tested over seeds."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from deep.degradation import Degradation, Slope, SlopeTest, main, slope_tests, slopes
from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.command_line import UsageError, parse
from tests.conftest import FALSE_ALARM
from tests.support.found_runs import write_run


def test_slopes_are_those_of_least_squares(rng):
    values = rng.standard_normal((7, 4))
    expected = np.polynomial.polynomial.polyfit(np.arange(7), values, 1)[1]
    np.testing.assert_allclose(slopes(values), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("positive", "of", "p", "outcome"),
    [
        (6, 6, 1 / 64, "yes"),
        (5, 6, 7 / 64, "not found"),
        (5, 5, 1 / 32, "undecided"),
        (0, 9, 1.0, "not found"),
    ],
)
def test_the_sign_test_is_exact(positive, of, p, outcome):
    test = SlopeTest("", np.where(np.arange(of) < positive, 0.1, -3.0), level=0.02)
    assert (test.positive, test.p, test.outcome) == (positive, pytest.approx(p), outcome)


def test_a_tie_is_no_growth():
    assert SlopeTest("", np.zeros(20), 0.05).outcome == "not found"


def test_nothing_is_found_where_nothing_is(rng):
    """Of 2000 sets of 8 seeds without growth, each of three tests finds some in a share of at
    most 5 %/3.
    """
    found = np.zeros(3)
    for _ in range(2000):
        regimes = {
            "fully synthetic": rng.standard_normal(8),
            "λ = 0": rng.standard_normal(8),
            "λ = 1": np.zeros(8),
        }
        found += [test.outcome == "yes" for test in slope_tests(regimes, 0.05)]
    assert (found <= binom.isf(FALSE_ALARM / 3, 2000, 0.05 / 3)).all(), found


def test_the_interval_has_the_mean_inside_as_often_as_it_says(rng):
    draws = rng.standard_normal((2000, 5))
    inside = sum(abs(slope.mean) <= slope.half_width for slope in map(Slope.of, draws))
    assert abs(inside - 1900) < norm.isf(FALSE_ALARM / 2) * np.sqrt(2000 * 0.95 * 0.05) + 1
    assert Slope.of(np.ones(1)).half_width == np.inf


def test_runs_in_a_folder(tmp_path, capsys):
    """Made-up runs, of which the fully synthetic ones grow by 1.5 a retraining."""
    for seed in range(7):
        write_run(
            tmp_path / f"{seed}", (Mix(0.0), Mix(1.0), FullySynthetic()), seed=seed, grids=False
        )
    main(Degradation(tmp_path))
    said = capsys.readouterr().out
    assert "7 seeds" in said
    assert said.count("7 of 7") == 3
    assert said.count(" yes") == 3
    rows = [line for line in said.splitlines() if line.strip().startswith("fully synthetic")]
    assert float(rows[0].split()[2]) == pytest.approx(1.5, abs=0.3)


def test_seeds_that_not_all_rows_have_are_left_out(tmp_path, capsys):
    for seed in range(3):
        write_run(tmp_path / f"mixed-{seed}", (Mix(1.0),), seed=seed, grids=False)
    for seed in (1, 2, 3):
        write_run(tmp_path / f"alone-{seed}", (FullySynthetic(),), seed=seed, grids=False)
    main(Degradation(tmp_path))
    said = capsys.readouterr().out
    assert "2 seeds" in said
    assert said.count("undecided") == 2


@pytest.mark.parametrize(
    ("regimes", "options", "message"),
    [
        ((Mix(1.0),), {}, "has no fully synthetic row"),
        ((Mix(1.0), FullySynthetic()), {"generations": 1}, "has one generation only"),
    ],
)
def test_runs_that_say_nothing(regimes, options, message, tmp_path):
    write_run(tmp_path / "run", regimes, grids=False, **options)
    with pytest.raises(UsageError, match=message):
        main(Degradation(tmp_path))


def test_no_runs_no_reference_no_level(tmp_path, capsys):
    with pytest.raises(UsageError, match=r"FOLDER: .*holds no run"):
        main(Degradation(tmp_path))
    with pytest.raises(SystemExit):
        parse(Degradation, [str(tmp_path), "--level", "0"])
    assert "--level must be between 0 and 1, got 0.0" in capsys.readouterr().err
