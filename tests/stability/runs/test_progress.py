"""The lines that a run prints as it goes."""

import math

from stability import FullySynthetic, Mix
from stability.runs.observer import Quantity
from stability.runs.progress import Bars, bar_words, generation_words, generations_bar
from tests.support.histories import history_of

HISTORY = history_of({
    "w1": {Mix(0.5): [[1.0, 2.0]], FullySynthetic(): [[3.0, 5.0]]},
    "w2": {Mix(0.5): [[0.25, 0.25]], FullySynthetic(): [[math.inf, 1.0]]},
    "count": {Mix(0.5): [[7.0, 7.0]], FullySynthetic(): [[7.0, 7.0]]},
})  # fmt: skip
QUANTITIES = [
    Quantity("hidden", shown=False),
    Quantity("w1", "W1 to the truth"),
    Quantity("w2", "W2"),
    Quantity("count", "Count"),
]


def test_a_line_has_means_over_seeds_of_the_first_quantities_that_are_shown():
    assert generation_words(HISTORY[0], 20, QUANTITIES, 1.234) == (
        "generation 0 of 20, 1.2 s; λ = 0.5: W1 1.5, W2 0.25; fully synthetic: W1 4, W2 inf"
    )


def test_a_run_that_measures_nothing_says_its_time():
    assert generation_words(HISTORY[0], 20, [], 60) == "generation 0 of 20, 60.0 s"
    assert generation_words(HISTORY[0], 2, [Quantity("other")], 1) == "generation 0 of 2, 1.0 s"


def test_bars_are_for_terminals(capsys):
    with generations_bar(3, 1) as bars:
        bars.within(0.5)
        bars.what("training", 1, 2)
        bars.finished(2)
    Bars().what("nothing", 0, 1)
    said = capsys.readouterr()
    assert said.out == said.err.strip() == ""


def test_the_bar_carries_the_first_number_of_the_first_and_the_last_row():
    assert bar_words(HISTORY[0], QUANTITIES) == "W1 1.5 (λ = 0.5), 4 (fully synthetic)"
    assert bar_words(HISTORY[0], QUANTITIES[2:]) == "W2 0.25 (λ = 0.5), inf (fully synthetic)"
    assert bar_words(HISTORY[0], QUANTITIES[:1]) == ""

    rows = {Mix(lam): [[lam]] for lam in (0.0, 0.5, 1.0)}
    (line,) = history_of({"w1": rows})
    assert bar_words(line, QUANTITIES) == "W1 0 (λ = 0), 1 (λ = 1)"
