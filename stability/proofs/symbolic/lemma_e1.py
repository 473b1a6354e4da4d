"""Lemma E.1, symbolically: the Hessians of H₂ at θ* (77), the Jacobian of G∞ (78), and the sign
that E3 corrects.
"""

import sympy as sp

from stability.proofs.symbolic.proof import Step, equal, proves

__all__ = ["exponential_hessians", "gaussian_hessians", "hessians", "jacobian"]


@proves(
    claim="Lemma E.1 ii), (77)",
    statement="At θ' = θ the integrands of ∇²_{θ'θ'}H₂ and ∇²_{θθ'}H₂ add up to ∂²p_θ, entry "
    "by entry; its "
    "integral is ∂²∫p_θ = ∂²1 = 0. (The same as differentiating ∫ p_θ ∇ log p_θ = 0.)",
    uses=("differentiation under the integral sign: ∂²p_θ has an integrable majorant near θ",),
    erratum="E3",
)
def hessians(sign: int = -1) -> tuple[Step, ...]:
    """(77) for any smooth two-parameter family, under the integral.

    ∇²_{θ'θ'}H₂ = sign·∇²_{θθ'}H₂ at θ' = θ.

    Args:
        sign: Sign of the mixed derivative; −1 is right (E3).

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    x, a, b, a2, b2 = sp.symbols("x a b a' b'", real=True)
    density = sp.Function("p")
    p = density(x, a, b)
    integrand = p * sp.log(density(x, a2, b2))  # of H₂(θ, θ') = ∫ p_θ log p_θ'
    steps = []
    for here, there in ((a, a2), (a, b2), (b, a2), (b, b2)):  # ∂θ_i and ∂θ'_j
        twice = integrand.diff({a: a2, b: b2}[here], there)
        mixed = integrand.diff(here, there)
        at_equal = (twice - sign * mixed).subs({a2: a, b2: b}).doit()
        expected = p.diff(here, {a2: a, b2: b}[there])
        steps.append(
            equal(
                f"∂²H₂/∂{here}'∂{there} and the mixed one: integrands sum to ∂²p",
                at_equal,
                expected,
            )
        )
    return tuple(steps)


@proves(
    claim="Lemma E.1 ii), (77), Gaussian",
    statement="For N(μ, v): ∇²_{θ'θ'}H₂ = −∇²_{θθ'}H₂ = −diag(1/v, 1/(2v²)) at θ' = θ.",
    erratum="E3",
)
def gaussian_hessians(sign: int = -1) -> tuple[Step, ...]:
    """(77) for N(μ, v), θ = (μ, v), with H₂ integrated in closed form; B = −Fisher = −diag(1/v,
    1/(2v²)).

    Args:
        sign: Sign of the mixed derivative; −1 is right (E3).

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    m, m2, z = sp.symbols("m m' z", real=True)
    v, v2 = sp.symbols("v v'", positive=True)
    normal = sp.exp(-(z**2) / 2) / sp.sqrt(2 * sp.pi)  # x = m + √v z
    log_p = -sp.log(2 * sp.pi * v2) / 2 - (m + sp.sqrt(v) * z - m2) ** 2 / (2 * v2)
    cross_entropy = sp.integrate(sp.expand(log_p * normal), (z, -sp.oo, sp.oo))
    return _concrete(cross_entropy, (m, v), (m2, v2), sp.diag(1 / v, 1 / (2 * v**2)), sign)


