"""Mutation testing of the instrument itself: python -m tests.support.mutants

A list of plausible mathematical slips (signs, n against n − 1, roots, factors of 2, one law for
another). Each is applied alone, to a copy of the library in a temporary folder, and the cases of
the statement that must notice are examined there. A slip that no verdict notices survives: the
command would not tell a user of a broken copy. Results are kept as lines of JSON, and a run that
is repeated does only what is missing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]

_EXAMINE = """
import inspect, sys
import numpy as np
from stability.statements import import_statement
module = import_statement(sys.argv[1])
random = "rng" in inspect.signature(module.check).parameters
rng = np.random.default_rng(int(sys.argv[2]))
for case in module.GRID:
    for verdict in module.check(**case, **({"rng": rng} if random else {})):
        if verdict.status == "violated":
            print("violated:", verdict.claim)
            sys.exit(1)
"""


@dataclass(frozen=True)
class Slip:
    """One mathematical mistake.

    Attributes:
        file: Path in `stability`.
        old: Text that occurs there once.
        new: What stands in its place.
        statement: Whose cases must notice.
    """

    file: str
    old: str
    new: str
    statement: str


@dataclass(frozen=True)
class Result:
    """The fate of a slip.   killed_by: the claim that is violated, an error, or ""."""

    slip: Slip
    killed_by: str


SLIPS: tuple[Slip, ...] = tuple(
    Slip(file, old, new, statement)
    for statement, file, replacements in (
        (
            "lemma_a1",
            "gaussian/alpha.py",
            {
                "x = (n - 1) / 2\n": "x = n / 2\n",
                "return np.exp(log_alpha(n))": "return np.exp(2 * log_alpha(n))",
            },
        ),
        (
            "lemma_a1",
            "statements/lemma_a1.py",
            {
                "var(axis=1, ddof=1)": "var(axis=1)",
                "measured=_distance((n - 1) * first": "measured=_distance(n * first",
            },
        ),
        (
            "lemma_a2",
            "statements/lemma_a2.py",
            {
                "scatter(z @ root) / (n - 1)": "scatter(z @ root) / n",
                "radius / math.sqrt(freedom) *": "radius / freedom *",
                "return root @ S @ root / (n - 1)": "return root @ S / (n - 1)",
            },
        ),
        (
            "proposition1",
            "gaussian/collapse.py",
            {
                "standard_gamma((self.n - 1 - j) / 2, chains)": "standard_gamma((self.n - j) / "
                "2, chains)",
                "np.sqrt(2 / (self.n - 1) *": "np.sqrt(2 / self.n *",
            },
        ),
        (
            "proposition2",
            "statements/proposition2.py",
            {
                "variances[0] ** 2 / 2)": "variances[0] ** 2)",
                "basis, mu - x)": "basis, x - mu)",
                "gap[:, None] / 2 - share": "gap[:, None] - share",
            },
        ),
        (
            "gaussian_exponents",
            "gaussian/lyapunov.py",
            {
                "x = (n - i) / 2\n": "x = (n - i - 1) / 2\n",
                "return 2 * float(lyapunov_spectrum": "return float(lyapunov_spectrum",
                "np.log1p(-(i - 1) / (n - 1))": "np.log1p(-i / (n - 1))",
            },
        ),
        (
            "gaussian_exponents",
            "gaussian/alpha.py",
            {"-math.log(2) / log_alpha(n)": "-1 / log_alpha(n)"},
        ),
        (
            "collapse_tail",
            "statements/literature/collapse_tail.py",
            {
                "math.exp(-t / (4 * n)) / level": "math.exp(-t / (4 * (n - 1))) / level",
                "half = (n - 1) / 2": "half = n / 2",
                "power - s * math.log(level)": "power + s * math.log(level)",
            },
        ),
        (
            "lemma_e1",
            "analysis/jacobian.py",
            {
                "np.linalg.solve(A + lam * B, lam * B)": "-np.linalg.solve(A + lam * B, lam * B)",
            },
        ),
        (
            "local_stability",
            "analysis/jacobian.py",
            {
                "scipy.linalg.eigh(-(B + B.T) / 2, -(A + A.T) / 2)": "scipy.linalg.eigh(-(A + "
                "A.T) / 2, -(B + B.T) / 2)",
            },
        ),
        (
            "local_stability",
            "families/student_t.py",
            {
                "location = (self.nu + 1) / (self.nu + 3)": "location = (self.nu + 1) / (self.nu "
                "+ 2)",
            },
        ),
        (
            "local_stability",
            "analysis/local_analysis.py",
            {"math.log(0.5) / math.log(self.rho)": "-1 / math.log(self.rho)"},
        ),
        (
            "local_stability",
            "statements/local_stability.py",
            {"return lam * mu / (1 + lam * mu)": "return lam * mu / (1 + mu)"},
        ),
        (
            "local_stability",
            "analysis/bounds.py",
            {"return q / (1 + q) if": "return q / (2 + q) if"},
        ),
        (
            "theorem1",
            "analysis/bounds.py",
            {
                "return q / (1 - q) if q < 1": "return q / (1 - q / 2) if q < 1",
                "lam * (1 + lipschitz * eps / alpha)": "lam * (1 + lipschitz * eps * alpha)",
            },
        ),
        (
            "theorem1",
            "analysis/local_analysis.py",
            {
                "Bracket(0.5 / one_plus.high, 0.5 / one_plus.low)": "Bracket(1 / one_plus.high, "
                "1 / one_plus.low)",
            },
        ),
        (
            "theorem1",
            "statements/theorem1.py",
            {'Premise("λ(1 + Lε/α)", "<", 0.5)': 'Premise("λ(1 + Lε/α)", "<", 1.0)'},
        ),
        (
            "theorem1_sharp",
            "analysis/bounds.py",
            {
                "against = q - 2 * lam": "against = q - lam",
                "return max(q / (1 + q), against / (1 - against))": "return q / (1 + q)",
            },
        ),
        (
            "assumption1",
            "analysis/lipschitz_search.py",
            {"for k in range(11)": "for k in range(1)"},
        ),
        (
            "assumption1",
            "families/student_t.py",
            {
                "(2 * sin**3 * cos**3 - 6 * sin * cos**5)": "(2 * sin**3 * cos**3 + 6 * sin * "
                "cos**5)",
            },
        ),
        (
            "assumption1",
            "families/lipschitz.py",
            {"return float(degree**2)": "return float(degree)"},
        ),
        (
            "theorem2",
            "statements/assumption3.py",
            {
                "return self.step(n, delta / t)": "return self.step(n, delta)",
                "a=2 * math.sqrt(values[-1])": "a=math.sqrt(values[-1])",
                "max(local.norm, _pull(images[1:], grid[1:], centre))": "0.5 * local.norm",
                "steps=steps.amax(1)[None].numpy()": "steps=steps[:, :1].T.numpy()",
                "return Constants(2 * self.tau /": "return Constants(self.tau / 4 /",
                "2 ** (self.d / 2), self.eps_opt)": "2 ** (self.d / 2), 0.0)",
                "self.tau**2 / n * mixed(lam, t)": "self.tau**2 / n * mixed(lam)  / mixed(lam) "
                "** 2",
            },
        ),
        (
            "proposition1",
            "statements/proposition1.py",
            {"gap.swapaxes(1, 2) @ gap / (x.shape[1] - 1)": "x.swapaxes(1, 2) @ x / x.shape[1]"},
        ),
        (
            "misspecified_error",
            "statements/misspecified_error.py",
            {"np.stack([2 + theta, 1 - theta,": "np.stack([2 - theta, 1 + theta,"},
        ),
        (
            "theorem2",
            "statements/theorem2.py",
            {"return c * powers.sum() +": "return 0.2 * c * powers.sum() +"},
        ),
        (
            "stationary_error",
            "statements/stationary_error.py",
            {
                "return 1 + _excess(lam, t)": "return 1 + 2 * _excess(lam, t)",
                "return 1 - _excess(lam, t)": "return 1 + _excess(lam, t)",
                "lam * (1 - _rho(lam) ** t) ** 2": "lam * (1 - _rho(lam) ** t)",
                "polygamma(1, 1 + t + 1 / lam)": "polygamma(1, t + 1 / lam)",
                "return t + 1\n": "return t\n",
            },
        ),
        (
            "stationary_error",
            "gaussian/mixed.py",
            {
                "square = 1 + 2 / (n - 1)": "square = 1 + 1 / (n - 1)",
                "w * rng.chisquare(m - 1, chains)": "w * rng.chisquare(m, chains) * 1.02",
            },
        ),
        (
            "misspecified_error",
            "analysis/local_analysis.py",
            {
                "np.linalg.solve(self.A, self.C).T) / self.n": "np.linalg.solve(self.A, "
                "self.fisher).T) / self.n",
            },
        ),
        (
            "misspecified_error",
            "analysis/jacobian.py",
            {"np.linalg.solve(A + 2 * lam * B,": "np.linalg.solve(A + lam * B,"},
        ),
        (
            "misspecified_error",
            "statements/stationary_error.py",
            {"return V - power @ V @ power.T": "return V"},
        ),
        (
            "path_of_refits",
            "statements/literature/path_of_refits.py",
            {
                "return first + 1.0": "return first + 2.0",
                "first] - 1\n            )": "first] - 0.5\n            )",
            },
        ),
        (
            "weighted_real",
            "statements/literature/weighted_real.py",
            {
                "limit = (w**2 + k * (1 - w) ** 2) / (2 * w - w**2)": "limit = (w**2 + (1 - w) "
                "** 2) / (2 * w - w**2)",
                "return 2 / (1 + math.sqrt(1 + 4 / k))": "return 2 / (1 + math.sqrt(1 + 2 / k))",
                "k * (1 - w) ** 2 / (2 * w - w**2) * (1": "k * (1 - w) ** 2 / (2 * w) * (1",
            },
        ),
        (
            "discrete_collapse",
            "statements/literature/discrete_collapse.py",
            {
                "(1 - 1 / n) ** t * (1 - start)": "(1 - 1 / (n + 1)) ** t * (1 - start)",
                "-math.expm1(-k / t)": "-math.expm1(-3 * k / t)",
            },
        ),
        (
            "discrete_collapse",
            "laws/wright_fisher.py",
            {
                "law = law @ transition\n    return law\n": "law = transition @ law\n    return "
                "law\n",
            },
        ),
        (
            "correction",
            "statements/literature/correction.py",
            {
                "return lam * mu / ((1 + lam * mu) * (1 + gamma))": "return lam * mu / (1 + lam "
                "* mu * (1 + gamma))",
                "return jacobian(A, B, lam) / (1 + gamma)": "return jacobian(A, B, lam / (1 + "
                "gamma))",
            },
        ),
        (
            "sampler_bias",
            "diffusion/step_samplers.py",
            {
                "small = beta * (1 - before) / (1 - after)": "small = beta * (1 - after) / (1 - "
                "before)",
                "to_x=np.sqrt(alpha) * (1 - before) / (1 - after)": "to_x=alpha * (1 - before) / "
                "(1 - after)",
                "to_x0=beta * np.sqrt(before) / (1 - after)": "to_x0=beta * before / (1 - after)",
                "to_x = np.sqrt((1 - before) / (1 - after))": "to_x = (1 - before) / (1 - after)",
                "out = gain * gain * out + self.sd[i] ** 2": "out = gain * gain * out + self.sd[i]",
            },
        ),
        (
            "sampler_bias",
            "diffusion/heun.py",
            {"(slope + euler * end / (v + end**2)) / 2": "(slope + end / (v + end**2)) / 2"},
        ),
        (
            "sampler_bias",
            "diffusion/multistep.py",
            {"return gain * gain": "return gain * gain * self.start"},
        ),
        (
            "sampler_bias",
            "diffusion/flow.py",
            {
                "return (v + self.sigma**2) / (1 + self.sigma**2)": "return (v + self.sigma**2) "
                "/ (1 + self.sigma)",
            },
        ),
        (
            "sampler_bias",
            "diffusion/width_map.py",
            {"appear=bool((nearby > lam).all())": "appear=bool((nearby < lam).all())"},
        ),
        (
            "proposition3",
            "statements/proposition3.py",
            {
                "return -alpha * (1 + lam) + lam * product": "return -alpha * (1 + lam) - lam * "
                "product",
                "return -alpha - lam * least": "return -alpha * (1 + lam)",
            },
        ),
        (
            "misspecified_error",
            "analysis/local_analysis.py",
            {
                "self.n * root @ (self.sandwich + self.V) @ root": "-self.n * self.A @ "
                "(self.sandwich + self.V)"
            },
        ),
        (
            "absorption",
            "statements/literature/absorption.py",
            {"return 1 - (1 - q) / size": "return 1 - q / size"},
        ),
        (
            "accumulated_likelihood",
            "statements/literature/accumulated_likelihood.py",
            {
                "math.sqrt(v) * float(norm.isf": "v * float(norm.isf",
                "chi2.sf(-2 * n * math.log1p(-eps), 1)": "chi2.sf(-n * math.log1p(-eps), 1)",
            },
        ),
        (
            "bias_price",
            "statements/literature/bias_price.py",
            {"regime.lam * k) for k in range(1, t + 1)": "regime.lam * k) for k in range(t)"},
        ),
        (
            "conservation",
            "statements/literature/conservation.py",
            {"alpha * n * (2 - alpha))": "alpha * n * (1 - alpha))"},
        ),
        (
            "curation",
            "statements/literature/curation.py",
            {"(choices - 1) / choices * variance / float(y.max())": "variance / float(y.min())"},
        ),
        (
            "early_stopping",
            "statements/literature/early_stopping.py",
            {"left / (1 - (1 - alpha) * left)": "left / (1 - (1 - alpha) * left**2)"},
        ),
        (
            "effective_sample_size",
            "statements/literature/effective_sample_size.py",
            {"return (1 + lam) * (1 - c ** (t + 1))": "return (1 + lam) * (1 - c**t)"},
        ),
        (
            "frequencies_with_real_data",
            "statements/literature/frequencies_with_real_data.py",
            {"return (1 - share / (1 + lam)) ** m": "return (1 - share) ** m / (1 + lam)"},
        ),
        (
            "generation_weights",
            "statements/literature/generation_weights.py",
            {"return alpha / (1 + alpha**2 * t)": "return alpha / (1 + alpha * t)"},
        ),
        (
            "growing_data",
            "statements/literature/growing_data.py",
            {"-(1 / (4 * (sizes - 1))).sum()": "-(1 / (2 * (sizes - 1))).sum()"},
        ),
        (
            "kernel_estimate",
            "statements/literature/kernel_estimate.py",
            {"return points ** (-2 / (dimension + 4))": "return points ** (-1 / (dimension + 4))"},
        ),
        (
            "logarithmic_time",
            "statements/literature/logarithmic_time.py",
            {"return -min(1.0, 2 * alpha)": "return -min(1.0, alpha)"},
        ),
        (
            "negative_extrapolation",
            "statements/literature/negative_extrapolation.py",
            {"sampler.variance(v - w * (": "sampler.variance(v + w * ("},
        ),
        (
            "populations",
            "statements/literature/populations.py",
            {"c**4 / (lam * models * (1 - c**2))": "c**4 / (lam * (1 - c**2))"},
        ),
        (
            "regression",
            "statements/literature/regression.py",
            {"return dimension / (rows - dimension - 1)": "return dimension / (rows - dimension)"},
        ),
        (
            "temperature_threshold",
            "statements/literature/temperature_threshold.py",
            {"return lam / ((1 + lam) * tau)": "return lam * tau / (1 + lam)"},
        ),
        (
            "verifier",
            "statements/literature/verifier.py",
            {
                "+ g**2 * s2 + g / m": "+ g**2 * s2 + g**2 / m",
                "return 1 - 2 * u * float(norm.pdf(u))": "return 1 - u * float(norm.pdf(u))",
            },
        ),
        (
            "collapse_profile",
            "statements/literature/collapse_profile.py",
            {"1 - np.sum(squares, axis=0)": "1 - np.sum(squares, axis=0) / 2"},
        ),
        (
            "score_errors",
            "statements/literature/score_errors.py",
            {
                "return math.expm1(observed)": "return math.expm1(2 * observed)",
                "np.expm1(np.outer(means, means))": "np.expm1(np.outer(means, means) / 2)",
                "return discounted(1 - alpha, steps)": "return discounted((1 - alpha) ** 2, steps)",
            },
        ),
    )
    for old, new in replacements.items()
    if old != new
)
"""The slips, by the statement that must notice them."""


@dataclass(frozen=True)
class Mutants:
    """Apply each slip of the list to a copy of the library, and see which statement notices."""

    statements: tyro.conf.Positional[tuple[str, ...]] = ()
    """Only slips that these statements must notice; default: all."""
    results: Path = Path("mutants.jsonl")
    """File of results, a line a slip; what it has is not run again."""
    processes: Annotated[int, tyro.conf.arg(metavar="N")] = 2
    """Slips that are tried at once, >= 1."""
    timeout_s: float = 900.0
    """Limit for one slip, in seconds; beyond it the slip counts as noticed."""
    seed: int = 1
    """Seed of the statements' random draws."""

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise ValueError(f"--processes must be >= 1, got {self.processes}")


