"""The options that every experiment has: which rows, how often, with which randomness, and where.

A command embeds `LoopOptions`, or a class made from it whose help says what its points are.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from stability.loop.regime_data import BY_LAMBDA, RegimeName
from stability.loop.regimes import FullySynthetic, Regime
from stability.runs.console import make_console
from stability.runs.devices import Device, require_device
from stability.runs.help_page import COMMON
from stability.runs.keep import Keep
from stability.runs.option_error import OptionError
from stability.runs.ranges import (
    LARGEST_COUNT,
    LARGEST_SEED,
    MOST_ROUNDS,
    MOST_SEEDS,
    MOST_THREADS,
    require_range,
)
from stability.runs.untrusted import printable

__all__ = [
    "KEEPING",
    "NOT_RECORDED",
    "Lambdas",
    "LoopOptions",
    "RunOptions",
    "parts_of",
    "recorded_options",
    "require_lambdas",
    "study_settings",
]

Lambdas = Annotated[tuple[float, ...], tyro.conf.arg(name="lambda", metavar="λ [λ ...]")]
KEEPING = "where it runs and what it keeps"
"""Heading of such options in a command's help."""
LONGEST_LINE = 8192
"""Characters of a line about a run, with its path."""

KEEP_EVERYTHING = ("accumulate", "accumulate-fresh", "subsample")
"""Regimes in which synthetic sets are never given up."""
NOT_RECORDED = frozenset(
    ("out", "overwrite", "device", "threads", "keep", "keep_samples", "max_hours", "quiet")
)
"""Options that do not decide the result: a run may go on with other values."""


@dataclass(frozen=True)
class RunOptions:
    """Options of every command that leaves a run in a folder."""

    help_groups: ClassVar = dict.fromkeys(("seed", "out", "overwrite"), COMMON) | dict.fromkeys(
        ("device", "threads"), KEEPING
    )
    seed: int = 0
    """Determines every random draw of the run."""
    out: Path | None = None
    """Folder of the run. Default: runs/NAME-DIGEST, a digest of the configuration. A run found
    there is continued."""
    overwrite: bool = False
    """Remove the run found in the folder and start again."""
    device: Device = "auto"
    """Device of the networks; auto: CUDA GPUs if there are any. mps: the GPU of a Mac."""
    threads: int = 0
    """Processor threads of each process; 0: its share of the processors that are ours. Results are
    bit-identical only at equal counts."""

    def __post_init__(self) -> None:
        require_range(self, seed=(0, LARGEST_SEED), threads=(0, MOST_THREADS))
        require_device(self.device)


