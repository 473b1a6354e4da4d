"""Plans from theory alone: prices, the largest λ, and whatever of λ, n, rounds, tolerance is asked.

They hold for a model that obeys the theory: response J and bias δ as given, by default those of a
well-specified model fitted by maximum likelihood (J = 1, δ = 0).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stability.loop.regimes import FullySynthetic, Regime
from stability.planning.plan_record import Curve, Plan, percent
from stability.planning.prices import (
    LARGEST_LAMBDA,
    Measure,
    Price,
    best_fresh_lambda,
    half_lives,
    largest_lambda,
    price,
    rounds_within,
    seeds_to_see_bias,
    seeds_to_see_variance,
)
from stability.runs.option_error import OptionError

__all__ = ["TheoryQuestion", "answer"]

Make = Callable[[float], Regime] | None
"""λ -> regime; None: fully synthetic, which has no λ."""
MEASURES: dict[Measure, str] = {
    "error": "root mean squared error",
    "variance": "variance",
    "bias": "bias",
}
COMPARED = (0.1, 0.3, 1.0)
"""λ of the rows that are shown beside the answer."""
DEFAULT_TOLERANCE = 0.1
DEFAULT_GENERATIONS = 20


@dataclass(frozen=True)
class TheoryQuestion:
    """Question to the theory.

    Attributes:
        n: Real points; None: asked for, from `error`.
        makes: By name, how each regime is made.
        lams: Synthetic points per real point; empty: asked for.
        generations: Retrainings; None: for ever.
        tolerance: Largest price minus 1; None: asked for if λ is given.
        on: What the tolerance is on.
        error: Root mean squared error that is wanted, in standard deviations of a feature.
        response: J.
        bias: δ of one fit, in standard deviations of a feature.
        cost_real: Price in money of a real point, >= 0.
        cost_synthetic: Price in money of a synthetic point, >= 0.
    """

    n: int | None
    makes: dict[str, Make]
    lams: tuple[float, ...] = ()
    generations: int | None = None
    tolerance: float | None = None
    on: Measure = "error"
    error: float | None = None
    response: float = 1.0
    bias: float = 0.0
    cost_real: float | None = None
    cost_synthetic: float | None = None

    @property
    def bias_ratio(self) -> float:
        """B = n δ²/C."""
        return (self.n or 0) * self.bias**2

    @property
    def horizon(self) -> str:
        """The number of rounds in words."""
        if self.generations is None:
            return "however long it runs"
        return f"for {self.generations} rounds"


def answer(question: TheoryQuestion) -> Plan:
    """Answer from theory alone.

    Args:
        question: What is asked; one of n, λ, rounds and tolerance is left out.

    Returns:
        The plan.

    Raises:
        RegimeError: If a regime cannot be planned from theory.
        ValueError: If too much is left out.
    """
    if question.n is None:
        return _points(question)
    tolerance = question.tolerance
    if not question.lams and tolerance is None:
        tolerance = DEFAULT_TOLERANCE

    verdicts, rows, curves = [], [], []
    for name, make in question.makes.items():
        lams, solved = question.lams, None
        if make is not None and not lams:
            assert tolerance is not None  # it has a default without λ
            solved = _solve(question, make, tolerance)
            lams = _beside(solved)
            verdicts.append(_solved_sentence(question, name, make, solved, tolerance))
        for lam in (None,) if make is None else lams:
            regime = FullySynthetic() if make is None or lam is None else make(lam)
            rounds = question.generations or DEFAULT_GENERATIONS
            found = price(regime, question.n, rounds, question.response)
            rows.append(_row(question, name, lam, regime, found, tolerance))
            curves.append(_curve(question, found))

    if question.lams or not verdicts:
        verdicts.append(_priced_sentence(question, rows))
    return Plan(
        verdict=" ".join(verdicts + _cheapest(rows)),
        question=_question(question),
        rows=tuple(rows),
        conditions=_conditions(question, rows),
        curves=tuple(curves),
        axis="error, times that of real data alone",
        gate=_gate(question, rows),
        inputs=_inputs(question),
    )


def _solve(question: TheoryQuestion, make: Callable[[float], Regime], tolerance: float) -> float:
    assert question.n is not None
    return largest_lambda(
        make,
        question.n,
        tolerance,
        on=question.on,
        generations=question.generations,
        response=question.response,
        bias_ratio=question.bias_ratio,
    )


def _beside(solved: float) -> tuple[float, ...]:
    """The λ that is the answer, and those shown for comparison."""
    return tuple(sorted({lam for lam in (solved, *COMPARED) if lam > 0}))


def _row(
    question: TheoryQuestion,
    name: str,
    lam: float | None,
    regime: Regime,
    found: Price,
    tolerance: float | None,
) -> dict[str, Any]:
    assert question.n is not None
    t, ratio = question.generations, question.bias_ratio
    last = len(found.variance) - 1 if t is None else t
    error = found.at("error", t, ratio)
    row: dict[str, Any] = {
        "regime": name,
        "lam": math.inf if lam is None else lam,
        "synthetic_fraction": found.synthetic_fraction,
        "error": error,
        "variance": found.at("variance", t),
        "bias": found.at("bias", t) if question.bias or question.on == "bias" else None,
        "settles": str(found.variance_growth if not ratio else found.bias_growth),
        "worth": question.n / (error**2 * (1 + ratio)),
        "seeds": _seeds(question, found, last),
    }
    if tolerance is not None:
        within = rounds_within(found, tolerance, on=question.on, bias_ratio=ratio)
        row["rounds"] = math.inf if within is None else within
    if question.cost_real is not None and question.cost_synthetic is not None:
        row["cost"] = _cost(question, regime, found, error, last)

    return row


def _seeds(question: TheoryQuestion, found: Price, last: int) -> float:
    """Chains that show what the loop adds: its variance, or the shift by its bias."""
    assert question.n is not None
    variance = seeds_to_see_variance(float(found.variance[last]))
    if not question.bias:
        return variance
    shift = question.bias * float(found.bias[last] - found.bias[0])
    deviation = math.sqrt(max(float(found.variance[last]), 1.0) / question.n)
    return min(variance, seeds_to_see_bias(shift, deviation))


def _cost(question: TheoryQuestion, regime: Regime, found: Price, error: float, last: int) -> float:
    """Money for the error that n real points alone would have.

    Their number grows by the square of the error price, and each round draws m points for n real.
    """
    assert question.cost_real is not None
    assert question.cost_synthetic is not None
    assert question.n is not None
    if math.isinf(error):
        return math.inf
    rounds = last + 1 if regime.needs_fresh_real else 1
    real = question.cost_real * rounds
    synthetic = question.cost_synthetic * last * found.synthetic / question.n
    return question.n * error**2 * (1 + question.bias_ratio) * (real + synthetic)


def _cheapest(rows: Sequence[dict[str, Any]]) -> list[str]:
    priced = [row for row in rows if row.get("cost") is not None and math.isfinite(row["cost"])]
    if len(priced) < 2:
        return []
    best = min(priced, key=lambda row: row["cost"])
    return [f"Cheapest of these for the same error: {best['regime']} at λ = {best['lam']:g}."]


def _curve(question: TheoryQuestion, found: Price) -> Curve:
    values = [found.at("error", t, question.bias_ratio) for t in range(len(found.variance))]
    return Curve(found.regime, tuple(values))


def _solved_sentence(
    question: TheoryQuestion,
    name: str,
    make: Callable[[float], Regime],
    solved: float,
    tolerance: float,
) -> str:
    """The largest λ of one regime."""
    assert question.n is not None
    within = (
        f"the {MEASURES[question.on]} within {percent(tolerance)} of that of the real data alone "
        f"{question.horizon}"
    )
    if solved == 0:
        return f"{name}: no λ keeps {within}."
    if solved >= LARGEST_LAMBDA:
        return f"{name}: every λ up to {solved:g} keeps {within}."
    found = price(make(solved), question.n, question.generations or DEFAULT_GENERATIONS)
    return (
        f"{name}: up to λ = {solved:g} ({found.synthetic} synthetic points a round for "
        f"{question.n} real ones, {percent(found.synthetic_fraction)} of the training set) keeps "
        f"{within}."
    )


def _priced_sentence(question: TheoryQuestion, rows: Sequence[dict[str, Any]]) -> str:
    """Sentence: the price of each row, or its number of rounds within the tolerance."""
    measure = MEASURES[question.on]
    asks_rounds = question.tolerance is not None and question.generations is None
    parts = []

    for row in rows:
        lam = "" if math.isinf(row["lam"]) else f" at λ = {row['lam']:g}"
        if asks_rounds:
            rounds = row["rounds"]
            said = "however long it runs" if math.isinf(rounds) else f"for {rounds} rounds"
        elif math.isinf(row[question.on]):
            said = f"grows without limit ({row['settles']})"
        else:
            change = row[question.on] - 1
            said = f"{percent(abs(change))} {'above' if change >= 0 else 'below'}"
            if question.tolerance is not None:
                said += " (kept)" if change <= question.tolerance + 1e-9 else " (broken)"
        parts.append(f"{row['regime']}{lam}: {said}")

    if asks_rounds:
        assert question.tolerance is not None
        return (
            f"The {measure} stays within {percent(question.tolerance)} of that of the real data "
            f"alone; {'; '.join(parts)}."
        )

    after = "In the long run" if question.generations is None else f"After {question.horizon[4:]}"
    return f"{after} the {measure} against that of the real data alone is, for {'; '.join(parts)}."


def _points(question: TheoryQuestion) -> Plan:
    """The number of real points that reach an error."""
    if question.error is None or not (question.lams or None in question.makes.values()):
        raise OptionError(
            "give --real, the number of real points, the real data and a source such as --learner, "
            "or --error and --lambda to find the number"
        )
    verdicts, rows, curves = [], [], []

    for name, make in question.makes.items():
        for lam in (None,) if make is None else question.lams:
            regime = FullySynthetic() if make is None or lam is None else make(lam)
            found = price(regime, 1000, question.generations or DEFAULT_GENERATIONS)
            variance = found.at("variance", question.generations)
            bias = found.at("bias", question.generations) * question.bias if question.bias else 0.0
            left = question.error**2 - bias**2
            n = math.ceil(variance / left) if left > 0 and math.isfinite(variance) else math.inf
            rows.append(
                {
                    "regime": name,
                    "lam": math.inf if lam is None else lam,
                    "synthetic_fraction": found.synthetic_fraction,
                    "variance": variance,
                    "worth": n,
                }
            )
            curves.append(_curve(question, found))
            named = "fully synthetic data" if lam is None else f"{name} at λ = {lam:g}"
            said = f"takes {n} real points" if math.isfinite(n) else "takes more than any number"
            verdicts.append(
                f"{named}: an error of {question.error:g} sd {question.horizon} {said}."
            )

    return Plan(
        verdict=" ".join(verdicts),
        question=_question(question),
        rows=tuple(rows),
        conditions=_conditions(question, rows),
        curves=tuple(curves),
        axis="error, times that of real data alone",
        inputs=_inputs(question),
    )


def _question(question: TheoryQuestion) -> str:
    if question.n is None:
        return f"How many real points give an error of {question.error:g} sd?"
    if not question.lams:
        return f"How much synthetic data may {question.n} real points take?"
    if question.generations is None and question.tolerance is not None:
        return "For how many rounds?"
    return "What does it cost?"


def _conditions(question: TheoryQuestion, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Conditions that the answer rests on, a sentence or two each."""
    model = f"response J = {question.response:g} and bias δ = {question.bias:g} sd a round"
    said = [
        f"From theory alone, for a model with {model}: exact for the mean of a feature; to first "
        "order in 1/n for a well-specified model fitted by maximum likelihood if J = 1 and δ = 0.",
        "Nothing here tests whether your model obeys it. A pilot does: give --learner with your "
        "data, or --round with the files of one round.",
    ]

    if question.n and any(name == "synthetic" for name in question.makes):
        mean, typical = half_lives(question.n)
        said.append(
            f"Without real data a Gaussian's σ halves in {mean:.0f} rounds on average, and in "
            f"{typical:.0f} on a typical path."
        )
    if question.n and question.bias and "fresh" in question.makes:
        best = best_fresh_lambda(question.bias_ratio)
        helps = f"is best at λ = {best:.2f}" if best else "does not help (n δ² >= C/2)"
        said.append(
            f"fresh: synthetic data {helps}, against one batch of {question.n} fresh real points; "
            "keeping all fresh real data does better."
        )
    elif any(row["regime"] == "fresh" for row in rows):
        said.append(
            "fresh: worth is against an unbiased fit to one batch of real points; keeping all "
            "fresh real data does better."
        )

    seeds = [row["seeds"] for row in rows if math.isfinite(row.get("seeds", math.inf))]
    if seeds:
        said.append(
            f"To see what the loop adds (one-sided level 5 %, power 80 %) takes {min(seeds):.0f} to"
            f" {max(seeds):.0f} independent chains, depending on the row."
        )

    return tuple(said)


def _gate(question: TheoryQuestion, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Options of `check`: a shift that the plan calls normal must not raise the alarm."""
    errors = [row["error"] for row in rows if math.isfinite(row["error"])]
    if not errors or question.n is None:
        return {"alpha": 0.05}
    return {"alpha": 0.05, "tolerance": max(errors) * 2 / math.sqrt(question.n)}


def _inputs(question: TheoryQuestion) -> dict[str, Any]:
    kept = {
        key: value for key, value in vars(question).items() if key != "makes" and value is not None
    }
    return {"regimes": list(question.makes), **kept}
