"""S3, S4 and S7, symbolically: where the iterates settle, and how far off, in units of F⁻¹/n.

The recursions are those of the mean of a Gaussian with known variance, for which they are exact; to
first order every family with A = B at θ* follows them (S2, S3). z̄ is the mean of the m synthetic
latents, of variance 1/m.
"""

import sympy as sp

from stability.proofs.symbolic.proof import Step, equal, holds, nonnegative, positive, proves

__all__ = [
    "accumulate",
    "fixed_point",
    "fresh_real",
    "misspecified_covariance",
    "replace",
    "shared_latents",
    "stationary_covariance",
]


@proves(
    claim="S3, (I − J)⁻¹K = A⁻¹",
    statement="I − λKB = K(K⁻¹ − λB) = KA, hence (I − J)A⁻¹ = K: a shift of the score is "
    "answered by the maximum "
    "likelihood estimate on the real data, at every λ.",
)
def fixed_point(sign: int = 1) -> tuple[Step, ...]:
    """S3: (I − J)⁻¹K = A⁻¹, K = (A + λB)⁻¹, J = sign·λKB, for matrices that need not commute.

    Args:
        sign: Sign of J; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    A, K = sp.symbols("A K", commutative=False)
    lam = sp.Symbol("lambda", positive=True)
    B = (K**-1 - A) / lam
    J = sign * lam * K * B
    return (
        equal("I − J = KA", 1 - J, K * A, sp.expand),
        equal("(I − J)A⁻¹ = K", sp.expand((1 - J) * A**-1), K, sp.expand),
    )


@proves(
    claim="S3, A = B",
    statement="V = JVJᵀ + (λ/n)KFK is solved by V = λ/(1 + 2λ)·F⁻¹/n; with the Cramér–Rao "
    "bound F⁻¹/n of θ̂ itself "
    "the total is (1 + 3λ)/(1 + 2λ) < 3/2, the supremum; after t retrainings the excess is "
    "V(1 − ρ^(2t)).",
)
def stationary_covariance(slope: int = 3) -> tuple[Step, ...]:
    """S3 for A = B = −F: V = λ/(1 + 2λ)·F⁻¹/n, total (1 + slope·λ)/(1 + 2λ) < 3/2, slope 3.

    Args:
        slope: Coefficient of λ in the numerator of the total; 3 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    lam, n, m = sp.symbols("lambda n m", positive=True)
    v, t = sp.Symbol("v"), sp.Symbol("t", integer=True, nonnegative=True)
    F = sp.Symbol("F", commutative=False)
    A = B = -F
    K = A**-1 / (1 + lam)  # (A + λB)⁻¹
    ratio = lam / (1 + lam)
    # covariance of K times λ times the mean of m scores, each of covariance F
    noise = lam**2 / m * K * F * K
    excess = lam / (1 + 2 * lam)
    total = (1 + slope * lam) / (1 + 2 * lam)
    after = excess * (1 - ratio ** (2 * t))
    return (
        equal("J = λ/(1 + λ)·I", sp.expand(lam * K * B), ratio, sp.simplify),
        equal(
            "noise of m = λn draws: λ/(n(1 + λ)²)·F⁻¹",
            sp.expand(noise.subs(m, lam * n)),
            lam / n * K * F * K,
        ),
        equal("KFK = F⁻¹/(1 + λ)²", K * F * K, F**-1 / (1 + lam) ** 2),
        equal("v = ρ²v + λ/(1 + λ)²", _solve(ratio**2 * v + lam / (1 + lam) ** 2 - v, v), excess),
        equal(
            "V = JVJᵀ + (λ/n)KFK",
            excess / n * F**-1,
            ratio**2 * excess / n * F**-1 + lam / n * K * F * K,
        ),
        equal("total error", 1 + excess, total),
        positive("below 3/2", sp.Rational(3, 2) - total),
        equal("which it approaches", sp.limit(total, lam, sp.oo), sp.Rational(3, 2)),
        equal("excess after 0 retrainings", after.subs(t, 0), 0),
        equal("and after one more", after.subs(t, t + 1), ratio**2 * after + lam / (1 + lam) ** 2),
    )


