"""The statements, one module each, in the order of the paper; then what holds beyond it.

A module has GRID, the instances that `python -m stability` examines; `check(**instance)`, which
returns verdicts; `controls()`, the same checks with a spoiled constant, each of which must come out
as violated; and, where the paper's own wording fails, `counterexamples()`. What uses randomness
takes `rng`.
"""

__all__ = ["STATEMENTS"]

STATEMENTS = (
    "lemma_a1",
    "lemma_a2",
    "proposition1",
    "proposition2",
    "maximisers",
    "proposition3",
    "proposition4",
    "lemma_e1",
    "theorem1",
    "theorem1_sharp",
    "local_stability",
    "theorem2",
    "stationary_error",
    "sampler_bias",
    "path_of_refits",
    "weighted_real",
    "collapse_tail",
    "discrete_collapse",
    "correction",
    "certified",
    "certified_ranges",
    "proofs",
    "gaussian_exponents",
    "assumption1",
    "misspecified_error",
)
"""Names of the modules."""
