"""State of a watch in one JSON file: what was fixed, what was seen, and the digest of both."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from stability.planning.alarm import AlarmRound, LevelLoss
from stability.planning.check_record import Look, plain
from stability.planning.column_changes import ColumnChange
from stability.planning.embedding import RealDistance
from stability.planning.monitor import CheckSettings, Watch, digest_of, open_watch
from stability.planning.scores import ScoreSums
from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError
from stability.runs.untrusted import UntrustedFileError, parse_json, read_bytes

__all__ = ["FORMAT", "load_watch", "read_state_file", "save_watch"]

FORMAT = "retraining-watch 1"
LARGEST = 2**28


def save_watch(path: Path, watch: Watch, real: Path, holdout: Path | None) -> None:
    """Write the state, whole or not at all.

    Args:
        path: The file.
        watch: What is known.
        real: Where the real data are.
        holdout: Where the holdout is, if there is one.

    Raises:
        OSError: As from any file.
    """
    alarm = watch.alarm
    content: dict[str, Any] = {
        "format": FORMAT,
        "schema": watch.monitor.real.schema.as_data(),
        "settings": plain(asdict(watch.monitor.settings)),
        "real": {"path": str(real.resolve()), "digest": watch.monitor.digest},
        "holdout": None if holdout is None else str(holdout.resolve()),
        "tolerance": alarm.tolerance,
        "limits": alarm.real_limits.tolist(),
        "seen": alarm.seen,
        "settled": None if alarm.settled is None else _sums_data(alarm.settled),
        "rounds": [
            {
                "rows": one.rows,
                "growth": one.growth.tolist(),
                "losses": [asdict(loss) for loss in one.losses],
                "shares": [[*key, share] for key, share in one.shares.items()],
            }
            for one in alarm.rounds
        ],
        "looks": [plain(look) for look in watch.looks],
        "means": [list(mean) for mean in watch.means],
    }
    content["digest"] = _digest(content)

    with atomic_write(path) as file:
        file.write(json.dumps(content, ensure_ascii=False, allow_nan=False).encode())


def read_state_file(path: Path) -> dict[str, Any]:
    """Read a state file and compare it with its digest.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        UsageError: If it is damaged or not one of ours.
        OSError: If it cannot be opened.
    """
    try:
        content = parse_json(read_bytes(path, LARGEST), LARGEST)
    except UntrustedFileError as error:
        raise UsageError(f"{path}: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UsageError(f"{path}: is no state of a watch that this version knows")
    body = {key: value for key, value in content.items() if key != "digest"}
    if content.get("digest") != _digest(body):
        raise UsageError(f"{path}: is damaged (its content differs from its digest)")
    return content


def load_watch(path: Path) -> tuple[Watch, Path, Path | None]:
    """Read a state and the real data that it watches.

    Args:
        path: The file.

    Returns:
        The watch, and where real data and holdout are.

    Raises:
        UsageError: If the file is damaged, or the real data changed.
        OSError: If a file cannot be opened.
    """
    content = read_state_file(path)
    try:
        settings: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content["settings"].items()
        }
        real = Path(content["real"]["path"])
        holdout = Path(content["holdout"]) if content["holdout"] else None
        if not real.exists():
            raise UsageError(f"{path}: the real data {real} are not there any more")
        if digest_of(real) != content["real"]["digest"]:
            raise UsageError(f"{path}: the real data {real} changed since the watch began")
        fresh = open_watch(real, CheckSettings(**settings), holdout)
        return _restored(fresh, content), real, holdout
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: is damaged ({error})") from None


def _restored(fresh: Watch, content: Mapping[str, Any]) -> Watch:
    """A watch that has seen what the state says."""
    limits = np.array(content["limits"])
    if limits.shape != fresh.alarm.real_limits.shape:
        raise UsageError("the state was made by another version; begin a new one")

    rounds = tuple(
        AlarmRound(
            one["rows"],
            np.array(one["growth"], dtype=float),
            tuple(LevelLoss(**loss) for loss in one["losses"]),
            {(column, level): share for column, level, share in one["shares"]},
        )
        for one in content["rounds"]
    )
    settled = content["settled"]
    alarm = replace(
        fresh.alarm,
        real_limits=limits,
        tolerance=content["tolerance"],
        seen=content["seen"],
        settled=None if settled is None else _sums(settled),
        rounds=rounds,
    )
    looks = tuple(_look(one) for one in content["looks"])

    return replace(fresh, alarm=alarm, looks=looks, means=tuple(map(tuple, content["means"])))


def _look(data: Mapping[str, Any]) -> Look:
    columns = tuple(
        ColumnChange(
            **{
                **one,
                "distance": _number(one["distance"], math.nan),
                "floor": _number(one["floor"], math.nan),
                "missing": tuple(one["missing"]),
                "infinite": tuple(one["infinite"]),
                "distinct": tuple(one["distinct"]),
                "new_levels": tuple((name, count) for name, count in one["new_levels"]),
            }
        )
        for one in data["columns"]
    )
    far = data["distance"]
    found = None
    if far is not None:
        floor = _number(far["floor"], math.inf)
        found = RealDistance(far["squared"], far["error"], far["baseline"], floor)

    losses = tuple(LevelLoss(**loss) for loss in data["losses"])
    rest = {"distance": found, "losses": losses, "columns": columns, "notes": tuple(data["notes"])}
    return Look(**{**data, **rest})


def _number(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else float(value)


def _sums_data(sums: ScoreSums) -> dict[str, Any]:
    return {"n": sums.n, "mean": sums.mean.tolist(), "square": sums.square.tolist()}


def _sums(data: Mapping[str, Any]) -> ScoreSums:
    return ScoreSums(data["n"], np.array(data["mean"]), np.array(data["square"]))


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content as JSON with sorted names."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
