"""The report of an examination: verdicts as JSON, figures, and one page that opens from disk
without a network.
"""

import io
import json
import math
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import latex2mathml.converter
import numpy as np
from markupsafe import Markup

from stability.report.figures import FIGURES, SHOWS
from stability.report.formulas import FORMULAS, typeset
from stability.report.glossary import GLOSSARY, SYMBOLS
from stability.report.mathematics import mathematics
from stability.runs.atomic import atomic_write
from stability.runs.figure_style import Figure, figure_style, save_figure
from stability.statements.errata import ERRATA
from stability.statements.examination import (
    Examination,
    evidence,
    grouped,
    machine_checked,
    summary,
)
from stability.statements.verdict import Evidence, Status, Verdict

__all__ = ["margin_left", "write_report"]

_PACKAGES = ("numpy", "scipy", "sympy", "torch")


def write_report(folder: Path, examinations: Sequence[Examination], seed: int) -> list[Path]:
    """Write verdicts.json, report.html and the figures (PNG, PDF) of what was examined.

    Args:
        folder: Folder of the report, made if missing.
        examinations: Examinations to report, in order.
        seed: Of the examinations; the figures have random streams of their own from it.

    Returns:
        The paths written.

    Raises:
        OSError: If it cannot be written.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    written = [folder / "verdicts.json", folder / "report.html"]
    environment = {
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }
    verdicts = {
        "seed": seed,
        "environment": environment,
        "statements": [each.to_dict() for each in examinations],
    }

    with atomic_write(written[0]) as file:
        file.write(json.dumps(verdicts, indent=1, ensure_ascii=False, allow_nan=False).encode())
    pictures, examined = [], {each.name for each in examinations}
    streams = np.random.SeedSequence(seed, spawn_key=(len(FIGURES),)).spawn(len(FIGURES))

    with figure_style():
        for (name, (draw, caption)), stream in zip(FIGURES.items(), streams, strict=True):
            if not examined & set(SHOWS[name]):
                continue
            figure = draw(np.random.default_rng(stream))
            assert figure is not None  # a statement can always be drawn
            written += save_figure(figure, folder / "figures" / name)
            pictures.append({"name": name, "caption": caption, "svg": Markup(_svg(figure, name))})

    page = _page(examinations=examinations, pictures=pictures, environment=environment, seed=seed)
    with atomic_write(written[1]) as file:
        file.write(page.encode())

    return written


def _headlines(examinations: Sequence[Examination]) -> list[tuple[str, str]]:
    """The two results that contradict or outdo the paper, each only if it was examined and came
    out right.
    """
    sound = {
        examination.name: examination for examination in examinations if not examination.failures
    }
    found = []
    if "local_stability" in sound:
        rates = [verdict for verdict in sound["local_stability"].verdicts if verdict.claim == "S1"]
        slowest = max(rates, key=lambda verdict: verdict.measured)
        found.append(
            (
                "Every finite λ is locally stable",
                "under exact likelihood (S1): the condition λ(1 + Lε/α) < ½ of Theorem 1 is not "
                "needed. "
                f"The slowest of {len(rates)} instances is {slowest.instance}: ρ(J) = "
                f"{slowest.measured:.5g}.",
            )
        )
    if "proposition1" in sound:
        (printed,) = sound["proposition1"].counterexamples
        found.append(
            (
                "The rate of Gaussian collapse in more than one dimension is misstated",
                f"(E1): at {printed.instance} the proof of Proposition 1 allows "
                f"{printed.stated:.4f} of E √Σ to be "
                f"left after a retraining, and {printed.measured:.4f} is. The proposition is true "
                "in every dimension, "
                "with the one-dimensional α(n), and no smaller rate will do.",
            )
        )

    return found


def _page(examinations: Sequence[Examination], **rest: Any) -> str:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "compared": lambda verdict: verdict.comparison or verdict.note,
        "number": _number,
        "margin": margin_left,
        "mathematics": lambda words: Markup(mathematics(words)),
        "mathml": _mathml,
        "typeset": lambda text: Markup(typeset(text)),
    }
    template = environment.from_string(
        (files("stability.report") / "page.html").read_text(encoding="utf-8")
    )
    used = {each for one in examinations for claim in one.claims for each in claim.errata}
    rest |= {
        "Status": Status,
        "errata": {id_: each for id_, each in ERRATA.items() if id_ in used},
        "formulas": FORMULAS,
        "glossary": GLOSSARY,
        "headlines": _headlines(examinations),
        "summary": summary(examinations),
        "symbols": SYMBOLS,
        "evidence": evidence(examinations),
        "groups": grouped(examinations),
        "Evidence": Evidence,
        "machine_checked": machine_checked(examinations),
    }

    return template.render(examinations=examinations, **rest)


def _mathml(latex: str) -> Markup:
    return Markup(latex2mathml.converter.convert(latex, display="block"))


def margin_left(verdict: Verdict) -> str:
    """Margin until the comparison fails, in words where a percentage says nothing.

    Args:
        verdict: Any.
    """
    margin = verdict.margin
    if math.isnan(margin):
        return "–"
    if math.isinf(margin):
        return "sign only"
    if margin < 0:
        return "fails"
    if margin > 0.995:
        return "all"
    return "none" if margin < 1e-3 else f"{100 * margin:.2g} %"


def _number(value: object) -> str:
    return f"{value:.6g}"


def _svg(figure: Figure, name: str) -> str:
    """The figure as an element for a page: text stays text, and ids are made unique by `name`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", svg, count=1)
