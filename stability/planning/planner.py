"""`plan`: how much synthetic data a loop can take, under which regime, and at which price."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from numpy.typing import NDArray

from stability.loop.arguments import require_number, whole_number
from stability.loop.estimator_learner import EstimatorRecipe
from stability.loop.regime_data import BY_LAMBDA, RegimeName
from stability.loop.regimes import FullySynthetic, Regime
from stability.planning.functionals import Functionals, of_points
from stability.planning.pilot import run_pilot
from stability.planning.pilot_plan import PilotQuestion, Rule, answer_from_pilot, sizes_of
from stability.planning.plan_inputs import Points, load_learner, read_real_points, read_round
from stability.planning.plan_record import Plan
from stability.planning.prices import Measure
from stability.planning.recorded_pilot import recorded_pilot
from stability.planning.round_plan import answer_from_round
from stability.planning.target_score import parse_budget, precision_score
from stability.planning.theory_plan import MEASURES, Make, TheoryQuestion, answer

__all__ = ["plan"]

DEFAULT_LAMBDAS = (0.1, 0.3, 1.0)
DEFAULT_GENERATIONS = 10
FROM_SCRATCH = (
    "Each fit of the pilot starts from new parameters. A loop whose fits go on from the last ones, "
    "as those of networks do, is described only if they have forgotten where they began: retrain "
    "it with from_scratch=True."
)
"""Condition of a pilot with a learner whose fits can go on from its parameters."""


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
    run: Path | str | None = None,
    target: str | None = None,
    budget: str | None = None,
    categories: Collection[str] = (),
    features: str = "random-conv",
    array: str | None = None,
    repeats: int = 3,
    seed: int = 0,
) -> Plan:
    """Plan a loop: from theory alone, from a pilot with a learner, or from the files of one round.

    From theory, leave out one of n, λ, rounds and tolerance, and it is solved for.

    Args:
        real: Number of real points n, or the real data: an array (n, d), a table, or a path to
            .npy, .npz, .csv, .parquet or a folder of pictures. None: n is found from `error`.
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
        run: Folder of a recorded run that began with the real data: its generations are the pilot.
        target: Column of two values that a classifier predicts, trained on samples.
        budget: Such as "target_ap >= 0.95x": of the average precision that real rows give.
        categories: Columns of whole numbers that are codes.
        features: Of pictures: `random-conv`, `pixels`, `inception:FILE` or `module:function`.
        array: Name of the array in .npz files.
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
    _require_numbers(
        positive={"tolerate": tolerate, "error": error, "response": response},
        not_negative={"cost_real": cost_real, "cost_synthetic": cost_synthetic},
        lams=lams,
        bias=bias,
        on=on,
    )
    if generations is not None:
        generations = whole_number(generations, "generations", 1)
    makes, lams = {_name(each): _make(each) for each in names}, tuple(map(float, lams))

    if real is not None and not isinstance(real, int):
        given = {"response": response != 1, "bias": bias != 0, "error": error is not None}
        given |= {"cost_real": cost_real is not None, "on": on != "error"}
        _refuse(given, "is for a plan from theory, with the number of real points")
        if sum(source is not None for source in (learner, known_round, run)) != 1:
            raise ValueError("give learner (a pilot is run), known_round or run, one of them")
        points = read_real_points(real, categories=categories, features=features, array=array)
        measured = _Measured(
            points, makes, lams or DEFAULT_LAMBDAS, generations or DEFAULT_GENERATIONS, seed
        )
        if learner is not None:
            return measured.by_pilot(learner, tolerate, target, budget, repeats)
        given = {"target": target is not None, "budget": budget is not None}
        _refuse(given, "needs a pilot: give learner")
        if run is not None:
            return measured.by_run(Path(run), tolerate)
        assert known_round is not None  # one of the three is given
        _refuse({"tolerate": tolerate is not None}, "needs a pilot: give learner or run")
        points, *of_round = read_round(known_round, points, features=features, array=array)
        return replace(measured, points=points).by_round(*of_round)

    given = {"learner": learner, "known_round": known_round, "target": target, "budget": budget}
    given |= {"run": run}
    _refuse(
        {name: value is not None for name, value in given.items()},
        "needs the real data, not their number",
    )
    question = {"generations": generations, "tolerance": tolerate, "on": on, "error": error}
    question |= {"response": response, "bias": bias}
    question |= {"cost_real": cost_real, "cost_synthetic": cost_synthetic}
    return _from_theory(real, makes, lams, question)


