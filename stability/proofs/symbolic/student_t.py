"""Student-t location–scale, symbolically: the maximiser of E log p is unique, whatever the data;
Hessian, F and CDF.

θ = (μ, s), σ = e^s, z = (x − μ)/σ = √ν tan φ. What `stability.proofs.enclosure` evaluates
rigorously is proved here.
"""

import sympy as sp

from stability.proofs.symbolic.proof import Step, equal, positive, proves

__all__ = ["complex_form", "distribution", "fisher", "hessian_slope", "unique_maximiser"]


@proves(
    claim="Student-t, θ* is unique",
    statement="−log p = (ν+1)/2·log(((x−μ)² + τ²)/τ) + (ν−1)/2·log(1/τ) + constant. Along "
    "every geodesic of the "
    "half-plane (arcs μ = c + r tanh t, τ = r/cosh t; lines τ = e^t) both are log(ae^t + "
    "be^(−t)), a, b >= 0: "
    "convex, and strictly where ab > 0, as for 1/τ on arcs, and on lines for the other unless "
    "x = μ. So −E log p "
    "has one critical point at most, unless the data sit at one point, and that is its global "
    "minimum.",
    uses=("any two points of the half-plane are joined by an arc or a line",),
)
def unique_maximiser(shift: int = -1) -> tuple[Step, ...]:
    """−E log p has one critical point at most for ν > 1: it is strictly convex along geodesics of
    (μ, τ = σ√ν).

    Args:
        shift: (ν + shift)/2 is the weight of the convex function −log τ in −log p; −1, and the
            identity holds for no other.
    """
    x, mu, c, t = sp.symbols("x mu c t", real=True)
    tau, nu, r = sp.symbols("tau nu r", positive=True)
    a, b = sp.symbols("a b", positive=True)
    weight = (nu + shift) / 2
    minus_log_p = sp.log(tau / sp.sqrt(nu)) + (nu + 1) / 2 * (
        sp.log((x - mu) ** 2 + tau**2) - 2 * sp.log(tau)
    )
    split = (
        (nu + 1) / 2 * (sp.log((x - mu) ** 2 + tau**2) - sp.log(tau))
        - weight * sp.log(tau)
        - sp.log(nu) / 2
    )
    arc = {mu: c + r * sp.tanh(t), tau: r / sp.cosh(t)}
    ratio = ((x - mu) ** 2 + tau**2) / tau
    two = ((x - c - r) ** 2 * sp.exp(t) + (x - c + r) ** 2 * sp.exp(-t)) / (2 * r)
    total = a * sp.exp(t) + b * sp.exp(-t)
    curvature = sp.diff(sp.log(total), t, 2)

    return (
        equal("the two terms of −log p", sp.expand_log(minus_log_p - split).expand(), 0),
        equal("the first along an arc", ratio.subs(arc).rewrite(sp.exp), two),
        equal(
            "the first along a line",
            ratio.subs(tau, sp.exp(t)),
            (x - mu) ** 2 * sp.exp(-t) + sp.exp(t),
        ),
        equal(
            "1/τ along an arc",
            (1 / tau).subs(arc).rewrite(sp.exp),
            (sp.exp(t) + sp.exp(-t)) / (2 * r),
        ),
        equal("(log(ae^t + be^(−t)))'' = 4ab/(…)²", curvature, 4 * a * b / total**2),
        positive("4ab/(…)² > 0", 4 * a * b / total**2),
        equal("linear if b = 0", curvature.subs(b, 0), 0),
        equal("linear if a = 0", curvature.subs(a, 0), 0),
    )


