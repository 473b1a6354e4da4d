"""`plan`: how much synthetic data a loop can take, under which regime, and at what price."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from stability.loop.arguments import require_number, whole_number
from stability.loop.regime_data import BY_LAMBDA, RegimeName
from stability.loop.regimes import FullySynthetic, Regime
from stability.planning.functionals import of_points
from stability.planning.pilot import run_pilot
from stability.planning.pilot_plan import PilotQuestion, Rule, answer_from_pilot, sizes_of
from stability.planning.plan_inputs import load_learner, read_points
from stability.planning.plan_record import Plan
from stability.planning.prices import Measure
from stability.planning.round_plan import answer_from_round
from stability.planning.target_score import parse_budget, target_score
from stability.planning.theory_plan import MEASURES, Make, TheoryQuestion, answer

__all__ = ["plan"]

DEFAULT_LAMBDAS = (0.1, 0.3, 1.0)
DEFAULT_GENERATIONS = 10


def plan(
    real: Any = None,
    *,
    regime: str | Callable[[float], Regime] | Sequence[str | Callable[[float], Regime]] = "mix",
    lam: float | Collection[float] = (),
    generations: int | None = None,
    tolerate: float | None = None,
    on: Measure = "error",
    error: float | None = None,
    response: float = 1.0,
    bias: float = 0.0,
    cost_real: float | None = None,
    cost_synthetic: float | None = None,
    learner: Any = None,
    known_round: tuple[Any, Any] | None = None,
    target: str | None = None,
    budget: str | None = None,
    categories: Collection[str] = (),
    repeats: int = 3,
    seed: int = 0,
) -> Plan:
    """Plan a loop: from theory alone, from a pilot with a learner, or from the files of one round.

    From theory, leave out one of n, λ, rounds and tolerance, and it is solved for.

    Args:
        real: Number of real points n, or the real data: an array (n, d), a table, or a path to
            .npy, .npz, .csv or .parquet. None: n is found from `error`.
        regime: Names of command lines (mix, synthetic, accumulate, fresh, replace, subsample), or
            functions λ -> regime for rules of your own.
        lam: Synthetic points per real point, one or more; none: from theory, the largest that is
            tolerated; of a pilot, 0.1, 0.3 and 1.
        generations: Retrainings; None: for ever; of a pilot 10.
        tolerate: Largest acceptable increase, 0.1 for 10 %.
        on: What must not increase by more: the root mean squared `error`, the `variance`, or the
            `bias`. A pilot knows the error only.
        error: Root mean squared error wanted, in standard deviations of a feature; finds n.
        response: J of the theory, the slope of the model's value in that of its training set.
        bias: δ of the theory, the bias of one fit, in standard deviations of a feature.
        cost_real: Price in money of a real point.
        cost_synthetic: Price in money of a synthetic point.
        learner: A class or function that makes objects with `fit` and `sample`, `file.py:Name` of
            one, or number of chains -> learner. A pilot of two rounds is run.
        known_round: The training data and the samples of one round, as `real`.
        target: Column of two values that a classifier predicts, trained on samples.
        budget: Such as "target_ap >= 0.95x": of the average precision that real rows give.
        categories: Columns of whole numbers that are codes.
        repeats: Repeats of the pilot, >= 2.
        seed: Determines the pilot and the forecasts.

    Returns:
        The plan.

    Raises:
        ValueError: If an argument is out of range, or too much is left out.
        RegimeError: If theory alone cannot plan a regime.
        ArithmeticError: If a fit of the pilot fails.
    """
    names = [regime] if isinstance(regime, str) or callable(regime) else list(regime)
    lams = (lam,) if isinstance(lam, int | float) else tuple(lam)
    for value in lams:
        _require_positive(value, "lam", zero=True)
    for name, value in (("tolerate", tolerate), ("error", error), ("response", response)):
        _require_positive(value, name)
    for name, value in (("cost_real", cost_real), ("cost_synthetic", cost_synthetic)):
        _require_positive(value, name, zero=True)
    require_number(bias, "bias")
    if not math.isfinite(bias):
        raise ValueError(f"bias must be finite, got {bias}")
    if on not in MEASURES:
        raise ValueError(f"on must be one of {tuple(MEASURES)}, got {on!r}")
    if (cost_real is None) != (cost_synthetic is None):
        raise ValueError("cost_real and cost_synthetic must be given together")
    if generations is not None:
        generations = whole_number(generations, "generations", 1)
    makes = {_name(each): _make(each) for each in names}
    lams = tuple(map(float, lams))

    is_theory = real is None or isinstance(real, int)
    if not is_theory:
        given = {"response": response != 1, "bias": bias != 0, "error": error is not None}
        given |= {"cost_real": cost_real is not None, "on": on != "error"}
        _refuse(given, "is for a plan from theory, with the number of real points")
        measured = _Measured(
            real, makes, lams or DEFAULT_LAMBDAS, generations or DEFAULT_GENERATIONS, seed
        )
        return measured.plan(learner, known_round, tolerate, target, budget, categories, repeats)

    given = {"learner": learner is not None, "known_round": known_round is not None}
    given |= {"target": target is not None, "budget": budget is not None}
    _refuse(given, "needs the real data, not their number")
    if real is not None and error is not None:
        raise ValueError("error finds the number of real points: give real or error, not both")
    return answer(
        TheoryQuestion(
            n=None if real is None else whole_number(real, "real", 1),
            makes=makes,
            lams=lams,
            generations=generations,
            tolerance=tolerate,
            on=on,
            error=error,
            response=response,
            bias=bias,
            cost_real=cost_real,
            cost_synthetic=cost_synthetic,
        )
    )


@dataclass(frozen=True, eq=False)
class _Measured:
    """A plan from real data."""

    real: Any
    makes: dict[str, Make]
    lams: tuple[float, ...]
    generations: int
    seed: int

    @property
    def rules(self) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        for name, make in self.makes.items():
            if make is None:
                rules.append((name, None, FullySynthetic()))
            else:
                rules += [(name, lam, make(lam)) for lam in self.lams]
        return tuple(rules)

    def plan(
        self,
        learner: Any,
        known_round: tuple[Any, Any] | None,
        tolerate: float | None,
        target: str | None,
        budget: str | None,
        categories: Collection[str],
        repeats: int,
    ) -> Plan:
        if (learner is None) == (known_round is None):
            raise ValueError("give learner (a pilot is run) or known_round, one of them")
        seed = whole_number(self.seed, "seed", 0)
        points = read_points(self.real, "real", categories=categories)
        functionals = of_points(points.values, points.names)
        if known_round is not None:
            given = {"target": target is not None, "budget": budget is not None}
            _refuse(given | {"tolerate": tolerate is not None}, "needs a pilot: give learner")
            train, samples = (
                read_points(data, name, like=points).values
                for data, name in zip(known_round, ("train", "samples"), strict=True)
            )
            n = len(points.values)
            return answer_from_round(
                functionals, train, samples, self.rules, n, self.generations, seed
            )

        score = None if target is None else target_score(points.values, points.names, target)
        if budget is not None and score is None:
            raise ValueError("budget needs target, the column that is predicted")
        bound = None if budget is None else parse_budget(budget)
        recipe = load_learner(learner, points.codec)
        pilot = run_pilot(
            recipe,
            points.values,
            functionals,
            sizes_of(self.rules, len(points.values), self.generations),
            repeats=whole_number(repeats, "repeats", 2),
            seed=seed,
            score=score,
        )
        question = PilotQuestion(
            self.rules, self.generations, seed, tolerate, score, bound, "From a pilot"
        )
        return answer_from_pilot(pilot, question)


def _refuse(given: dict[str, bool], why: str) -> None:
    for name, is_given in given.items():
        if is_given:
            raise ValueError(f"{name} {why}")


def _require_positive(value: Any, name: str, zero: bool = False) -> None:
    if value is None:
        return
    require_number(value, name)
    if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise ValueError(f"{name} must be finite and {'>=' if zero else '>'} 0, got {value}")


def _name(regime: str | Callable[[float], Regime]) -> str:
    return regime if isinstance(regime, str) else getattr(regime, "__name__", str(regime))


def _make(regime: str | Callable[[float], Regime]) -> Make:
    if not isinstance(regime, str):
        return regime
    names = get_args(RegimeName)
    if regime not in names:
        raise ValueError(f"regime must be one of {names}, got {regime!r}")
    return BY_LAMBDA.get(regime)  # None: it takes no λ
