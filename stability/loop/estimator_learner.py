"""Any object with `fit` and `sample` as a learner: scikit-learn, a synthesizer of tables, a class.

Such an object knows nothing of chains, of streams, or of going on from its last parameters. So each
chain has an object of its own, built anew for each fit from a seed of the loop's streams.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from stability.loop.arguments import require_methods, whole_number
from stability.loop.block_sampling import draw_in_blocks, new_seed, require_random_draws
from stability.loop.regimes import TrainingSet

__all__ = ["EstimatorLearner", "EstimatorRecipe", "TableCodec", "from_estimator"]

_SEED_NAMES = ("random_state", "seed")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_STORABLE = (bool, int, float, str, np.ndarray, np.generic, type(None))


class TableCodec(Protocol):
    """Maps arrays to tables and back; `stability.runs.table_schema.TableSchema` is one."""

    def encode(self, table: Any) -> np.ndarray:
        """Map a table to an array.

        Args:
            table: Table of n rows.

        Returns:
            (n, k).
        """
        ...

    def decode(self, points: Any) -> Mapping[str, Any]:
        """Map an array back to a table.

        Args:
            points: (n, k).

        Returns:
            Columns by name, n values each.
        """
        ...


@dataclass(frozen=True)
class EstimatorRecipe:
    """Makes an `EstimatorLearner` for so many chains; see `from_estimator` for the fields."""

    factory: Callable[[int], Any]
    fit_by: Callable[[Any, Any], Any] | None = None
    sample_by: Callable[[Any, int, int], Any] | None = None
    log_prob_by: Callable[[Any, np.ndarray], Any] | None = None
    schema: TableCodec | None = None
    threads: int = 1

    def __call__(self, chains: int) -> "EstimatorLearner":
        """Make the learner.

        Args:
            chains: R >= 1.

        Returns:
            The learner; it has `log_prob` where the objects have a density.
        """
        model = self.factory(0)
        has_density = self.log_prob_by or any(
            callable(getattr(model, name, None)) for name in ("score_samples", "log_prob")
        )
        return (_EstimatorWithDensity if has_density else EstimatorLearner)(self, chains)

    def as_data(self) -> dict[str, Any]:
        """Describe the objects as JSON values: class and parameters, which decide the result."""
        model = self.factory(0)
        kind = type(model)
        # a file of one's own is `__main__` or another module, depending on how it was started
        package, dot, module = kind.__module__.rpartition(".")
        params = model.get_params(deep=False) if hasattr(model, "get_params") else {}
        # an address in memory is another one in the next process
        shown = {name: _ADDRESS.sub("", repr(value)) for name, value in sorted(params.items())}
        return {
            "estimator": f"{package}{dot}{module}.{kind.__qualname__}"
            if dot
            else kind.__qualname__,
            "params": {name: value for name, value in shown.items() if name not in _SEED_NAMES},
        }


def from_estimator(
    factory: Callable[[int], Any],
    *,
    fit: Callable[[Any, Any], Any] | None = None,
    sample: Callable[[Any, int, int], Any] | None = None,
    log_prob: Callable[[Any, np.ndarray], Any] | None = None,
    schema: TableCodec | None = None,
    threads: int = 1,
) -> EstimatorRecipe:
    """Make a learner of objects that fit and sample.

    Each fit starts from scratch with `factory(seed)`. Samples are drawn in blocks of 256, each from
    a seed of its own and shuffled.

    Args:
        factory: seed -> a new object, not fitted. Give the seed to the library: with a fixed seed
            inside, all chains and generations would share their random numbers.
        fit: (object, points), default `object.fit(points)`, with `sample_weight=` where it takes
            that and points are weighted.
        sample: (object, count, seed) -> points (count, …), default `object.sample(count)`. It is
            given the seed as `random_state=` or `seed=` where it takes one of them; otherwise an
            attribute `random_state` of the object is set to it. Of a pair (points, labels) the
            points are used.
        log_prob: (object, points) -> log-density (k,) of each, default `object.score_samples` or
            `object.log_prob`, if there is one.
        schema: Maps points to tables: the objects then fit pandas tables, and sample such tables,
            as those of SDV do, or arrays with the same columns, as those of scikit-learn do.
        threads: Threads that the objects' linear algebra and OpenMP loops use, >= 1. Small objects
            are fastest with one: threads that wait for one another cost more than they save.

    Returns:
        A recipe: call it with the number of chains, or hand it to a study.

    Raises:
        TypeError: If `factory` is no function of a seed, or its objects lack a method.
        ValueError: If `threads` is no whole number >= 1.
    """
    if not callable(factory):
        raise TypeError(f"factory must be a function seed -> object, got {type(factory).__name__}")
    model = factory(0)
    if fit is None:
        require_methods(model, "factory(0)", "fit")
    if sample is None:
        require_methods(model, "factory(0)", "sample")
    threads = whole_number(threads, "threads", 1)
    return EstimatorRecipe(factory, fit, sample, log_prob, schema, threads)


class EstimatorLearner:
    """R objects, one a chain: a `stability.loop.retraining.Learner`.

    A state holds the fitted attributes of objects that follow scikit-learn's conventions, where all
    of them are arrays and numbers; of others it holds the seed and the training points, and they
    are fitted again. Nothing is pickled.

    Args:
        recipe: How the objects are made and used.
        chains: R >= 1.
    """

    def __init__(self, recipe: EstimatorRecipe, chains: int) -> None:
        self._recipe = recipe
        self._models: list[Any] = [None] * whole_number(chains, "chains", 1)
        self._states: list[dict[str, Any]] = [{} for _ in self._models]
        self._probed = False
        self._columns: tuple[str, ...] = ()
        self._name = f"sample() of {type(recipe.factory(0)).__name__}"

    @property
    def chains(self) -> int:
        return len(self._models)

    @property
    def weighs(self) -> bool:
        """True if the objects' own `fit` takes weights."""
        model = self._recipe.factory(0)
        return self._recipe.fit_by is None and "sample_weight" in _parameters(model.fit)

    @property
    def models(self) -> tuple[Any, ...]:
        """The fitted object of each chain; None before the first fit."""
        return tuple(self._models)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Do nothing: each fit starts from scratch.

        Args:
            rngs: One generator a chain; not used.
        """

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Build and fit a new object for each chain.

        Args:
            datasets: One a chain.
            rngs: One a chain, for the seed.

        Raises:
            ArithmeticError: If a fit fails, naming the chain.
        """
        for r, (data, rng) in enumerate(zip(datasets, rngs, strict=True)):
            seed = new_seed(rng)
            with threadpool_limits(self._recipe.threads):
                self._models[r], attributes = self._fitted(r, seed, data.points, data.weights)
            self._states[r] = {"seed": seed}
            if attributes is not None:
                self._states[r]["attributes"] = attributes
            else:
                self._states[r] |= {"points": data.points, "weights": data.weights}

    def _fitted(
        self, r: int, seed: int, points: np.ndarray, weights: np.ndarray | None
    ) -> tuple[Any, dict[str, Any] | None]:
        """A fitted object, and its fitted attributes if they can be stored."""
        recipe = self._recipe
        model = recipe.factory(seed)
        before = set(vars(model)) if hasattr(model, "__dict__") else set()
        data: Any = points.copy()  # a fit may centre its data in place; the loop's stay
        if recipe.schema is not None:
            columns = recipe.schema.decode(points)
            self._columns, data = tuple(columns), _pandas_table(columns)
        try:
            if recipe.fit_by is not None:
                recipe.fit_by(model, data)
            elif weights is None:
                model.fit(data)
            else:
                model.fit(data, sample_weight=weights)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise ArithmeticError(f"the fit of chain {r} failed: {error}") from error

        if not (hasattr(model, "get_params") and hasattr(model, "__dict__")):
            return model, None
        new = {name: value for name, value in vars(model).items() if name not in before}
        storable = new and all(_is_storable(value) for value in new.values())
        return model, new if storable else None

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw from each chain's object.

        Args:
            counts: Points a chain.
            rngs: One a chain.

        Returns:
            One array (counts[r], …) a chain.

        Raises:
            ArithmeticError: If an object returns another number of rows than asked, or the same
                rows at each call.
        """
        if not self._probed:
            self._probed = True
            # a stream of its own, so that a resumed run draws the same without the probe
            with threadpool_limits(self._recipe.threads):
                repeats = require_random_draws(
                    lambda k, s: self._drawn(0, k, s), np.random.default_rng(0), self._name
                )
            if not repeats:
                warnings.warn(
                    f"{self._name} takes no seed: unless the object was made with one, the run "
                    "cannot be repeated; give from_estimator a sample=(object, count, seed)",
                    stacklevel=2,
                )
        with threadpool_limits(self._recipe.threads):
            return [
                draw_in_blocks(lambda k, s, r=r: self._drawn(r, k, s), count, rng, self._name)
                for r, (count, rng) in enumerate(zip(counts, rngs, strict=True))
            ]

    def _drawn(self, r: int, count: int, seed: int) -> Any:
        """Points of chain r's object, from a seed."""
        model, recipe = self._models[r], self._recipe
        if recipe.sample_by is not None:
            drawn = recipe.sample_by(model, count, seed)
        else:
            taken = [name for name in _SEED_NAMES if name in _parameters(model.sample)]
            if taken:
                drawn = model.sample(count, **{taken[0]: seed})
            elif hasattr(model, "random_state"):
                kept, model.random_state = model.random_state, seed
                try:
                    drawn = model.sample(count)
                finally:
                    model.random_state = kept
            else:
                drawn = model.sample(count)
        return drawn if recipe.schema is None else self._encoded(drawn, recipe.schema)

    def _encoded(self, drawn: Any, schema: TableCodec) -> np.ndarray:
        """Points of a table, or of an array with its columns, as scikit-learn's objects draw."""
        rows = drawn[0] if isinstance(drawn, tuple) else drawn
        if isinstance(rows, np.ndarray) and np.shape(rows)[1:] == (len(self._columns),):
            rows = dict(zip(self._columns, rows.T, strict=True))
        try:
            return schema.encode(rows)
        except (TypeError, ValueError) as error:
            raise ArithmeticError(
                f"{self._name} gave no table like the one of fit: {error}"
            ) from error

    def state_dict(self) -> dict[str, Any]:
        return {"chains": [dict(state) for state in self._states]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the objects: by their attributes, or by fitting them again.

        Args:
            state: Of `state_dict`.
        """
        for r, kept in enumerate(state["chains"]):
            self._states[r] = dict(kept)
            if not kept:
                self._models[r] = None
            elif "attributes" in kept:
                self._models[r] = self._recipe.factory(kept["seed"])
                vars(self._models[r]).update(kept["attributes"])
            else:
                with threadpool_limits(self._recipe.threads):
                    self._models[r], _ = self._fitted(
                        r, kept["seed"], kept["points"], kept["weights"]
                    )


class _EstimatorWithDensity(EstimatorLearner):
    """Objects that have a log-density as well: `stability.loop.capabilities.HasLogProb`."""

    def log_prob(self, points: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Evaluate each object's log-density.

        Args:
            points: One array (k, …) a chain.

        Returns:
            One array (k,) a chain.

        Raises:
            ArithmeticError: If an object gives another shape than one number a row.
        """
        values = []
        for model, x in zip(self._models, points, strict=True):
            evaluate = self._recipe.log_prob_by or _own_log_prob
            with threadpool_limits(self._recipe.threads):
                value = np.asarray(evaluate(model, x), dtype=float)
            if value.shape != (len(x),):
                raise ArithmeticError(
                    f"log_prob gave {value.shape}, want {(len(x),)}: one number a row"
                )
            values.append(value)
        return values


def _own_log_prob(model: Any, points: np.ndarray) -> Any:
    method = "score_samples" if hasattr(model, "score_samples") else "log_prob"
    return getattr(model, method)(points)


def _pandas_table(columns: Mapping[str, Any]) -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError("tables need pandas: pip install pandas") from None
    return pandas.DataFrame(columns)


def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Parameters of a function by name; none where they are not known."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _is_storable(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject and type(value) is np.ndarray
    if isinstance(value, list | tuple):
        return all(_is_storable(part) for part in value)
    return type(value) in _STORABLE or (isinstance(value, np.generic) and not value.dtype.hasobject)