@proves(
    claim="Student-t, through ζ = μ + iτ",
    statement="With g = 1/(ζ − x): ∇ log p = (−(ν+1) Re g, ν + (ν+1)τ Im g), ∇² log p = "
    "(ν+1)·((−Re g', τ Im g'), "
    "(τ Im g', τ Im g + τ² Re g')). Under x ~ N(m, s²), E g = −i√(π/2)/s·w((ζ − m)/(s√2)), "
    "with "
    "w(z) = e^(−z²) erfc(−iz) and w' = 2i/√π − 2zw: score and A in closed form for mixtures "
    "of normal laws.",
    uses=(
        "w(z) = (i/π)∫ e^(−u²)/(z − u) du for Im z > 0 (DLMF 7.7.2)",
        "differentiation under the integral sign",
    ),
)
def complex_form(sign: int = 1) -> tuple[Step, ...]:
    """log p = ν log τ − (ν + 1) log|x − ζ|, ζ = μ + iτ: its derivatives from g = 1/(ζ − x), and E g
    under a normal law.

    Args:
        sign: Of g' = −sign·g².
    """
    x, mu, u = sp.symbols("x mu u", real=True)
    nu, tau, s = sp.symbols("nu tau s", positive=True)
    z = sp.Symbol("z")  # (ζ − m)/(s√2)
    gap = mu - x + sp.I * tau  # ζ − x
    g, slope = gap**-1, -sign * gap**-2
    log_p = nu * sp.log(tau) - (nu + 1) / 2 * sp.log((x - mu) ** 2 + tau**2)

    def by_log_scale(f: sp.Expr) -> sp.Expr:
        return tau * sp.diff(f, tau)  # ∂/∂s, as τ = √ν e^s

    faddeeva = sp.exp(-(z**2)) * sp.erfc(-sp.I * z)
    return (
        equal("∂ log p/∂μ", log_p.diff(mu), -(nu + 1) * sp.re(g)),
        equal("∂ log p/∂s", by_log_scale(log_p), nu + (nu + 1) * tau * sp.im(g)),
        equal("∂²/∂μ²", log_p.diff(mu, 2), -(nu + 1) * sp.re(slope)),
        equal("∂²/∂μ∂s", by_log_scale(log_p.diff(mu)), (nu + 1) * tau * sp.im(slope)),
        equal(
            "∂²/∂s²",
            by_log_scale(by_log_scale(log_p)),
            (nu + 1) * (tau * sp.im(g) + tau**2 * sp.re(slope)),
        ),
        equal(
            "(x − m)/(s√2) = u turns E g into −i√(π/2)/s·w",
            # N(m, s²) density times g, times dx/du
            sp.exp(-(u**2)) / sp.sqrt(sp.pi) / (s * sp.sqrt(2) * (z - u)),
            -sp.I * sp.sqrt(sp.pi / 2) / s * (sp.I / sp.pi * sp.exp(-(u**2)) / (z - u)),
        ),
        equal("w' = 2i/√π − 2zw", faddeeva.diff(z), 2 * sp.I / sp.sqrt(sp.pi) - 2 * z * faddeeva),
    )


@proves(
    claim="Student-t, slope of the Hessian",
    statement="With z = √ν tan φ the x-derivative of ∇² log p is −2(ν+1)cos³φ/σ·((−sin "
    "3φ/(ν√ν σ²), cos 3φ/(νσ)), "
    "(cos 3φ/(νσ), 2 sin φ cos 2φ/√ν)), whose entries are trigonometric polynomials of degree "
    "3 in 2φ.",
)
def hessian_slope(scale: sp.Expr = sp.S.One) -> tuple[Step, ...]:
    """The x-derivative of ∇² log p for any ν, on the circle; L is the supremum of its norm.

    Args:
        scale: Factor of the stated derivative; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    z, x, mu, log_sigma = sp.symbols("z x mu s", real=True)
    nu, sigma = sp.symbols("nu sigma", positive=True)
    log_p = -log_sigma - (nu + 1) / 2 * sp.log(1 + (x - mu) ** 2 * sp.exp(-2 * log_sigma) / nu)
    slope = (
        sp.hessian(log_p, (mu, log_sigma))
        .diff(x)
        .subs({x: mu + sigma * z, log_sigma: sp.log(sigma)})
    )
    c, s = sp.sqrt(nu / (nu + z**2)), z / sp.sqrt(nu + z**2)  # cos φ, sin φ
    sin3, cos3, cos2 = 3 * s - 4 * s**3, 4 * c**3 - 3 * c, 2 * c**2 - 1
    corner = cos3 / (nu * sigma)
    circle = sp.Matrix(
        [[-sin3 / (nu * sp.sqrt(nu) * sigma**2), corner], [corner, 2 * s * cos2 / sp.sqrt(nu)]]
    )
    return (
        equal("x-derivative of the Hessian", slope, scale * -2 * (nu + 1) * c**3 / sigma * circle),
    )


@proves(
    claim="Student-t, Fisher information",
    statement="With k = cos²φ = 1/(1 + z²/ν), E k = ν/(ν+1) and E k² = ν(ν+2)/((ν+1)(ν+3)), "
    "−∇² log p has the "
    "diagonal (ν+1)/(νσ²)·(2k² − k) and 2(ν+1)(k − k²), and is odd in z off it, so that "
    "F = diag((ν+1)/((ν+3)σ²), 2ν/(ν+3)).",
)
def fisher(shift: int = 3) -> tuple[Step, ...]:
    """F = diag((ν+1)/((ν+shift)σ²), 2ν/(ν+shift)) for any ν, shift 3: B = −F in closed form.

    Args:
        shift: Number added to ν in the denominators; 3 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    z, x, mu, log_sigma = sp.symbols("z x mu s", real=True)
    nu, sigma = sp.symbols("nu sigma", positive=True)
    log_p = -log_sigma - (nu + 1) / 2 * sp.log(1 + (x - mu) ** 2 * sp.exp(-2 * log_sigma) / nu)
    hessian = sp.hessian(log_p, (mu, log_sigma)).subs({x: mu + sigma * z, log_sigma: sp.log(sigma)})
    k = 1 / (1 + z**2 / nu)  # cos²φ

    def mean(power: int) -> sp.Expr:
        """E kʲ under the density, which is ∝ k^((ν+1)/2) in z.

        Args:
            power: Exponent j, >= 0.

        Returns:
            The mean, in ν.
        """
        mass, moment = (
            sp.integrate(k ** ((nu + 1) / 2 + j), (z, -sp.oo, sp.oo)) for j in (0, power)
        )
        return sp.expand_func(moment / mass)

    one, two = mean(1), mean(2)
    return (
        equal("−∂²/∂μ²", -hessian[0, 0], (nu + 1) / (nu * sigma**2) * (2 * k**2 - k)),
        equal("−∂²/∂s²", -hessian[1, 1], 2 * (nu + 1) * (k - k**2)),
        equal("∂²/∂μ∂s is odd", hessian[0, 1] + hessian[0, 1].subs(z, -z), 0),
        equal("E k", one, nu / (nu + 1)),
        equal(
            "F in μ",
            (nu + 1) / (nu * sigma**2) * (2 * two - one),
            (nu + 1) / ((nu + shift) * sigma**2),
        ),
        equal("F in s", 2 * (nu + 1) * (one - two), 2 * nu / (nu + shift)),
    )


