"""The words and letters of the report, for a reader who begins with it."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["GLOSSARY", "SYMBOLS"]

GLOSSARY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "lambda": ("λ", "Synthetic points per real point in each retraining."),
        "theta": ("θ*", "The parameters that fit infinitely many real points best."),
        "map": (
            "G∞, G^n",
            "A retraining as a map of parameters, on infinitely many points or n.",
        ),
        "hessians": (
            "A and B",
            "Hessians at θ*: A of the mean log-likelihood of the data, B of that of the model's "
            "own samples, which is minus the Fisher information.",
        ),
        "jacobian": (
            "J, ρ(J), ‖J‖",
            "The Jacobian of a retraining at θ*, J = λ(A + λB)⁻¹B; its spectral radius, the rate "
            "of convergence near θ*; and its norm, which may be larger.",
        ),
        "mu": ("μ", "The largest eigenvalue of A⁻¹B; ρ(J) = λμ/(1 + λμ)."),
        "alpha": ("α", "Strong concavity at θ*: −A ≽ α (Assumption 2)."),
        "lipschitz": ("L", "Lipschitz constant of x ↦ ∇² log p_θ*(x) (Assumption 1)."),
        "epsilon": ("ε", "Wasserstein-1 distance between the best model and the data."),
        "condition": ("λ(1 + Lε/α)", "Theorem 1 speaks where this is below ½."),
        "constants": (
            "a, b, ε_OPT",
            "Constants of Assumption 3: how far a retraining on n points falls from one on "
            "infinitely many.",
        ),
        "neighbourhood": ("U, ρ", "A ball about θ*, and the rate at which G∞ contracts on it."),
        "alpha-n": ("α(n)", "Share of E √Σ that is left when a Gaussian is refitted to n samples."),
        "claim": ("claim", "One sentence with a comparison of two numbers that decides it."),
        "status": (
            "status",
            "Holds; holds with correction, where what is printed fails and the correction holds; "
            "violated; undecided, where an interval leaves it open; vacuous, where a condition is "
            "not met or a bound is infinite; not applicable, where an assumption was measured to "
            "be false; skipped, where a program that it needs is not installed. A claim has the "
            "worst status of its verdicts that say something.",
        ),
        "assumptions": (
            "assumptions measured",
            "What the claim needs, as a number of this instance; an interval where only bounds are "
            "known.",
        ),
        "margin": (
            "margin left",
            "How much of the tolerance, or of the bound, is left: all of it where the two numbers "
            "agree or the bound is far away, none where the comparison is about to fail.",
        ),
        "resolution": (
            "notices",
            "The smallest wrong factor of the number that one of the verdicts would notice. A "
            "sign: the claim compares signs or order only.",
        ),
        "rejected": (
            "rejected",
            "A negative control is the same check with one thing spoiled, and a counterexample is "
            "a case against what is printed: each must fail, or the check proves nothing.",
        ),
        "false-alarm": (
            "false alarm",
            "Probability that a verdict on simulated data is violated although the claim is true.",
        ),
        "erratum": ("erratum", "A place of the paper that is not right as printed, by its number."),
    }
)
"""Id -> the word or letter, and what it means."""

SYMBOLS: Mapping[str, str] = MappingProxyType(
    {
        "α": "alpha",
        "L": "lipschitz",
        "ε": "epsilon",
        "λ(1 + Lε/α)": "condition",
        "a": "constants",
        "b": "constants",
        "ε_OPT": "constants",
        "ρ": "neighbourhood",
        "radius of U": "neighbourhood",
    }
)
"""Names of assumptions -> id of what explains them."""
