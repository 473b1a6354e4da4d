"""The figures of the report: each draws a statement next to what was computed or simulated."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from scipy.stats import chi, norm

from stability.analysis.bounds import contraction_bound
from stability.analysis.operators import infinite_map
from stability.gaussian.alpha import alpha, alpha_isotropic, one_minus_alpha
from stability.gaussian.collapse import simulate
from stability.gaussian.lyapunov import lyapunov_spectrum
from stability.gaussian.mean import paths
from stability.loop.regimes import Accumulate, FreshReal, FullySynthetic, Mix
from stability.loop.retraining import Latents
from stability.runs.figure_style import Axes, Captioned, Figure, FigureCanvasAgg
from stability.statements.assumption3 import KnownVarianceGaussian
from stability.statements.instances import Instance, instance
from stability.statements.stationary_error import (
    accumulate,
    fresh_real,
    mixed,
    predicted,
    shared_latents,
)
from stability.statements.theorem2 import bound

__all__ = ["FIGURES", "SHOWS"]

BLUE, GREEN, ORANGE, PINK, RED = "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00"
LAMBDAS = np.geomspace(1e-3, 1e2, 121)
PRINTED = {"color": RED, "linestyle": "--"}  # what the paper states and is not so


def _panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def collapse_rate(rng: np.random.Generator) -> Figure:
    """Draw how much of √Σ a retraining loses, and a simulation that follows the corrected rate.

    Args:
        rng: Source of all random draws.
    """
    figure, ((left, right),) = _panels(1, 2, 8.4, 3.4)
    n = np.unique(np.geomspace(2, 1e4, 200).round())
    left.loglog(n, one_minus_alpha(n), color=BLUE, label="1 − α(n): every dimension, corrected")
    left.loglog(n, 1 / (4 * (n - 1)), color="0.5", linewidth=0.8, label="1/(4(n−1))")
    for d, line in ((2, "--"), (4, ":")):
        own = np.array([k for k in np.unique(np.geomspace(d + 1, 1e4, 30).round()) if k > d])
        printed = [1 - alpha_isotropic(int(k), d).value for k in own]
        left.loglog(
            own, printed, color=RED, linestyle=line, label=f"1 − $α_{d}$(n): printed, d = {d}"
        )
    left.set(xlabel="n, samples a generation", ylabel="lost in one retraining")
    left.legend(loc="lower left")

    n, variances, last, chains = 4, [1.0, 1e-4], 12, 40_000
    seen = simulate(n, np.diag(variances), range(last + 1), chains, rng)
    t, mean, error = seen.t, seen.root[:, 0, 0], seen.root_error[:, 0, 0]
    right.errorbar(t, mean, 2 * error, fmt="o", color=BLUE, label="simulated, ± 2 standard errors")
    right.semilogy(
        t,
        alpha(n) ** t,
        color="k",
        linewidth=0.9,
        label=f"corrected: α({n})ᵗ, α = {float(alpha(n)):.3f}",
    )
    isotropic = alpha_isotropic(n, 2).value
    right.semilogy(t, isotropic**t, **PRINTED, label=f"printed: {isotropic:.3f}ᵗ, too small")
    right.set(
        xlabel="retrainings t",
        ylabel="E(√Σₜ)₁₁ / (√Σ₀)₁₁",
        title=f"n = {n}, Σ₀ = diag(1, 10⁻⁴), {chains:,} chains",
    )
    right.legend()
    return figure


def collapse_by_dimension(rng: np.random.Generator) -> Figure:
    """Draw the collapse of each eigenvalue, and of the mean and the typical scale.

    Args:
        rng: Source of all random draws.
    """
    figure, ((left, right),) = _panels(1, 2, 8.4, 3.2)
    n, d, chains = 20, 3, 2000
    t = np.arange(0, 201, 10)
    seen = simulate(n, np.eye(d), t.tolist(), chains, rng)

    for i, (gamma, colour) in enumerate(
        zip(lyapunov_spectrum(n, d), (BLUE, GREEN, ORANGE), strict=True)
    ):
        left.plot(t, seen.log_eigenvalues[:, i], "o", color=colour, label=f"eigenvalue {i + 1}")
        left.plot(t, seen.log_eigenvalues[-1, i] + gamma * (t - t[-1]), color=colour, linewidth=0.9)

    left.set(
        xlabel="retrainings t",
        ylabel="mean of log eigenvalue of √Σₜ",
        title=f"d = {d}, n = {n}; lines: slope γᵢ",
    )
    left.legend()
    t = np.arange(0, 81, 5)
    one = simulate(n, np.eye(1), t.tolist(), 20_000, rng)
    z = float(norm.isf(0.025))

    for values, errors, colour, name in (
        (one.covariance[:, 0, 0], one.covariance_error[:, 0, 0], ORANGE, "E σₜ²"),
        (one.root[:, 0, 0], one.root_error[:, 0, 0], BLUE, "E σₜ"),
        (
            np.exp(one.log_eigenvalues[:, 0]),
            np.exp(one.log_eigenvalues[:, 0]) * one.log_eigenvalues_error[:, 0],
            GREEN,
            "exp E log σₜ, a typical chain",
        ),
    ):
        right.errorbar(t, values, z * errors, fmt="o", color=colour, label=name)

    right.plot(t, np.ones(len(t)), color=ORANGE, linewidth=0.9)
    right.plot(t, alpha(n) ** t, color=BLUE, linewidth=0.9)
    right.plot(t, np.exp(float(lyapunov_spectrum(n, 1)[0]) * t), color=GREEN, linewidth=0.9)
    right.set(
        xlabel="retrainings t",
        ylabel="scale",
        ylim=(0, 2),
        title=f"d = 1, n = {n}: the variance keeps its mean",
    )
    right.legend()

    return figure


def phase_diagram(rng: np.random.Generator) -> Figure:
    """Draw where Theorem 1 applies, with instances inside and outside, and how iterates
    converge.

    Args:
        rng: Not used: nothing is drawn at random.
    """
    del rng  # nothing is drawn
    figure, ((left, right),) = _panels(1, 2, 8.4, 3.6)
    x = np.geomspace(1e-3, 1e3, 200)
    left.fill_between(x, 1e-3, 0.5 / (1 + x), color=GREEN, alpha=0.2, linewidth=0)
    left.fill_between(x, 0.5 / (1 + x), 1e2, color=BLUE, alpha=0.08, linewidth=0)
    left.text(2e-3, 0.1, "Theorem 1", color=GREEN)
    left.text(2e-3, 20, "still stable (S1)", color=BLUE)
    named = [
        instance(name, "misspecified")
        for name in ("student_t", "gaussian", "linkage", "mixture", "generalised_logistic")
    ]
    lams = np.array([0.01, 0.1, 1.0, 10.0])
    dots = None

    for case, marker in zip(named, "osvD^", strict=True):
        local = case.local
        ratio = local.lipschitz.value * local.eps.high / local.alpha
        rho = [local.at(lam).rho for lam in lams]
        dots = left.scatter(
            np.full(len(lams), ratio),
            lams,
            c=rho,
            vmin=0,
            vmax=1,
            cmap="viridis",
            marker=marker,
            edgecolor="k",
            linewidth=0.4,
            label=case.name.partition(",")[0],
            zorder=3,
        )

    assert dots is not None
    figure.colorbar(dots, ax=left, label="ρ(J), < 1 everywhere")
    left.set(
        xscale="log", yscale="log", xlabel="Lε/α", ylabel="λ", xlim=(1e-3, 1e3), ylim=(1e-3, 1e2)
    )
    left.legend(loc="lower left")
    _trajectories(right, named[0])

    return figure


def _trajectories(axes: Axes, case: Instance) -> None:
    """‖θ_t − θ*‖ under G∞ from a point near θ*, at λ inside and outside Theorem 1's region, and
    ρᵗ.
    """
    theta = torch.from_numpy(case.local.theta)
    for lam, colour in ((0.1, GREEN), (1.0, BLUE), (4.0, PINK)):
        local, image = case.local.at(lam), infinite_map(case.family, case.law, lam)
        at, distances = theta + 0.3, []
        for _ in range(13):
            distances.append(float((at - theta).norm()))
            at = image(at).theta
        # below: quadrature
        shown = [(t, distance) for t, distance in enumerate(distances) if distance > 1e-9]
        axes.semilogy(*zip(*shown, strict=True), "o", color=colour)
        speaks = "inside" if local.theorem1_condition == "met" else "outside"
        t = np.arange(len(distances))
        axes.semilogy(
            t,
            distances[0] * local.rho**t,
            color=colour,
            label=f"λ = {lam:g}, {speaks}: ρ = {local.rho:.3f}",
        )
    axes.set(
        xlabel="retrainings t",
        ylabel="‖θₜ − θ*‖",
        ylim=(1e-9, 2),
        title="G∞, Student-t; lines: ρ(J)ᵗ",
    )
    axes.legend()


def bound_and_truth(rng: np.random.Generator) -> Figure:
    """Draw bound (11), `‖J‖₂` and `ρ(J)` over λ for each family.

    Args:
        rng: Not used: nothing is drawn at random.
    """
    del rng
    figure, grid = _panels(2, 4, 8.4, 4.0)
    with_bound, without = (
        ("gaussian", "student_t", "logistic", "mixture"),
        ("sinh_arcsinh", "curved_normal"),
    )
    names = (*with_bound, "generalised_logistic", "linkage", *without)

    for axes, name in zip(grid.flat, names, strict=True):
        local = instance(name, "misspecified").local
        bounds = [
            contraction_bound(lam, local.alpha, local.eps.high, local.lipschitz.value)
            for lam in LAMBDAS
        ]
        axes.loglog(LAMBDAS, bounds, **PRINTED, label="bound (11)")
        axes.loglog(LAMBDAS, [local.at(lam).norm for lam in LAMBDAS], color=ORANGE, label="‖J‖₂")
        axes.loglog(LAMBDAS, [local.at(lam).rho for lam in LAMBDAS], color=BLUE, label="ρ(J)")
        axes.axhline(1, color="0.5", linewidth=0.8)
        limit = local.lam_limit_theorem.low
        axes.set_title(
            f"{name}\n{f'(11) < 1 for λ < {limit:.2g}' if limit else 'L infinite: no bound'}",
            fontsize=7,
        )
        axes.set(xlim=(1e-3, 1e2), ylim=(1e-4, 1e2))
        axes.tick_params(labelsize=7)

    grid[0, 0].legend(fontsize=7, loc="lower right")
    figure.supxlabel("λ, synthetic points per real point", fontsize=9)
    return figure


def inflation(rng: np.random.Generator) -> Figure:
    """Draw the error of each regime over the Cramér–Rao bound, in the limit and over
    retrainings.

    Args:
        rng: Source of all random draws.
    """
    figure, ((left, right),) = _panels(1, 2, 8.4, 3.4)
    lam = np.geomspace(0.02, 50, 200)
    laws: Sequence[tuple[str, Callable[[float], float], str]] = (
        ("mix, fresh latents: (1+3λ)/(1+2λ)", mixed, BLUE),
        ("mix, shared latents: 1+λ", shared_latents, PINK),
        ("fresh real data: (1+λ)/(1+2λ)", fresh_real, GREEN),
        ("accumulate, t = 30", lambda value: accumulate(value, 30), ORANGE),
    )
    for name, law, colour in laws:
        left.semilogx(lam, [law(value) for value in lam], color=colour, label=name)
    left.axhline(1.5, color="0.5", linewidth=0.8)
    n, chains, last = 4, 10_240, 30
    # the error's relative standard error: its law is χ²_1
    z = float(norm.isf(0.025)) * math.sqrt(2 / chains)
    rows: tuple[tuple[Mix | FreshReal | Accumulate, Latents, str], ...] = (
        *((Mix(value), "fresh", BLUE) for value in (0.25, 1.0, 4.0)),
        *((Mix(value), "shared", PINK) for value in (0.25, 1.0)),
        *((FreshReal(value), "fresh", GREEN) for value in (0.25, 1.0, 4.0)),
        *((Accumulate(value), "fresh", ORANGE) for value in (0.25, 1.0)),
    )
    for regime, latents, colour in rows:
        final = n * float(
            np.square(paths(regime, n, last, chains, rng, latents=latents)[-1]).mean()
        )
        left.errorbar(regime.lam, final, z * final, fmt="o", color=colour)
    left.set(
        xlabel="λ",
        ylabel="error / Cramér–Rao",
        ylim=(0, 4),
        title=f"in the limit; dots: Algorithm 1, t = {last}",
    )
    left.legend(loc="upper left", fontsize=7)
    t = np.arange(13)
    for regime, colour in (
        (Mix(1.0), BLUE),
        (FreshReal(1.0), GREEN),
        (Accumulate(1.0), ORANGE),
        (FullySynthetic(), RED),
    ):
        errors = n * np.square(paths(regime, n, int(t[-1]), chains, rng)).mean(axis=1)
        right.errorbar(t, errors, z * errors, fmt="o", color=colour)
        right.plot(
            t,
            [predicted(regime, float(s)) if s else 1.0 for s in t],
            color=colour,
            label=str(regime),
        )
    right.set(
        xlabel="retrainings t",
        ylabel="error / Cramér–Rao",
        ylim=(0, 6),
        title=f"λ = 1; {chains:,} chains",
    )
    right.legend(loc="center right")
    return figure


def coverage(rng: np.random.Generator) -> Figure:
    """Draw how often bound (14) and the law of S3 hold, and their quantiles over retrainings.

    Args:
        rng: Source of all random draws.
    """
    figure, ((left, right),) = _panels(1, 2, 8.4, 3.4)
    n, lam, t, chains, model = 20, 0.25, 10, 5120, KnownVarianceGaussian(d=2)
    loop = model.run(n, lam, t, chains, rng)
    errors = np.linalg.norm(loop.errors, axis=2)  # (t + 1, R)

    def limits(delta: float) -> np.ndarray:
        c = loop.constants.step(n, delta / t)
        return np.array([bound(c, s, loop.rho, errors[0]) for s in range(t + 1)])

    spread = np.sqrt(loop.covariance[0, 0])  # a multiple of I
    deltas = np.linspace(0.02, 0.9, 23)
    left.plot(
        1 - deltas,
        [(errors <= limits(delta)).all(axis=0).mean() for delta in deltas],
        "s",
        **PRINTED,
        label="(14), all generations",
    )
    predicted_share = [(errors[-1] <= spread * chi.isf(delta, 2)).mean() for delta in deltas]
    left.plot(1 - deltas, predicted_share, "o", color=BLUE, label=f"S3, t = {t}")
    left.plot([0, 1], [0, 1], color="k", linewidth=0.9)
    left.set(
        xlabel="stated, 1 − δ",
        ylabel="measured coverage",
        title=f"Gaussian mean, d = 2, n = {n}, λ = {lam}",
    )
    left.legend(loc="lower right")
    steps, delta = np.arange(t + 1), 0.05
    right.plot(
        steps, np.quantile(limits(delta), 1 - delta, axis=1), **PRINTED, label="(14), 95 % quantile"
    )
    sharp = [math.sqrt(mixed(lam, float(s)) / n) * chi.isf(delta, 2) for s in steps]
    right.plot(steps, sharp, color=BLUE, label="S3")
    right.plot(
        steps,
        np.quantile(errors, 1 - delta, axis=1),
        "o",
        color="k",
        label="measured, 95 % quantile",
    )
    right.set(xlabel="retrainings t", ylabel="‖θₜ − θ*‖", ylim=(0, None), title=f"δ = {delta}")
    right.legend()
    return figure


FIGURES: Mapping[str, Captioned] = MappingProxyType(
    {
        "collapse": Captioned(
            collapse_rate,
            "Erratum E1. Left: what one fully synthetic retraining takes from √Σ. Right: a "
            "Gaussian whose covariance is far from a multiple of I shrinks as slowly as the one- "
            "dimensional α(n) allows, and not at the rate of the paper's proof.",
        ),
        "dimensions": Captioned(
            collapse_by_dimension,
            "S5. Left: the model dies one dimension after the other, at the Lyapunov exponents "
            "γᵢ. Right: the mean of the variance stays while the typical chain collapses; bars "
            "are 95 % intervals.",
        ),
        "phase": Captioned(
            phase_diagram,
            "S1. Left: Theorem 1 speaks in the green region; with exact likelihood every finite λ "
            "is locally stable. Right: iterates far outside the region converge at the rate ρ(J).",
        ),
        "bounds": Captioned(
            bound_and_truth,
            "Theorem 1 and S1, family by family, on data outside the family: bound (11) leaves "
            "the picture long before anything happens to ρ(J), which stays below 1.",
        ),
        "inflation": Captioned(
            inflation,
            "S3, S4, S7. The price of retraining in units of the Cramér–Rao bound: with fresh "
            "latents the paper's mix costs at most one half more, at any λ. Bars are 95 % "
            "intervals.",
        ),
        "coverage": Captioned(
            coverage,
            "Theorem 2. The bound (14) holds more often than it must, since it adds up worst "
            "cases; the stationary law of S3 gives the error itself.",
        ),
    }
)
"""The figures by name; each is drawn from a random stream of its own."""
SHOWS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "collapse": ("lemma_a1", "lemma_a2", "proposition1"),
        "dimensions": ("proposition1", "gaussian_exponents"),
        "phase": ("theorem1", "local_stability"),
        "bounds": ("theorem1", "theorem1_sharp", "local_stability"),
        "inflation": ("stationary_error",),
        "coverage": ("theorem2", "stationary_error"),
    }
)
"""Statements that each figure shows: a report has the figures of what it examined."""