@proves(
    claim="Student-t, CDF and its integral",
    statement="With z = √ν tan φ the CDF is ½ + (φ + sin φ cos φ(1 + ⅔cos²φ + ⅔·⅘cos⁴φ + "
    "…))/π, (ν−1)/2 terms; its "
    "integral from −∞ is z·CDF + (ν + z²)/(ν−1)·density.",
)
def distribution(nu: int = 5, scale: sp.Expr = sp.S.One) -> tuple[Step, ...]:
    """CDF (Abramowitz and Stegun 26.7.3) and its integral for odd ν >= 3.

    Args:
        nu: Degrees of freedom, odd and >= 3.
        scale: Factor of φ in the CDF; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.

    Raises:
        ValueError: If ν is even or < 3.
    """
    if nu < 3 or nu % 2 == 0:
        raise ValueError(f"nu must be odd and >= 3, got {nu}")
    z = sp.Symbol("z", real=True)
    half = sp.Rational(nu + 1, 2)
    density = (
        sp.gamma(half)
        / (sp.sqrt(nu * sp.pi) * sp.gamma(sp.Rational(nu, 2)))
        * (1 + z**2 / nu) ** -half
    )
    cos2, sin_cos = nu / (nu + z**2), z * sp.sqrt(nu) / (nu + z**2)  # cos²φ, sin φ cos φ
    series, term = sp.S.Zero, sp.S.One

    for j in range(1, (nu + 1) // 2):
        series, term = series + term, term * sp.Rational(2 * j, 2 * j + 1) * cos2
    cdf = sp.S.Half + (scale * sp.atan(z / sp.sqrt(nu)) + sin_cos * series) / sp.pi
    rest = (nu + z**2) / (nu - 1) * density
    integral = z * cdf + rest

    return (
        equal("CDF' = density", cdf.diff(z), density),
        equal("CDF(z) + CDF(−z) = 1", cdf + cdf.subs(z, -z), 1),
        equal("CDF at ∞", sp.limit(cdf, z, sp.oo), 1),
        equal("(integral of the CDF)' = CDF", integral.diff(z), cdf),
        equal("at −z it is z(CDF(z) − 1) + rest", integral.subs(z, -z), z * (cdf - 1) + rest),
        equal("of which the first vanishes at ∞", sp.limit(z * (cdf - 1), z, sp.oo), 0),
        equal("and the rest", sp.limit(rest, z, sp.oo), 0),
    )
