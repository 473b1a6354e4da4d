"""Numbers found outside of this library, and what it makes of them: python -m
tests.support.reference_numbers

Each row is a number of a result of the literature that was derived or simulated elsewhere (by
other scripts, or in a paper), as it is written there, and the same number by the functions of the
statement's module. It is reprinted where both agree to the digits that are written, and corrected
where they do not, with the reason.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from stability.diffusion.width_map import SAMPLERS
from stability.gaussian.alpha import half_life, log_alpha
from stability.loop.regimes import Accumulate, FullySynthetic, Mix
from stability.statements.literature import (
    accumulated_likelihood,
    bias_price,
    curation,
    early_stopping,
    effective_sample_size,
    frequencies_with_real_data,
    growing_data,
    kernel_estimate,
    logarithmic_time,
    negative_extrapolation,
    populations,
    regression,
    temperature_threshold,
    verifier,
)

__all__ = ["REFERENCES", "Reference", "table"]


@dataclass(frozen=True)
class Reference:
    """A row of numbers.

    Attributes:
        module: The statement.
        what: The quantity.
        written: The numbers as written elsewhere, with their digits.
        found: Computes them.
        corrected: Why another number is right; "" where they are reprinted.
    """

    module: str
    what: str
    written: str
    found: Callable[[], Sequence[float]]
    corrected: str = ""

    def agree(self) -> bool:
        """Tell whether each number is within one unit of the last digit that is written."""
        pairs = zip(self.written.split(), self.found(), strict=True)
        return all(abs(float(one) - other) < 1.001 * _unit(one) for one, other in pairs)


def _unit(written: str) -> float:
    exponent = Decimal(written).as_tuple().exponent
    assert isinstance(exponent, int)
    return 10.0**exponent


def _slope(alpha: float, response: float) -> float:
    """Exponent of the bias where everything is kept, over rounds 2·10⁴ to 2·10⁵."""
    early, late = (
        logarithmic_time.pooled_factor(1.0, (1 - alpha) * response, t) for t in (2e4, 2e5)
    )
    return math.log(late / early) / math.log(10)


def _jump(excess: float) -> list[float]:
    """Largest deviation of four symbols from uniform ones at this part of the critical λ."""
    found = []
    for tau in (0.8, 0.5):
        lam = excess * temperature_threshold.critical_lambda(tau)
        found.append(temperature_threshold.collapsed_share(4, tau, lam) - 0.25)
    return found


def _folds(symbols: int) -> list[float]:
    return [
        temperature_threshold.collapsed_fold(symbols, tau)[0]
        / temperature_threshold.critical_lambda(tau)
        for tau in (0.8, 0.5)
    ]


def _largest_share(lam: float) -> float:
    q = p = np.array([0.4, 0.3, 0.2, 0.1])
    for _ in range(2000):
        p = temperature_threshold.retrained(p, q, lam, 0.8)
    return float(p.max())


def _divergence(choices: int, lam: float) -> float:
    p, reward = curation._problem(1.5, peaked=False)
    mixed = curation._mixed(p, reward, choices, lam)
    return float(mixed @ np.log(mixed / p))


def _gain(amplitude: float = 1.5) -> list[float]:
    p, reward = curation._problem(amplitude, peaked=False)
    gain = float((curation.picked(p, reward, 2) - p) @ np.exp(reward))
    return [gain, curation.gain_bound(p, reward, 2)]


def _gain_of_a_small_reward() -> list[float]:
    gain, bound = _gain(0.1)
    return [gain, 2 * bound]


def _weights(name: str, v: float = 0.01) -> list[float]:
    return [
        negative_extrapolation.best_weight(SAMPLERS[name], v),
        negative_extrapolation.first_order(SAMPLERS[name], v),
    ]


def _before_and_after(name: str) -> list[float]:
    """Width of the samples in per cent of that of the data, then after one merge with w = 1."""
    v = 0.01
    variances = (negative_extrapolation.merged(SAMPLERS[name], v, w) for w in (0.0, 1.0))
    return [100 * (math.sqrt(variance / v) - 1) for variance in variances]


def _scales() -> list[float]:
    sizes = 50 * np.arange(1.0, 2002)
    all_sizes = (50 + 0 * sizes, sizes, sizes**2 / 50)
    return [math.exp(float(log_alpha(each).sum())) for each in all_sizes]


def _most_spikes() -> float:
    n = 10**6
    worst = minimize_scalar(
        lambda a: -accumulated_likelihood.first_round(n, a / n, n), bounds=(0.01, 5)
    )
    return -float(worst.fun)  # type: ignore[attr-defined]


def _ends(lam: float) -> int:
    """Number of different states in which a loop on skewed symbols ends."""
    q, found = np.array([0.4, 0.3, 0.2, 0.1]), set()
    for k in range(4):
        p = np.full(4, 0.001)
        p[k] = 0.997
        for _ in range(3000):
            p = temperature_threshold.retrained(p, q, lam, 0.8)
        found.add(tuple(np.round(p, 4)))
    return len(found)


def _gain_of_a_mix() -> list[float]:
    refuted = curation.counterexamples()[0]
    return [refuted.measured, refuted.stated]


def _half_lives_by_n() -> list[float]:
    """Half-lives at n = 100 where the variance is divided by n: σ falls by √((n−1)/n) more."""
    n = 100
    more = math.log1p(-1 / n) / 2
    rates = [-math.log(2) / each for each in (half_life(n), growing_data.typical_half_life(n))]
    return [-math.log(2) / (float(rate) + more) for rate in rates]


_ONE, _LESS = Accumulate(1.0), 0.8
_S = 0.5**2 + 0.3**2 + 0.15**2 + 0.05**2

REFERENCES = (
    Reference(
        "bias_price",
        "b_t of Accumulate(1) at t = 10, 100, 1000",
        "3.02 5.20 7.49",
        lambda: [bias_price.bias_factor(_ONE, t) for t in (10, 100, 1000)],
    ),
    Reference(
        "bias_price",
        "the same with a response of 0.8, and its limit",
        "2.36 3.30 3.92 5",
        lambda: [bias_price.bias_factor(_ONE, t, _LESS) for t in (10, 100, 1000, 10**7)],
    ),
    Reference(
        "logarithmic_time",
        "exponent of the bias, (α, J) = (0, .8), (0, 1.2), (.3, 1.2), (.3, .5), (.2, 1)",
        "-0.2000 0.2000 -0.1600 -0.6500 -0.2000",
        lambda: [_slope(*x) for x in ((0, 0.8), (0, 1.2), (0.3, 1.2), (0.3, 0.5), (0.2, 1))],
    ),
    Reference(
        "logarithmic_time",
        "error of a mean after 10 rounds of the web, real share .2, .5, .8",
        "0.793 0.3055 0.1374",
        lambda: [logarithmic_time.web_error(alpha, 10) for alpha in (0.2, 0.5, 0.8)],
    ),
    Reference(
        "logarithmic_time",
        "variance of a pool at τ = ½, t = 40, and where a mix settles",
        "0.1757 0.667",
        lambda: [
            logarithmic_time.pooled_factor(1.0, 0.5, 40),
            logarithmic_time.mix_floor(1.0, 0.5),
        ],
    ),
    Reference(
        "temperature_threshold",
        "collapsed states of 4 symbols begin at this part of λ_c, τ = .8, .5",
        "0.888 0.866",
        lambda: _folds(4),
    ),
    Reference("temperature_threshold", "of 10 symbols", "0.66 0.60", lambda: _folds(10)),
    Reference(
        "temperature_threshold",
        "largest deviation of 4 symbols at λ_c, τ = .8, .5",
        "0.338 0.250",
        lambda: _jump(1.0),
    ),
    Reference("temperature_threshold", "at 1.05 λ_c", "0.371 0.273", lambda: _jump(1.05)),
    Reference(
        "temperature_threshold",
        "largest share of skewed symbols, λ = 1, 3, 6, 20",
        "0.445 0.641 0.830 0.955",
        lambda: [_largest_share(lam) for lam in (1, 3, 6, 20)],
    ),
    Reference(
        "temperature_threshold",
        "states in which it can end, λ = 3, 5, 8",
        "1 2 4",
        lambda: [_ends(lam) for lam in (3, 5, 8)],
    ),
    Reference(
        "regression",
        "risk, everything kept: new inputs and the same, t = 6",
        "0.37984 0.40315",
        lambda: [
            regression.new_inputs(_ONE, 20, 4, 6),
            regression.first_risk(20, 4) * regression.same_inputs(_ONE, 6),
        ],
    ),
    Reference(
        "regression",
        "risk of a mix, t = 5",
        "0.35547",
        lambda: [regression.first_risk(20, 4) * regression.same_inputs(Mix(1.0), 5)],
    ),
    Reference(
        "regression",
        "signal left after 3 and 4 rounds, T/d = 2/3",
        "0.1975 0.1317",
        lambda: [regression.kept_signal(8, 12, t) for t in (3, 4)],
    ),
    Reference(
        "regression",
        "risk of replacing, t = 2, d/(T − d − 1) = 4/15",
        "0.8",
        lambda: [regression.new_inputs(FullySynthetic(), 20, 4, 2)],
    ),
    Reference(
        "regression",
        "risk of 4000 rows, a share ¼ with labels off by 0.3",
        "0.00619",
        lambda: [regression.first_risk(4000, 3) + (regression.shift(0.25) * 0.3) ** 2],
        corrected="written: simulated; here: .00075 + .00562, variance and floor",
    ),
    Reference(
        "early_stopping",
        "Hermite modes 2, 4, 6, 8 at α = .3, t₀ = .05",
        "0.854041 0.740428 0.649584 0.575371",
        lambda: [early_stopping.kept_mode(j, 0.3, 0.05) for j in (2, 4, 6, 8)],
    ),
    Reference("curation", "gain of the reward, and its bound", "0.429 0.178", _gain),
    Reference(
        "curation",
        "gain at amplitude .1, and the bound without (K−1)/K",
        "0.0020 0.0036",
        _gain_of_a_small_reward,
    ),
    Reference("curation", "at the fixed point of Mix(0.5)", "0 0.19", _gain_of_a_mix),
    Reference(
        "curation",
        "KL of three mixes, (K, λ) = (2, .5), (2, .9), (3, .4)",
        "0.016 0.052 0.021",
        lambda: [_divergence(*each) for each in ((2, 0.5), (2, 0.9), (3, 0.4))],
    ),
    Reference(
        "curation",
        "their bounds",
        "0.69 2.30 1.61",
        lambda: [
            math.log(curation.ratio_bound(lam, choices))
            for choices, lam in ((2, 0.5), (2, 0.9), (3, 0.4))
        ],
    ),
    Reference(
        "curation",
        "mass of a compromise at Δ = 3, δ = .6, .75",
        "1.0000 0.0000",
        lambda: [curation._mass_of_compromise(loss, 3.0) for loss in (0.6, 0.75)],
    ),
    *(
        Reference(
            "negative_extrapolation",
            f"{name}, √v = .1: best weight, 1/φ′",
            written,
            lambda name=name: _weights(name),
        )
        for name, written in (
            ("DDPM 100, fixed-small", "1.315 1.346"),
            ("DDIM 100", "1.135 1.143"),
            ("EDM Heun 18", "0.862 0.863"),
            ("EDM Heun 10", "0.569 0.569"),
            ("flow, Euler 99", "1.052 1.053"),
        )
    ),
    Reference(
        "negative_extrapolation",
        "DDPM 100, fixed-small, √v = .05, then 1",
        "1.563 1.65 1.061 1.06",
        lambda: [w for v in (0.0025, 1.0) for w in _weights("DDPM 100, fixed-small", v)],
    ),
    *(
        Reference(
            "negative_extrapolation",
            f"{name}, √v = .1: width before and after a merge, %",
            written,
            lambda name=name: _before_and_after(name),
        )
        for name, written in (
            ("DDPM 100, fixed-small", "-19.9 -4.5"),
            ("DDIM 100", "-11.9 -1.3"),
            ("EDM Heun 18", "9.0 -1.5"),
            ("EDM Heun 10", "35.7 -40.0"),
        )
    ),
    Reference(
        "kernel_estimate",
        "critical λ of 20 points, to first order",
        "4.91",
        lambda: [kernel_estimate.first_order_critical_lambda(20)],
    ),
    Reference(
        "kernel_estimate",
        "critical λ of 20 points",
        "4.91",
        lambda: [kernel_estimate.critical_lambda(20)],
        corrected="exact at n = 20, from the recursion of two expectations",
    ),
    Reference(
        "kernel_estimate",
        "variance at λ = 8 after 5, 15, 25 rounds",
        "2.3 5.0 9.4",
        lambda: list(kernel_estimate.variances(20, 8.0, 25)[[5, 15, 25]]),
        corrected="written: simulated; here: the exact expectation",
    ),
    Reference(
        "kernel_estimate",
        "variance at λ = 3 in the long run",
        "3.3",
        lambda: [kernel_estimate.variances(20, 3.0, 2000)[-1]],
        corrected="written: simulated; here: the limit, 3.35 after 25 rounds",
    ),
    Reference(
        "effective_sample_size",
        "B = .02: best λ, error there, samples that it is worth",
        "1.19 0.744 1.34",
        lambda: [
            lam := effective_sample_size.best_lambda(0.02),
            risk := effective_sample_size.risk_fresh_real(lam, 0.02),
            1 / risk,
        ],
    ),
    Reference(
        "effective_sample_size",
        "best λ at B = .45, .6",
        "0.02 0",
        lambda: [effective_sample_size.best_lambda(B) for B in (0.45, 0.6)],
    ),
    Reference(
        "growing_data",
        "error after 2000 rounds, n_t = n, n(t+1), n(t+1)²",
        "2001 8.18 1.64",
        lambda: [growing_data.mean_error(power, 2000) for power in (0, 1, 2)],
    ),
    Reference("growing_data", "E σ_t/σ at n = 50, the same", "0.0000 0.9598 0.9917", _scales),
    Reference(
        "growing_data",
        "half-lives at n = 100: of the mean, of a typical path",
        "274.5 136.8",
        lambda: [float(half_life(100)), growing_data.typical_half_life(100)],
    ),
    Reference("growing_data", "where the variance is divided by n", "92 69", _half_lives_by_n),
    Reference(
        "frequencies_with_real_data",
        "squared distance after 8 rounds",
        "0.006278",
        lambda: [frequencies_with_real_data.squared_distance(_S, 2.0, 80, 8)],
    ),
    Reference(
        "accumulated_likelihood",
        "largest probability of a spike in the first round, m = n",
        "0.125",
        lambda: [_most_spikes()],
    ),
    Reference(
        "accumulated_likelihood",
        "95 % point of the first error, and the radius at T = 50 above 2.77",
        "1.97 2.77",
        lambda: [float(norm.isf(0.025)), accumulated_likelihood.radius(0.05, 50)],
        corrected="1.97 is simulated, 1.96 exact; 2.77 is the simulated point, and the radius a "
        "bound on it",
    ),
    Reference(
        "verifier",
        "scatter at n = 50, u = .5, 1, 2: to first order",
        "0.00162 0.00636 0.0386",
        lambda: [verifier.scatter(u) / 50 for u in (0.5, 1.0, 2.0)],
    ),
    Reference(
        "verifier",
        "the same, simulated",
        "0.00160 0.00642 0.0374",
        lambda: [verifier.stationary_variance(u, 50) for u in (0.5, 1.0, 2.0)],
        corrected="written: simulated; here: from the exact transition density",
    ),
    Reference(
        "verifier",
        "at u = 3: simulated, and to first order",
        "0.224 0.370",
        lambda: [verifier.stationary_variance(3.0, 50), verifier.scatter(3.0) / 50],
        corrected="written: simulated; here: from the exact transition density",
    ),
    Reference(
        "populations",
        "5 models, λ = 2: each draws its own, a shared pool, alone",
        "0.547 0.689 1.40",
        lambda: [
            populations.uniform_error(5, 2.0),
            populations.pooled_error(5, 2.0),
            populations.uniform_error(1, 2.0),
        ],
    ),
)
"""The numbers, in the order of docs/theory/literature.md."""


def table() -> Table:
    """Make a row for each reference: as written, as found here, and why they differ."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, title="Reference numbers")
    for column in ("statement", "quantity", "written", "here", "status"):
        shown.add_column(column, overflow="fold")
    for each in REFERENCES:
        digits = [len(one.partition(".")[2]) for one in each.written.split()]
        found = [f"{value:.{places}f}" for value, places in zip(each.found(), digits, strict=True)]
        status = f"corrected: {each.corrected}" if each.corrected else "reprinted"
        if not each.corrected and not each.agree():
            status = "[bold red]DIFFERS"
        shown.add_row(each.module, each.what, each.written, " ".join(found), status)
    return shown


if __name__ == "__main__":
    Console(width=150).print(table())
