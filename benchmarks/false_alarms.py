"""False alarms and power of the anytime-valid alarm over many loops, beside repeated tests.

    python -m benchmarks.false_alarms

Every loop is a Gaussian law on the line that is watched for some rounds, with one reference set
that is used in all of them. A row a loop of the table: how often an alarm was ever raised.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.special import ndtr, stdtr
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from benchmarks.at_least_one import require_at_least_one
from stability.planning.alarm import (
    REFERENCE_SHARE,
    Null,
    default_tolerance,
    rows_tolerance,
)
from stability.planning.e_process import betting_upper_limit, log_growth, start, upper_limit
from stability.planning.scores import FITTED_FRACTION, SPAN
from stability.runs.command_line import command
from stability.runs.console import make_console

CHUNK = 250
REFERENCE_ROUNDS = 3
Kind = Literal["independent", "mix", "biased mix", "accumulate", "drift", "step", "synthetic"]


class Scenario(NamedTuple):
    """One kind of loop and how it is watched.

    Attributes:
        name: Row of the table.
        kind: How the law of a round follows from those before.
        null: `real`, `rows` or `stationary`.
        tolerance: Whether τ covers retraining noise; False: it is 0.
        held_out: Whether the reference is another set of real points than the training data.
        plain: Whether the reference's mean is used as if it were exact (a negative control).
    """

    name: str
    kind: Kind
    null: Null = "real"
    tolerance: bool = True
    held_out: bool = False
    plain: bool = False


NULLS = (
    Scenario("independent rounds, τ = 0, reference reused", "independent", tolerance=False),
    Scenario("Mix(1), reference = training data", "mix"),
    Scenario("Mix(1), reference held out and reused", "mix", held_out=True),
    Scenario("Accumulate, reference held out and reused", "accumulate", held_out=True),
    Scenario("independent rounds, τ = 0", "independent", "stationary", tolerance=False),
    Scenario("Mix(1)", "mix", "stationary"),
    Scenario("Mix(1) with a bias of 0.05 sd a round", "biased mix", "stationary"),
    Scenario("Mix(1), reference = training data", "mix", "rows"),
    Scenario("Accumulate, reference = training data", "accumulate", "rows"),
)
CONTROLS = (
    Scenario("no upper limit: mean of the reference", "independent", tolerance=False, plain=True),
    Scenario("the same, Mix(1), held out", "mix", tolerance=False, held_out=True, plain=True),
    Scenario("Accumulate, rows held out", "accumulate", "rows", held_out=True),
)
CHANGES = (
    Scenario("mean drifts by 0.02 sd a round", "drift"),
    Scenario("mean jumps by 0.3 sd at round 20", "step"),
    Scenario("fully synthetic: collapse", "synthetic"),
    Scenario("mean drifts by 0.02 sd a round", "drift", "stationary"),
    Scenario("fully synthetic: collapse", "synthetic", "stationary"),
    Scenario("Mix(1) with a bias of 0.05 sd a round", "biased mix"),
    Scenario("mean drifts by 0.02 sd a round", "drift", "rows"),
    Scenario("mean jumps by 0.3 sd at round 20", "step", "rows"),
    Scenario("fully synthetic: collapse", "synthetic", "rows"),
    Scenario("Mix(1) with a bias of 0.05 sd a round", "biased mix", "rows"),
)


@dataclass(frozen=True)
class Benchmark:
    """Count alarms over simulated loops, watched in every round."""

    loops: int = 10_000
    """Loops of each row without a change."""
    changed: int = 1000
    """Loops of each other row."""
    rounds: int = 50
    """Rounds of each loop; all are looked at."""
    n: int = 500
    """Real points, and points drawn in each round."""
    watched: int = 200
    """Drawn points of each round that are looked at."""
    classified: int = 200
    """Loops on which the classifier test is run too."""
    seed: int = 0
    """Determines every random draw."""

    def __post_init__(self) -> None:
        require_at_least_one(self, apart_from=("seed",))


class Watched(NamedTuple):
    """Loops side by side.

    Attributes:
        reference: Real points, shape (n, L).
        drawn: Points that are looked at, a round after the other, shape (m, L) each.
    """

    reference: NDArray[np.float64]
    drawn: Iterator[NDArray[np.float64]]


def loops(scenario: Scenario, config: Benchmark, count: int, rng: np.random.Generator) -> Watched:
    """Simulate loops.

    Args:
        scenario: Their kind.
        config: Sizes.
        count: Number L of loops.
        rng: Source of every draw.

    Returns:
        The loops.
    """
    real = rng.standard_normal((config.n, count))
    reference = rng.standard_normal((config.n, count)) if scenario.held_out else real
    return Watched(reference, _rounds(scenario.kind, real, config, rng))


def _rounds(
    kind: Kind, real: NDArray[np.float64], config: Benchmark, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """A Gaussian is fitted to real and drawn points by maximum likelihood, as the kind says."""
    shape = real.shape
    first, second = real.mean(axis=0), np.square(real).mean(axis=0)
    mean, variance, pile = first, second - first**2, 1
    piled = np.stack([first, second])
    for t in range(config.rounds):
        z = rng.standard_normal(shape)
        if kind in ("independent", "drift", "step"):
            yield z[: config.watched] + {"drift": 0.02 * (t + 1), "step": 0.3 * (t >= 19)}.get(
                kind, 0
            )
            continue
        drawn = mean + np.sqrt(variance) * z
        yield drawn[: config.watched]

        moments = np.stack([drawn.mean(axis=0), np.square(drawn).mean(axis=0)])
        if kind == "accumulate":
            piled, pile = (pile * piled + moments) / (pile + 1), pile + 1
            moments = piled
        elif kind != "synthetic":
            moments = (np.stack([first, second]) + moments) / 2
        mean = moments[0] + 0.05 * (kind == "biased mix")
        variance = np.maximum(moments[1] - moments[0] ** 2, 0)


def alarms(scenario: Scenario, config: Benchmark, rng: np.random.Generator, alpha: float) -> int:
    """Count the loops in which the alarm was ever raised.

    Args:
        scenario: Kind of loop and null.
        config: Sizes.
        rng: Source of every draw.
        alpha: Level.

    Returns:
        Their number among `config.loops`.
    """
    total = 0
    for begin in range(0, config.loops, CHUNK):
        count = min(CHUNK, config.loops - begin)
        total += int(_raised(scenario, loops(scenario, config, count, rng), config, alpha).sum())
    return total


def _raised(
    scenario: Scenario, watched: Watched, config: Benchmark, alpha: float
) -> NDArray[np.bool_]:
    """Loops, (L,), in which the alarm was ever raised."""
    fitted = round(FITTED_FRACTION * config.n)
    low, centre, high = np.quantile(watched.reference[:fitted], [0.25, 0.5, 0.75], axis=0)

    def scores(x: NDArray[np.float64]) -> NDArray[np.float64]:
        place = ndtr((x - centre) * SPAN / (high - low))
        away = np.abs(2 * place - 1)
        return np.stack([place, 1 - place, 1 - away, away], axis=-1)  # (m, L, 4)

    known, reference = scores(watched.reference[:fitted]), scores(watched.reference[fitted:])
    level, c, v = alpha * REFERENCE_SHARE / 4, known.mean(axis=0), known.var(axis=0)
    tolerance = scenario.tolerance * default_tolerance(config.n) * np.sqrt(v)
    limits = betting_upper_limit(reference, level, v) + tolerance
    if scenario.null == "rows":
        margin = scenario.tolerance * rows_tolerance(config.n, level) * np.sqrt(v)
        limits = scores(watched.reference).mean(axis=0) + margin
    if scenario.plain:
        limits, alpha = reference.mean(axis=0), alpha / (1 - REFERENCE_SHARE)

    process = start(np.full(4, 0.25), (c.shape[0],))
    raised = np.zeros(c.shape[0], dtype=bool)
    settled = []
    for drawn in watched.drawn:
        if scenario.null == "stationary" and len(settled) < REFERENCE_ROUNDS:
            settled.append(scores(drawn))
            pooled = np.concatenate(settled)
            square = np.square(pooled - c).mean(axis=0)
            limits = upper_limit(pooled.mean(axis=0), square, len(pooled), level, v) + tolerance
            continue
        process = process.step(log_growth(scores(drawn), limits))
        raised |= process.log_value >= -math.log(alpha * (1 - REFERENCE_SHARE))
    return raised


def repeated_tests(
    scenario: Scenario, config: Benchmark, rng: np.random.Generator, alpha: float
) -> tuple[int, int]:
    """Count the loops in which a test that is repeated in every round ever rejects.

    Args:
        scenario: Kind of loop; its null and tolerance do not matter.
        config: Sizes.
        rng: Source of every draw.
        alpha: Level of all rounds together: each has its share (Bonferroni).

    Returns:
        For a one-sided pair of t-tests of the mean, and of the distance from the median, over
        `config.loops`; and for a classifier test over `config.classified` loops.
    """
    by_t = by_classifier = 0
    for begin in range(0, config.loops, CHUNK):
        count = min(CHUNK, config.loops - begin)
        reference, drawn = loops(scenario, config, count, rng)
        rejected = np.zeros(count, dtype=bool)
        told = np.zeros(min(max(config.classified - begin, 0), count), dtype=bool)
        centre = np.median(reference, axis=0)
        for x in drawn:
            for a, b in ((reference, x), (np.abs(reference - centre), np.abs(x - centre))):
                rejected |= _welch(a, b) < alpha / (2 * config.rounds)
            for i in np.flatnonzero(~told):
                told[i] = _classified(reference[:, i], x[:, i], alpha / config.rounds)
        by_t, by_classifier = by_t + int(rejected.sum()), by_classifier + int(told.sum())
    return by_t, by_classifier


def _welch(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p-values of equal means, by column."""
    va, vb = a.var(axis=0, ddof=1) / len(a), b.var(axis=0, ddof=1) / len(b)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return 2 * stdtr(freedom, -np.abs(a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(va + vb))


def _classified(real: NDArray[np.float64], drawn: NDArray[np.float64], level: float) -> bool:
    """True if a classifier of one half tells the other half apart more often than by chance."""
    m = min(len(real), len(drawn)) // 2
    train = np.concatenate([real[:m], drawn[:m]])
    test = np.concatenate([real[m : 2 * m], drawn[m : 2 * m]])
    label = np.repeat([0, 1], m)
    model = LogisticRegression().fit(np.stack([train, train**2], axis=1), label)
    right = float((model.predict(np.stack([test, test**2], axis=1)) == label).mean())
    return bool(norm.sf((right - 0.5) * 2 * math.sqrt(2 * m)) < level)


def run(config: Benchmark, alpha: float = 0.05) -> None:
    """Simulate and print the table.

    Args:
        config: Sizes.
        alpha: Level of the alarm and of the tests, in (0, 1).
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("", "null", "loops", "alarm", "t-tests", "classifier"):
        table.add_column(name, justify="left" if name in ("", "null") else "right")
    groups = {"no change": NULLS, "controls: not valid": CONTROLS, "change": CHANGES}
    for group, scenarios in groups.items():
        table.add_row(f"[{group}]")
        n = config.loops if scenarios is NULLS else config.changed
        sized, c = replace(config, loops=n), min(config.classified, n)
        for i, scenario in enumerate(scenarios):
            rng = np.random.default_rng([config.seed, len(group), i])
            mine = alarms(scenario, sized, rng, alpha)
            by_t, by_c = repeated_tests(scenario, sized, rng, alpha)
            row = (scenario.name, scenario.null, f"{n}", f"{mine}", f"{by_t}", f"{by_c} of {c}")
            table.add_row(*row)
        table.add_section()

    console = make_console()
    console.width = max(console.width, 100)
    console.print(table)
    console.print(f"loops with an alarm in any of {config.rounds} rounds; level {alpha}")


if __name__ == "__main__":
    command(Benchmark, run)
