"""Do the forecasts of `plan` hold? A pilot of two rounds, then the loop: python -m
benchmarks.forecast_calibration

For each learner, data set, regime and λ, 90 % intervals of every functional are made from a pilot,
and compared with loops on other seeds at t = 2, 5, 10, 20. Beside the coverage (held) stand the
widths of the intervals, the coverage of what the forecast moves (foreseen) and of what the loop
moved, the skill against "nothing changes" (the pilot's own value at t = 0), and how many cases were
refused because the pilot's curves do not describe the loop, or not that far.

What the loop moved is chosen by what it did, so that noise which carries a path out of its interval
makes it a mover: the coverage that is due there, if every forecast is right, is that of the
forecasts' own paths.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.tree import DecisionTreeRegressor

from benchmarks.at_least_one import require_at_least_one
from benchmarks.fraud_plan import RoundingCopula, fraud_table
from stability import Accumulate, FreshReal, FullySynthetic, Mix, from_estimator, retrain
from stability.planning.forecast import LEVEL, PATHS, forecast
from stability.planning.functionals import Functionals, of_points
from stability.planning.pilot import response_curves, run_pilot
from stability.planning.pilot_plan import PilotQuestion, Rule, answer_from_pilot, sizes_of
from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console
from stability.runs.table_schema import TableSchema
from stability.runs.untrusted import UntrustedFileError, parse_json, read_bytes
from toy.learners.ddpm import DDPMLearner
from toy.learners.flow import SplineFlowLearner
from toy.learners.ot_cfm import OTCFMLearner
from toy.learners.settings import DDPMConfig, OTCFMConfig, SplineFlowConfig, VAEConfig
from toy.learners.vae import VAELearner

HORIZONS = (2, 5, 10, 20)
ENDS = ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)
"""Quantiles of an interval and of its middle."""
LARGEST_RESULTS = 2**28
MOVED = 0.1
"""Standard deviations of a point by which a functional that moves has moved since t = 0."""


@dataclass(frozen=True)
class Benchmark:
    """Count how often forecasts hold."""

    points: int = 300
    """n: real points of each case."""
    seeds: int = 2
    """Loops a case."""
    repeats: int = 3
    """Repeats of each pilot."""
    seed: int = 1
    """Seed of the data, pilots and loops."""
    lam: tuple[float, ...] = (0.3, 1.0)
    """Synthetic points per real point."""
    regimes: tuple[str, ...] = ()
    """Regimes of the grid, by name; the pilot refits at the sizes that they train at. None: all."""
    learners: tuple[str, ...] = ()
    """Learners of the grid, by name. None: all of them."""
    data: tuple[str, ...] = ()
    """Data sets of the grid, by name. None: all of them that a learner takes."""
    from_scratch: bool = False
    """Start each fit of a loop from newly drawn parameters, as the pilot's fits do; networks
    otherwise go on from their last ones."""
    results: Path | None = None
    """JSON file that keeps the cases of each finished pair of learner and data set; pairs that it
    has are not run again."""

    def __post_init__(self) -> None:
        require_at_least_one(self, apart_from=("regimes", "learners", "data", "results"))
        for name, known in (("regimes", REGIMES), ("learners", LEARNERS), ("data", DATA)):
            for given in getattr(self, name):
                if given not in known:
                    raise ValueError(f"--{name} must be of {', '.join(known)}, got {given}")


@dataclass(frozen=True)
class Case:
    """One functional of one loop at one horizon.

    Attributes:
        learner: Name of the learner.
        data: Name of the data.
        regime: Name of the regime.
        horizon: t.
        low: Lower end of the interval, in standard deviations of a point from the real mean.
        middle: Median of the forecast.
        high: Upper end.
        still: Value of "nothing changes".
        seen: What the loop did.
        start: What it was at t = 0.
        described: Whether the plan stood by its forecast at this horizon.
        likely_moves: Probability to move, by the forecast's own paths.
        likely_holds: Probability to move and to lie in the interval, by the same paths.
    """

    learner: str
    data: str
    regime: str
    horizon: int
    low: float
    middle: float
    high: float
    still: float
    seen: float
    start: float
    described: bool
    likely_moves: float = 0.0
    likely_holds: float = 0.0

    @property
    def holds(self) -> bool:
        """True if the interval holds what was seen."""
        return self.low <= self.seen <= self.high

    @property
    def moves(self) -> bool:
        """True if the loop moved this functional."""
        return abs(self.seen - self.start) > MOVED

    @property
    def foreseen(self) -> bool:
        """True if the forecast moves this functional: known before the loop runs."""
        return abs(self.middle - self.still) > MOVED


class SequentialTrees:
    """A tree-based synthesizer: a column is drawn from the leaf that earlier columns lead to."""

    def fit(self, points: np.ndarray) -> None:
        """Grow a tree for each column after the first, and keep the values in its leaves.

        Args:
            points: Training set, (n, d).
        """
        self.first = points[:, 0]
        self.trees, self.leaves = [], []
        for j in range(1, points.shape[1]):
            tree = DecisionTreeRegressor(min_samples_leaf=10, random_state=0)
            tree.fit(points[:, :j], points[:, j])
            at = tree.apply(points[:, :j])
            self.trees.append(tree)
            self.leaves.append({leaf: points[at == leaf, j] for leaf in np.unique(at)})

    def sample(self, count: int, seed: int) -> np.ndarray:
        """Draw rows, column after column.

        Args:
            count: Number of rows.
            seed: Seed of the draws.

        Returns:
            (count, d).
        """
        rng = np.random.default_rng(seed)
        drawn = rng.choice(self.first, count)[:, None]
        for tree, leaves in zip(self.trees, self.leaves, strict=True):
            at = tree.apply(drawn)
            column = np.empty(count)
            for leaf in np.unique(at):
                column[at == leaf] = rng.choice(leaves[leaf], int((at == leaf).sum()))
            drawn = np.column_stack([drawn, column])
        return drawn


def ring(n: int, rng: np.random.Generator) -> np.ndarray:
    """Two noisy circles.

    Args:
        n: Number of rows.
        rng: Source of the draws.

    Returns:
        (n, 2).
    """
    angle, radius = rng.uniform(0, 2 * np.pi, n), rng.choice([1.0, 2.0], n)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    return radius[:, None] * circle + 0.1 * rng.standard_normal((n, 2))


def skewed(n: int, rng: np.random.Generator) -> np.ndarray:
    """Three correlated columns, one of them lognormal.

    Args:
        n: Number of rows.
        rng: Source of the draws.

    Returns:
        (n, 3).
    """
    z = rng.standard_normal((n, 3))
    return np.column_stack([z[:, 0], z[:, 0] + z[:, 1], np.exp(0.5 * z[:, 1] + 0.5 * z[:, 2])])


_SCHEMA = TableSchema.of(fraud_table(5000, np.random.default_rng(0)), ("new_device", "fraud"))


def fraud(n: int, rng: np.random.Generator) -> np.ndarray:
    """The fraud table, encoded.

    Args:
        n: Number of rows.
        rng: Source of the draws.

    Returns:
        (n, d).
    """
    return _SCHEMA.encode(fraud_table(n, rng))


def moons(n: int, rng: np.random.Generator) -> np.ndarray:
    """Two half circles, standardised.

    Args:
        n: Number of rows.
        rng: Source of the draws.

    Returns:
        (n, 2).
    """
    angle, upper = rng.uniform(0, np.pi, n), rng.random(n) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    noisy = np.column_stack([x, y]) + 0.1 * rng.standard_normal((n, 2))
    return (noisy - [0.5, 0.25]) / [0.87, 0.5]


DATA = {"ring": ring, "skewed": skewed, "fraud table": fraud, "moons": moons}
SCOTT: Any = {"bandwidth": "scott"}
LEARNERS: dict[str, Callable[[int], Any]] = {
    "Gaussian": from_estimator(lambda seed: GaussianMixture(1, random_state=seed)),
    "mixture of 4": from_estimator(lambda seed: GaussianMixture(4, random_state=seed)),
    "kernel density": from_estimator(lambda seed: KernelDensity(**SCOTT)),
    "trees": from_estimator(lambda seed: SequentialTrees()),
    "copula": from_estimator(lambda seed: RoundingCopula(), schema=_SCHEMA),
    "VAE": lambda chains: VAELearner(chains, VAEConfig(epochs=60, width=32)),
    "spline flow": lambda chains: SplineFlowLearner(
        chains, SplineFlowConfig(epochs=30, width=32, couplings=2, bins=8)
    ),
    "OT-CFM": lambda chains: OTCFMLearner(chains, OTCFMConfig(epochs=40, plan=32, width=32)),
    "DDPM": lambda chains: DDPMLearner(
        chains, DDPMConfig(epochs=100, width=32, layers=2, diffusion_steps=25)
    ),
}
TAKES = dict.fromkeys(LEARNERS, ("ring", "skewed", "fraud table"))
"""Data sets of each learner: networks are in the plane and quick, the copula takes a table."""
TAKES |= {"copula": ("fraud table",)}
TAKES |= dict.fromkeys(("VAE", "spline flow", "OT-CFM", "DDPM"), ("ring", "moons"))


REGIMES = {"mix": Mix, "accumulate": Accumulate, "fresh": FreshReal, "synthetic": FullySynthetic}


def rules(lams: Sequence[float], names: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The regimes of the grid.

    Args:
        lams: λ of each regime that has one.
        names: Of `REGIMES`; none: all.

    Returns:
        Name, λ (None: it has none) and regime of each.
    """
    found: list[Rule] = []
    for name in names or REGIMES:
        if name == "synthetic":
            found.append((name, None, FullySynthetic()))
        else:
            found += [(name, lam, REGIMES[name](lam)) for lam in lams]
    return tuple(found)