@dataclass(frozen=True)
class LoopOptions(RunOptions):
    """Options of a retraining loop."""

    help_groups: ClassVar = dict.fromkeys(
        ("lam", "regime", "fully_synthetic", "retrainings", "samples", "seeds", "quiet"), COMMON
    ) | dict.fromkeys(("keep", "keep_samples", "max_hours"), KEEPING)
    help_groups |= dict.fromkeys(("latents", "from_scratch"), "retraining")
    lam: Lambdas = ()
    """Synthetic points per real point, m = floor(λ n); one or more values, each a row of the
    result."""
    regime: RegimeName = "mix"
    """Training data of a retraining: the n real points and m new samples (mix), n samples alone
    (synthetic), the real points and every synthetic set so far (accumulate), the same with n
    more points in each round, of which the fraction 1/(1+λ) is new real data
    (accumulate-fresh), n new real points and m new samples (fresh), n points of which the share
    λ/(1+λ) is samples (replace), or n points drawn from what accumulate would see (subsample)."""
    fully_synthetic: bool = False
    """Add a fully synthetic row; alone, short for --regime synthetic."""
    retrainings: int = 20
    """T: generations 0 (real data only) to T."""
    samples: int = 1000
    """n: real points, and points drawn of each generation to measure it."""
    seeds: int = 1
    """S: independent runs of every row, trained side by side; results are then mean and standard
    deviation."""
    latents: Literal["fresh", "shared"] = "fresh"
    """Sampling noise: new in each generation (Algorithm 1), or the same each time (as the
    official EDM driver does)."""
    from_scratch: bool = False
    """Start each retraining from new parameters instead of the present parameters and optimiser
    state."""
    keep: str = "2"
    """Checkpoints that stay: so many at the end (2), every K-th too (every:K), or all."""
    keep_samples: str = "all"
    """Samples that stay, in the same words; figures show the generations whose samples stay."""
    max_hours: float = 0.0
    """End cleanly before the generation that would pass so many hours; the same command resumes.
    0: no limit."""
    quiet: bool = False
    """Print the paths of the written files and nothing else."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_lambdas(self.lam)
        if self.regime == "synthetic" and self.lam:
            raise OptionError(
                "--lambda has no meaning for --regime synthetic: it always trains on n synthetic "
                "points"
            )
        require_range(
            self,
            retrainings=(0, MOST_ROUNDS),
            samples=(self.least_samples(), LARGEST_COUNT),
            seeds=(1, MOST_SEEDS),
        )
        if not 0 <= self.max_hours < math.inf:
            raise OptionError(f"--max-hours must be finite and >= 0, got {self.max_hours}")
        Keep.parse(self.keep)
        Keep.parse(self.keep_samples, "--keep-samples")

    @staticmethod
    def least_samples() -> int:
        """The least value of `samples`."""
        return 2

    @property
    def kind(self) -> str:
        """Name of the regime that the rows are made of."""
        return self.regime

    def largest(self, drawn: Sequence[int], n: int) -> int:
        """Count the points of the largest training set.

        Args:
            drawn: Synthetic points of a retraining, one number a regime.
            n: Real points.

        Returns:
            n and all synthetic points that a retraining may see.
        """
        rounds = self.retrainings if self.kind in KEEP_EVERYTHING else 1
        return n + rounds * max(drawn)

    def regimes(self, paper_lambdas: Sequence[float] = ()) -> list[Regime]:
        """Make the rows of the experiment.

        Args:
            paper_lambdas: Values of λ where none is given, beside fully synthetic.

        Returns:
            One regime a row, in the order of the tables.
        """
        by_lambda = BY_LAMBDA.get(self.kind)
        rows: list[Regime] = []
        if by_lambda and (self.lam or not self.fully_synthetic):
            rows = [by_lambda(lam) for lam in self.lam or paper_lambdas]
        paper_comparison = self.kind == "mix" and not self.lam
        if self.fully_synthetic or not by_lambda or paper_comparison:
            rows = [*rows, FullySynthetic()]
        return rows


def study_settings(
    options: LoopOptions, *parts: Any, without: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Settings of a `Study` that come from a command's options.

    Args:
        options: Of the loop.
        parts: The whole configuration, as of `recorded_options`.
        without: Names of options that do not decide the result.

    Returns:
        Keyword arguments.
    """
    same = ("seeds", "samples", "seed", "latents", "from_scratch", "out", "overwrite", "keep")
    same += ("keep_samples", "max_hours", "device", "threads")
    console = make_console(quiet=options.quiet)
    return {name: getattr(options, name) for name in same} | {
        "generations": options.retrainings,
        "options": recorded_options(*parts, without=without),
        "say": lambda words: console.print(printable(words, LONGEST_LINE), soft_wrap=True),
        # on a terminal the bar says how far the run is
        "lines": not (options.quiet or console.is_terminal),
        "progress": not options.quiet,
    }


def require_lambdas(lams: Sequence[float]) -> None:
    """Refuse values of λ.

    Args:
        lams: Synthetic points per real point.

    Raises:
        OptionError: If one is negative or not finite, or is there twice.
    """
    for lam in lams:
        if not (math.isfinite(lam) and lam >= 0):
            raise OptionError(
                f"--lambda must be finite and >= 0, got {lam:g} (no real data: --fully-synthetic)"
            )
    if len(set(lams)) < len(lams):
        raise OptionError(
            f"--lambda must not repeat a value, got {' '.join(f'{lam:g}' for lam in lams)}"
        )


def recorded_options(*parts: Any, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """List all options that decide a result, as config.json holds them.

    Args:
        parts: Dataclasses and mappings without a name in common; see `parts_of`.
        without: Names of further options that do not decide it.

    Returns:
        JSON values by name, flat, without `NOT_RECORDED`.
    """
    flat: dict[str, Any] = {}
    for part in parts:
        plain = part if isinstance(part, Mapping) else dataclasses.asdict(part)
        flat |= json.loads(json.dumps(plain, default=str), parse_constant=str)
    return {key: value for key, value in flat.items() if key not in NOT_RECORDED | without}


def parts_of(config: Any) -> list[Any]:
    """Take the configuration of a command apart.

    Args:
        config: A dataclass.

    Returns:
        Those of its fields that are dataclasses, and all others in one mapping, for
        `recorded_options`.
    """
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    parts = [value for value in values.values() if dataclasses.is_dataclass(value)]
    rest = {name: value for name, value in values.items() if not dataclasses.is_dataclass(value)}
    return [*parts, rest]
