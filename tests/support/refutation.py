"""Tells whether the rest of a proof is false, and not merely out of sympy's reach: it fails at a
point.
"""

import random  # noqa: TID251 -- a stream of its own

import sympy as sp
from sympy.core.relational import Relational

from stability.proofs.symbolic.proof import Step


def refuted(step: Step, points: int = 20) -> bool:
    """Tell whether the equation or inequality left of `step` is false at one of some points.

    Symbols are given random values that agree with their assumptions, functions p(x, a, b) a normal
    density. Symbols that do not commute are left as they are: an expanded expression in them is 0
    only if it has no terms.
    """
    rng = random.Random(0)
    normal = sp.Lambda(
        sp.symbols("x a b"), sp.exp(-((sp.Symbol("x") - sp.Symbol("a")) ** 2) / sp.Symbol("b"))
    )
    left = step.reduced
    entries = left.flat() if isinstance(left, sp.MatrixBase) else [left]
    for entry in entries:
        for function in entry.atoms(sp.Function):
            if function.func.__name__ == "p":
                entry = entry.subs(function.func, normal).doit()
        for _ in range(points):
            symbols = [symbol for symbol in entry.free_symbols if symbol.is_commutative]
            value = entry.subs(
                {symbol: _draw(symbol, rng) for symbol in symbols}, simultaneous=True
            )
            if isinstance(entry, Relational):
                if value.doit() == sp.false:
                    return True
            elif sp.expand(value) != 0 and not sp.expand(value).has(sp.nan):
                return True
    return False


def _draw(symbol: sp.Basic, rng: random.Random) -> sp.Expr:
    """A value that agrees with the assumptions on the symbol, in (−3, 3) or, for a count, 1 … 4."""
    if symbol.is_integer:
        return sp.Rational(rng.randint(1, 4))
    value = sp.Rational(rng.randint(1, 99), rng.randint(34, 99))
    return value if symbol.is_nonnegative or rng.random() < 0.5 else -value
