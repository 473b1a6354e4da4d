"""Coq files: their theorems, the axioms allowed, and spoiled copies that must be rejected.

A spoiled copy is the same file with one piece of text replaced, in a hypothesis or a conclusion, so
that a theorem in it becomes false. If Coq accepted it, the proof would not use what it claims to
use, or the file would prove less than it says.
"""

from dataclasses import dataclass
from importlib.resources import files

__all__ = ["ALLOWED_AXIOMS", "DEVELOPMENTS", "Development", "Spoiled"]

ALLOWED_AXIOMS = frozenset(
    {
        "ClassicalDedekindReals.sig_forall_dec",
        "ClassicalDedekindReals.sig_not_dec",
        "FunctionalExtensionality.functional_extensionality_dep",
        "Classical_Prop.classic",
    }
)
"""Axioms of Coq's standard library: its real numbers, extensional functions, excluded middle."""


@dataclass(frozen=True)
class Spoiled:
    """A false variant of a file.

    Attributes:
        words: What is changed, e.g. "1 + λ/2 in place of 1 + λ".
        old: Text of the file; it occurs exactly once.
        new: Its replacement.
        reason: Why the variant is false: a counterexample.
    """

    words: str
    old: str
    new: str
    reason: str


@dataclass(frozen=True)
class Development:
    """One Coq file.

    Attributes:
        name: Of the file, without `.v`.
        claim: Id of the statement, e.g. "Theorem 2".
        statement: What is proved, in one sentence.
        spoiled: False variants, two at least.
        erratum: Id of the erratum that applies (E1 … E9), or "".
    """

    name: str
    claim: str
    statement: str
    spoiled: tuple[Spoiled, ...]
    erratum: str = ""

    @property
    def source(self) -> str:
        """Text of the file."""
        return (files("stability.proofs.coq") / f"{self.name}.v").read_text(encoding="utf-8")


