"""The statements, a module each: the paper's, our own results, and those of the literature.

A module declares its claims, and has GRID, the instances that `python -m stability` examines;
`check(**instance)`, which returns verdicts; MUTATIONS, wrong functions under which each claim must
come out as violated; and, where the paper's own wording fails, `counterexamples()`. What uses
randomness takes `rng`.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType, ModuleType

__all__ = ["GROUPS", "STATEMENTS", "import_statement"]

_PAPER = "Statements of the paper"
_OWN = "Our own results"
_LITERATURE = "Results of the literature"

# random streams go by place: a new statement goes to the end
_GROUP = {
    "lemma_a1": _PAPER,
    "lemma_a2": _PAPER,
    "proposition1": _PAPER,
    "proposition2": _PAPER,
    "maximisers": _PAPER,
    "proposition3": _PAPER,
    "proposition4": _PAPER,
    "lemma_e1": _PAPER,
    "theorem1": _PAPER,
    "theorem1_sharp": _OWN,
    "local_stability": _OWN,
    "theorem2": _PAPER,
    "stationary_error": _OWN,
    "sampler_bias": _OWN,
    "path_of_refits": _LITERATURE,
    "weighted_real": _LITERATURE,
    "collapse_tail": _LITERATURE,
    "discrete_collapse": _LITERATURE,
    "correction": _LITERATURE,
    "certified": _PAPER,
    "certified_ranges": _PAPER,
    "proofs": _PAPER,
    "gaussian_exponents": _OWN,
    "assumption1": _PAPER,
    "misspecified_error": _OWN,
    "bias_price": _LITERATURE,
    "logarithmic_time": _LITERATURE,
    "temperature_threshold": _LITERATURE,
    "curation": _LITERATURE,
    "kernel_estimate": _LITERATURE,
    "negative_extrapolation": _LITERATURE,
    "early_stopping": _LITERATURE,
    "effective_sample_size": _LITERATURE,
    "frequencies_with_real_data": _LITERATURE,
    "verifier": _LITERATURE,
    "generation_weights": _LITERATURE,
    "conservation": _LITERATURE,
    "absorption": _LITERATURE,
    "accumulated_likelihood": _LITERATURE,
    "growing_data": _LITERATURE,
    "populations": _LITERATURE,
    "regression": _LITERATURE,
    "family_regimes": _OWN,
    "collapse_profile": _LITERATURE,
    "score_errors": _LITERATURE,
}

STATEMENTS = tuple(_GROUP)
"""Names of the modules; those of the literature lie in `stability.statements.literature`."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        title: tuple(name for name, group in _GROUP.items() if group == title)
        for title in (_PAPER, _OWN, _LITERATURE)
    }
)
"""Title -> names of the modules, in the order of listings."""


def import_statement(name: str) -> ModuleType:
    """Import the module of a statement.

    Args:
        name: One of `STATEMENTS`.

    Returns:
        The module.
    """
    room = "literature." if _GROUP.get(name) == _LITERATURE else ""
    return importlib.import_module(f"stability.statements.{room}{name}")