def cases(
    benchmark: Benchmark, learner: str, data: str, seed: int, horizons: Sequence[int] = HORIZONS
) -> Iterator[Case]:
    """Forecast and run every regime of one learner on one data set.

    Args:
        benchmark: The options.
        learner: Of `LEARNERS`.
        data: Of `DATA`.
        seed: Of data, pilot and loops.
        horizons: t of the comparison.

    Yields:
        The cases.
    """
    law: Callable = DATA[data]
    rng = np.random.default_rng(seed)
    real = law(benchmark.points, rng)
    functionals = of_points(real)
    grid, rounds = rules(benchmark.lam, benchmark.regimes), max(horizons)
    pilot = run_pilot(
        LEARNERS[learner],
        real,
        functionals,
        sizes_of(grid, len(real), rounds),
        repeats=benchmark.repeats,
        seed=seed,
    )
    curves = response_curves(pilot)
    shown = answer_from_pilot(pilot, PilotQuestion(grid, rounds, seed)).rows
    first = [r.model for r in pilot.refits if r.fraction == 0 and r.size == len(real)]
    still = (np.mean(first, axis=0) - functionals.mean) / functionals.deviation
    noise = rng.standard_normal((len(functionals.names), PATHS)) / np.sqrt(pilot.draws)
    at_start = noise[:, ::-1]  # of path p, the noise that measures it at t = 0 is another path's

    loops = _loops(
        LEARNERS[learner],
        law,
        real,
        grid,
        functionals,
        rounds,
        pilot.draws,
        range(seed + 1000, seed + 1000 + benchmark.seeds),
        benchmark.from_scratch,
    )

    for chain, ((name, lam, regime), row) in enumerate(zip(grid, shown, strict=True)):
        path = forecast(regime, functionals, curves, len(real), rounds, rng)
        label = name if lam is None else f"{name} {lam:g}"
        limit = _end_of_description(row["described"], rounds)

        for seen in loops[:, :, chain]:
            for t in horizons:
                began, paths = (
                    _standardised(path.model[:, at], functionals) + error
                    for at, error in ((0, at_start), (t, noise))
                )
                ends = np.quantile(paths, ENDS, axis=1)
                moves = abs(paths - began) > MOVED
                holds = moves & (paths >= ends[0][:, None]) & (paths <= ends[2][:, None])
                for q in range(len(functionals.names)):
                    yield Case(
                        learner,
                        data,
                        label,
                        t,
                        *map(float, ends[:, q]),
                        still=float(still[q]),
                        seen=float(seen[t, q]),
                        start=float(seen[0, q]),
                        described=t < limit,
                        likely_moves=float(moves[q].mean()),
                        likely_holds=float(holds[q].mean()),
                    )