@proves(
    claim="Lemma E.1 ii), (77), exponential",
    statement="For the density r e^(−rx): ∇²_{θ'θ'}H₂ = −∇²_{θθ'}H₂ = −1/r² at θ' = θ.",
    erratum="E3",
)
def exponential_hessians(sign: int = -1) -> tuple[Step, ...]:
    """(77) for the exponential distribution of rate r, with H₂ integrated in closed form; B =
    −1/r².

    Args:
        sign: Sign of the mixed derivative; −1 is right (E3).

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    x, r, r2 = sp.symbols("x r r'", positive=True)
    log_p = sp.log(r2) - r2 * x
    cross_entropy = sp.integrate(sp.expand(log_p) * r * sp.exp(-r * x), (x, 0, sp.oo))
    return _concrete(cross_entropy, (r,), (r2,), sp.Matrix([1 / r**2]), sign)


@proves(
    claim="Lemma E.1, (76)-(78)",
    statement="With B = ∇²_{θ'θ'}H₂ = −∇²_{θθ'}H₂ the Jacobian −λ(A + λB)⁻¹∇²_{θθ'}H₂ is (I + "
    "λA⁻¹B)⁻¹λA⁻¹B. "
    "With B = ∇²_{θθ'}H₂ as printed it is not: for the mean of a Gaussian that would be −λ/(1 "
    "− λ), where "
    "refitting gives λ/(1 + λ).",
    erratum="E3",
)
def jacobian(sign: int = -1) -> tuple[Step, ...]:
    """(76) at θ* gives (78) when B = sign·∇²_{θθ'}H₂, sign −1 (E3).

    As printed, sign = +1: false.

    Args:
        sign: Sign of the mixed derivative; −1 is right (E3).

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    A, K = sp.symbols("A K", commutative=False)
    lam = sp.Symbol("lambda", positive=True)
    B = (K**-1 - A) / lam  # K = (A + λB)⁻¹
    jacobian_76 = -lam * K * (sign * B)  # ∇²_{θθ'}H₂ = sign·B, as sign² = 1
    theta, t, slope = sp.symbols("theta t slope", real=True)
    G, gain, gain2 = (sp.Function(name) for name in ("G", "H1", "H2"))
    condition = (gain(t) + lam * gain2(theta, t)).diff(t)  # 0 at t = G(θ)
    along = (
        sp.diff(condition.subs(t, G(theta)), theta)
        .doit()
        .subs({G(theta).diff(theta): slope})
        .subs({G(theta): t})
        .doit()
    )
    implicit = -lam * gain2(theta, t).diff(theta, t) / condition.diff(t)
    h1, h2 = -(t**2) / 2, -((t - theta) ** 2) / 2  # N(θ, 1), data of mean 0
    refit = sp.solve((h1 + lam * h2).diff(t), t)[0]
    ratio = sign * h2.diff(theta, t) / h1.diff(t, 2)  # A⁻¹B
    return (
        equal(
            "(76) in one parameter, from the first-order condition",
            sp.solve(along, slope)[0],
            implicit,
        ),
        # (I + λA⁻¹B) J = λA⁻¹B, with I + λA⁻¹B = A⁻¹K⁻¹ invertible
        equal("(I + λA⁻¹B)·J = λA⁻¹B", (A**-1 * K**-1) * jacobian_76, lam * A**-1 * B, sp.expand),
        equal("I + λA⁻¹B = A⁻¹(A + λB)", 1 + lam * A**-1 * B, A**-1 * K**-1, sp.expand),
        equal(
            "mean of a Gaussian: the derivative of the refitted mean is (78)",
            sp.diff(refit, theta),
            lam * ratio / (1 + lam * ratio),
        ),
    )


def _concrete(
    cross_entropy: sp.Expr, theta: tuple, other: tuple, fisher: sp.Matrix, sign: int
) -> tuple[Step, ...]:
    """(77) and B = −Fisher from H₂(θ, θ') in closed form."""
    equal_parameters = dict(zip(other, theta, strict=True))
    twice = sp.hessian(cross_entropy, list(other)).subs(equal_parameters)
    mixed = sp.Matrix([[cross_entropy.diff(one, two) for two in other] for one in theta]).subs(
        equal_parameters
    )
    return (
        equal("∇²_{θ'θ'}H₂ = −∇²_{θθ'}H₂", twice, sign * mixed),
        equal("∇²_{θ'θ'}H₂ = −Fisher", twice, -fisher),
    )