def _from_theory(
    real: int | None, makes: dict[str, Make], lams: tuple[float, ...], question: dict[str, Any]
) -> Plan:
    if real is not None and question["error"] is not None:
        raise ValueError("error finds the number of real points: give real or error, not both")
    n = None if real is None else whole_number(real, "real", 1)
    return answer(TheoryQuestion(n=n, makes=makes, lams=lams, **question))


def _require_numbers(
    positive: dict[str, Any],
    not_negative: dict[str, Any],
    lams: tuple[Any, ...],
    bias: Any,
    on: Any,
) -> None:
    """Refuse numbers that are out of range, by the name of their argument."""
    for value in lams:
        _require_positive(value, "lam", zero=True)
    for name, value in positive.items():
        _require_positive(value, name)
    for name, value in not_negative.items():
        _require_positive(value, name, zero=True)
    require_number(bias, "bias")
    if not math.isfinite(bias):
        raise ValueError(f"bias must be finite, got {bias}")
    if on not in MEASURES:
        raise ValueError(f"on must be one of {tuple(MEASURES)}, got {on!r}")
    if len({value is None for value in not_negative.values()}) > 1:
        raise ValueError("cost_real and cost_synthetic must be given together")


@dataclass(frozen=True, eq=False)
class _Measured:
    """A plan from real data."""

    points: Points
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

    @property
    def functionals(self) -> Functionals:
        return of_points(self.points.values, self.points.names)

    def by_round(self, train: NDArray, samples: NDArray) -> Plan:
        """Plan from the files of one round.

        Args:
            train: Points that the model was trained on, (k, d).
            samples: Points that the model drew, (m, d).

        Returns:
            The plan.
        """
        n, seed = len(self.points.values), whole_number(self.seed, "seed", 0)
        found = answer_from_round(
            self.functionals, train, samples, self.rules, n, self.generations, seed
        )
        return self._with_notes(found)

    def by_run(self, folder: Path, tolerate: float | None) -> Plan:
        """Plan from the generations of a recorded run.

        Args:
            folder: Folder of the run.
            tolerate: Largest price of the error minus 1; None: none asked for.

        Returns:
            The plan.
        """
        pilot = recorded_pilot(folder, self.points.values, self.functionals)
        source = f"From the recorded run {folder.name}"
        question = PilotQuestion(
            self.rules,
            self.generations,
            whole_number(self.seed, "seed", 0),
            tolerate,
            source=source,
        )
        return self._with_notes(answer_from_pilot(pilot, question))

    def by_pilot(
        self,
        learner: Any,
        tolerate: float | None,
        target: str | None,
        budget: str | None,
        repeats: int,
    ) -> Plan:
        """Run a pilot of two rounds, and plan from it.

        Args:
            learner: Object with fit and sample, or the name of one.
            tolerate: Largest price of the error minus 1; None: none asked for.
            target: Column to predict; None: no score.
            budget: Bound on the score of the target; None: none.
            repeats: Repeats of the pilot, >= 2.

        Returns:
            The plan.

        Raises:
            ValueError: If the points are features of pictures, or `budget` comes without `target`.
        """
        points, seed = self.points, whole_number(self.seed, "seed", 0)
        if points.pictures:
            raise ValueError("learner needs a table or an array; for pictures give known_round")

        score = None if target is None else precision_score(points.values, points.names, target)
        if budget is not None and score is None:
            raise ValueError("budget needs target, the column that is predicted")

        bound = None if budget is None else parse_budget(budget)
        recipe = load_learner(learner, points.schema)
        pilot = run_pilot(
            recipe,
            points.values,
            self.functionals,
            sizes_of(self.rules, len(points.values), self.generations),
            repeats=whole_number(repeats, "repeats", 2),
            seed=seed,
            score=score,
        )
        question = PilotQuestion(
            self.rules, self.generations, seed, tolerate, score, bound, "From a pilot of two rounds"
        )

        found = self._with_notes(answer_from_pilot(pilot, question))
        if isinstance(recipe, EstimatorRecipe):
            return found
        return replace(found, conditions=(*found.conditions, FROM_SCRATCH))

    def _with_notes(self, found: Plan) -> Plan:
        """With what was said about reading the real data."""
        notes = tuple(f"Note: {note}." for note in self.points.notes)
        return replace(found, conditions=(*found.conditions, *notes))


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
