"""Plans from the files of one round: the bias of that round, and a range over the response."""

import numpy as np

from stability.planning.forecast import Forecast, forecast
from stability.planning.functionals import Functionals
from stability.planning.pilot_plan import Rule
from stability.planning.plan_record import Curve, Plan
from stability.planning.response_curve import ResponseCurve

__all__ = ["RESPONSES", "answer_from_round"]

RESPONSES = (0.5, 1.0, 1.2)
"""J of the rows: a model that forgets, one that follows, one that exaggerates."""
MOST_ROWS = 12
ROUNDING = 1e-12
"""Standard deviations by which equal rows in another order may differ."""


def answer_from_round(
    functionals: Functionals,
    train: np.ndarray,
    samples: np.ndarray,
    rules: tuple[Rule, ...],
    n: int,
    generations: int,
    seed: int,
) -> Plan:
    """Plan from one training set and the draws of its model.

    Args:
        functionals: What is followed, from the real points.
        train: (k, d), the training set of the model.
        samples: (m, d), its draws.
        rules: The rows.
        n: Real points.
        generations: Retrainings T.
        seed: Of the simulated noises.

    Returns:
        The plan: each row once for each response of `RESPONSES`.

    Raises:
        RegimeError: If a regime looks at values.
    """
    r, s = functionals.means(train), functionals.means(samples)
    errors = functionals.values(samples).std(axis=0, ddof=1) / np.sqrt(len(samples))
    # none of m draws: at 95 %, the fraction is at most 3/m, whatever the scatter of equal draws
    few = np.where(functionals.fraction, -np.log(0.05) / 1.645, functionals.deviation)
    errors = np.maximum(errors, few / len(samples))
    sizes = len(train), len(samples)

    rows, curves = [], []
    for k, (name, lam, regime) in enumerate(rules):
        for response in RESPONSES:
            of_generation = [
                [_curve(*one, response, *sizes)] for one in zip(r, s, errors, strict=True)
            ]
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(102, k)))
            path = forecast(regime, functionals, of_generation, n, generations, rng)
            row, curve = _row(name, lam, response, path, functionals, n)
            rows.append(row)
            curves += [curve] if "shift" in row else []

    found = _biases(functionals, r, s, errors)
    shifts = [abs(row["shift"]) for row in rows if "shift" in row]
    tolerance = {"tolerance": min(shifts) + 2 / n**0.5} if shifts else {}
    return Plan(
        verdict=_verdict(rows, generations, found),
        question=f"What happens in {generations} rounds?",
        rows=tuple(rows),
        functionals=tuple(found[:MOST_ROWS]),
        conditions=_conditions(len(train), len(samples), n),
        curves=tuple(curves),
        axis="largest shift (standard deviations)",
        gate={"alpha": 0.05} | tolerance,
        inputs={"n": n, "generations": generations, "responses": list(RESPONSES)},
    )


def _curve(
    r: float, s: float, error: float, response: float, size: int, draws: int
) -> ResponseCurve:
    """The line through one round with an assumed slope."""
    return ResponseCurve(
        size=size,
        origin=r,
        width=1.0,
        coefficients=np.array([s - r, response - 1]),
        covariance=np.diag([error**2, 0.0]),
        excess=0.0,
        low=-np.inf,
        high=np.inf,
        at=np.array([r]),
        spread=np.array([error**2 * draws]),
    )


def _row(
    name: str,
    lam: float | None,
    response: float,
    path: Forecast,
    functionals: Functionals,
    n: int,
) -> tuple[dict, Curve]:
    last = path.model[:, -1]
    gaps = (last - functionals.mean[:, None]) / functionals.deviation[:, None]
    worst = int(abs(np.median(gaps, axis=1)).argmax())
    low, middle, high = (path.interval(worst) - functionals.mean[worst]) / functionals.deviation[
        worst
    ]

    row = {
        "regime": name,
        "lam": np.inf if lam is None else lam,
        "synthetic_fraction": path.synthetic_fraction,
        "response": response,
        "described": "J assumed" if path.possible.all() else "no: a fraction leaves [0, 1]",
    }
    if path.possible.all():  # otherwise a number would be none of this loop
        row |= {
            "error": float(np.sqrt(1 + n * (gaps**2).mean(axis=1)).max()),
            "shift": float(middle[-1]),
            "shift_of": functionals.names[worst],
        }

    label = (
        f"{name} at λ = {lam:g}, J = {response:g}"
        if lam is not None
        else f"{name}, J = {response:g}"
    )
    ends = (tuple(map(float, part)) for part in (middle, low, high))
    return row, Curve(label, *ends)


def _biases(
    functionals: Functionals, r: np.ndarray, s: np.ndarray, errors: np.ndarray
) -> list[dict]:
    """Bias of the round with its interval, the largest first."""
    bias, scale = s - r, functionals.deviation
    bias = np.where(abs(bias) > ROUNDING * scale, bias, 0.0)
    order = np.argsort(-abs(bias) / errors)
    return [
        {
            "functional": functionals.names[q],
            "real": float(functionals.mean[q]),
            "delta": float(bias[q] / scale[q]),
            "delta_low": float((bias[q] - 1.645 * errors[q]) / scale[q]),
            "delta_high": float((bias[q] + 1.645 * errors[q]) / scale[q]),
        }
        for q in order
    ]


def _verdict(rows: list[dict], generations: int, biases: list[dict]) -> str:
    """The range over J of the largest shift of each row."""
    parts = []
    for key in dict.fromkeys((row["regime"], row["lam"]) for row in rows):
        of_key = [row for row in rows if (row["regime"], row["lam"]) == key]
        own = [abs(row["shift"]) for row in of_key if "shift" in row]
        lam = "" if np.isinf(key[1]) else f" at λ = {key[1]:g}"
        reach = f"{min(own):.2g} to {max(own):.2g} sd" if own else "no linear forecast"
        outside = " where it is described" if len(own) < len(of_key) else ""
        parts.append(f"{key[0]}{lam}: {reach}{outside if own else ''}")
    worst, described = biases[0], [row for row in rows if "shift" in row]
    most = f" (most in {described[0]['shift_of']})" if described else ""
    return (
        f"Largest shift after {generations} rounds, over responses J from {RESPONSES[0]:g} to "
        f"{RESPONSES[-1]:g}, is, for {'; '.join(parts)}{most}; the round "
        f"itself moved {worst['functional']} by {worst['delta']:+.2g} sd."
    )


def _conditions(train: int, samples: int, n: int) -> tuple[str, ...]:
    return (
        f"From one round: {train} points trained on, {samples} draws, {n} real points.",
        "One round knows neither the response J nor the noise of training: rows assume J, and "
        "whether a linear model describes this one takes three rounds, or refits (--learner).",
        "The bias is that of this size of training set; bandwidths and early stopping change with "
        "size.",
    )
