"""Student-t location–scale, symbolically: the maximiser of E log p is unique, whatever the data; Hessian, F and CDF.

θ = (μ, s), σ = e^s, z = (x − μ)/σ = √ν tan φ. What `stability.certify` evaluates rigorously is proved here.
"""

import sympy as sp

from stability.symbolic.proof import Proof, equal, positive

__all__ = ["closed_forms", "unique_maximiser"]


def unique_maximiser(weight: sp.Expr | None = None) -> Proof:
    """−E log p has one critical point at most for ν > 1: it is strictly convex along geodesics of (μ, τ = σ√ν).

    weight: of the convex function −log τ in −log p, (ν − 1)/2 by default; the identity holds for no other.
    """
    x, mu, c, t = sp.symbols("x mu c t", real=True)
    tau, nu, r = sp.symbols("tau nu r", positive=True)
    a, b = sp.symbols("a b", positive=True)
    weight = (nu - 1) / 2 if weight is None else weight
    minus_log_p = sp.log(tau / sp.sqrt(nu)) + (nu + 1) / 2 * (sp.log((x - mu) ** 2 + tau**2) - 2 * sp.log(tau))
    split = (nu + 1) / 2 * (sp.log((x - mu) ** 2 + tau**2) - sp.log(tau)) - weight * sp.log(tau) - sp.log(nu) / 2
    arc = {mu: c + r * sp.tanh(t), tau: r / sp.cosh(t)}
    ratio = ((x - mu) ** 2 + tau**2) / tau
    two = ((x - c - r) ** 2 * sp.exp(t) + (x - c + r) ** 2 * sp.exp(-t)) / (2 * r)
    total = a * sp.exp(t) + b * sp.exp(-t)
    curvature = sp.diff(sp.log(total), t, 2)
    return Proof(
        claim="Student-t, θ* is unique",
        statement="−log p = (ν+1)/2·log(((x−μ)² + τ²)/τ) + (ν−1)/2·log(1/τ) + constant. Along every geodesic of the half-"
        "plane (arcs μ = c + r tanh t, τ = r/cosh t; lines τ = e^t) both terms are log(ae^t + be^(−t)), a, b >= 0, which is "
        "convex, and strictly where ab > 0: 1/τ on arcs, the other on lines unless x = μ. So −E log p has one critical "
        "point at most, unless the data sit at one point, and that is its global minimum.",
        steps=(
            equal("the two terms of −log p", sp.expand_log(minus_log_p - split).expand(), 0),
            equal("the first along an arc", ratio.subs(arc).rewrite(sp.exp), two),
            equal("the first along a line", ratio.subs(tau, sp.exp(t)), (x - mu) ** 2 * sp.exp(-t) + sp.exp(t)),
            equal("1/τ along an arc", (1 / tau).subs(arc).rewrite(sp.exp), (sp.exp(t) + sp.exp(-t)) / (2 * r)),
            equal("(log(ae^t + be^(−t)))'' = 4ab/(…)²", curvature, 4 * a * b / total**2),
            positive("4ab/(…)² > 0", 4 * a * b / total**2),
            equal("linear if b = 0", curvature.subs(b, 0), 0),
            equal("linear if a = 0", curvature.subs(a, 0), 0),
        ),
        uses=("any two points of the half-plane are joined by an arc or a line",),
    )


def closed_forms(scale: sp.Expr = sp.S.One) -> Proof:
    """ν = 5: x-derivative of ∇² log p, Fisher information, CDF and its integral. `scale` multiplies the derivative."""
    z = sp.Symbol("z", real=True)
    sigma = sp.Symbol("sigma", positive=True)
    x, mu, log_sigma = sp.symbols("x mu s", real=True)
    theta = (mu, log_sigma)
    log_p = -log_sigma - 3 * sp.log(1 + (x - mu) ** 2 * sp.exp(-2 * log_sigma) / 5)
    at_z = {x: mu + sigma * z, log_sigma: sp.log(sigma)}
    hessian = sp.hessian(log_p, theta)
    slope = hessian.diff(x).subs(at_z)
    c, s = sp.sqrt(5 / (5 + z**2)), z / sp.sqrt(5 + z**2)  # cos φ, sin φ
    sin3, cos3, cos2 = 3 * s - 4 * s**3, 4 * c**3 - 3 * c, 2 * c**2 - 1
    stated = (
        -sp.Rational(12, 5)
        * c**3
        / sigma
        * sp.Matrix([[-sin3 / (sp.sqrt(5) * sigma**2), cos3 / sigma], [cos3 / sigma, 2 * sp.sqrt(5) * s * cos2]])
    )
    normaliser = 8 / (3 * sp.pi * sp.sqrt(5))
    density = normaliser * (1 + z**2 / 5) ** -3
    cdf = sp.Rational(1, 2) + (sp.atan(z / sp.sqrt(5)) + s * c * (1 + sp.Rational(2, 3) * c**2)) / sp.pi
    integral = z * cdf + (5 + z**2) / 4 * density
    information = (-hessian.subs(at_z) * density).applyfunc(lambda entry: sp.ratint(sp.cancel(entry), z))
    fisher = information.applyfunc(lambda entry: sp.limit(entry, z, sp.oo) - sp.limit(entry, z, -sp.oo))
    return Proof(
        claim="Student-t, ν = 5, closed forms",
        statement="With z = √5 tan φ the x-derivative of ∇² log p is −(12/5)cos³φ/σ·((−sin 3φ/(√5σ²), cos 3φ/σ), "
        "(cos 3φ/σ, 2√5 sin φ cos 2φ)), a continuous function of φ in [−π/2, π/2]; F = diag(3/(4σ²), 5/4); the CDF is "
        "½ + (φ + sin φ cos φ(1 + ⅔cos²φ))/π, and its integral from −∞ is z·CDF + (5 + z²)/4·density.",
        steps=(
            equal("x-derivative of the Hessian", slope, scale * stated),
            equal("Fisher information", fisher, sp.diag(3 / (4 * sigma**2), sp.Rational(5, 4))),
            equal("CDF' = density", cdf.diff(z), density),
            equal("CDF at −∞", sp.limit(cdf, z, -sp.oo), 0),
            equal("CDF at ∞", sp.limit(cdf, z, sp.oo), 1),
            equal("(integral of the CDF)' = CDF", integral.diff(z), cdf),
            equal("it vanishes at −∞", sp.limit(integral, z, -sp.oo), 0),
        ),
    )
