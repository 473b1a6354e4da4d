"""The ledger of errata: sentences of the paper that do not hold, each with its kind.

A claim names its erratum by id. What is printed and false stands as a claim with a reason why
(`Claim.refuted_because`), refuted by a counterexample.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

__all__ = ["ERRATA", "Erratum", "Kind"]


class Kind(StrEnum):
    """The sort of error."""

    MISPRINT = "misprint"
    FALSE = "false"
    GAP = "gap in a proof"
    UNNEEDED = "condition that is not needed"


@dataclass(frozen=True)
class Erratum:
    """One place of the paper.

    Attributes:
        where: Equations, lemmas, sections.
        kind: What sort of error it is.
        printed: What stands there. `$…$` is LaTeX.
        holds: What is true instead.
        page: Page of the documentation that has more, in docs/theory.
    """

    where: str
    kind: Kind
    printed: str
    holds: str
    page: str


ERRATA: Mapping[str, Erratum] = MappingProxyType(
    {
        "E1": Erratum(
            "(50)–(51), Lemma A.2 iv",
            Kind.GAP,
            r"$\sqrt{\Sigma^{1/2}S\,\Sigma^{1/2}}=\Sigma^{1/4}\sqrt S\,\Sigma^{1/4}$, hence the "
            r"rate $\lambda_{\max}(\mathbb E\sqrt S)/\sqrt{n-1}$",
            r"the equation needs $\Sigma$ and $S$ to commute, and the rate is too small unless "
            r"$\Sigma$ is a multiple of $I$; with the one-dimensional $\alpha(n)$ Proposition 1 is "
            "true in every dimension",
            "gaussian-collapse.md",
        ),
        "E2": Erratum(
            "(59)",
            Kind.MISPRINT,
            r"the gradient in $\Sigma^{-1}$ is $\frac12(x-\mu)(x-\mu)^\top-\Sigma$",
            r"$\frac12(x-\mu)(x-\mu)^\top-\frac12\Sigma$; the Hessian (60) is right on symmetric "
            r"perturbations of $\Sigma^{-1}$, and has the wrong sign on antisymmetric ones",
            "proofs.md",
        ),
        "E3": Erratum(
            "Lemma E.1",
            Kind.MISPRINT,
            r"$B=\nabla^2_{\theta\theta'}H_2$",
            r"$B=\nabla^2_{\theta'\theta'}H_2=-\nabla^2_{\theta\theta'}H_2$; with the printed sign "
            "(78) has the wrong sign",
            "local-stability.md",
        ),
        "E4": Erratum(
            "Section 6",
            Kind.FALSE,
            r"$\lambda(1+L\varepsilon/\alpha)<1$ is sufficient for bound (11) to be below 1",
            r"Theorem 1 needs $<\frac12$ for that",
            "local-stability.md",
        ),
        "E5": Erratum(
            "(111)",
            Kind.GAP,
            r"$(1-\delta)^t$ by conditional independence",
            "with one fixed real data set the steps are not independent; a union bound gives the "
            "conclusion",
            "theorem2.md",
        ),
        "E6": Erratum(
            "Assumption 3",
            Kind.FALSE,
            r"with probability $1-\delta$, for all $n$, with $\varepsilon_{\mathrm{OPT}}=0$",
            "fails for a Gaussian mean by the law of the iterated logarithm; read: for each $n$, "
            r"with probability $1-\delta$, or keep $\varepsilon_{\mathrm{OPT}}>0$",
            "theorem2.md",
        ),
        "E7": Erratum(
            "Theorem 2",
            Kind.GAP,
            r"the recursion is used without asking whether iterates stay in $U$; $\delta$ is both "
            "a radius and a probability",
            r"needs $c/(1-\rho)\le$ the radius of $U$, with "
            r"$c=\varepsilon_{\mathrm{OPT}}+\frac{a}{\sqrt n}\sqrt{\log(bt/\delta)}$; the sum "
            r"may stop at $t-1$",
            "theorem2.md",
        ),
        "E8": Erratum(
            "Lemmas A.1, A.2, (35), (50)–(51), (56), (76)",
            Kind.MISPRINT,
            r"$\forall t\le1$; the square root called strictly convex; (35) equates what "
            r"differs by "
            r"$\alpha$; $1/(n-1)$ for $1/\sqrt{n-1}$; $H_1$ at $\theta$ instead of $G(\theta)$",
            r"$\forall t\ge1$; strictly concave; the statements as meant",
            "gaussian-collapse.md",
        ),
        "E9": Erratum(
            "Proposition 3",
            Kind.UNNEEDED,
            r"$\varepsilon L<\alpha$",
            r"not needed at $\theta^\star$ for each fixed $\lambda$: $A+\lambda B\prec0$, since "
            r"$A\prec0$ and $B=-F\preceq0$; one neighbourhood for all $\lambda$ needs "
            r"$\lambda_{\min}(F)>0$",
            "local-stability.md",
        ),
        "E10": Erratum(
            "Sections 3.1 and 3.3",
            Kind.GAP,
            r"a finite $\lambda$ is necessary for stability, since only generated data, "
            r"$\lambda=\infty$, collapse",
            r"with $m=\lfloor\lambda n\rfloor$ synthetic points their noise vanishes as "
            r"$\lambda\to\infty$, and the error stays below $\frac32$ of the Cramér–Rao bound "
            r"(S3); what collapses has $m=n$ points and no real ones, which is no limit of it",
            "stationary-error.md",
        ),
        "E11": Erratum(
            "above (9)",
            Kind.MISPRINT,
            r"training samples from $\frac1{1+\lambda}p_{\mathrm{data}}+\frac\lambda{1+\lambda}"
            r"p_{\theta^\star}$",
            r"$p_\theta$ for $p_{\theta^\star}$, the model that is retrained, as in (9)",
            "local-stability.md",
        ),
        "E12": Erratum(
            "Appendix B, above (58)",
            Kind.MISPRINT,
            r"$\nabla_{\Sigma^{-1}}\log\det\Sigma=\Sigma$",
            r"$-\Sigma$; (58) is right",
            "proofs.md",
        ),
        "E13": Erratum(
            "(65)",
            Kind.GAP,
            r"$\varepsilon$ is used for $W_1(p_\theta,p_{\mathrm{data}})$ at every $\theta$ in $U$",
            r"$\varepsilon$ is the distance at $\theta^\star$; near it the distance may be "
            "larger, by continuity as little as one likes",
            "local-stability.md",
        ),
        "E14": Erratum(
            "(67)",
            Kind.UNNEEDED,
            r"$\varepsilon L<\alpha$ for $-\alpha(1+\lambda)+\lambda\varepsilon L<0$",
            r"$\varepsilon L<\alpha(1+1/\lambda)$ is enough at $\theta^\star$ for this $\lambda$",
            "local-stability.md",
        ),
    }
)
"""Id -> erratum, in the order of the paper's sections."""
