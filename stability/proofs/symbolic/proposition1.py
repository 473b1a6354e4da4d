"""Proposition 1, symbolically: E σ_t = α^t σ_0, α(n) < 1 and increasing for every n, its series,
and E1 with a witness.

With k = n − 1 and x = k/2: α = Γ(x + ½)/(√x Γ(x)), −log α = ∫_0^∞ e^(−xt) tanh(t/4)/(2t) dt.
"""

from functools import partial

import sympy as sp

from stability.proofs.symbolic.proof import Step, equal, nonnegative, positive, proves

__all__ = [
    "alpha_series",
    "collapse_rate",
    "counterexample",
    "diagonal_of_a_root",
    "monotone_alpha",
    "printed_root",
]

CUBIC = sp.Rational(1, 24)
"""−log α(n) = 1/(4k) − CUBIC/k³ + O(k⁻⁵), k = n − 1."""
SPREAD = sp.Rational(1, 100)
"""√(Σ_22/Σ_11) of the counterexample to the printed rate."""


@proves(
    claim="Lemma A.1 iii)",
    statement="σ_{t+1} = χ_{n−1}/√(n−1)·σ_t with χ independent of σ_t, so E σ_t = α^t σ_0 with "
    "α = √(2/(n−1)) Γ(n/2)/Γ((n−1)/2) < 1, while E σ_t² = σ_0² at every t.",
    uses=(
        "Var(χ_k) > 0, as χ_k is not constant",
        "Cochran: the sample variance is σ²χ²_{n−1}/(n − 1)",
    ),
)
def collapse_rate(shift: int = 0) -> tuple[Step, ...]:
    """Lemma A.1 iii): E σ_t = α^t σ_0, α = √(2/(n−1)) Γ(n/2)/Γ((n−1)/2) < 1, from n − 1 + shift
    degrees of freedom.

    Args:
        shift: Added to the degrees of freedom; 0 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    k, s, sigma, rate = sp.symbols("k s sigma_0 alpha", positive=True)  # k: degrees of freedom
    t = sp.Symbol("t", integer=True, nonnegative=True)
    mean_of = sp.Function("mean")
    n = k + 1 - shift
    chi = s ** (k - 1) * sp.exp(-(s**2) / 2) / (2 ** (k / 2 - 1) * sp.gamma(k / 2))
    mass, mean, square = (sp.integrate(chi * s**power, (s, 0, sp.oo)) for power in (0, 1, 2))
    alpha = sp.sqrt(2 / (n - 1)) * sp.gamma(n / 2) / sp.gamma((n - 1) / 2)
    return (
        equal("the density of χ_k has mass 1", mass, 1),
        equal("E χ_k/√k = α, k = n − 1", mean / sp.sqrt(k), alpha),
        equal(
            "E σ_{t+1} = α E σ_t from σ_0",
            sp.rsolve(mean_of(t + 1) - rate * mean_of(t), mean_of(t), {mean_of(0): sigma}),
            rate**t * sigma,
        ),
        equal("E χ²_k/k = 1: the variance does not move", square / k, 1),
        equal("Var(χ_k)/k = 1 − α²", (square - mean**2) / k, 1 - alpha**2),
    )


@proves(
    claim="Proposition 1, α(n) for every n",
    statement="In x = (n−1)/2, (log α)' = ψ(x + ½) − ψ(x) − 1/(2x) = ∫ e^(−xt) ½ tanh(t/4) dt "
    "> 0; α increases "
    "strictly to its limit 1, so α(n) < α(n + 1) < 1 for all n >= 2. With k = n − 1: "
    "1/(4k) − 1/(24k³) < −log α(n) < 1/(4k).",
    uses=(
        "Gauss: ψ(y) − ψ(x) = ∫_0^∞ (e^(−xt) − e^(−yt))/(1 − e^(−t)) dt",
        "Γ(x + ½)/(√x Γ(x)) → 1 as x → ∞",
    ),
)
def monotone_alpha(cubic: sp.Expr = CUBIC) -> tuple[Step, ...]:
    """α(n) increases to 1 in real n > 1, so α(n) < 1 and α(n + 1) > α(n) for all n; −log α >
    1/(4k) − cubic/k³.

    Args:
        cubic: Coefficient of 1/k³ in the lower bound; 1/24 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    t, x, y, z, k, u = sp.symbols("t x y z k u", positive=True)
    v = sp.Symbol("v", nonnegative=True)
    kernel = sp.tanh(t / 4) / (2 * t)
    w = 1 / (1 + u)  # any e^(−t/2), t > 0
    digamma_kernel = (1 - z) / (1 - z**2) - sp.Rational(1, 2)  # z = e^(−t/2)
    # of kernel = ½ tanh(t/4)/t, by y − y³/3 < tanh y < y
    first, second = sp.Rational(1, 8), -(t**2) / 384
    upper = sp.integrate(sp.exp(-x * t) * first, (t, 0, sp.oo)).subs(x, k / 2)
    lower = upper + sp.integrate(sp.exp(-x * t) * second, (t, 0, sp.oo)).subs(x, k / 2)
    stated = 1 / (4 * k) - cubic / k**3
    as_exponential = (t * kernel).rewrite(sp.exp).subs(t, -2 * sp.log(z))
    return (
        equal(
            "1/(2x) = ∫ ½e^(−xt) dt",
            sp.integrate(sp.exp(-x * t) / 2, (t, 0, sp.oo)),
            1 / (2 * x),
        ),
        equal("(1 − z)/(1 − z²) − ½ = ½ tanh(t/4), z = e^(−t/2)", digamma_kernel, as_exponential),
        positive("> 0 for z = 1/(1 + u) < 1", digamma_kernel.subs(z, w)),
        equal(
            "∫_x^∞ e^(−yt) dy = e^(−xt)/t",
            sp.integrate(sp.exp(-y * t), (y, x, sp.oo)),
            sp.exp(-x * t) / t,
        ),
        equal("(y − tanh y)' = tanh²y >= 0", sp.diff(y - sp.tanh(y), y), sp.tanh(y) ** 2),
        equal(
            "(tanh y − y + y³/3)' = (y − tanh y)(y + tanh y) >= 0",
            sp.diff(sp.tanh(y) - y + y**3 / 3, y),
            (y - sp.tanh(y)) * (y + sp.tanh(y)),
        ),
        equal(
            "the two terms are y and y − y³/3 at y = t/4, over 2t",
            first + second,
            (y - y**3 / 3).subs(y, t / 4) / (2 * t),
        ),
        equal("−log α < 1/(4k)", upper, 1 / (4 * k)),
        equal("−log α > 1/(4k) − 1/(24k³)", lower, stated),
        positive("α(n) < 1 from the lower bound, k = 1 + v", stated.subs(k, 1 + v)),
        positive(
            "α(n) < α(n + 1) from both, k = 1 + v",
            (stated - upper.subs(k, k + 1)).subs(k, 1 + v),
        ),
    )


