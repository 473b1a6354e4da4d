"""Report of a check: facts in order of importance, a figure, one page, JSON and JUnit XML."""

import io
import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from stability.planning.check_record import CheckResult, Look
from stability.planning.fail_if import FailCondition
from stability.planning.plan_record import percent
from stability.runs.atomic import atomic_write
from stability.runs.output_folder import claim_output_folder
from stability.runs.untrusted import printable

if TYPE_CHECKING:
    from stability.runs.figure_style import Figure

__all__ = ["changes", "draw", "facts", "write_check"]

MOST_LISTED = 5
MOST_COLUMNS = 12
RARE = 1e-6
FAR = 1e6
"""Generations that are called never."""
_INVALID_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def facts(result: CheckResult) -> list[tuple[str, str]]:
    """Everything that was found, in order of importance.

    Args:
        result: Of a check.

    Returns:
        What it is about, and a sentence.
    """
    last = result.looks[-1]
    found = [("alarm", _alarm(result))]
    if last.distance is not None:
        low, high = last.distance.interval()
        found.append(
            (
                "distance to real",
                f"{last.distance.ratio:.3g} × that of real data of the same size in {last.name} "
                f"(95 %: {low:.3g} to {high:.3g}; real against real: 1, at most "
                f"{last.distance.floor:.3g} in 95 of 100)",
            )
        )
    if result.trend is not None:
        found += _trend(result)
    if result.fidelity is not None:
        f = result.fidelity
        found.append(
            (
                "quality, diversity",
                f"{f.quality:.2f} of drawn rows lie among real ones, {f.diversity:.2f} of real "
                f"rows among drawn ones (real against real: {f.real_quality:.2f} ± {f.error:.2f})",
            )
        )
    if result.auc is not None:
        found.append(
            (
                "classifier",
                f"AUC {result.auc[0]:.3f} ± {result.auc[1]:.3f} (0.5: cannot tell drawn from real)",
            )
        )
    if result.target is not None:
        found.append(("trained on drawn rows", _target(result)))

    found += _categories(result)
    found += _copies(result)
    if result.smallest:
        found.append(("smallest visible change", _smallest(result)))

    return found + [("note", line) for line in result.remarks]


def _alarm(result: CheckResult) -> str:
    evidence = [look.evidence for look in result.looks if look.evidence is not None]
    if not evidence:
        return "no generation was judged yet"
    claims = {
        "real": "drawn rows are no worse than real ones",
        "rows": "drawn rows are no worse than these real rows",
        "stationary": "no drift from the first generations",
    }
    null = f"{claims[result.null]} by more than τ = {result.tolerance:.3g} sd"
    said = (
        f"evidence 10^{max(evidence):.1f} against “{null}”; alarm at 10^{result.needed:.1f} "
        f"(false alarms ever: at most {result.alpha:g})"
    )
    if result.outcome == "degrading" and result.leading:
        said += f"; most from {', '.join(name for name, _ in result.leading)}"
    return said


def _trend(result: CheckResult) -> list[tuple[str, str]]:
    trend = result.trend
    assert trend is not None
    low, high = trend.slope_interval
    soon, late = trend.forecast_interval
    if trend.forecast == 0:
        when = "already"
    else:
        wait = _until(trend.forecast)
        when = f"in {wait} generations" if wait != "never" else "never, at this slope"
        when += f" (95 %: {_until(soon)} to {_until(late)})"
    return [
        ("slope", f"{trend.slope:+.3g} a generation (95 %: {low:+.3g} to {high:+.3g})"),
        ("twice as bad", when),
    ]


def _until(value: float) -> str:
    return "never" if value > FAR else f"{value:.3g}"


def _target(result: CheckResult) -> str:
    score = result.target
    assert score is not None
    if score.drawn is None:
        return score.problem
    return (
        f"{score.measure} of {score.target} on real rows {score.drawn:.3f}; trained on real rows "
        f"{score.real:.3f}"
    )


def _categories(result: CheckResult) -> list[tuple[str, str]]:
    found = []
    last = result.looks[-1]
    for loss in last.losses[:MOST_LISTED]:
        chance = f"chance with no change {loss.chance:.3g}"
        mark = f"{chance}: alarm" if loss.alarm else f"{chance}: no alarm on that alone"
        if not loss.alarm and loss.chance < RARE:
            mark = f"{chance}; no new alarm, since its share had shrunk before"
        found.append(
            (
                "lost",
                f"{loss.column} = {loss.level} ({loss.real} of {loss.real_rows} real rows, none in "
                f"{last.name}); {mark}",
            )
        )

    more = len(last.losses) - MOST_LISTED
    if more > 0:
        found.append(("lost", f"and {more} more categories"))

    for one in result.endangered[:MOST_LISTED]:
        found.append(
            (
                "endangered",
                f"{one.column} = {one.level}: {one.count} rows left; lost in the next generation "
                f"with probability {one.chance:.2g}, after ten fully synthetic ones "
                f"{one.later:.2g}",
            )
        )

    return found


def _copies(result: CheckResult) -> list[tuple[str, str]]:
    c = result.copies
    if c is None:
        return []
    said = f"{c.exact} of {c.rows} rows equal a real row (of fresh ones {percent(c.expected)} do)"
    if c.closer is not None:
        said += f"; {c.closer:.2f} are closer to training than to holdout rows (0.5: no memory)"
    return [("copies", said + (": MEMORISED" if c.memorised else ""))]