_COLLAPSE_RATE = Development(
    name="collapse_rate",
    claim="Proposition 1, α(n)",
    statement="α(n) < α(n + 1) < 1 for all n ≥ 2, α(n) → 1 and α(n)ᵗσ₀ → 0, from E χ_k > 0, "
    "E χ_k E χ_{k+1} = k and (E χ_k)² ≤ k; √(k/(k + 1)) < α(k + 1) < (k/(k + 1))^¼.",
    spoiled=(
        Spoiled(
            "2k in place of k in Jensen's inequality",
            "m k * m k <= INR k.",
            "m k * m k <= 2 * INR k.",
            "E χ_k multiplied by c for odd k and divided by c for even k has the same products, "
            "and exceeds √k for c near √2",
        ),
        Spoiled(
            "α(n) < 99/100",
            "alpha n < 1.\nProof",
            "alpha n < 99 / 100.\nProof",
            "α(100) = 0.9975",
        ),
        Spoiled(
            "α(n) falls",
            "alpha n < alpha (S n).",
            "alpha (S n) < alpha n.",
            "α(2) = 0.798 and α(3) = 0.886",
        ),
        Spoiled(
            "α(k + 1)² in place of α(k + 1)⁴",
            "alpha (S k) ^ 4 < INR k",
            "alpha (S k) ^ 2 < INR k",
            "α(2)² = 2/π > 1/2",
        ),
    ),
)
_THEOREM1 = Development(
    name="theorem1",
    claim="Theorem 1",
    statement="From (78), (80) and ‖A⁻¹‖ ≤ 1/α in any algebra of matrices with a submultiplicative "
    "norm: (79); A + λB has no kernel and ‖J‖ ≤ q/(1 − q), which is (11), if q = λ(1 + Lε/α) < 1; "
    "‖Jᵗ‖ ≤ (q/(1 − q))ᵗ with q/(1 − q) < 1 if q < ½; and q < 1 does not suffice for ‖J‖ < 1.",
    erratum="E4",
    spoiled=(
        Spoiled(
            "q < 1 in place of q < ½, as Section 6 has it",
            "q < 1 / 2 -> q / (1 - q) < 1",
            "q < 1 -> q / (1 - q) < 1",
            "q = 0.88 gives q/(1 − q) = 7.3",
        ),
        Spoiled(
            "q/(1 + q) in place of q/(1 − q)",
            "q < 1 -> norm J <= q / (1 - q).",
            "q < 1 -> norm J <= q / (1 + q).",
            "A = −1, B = 9, λ = 0.08: J = −2.57, and q = 0.88",
        ),
        Spoiled(
            "‖A⁻¹‖ ≤ 2/α in place of 1/α",
            "norm inverse_A <= / alpha.",
            "norm inverse_A <= 2 / alpha.",
            "A = −α/2, B = −α/2 − Lε: |A⁻¹B| = 1 + 2Lε/α",
        ),
    ),
)
_LOCAL_STABILITY = Development(
    name="local_stability",
    claim="S1",
    statement="On a real vector space of any dimension, with M = −A and N = −B positive "
    "semi-definite and N ≼ μM: at every λ ≥ 0 one retraining contracts the norm of M + λN by "
    "λμ/(1 + λμ) < 1, t retrainings by its t-th power, and no smaller rate will do; an exact map "
    "that is linear up to η near its fixed point converges at the rate λμ/(1 + λμ) + η.",
    spoiled=(
        Spoiled(
            "2 + λμ in place of 1 + λμ",
            "Definition q := lambda * mu / (1 + lambda * mu).",
            "Definition q := lambda * mu / (2 + lambda * mu).",
            "M = N, λ = 1: J = ½, and not 1/3",
        ),
        Spoiled(
            "λ ≥ −1 in place of λ ≥ 0",
            "Hypothesis lambda_range : 0 <= lambda.",
            "Hypothesis lambda_range : -1 <= lambda.",
            "M = N, λ = −0.9: J = −9",
        ),
        Spoiled(
            "B with the printed sign (E3)",
            "M (J v) w + lambda * N (J v) w = lambda * N v w",
            "M (J v) w - lambda * N (J v) w = lambda * N v w",
            "M = N, λ = 0.9: J = 9",
        ),
        Spoiled(
            "N ≽ μM in place of N ≼ μM",
            "N x x <= mu * M x x.",
            "N x x >= mu * M x x.",
            "μ = 0 would make J = 0",
        ),
    ),
)
_THEOREM2 = Development(
    name="theorem2",
    claim="Theorem 2",
    statement="As repaired: if c = ε_OPT + a/√n·√log(bt/δ) ≤ (1 − ρ) r, then with probability at "
    "least 1 − δ all of θ₀ … θ_t satisfy ‖θ_s − θ*‖ ≤ c Σ_{l<s} ρˡ + ρˢ‖θ₀ − θ*‖, however the "
    "rounds depend on each other; without the condition it is false (E7).",
    erratum="E7",
    spoiled=(
        Spoiled(
            "c ≤ r in place of c ≤ (1 − ρ) r",
            "c <= (1 - rho) * r ->\n  Pr",
            "c <= r ->\n  Pr",
            "the iterates leave U: `leaving_U` in the same file",
        ),
        Spoiled(
            "log(b/δ) in place of log(bt/δ)",
            "let c := eps_opt + a / sqrt n * sqrt (ln (b * INR t / delta)) in",
            "let c := eps_opt + a / sqrt n * sqrt (ln (b / delta)) in",
            "of two rounds that never fail together, one fails with probability 2δ",
        ),
        Spoiled(
            "the sum from l = 1",
            "S s => powers s + rho ^ s end.",
            "S s => powers s + rho ^ S s end.",
            "the first step from θ* is off by c, and not by ρc",
        ),
    ),
)
_BIAS_PRICE = Development(
    name="bias_price",
    claim="Price of bias",
    statement="If each fit is off by at most δ in a functional linear in the law, generation t is "
    "off by at most δ·b_t, b_t = Σ_{k≤t} (1 − w)ᵏ (Weighted), 1 + λ (Mix), t + 1 "
    "(FullySynthetic), 1 + Σ_{k≤t} λ/(1 + λk), between two logarithms (Accumulate), "
    "1/α − (1/α − 1) Π_{k≤t} (1 − α/(k + 1)) (AccumulateFresh), 1/(1 − cJ) for a response of "
    "slope J; the first and the fourth are attained.",
    spoiled=(
        Spoiled(
            "1 + λ/2 in place of 1 + λ",
            "Rabs (m t) <= delta * (1 + lambda).",
            "Rabs (m t) <= delta * (1 + lambda / 2).",
            "the price of `Mix` tends to 1 + λ and is attained",
        ),
        Spoiled(
            "t in place of t + 1",
            "Rabs (m t) <= delta * INR (t + 1).",
            "Rabs (m t) <= delta * INR t.",
            "the first fit is off by δ",
        ),
        Spoiled(
            "Σ λ/(1 + λk²), which is bounded",
            "| S _ => lambda / (1 + lambda * INR k) end).",
            "| S _ => lambda / (1 + lambda * INR k * INR k) end).",
            "the price of `Accumulate` is attained and unbounded",
        ),
        Spoiled(
            "α/(k + 2) in place of α/(k + 1)",
            "| S _ => 1 - alpha / INR (k + 1) end) t.",
            "| S _ => 1 - alpha / INR (k + 2) end) t.",
            "t = 1, fits off by δ: δ(1 + (1 − α)/2)",
        ),
    ),
)
_WIDTH_MAP = Development(
    name="width_map",
    claim="S9, where a loop ends",
    statement="An increasing continuous map takes its start monotonically to the next fixed point "
    "on that side, never beyond, with slope at most 1 there unless the start is itself fixed; the "
    "fixed points of (v₀ + λφ)/(1 + λ) form the curve λ = (v − v₀)/(φ − v), stable where λ grows "
    "away from v₀; slope below 1 attracts and above 1 repels; below a threshold the fully "
    "synthetic loop collapses, above it spreads.",
    spoiled=(
        Spoiled(
            "a start that may be a fixed point",
            "v0 < f v0 -> Un_cv (orbit f v0) v ->",
            "v0 <= f v0 -> Un_cv (orbit f v0) v ->",
            "f v = 2v from 0: the slope at the end is 2",
        ),
        Spoiled(
            "slope 1 attracts",
            "Theorem attracts : Rabs l < 1 ->",
            "Theorem attracts : Rabs l <= 1 ->",
            "f x = x + x³ at 0",
        ),
        Spoiled(
            "slope 1 repels",
            "Theorem repels : 1 < l ->",
            "Theorem repels : 1 <= l ->",
            "f x = x",
        ),
        Spoiled(
            "φ(x) ≤ x below the threshold",
            "(forall x, 0 < x < tau -> phi x < x) ->",
            "(forall x, 0 < x < tau -> phi x <= x) ->",
            "φ x = x does not collapse",
        ),
    ),
)

DEVELOPMENTS = (
    _COLLAPSE_RATE,
    _THEOREM1,
    _LOCAL_STABILITY,
    _THEOREM2,
    _BIAS_PRICE,
    _WIDTH_MAP,
)
"""Every file, in the order of the paper, then what holds beyond it."""
