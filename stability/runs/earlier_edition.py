"""The one converter of runs of the previous edition, whose histories named regimes by labels.

A label is not parsed: the regimes that the recorded options make are, and the one with the same
label is taken.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stability.loop.regime_data import BY_LAMBDA, NamedSelector, RecordedRegime
from stability.loop.regimes import Curated, FullySynthetic, Regime, Verified, Weighted
from stability.runs.history import ChainRecord, HistoryLine, count, name, number
from stability.runs.observer import Floor, Quantity

__all__ = ["earlier_line", "earlier_quantities"]

_OF_THE_RECORD = ("regime", "replica", "displacement", "n", "m", "lambda", "share", "measurements")
_PAPER = (0.0, 0.001, 0.01, *(i / 10 for i in range(1, 11)))
"""Values of λ of rows that were there without an option."""


def earlier_line(data: Any, t: int, config: Mapping[str, Any]) -> HistoryLine:
    """Convert a line.

    Args:
        data: Its JSON value.
        t: The generation that it must be of.
        config: The options of the run.

    Returns:
        The line.

    Raises:
        ValueError: If it is none; also KeyError, TypeError, AttributeError.
    """
    if data["t"] != t:
        raise ValueError
    regimes = _regimes(config)
    pairs = "pairs" in data  # of coupled chains, whose counts were not recorded
    records = data["pairs"] if pairs else data["chains"]
    whole = {
        key: value
        for key, value in data.items()
        if type(value) in (int, float) and key not in ("t", "schema")
    }
    chains = []

    for record in records:
        label = name(record["regime"])
        regime = regimes.get(label, RecordedRegime(label, "earlier edition"))
        n, m = _counts(record, None if not pairs else count(config["samples"]), t, regime)
        values = {key: value for key, value in record.items() if key not in _OF_THE_RECORD}
        measured = {name(key): _value(value) for key, value in (whole | values).items()}
        for one in record.get("measurements", ()):
            measured[_key(one)] = number(one["value"])
        if pairs:
            measured["share"] = number(record["share"])
        labels = {"displacement": name(record["displacement"])} if pairs else {}
        chains.append(ChainRecord(regime, count(record["replica"]), n, m, measured, labels))

    if not chains:
        raise ValueError
    return HistoryLine(t, tuple(chains))


def earlier_quantities(
    data: Any, line: HistoryLine
) -> tuple[Sequence[Quantity], Mapping[str, Floor]]:
    """Convert what the first line says of quantities and floors.

    Args:
        data: JSON value of the first line, from which `line` was made.
        line: The line.

    Returns:
        Quantities, and floors by key.
    """
    floors: dict[str, Floor] = {}
    quantities = []
    for one in data["chains"][0].get("measurements", ()) if "chains" in data else ():
        about = {key: one[key] for key in ("images", "reference", "reference_images")}
        about |= {
            "metric": name(one["metric"]).removesuffix(f"_{one['images']}"),
            "features": data.get("features", ""),
        }
        quantities.append(Quantity(_key(one), about=about))
        if one.get("floor") is not None:
            error = one.get("floor_error")
            floors[_key(one)] = Floor(number(one["floor"]), 0.0 if error is None else number(error))
    known = {quantity.key for quantity in quantities}
    others = [
        Quantity(key, shown=not known)
        for key, value in line.chains[0].measured.items()
        if key not in known and isinstance(value, int | float)
    ]
    return [*quantities, *others], floors


def _counts(
    record: Mapping[str, Any], samples: int | None, t: int, regime: Regime
) -> tuple[int, int]:
    """n and m; coupled chains, of `samples` points, did not record them."""
    if samples is None:
        return count(record["n"]), count(record["m"])
    m = regime.synthetic(samples) if t else 0
    return (0 if t and isinstance(regime, FullySynthetic) else samples), m


def _key(one: Mapping[str, Any]) -> str:
    return f"{name(one['metric'])} {name(one['reference'])}"


def _value(value: Any) -> Any:
    return [number(item) for item in value] if isinstance(value, list) else number(value)


def _regimes(config: Mapping[str, Any]) -> dict[str, Regime]:
    """The regimes that these options can make, by their labels."""
    lams = [lam for lam in config.get("lam", ()) if type(lam) in (int, float) and 0 <= lam < 1e300]
    kind = BY_LAMBDA.get(str(config.get("regime")), BY_LAMBDA["mix"])
    rows: list[Regime] = [kind(lam) for lam in (*lams, *_PAPER)]
    weight = config.get("weight")
    if isinstance(weight, float) and 0 < weight < 1:
        rows = [Weighted(row, weight) for row in rows]
    rows.append(FullySynthetic())
    reward, verifier = config.get("reward"), config.get("verifier")
    if isinstance(reward, str) and type(config.get("choices")) is int:
        rows = [Curated(row, NamedSelector(reward), max(1, config["choices"])) for row in rows]
    if isinstance(verifier, str) and type(config.get("tries")) is int:
        rows = [
            Verified(row, NamedSelector(verifier.replace("-", "_")), max(1, config["tries"]))
            for row in rows
        ]
    return {str(row): row for row in rows}
