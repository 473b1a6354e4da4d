"""A fraud table: the sentence of a pilot, and the loops that prove it right or wrong: python -m
benchmarks.fraud_plan

The table has 3000 rows with 5 % fraud. The model is a Gaussian copula that takes yes/no columns for
numbers and rounds them at one half, so that each fit loses part of a rare class. `plan` sees two
rounds. Then loops of twelve rounds run on other seeds, and are scored on 50,000 held-out rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.at_least_one import require_at_least_one
from stability import Mix, Plan, from_estimator, plan, retrain
from stability.planning.pilot import SCORED_SETS
from stability.planning.plan_inputs import read_real_points
from stability.planning.target_score import precision_score
from stability.runs.command_line import command
from stability.runs.console import make_console


@dataclass(frozen=True)
class Benchmark:
    """Plan a fraud table from a pilot, then run the loops."""

    rows: int = 3000
    """Rows of the real table."""
    held_out: int = 50_000
    """Held-out rows of the same law."""
    seeds: int = 5
    """Loops a row of the plan, on seeds that the pilot did not use."""
    generations: int = 12
    """Retrainings."""
    repeats: int = 3
    """Repeats of the pilot."""
    lam: tuple[float, ...] = field(default=(0.0, 0.03, 0.1, 0.3, 1.0))
    """Synthetic rows per real row."""
    seed: int = 1
    """Seed of the table; pilot and loops have seeds of their own from it."""

    def __post_init__(self) -> None:
        require_at_least_one(self)


def fraud_table(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a table with 5 % fraud.

    Args:
        rows: Its rows.
        rng: For the draws.

    Returns:
        Five columns: amount, distance, age, new_device (yes/no), fraud (yes/no).
    """
    fraud = rng.random(rows) < 0.05
    return pd.DataFrame(
        {
            "amount": np.exp(rng.standard_normal(rows) + 0.9 * fraud),
            "distance": rng.standard_normal(rows) + 1.2 * fraud,
            "age": rng.integers(18, 80, rows),
            "new_device": (rng.random(rows) < np.where(fraud, 0.5, 0.2)).astype(int),
            "fraud": fraud.astype(int),
        }
    )


class RoundingCopula:
    """A Gaussian copula: yes/no columns are numbers of normal law, rounded at one half."""

    def fit(self, table: pd.DataFrame) -> None:
        """Learn margins and the correlation of normal scores.

        Args:
            table: Training set, all of it numbers; columns of 0 and 1 are yes/no.
        """
        self.columns = list(table.columns)
        x = table.to_numpy(dtype=float)
        self.is_binary = [bool(np.isin(column, (0.0, 1.0)).all()) for column in x.T]
        self.sorted = [np.sort(column) for column in x.T]
        self.mean, self.sd = x.mean(axis=0), x.std(axis=0)
        z = (x - self.mean) / np.maximum(self.sd, 1e-9)
        for j, is_binary in enumerate(self.is_binary):
            if not is_binary:
                z[:, j] = norm.ppf((x[:, j].argsort().argsort() + 0.5) / len(x))
        self.root = np.linalg.cholesky(np.cov(z.T) + 1e-6 * np.eye(x.shape[1]))

    def sample(self, count: int, seed: int) -> pd.DataFrame:
        """Draw rows.

        Args:
            count: Number of rows.
            seed: Seed of the draws.

        Returns:
            A table with the columns of the training set.
        """
        z = np.random.default_rng(seed).standard_normal((count, len(self.mean))) @ self.root.T
        drawn = {}
        for j, name in enumerate(self.columns):
            if self.is_binary[j]:
                drawn[name] = (self.mean[j] + self.sd[j] * z[:, j] > 0.5).astype(int)
            else:
                drawn[name] = np.quantile(self.sorted[j], norm.cdf(z[:, j]))
        return pd.DataFrame(drawn)


def run(benchmark: Benchmark) -> None:
    """Plan, run the loops, and print both.

    Args:
        benchmark: The options.
    """
    console = make_console()
    table_seed, held_seed = np.random.SeedSequence(benchmark.seed).spawn(2)
    table = fraud_table(benchmark.rows, np.random.default_rng(table_seed))
    found = plan(
        table,
        learner=RoundingCopula,
        lam=benchmark.lam,
        generations=benchmark.generations,
        target="fraud",
        budget="target_ap >= 0.95x",
        repeats=benchmark.repeats,
        seed=benchmark.seed,
    )
    console.print(f"plan: {found.verdict}\n", soft_wrap=True)

    points = read_real_points(table)
    held_out = fraud_table(benchmark.held_out, np.random.default_rng(held_seed))
    assert points.schema is not None  # it is a table
    held = points.schema.encode(held_out)
    score = precision_score(points.values, points.names, "fraud")
    reference = score(points.values, held)
    console.print(
        f"average precision of a classifier trained on the {benchmark.rows} real rows, on "
        f"{benchmark.held_out} held-out rows: {reference:.3f}; 0.95x of it is the budget\n",
        soft_wrap=True,
    )
    for lam, row in zip(benchmark.lam, found.rows, strict=True):
        ratios, fractions = _loops(benchmark, points, held, lam)
        ratios /= reference
        mean = ratios.mean(axis=0)
        kept = int((ratios[:, 1:].mean(axis=1) >= 0.95).sum())
        console.print(
            f"λ = {lam:g}: {row['keeps']}, {_forecast(row)} | loops: {mean[-1]:.2f} at t = "
            f"{benchmark.generations}, {mean[1:].min():.2f} in the worst round, rounds' mean >= "
            f"0.95 in {kept} of {benchmark.seeds} seeds ("
            + " ".join(f"{x:.2f}" for x in ratios[:, 1:].mean(axis=1))
            + f"); fraud at t = {benchmark.generations}: {_fraction(found, lam)}, loops "
            + " ".join(f"{x:.4f}" for x in fractions[:, -1]),
            soft_wrap=True,
        )


def _forecast(row: Mapping[str, Any]) -> str:
    """The score of a row, or why there is none."""
    if row["described"] == "no":
        return row["reason"]
    return f"forecast {row['target']:.2f} ({row['target_low']:.2f} to {row['target_high']:.2f})"


def _fraction(found: Plan, lam: float) -> str:
    """The forecast of the fraud share, if there is one."""
    for c in found.categories:
        if c["lam"] == lam:
            ends = f"({c['forecast_low']:.4f} to {c['forecast_high']:.4f})"
            return f"forecast {c['forecast']:.4f} {ends}"
    return "no forecast"


def _loops(
    benchmark: Benchmark, points, held: np.ndarray, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and fractions of fraud of each seed and generation, (seeds, T + 1) each."""
    recipe = from_estimator(lambda seed: RoundingCopula(), schema=points.schema)
    score = precision_score(points.values, points.names, "fraud")
    scores, fractions = [], []
    for k in range(benchmark.seeds):
        loop = retrain(
            recipe(1),
            [points.values],
            [Mix(lam)],
            benchmark.generations,
            seed=1000 + 100 * benchmark.seed + k,
            draws=SCORED_SETS * benchmark.rows,
        )
        drawn = [generation.samples[0] for generation in loop]
        scores.append([score(x, held) for x in drawn])
        fractions.append([x[:, score.coordinate].mean() for x in drawn])
    return np.array(scores), np.array(fractions)


if __name__ == "__main__":
    command(Benchmark, run)
