import numpy as np
from rich.console import Console

from toy.measures.metrics import NoiseFloor
from toy.measures.tables import by_regime, print_tables, shown_generations

FLOOR = NoiseFloor(w1=(0.2, 0.05), w2=(0.3, 0.08))


def chain(regime, replica, w1, lam: float | None = 0.5):
    synthetic = (
        {"n": 0, "m": 9, "lambda": None, "share": 1.0}
        if lam is None
        else {"n": 6, "m": 3, "share": 1 / 3}
    )
    return {
        "regime": regime,
        "replica": replica,
        "lambda": lam,
        "w1": w1,
        "w2": 2 * w1,
        "parameter_distance": 7,
    } | (synthetic)


def printed(history):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    print_tables(console, history, FLOOR)
    console.file.close()
    return console.export_text()


def test_a_quantity_by_regime_is_generations_by_seeds():
    history = [
        {
            "t": t,
            "chains": [
                chain("a", 0, t),
                chain("a", 1, t + 0.5),
                chain("b", 0, -t),
                chain("b", 1, 0),
            ],
        }
        for t in range(3)
    ]
    values = by_regime(history, "w1")
    assert list(values) == ["a", "b"]
    np.testing.assert_array_equal(values["a"], [[0, 0.5], [1, 1.5], [2, 2.5]])
    np.testing.assert_array_equal(values["b"], [[0, 0], [-1, 0], [-2, 0]])


def test_shown_generations():
    assert shown_generations(0) == [0]
    assert shown_generations(3) == [0, 3]
    assert shown_generations(20) == [0, 5, 10, 20]
    assert shown_generations(50) == [0, 5, 10, 20, 50]


def test_one_regime_is_shown_generation_by_generation():
    text = printed([{"t": t, "chains": [chain("λ = 0.5", 0, 0.25 + t)]} for t in range(3)])
    for t, w1, w2 in ((0, "0.250", "0.500"), (2, "2.250", "4.500")):
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [str(t)]]
        assert line.split() == [str(t), "6", "3", "0.5", "0.333", w1, w2, "7.000"]
    assert "noise floor W1 0.200 ± 0.050, W2 0.300 ± 0.080 (mean ± sd of 32 draws)" in " ".join(
        text.split()
    )


def test_several_regimes_are_shown_side_by_side_with_their_spread():
    history = [
        {
            "t": t,
            "chains": [chain("λ = 0.5", s, 1.0 + s) for s in range(2)]
            + [chain("fully synthetic", 0, t, None)],
        }
        for t in range(21)
    ]
    text = printed(history)
    assert text.count("1.500 ± 0.707") == 4  # mean and sd of 1 and 2, at t = 0, 5, 10, 20
    assert text.count("3.000 ± 1.414") == 4  # W2
    assert "∞" in text
    assert "20.000" in text
    assert "noise floor 0.300 ± 0.080 (mean ± sd of 32 draws)" in " ".join(text.split())
