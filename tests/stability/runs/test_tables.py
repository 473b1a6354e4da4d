from rich.console import Console

from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.history import History, HistoryLine
from stability.runs.observer import Floor, Quantity
from stability.runs.study_file import StudyFile
from stability.runs.tables import print_tables, shown_generations
from tests.support.histories import chain

QUANTITIES = (Quantity("w1", "W1 to the truth"), Quantity("w2", "W2 to the truth"))
STUDY = StudyFile(QUANTITIES, {"w1": Floor(0.2, 0.05, 32), "w2": Floor(0.3, 0.08, 32)})


def record(regime, seed, w1):
    return chain(regime, seed, w1=w1, w2=2 * w1, moved=7.0)


def printed(history):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_tables(console, history, STUDY, QUANTITIES, "moved")
    console.file.close()
    return console.export_text()


def test_shown_generations():
    assert shown_generations(0) == [0]
    assert shown_generations(3) == [0, 3]
    assert shown_generations(20) == [0, 5, 10, 20]
    assert shown_generations(50) == [0, 5, 10, 20, 50]


def test_one_regime_is_shown_generation_by_generation():
    lines = [HistoryLine(t, (record(Mix(0.5), 0, 0.25 + t),)) for t in range(3)]
    text = printed(History(tuple(lines)))
    for t, w1, w2 in ((0, "0.250", "0.500"), (2, "2.250", "4.500")):
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [str(t)]]
        assert line.split() == [str(t), "6", "3", "0.5", "0.333", w1, w2, "7.000"]
    assert "noise floor W1 0.200 ± 0.050, W2 0.300 ± 0.080 (mean ± sd of 32 draws)" in " ".join(
        text.split()
    )


def test_several_regimes_are_shown_side_by_side_with_their_spread():
    lines = [
        HistoryLine(
            t,
            (
                *(record(Mix(0.5), s, 1.0 + s) for s in range(2)),
                record(FullySynthetic(), 0, t),
            ),
        )
        for t in range(21)
    ]
    text = printed(History(tuple(lines)))
    assert text.count("1.500 ± 0.707") == 4  # mean and sd of 1 and 2, at t = 0, 5, 10, 20
    assert text.count("3.000 ± 1.414") == 4  # W2
    assert "∞" in text
    assert "20.000" in text
    assert "noise floor 0.300 ± 0.080 (mean ± sd of 32 draws)" in " ".join(text.split())
