"""A local analysis as a table for people."""

import math
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stability.laws.bracket import Condition

if TYPE_CHECKING:
    from stability.analysis.local_analysis import LocalAnalysis

__all__ = ["local_table"]


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


def _theorem1(local: "LocalAnalysis") -> list[tuple[str, str, str]]:
    """What Theorem 1 assumes and says."""
    vacuous = local.bound.low == math.inf
    met = local.theorem1_condition
    why = ": L may be larger" if met is not Condition.NOT_MET and _searched(local) else ""
    return [
        ("θ*", _vector(local.theta), "maximum likelihood (eq. 7)"),
        ("α", f"{local.alpha:.5g}", "strong concavity (Assumption 2)"),
        ("L", f"{local.lipschitz.bracket:.5g}", local.lipschitz.reason),
        ("ε", f"{local.eps:.5g}", f"W1(p_θ*, p_data): {local.eps.reason}"),
        ("λ(1 + Lε/α)", f"{local.condition:.5g}", f"Theorem 1 needs < 1/2: {met}{why}"),
        ("bound (11)", f"{local.bound:.5g}", "vacuous" if vacuous else "on ‖J‖₂"),
        ("sharp bound", f"{local.sharp_bound:.5g}", "on ‖J‖₂, from the same constants"),
        ("λ for Theorem 1", f"< {local.lam_limit_theorem:.5g}", "where its condition holds"),
    ]


def _loop(local: "LocalAnalysis") -> list[tuple[str, str, str]]:
    """How retraining behaves near θ*."""
    return [
        ("‖J‖₂", f"{local.norm:.5g}", "J the Jacobian of G∞ at θ*"),
        ("ρ(J)", f"{local.rho:.5g}", "stable" if local.stable else "unstable"),
        ("μ", _vector(local.mu), "eigenvalues of (−B, −A); those of J are λμ/(1+λμ) (S1)"),
        ("half-life", f"{local.half_life:.3g}", "retrainings that halve a perturbation"),
        ("λ for stability", f"< {local.lam_limit:.5g}", "where ρ(J) < 1 (S1)"),
    ]


def _costs(local: "LocalAnalysis") -> list[tuple[str, str, str]]:
    """What misspecification costs, what retraining costs, and both."""
    ceiling = f"{local.retraining_ceiling:.4g}"
    return [
        ("misspecification", _vector(local.misspecification), "error of one fit / Cramér–Rao: F S"),
        (
            "retraining",
            _vector(local.retraining),
            f"error with retraining / without: S⁻¹(S + V); below {ceiling} at every λ (S3)",
        ),
        ("both", _vector(local.inflation), "error with retraining / Cramér–Rao: F (S + V)"),
    ]


def _checks(local: "LocalAnalysis") -> list[tuple[str, str, str]]:
    """The same numbers by other routes."""
    return [
        ("checks", f"{local.integration_error:.1g}", f"error of A and B ({local.method})"),
        ("", f"{local.fisher_gap:.1g}", "B against −E s sᵀ, relative"),
        ("", f"{local.jacobian_gap:.1g}", f"J against {local.jacobian_check}"),
    ]


def _searched(local: "LocalAnalysis") -> bool:
    return not local.lipschitz.is_upper_bound


def _vector(values: np.ndarray) -> str:
    shown = ", ".join(f"{value:.5g}" for value in values[:8])
    return f"({shown}{', …' if len(values) > 8 else ''})"
