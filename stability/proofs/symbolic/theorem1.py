"""Theorem 1, symbolically: from the Neumann series (105) to the bound (11), where that is < 1
(E4); S1, S6 and E9.
"""

import sympy as sp

from stability.proofs.symbolic.proof import Step, equal, holds, nonnegative, positive, proves

__all__ = [
    "bound",
    "contraction",
    "eigenvalues",
    "general_refit",
    "gradient_refit",
    "partial_refit",
]


@proves(
    claim="Theorem 1, (105)-(11)",
    statement="‖λA⁻¹B‖ <= q = λ(1 + Lε/α). For M = λA⁻¹B and q < 1 the series M − M² + M³ − … "
    "is (I + M)⁻¹M, "
    "its partial sums S_K have norm <= q + … + q^K <= q/(1 − q), which is (11), and (11) is < "
    "1 iff q < ½.",
    uses=(
        "‖XY‖ <= ‖X‖‖Y‖, ‖X + Y‖ <= ‖X‖ + ‖Y‖",
        "‖A⁻¹‖ <= 1/α from A ≼ −αI",
        "‖B − A‖ <= Lε by Kantorovich–Rubinstein (80)",
    ),
    erratum="E4",
)
def bound(threshold: sp.Expr = sp.S.Half, factor: sp.Expr = sp.S.One) -> tuple[Step, ...]:
    """‖(I + M)⁻¹M‖ <= factor·q/(1 − q) if ‖M‖ <= q < 1, q = λ(1 + Lε/α); below 1 iff q <
    threshold (E4: ½).

    Args:
        threshold: Value of q below which the bound is < 1; ½ is right (E4).
        factor: Factor of the bound; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    A, B = sp.symbols("A B", commutative=False)
    M = sp.Symbol("M")  # powers of one matrix commute
    K = sp.Symbol("K", integer=True, positive=True)
    q = sp.Symbol("q", positive=True)
    s, lam, alpha, eps, lipschitz = sp.symbols("s lambda alpha epsilon L", positive=True)
    # (I + M)S_K = M + last;   S_{K+1} = S_K + more
    last, more = -((-1) ** K) * M ** (K + 1), (-1) ** K * M ** (K + 1)
    below = factor * q / (1 - q)
    partial_sum = q * (1 - q**K) / (1 - q)
    region = sp.solveset(q / (1 - q) < 1, q, sp.Interval.Ropen(0, 1))
    stated = lam * (alpha + eps * lipschitz) / (alpha - lam * (alpha + eps * lipschitz))
    return (
        equal("(79): A⁻¹B = I + A⁻¹(B − A)", A**-1 * B, 1 + A**-1 * (B - A), sp.expand),
        equal("(I + M)·S_1 = M + M²", (1 + M) * M, M + last.subs(K, 1)),
        equal(
            "and so on: (I + M)·S_K = M − (−1)^K M^(K+1)",
            (1 + M) * more,
            last.subs(K, K + 1) - last,
        ),
        equal("q + … + q^K = q(1 − q^K)/(1 − q): first term", partial_sum.subs(K, 1), q),
        equal("and one more term", partial_sum.subs(K, K + 1) - partial_sum, q ** (K + 1)),
        equal("what the bound leaves over", below - partial_sum, q ** (K + 1) / (1 - q)),
        positive("is > 0 for q = s/(1 + s) < 1", (q ** (K + 1) / (1 - q)).subs(q, s / (1 + s))),
        equal(
            "‖(I + M)·S_K − M‖ <= q^(K+1) vanishes",
            sp.limit((q ** (K + 1)).subs(q, s / (1 + s)), K, sp.oo),
            0,
        ),
        equal("in the letters of (11)", below.subs(q, lam * (1 + lipschitz * eps / alpha)), stated),
        holds(
            "q/(1 − q) < 1 iff q < threshold, for 0 <= q < 1",
            region == sp.Interval.Ropen(0, threshold),
        ),
    )


@proves(
    claim="S1, eigenvalues of J",
    statement="A = −LLᵀ ≺ 0, B = −RRᵀ ≼ 0: A⁻¹B is similar to WWᵀ ≽ 0, so it has eigenvalues "
    "μ >= 0; from "
    "Bv = μAv follows λBv = λμ/(1 + λμ)·(A + λB)v, that is, Jv = λμ/(1 + λμ)·v. And A + λB ≺ "
    "0 at every λ (E9).",
    uses=("Cholesky: every positive definite matrix is LLᵀ, every positive semi-definite one RRᵀ",),
    erratum="E9",
)
def eigenvalues(sign: int = -1) -> tuple[Step, ...]:
    """S1 and E9: A + λB ≺ 0, and J = λ(A + λB)⁻¹B has the eigenvalues λμ/(1 + λμ), μ >= 0, for A ≺
    0 and B ≼ 0.

    Args:
        sign: Of B = sign·RRᵀ; it is B ≼ 0, the sign of minus a Fisher information, that the proof
            needs.
    """
    lam = sp.Symbol("lambda", nonnegative=True)
    mu = sp.Symbol("mu")
    L = sp.Matrix(
        [
            [sp.Symbol("l0", positive=True), 0],
            [sp.Symbol("l1", real=True), sp.Symbol("l2", positive=True)],
        ]
    )
    R = sp.Matrix(2, 2, sp.symbols("r0:4", real=True))
    v = sp.Matrix(sp.symbols("v0:2", real=True))
    A, B = -L * L.T, sign * R * R.T
    W = L.inv() * R
    whitened = L.T * (A.inv() * B) * L.T.inv()
    form = -(v.T * (A + lam * B) * v)[0]
    squares = ((L.T * v).T * (L.T * v))[0] + lam * ((R.T * v).T * (R.T * v))[0]
    # of any dimension; L', R': transposes
    X, Y, Lt, Rt, H, u = sp.symbols("L R L' R' A v", commutative=False)
    image = mu * H * u  # Bv = μAv
    return (
        equal(
            "Lᵀ(A⁻¹B)L⁻ᵀ = WWᵀ, W = L⁻¹R",
            Lt * (-((X * Lt) ** -1) * (sign * Y * Rt)) * Lt**-1,
            (X**-1 * Y) * (Rt * Lt**-1),
            sp.expand,
        ),
        equal("the same in all entries, d = 2", whitened, W * W.T),
        equal("−vᵀ(A + λB)v = ‖Lᵀv‖² + λ‖Rᵀv‖², d = 2", form, squares),
        positive("> 0 for v ≠ 0, as det L > 0", L.det()),
        equal(
            "λBv = λμ/(1 + λμ)·(Av + λBv)",
            lam * image,
            lam * mu / (1 + lam * mu) * (H * u + lam * image),
        ),
    )


@proves(
    claim="S1, contraction",
    statement="Each eigenvalue λμ/(1 + λμ) of J lies in [0, 1) and increases with λ and μ: "
    "ρ(J) < 1 at all λ < ∞.",
)
def contraction(limit: sp.Expr = sp.S.One) -> tuple[Step, ...]:
    """S1: 0 <= λμ/(1 + λμ) < limit for all λ, μ >= 0, increasing in both.

    True for 1, the supremum.

    Args:
        limit: Upper bound on the eigenvalues; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    lam, mu = sp.symbols("lambda mu", nonnegative=True)
    rate = lam * mu / (1 + lam * mu)
    return (
        nonnegative("λμ/(1 + λμ) >= 0", rate),
        positive("λμ/(1 + λμ) < limit", limit - rate),
        nonnegative("increasing in λ", sp.diff(rate, lam)),
        nonnegative("increasing in μ", sp.diff(rate, mu)),
        equal("no smaller limit would do", sp.limit(rate.subs(mu, 1), lam, sp.oo), limit),
    )


