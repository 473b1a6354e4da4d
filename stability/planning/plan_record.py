"""The answer of `plan`: one sentence, a table of regimes, and what the answer rests on."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stability.runs.figure_style import Figure

__all__ = ["Curve", "Plan", "columns_of", "percent", "shown"]

SCHEMA = 1
"""Version of the JSON form."""

Row = Mapping[str, Any]

TITLES = {
    "category": "category",
    "regime": "regime",
    "lam": "λ",
    "synthetic_fraction": "synth.",
    "error": "error ×",
    "variance": "var ×",
    "bias": "bias × δ",
    "settles": "goes on",
    "worth": "worth",
    "rounds": "rounds",
    "seeds": "seeds",
    "cost": "cost",
    "described": "described",
    "target": "score",
    "shift": "shift (sd)",
    "shift_of": "of",
    "keeps": "budget",
    "functional": "functional",
    "real": "real",
    "delta": "δ (sd)",
    "response": "J",
    "obeys": "theory",
    "fit": "curve",
    "forecast": "forecast",
    "alive": "P(alive)",
    "note": "note",
}
"""Heads of columns, by key."""
EXPLAINED = {
    "synth.": "weight of synthetic points in the last training set",
    "error ×, var ×, bias ×": "against one fit to the real data alone",
    "goes on": "how the variance (with a bias: the bias) goes on",
    "worth": "real points whose one fit has the same error",
    "rounds": "retrainings within the tolerance",
    "seeds": "independent chains that show what the loop adds (5 %, power 80 %)",
    "cost": "for the error that the real points alone would have",
    "score": "worst round's average precision for the target, over that of the real rows",
    "shift (sd)": "largest forecast shift of a functional, in standard deviations of a point",
    "described": "whether the response curves of the pilot hold for the whole path",
    "x (a, b)": "an estimate and its 90 % interval",
}
"""Meaning of the heads of a table."""
PERCENTS = frozenset(("synthetic_fraction", "alive"))


@dataclass(frozen=True)
class Curve:
    """One line of the figure.

    Attributes:
        label: Its name in the legend.
        values: (T + 1,), after t = 0 … T retrainings.
        low: (T + 1,), lower end of the interval; empty: none.
        high: (T + 1,), upper end.
    """

    label: str
    values: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Answer of `plan`.

    Attributes:
        verdict: One sentence that answers the question.
        question: What was asked, in words.
        rows: One a regime and λ: numbers and words by the keys of `TITLES`.
        conditions: What the answer rests on, and what it does not cover, a sentence each.
        functionals: One a functional that a pilot measured; empty without a pilot.
        categories: One a rare category and row; empty without a pilot.
        curves: The lines of the figure.
        axis: What the figure's vertical axis shows.
        gate: Options of `check` that guard this plan.
        inputs: The arguments that decide the answer.
    """

    verdict: str
    question: str
    rows: tuple[Row, ...]
    conditions: tuple[str, ...] = ()
    functionals: tuple[Row, ...] = ()
    categories: tuple[Row, ...] = ()
    curves: tuple[Curve, ...] = ()
    axis: str = ""
    gate: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values; a number that is infinite or unknown is null."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "question": self.question,
            "rows": [_plain(row) for row in self.rows],
            "functionals": [_plain(row) for row in self.functionals],
            "categories": [_plain(row) for row in self.categories],
            "conditions": list(self.conditions),
            "curves": [
                {"label": c.label, "values": _plain(c.values), "low": c.low, "high": c.high}
                for c in self.curves
            ],
            "gate": _plain(self.gate),
            "inputs": _plain(self.inputs),
        }

    def frame(self) -> Any:
        """The rows as a pandas table.

        Raises:
            ImportError: Without pandas.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("frame() needs pandas: pip install pandas") from None
        return pandas.DataFrame([dict(row) for row in self.rows])

    def plot(self) -> "Figure":
        """Draw the curves; saved by `figure.savefig(path)`."""
        from stability.planning.plan_page import draw

        return draw(self)

    def _repr_html_(self) -> str:
        """The sentence and the table, for a notebook."""
        heads = columns_of(self.rows)
        head = "".join(f"<th>{html.escape(TITLES[key])}</th>" for key in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(shown(row, key))}</td>" for key in heads) + "</tr>"
            for row in self.rows
        )
        sentence = html.escape(self.verdict)
        return f"<p><b>{sentence}</b></p><table><tr>{head}</tr>{body}</table>"


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Keys that some row has a value for, in the order of `TITLES`.

    Args:
        rows: Rows of one table.

    Returns:
        The keys.
    """
    return [key for key in TITLES if any(row.get(key) not in (None, "") for row in rows)]


def shown(row: Row, key: str) -> str:
    """One cell as text.

    Args:
        row: A row.
        key: Of the column.

    Returns:
        The text; empty where there is no value.
    """
    value = row.get(key)
    if value is None:
        return ""
    text = value if isinstance(value, str) else _number(key, value)
    ends = row.get(f"{key}_low"), row.get(f"{key}_high")
    if ends[0] is None or ends[1] is None:
        return text
    return f"{text} ({_number(key, ends[0], 2)}, {_number(key, ends[1], 2)})"


def _number(key: str, value: float, digits: int = 3) -> str:
    if key in PERCENTS:
        return percent(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int):
        return f"{value}"
    if abs(value) < 1e-12:
        return "0"
    return f"{value:.{digits}g}".replace("-", "−") if abs(value) < 1000 else f"{value:.0f}"


def percent(fraction: float) -> str:
    """A fraction as text: `27 %`, `0.4 %`.

    Args:
        fraction: The fraction.

    Returns:
        The text, with two digits below 10 % and above 99 %.
    """
    digits = 0 if 0.0995 < abs(fraction) < 0.99 or fraction in (0, 1) or fraction > 1 else 1
    return f"{100 * fraction:.{digits}f} %"


def _plain(value: Any) -> Any:
    """JSON values: tuples as lists, numbers that JSON lacks as None."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