@proves(
    claim="S3, A ≠ B",
    statement="With Wᵀ(−A)W = I and Wᵀ(−B)W = diag(μ), V = JVJᵀ + (λ/n)KFK is diagonal: λμ/(1 "
    "+ 2λμ)/n, for data "
    "of any law. So V ≺ ½(−A)⁻¹/n at every λ.",
    uses=("S1: such a W exists, as A ≺ 0",),
)
def misspecified_covariance(slope: int = 2) -> tuple[Step, ...]:
    """S3 for A ≠ B: V = W·diag(λμ/(1 + slope·λμ))·Wᵀ/n, slope 2, in the basis W of S1; always ≺
    ½(−A)⁻¹/n.

    Args:
        slope: Coefficient of λμ in the denominator; 2 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    lam, mu = sp.symbols("lambda mu", nonnegative=True)
    v = sp.Symbol("v")
    B, K = -mu, -1 / (1 + lam * mu)  # in that basis A = −1, (−B)w = μ(−A)w, F = μ, K = (A + λB)⁻¹
    J = lam * K * B
    settled = lam * mu / (1 + slope * lam * mu)
    return (
        equal("K(A + λB) = 1", K * (-1 + lam * B), 1),
        equal("J = λμ/(1 + λμ)", J, lam * mu / (1 + lam * mu)),
        equal("v = J²v + λKFK", _solve(J**2 * v + lam * K**2 * mu - v, v), settled),
        positive("below ½", sp.S.Half - settled),
    )


@proves(
    claim="S7, shared latents",
    statement="If every round maps the same latents, the mean settles at x̄ + λz̄ and its "
    "error is 1 + λ times "
    "Cramér–Rao, more than the (1 + 3λ)/(1 + 2λ) of fresh latents.",
)
def shared_latents(slope: int = 1) -> tuple[Step, ...]:
    """S7: with the same latents each round the mean settles at x̄ + λz̄, of error 1 + slope·λ,
    slope 1.

    Args:
        slope: Coefficient of λ in the error; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    lam, n = sp.symbols("lambda n", positive=True)
    mu, real, latent = sp.symbols("mu xbar zbar")
    refit = (real + lam * (mu + latent)) / (1 + lam)
    rest = _solve(refit - mu, mu)
    # z̄: mean of λn latents
    variance = sp.diff(rest, real) ** 2 / n + sp.diff(rest, latent) ** 2 / (lam * n)
    fresh = (1 + 3 * lam) / (1 + 2 * lam)
    return (
        equal("fixed point", rest, real + lam * latent),
        equal("its variance over 1/n", n * variance, 1 + slope * lam),
        positive("more than with fresh latents", 1 + lam - fresh),
    )


@proves(
    claim="S4, fresh real data",
    statement="Var(x̄_t + λ(μ_t + z̄_t))/(1 + λ)² has the fixed point (1 + λ)/(1 + 2λ) < 1 "
    "and contracts to it.",
)
def fresh_real(slope: int = 2) -> tuple[Step, ...]:
    """S4, new real data each round: the error settles at (1 + λ)/(1 + slope·λ), slope 2, below
    Cramér–Rao.

    Args:
        slope: Coefficient of λ in the denominator; 2 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    lam, v = sp.symbols("lambda v", positive=True)
    # of (x̄_t + λ(μ_t + z̄_t))/(1 + λ), all three independent
    after = (1 + lam**2 * (v + 1 / lam)) / (1 + lam) ** 2
    expected = (1 + lam) / (1 + slope * lam)
    return (
        equal("fixed point", _solve(after - v, v), expected),
        positive("below 1", 1 - expected),
        positive("the recursion contracts", 1 - after.diff(v)),
        nonnegative("monotonically", after.diff(v)),
    )


@proves(
    claim="S4, accumulate",
    statement="Refitting on the real and all earlier synthetic sets moves the mean by z̄_t/(t "
    "+ 2) alone, so its "
    "error is Σ_{k=1}^{t+1} 1/k² times Cramér–Rao, which stays below π²/6.",
)
def accumulate(power: int = 2) -> tuple[Step, ...]:
    """S4, every set kept, m = n: the error after t retrainings is Σ_{k=1}^{t+1} k^(−power),
    power 2, below π²/6.

    Args:
        power: Power of k in the sum; 2 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    t = sp.Symbol("t", integer=True, nonnegative=True)
    k = sp.Symbol("k", integer=True, positive=True)
    mu, latent, earlier = sp.symbols("mu zbar earlier")
    # μ_t is the mean of the t + 1 set means so far, whose sum is `earlier`; the next set has the
    # mean μ_t + z̄_t
    refit = (earlier + mu + latent) / (t + 2)
    following = refit.subs(earlier, (t + 1) * mu)
    step = sp.expand(sp.simplify(following - mu))
    return (
        equal("the move of the mean", step, latent / (t + 2)),
        equal("adds to the variance, over 1/n", step.coeff(latent) ** 2, (t + 2) ** -power),
        equal("the sum at infinity", sp.summation(k**-power, (k, 1, sp.oo)), sp.pi**2 / 6),
        positive("from below, as every term is positive", sp.Integer(1) / k**power),
    )


@proves(
    claim="S4, replace",
    statement="With μ_{t+1} = μ_t + z̄_t the error of the mean is t + 1 times Cramér–Rao, "
    "without bound.",
)
def replace(growth: int = 1) -> tuple[Step, ...]:
    """S4, synthetic data alone, m = n: the error of the mean after t retrainings is 1 +
    growth·t, growth 1.

    Args:
        growth: Error that a retraining adds; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    t = sp.Symbol("t", integer=True, nonnegative=True)
    mu, latent = sp.symbols("mu zbar")
    refit = mu + latent
    error = 1 + growth * t
    # z̄ is independent of μ, of variance 1 over 1/n
    gained = refit.coeff(mu) ** 2 * error + refit.coeff(latent) ** 2
    return (
        equal("the fit to the real data", error.subs(t, 0), 1),
        equal("one more retraining", gained, error.subs(t, t + 1)),
        holds("without bound", sp.limit(error, t, sp.oo) == sp.oo),
    )


def _solve(expression: sp.Expr, unknown: sp.Symbol) -> sp.Expr:
    """The one root of an expression that is linear in `unknown`."""
    (root,) = sp.solve(expression, unknown)
    return sp.expand(root) if root.is_polynomial() else root
