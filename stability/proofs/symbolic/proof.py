"""Symbolic proofs: steps that a computer algebra system reduced to 0 or to True, or else what
was left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Generic, ParamSpec

import sympy as sp

__all__ = [
    "Proof",
    "Provable",
    "Step",
    "equal",
    "holds",
    "nonnegative",
    "positive",
    "proves",
]

P = ParamSpec("P")


@dataclass(frozen=True)
class Step:
    """One equation or inequality.

    Attributes:
        reduced: 0 (equation) or True (inequality) once proved, else the expression that remains.
    """

    words: str
    reduced: Any  # sympy Expr, Matrix or Boolean

    @property
    def proved(self) -> bool:
        return self.reduced == 0 or self.reduced == sp.true


@dataclass(frozen=True)
class Proof:
    """A statement and the steps that carry it; proved if every step is.

    Attributes:
        claim: Id of the statement, e.g. "Theorem 1, (105)-(11)".
        statement: What is proved, in words.
        steps: Checked by the computer, in order.
        uses: Theorems taken as known that turn the steps into the statement; () where the steps are
            all there is.
        erratum: Id of the erratum that applies (E1 … E9), or "".

    Raises:
        ValueError: If there is no step: nothing would be proved.
    """

    claim: str
    statement: str
    steps: tuple[Step, ...]
    uses: tuple[str, ...] = ()
    erratum: str = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"steps must be one at least, got none for {self.claim}")

    @property
    def proved(self) -> bool:
        return all(step.proved for step in self.steps)

    @property
    def left(self) -> tuple[Step, ...]:
        """The steps that were not proved, in order."""
        return tuple(step for step in self.steps if not step.proved)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "claim": self.claim,
            "statement": self.statement,
            "proved": self.proved,
            "steps": [{"words": step.words, "reduced": str(step.reduced)} for step in self.steps],
            "uses": list(self.uses),
            "erratum": self.erratum,
        }


class Provable(Generic[P]):
    """A statement, and the function that proves it: a call computes the proof.

    Args:
        steps: Computes the steps. What is stated (a sign, a constant) is an argument of it, so that
            a false statement can be asked for.
        claim: Id of the statement.
        statement: What is proved, in words.
        uses: Theorems taken as known.
        erratum: Id of the erratum that applies, or "".
    """

    def __init__(
        self,
        steps: Callable[P, tuple[Step, ...]],
        claim: str,
        statement: str,
        uses: tuple[str, ...],
        erratum: str,
    ) -> None:
        update_wrapper(self, steps)
        self.steps, self.claim, self.statement = steps, claim, statement
        self.uses, self.erratum = uses, erratum

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> Proof:
        """Compute the proof.

        Args:
            arguments: What is stated.
            named: The same, by name.

        Returns:
            The proof; where an argument is wrong, some step is left unproved.
        """
        steps = self.steps(*arguments, **named)
        return Proof(self.claim, self.statement, steps, self.uses, self.erratum)


def proves(
    claim: str, statement: str, uses: tuple[str, ...] = (), erratum: str = ""
) -> Callable[[Callable[P, tuple[Step, ...]]], Provable[P]]:
    """Declare the theorem that a function of steps proves.

    Args:
        claim: Id of the statement.
        statement: What is proved, in words.
        uses: Theorems taken as known that turn the steps into the statement.
        erratum: Id of the erratum that applies, or "".

    Returns:
        A decorator.
    """
    return lambda steps: Provable(steps, claim, statement, uses, erratum)


def equal(words: str, left: Any, right: Any, simplify: Callable[[Any], Any] = sp.simplify) -> Step:
    """left = right, entry by entry for matrices: reduced to 0, or to the simplified difference.

    Args:
        words: Description of the step.
        left: Left side, an expression or a matrix.
        right: Right side, of the same shape.
        simplify: Simplifier that is applied to the difference.

    Returns:
        The step.
    """
    difference = left - right
    if isinstance(difference, sp.MatrixBase):
        difference = difference.applyfunc(simplify)
        return Step(
            words, sp.S.Zero if difference.is_zero_matrix else sp.ImmutableMatrix(difference)
        )
    return Step(words, simplify(difference))


def positive(words: str, expression: Any) -> Step:
    """expression > 0 for all values that the assumptions on its symbols allow, seen on its
    factors.

    Args:
        words: Description of the step.
        expression: Expression that is claimed to be > 0.

    Returns:
        The step.
    """
    factored = sp.factor(sp.together(expression))
    return Step(words, sp.true if factored.is_positive else sp.Gt(factored, 0, evaluate=False))


def nonnegative(words: str, expression: Any) -> Step:
    """expression >= 0 for all values that the assumptions on its symbols allow, seen on its
    factors.

    Args:
        words: Description of the step.
        expression: Expression that is claimed to be >= 0.

    Returns:
        The step.
    """
    factored = sp.factor(sp.together(expression))
    return Step(words, sp.true if factored.is_nonnegative else sp.Ge(factored, 0, evaluate=False))


def holds(words: str, statement: Any) -> Step:
    """A statement that sympy decides itself, such as the equality of two sets; True or False.

    Args:
        words: Description of the step.
        statement: The statement, a truth value or a sympy relation.

    Returns:
        The step.
    """
    return Step(words, sp.sympify(statement))
