from dataclasses import replace

import pytest

from stability.statements.run_claims import read_verdicts
from tests.support.learners_2d import SMALL_FLOW
from toy.experiment import Experiment
from toy.figure8 import CLAIMS, Figure8, QuickFigure8, claims, main

CLAIMED = ("λ = 0", "λ = 0.5", "λ = 1")
TINY = Experiment(retrainings=2, samples=30, seeds=3, threads=1)


def test_it_runs_and_tests_its_claims(tmp_path, capsys, no_figures):
    config = Figure8(replace(TINY, out=tmp_path / "run"), SMALL_FLOW)
    main(config)
    first = (tmp_path / "run" / "claims.md").read_text(encoding="utf-8")
    out = capsys.readouterr().out
    assert "claims, stated before the run" in out
    assert first.count("\n") == 2 + 2 * 7 + 2
    assert first.count("**undecided**") >= 10  # three seeds cannot reach 1e-3
    read = read_verdicts(tmp_path / "run")
    assert (read.name, len(read.verdicts)) == ("toy.figure8", 14)
    assert {verdict.claim for verdict in read.verdicts} == {
        each.claim.id for each in claims([*CLAIMED, "fully synthetic"], 2)
    }
    main(config)  # a finished run is shown again
    assert (tmp_path / "run" / "claims.md").read_text(encoding="utf-8") == first


def test_slopes_are_taken_from_a_fifth_of_the_run_on():
    stated = claims(["λ = 0", "λ = 0.5", "λ = 1", "fully synthetic"], 50)
    assert len(stated) == 14
    first = stated[0].claim
    assert first.id == "Figure 8, fully synthetic: W1 grows"
    assert "t ≥ 10" in first.words
    assert {each.claim.error_rate for each in stated} == {1e-3, 0.025}
    assert tuple(each.claim for each in stated) == CLAIMS


def test_presets():
    assert (Figure8().experiment.seeds, Figure8().experiment.retrainings) == (50, 50)
    assert QuickFigure8().experiment.seeds >= 10  # for sign tests at 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": (0.5,)}, "Figure 8 has its own rows"),
        ({"fully_synthetic": True}, "Figure 8 has its own rows"),
        ({"regime": "fresh"}, "Figure 8 has its own rows"),
        ({"retrainings": 0}, "retrainings must be >= 1 for a slope, got 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Figure8(replace(TINY, **options))
