"""The mathematics of the paper, proved by computer algebra: one function a statement, each returns
a `Proof`.

Each takes what it states (a sign, a constant, a threshold) as an argument, so that a false
statement can be asked for too: `controls` asks for them, and none is proved.
"""

from dataclasses import replace

import sympy as sp

from stability.proofs.symbolic import (
    lemma_e1,
    proposition1,
    proposition2,
    stationary_error,
    student_t,
    theorem1,
    theorem2,
)
from stability.proofs.symbolic.proof import Proof, Step

__all__ = ["Proof", "Step", "all_proofs", "controls"]


def all_proofs() -> list[Proof]:
    """Every proof, computed now (some seconds): the statements of the paper in their order, then
    S1 … S7, Student-t.
    """
    dimensional = (
        proposition2.score,
        proposition2.hessian,
        proposition2.hessian_on_symmetric,
        proposition2.expected_hessian,
        proposition2.hessian_lipschitz,
    )
    return [
        proposition1.collapse_rate(),
        proposition1.monotone_alpha(),
        proposition1.alpha_series(),
        proposition1.diagonal_of_a_root(),
        proposition1.printed_root(),
        proposition1.counterexample(),
        *(prove(d) for prove in dimensional for d in (1, 2)),
        lemma_e1.hessians(),
        lemma_e1.gaussian_hessians(),
        lemma_e1.exponential_hessians(),
        lemma_e1.jacobian(),
        theorem1.bound(),
        theorem2.recursion(),
        theorem2.union_bound(),
        theorem2.independence_fails(),
        theorem1.eigenvalues(),
        theorem1.contraction(),
        stationary_error.fixed_point(),
        stationary_error.stationary_covariance(),
        stationary_error.misspecified_covariance(),
        stationary_error.fresh_real(),
        stationary_error.accumulate(),
        stationary_error.replace(),
        theorem1.partial_refit(),
        theorem1.gradient_refit(),
        theorem1.general_refit(),
        stationary_error.shared_latents(),
        student_t.unique_maximiser(),
        student_t.complex_form(),
        student_t.hessian_slope(),
        student_t.fisher(),
        student_t.distribution(),
    ]


def controls() -> list[Proof]:
    """The same with one constant or sign spoiled, which `claim` names: none is proved.

    Computed now (some seconds).
    """
    half = sp.S.Half
    spoiled = [
        ("n degrees of freedom in place of n − 1", proposition1.collapse_rate(shift=1)),
        (
            "1/(48k³) in place of 1/(24k³)",
            proposition1.monotone_alpha(cubic=proposition1.CUBIC / 2),
        ),
        ("+1/(4k) in place of −1/(4k)", proposition1.alpha_series((sp.S.One, sp.Rational(1, 4)))),
        ("√(½M_11) in place of √M_11", proposition1.diagonal_of_a_root(factor=half)),
        ("as printed, whatever Σ is", proposition1.printed_root(commuting=False)),
        ("Σ_0 = I", proposition1.counterexample(spread=sp.S.One)),
        *(("as printed, −Σ in (59)", proposition2.score(d, share=sp.S.One)) for d in (1, 2)),
        ("as printed, 𝒦 = I", proposition2.hessian(2, transposing=False)),
        *(
            ("Σ ⊗ Σ in place of ½Σ ⊗ Σ", proposition2.hessian_on_symmetric(d, share=sp.S.One))
            for d in (1, 2)
        ),
        ("perturbations that are not symmetric", proposition2.expected_hessian(2, symmetric=False)),
        *(("½ in place of 1", proposition2.hessian_lipschitz(d, constant=half)) for d in (1, 2)),
        ("as printed, B = ∇²_{θθ'}H₂", lemma_e1.hessians(sign=1)),
        ("as printed, B = ∇²_{θθ'}H₂", lemma_e1.gaussian_hessians(sign=1)),
        ("as printed, B = ∇²_{θθ'}H₂", lemma_e1.exponential_hessians(sign=1)),
        ("as printed, B = ∇²_{θθ'}H₂", lemma_e1.jacobian(sign=1)),
        ("q < 1 in place of q < ½, as Section 6 has it", theorem1.bound(threshold=sp.S.One)),
        ("a tenth of the bound", theorem1.bound(factor=sp.Rational(1, 10))),
        ("the sum to t in place of t − 1", theorem2.recursion(terms=1)),
        ("½tδ in place of tδ", theorem2.union_bound(share=half)),
        ("steps that never fail", theorem2.independence_fails(share=sp.S.Zero)),
        ("B ≽ 0", theorem1.eigenvalues(sign=1)),
        ("½ in place of 1", theorem1.contraction(limit=half)),
        ("the opposite sign of J", stationary_error.fixed_point(sign=-1)),
        ("1 + 4λ in place of 1 + 3λ", stationary_error.stationary_covariance(slope=4)),
        ("1 + λμ in place of 1 + 2λμ", stationary_error.misspecified_covariance(slope=1)),
        ("1 + 3λ in place of 1 + 2λ", stationary_error.fresh_real(slope=3)),
        ("1/k in place of 1/k²", stationary_error.accumulate(power=1)),
        ("1 + 2t in place of 1 + t", stationary_error.replace(growth=2)),
        ("the opposite sign of J", theorem1.partial_refit(sign=-1)),
        ("steps downhill", theorem1.gradient_refit(sign=-1)),
        ("I − C along the other axis", theorem1.general_refit(direction=(0, 1))),
        ("1 + 2λ in place of 1 + λ", stationary_error.shared_latents(slope=2)),
        ("weight (ν + 1)/2 of log 1/τ", student_t.unique_maximiser(shift=1)),
        ("g' = +g²", student_t.complex_form(sign=-1)),
        ("twice the slope", student_t.hessian_slope(scale=sp.S(2))),
        ("ν + 2 in place of ν + 3", student_t.fisher(shift=2)),
        ("½φ in place of φ", student_t.distribution(scale=half)),
    ]
    return [replace(proof, claim=f"{proof.claim}: {words}") for words, proof in spoiled]
