"""Proposition 2, symbolically: score (59) and Hessian (60) of the Gaussian in θ = (μ, vec Σ⁻¹), d =
1 or 2.

The entries of P = Σ⁻¹ are d² separate variables here ("unsymmetrised"), evaluated at a symmetric P.
Read so, (60) holds as a quadratic form on symmetric perturbations, which is all that a path of
covariances can make; as a matrix of second derivatives its lower right block is ½(Σ ⊗ Σ)𝒦, 𝒦 the
matrix that transposes, and is indefinite for d >= 2.
"""

import sympy as sp

from stability.proofs.symbolic.proof import Step, equal, positive, proves

__all__ = ["expected_hessian", "hessian", "hessian_lipschitz", "hessian_on_symmetric", "score"]


@proves(
    claim="Proposition 2, (59)",
    statement="The gradient of −log p is Σ⁻¹(μ − x) in μ and ½(x − μ)(x − μ)ᵀ − ½Σ in Σ⁻¹.",
    erratum="E2",
)
def score(d: int, share: sp.Expr = sp.S.Half) -> tuple[Step, ...]:
    """(59) as corrected by E2: −∇ log p = (Σ⁻¹(μ − x), ½(x − μ)(x − μ)ᵀ − share·Σ).

    As printed: share = 1.

    Args:
        d: Dimension, 1 or 2.
        share: Factor of Σ in the gradient; ½ is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.

    Raises:
        ValueError: If `d` is not 1 or 2.
    """
    x, mu, P, sigma, at_sigma = _symbols(d)
    log_p = _log_density(x, mu, P)
    u = x - mu
    by_mean = -sp.Matrix([log_p.diff(entry) for entry in mu.flat()]).subs(at_sigma)
    by_precision = -P.applyfunc(log_p.diff).subs(at_sigma)
    return (
        equal("gradient in μ", by_mean, -sigma.inv() * u),
        equal("gradient in Σ⁻¹", by_precision, u * u.T / 2 - share * sigma),
    )


@proves(
    claim="Proposition 2, (60) as a matrix",
    statement="In the d² entries of Σ⁻¹ the Hessian of −log p has the blocks Σ⁻¹, ½((μ − x)ᵀ "
    "⊗ I)(I + 𝒦) and "
    "½(Σ ⊗ Σ)𝒦, where 𝒦 vec(H) = vec(Hᵀ); (60) prints them with 𝒦 = I.",
)
def hessian(d: int, transposing: bool = True) -> tuple[Step, ...]:
    """(60) as a matrix: −∇² log p in unsymmetrised vec(Σ⁻¹).

    Without `transposing`, as printed: false for d = 2.

    Args:
        d: Dimension, 1 or 2.
        transposing: True to include the matrix 𝒦 that transposes; False as printed.

    Returns:
        The steps; where an argument is wrong, one is left unproved.

    Raises:
        ValueError: If `d` is not 1 or 2.
    """
    x, mu, P, sigma, at_sigma = _symbols(d)
    theta = [*mu.flat(), *P.vec().flat()]
    swap = _commutation(d) if transposing else sp.eye(d * d)
    derivatives = -sp.hessian(_log_density(x, mu, P), theta).subs(at_sigma)
    mixed = _kron((mu - x).T, sp.eye(d)) * (sp.eye(d * d) + swap) / 2  # (d, d²)
    stated = sp.BlockMatrix(
        [[sigma.inv(), mixed], [mixed.T, _kron(sigma, sigma) * swap / 2]]
    ).as_explicit()
    return (equal("all second derivatives", derivatives, stated),)


@proves(
    claim="Proposition 2, (60) on symmetric perturbations",
    statement="Along (v, H), H symmetric, the second derivative of −log p is the quadratic "
    "form that (60) prints.",
)
def hessian_on_symmetric(d: int, share: sp.Expr = sp.S.Half) -> tuple[Step, ...]:
    """(60) as a quadratic form: the second derivative of −log p along (v, H), H symmetric, is
    the printed form.

    Args:
        d: Dimension, 1 or 2.
        share: Factor of Σ ⊗ Σ; ½ is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.

    Raises:
        ValueError: If `d` is not 1 or 2.
    """
    x, mu, P, sigma, at_sigma = _symbols(d)
    v, H = _perturbation(d)
    tau = sp.Symbol("tau", real=True)
    along = -_log_density(x, mu + tau * v, P + tau * H).diff(tau, 2).subs(tau, 0).subs(at_sigma)
    printed = sp.BlockMatrix(
        [
            [sigma.inv(), _kron((mu - x).T, sp.eye(d))],
            [_kron(mu - x, sp.eye(d)), share * _kron(sigma, sigma)],
        ]
    ).as_explicit()
    w = sp.Matrix([*v.flat(), *H.vec().flat()])
    return (equal("second derivative along (v, H)", along, (w.T * printed * w)[0]),)