@proves(
    claim="S6, part of the way",
    statement="Moving the share 1 − c of the way to G(θ) keeps the fixed point and turns an "
    "eigenvalue j in [0, 1) "
    "of J into c + (1 − c)j, which lies in [j, 1): slower, still stable.",
)
def partial_refit(sign: int = 1) -> tuple[Step, ...]:
    """S6: θ ↦ θ + (1 − c)(G(θ) − θ), 0 <= c < 1, has the Jacobian c + sign·(1 − c)J; slower than
    J, still stable.

    Args:
        sign: Sign of (1 − c)J; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    s, r = sp.symbols("s r", nonnegative=True)
    c, j = s / (1 + s), r / (1 + r)  # any numbers in [0, 1): c, and an eigenvalue of J
    theta = sp.Symbol("theta", real=True)
    G = sp.Function("G")
    step = theta + (1 - c) * (G(theta) - theta)
    slope = sp.Symbol("G'", real=True)
    rate = c + sign * (1 - c) * j
    return (
        equal("the fixed points of G are fixed", step.subs(G(theta), theta), theta),
        equal(
            "Jacobian",
            step.diff(theta).subs(G(theta).diff(theta), slope),
            c + sign * (1 - c) * slope,
        ),
        positive("the new eigenvalue is < 1", 1 - rate),
        nonnegative("and not below the old one", rate - j),
    )


@proves(
    claim="S6, preconditioned gradient steps",
    statement="After k steps the Jacobian is I + Q_k·A, Q_(k+1) = P + (I + PH)Q_k, H = A + "
    "λB. If 0 ≺ −pᵀHp ≼ I, "
    "P = ppᵀ, then Q_k is symmetric and 0 ≺ Q_k ≼ −H⁻¹, so −Q_k·A has its eigenvalues in (0, "
    "1], as −A ≼ −H.",
    uses=("if 0 ≼ X ≼ Y then Q^½XQ^½ ≼ Q^½YQ^½",),
)
def gradient_refit(sign: int = 1) -> tuple[Step, ...]:
    """S6 for k steps θ' ← θ' + sign·P∇H_λ from θ' = θ, P ≻ 0 fixed: the Jacobian's eigenvalues
    are in [0, 1).

    Args:
        sign: Sign of the gradient step; 1 is right.

    Returns:
        The steps; where an argument is wrong, one is left unproved.
    """
    A, B, P, Q = sp.symbols("A B P Q", commutative=False)
    lam = sp.Symbol("lambda", positive=True)
    H = A + lam * B  # Hessian of H_λ in θ' at θ*; that in (θ', θ) is −λB
    D = 1 + Q * A  # derivative of θ' after k steps
    eta, q = sp.symbols("eta q", positive=True)
    return (
        equal("no step: I", D.subs(Q, 0), 1),
        equal(
            "one more step",
            D + sign * P * (H * D - lam * B),
            D.subs(Q, P + (1 + P * H) * Q),
            sp.expand,
        ),
        equal(
            "on an eigenvalue η of −pᵀHp: 1 − ηq_k = (1 − η)^k",
            1 - eta * (1 + (1 - eta) * q),
            (1 - eta) * (1 - eta * q),
        ),
    )


@proves(
    claim="S6, general C",
    statement="For −A = ((1, −2), (−2, 5)), −B = ((4, −4), (−4, 4)), λ = 1, C = diag(0, 0.99) "
    "the trace of "
    "C + (I − C)J is > 2, so an eigenvalue exceeds 1 in modulus: a general part of the way "
    "can be unstable.",
)
def general_refit(direction: tuple[int, int] = (1, 0)) -> tuple[Step, ...]:
    """S6 for any symmetric C, 0 ≼ C ≺ I: C + (I − C)J can be unstable.

    A witness, I − C along `direction` mostly.

    Args:
        direction: Axis along which I − C is 1, (1, 0) or (0, 1); elsewhere it is 1/100.

    Returns:
        The steps; where an argument is wrong, one is left unproved.

    Raises:
        ValueError: If `direction` is neither.
    """
    if direction not in ((1, 0), (0, 1)):
        raise ValueError(f"direction must be (1, 0) or (0, 1), got {direction}")
    A, B = -sp.Matrix([[1, -2], [-2, 5]]), -sp.Matrix([[4, -4], [-4, 4]])
    moved = sp.diag(*(sp.S.One if along else sp.Rational(1, 100) for along in direction))  # I − C
    J = (A + B).inv() * B  # λ = 1
    jacobian = sp.eye(2) - moved * (sp.eye(2) - J)
    return (
        holds("A ≺ 0", A.is_negative_definite),
        holds("B ≼ 0", B.is_negative_semidefinite),
        holds(
            "0 ≼ C ≺ I",
            (sp.eye(2) - moved).is_positive_semidefinite and moved.is_positive_definite,
        ),
        positive("trace − 2 > 0", jacobian.trace() - 2),
    )
