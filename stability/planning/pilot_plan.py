"""Plans from a pilot: forecasts for each regime and λ, and whether the model obeys the theory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from stability.loop.regimes import Regime
from stability.planning.forecast import LEVEL, Forecast, forecast
from stability.planning.functionals import Functionals
from stability.planning.labels import propagate
from stability.planning.pilot import Pilot, response_curves
from stability.planning.plan_record import Curve, Plan, percent
from stability.planning.prices import price, seeds_to_see_bias
from stability.planning.response_curve import ResponseCurve
from stability.planning.target_score import PrecisionScore, ScoreBudget

__all__ = ["PilotQuestion", "answer_from_pilot", "sizes_of"]

Rule = tuple[str, float | None, Regime]
"""Name, λ (None: fully synthetic) and the regime."""
GATE_LEVEL = 0.01
"""Probability, over all functionals, that a model that obeys the theory is said not to."""
MISFIT_LEVEL = 0.001
RARE = 0.1
LARGEST_GROWTH = 4
"""Largest size of a refit's training set, over n."""
MOST_ROWS = 12
MOST_OF_GUESSING = 1.5
"""Score of real rows over that of guessing below which a target is hardly predicted."""


@dataclass(frozen=True, eq=False)
class PilotQuestion:
    """Question to a pilot.

    Attributes:
        rules: The rows.
        generations: Retrainings T.
        seed: Of the simulated noises of forecasts.
        tolerance: Largest price of the error minus 1; None: none asked for.
        target: Score of draws, if there is a target.
        budget: Bound on that score.
        source: What the pilot was made from, in words.
    """

    rules: tuple[Rule, ...]
    generations: int
    seed: int
    tolerance: float | None = None
    target: PrecisionScore | None = None
    budget: ScoreBudget | None = None
    source: str = ""


@dataclass(frozen=True, eq=False)
class _Row:
    """One row: its forecast, and what follows from it."""

    name: str
    lam: float | None
    path: Forecast
    score: NDArray[np.float64] | None

    @property
    def label(self) -> str:
        return self.name if self.lam is None else f"{self.name} at λ = {self.lam:g}"


def sizes_of(rules: Sequence[Rule], n: int, generations: int) -> tuple[int, ...]:
    """Sizes of training sets at which a pilot must refit: n, and the largest of the loops.

    Args:
        rules: The rows.
        n: Real points.
        generations: Retrainings.

    Returns:
        One or two sizes, ascending.
    """
    largest = max(
        propagate(regime, n, generations).size(t)
        for _, _, regime in rules
        for t in range(generations + 1)
    )
    return tuple(sorted({n, min(max(largest, n), LARGEST_GROWTH * n)}))


def answer_from_pilot(pilot: Pilot, question: PilotQuestion) -> Plan:
    """Answer from a pilot.

    Args:
        pilot: What was measured.
        question: What is asked.

    Returns:
        The plan.

    Raises:
        RegimeError: If a regime looks at values.
    """
    curves = response_curves(pilot)
    rng = np.random.default_rng(np.random.SeedSequence(question.seed, spawn_key=(101,)))
    rows = []
    for name, lam, regime in question.rules:
        path = forecast(regime, pilot.functionals, curves, pilot.n, question.generations, rng)
        score = None
        if question.target is not None:
            score = _scores(pilot, question.target, path, rng)
        rows.append(_Row(name, lam, path, score))

    gate = _gate_rows(pilot, curves)
    obeys = all(row["obeys"] == "obeyed" for row in gate)
    shown = [_shown(pilot, question, row, curves, obeys) for row in rows]
    return Plan(
        verdict=_verdict(pilot, question, rows, shown),
        question=f"What becomes of this model in {question.generations} rounds?",
        rows=tuple(shown),
        conditions=(*_conditions(pilot, question, gate, obeys), *_doubts(question, rows)),
        functionals=tuple(_worst(gate)),
        categories=tuple(_categories(pilot, rows, shown)),
        curves=tuple(
            _figure_curve(pilot, question, row)
            for row, cells in zip(rows, shown, strict=True)
            if cells["described"] != "no"
        ),
        axis=_axis(question),
        gate=_gate(pilot, question, shown),
        inputs={"n": pilot.n, "repeats": pilot.repeats, "generations": question.generations},
    )