@proves(
    claim="Proposition 2, expected Hessian",
    statement="With Σ = LLᵀ, −E ∇² log p along (v, H) is ‖L⁻¹v‖² + ½‖LᵀHL‖², hence > 0 for "
    "every v and symmetric "
    "H that are not both 0. (Along antisymmetric H it is negative: the matrix in all d² "
    "entries is indefinite.)",
)
def expected_hessian(d: int, symmetric: bool = True) -> tuple[Step, ...]:
    """E_{p_θ} ∇² log p_θ ≺ 0 on R^d × Sym(d).

    Not `symmetric`: on R^d × R^{d×d}, which is false for d = 2.

    Args:
        d: Dimension, 1 or 2.
        symmetric: True for symmetric perturbations; False for all d² entries.

    Returns:
        The steps; where an argument is wrong, one is left unproved.

    Raises:
        ValueError: If `d` is not 1 or 2.
    """
    x, mu, P, _, _ = _symbols(d)
    v, H = _perturbation(d, symmetric)
    root = _cholesky(d)
    sigma = root * root.T
    tau = sp.Symbol("tau", real=True)
    along = -_log_density(x, mu + tau * v, P + tau * H).diff(tau, 2).subs(tau, 0)
    at_covariance = dict(zip(P.flat(), sigma.inv().flat(), strict=True))
    curvature = sp.hessian(along, x.flat())
    # E of an affine function of x
    mean = along.subs(dict(zip(x.flat(), mu.flat(), strict=True))).subs(at_covariance)
    whitened, scaled = root.inv() * v, root.T * H * root
    squares = (
        sum((entry**2 for entry in whitened.flat()), sp.S.Zero)
        + sum((entry**2 for entry in scaled.flat()), sp.S.Zero) / 2
    )
    return (
        equal("the second derivative is affine in x", curvature, sp.zeros(d)),
        equal("its mean is a sum of squares", mean, squares),
        positive("which vanish only together with (v, H): det L > 0", root.det()),
    )


@proves(
    claim="Proposition 2, Lipschitz constant",
    statement="The Hessians at x and x + Δ differ by N in the mixed blocks alone, ‖N‖₂ = ‖Δ‖, "
    "and the largest "
    "stretch is along the symmetric H = ΔΔᵀ: the constant is exactly 1, also on symmetric "
    "perturbations.",
)
def hessian_lipschitz(d: int, constant: sp.Expr = sp.S.One) -> tuple[Step, ...]:
    """x ↦ ∇² log p_θ(x) has the Lipschitz constant `constant` exactly, in the spectral norm of θ
    = (μ, vec Σ⁻¹).

    Args:
        d: Dimension, 1 or 2.
        constant: The Lipschitz constant; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.

    Raises:
        ValueError: If `d` is not 1 or 2.
    """
    x, mu, P, _, _ = _symbols(d)
    gap = sp.Matrix(sp.symbols(f"delta:{d}", real=True))
    v = sp.Matrix(sp.symbols(f"v:{d}", real=True))
    theta = [*mu.flat(), *P.vec().flat()]
    second = -sp.hessian(_log_density(x, mu, P), theta)
    moved = (
        second.subs(dict(zip(x.flat(), (x + gap).flat(), strict=True)), simultaneous=True) - second
    )
    N = moved[:d, d:]
    diagonal = [moved[:d, :d], moved[d:, d:]]
    length2 = (gap.T * gap)[0]
    slack = constant**2 * length2 * (v.T * v)[0] - (v.T * N * N.T * v)[0]
    wedge = v * gap.T - gap * v.T
    cross = sum((entry**2 for entry in wedge.flat()), sp.S.Zero) / 2  # ‖v ∧ Δ‖²
    attained = gap * gap.T  # a symmetric direction, of norm |Δ|²

    return (
        *(equal("a diagonal block does not depend on x", block, 0 * block) for block in diagonal),
        equal("c²‖Δ‖²‖v‖² − ‖Nᵀv‖² = ½‖v ∧ Δ‖² >= 0", slack, cross / 2),
        equal("‖N vec(ΔΔᵀ)‖ = c‖Δ‖·‖ΔΔᵀ‖", -N * attained.vec(), constant * length2 * gap),
    )


def _symbols(d: int) -> tuple[sp.Matrix, sp.Matrix, sp.Matrix, sp.Matrix, dict]:
    """x, μ: (d, 1). P: d² variables. Σ: symmetric. The substitution P = Σ⁻¹."""
    if d not in (1, 2):
        raise ValueError(f"d must be 1 or 2, got {d}")
    x, mu = (sp.Matrix(sp.symbols(f"{name}:{d}", real=True)) for name in ("x", "mu"))
    P = sp.Matrix(d, d, lambda i, j: sp.Symbol(f"P{i}{j}", real=True))
    sigma = sp.Matrix(d, d, lambda i, j: sp.Symbol(f"Sigma{min(i, j)}{max(i, j)}", real=True))
    return x, mu, P, sigma, dict(zip(P.flat(), sigma.inv().flat(), strict=True))


def _perturbation(d: int, symmetric: bool = True) -> tuple[sp.Matrix, sp.Matrix]:
    v = sp.Matrix(sp.symbols(f"v:{d}", real=True))
    H = sp.Matrix(
        d,
        d,
        lambda i, j: sp.Symbol(f"H{min(i, j)}{max(i, j)}" if symmetric else f"H{i}{j}", real=True),
    )
    return v, H


def _cholesky(d: int) -> sp.Matrix:
    """Lower triangular with a positive diagonal: L ↦ LLᵀ reaches every Σ ≻ 0."""
    return sp.Matrix(
        d,
        d,
        lambda i, j: sp.Symbol(f"l{i}{j}", real=True, positive=i == j or None) if i >= j else 0,
    )


def _log_density(x: sp.Matrix, mu: sp.Matrix, P: sp.Matrix) -> sp.Expr:
    """log N(x; μ, P⁻¹) (eq. 58)."""
    u = x - mu
    return sp.log(P.det()) / 2 - (u.T * P * u)[0] / 2 - sp.Rational(len(u), 2) * sp.log(2 * sp.pi)


def _kron(a: sp.Matrix, b: sp.Matrix) -> sp.Matrix:
    return sp.Matrix(sp.kronecker_product(a, b))


def _commutation(d: int) -> sp.Matrix:
    """𝒦 (d², d²) with 𝒦 vec(H) = vec(Hᵀ), vec stacking columns."""
    return sp.Matrix(
        d * d, d * d, lambda row, column: int(divmod(row, d) == divmod(column, d)[::-1])
    )
