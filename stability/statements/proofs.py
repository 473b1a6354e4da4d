"""Proofs by computer algebra, and by a proof assistant: how many of their steps are left unproved.

`stability.proofs.symbolic` reduces equations with sympy; `stability.proofs.coq` holds theorems that
Coq checks down to its axioms. Where Coq is not installed, those are skipped.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import sympy as sp

from stability.proofs.coq.check import MISSING, Checked, check_file, coq_version, reject
from stability.proofs.coq.theorems import DEVELOPMENTS, Development, Spoiled
from stability.proofs.symbolic import PROVABLE, proposition1, provable
from stability.statements.claim import Claim
from stability.statements.mutation import Mutation, Replacement
from stability.statements.verdict import Evidence, MachineChecked, Verdict

__all__ = ["CLAIMS", "GRID", "MUTATIONS", "check"]

_CASE = "for all values of its symbols"
_FILES = {development.name: development for development in DEVELOPMENTS}


def _algebra(name: str) -> Claim:
    return Claim(
        id=f"{PROVABLE[name].claim}, by algebra",
        words=PROVABLE[name].statement,
        relation="==",
        source=f"computer algebra, `stability.proofs.symbolic.{name}`",
        falsified_by="A step that is false at some value of its symbols.",
        no_evidence="The steps at single values of their symbols.",
        erratum=PROVABLE[name].erratum,
        evidence=Evidence.ALGEBRA,
    )


def _machine(development: Development) -> Claim:
    return Claim(
        id=f"{development.claim}, machine-checked",
        words=development.statement,
        relation="==",
        source=f"Coq, `stability/proofs/coq/{development.name}.v`",
        falsified_by="A theorem of the file that Coq rejects, or that rests on another axiom than "
        "those of Coq's real numbers.",
        no_evidence="A copy in which a proof is admitted.",
        erratum=development.erratum,
        evidence=Evidence.MACHINE,
    )


CLAIMS: Mapping[str, Claim] = MappingProxyType(
    {name: _algebra(name) for name in PROVABLE}
    | {name: _machine(development) for name, development in _FILES.items()}
)
"""Name of a proof by computer algebra ("theorem1.bound"), or of a Coq file -> claim."""

_DIMENSIONS = ({"d": 1}, {"d": 2})
_INSTANCES = {name: _DIMENSIONS for name in PROVABLE if name.startswith("proposition2.")} | {
    "student_t.distribution": ({"nu": 3}, {"nu": 5}, {"nu": 7})
}
GRID: tuple[dict[str, Any], ...] = tuple(
    {"proof": name, **instance} for name in PROVABLE for instance in _INSTANCES.get(name, ({},))
) + tuple({"proof": name} for name in _FILES)


def check(proof: str, **instance: int) -> list[Verdict]:
    """Check a proof, or a file of theorems: it holds if no step is left unproved.

    Args:
        proof: A name in `CLAIMS`.
        instance: Dimension `d`, or degrees of freedom `nu`, for proofs that take one.

    Returns:
        One verdict, which is `skipped` for a Coq file where Coq is not installed.

    Raises:
        ValueError: If there is no such proof.
    """
    if proof in _FILES:
        return [_machine_checked(_FILES[proof])]
    found = provable(proof)(**instance)
    uses = f"; uses {'; '.join(found.uses)}" if found.uses else ""
    case = ", ".join(
        [*(f"{'ν' if name == 'nu' else name} = {n}" for name, n in instance.items()), _CASE]
    )
    return [
        CLAIMS[proof].verdict(
            case,
            measured=len(found.left),
            claimed=0,
            method=f"computer algebra, {len(found.steps)} steps{uses}",
            note="; ".join(step.words for step in found.left),
        )
    ]


def _machine_checked(development: Development) -> Verdict:
    claim = CLAIMS[development.name]
    if not coq_version():
        return claim.skipped(_CASE, method="Coq", note=MISSING)
    checked = check_file(development)
    verdict = claim.verdict(
        _CASE,
        measured=len(checked.theorems) if checked.fault else 0,
        claimed=0,
        method=f"Coq {coq_version()}, {development.name}.v: {len(checked.theorems)} theorems",
        note=checked.fault,
    )
    return MachineChecked(
        **vars(verdict),
        theorems=checked.theorems,
        axioms=checked.axioms,
        seconds=checked.seconds,
    )


def _spoiled_proof(name: str, words: str, wrong: dict[str, Any], **instance: int) -> Mutation:
    """A proof that is asked for something false."""
    return Mutation(
        CLAIMS[name],
        f"stability.proofs.symbolic.{name}",
        words,
        {"proof": name, **instance},
        lambda right: partial(right, **wrong),
    )


def _spoiled_file(development: Development, spoiled: Spoiled) -> Mutation:
    """A file with one text replaced, so that a theorem in it is false."""
    return Mutation(
        CLAIMS[development.name],
        "stability.proofs.coq.check.check_file",
        f"{spoiled.words}: {spoiled.reason}",
        {"proof": development.name},
        _copy(spoiled),
    )


def _copy(spoiled: Spoiled) -> Replacement:
    """Check the spoiled copy: its fault is the proof that broke; without one it has none."""

    def by(right: Callable[..., Any]) -> Callable[..., Any]:
        def wrong(development: Development) -> Checked:
            rejection = reject(development, spoiled)
            names = (rejection.broken,) if rejection.broken else ()
            fault = f"{rejection.broken}: {rejection.message}" if rejection.broken else ""
            return Checked(names, (), fault, 0.0)

        return wrong

    return by


_HALF, _PRINTED_B = sp.S.Half, "as printed, B = ∇²_{θθ'}H₂"
MUTATIONS = (
    _spoiled_proof(
        "proposition1.collapse_rate", "n degrees of freedom in place of n − 1", {"shift": 1}
    ),
    _spoiled_proof(
        "proposition1.monotone_alpha",
        "1/(48k³) in place of 1/(24k³)",
        {"cubic": proposition1.CUBIC / 2},
    ),
    _spoiled_proof(
        "proposition1.alpha_series",
        "+1/(4k) in place of −1/(4k)",
        {"coefficients": (sp.S.One, sp.Rational(1, 4))},
    ),
    _spoiled_proof(
        "proposition1.diagonal_of_a_root", "√(½M_11) in place of √M_11", {"factor": _HALF}
    ),
    _spoiled_proof("proposition1.printed_root", "as printed, whatever Σ is", {"commuting": False}),
    _spoiled_proof("proposition1.counterexample", "Σ_0 = I", {"spread": sp.S.One}),
    _spoiled_proof("proposition2.score", "as printed, −Σ in (59)", {"share": sp.S.One}, d=1),
    _spoiled_proof("proposition2.score", "as printed, −Σ in (59)", {"share": sp.S.One}, d=2),
    _spoiled_proof("proposition2.hessian", "as printed, 𝒦 = I", {"transposing": False}, d=2),
    _spoiled_proof(
        "proposition2.hessian_on_symmetric", "Σ ⊗ Σ in place of ½Σ ⊗ Σ", {"share": sp.S.One}, d=1
    ),
    _spoiled_proof(
        "proposition2.hessian_on_symmetric", "Σ ⊗ Σ in place of ½Σ ⊗ Σ", {"share": sp.S.One}, d=2
    ),
    _spoiled_proof(
        "proposition2.expected_hessian",
        "perturbations that are not symmetric",
        {"symmetric": False},
        d=2,
    ),
    _spoiled_proof("proposition2.hessian_lipschitz", "½ in place of 1", {"constant": _HALF}, d=1),
    _spoiled_proof("proposition2.hessian_lipschitz", "½ in place of 1", {"constant": _HALF}, d=2),
    _spoiled_proof("lemma_e1.hessians", _PRINTED_B, {"sign": 1}),
    _spoiled_proof("lemma_e1.gaussian_hessians", _PRINTED_B, {"sign": 1}),
    _spoiled_proof("lemma_e1.exponential_hessians", _PRINTED_B, {"sign": 1}),
    _spoiled_proof("lemma_e1.jacobian", _PRINTED_B, {"sign": 1}),
    _spoiled_proof(
        "theorem1.bound", "q < 1 in place of q < ½, as Section 6 has it", {"threshold": sp.S.One}
    ),
    _spoiled_proof("theorem1.bound", "a tenth of the bound", {"factor": sp.Rational(1, 10)}),
    _spoiled_proof("theorem2.recursion", "the sum to t in place of t − 1", {"terms": 1}),
    _spoiled_proof("theorem2.union_bound", "½tδ in place of tδ", {"share": _HALF}),
    _spoiled_proof("theorem2.independence_fails", "steps that never fail", {"share": sp.S.Zero}),
    _spoiled_proof("theorem1.eigenvalues", "B ≽ 0", {"sign": 1}),
    _spoiled_proof("theorem1.contraction", "½ in place of 1", {"limit": _HALF}),
    _spoiled_proof("stationary_error.fixed_point", "the opposite sign of J", {"sign": -1}),
    _spoiled_proof(
        "stationary_error.stationary_covariance", "1 + 4λ in place of 1 + 3λ", {"slope": 4}
    ),
    _spoiled_proof(
        "stationary_error.misspecified_covariance", "1 + λμ in place of 1 + 2λμ", {"slope": 1}
    ),
    _spoiled_proof("stationary_error.fresh_real", "1 + 3λ in place of 1 + 2λ", {"slope": 3}),
    _spoiled_proof("stationary_error.accumulate", "1/k in place of 1/k²", {"power": 1}),
    _spoiled_proof("stationary_error.replace", "1 + 2t in place of 1 + t", {"growth": 2}),
    _spoiled_proof("theorem1.partial_refit", "the opposite sign of J", {"sign": -1}),
    _spoiled_proof("theorem1.gradient_refit", "steps downhill", {"sign": -1}),
    _spoiled_proof("theorem1.general_refit", "I − C along the other axis", {"direction": (0, 1)}),
    _spoiled_proof("stationary_error.shared_latents", "1 + 2λ in place of 1 + λ", {"slope": 2}),
    _spoiled_proof("student_t.unique_maximiser", "weight (ν + 1)/2 of log 1/τ", {"shift": 1}),
    _spoiled_proof("student_t.complex_form", "g' = +g²", {"sign": -1}),
    _spoiled_proof("student_t.hessian_slope", "twice the slope", {"scale": sp.S(2)}),
    _spoiled_proof("student_t.fisher", "ν + 2 in place of ν + 3", {"shift": 2}),
    _spoiled_proof("student_t.distribution", "½φ in place of φ", {"scale": _HALF}, nu=5),
    *(_spoiled_file(each, spoiled) for each in DEVELOPMENTS for spoiled in each.spoiled),
)
"""Negative controls: proofs of statements that are false."""
