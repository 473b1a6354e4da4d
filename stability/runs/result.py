"""Results of a study: tables, figures, trends, samples and learners, from its folder alone."""

import html
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stability.loop.arguments import whole_number
from stability.loop.regimes import Regime, Selector
from stability.runs.answer import growth
from stability.runs.history import History, read_lines
from stability.runs.observer import Floor, Quantity
from stability.runs.recorded_run import RecordedRun, read_run
from stability.runs.run_layout import TIMINGS, RunDirectoryError
from stability.runs.trends import Trends, all_trends
from stability.runs.untrusted import UntrustedFileError, parse_json

if TYPE_CHECKING:
    from stability.runs.figure_style import Figure

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """A run, finished or not, as its folder has it.

    Attributes:
        recorded: What was read from the folder.
        make_learner: Makes a learner like the one that ran; None where only the folder is known.
        stopped: Why the run stopped before its last generation, in words; "" if it did not.
    """

    recorded: RecordedRun = field(repr=False)
    make_learner: Callable[[], Any] | None = field(default=None, repr=False)
    stopped: str = ""

    @classmethod
    def open(cls, folder: Path | str, selectors: Mapping[str, Selector] | None = None) -> "Result":
        """Open a run without its configuration and without its lock; it may still be running.

        Args:
            folder: Of the run; one of the previous edition is converted.
            selectors: Rewards and verifiers by name, for regimes that have them.

        Returns:
            The result.

        Raises:
            HistoryError: If a file is damaged.
            RunDirectoryError: If the folder holds no run.
        """
        return cls(read_run(Path(folder), selectors))

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.recorded.folder

    @property
    def history(self) -> History:
        """The finished generations."""
        return self.recorded.history

    @property
    def config(self) -> Mapping[str, Any]:
        """Options that decide the result, by name."""
        return self.recorded.config

    @property
    def environment(self) -> Mapping[str, Any]:
        """Environment in which the run was started: versions, machine, commit, threads."""
        return self.recorded.environment

    @property
    def quantities(self) -> Sequence[Quantity]:
        """Quantities that were measured."""
        return self.recorded.study.quantities

    @property
    def covers(self) -> str:
        """Return what intervals over seeds cover, in words."""
        return self.recorded.study.covers

    @property
    def finished(self) -> bool:
        """Return whether the run has all its generations."""
        return len(self.history) > self.recorded.study.generations

    def floor(self, key: str) -> Floor:
        """Floor of a quantity: its value for a perfect model.

        Args:
            key: Key of the quantity.

        Returns:
            Its floor; nan if it is not known.
        """
        return self.recorded.study.floor(key)

    def shown(self, keys: Sequence[str] | None = None) -> list[Quantity]:
        """Choose quantities for tables and figures.

        Args:
            keys: Of the quantities; None: those that are meant to be shown.

        Returns:
            Those that every generation has.

        Raises:
            KeyError: If a key is not one of the run's.
        """
        measured, known = set(self.history.keys()), {q.key: q for q in self.quantities}
        if keys is None:
            return [q for q in self.recorded.study.shown if q.key in measured]
        for key in keys:
            if key not in measured:
                raise KeyError(f"{key!r} is not measured; there are {', '.join(sorted(measured))}")
        return [known.get(key, Quantity(key)) for key in keys]

    def records(self) -> list[dict[str, Any]]:
        """List all numbers, one each.

        Returns:
            Dictionaries with generation, regime, λ, seed, n, m, quantity and value, and the labels
            of the row; λ is inf without real data.
        """
        return [
            {
                "generation": line.t,
                "regime": str(chain.regime),
                "lambda": chain.lam,
                "seed": chain.seed,
                "n": chain.n,
                "m": chain.m,
                **chain.labels,
                "quantity": key,
                "value": float(value),
            }
            for line in self.history
            for chain in line.chains
            for key, value in chain.measured.items()
            if isinstance(value, int | float)
        ]

    def frame(self) -> Any:
        """Make a tidy table of all numbers.

        Returns:
            A pandas DataFrame of `records()`; `records()` itself where pandas is not installed.
        """
        if importlib.util.find_spec("pandas") is None:
            return self.records()
        import pandas  # an optional extra

        return pandas.DataFrame.from_records(self.records())

    def plot(self, quantities: Sequence[str] | None = None) -> "Figure":
        """Draw quantities over generations, with bands over seeds and noise floors.

        Args:
            quantities: Keys; None: those that are meant to be shown.

        Returns:
            A matplotlib figure.

        Raises:
            ValueError: If there is nothing to draw.
        """
        from stability.runs.curves import quantity_curves
        from stability.runs.figure_style import figure_style

        with figure_style():
            return quantity_curves(self.history, self.recorded.study, self._some(quantities))

    def trends(
        self,
        quantities: Sequence[str] | None = None,
        level: float = 0.05,
        first: int | None = None,
    ) -> Trends:
        """Test over seeds whether quantities grow or fall over generations.

        Args:
            quantities: Keys; None: those that are meant to be shown.
            level: Probability that any of the tests finds a trend although there is none.
            first: Generation from which on slopes are taken. Default: a fifth of the run.

        Returns:
            A slope with its interval, a sign test and an outcome for each row and quantity.

        Raises:
            ValueError: If there are fewer than two generations, or nothing was measured.
        """
        keys = [quantity.key for quantity in self._some(quantities)]
        start = (len(self.history) - 1) // 5 if first is None else first
        values = {key: self.history.repeats(key) for key in keys}
        return all_trends(values, level, start, self.covers)

    def answer(self, quantity: str | None = None, level: float = 0.05) -> str:
        """Answer in one sentence whether a quantity grows over the generations.

        Args:
            quantity: Its key; None: the first one that is meant to be shown.
            level: Probability that any row is said to grow or fall although it does not.

        Returns:
            The rows that grow, fall or are undecided, with slopes and intervals; with too few
            seeds, how many it takes and about how long.

        Raises:
            KeyError: If it was not measured.
        """
        if not self.history or not (shown := self.shown([quantity] if quantity else None)):
            return "Nothing was measured."
        repeats = self.history.repeats(shown[0].key)
        together = max(self.history.seeds // values.shape[1] for values in repeats.values())
        first = (len(self.history) - 1) // 5
        return growth(shown[0].title, repeats, first, self.seconds, level, together)

    @property
    def seconds(self) -> float:
        """Duration of all generations together, in seconds; nan if that is not known."""
        try:
            lines = [parse_json(line) for line in read_lines(self.folder / TIMINGS)]
            # a generation that was done twice, after a kill, counts once
            return float(sum({line["t"]: float(line["seconds"]) for line in lines}.values()))
        except (OSError, UntrustedFileError, TypeError, KeyError, ValueError):
            return math.nan

    def report(self, out: Path | str | None = None) -> Path:
        """Write one self-contained HTML page: tables, figures, samples, trends and options.

        Args:
            out: The file. Default: report.html in the folder of the run.

        Returns:
            Its path.
        """
        from stability.runs.page import write_page

        return write_page(self, Path(out) if out else self.folder / "report.html")

    @property
    def sample_generations(self) -> list[int]:
        """Generations whose samples are there."""
        return [t for t in range(len(self.history)) if self._samples(t).is_file()]

    def samples(
        self, generation: int = -1, regime: Regime | str | None = None, seed: int | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """Load the samples of a generation.

        Args:
            generation: Its number; negative ones count from the end.
            regime: A row, by its regime or its name; None: all rows.
            seed: A repeat; None: all of them.

        Returns:
            One array for each chain that fits, (k, …), in the order of the history; the array
            itself where regime and seed are given.

        Raises:
            KeyError: If no chain fits.
            RunDirectoryError: If the samples of that generation were not kept, or are damaged.
        """
        t = self._generation(generation)
        chosen = [
            r
            for r, chain in enumerate(self.history[t].chains)
            if (regime is None or regime in (chain.regime, chain.row, str(chain.regime)))
            and seed in (None, chain.seed)
        ]
        if not chosen:
            rows = ", ".join(self.history.rows)
            raise KeyError(f"no chain has regime {regime} and seed {seed}; there are {rows}")
        arrays = self._load_samples(t)
        found = [arrays[r] for r in chosen]
        return found[0] if regime is not None and seed is not None else found

    def learner(self, generation: int = -1, into: Any = None) -> Any:
        """Bring a trained learner back.

        Args:
            generation: One whose checkpoint was kept; negative ones count from the end.
            into: A new learner of the same kind and number of chains. Default: made as for the run.

        Returns:
            The learner, in the state that it had at the end of that generation.

        Raises:
            ValueError: If only the folder is known and `into` is not given.
            RunDirectoryError: If the checkpoint was not kept, or is damaged.
        """
        from stability.runs.state_file import read_state

        t = self._generation(generation)
        if into is None:
            if self.make_learner is None:
                raise ValueError(
                    "into must be a new learner of the same kind: the folder does not say how to "
                    "make one"
                )
            into = self.make_learner()
        path = self.folder / "checkpoints" / f"generation-{t:04d}.pt"
        try:
            state = read_state(path)["learner"]
        except FileNotFoundError:
            raise RunDirectoryError(
                f"{path} was not kept: run with keep='all' or 'every:K' for other generations than "
                "the last two"
            ) from None
        except (UntrustedFileError, KeyError) as error:
            raise RunDirectoryError(f"{path} is damaged ({error})") from None
        into.load_state_dict(state)
        return into

    def _some(self, keys: Sequence[str] | None) -> list[Quantity]:
        """The quantities to show. ValueError if there are none."""
        if not self.history:
            raise ValueError(f"{self.folder} has no finished generation")
        shown = self.shown(keys)
        if not shown:
            raise ValueError("nothing was measured: the study had no observers")
        return shown

    def _generation(self, generation: int) -> int:
        """A generation that is finished. IndexError otherwise."""
        last = len(self.history) - 1
        t = generation + len(self.history) if generation < 0 else generation
        if not 0 <= whole_number(t, "generation", 0) <= last:
            raise IndexError(f"generation must be from 0 to {last}, got {generation}")
        return t

    def _samples(self, t: int) -> Path:
        return self.folder / "samples" / f"generation-{t:04d}.npz"

    def _load_samples(self, t: int) -> list[np.ndarray]:
        """One array a chain of the run, of which there may be more than are recorded."""
        from stability.runs.sealed import read_sealed_npz

        path = self._samples(t)
        try:
            return list(read_sealed_npz(path)[0].values())
        except FileNotFoundError:
            raise RunDirectoryError(f"{path} is missing, or was not kept") from None
        except UntrustedFileError as error:
            raise RunDirectoryError(f"{path} {error}") from None

    def _repr_html_(self) -> str:
        """A table of the last generation for notebooks."""
        from stability.runs.page import last_generation_table

        if not self.history:
            return f"<p>{html.escape(str(self.folder))}: no finished generation</p>"
        return last_generation_table(self)
