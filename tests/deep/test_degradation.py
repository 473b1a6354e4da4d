"""Growth over generations, tested over seeds."""

import numpy as np
import pytest
from scipy.stats import binom

from deep.degradation import FASTER, GROWS, Degradation, main, slope_tests
from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.command_line import UsageError, parse
from stability.runs.run_layout import RunDirectoryError
from stability.statements.run_claims import read_verdicts
from stability.statements.verdict import Status
from tests.conftest import FALSE_ALARM
from tests.support.found_runs import write_run


def test_nothing_is_found_where_nothing_is(rng):
    """In 2000 sets of 8 seeds without growth, each of three tests finds some in a share of at
    most 5 %/3.
    """
    found = np.zeros(3)
    for _ in range(2000):
        regimes = {
            "fully synthetic": rng.standard_normal(8),
            "λ = 0": rng.standard_normal(8),
            "λ = 1": np.zeros(8),
        }
        tests = slope_tests(regimes, "fully synthetic", 0.05)
        found += [test.status == "holds" for test in tests]
    assert (found <= binom.isf(FALSE_ALARM / 3, 2000, 0.05 / 3)).all(), found


def test_runs_in_a_folder(tmp_path, capsys):
    """Made-up runs, of which the fully synthetic ones grow by 1.5 a retraining."""
    for seed in range(7):
        write_run(
            tmp_path / f"{seed}", (Mix(0.0), Mix(1.0), FullySynthetic()), seed=seed, grids=False
        )
    main(Degradation(tmp_path, out=tmp_path / "tests"))
    said = capsys.readouterr().out
    assert "7 seeds" in said
    verdicts = read_verdicts(tmp_path / "tests").verdicts
    assert [each.claim for each in verdicts] == [GROWS.id, FASTER.id, FASTER.id]
    assert {each.status for each in verdicts} == {Status.HOLDS}
    assert verdicts[0].instance.endswith(", grows when fully synthetic")
    assert said.count("7 of 7") == 3
    assert "7 seeds can tell: a sign test at this level needs 6." in said
    assert said.count(" holds") == 3
    rows = [line for line in said.splitlines() if line.strip().startswith("fully synthetic")]
    assert float(rows[0].split()[2]) == pytest.approx(1.5, abs=0.3)


def test_one_seed_is_told_how_many_can_tell(tmp_path, capsys):
    write_run(tmp_path / "run", (Mix(0.0), Mix(1.0), FullySynthetic()), grids=False)
    main(Degradation(tmp_path))
    said = " ".join(capsys.readouterr().out.split())
    assert "One seed cannot tell: a sign test at this level needs 6" in said
    assert "inf" not in said
    assert 2.0**-6 <= 0.05 / 3 < 2.0**-5


def test_a_folder_of_others_is_left_alone(tmp_path):
    write_run(tmp_path / "run", (Mix(1.0), FullySynthetic()), grids=False)
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    with pytest.raises(RunDirectoryError, match="was not made by"):
        main(Degradation(tmp_path, out=tmp_path / "run"))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


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