def try_slip(slip: Slip, seed: int, timeout_s: float) -> Result:
    """Apply a slip to a copy of the library, and examine its statement there.

    Args:
        slip: The slip.
        seed: Of the draws.
        timeout_s: Limit, in seconds.

    Returns:
        What noticed it.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "stability"
        shutil.copytree(ROOT / "stability", library, ignore=shutil.ignore_patterns("__pycache__"))
        path = library / slip.file
        path.write_text(replaced(path.read_text(encoding="utf-8"), slip), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _EXAMINE, slip.statement, str(seed)]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Result(slip, f"not done after {timeout_s:g} s")
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return Result(slip, lines[-1] if done.returncode else "")


def replaced(text: str, slip: Slip) -> str:
    """The text of a file with the slip in it.

    Args:
        text: Of the file.
        slip: The slip.

    Returns:
        The text.

    Raises:
        ValueError: Unless the old text occurs once.
    """
    if text.count(slip.old) != 1:
        raise ValueError(f"{slip.file} must have {slip.old!r} once, got {text.count(slip.old)}")
    return text.replace(slip.old, slip.new)


def read(results: Path) -> dict[Slip, Result]:
    """The results that a file has, by slip; {} if there is no file."""
    if not results.exists():
        return {}
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    slips = [(Slip(**row["slip"]), row["killed_by"]) for row in rows]
    return {slip: Result(slip, killed_by) for slip, killed_by in slips}


def table(results: Iterable[Result]) -> Table:
    """A row a slip: what it is, and what noticed it."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, title="Slips")
    for column in ("statement", "file", "right", "wrong", "noticed by"):
        shown.add_column(column, overflow="fold")
    for result in results:
        slip = result.slip
        noticed = result.killed_by.removeprefix("violated: ") or "[bold red]SURVIVES"
        shown.add_row(slip.statement, slip.file, slip.old.strip(), slip.new.strip(), noticed)
    return shown


def main(config: Mutants) -> None:
    """Try what is missing, then print the table; SystemExit with status 1 if a slip survives."""
    wanted = [s for s in SLIPS if not config.statements or s.statement in config.statements]
    known = read(config.results)
    missing = [slip for slip in wanted if slip not in known]
    with (
        ThreadPoolExecutor(config.processes) as pool,
        config.results.open("a", encoding="utf-8") as file,
    ):
        for result in pool.map(lambda s: try_slip(s, config.seed, config.timeout_s), missing):
            known[result.slip] = result
            file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
            file.flush()
    results = [known[slip] for slip in wanted]
    console = Console(width=160) if not sys.stdout.isatty() else Console()
    console.print(table(results))
    survivors = sum(not result.killed_by for result in results)
    console.print(f"{len(results)} slips, {len(results) - survivors} noticed, {survivors} survive")
    if survivors:
        raise SystemExit(1)


if __name__ == "__main__":
    main(tyro.cli(Mutants))