def _scores(
    pilot: Pilot, target: PrecisionScore, path: Forecast, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(T + 1, paths), score over that of real rows.

    The score of a model is read off the refits, at the class's fraction in the training set.
    """
    q = _functional_of(pilot.functionals, target.coordinate)
    groups: dict[tuple[int, float], list[tuple[float, float]]] = {}
    for refit in pilot.refits:
        pair = float(refit.training[q]), refit.score
        groups.setdefault((refit.size, refit.fraction), []).append(pair)
    fractions = np.array([np.mean([r for r, _ in pairs]) for pairs in groups.values()])
    means = np.array([np.mean([score for _, score in pairs]) for pairs in groups.values()])
    spreads = np.array([np.std([score for _, score in pairs]) for pairs in groups.values()])
    counts = np.array([len(pairs) for pairs in groups.values()])
    spreads = np.sqrt((spreads**2 * counts / np.maximum(counts - 1, 1) + (spreads**2).mean()) / 2)

    order = np.argsort(fractions)
    paths = path.training.shape[2]
    found = np.empty(path.training.shape[1:])
    for k in range(paths):
        sampled = means + spreads / np.sqrt(counts) * rng.standard_normal(len(means))
        found[:, k] = np.interp(path.training[q, :, k], fractions[order], sampled[order])
    nearby = np.interp(path.training[q], fractions[order], spreads[order])
    found += nearby * rng.standard_normal(found.shape)
    return np.maximum(found, 0.0) / target.reference


def _functional_of(functionals: Functionals, coordinate: int) -> int:
    return int(np.flatnonzero((functionals.coordinate == coordinate) & ~functionals.square)[0])


def _gate_rows(pilot: Pilot, curves: list[list[ResponseCurve]]) -> list[dict[str, Any]]:
    """Bias and response of each functional, with intervals, and whether J = 1 and δ = 0 hold."""
    sizes = len(pilot.sizes)
    tests = 2 * len(curves) * sizes
    limit = -float(ndtri(GATE_LEVEL / (2 * tests)))
    bend = -float(ndtri(MISFIT_LEVEL / (2 * tests)))
    half = float(ndtri((1 + LEVEL) / 2))
    rows = []
    for q, by_size in enumerate(curves):
        # the size that departs most is shown
        curve = max(by_size, key=lambda c: abs(c.bias[0]) / c.bias[1])
        deviation = pilot.functionals.deviation[q]
        (bias, bias_error), (response, response_error) = curve.bias, curve.response
        breaks = []
        if abs(bias) > limit * bias_error:
            breaks.append("δ")
        if response_error and abs(response - 1) > limit * response_error:
            breaks.append("J")
        known = len(curve.coefficients) > 1
        rows.append(
            {
                "functional": pilot.functionals.names[q],
                "real": float(pilot.functionals.mean[q]),
                "delta": bias / deviation,
                "delta_low": (bias - half * bias_error) / deviation,
                "delta_high": (bias + half * bias_error) / deviation,
                "response": response if known else None,
                "response_low": response - half * response_error if known else None,
                "response_high": response + half * response_error if known else None,
                "obeys": f"broken: {', '.join(breaks)}" if breaks else "obeyed",
                "fit": "misfit" if max(c.misfit for c in by_size) > bend else "fits",
                "size": abs(bias) / bias_error,
            }
        )
    return rows


def _worst(gate: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The functionals that depart most, those that break the theory first."""
    ordered = sorted(gate, key=lambda row: -row["size"])
    return [{k: v for k, v in row.items() if k != "size"} for row in ordered[:MOST_ROWS]]


def _shifts(pilot: Pilot, row: _Row) -> NDArray[np.float64]:
    """(q,), median shift of the last model from the real data, in standard deviations."""
    last = np.median(row.path.model[:, -1], axis=1)
    return (last - pilot.functionals.mean) / pilot.functionals.deviation


def _described(pilot: Pilot, row: _Row, bent: Sequence[bool]) -> tuple[str, str]:
    """Say in a word whether the response curves describe the loop, and if not, why."""
    names, path = pilot.functionals.names, row.path
    if not path.possible.all():
        q = int((~path.possible).argmax())
        return "no", f"not described by the model: {names[q]} leaves the possible range"
    if any(bent):
        name = names[list(bent).index(True)]
        return "no", f"not described by the model: {name} departs from its curve"
    first = int(path.beyond.argmin())
    if path.beyond[first] <= path.generations:
        more = path.generations - int(path.beyond[first]) + 1
        return f"t < {path.beyond[first]}", (
            f"beyond what was measured from round {path.beyond[first]} on, in {names[first]}: run "
            f"{more} more rounds"
        )
    return "yes", ""


def _shown(
    pilot: Pilot,
    question: PilotQuestion,
    row: _Row,
    curves: list[list[ResponseCurve]],
    obeys: bool,
) -> dict[str, Any]:
    """One row of the table."""
    shifts = _shifts(pilot, row)
    worst = int(abs(shifts).argmax())
    last = row.path.model[:, -1]
    gaps = (last - pilot.functionals.mean[:, None]) / pilot.functionals.deviation[:, None]
    errors = np.sqrt(1 + pilot.n * (gaps**2).mean(axis=1))
    tests = 2 * len(curves) * len(pilot.sizes)
    bend = -float(ndtri(MISFIT_LEVEL / (2 * tests)))
    bent = [max(curve.misfit for curve in by_size) > bend for by_size in curves]
    word, reason = _described(pilot, row, bent)
    found: dict[str, Any] = {
        "regime": row.name,
        "lam": math.inf if row.lam is None else row.lam,
        "synthetic_fraction": row.path.synthetic_fraction,
        "described": word,
        "reason": reason,
    }
    if word == "no":  # a number would be none of this loop
        return found | {"lost": [], "keeps": "unknown"}

    found |= {
        "error": float(errors.max()),
        "variance": None,
        "shift": float(shifts[worst]),
        "shift_of": pilot.functionals.names[worst],
        "seeds": _seeds(pilot, row, worst),
        "lost": _lost(pilot, row),
    }
    if obeys:
        regime = next(r for name, lam, r in question.rules if (name, lam) == (row.name, row.lam))
        found["variance"] = float(price(regime, pilot.n, question.generations).variance[-1])
    if row.score is not None:
        found |= _target_cells(question, row)
    elif question.tolerance is not None:
        found["keeps"] = "kept" if errors.max() <= 1 + question.tolerance else "broken"

    return found


def _target_cells(question: PilotQuestion, row: _Row) -> dict[str, Any]:
    """Score at the worst round, its interval, and whether the budget is kept."""
    assert row.score is not None
    tail = (1 - LEVEL) / 2
    low, middle, high = np.quantile(row.score, (tail, 0.5, 1 - tail), axis=1)
    worst = int(middle.argmin())
    cells: dict[str, Any] = {
        "target": float(middle[worst]),
        "target_low": float(low[worst]),
        "target_high": float(high[worst]),
    }
    least = _least(question)
    if least is None:
        return cells

    broken = np.flatnonzero(middle < least)
    cells["rounds"] = math.inf if not len(broken) else int(broken[0]) - 1
    if low[worst] >= least:
        cells["keeps"] = "kept"
    elif high[worst] < least:
        cells["keeps"] = "broken"
    else:
        cells["keeps"] = "likely kept" if middle[worst] >= least else "likely broken"

    return cells


def _least(question: PilotQuestion) -> float | None:
    """The budget as a multiple of the real rows' score."""
    if question.budget is None or question.target is None:
        return None
    budget = question.budget
    return budget.least if budget.relative else budget.least / question.target.reference


def _seeds(pilot: Pilot, row: _Row, q: int) -> float:
    """Chains that show the predicted shift of one functional since t = 0."""
    change = row.path.model[q, -1] - row.path.model[q, 0]
    measured = math.sqrt(2 / pilot.draws) * pilot.functionals.deviation[q]
    return seeds_to_see_bias(float(np.median(change)), math.hypot(float(change.std()), measured))


def _lost(pilot: Pilot, row: _Row) -> list[str]:
    """Rare categories that are not among the last n samples, more likely than not."""
    rare = np.flatnonzero(pilot.functionals.fraction & (pilot.functionals.mean < RARE))
    return [pilot.functionals.names[q] for q in rare if _alive(pilot, row, int(q))[-1] < 0.5]


def _alive(pilot: Pilot, row: _Row, q: int) -> NDArray[np.float64]:
    """(T + 1,), probability that a category is among n samples of each model."""
    return (1 - (1 - row.path.model[q]) ** pilot.n).mean(axis=1)


def _categories(
    pilot: Pilot, rows: Sequence[_Row], shown: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rare categories, in each row that is described: fraction at the end, and the chance that it
    is alive.
    """
    functionals = pilot.functionals
    rare = np.flatnonzero(functionals.fraction & (functionals.mean < RARE))
    rare = rare[np.argsort(functionals.mean[rare])][:MOST_ROWS]
    found = []
    described = [row for row, c in zip(rows, shown, strict=True) if c["described"] != "no"]

    for q in rare:
        for row in described:
            alive = _alive(pilot, row, int(q))
            lost = np.flatnonzero(alive < 0.5)
            low, middle, high = row.path.interval(int(q))[:, -1]
            found.append(
                {
                    "category": functionals.names[q],
                    "regime": row.name,
                    "lam": math.inf if row.lam is None else row.lam,
                    "real": float(functionals.mean[q]),
                    "forecast": float(middle),
                    "forecast_low": float(low),
                    "forecast_high": float(high),
                    "alive": float(alive[-1]),
                    "note": f"likely lost by round {lost[0]}" if len(lost) else "",
                }
            )

    return found


def _verdict(
    pilot: Pilot, question: PilotQuestion, rows: Sequence[_Row], shown: Sequence[dict[str, Any]]
) -> str:
    """One sentence that answers."""
    pairs = list(zip(rows, shown, strict=True))
    unknown = [f"{row.label} is {c['reason']}" for row, c in pairs if c["described"] == "no"]
    known = [pair for pair in pairs if pair[1]["described"] != "no"]
    if not known:
        return f"No forecast: {'; '.join(unknown)}."

    goal = _goal(question)
    if goal is None:
        row, cells = max(known, key=lambda pair: abs(pair[1]["shift"]))
        note = f"; {cells['reason']}" if cells["reason"] else ""
        parts = [
            f"After {question.generations} rounds the largest forecast shift is "
            f"{cells['shift']:+.2g} sd of {cells['shift_of']} ({row.label}{note})"
        ]
    else:
        parts = _answers(goal, pairs, known)
    return "; ".join([*parts, *unknown]) + "."


def _goal(question: PilotQuestion) -> str | None:
    """Goal that must be kept, in words; None: nothing was asked for."""
    least, rounds = _least(question), question.generations
    if least is not None and question.target is not None:
        return (
            f"the average precision for {question.target.name} at {percent(least)} or more of "
            f"that of the real rows ({question.target.reference:.3g}) for {rounds} rounds"
        )
    if question.tolerance is not None:
        return (
            f"the error of every functional within {percent(question.tolerance)} of that of the "
            f"real data alone for {rounds} rounds"
        )
    return None


def _answers(
    goal: str,
    pairs: Sequence[tuple[_Row, dict[str, Any]]],
    known: Sequence[tuple[_Row, dict[str, Any]]],
) -> list[str]:
    """Sentences: which rows keep the goal, up to which λ, and which do not."""
    kept = [pair for pair in known if pair[1]["keeps"] in _KEPT]
    broken = [pair for pair in known if pair[1]["keeps"] not in _KEPT]
    parts = []

    if not kept:
        row, cells = min(broken, key=lambda pair: pair[1]["lam"])
        parts.append(f"None of these keeps {goal}: {_reached(row, cells)}")

    # of each regime, the largest λ below the first that breaks the goal
    for name in dict.fromkeys(row.name for row, _ in kept):
        of_name = [pair for pair in pairs if pair[0].name == name]
        limit = min((c["lam"] for _, c in of_name if c["keeps"] not in _KEPT), default=math.inf)
        inside = [pair for pair in of_name if pair[1]["lam"] < limit]
        if inside:
            row, cells = max(inside, key=lambda pair: pair[1]["lam"])
            up_to = name if row.lam is None else f"{name} up to λ = {row.lam:g}"
            up_to = f"{name} at λ = 0 alone" if row.lam == 0 else up_to
            parts.append(f"{up_to} keeps {goal} ({_reached(row, cells)})")

    if broken and kept:
        row, cells = max(broken, key=lambda pair: pair[1]["lam"])
        parts.append(f"{row.label} does not: {_reached(row, cells)}")
    return parts


_KEPT = ("kept", "likely kept")


def _reached(row: _Row, cells: dict[str, Any]) -> str:
    """Value that a row reaches, with its interval, and a word where the curve was left."""
    if "target" in cells:
        said = (
            f"forecast {percent(cells['target'])}, 90 % interval {percent(cells['target_low'])} "
            f"to {percent(cells['target_high'])}"
        )
    else:
        said = f"error × {cells['error']:.3g}"
    for name in cells["lost"]:
        said += f"; {name} is likely lost"
    return f"{said}; {cells['reason']}" if cells["reason"] else said


def _conditions(
    pilot: Pilot, question: PilotQuestion, gate: Sequence[dict[str, Any]], obeys: bool
) -> tuple[str, ...]:
    """Conditions that the answer rests on, a sentence or two each."""
    broken = [row for row in gate if row["obeys"] != "obeyed"]
    said = [
        f"{question.source}: {len(pilot.refits)} fits ({pilot.repeats} repeats) on {pilot.n} real "
        f"points and draws of their models, at sizes {', '.join(map(str, pilot.sizes))}.",
    ]
    if obeys:
        said.append(
            f"None of {len(gate)} functionals departs from the theory's J = 1 and δ = 0 (level "
            f"{percent(GATE_LEVEL)} over all); var × is the theory's price."
        )
    else:
        worst = max(broken, key=lambda row: row["size"])
        said.append(
            f"The theory's prices do not hold for this model, and are not shown: {len(broken)} of "
            f"{len(gate)} functionals break J = 1 or δ = 0, most {worst['functional']} (δ = "
            f"{worst['delta']:.2g} sd a round)."
        )

    said.append(
        "error × is that of the functional that is hit hardest. Forecasts iterate the response "
        "curves; intervals cover the refits' scatter and the draws, not a curve that bends outside "
        "what was measured."
    )
    if question.target is not None:
        said.append(
            "The target's score is the average precision of a logistic regression trained on n "
            "draws, on the real rows; the reference is out of fold. Both have the error of "
            f"{int((question.target.points[:, question.target.coordinate] > 0.5).sum())} rows of "
            "the class."
        )

    return tuple(said)


def _doubts(question: PilotQuestion, rows: Sequence[_Row]) -> list[str]:
    """Reasons why a target's score may say little, a sentence each."""
    target = question.target
    if target is None:
        return []
    said, guessing = [], float((target.points[:, target.coordinate] > 0.5).mean())
    if target.reference < MOST_OF_GUESSING * guessing:
        said.append(
            f"Real rows score {target.reference:.3g}, guessing {guessing:.3g}: the other columns "
            f"hardly predict {target.name}, so that a budget on it says little."
        )

    at_start = [np.quantile(row.score[0], (1 - LEVEL) / 2) for row in rows if row.score is not None]
    if at_start and min(at_start) > 1:
        said.append(
            "Draws of the first model score better than real rows: they lie near the very rows "
            "that they are scored on, while the reference is out of fold. A model that copies its "
            "training rows looks good here; check --holdout finds copies."
        )
    return said


def _axis(question: PilotQuestion) -> str:
    if question.target is not None:
        return "average precision, times that of real rows"
    return "largest shift (standard deviations)"


def _figure_curve(pilot: Pilot, question: PilotQuestion, row: _Row) -> Curve:
    tail = (1 - LEVEL) / 2
    if row.score is not None:
        low, middle, high = np.quantile(row.score, (tail, 0.5, 1 - tail), axis=1)
    else:
        q = int(abs(_shifts(pilot, row)).argmax())
        low, middle, high = (
            row.path.interval(q) - pilot.functionals.mean[q]
        ) / pilot.functionals.deviation[q]
    return Curve(row.label, *(tuple(map(float, part)) for part in (middle, low, high)))


def _gate(pilot: Pilot, question: PilotQuestion, shown: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Options of `check` that guard the row that the plan recommends."""
    found: dict[str, Any] = {"alpha": 0.05, "fail_if": ["degrading"]}
    described = [cells for cells in shown if cells["described"] != "no"]
    kept = [cells for cells in described if cells.get("keeps") in _KEPT] or described
    if kept:
        best = max(kept, key=lambda cells: cells["lam"])
        found["tolerance"] = abs(best["shift"]) + 2 / math.sqrt(pilot.n)
        # the same real rows are in every training set; the noise about them is at most 1/√(2n)
        if best["regime"] == "mix":
            found["null"] = "rows"
    if question.target is not None:
        found["target"] = question.target.column
        least = _least(question)
        if least is not None:
            found["fail_if"].append(f"target < {least:g}x")
    return found
