"""The mathematics of the paper, proved by computer algebra: one function a statement, each a
`Provable` whose call returns a `Proof`.

Each takes what it states (a sign, a constant, a threshold) as an argument, so that a false
statement can be asked for too; `stability.statements.proofs` asks for some, and none is proved.
"""

from collections.abc import Mapping
from types import MappingProxyType

from stability.proofs.symbolic import (
    lemma_e1,
    proposition1,
    proposition2,
    stationary_error,
    student_t,
    theorem1,
    theorem2,
)
from stability.proofs.symbolic.proof import Proof, Provable, Step

__all__ = ["PROVABLE", "Proof", "Provable", "Step", "provable"]

_MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        proposition1,
        proposition2,
        lemma_e1,
        theorem1,
        theorem2,
        stationary_error,
        student_t,
    )
}


def provable(name: str) -> Provable[...]:
    """The statement of this name, as its module has it now.

    Args:
        name: Module and function, e.g. "theorem1.bound".

    Returns:
        The function that proves it.

    Raises:
        ValueError: If there is none.
    """
    module, _, function = name.partition(".")
    found = getattr(_MODULES.get(module), function, None)
    if not callable(found):
        raise ValueError(f"name must be one of {', '.join(PROVABLE)}, got {name!r}")
    return found  # type: ignore[return-value]


PROVABLE: Mapping[str, Provable[...]] = MappingProxyType(
    {
        f"{module}.{name}": value
        for module, source in _MODULES.items()
        for name, value in vars(source).items()
        if isinstance(value, Provable)
    }
)
"""Module and function -> statement, in the order of the paper, then S1 to S7 and Student-t."""