def _loops(
    learner: Callable[[int], Any],
    law: Callable,
    real: np.ndarray,
    grid: Sequence[Rule],
    functionals: Functionals,
    rounds: int,
    draws: int,
    seeds: Sequence[int],
    from_scratch: bool,
) -> np.ndarray:
    """Functionals as the loops show them, in standard deviations, (seeds, T + 1, regimes, q)."""

    def measured(drawn: np.ndarray) -> np.ndarray:
        return (functionals.means(drawn[:draws]) - functionals.mean) / functionals.deviation

    return np.array(
        [
            [
                [measured(drawn) for drawn in generation.samples]
                for generation in retrain(
                    learner(len(grid)),
                    [real] * len(grid),
                    [regime for _, _, regime in grid],
                    rounds,
                    seed=seed,
                    streams=[0] * len(grid),
                    draws=draws,
                    fresh=lambda n, rng: law(n, rng),
                    from_scratch=from_scratch,
                )
            ]
            for seed in seeds
        ]
    )


def _end_of_description(described: str, rounds: int) -> int:
    """First t that the plan does not stand by: "yes", "no" or "t < 7"."""
    limit = {"yes": rounds + 1, "no": 0}.get(described)
    return int(described.removeprefix("t < ")) if limit is None else limit


def _standardised(model: np.ndarray, functionals: Functionals) -> np.ndarray:
    """Paths of the model's functionals, in standard deviations of a point, (q, paths)."""
    return (model - functionals.mean[:, None]) / functionals.deviation[:, None]