SERIES = tuple(
    sp.Rational(*c) for c in ((1, 1), (-1, 4), (1, 32), (5, 128), (-21, 2048), (-399, 8192))
)
"""α(n) ~ Σ_j SERIES[j]/(n − 1)^j as n → ∞."""


@proves(
    claim="Proposition 1, series of α(n)",
    statement="α(n) = 1 − 1/(4k) + 1/(32k²) + 5/(128k³) − 21/(2048k⁴) − 399/(8192k⁵) + "
    "O(k⁻⁶), k = n − 1.",
    uses=("Watson's lemma", "the Stirling series of log Γ(x + a)"),
)
def alpha_series(coefficients: tuple[sp.Expr, ...] = SERIES) -> tuple[Step, ...]:
    """α(n) = Σ_j coefficients[j]/(n − 1)^j up to higher orders, from two derivations of log α.

    Args:
        coefficients: Coefficients of 1/(n − 1)^j from j = 0 on.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    order = len(coefficients)
    t, x, h = sp.symbols("t x h", positive=True)
    kernel = sp.series(sp.tanh(t / 4), t, 0, order + 1).removeO() / (2 * t)
    # Watson's lemma, term by term: ∫ t^j e^(−xt) dt = j!/x^(j + 1)
    by_laplace = -sum(
        (kernel.expand().coeff(t, j) * sp.factorial(j) / x ** (j + 1) for j in range(order)),
        sp.S.Zero,
    )
    # log Γ(x + a) ~ (x + a − ½) log x − x + ½ log 2π + Σ_j (−1)^(j + 1) B_{j+1}(a)/(j (j + 1) x^j)
    half = sp.Rational(1, 2)
    rise = [sp.bernoulli(j + 1, half) - sp.bernoulli(j + 1, sp.S.Zero) for j in range(1, order + 1)]
    by_stirling = sum(
        ((-1) ** (j + 1) * rise[j - 1] / (j * (j + 1) * x**j) for j in range(1, order + 1)),
        sp.S.Zero,
    )
    log_alpha = by_laplace.subs(x, 1 / (2 * h))  # h = 1/(n − 1)
    series = sp.series(sp.exp(log_alpha), h, 0, order).removeO()
    stated = sum((c * h**j for j, c in enumerate(coefficients)), sp.S.Zero)
    return (
        equal("log α by Watson's lemma and by Stirling's series", by_laplace, by_stirling),
        equal("its exponential", series, stated, sp.expand),
    )


@proves(
    claim="Proposition 1, d = 2, E1",
    statement="M = (√M)² gives M_11 = (√M)_11² + (√M)_12² >= (√M)_11². For M = Σ^½SΣ^½, Σ "
    "diagonal, flipping the "
    "sign of a coordinate keeps the law of M and turns (√M)_12 into its negative, so E √M is "
    "diagonal, with "
    "entries <= √Σ_ii·E √S_ii = √Σ_ii·√(n−1)·α(n): the rate of d = 1.",
    uses=("Dz has the law of z ~ N(0, I)", "S_11 ~ χ²_{n−1}"),
    erratum="E1",
)
def diagonal_of_a_root(factor: sp.Expr = sp.S.One) -> tuple[Step, ...]:
    """E1, d = 2: (√M)_11 <= √(factor·M_11) for M ≽ 0, and E √M is diagonal if flips of a sign
    keep the law of M.

    Args:
        factor: Factor of M_11 in the bound; proved for 1, wrong below.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    r, s, u = sp.symbols("r s u", real=True)
    R = sp.Matrix([[r, s], [s, u]])  # any symmetric root
    flip = sp.diag(1, -1)
    p, q = sp.symbols("p q", positive=True)
    S = sp.Matrix([[sp.Symbol("S11"), sp.Symbol("S12")], [sp.Symbol("S12"), sp.Symbol("S22")]])
    half = sp.diag(p, q)  # Σ^½
    M = half * S * half
    l0, l2 = sp.symbols("l0 l2", nonnegative=True)
    lower = sp.Matrix([[l0, 0], [sp.Symbol("l1", real=True), l2]])
    psd = lower * lower.T  # any M ≽ 0
    det_root = l0 * l2
    square = (psd + det_root * sp.eye(2)) ** 2 / (psd.trace() + 2 * det_root)

    return (
        nonnegative("M_11 − (√M)_11² = (√M)_12² >= 0", factor * (R * R)[0, 0] - r**2),
        equal("√M = (M + √det M·I)/√(tr M + 2√det M)", square, psd),
        equal("the root of DMD is D√MD", (flip * R * flip) ** 2, flip * (R * R) * flip),
        equal("whose off-diagonal entry is −(√M)_12", (flip * R * flip)[0, 1], -s),
        equal(
            "DMD = Σ^½(DSD)Σ^½: the law of S is enough",
            flip * M * flip,
            half * (flip * S * flip) * half,
        ),
        equal("M_11 = Σ_11·S_11", M[0, 0], p**2 * S[0, 0]),
    )


