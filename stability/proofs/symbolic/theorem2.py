"""Theorem 2, symbolically: the recursion of its proof unrolled (E7), and (111)-(112) by a union
bound (E5).
"""

import sympy as sp

from stability.proofs.symbolic.proof import Step, equal, holds, nonnegative, positive, proves

__all__ = ["independence_fails", "recursion", "union_bound"]


@proves(
    claim="Theorem 2, (111)-(112)",
    statement="Failures add up at most, so t steps that fail with probability <= δ each all "
    "succeed with "
    "probability >= 1 − tδ, whatever their dependence; Bernoulli's (1 − δ)^t >= 1 − tδ shows "
    "that independence "
    "would give no less. With δ = δ'/t a step's √log(b/δ) is √log(bt/δ'), and all t steps "
    "succeed with "
    "probability >= 1 − δ'.",
    uses=("P(X ∪ Y) <= P(X) + P(Y)",),
    erratum="E5",
)
def union_bound(share: sp.Expr = sp.S.One) -> tuple[Step, ...]:
    """E5: t events of probability <= δ each leave 1 − share·tδ at least; (1 − δ)^t, of
    independent ones, is no less.

    Args:
        share: Factor of tδ; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    delta = sp.Symbol("delta", nonnegative=True)  # in [0, 1]
    s = sp.Symbol("s", nonnegative=True)
    t = sp.Symbol("t", integer=True, positive=True)
    b, total = sp.symbols("b delta'", positive=True)
    failure = share * t * delta
    return (
        equal("one step fails with probability δ at most", failure.subs(t, 1), delta),
        nonnegative("one more step: failures add up", failure.subs(t, t + 1) - failure - delta),
        equal("Bernoulli, t = 1", 1 - delta, 1 - failure.subs(t, 1)),
        _bernoulli(failure, delta, t),
        equal("budget δ = δ'/t: total failure", failure.subs(delta, total / t), total),
        equal("and the logarithm", sp.log(b / delta).subs(delta, total / t), sp.log(b * t / total)),
        nonnegative("1 − δ >= 0 for δ = s/(1 + s) in [0, 1)", (1 - delta).subs(delta, s / (1 + s))),
    )


def _bernoulli(failure: sp.Expr, delta: sp.Symbol, t: sp.Symbol) -> Step:
    """If (1 − δ)^t >= 1 − failure(t), so at t + 1: (1 − failure(t))(1 − δ) >= 1 − failure(t +
    1).
    """
    slack = (1 - failure) * (1 - delta) - (1 - failure.subs(t, t + 1))
    return nonnegative("Bernoulli, one more step: slack tδ²", sp.expand(slack))


@proves(
    claim="Theorem 2, (111) fails",
    statement="Two steps that fail on complementary events of probability ½ never both "
    "succeed; (1 − δ)² is ¼.",
    erratum="E5",
)
def independence_fails(share: sp.Expr = sp.S.Half) -> tuple[Step, ...]:
    """E5: (111)'s (1 − δ)^t is not a bound for dependent steps.

    A witness: two disjoint failures of probability ½.

    Args:
        share: Probability of each failure, 0 < share <= ½.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    success = 1 - 2 * share  # disjoint: the union has probability 2δ
    return (
        holds("the two events fit into one space", 2 * share <= 1),
        positive("(1 − δ)² exceeds the probability that both succeed", (1 - share) ** 2 - success),
    )


@proves(
    claim="Theorem 2, (110)-(112)",
    statement="The recursion e_{t+1} = c + ρe_t has the solution cΣ_{l=0}^{t−1} ρ^l + ρ^t "
    "e_0, whose sum stops at "
    "t − 1; (14), which goes to t, leaves cρ^t > 0 to spare. If e_0 <= r and c/(1 − ρ) <= r, "
    "then e_t <= r always: "
    "the recursion never leaves the neighbourhood in which it holds.",
    erratum="E7",
)
def recursion(terms: int = 0) -> tuple[Step, ...]:
    """e_{t+1} <= c + ρe_t gives e_t <= c·Σ_{l=0}^{t−1+terms} ρ^l + ρ^t e_0; (14) has terms = 1,
    one too many (E7).

    Args:
        terms: Terms added to the sum; 0 is right, 1 is that of (14) (E7).

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    t = sp.Symbol("t", integer=True, positive=True)
    c, rho, start, radius, s = sp.symbols("c rho e0 r s", positive=True)
    inside, shrink = sp.symbols("inside shrink", nonnegative=True)

    def powers(count: sp.Expr) -> sp.Expr:
        return (1 - rho**count) / (1 - rho)  # Σ_{l < count} ρ^l

    def solution(time: sp.Expr) -> sp.Expr:
        return c * powers(time + terms) + rho**time * start

    printed = c * powers(t + 1) + rho**t * start
    error, noise = radius - inside, (1 - rho) * radius - shrink  # e_t <= r and c <= (1 − ρ)r
    return (
        equal("Σ_{l<1} ρ^l = 1", powers(sp.S.One), 1),
        equal("Σ_{l<k+1} ρ^l = Σ_{l<k} ρ^l + ρ^k", powers(t + 1), powers(t) + rho**t),
        equal("start", solution(sp.S.Zero), start),
        equal("one more step", solution(t + 1), c + rho * solution(t)),
        equal("(14) minus this", printed - solution(t), c * rho**t),
        positive("is > 0", c * rho**t),
        nonnegative(
            "r − e_{t+1} >= 0, ρ = s/(1 + s)",
            (radius - (noise + rho * error)).subs(rho, s / (1 + s)),
        ),
    )