def summary(title: str, found: Sequence[Case], key: Callable[[Case], str]) -> Table:
    """Coverage, width, skill and refusals by a key.

    Args:
        title: Head of the first column.
        found: The cases.
        key: Group of a case.

    Returns:
        The table.
    """
    table = Table(box=SIMPLE_HEAD)
    heads = (title, "cases", "refused", "held", "width", "foreseen", "held", "moved", "held", "due")
    for head in (*heads, "skill"):
        table.add_column(head)
    groups = [*dict.fromkeys(map(key, found)), "all"]
    for group in groups:
        own = [case for case in found if group == "all" or key(case) == group]
        table.add_row(group, *_numbers(own))
    return table


def _numbers(own: Sequence[Case]) -> list[str]:
    stood = [case for case in own if case.described]
    moved = [case for case in stood if case.moves]
    foreseen = [case for case in stood if case.foreseen]
    missed = sum((case.middle - case.seen) ** 2 for case in stood)
    still = sum((case.still - case.seen) ** 2 for case in stood)
    # movers are found by what they did: this part of them is held if every forecast is right
    due = sum(case.likely_holds for case in stood) / max(
        sum(case.likely_moves for case in stood), 1e-12
    )
    width = np.median([case.high - case.low for case in stood]) if stood else np.nan
    return [
        str(len(own)),
        f"{1 - len(stood) / len(own):.2f}",
        f"{np.mean([case.holds for case in stood]):.2f}" if stood else "",
        f"{width:.2f}",
        str(len(foreseen)),
        f"{np.mean([case.holds for case in foreseen]):.2f}" if foreseen else "",
        str(len(moved)),
        f"{np.mean([case.holds for case in moved]):.2f}" if moved else "",
        f"{due:.2f}" if moved else "",
        f"{1 - missed / still:.2f}" if still else "",
    ]


def kept_cases(benchmark: Benchmark) -> dict[str, list[Case]]:
    """Read the pairs that the file of results has.

    Args:
        benchmark: The options.

    Returns:
        Cases of each finished pair, by its name; none without a file.

    Raises:
        UsageError: If the file is none of ours, or of other options.
    """
    path = benchmark.results
    if path is None or not path.exists():
        return {}
    try:
        content = parse_json(read_bytes(path, LARGEST_RESULTS), LARGEST_RESULTS)
        options, pairs = content["options"], content["pairs"]
        found = {name: [Case(**case) for case in own] for name, own in pairs.items()}
    except (UntrustedFileError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"--results {path}: is no file of this command ({error})") from None
    if options != _options(benchmark):
        raise UsageError(f"--results {path}: is of other options: {json.dumps(options)}")
    return found


def _options(benchmark: Benchmark) -> dict[str, Any]:
    """Options that the cases depend on, as JSON gives them back."""
    chosen = dataclasses.asdict(benchmark)
    for name in ("learners", "data", "results"):
        del chosen[name]
    return chosen | {"lam": list(benchmark.lam), "regimes": list(benchmark.regimes)}


def _keep(benchmark: Benchmark, pairs: dict[str, list[Case]]) -> None:
    if benchmark.results is None:
        return
    own = {name: [dataclasses.asdict(case) for case in found] for name, found in pairs.items()}
    with atomic_write(benchmark.results) as file:
        file.write(json.dumps({"options": _options(benchmark), "pairs": own}).encode())


def run(benchmark: Benchmark) -> None:
    """Run the grid and print the tables.

    Args:
        benchmark: The options.

    Raises:
        UsageError: If the options leave nothing of the grid, or the results are of others.
    """
    console = make_console()
    console.width = max(console.width, 110)
    found: list[Case] = []
    kept = kept_cases(benchmark)
    for learner in LEARNERS:
        for data in TAKES[learner]:
            if (benchmark.learners and learner not in benchmark.learners) or (
                benchmark.data and data not in benchmark.data
            ):
                continue
            pair = f"{learner}, {data}"
            if pair not in kept:
                kept[pair] = list(cases(benchmark, learner, data, benchmark.seed))
                _keep(benchmark, kept)
            found += kept[pair]
            console.print(f"{pair}: {' '.join(_numbers(kept[pair]))}", soft_wrap=True)

    if not found:
        raise UsageError("--learners and --data leave nothing of the grid")
    for title, key in (
        ("t", lambda case: str(case.horizon)),
        ("regime", lambda case: case.regime),
        ("learner", lambda case: case.learner),
        ("data", lambda case: case.data),
    ):
        console.print(summary(title, found, key))


if __name__ == "__main__":
    command(Benchmark, run)