def _smallest(result: CheckResult) -> str:
    """The least visible column of each kind."""
    said = []
    for unit in dict.fromkeys("sd" if u == "sd" else "share" for _, u in result.smallest.values()):
        sizes = {n: s for n, s in result.smallest.items() if (s[1] == "sd") == (unit == "sd")}
        worst = max(sizes, key=lambda name: sizes[name][0])
        size, words = sizes[worst]
        shown = (
            "none"
            if math.isinf(size)
            else f"{size:.2g} {words}"
            if unit == "sd"
            else (f"a loss of {size:.0%} {words}")
        )
        said.append(
            f"{shown} in {worst}" + (f" (less in {len(sizes) - 1} more)" if len(sizes) > 1 else "")
        )
    return "; ".join(said) + " (power 80 %, lasting through all judged generations)"


def changes(look: Look) -> list[dict[str, str]]:
    """Table of the columns of a generation, the largest change beyond the floor first.

    Args:
        look: The generation.

    Returns:
        Cells by heading.
    """

    def size(column) -> float:
        return -math.inf if math.isnan(column.distance) else column.distance - column.floor

    rows = []
    for c in sorted(look.columns, key=size, reverse=True)[:MOST_COLUMNS]:
        remarks = []
        if max(c.missing) > 0:
            remarks.append(f"missing {c.missing[0]:.3g} → {c.missing[1]:.3g}")
        if max(c.infinite) > 0:
            remarks.append(f"infinite cells {c.infinite[0]} → {c.infinite[1]}")
        if c.distinct[1] < c.distinct[0] / 2:
            remarks.append(f"distinct values {c.distinct[0]} → {c.distinct[1]}")
        if c.new_levels:
            shown = ", ".join(f"{level} ({count})" for level, count in c.new_levels[:MOST_LISTED])
            total = sum(count for _, count in c.new_levels)
            remarks.append(f"unseen in real: {printable(shown)}; {total} of {look.rows} cells")
        rows.append(
            {
                "column": c.column,
                "kind": c.kind,
                "distance": "not defined"
                if math.isnan(c.distance)
                else f"{c.measure} {c.distance:.4f}",
                "floor": "" if math.isnan(c.floor) else f"{c.floor:.4f}",
                "": "above floor" if c.above_floor else "",
                "remarks": "; ".join(remarks),
            }
        )
    return rows


def draw(result: CheckResult) -> "Figure":
    """Draw distance and evidence over the generations.

    Args:
        result: Of a check.

    Returns:
        The figure.
    """
    from stability.runs.figure_style import Figure, FigureCanvasAgg, figure_style

    with figure_style():
        figure = Figure(figsize=(8.4, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        seen = [(look.time, look.distance) for look in result.looks if look.distance is not None]
        if seen:
            ratios = [d.ratio for _, d in seen]
            reach = [
                [d.ratio - d.interval()[0] for _, d in seen],
                [d.interval()[1] - d.ratio for _, d in seen],
            ]
            left.errorbar([t for t, _ in seen], ratios, reach, marker="o", capsize=2)
            left.axhspan(0, seen[-1][1].floor, color="0.9", zorder=0)
            left.axhline(2, color="#D55E00", linestyle="--")
            left.set_ylim(bottom=0)
        left.set_xlabel("generation")
        left.set_ylabel("distance to real (real to real: 1)")

        judged = [(look.time, look.evidence) for look in result.looks if look.evidence is not None]
        right.plot([t for t, _ in judged], [e for _, e in judged], marker="o")
        right.axhline(result.needed, color="#D55E00", linestyle="--")
        right.set_xlabel("generation")
        right.set_ylabel("evidence, powers of 10")
        for axes in (left, right):
            axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def write_check(
    folder: Path, result: CheckResult, conditions: Sequence[FailCondition]
) -> list[Path]:
    """Write check.html, check.json and check.xml (JUnit) into a folder.

    Args:
        folder: The folder; made if it is missing.
        result: Of a check.
        conditions: Of `--fail-if`; each is a test case.

    Returns:
        The files.

    Raises:
        RunDirectoryError: If the folder holds files of something else.
        OSError: If it cannot be written.
    """
    claim_output_folder(folder, "check")
    contents = {
        "check.html": _page(result),
        "check.json": json.dumps(result.to_dict(), indent=1, ensure_ascii=False, allow_nan=False),
        "check.xml": _junit(result, conditions),
    }
    for name, text in contents.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode("utf-8", errors="replace"))
    return [folder / name for name in contents]


def _page(result: CheckResult) -> str:
    from stability.runs.figure_style import figure_style

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    buffer = io.StringIO()
    with figure_style():
        draw(result).savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    svg = re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", svg, count=1)
    template = (files("stability.planning") / "check.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        result=result,
        facts=[(name, text) for name, text in facts(result) if name != "note"],
        columns=changes(result.looks[-1]),
        svg=Markup(svg),
    )


def _junit(result: CheckResult, conditions: Sequence[FailCondition]) -> str:
    suite = ET.Element("testsuite", name="retraining check")
    alarm = ET.SubElement(suite, "testcase", classname="check", name="no degradation")
    failures = skipped = 0
    if result.outcome == "degrading":
        failures += 1
        ET.SubElement(alarm, "failure", message=_xml(result.verdict)).text = _xml(_alarm(result))
    elif result.outcome == "undecided":
        skipped += 1
        ET.SubElement(alarm, "skipped", message=_xml("; ".join(result.remarks) or "undecided"))

    for condition in conditions:
        case = ET.SubElement(suite, "testcase", classname="check", name=f"not {condition.text}")
        if condition.holds(result):
            failures += 1
            ET.SubElement(case, "failure", message=f"{condition.text}")

    for name, value in (
        ("tests", 1 + len(conditions)),
        ("failures", failures),
        ("skipped", skipped),
    ):
        suite.set(name, str(value))

    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return _INVALID_XML.sub("?", text)
