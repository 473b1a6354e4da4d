"""A local analysis as a table for people."""

import html
import io
import math
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stability.laws.bracket import Condition
from stability.runs.console import make_console

if TYPE_CHECKING:
    from stability.analysis.local_analysis import LocalAnalysis

__all__ = ["as_html", "as_text", "local_table"]

_WIDTH = 110


def local_table(local: "LocalAnalysis") -> Table:
    """The numbers of an analysis with their names.

    Args:
        local: The analysis.

    Returns:
        The table, for a rich console.
    """
    result = Table(
        title=f"Retraining near θ*, λ = {local.lam:g}",
        box=SIMPLE_HEAD,
        title_style="bold",
        pad_edge=False,
    )
    for column in ("quantity", "value", "meaning"):
        result.add_column(column, overflow="fold")
    for row in (*_theorem1(local), *_loop(local), *_costs(local), *_checks(local)):
        result.add_row(*row)
    return result


def as_text(table: Table) -> str:
    """A table as plain text, 110 characters wide.

    Args:
        table: Any table of rich.

    Returns:
        Its lines.
    """
    console = make_console(width=_WIDTH, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def as_html(table: Table) -> str:
    """A table for a notebook.

    Args:
        table: Any table of rich whose cells are plain text.

    Returns:
        One HTML element.
    """
    cells = [[html.escape(str(cell)) for cell in column.cells] for column in table.columns]
    head = "".join(f"<th>{html.escape(str(column.header))}</th>" for column in table.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
        for row in zip(*cells, strict=True)
    )
    title = html.escape(str(table.title or ""))
    return f"<table><caption>{title}</caption><tr>{head}</tr>{body}</table>"


def _theorem1(local: "LocalAnalysis") -> list[tuple[str, str, str]]:
    """Rows for the assumptions and the statement of Theorem 1."""
    vacuous = local.bound.low == math.inf
    met = local.theorem1_condition
    why = ": L may be larger" if met is not Condition.NOT_MET and _searched(local) else ""
    flat = _left_out(local)
    return [
        ("θ*", _shown(local, "theta"), f"maximum likelihood (eq. 7){flat}"),
        ("α", _shown(local, "alpha"), "strong concavity (Assumption 2)"),
        ("L", f"{local.lipschitz.bracket:.5g}", local.lipschitz.reason),
        ("ε", f"{local.eps:.5g}", f"W1(p_θ*, p_data): {local.eps.reason}"),
        ("λ(1 + Lε/α)", f"{local.condition:.5g}", f"Theorem 1 needs < 1/2: {met}{why}"),
        ("bound (11)", f"{local.bound:.5g}", "vacuous" if vacuous else "on ‖J‖₂"),
        ("sharp bound", f"{local.sharp_bound:.5g}", "on ‖J‖₂, from the same constants"),
        ("λ for Theorem 1", f"< {local.lam_limit_theorem:.5g}", "where its condition holds"),
    ]


def _left_out(local: "LocalAnalysis") -> str:
    """Directions of θ that are left out, flat ones and others apart."""
    total = local.flat.shape[1] if local.flat.size else 0
    kinds = ((total - local.unresolved, "flat"), (local.unresolved, "unresolved"))
    said = " and ".join(f"{count} {kind}" for count, kind in kinds if count)
    return f"; {said} direction{'s' * (total > 1)} left out" if total else ""


def _loop(local: "LocalAnalysis") -> list[tuple[str, str, str]]:
    """Rows for the behaviour of retraining near θ*."""
    return [
        ("‖J‖₂", _shown(local, "norm"), "J the Jacobian of G∞ at θ*"),
        ("ρ(J)", _shown(local, "rho"), "stable" if local.stable else "unstable"),
        ("μ", _shown(local, "mu"), "eigenvalues of (−B, −A); those of J are λμ/(1+λμ) (S1)"),
        ("half-life", _shown(local, "half_life", 3), "retrainings that halve a perturbation"),
        ("λ for stability", f"< {local.lam_limit:.5g}", "where ρ(J) < 1 (S1)"),
    ]


def _costs(local: "LocalAnalysis") -> list[tuple[str, str, str]]:
    """Rows for the cost of misspecification, of retraining, and of both."""
    ceiling = f"{local.retraining_ceiling:.4g}"
    return [
        (
            "misspecification",
            _shown(local, "misspecification"),
            "error of one fit / Cramér–Rao: spectrum of F S (S3)",
        ),
        (
            "retraining",
            _shown(local, "retraining"),
            f"error with retraining / without: S⁻¹(S + V); below {ceiling} at every λ",
        ),
        ("both", _shown(local, "inflation"), "error with retraining / Cramér–Rao: F (S + V)"),
    ]


def _checks(local: "LocalAnalysis") -> list[tuple[str, str, str]]:
    """Numbers by other routes, and how large the errors are that stand behind ±."""
    routes = "agree" if local.routes_agree else "DISAGREE"
    gap = f"{routes}: {local.jacobian_gap:.1g}, {local.jacobian_allowed:.1g} allowed"
    looked = math.isfinite(local.jacobian_gap)
    rows = [
        ("checks", f"{local.integration_error:.1g}", f"error of A and B ({local.method})"),
        ("", f"{local.fisher_gap:.1g}", "B against −E s sᵀ, relative"),
        ("", gap if looked else "", f"J against {local.jacobian_check}"),
    ]
    if local.replicates.method == "jackknife":
        rows.append(("±", "", "95 % intervals: jackknife over batches of draws"))
    if local.note:
        rows.append(("note", "", local.note))
    return rows


def _shown(local: "LocalAnalysis", name: str, digits: int = 5) -> str:
    """A number or the first of a vector, with errors as far as they can be seen."""
    values, errors = (np.atleast_1d(v) for v in (getattr(local, name), local.error(name)))
    shown = [
        f"{value:.{digits}g}" + (f" ± {error:.2g}" if error > 1e-6 * (1 + abs(value)) else "")
        for value, error in zip(values[:8], errors, strict=False)
    ]
    if np.ndim(getattr(local, name)) == 0:
        return shown[0]
    return f"({', '.join(shown)}{', …' if len(values) > 8 else ''})"


def _searched(local: "LocalAnalysis") -> bool:
    return not local.lipschitz.is_upper_bound