@proves(
    claim="Lemma A.2 iv), (50)",
    statement="(Σ^¼√SΣ^¼)² = Σ^½SΣ^½ if Σ = p⁴I; for Σ = diag(p⁴, q⁴) the entries (1, 1) "
    "differ by "
    "p²(p² − q²)(√S)_12², so (50) fails as soon as p ≠ q and S is not diagonal.",
    erratum="E1",
)
def printed_root(commuting: bool = True) -> tuple[Step, ...]:
    """E1: √(Σ^½SΣ^½) = Σ^¼√SΣ^¼, d = 2, for Σ a multiple of I; not `commuting`, as (50) prints
    it: false.

    Args:
        commuting: True for Σ a multiple of I; False for any diagonal Σ, as (50) prints it.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    p, q, s, gap = sp.symbols("p q s gap", positive=True)
    r, u = sp.symbols("r u", real=True)
    root = sp.Matrix([[r, s], [s, u]])  # √S
    quarter = sp.diag(p, p if commuting else q)  # Σ^¼
    general = sp.diag(p, q)
    excess = (general**2 * root**2 * general**2 - (general * root * general) ** 2)[0, 0]
    return (
        equal(
            "the squares agree",
            (quarter * root * quarter) ** 2,
            quarter**2 * root**2 * quarter**2,
        ),
        equal("the entries (1, 1) in general", excess, p**2 * (p**2 - q**2) * s**2),
        positive("which differ for p = q + gap", excess.subs(p, q + gap)),
    )


def _mean_of_chi(s: sp.Symbol, f: sp.Expr, freedom: int) -> sp.Expr:
    """E f(s), s ~ χ with so many degrees of freedom."""
    half = sp.Rational(freedom, 2)
    density = s ** (freedom - 1) * sp.exp(-(s**2) / 2) / (2 ** (half - 1) * sp.gamma(half))
    return sp.integrate(f * density, (s, 0, sp.oo))


@proves(
    claim="Proposition 1, E1, a witness",
    statement="With S = LLᵀ, L = ((a, 0), (b, c)), k² = Σ_22 and y = a + kc, (√M)_11 = "
    "ay/√(y² + k²b²) >= "
    "a − k²b²/(2a), and (tr √S)² = tr S + 2√det S. So E (√Σ_1)_11 >= (E χ_3 − ½k²·E 1/χ_3)/√3 "
    "> 0.92129 at "
    "k = 1/100, while the printed rate λmax(E √S)/√3 is <= √(6 + 2·E χ_3·E χ_2)/(2√3) < "
    "0.9129.",
    uses=("Bartlett's decomposition", "Jensen: E √X <= √(E X)", "E √S is a multiple of I"),
    erratum="E1",
)
def counterexample(spread: sp.Expr = SPREAD) -> tuple[Step, ...]:
    """E1 in exact numbers: at n = 4, Σ_0 = diag(1, spread²), E √Σ_1 is larger than the printed rate
    allows.

    Args:
        spread: > 0; small ones are witnesses, 1 is not.
    """
    a, c, k, s, y = sp.symbols("a c k s y", positive=True)  # k: spread
    b = sp.Symbol("b", real=True)
    h, w = sp.symbols("h w", nonnegative=True)
    # S = bartlett·bartlettᵀ: a ~ χ_3, b ~ N(0, 1), c ~ χ_2, independent
    bartlett = sp.Matrix([[a, 0], [b, c]])
    S = bartlett * bartlett.T
    M = sp.diag(1, k) * S * sp.diag(1, k)
    det_root = k * a * c  # √det M
    square = M.trace() + 2 * det_root

    mean = partial(_mean_of_chi, s)
    chi3, chi2, inverse3 = mean(s, 3), mean(s, 2), mean(1 / s, 3)
    measured = (chi3 - spread**2 / 2 * inverse3) / sp.sqrt(3)  # <= E (√Σ_1)_11
    printed = sp.sqrt(6 + 2 * chi3 * chi2) / (2 * sp.sqrt(3))  # >= E tr √S/(2√3), the printed rate
    return (
        equal("√M = (M + √det M·I)/√(tr M + 2√det M)", (M + det_root * sp.eye(2)) ** 2 / square, M),
        equal("(√M)_11: numerator", M[0, 0] + det_root, a * (a + k * c)),
        equal("(√M)_11: denominator squared", square, (a + k * c) ** 2 + k**2 * b**2),
        equal(
            "y²/(y² + k²b²) = 1/(1 + 2h), k²b² = 2hy²",
            y**2 / (y**2 + 2 * h * y**2),
            1 / (1 + 2 * h),
        ),
        nonnegative(
            "1/(1 + 2h) >= (1 − h)² for h = w/(1 + w) < 1",
            (1 / (1 + 2 * h) - (1 - h) ** 2).subs(h, w / (1 + w)),
        ),
        nonnegative(
            "ah <= k²b²/(2a)", k**2 * b**2 / (2 * a) - a * k**2 * b**2 / (2 * (a + k * c) ** 2)
        ),
        equal(
            "(tr √S)² = tr S + 2√det S",
            (S.trace() + 2 * a * c) ** 2 / square.subs(k, 1),
            S.trace() + 2 * a * c,
        ),
        equal("E tr S = E a² + E b² + E c² = 6", mean(s**2, 3) + mean(s**2, 1) + mean(s**2, 2), 6),
        positive("E (√Σ_1)_11 is above the printed rate", measured - printed),
    )
