"""The mathematics of the paper, proved by computer algebra: one function a statement, each returns a `Proof`."""

from stability.symbolic import (
    lemma_e1,
    proposition1,
    proposition2,
    stationary_error,
    student_t,
    theorem1,
    theorem2,
)
from stability.symbolic.proof import Proof, Step

__all__ = ["Proof", "Step", "all_proofs"]


def all_proofs() -> list[Proof]:
    """Every proof, computed now (some seconds): the statements of the paper in their order, then S1 … S7, Student-t."""
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
        stationary_error.fresh_real(),
        stationary_error.accumulate(),
        stationary_error.replace(),
        theorem1.partial_refit(),
        theorem1.gradient_refit(),
        theorem1.general_refit(),
        stationary_error.shared_latents(),
        student_t.unique_maximiser(),
        student_t.closed_forms(),
    ]
