"""One 2-D experiment: a study of a learner in the plane, tabulated and drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stability.loop.capabilities import SupportsExtrapolation, uses_weights
from stability.loop.regimes import (
    Curated,
    FullySynthetic,
    Regime,
    Verified,
    Weighted,
    drawn_counts,
)
from stability.loop.retraining import Learner
from stability.loop.temperature import tempered
from stability.observers.distances import Distances
from stability.observers.likelihood import Likelihood
from stability.observers.parameters import ParametersMoved
from stability.runs.closing import closing
from stability.runs.command_line import UsageError
from stability.runs.devices import chosen_device
from stability.runs.loop_options import LoopOptions, parts_of, study_settings
from stability.runs.memory_limit import Need, require_memory
from stability.runs.observer import ChainsObserver, Observer
from stability.runs.option_error import OptionError
from stability.runs.processors import default_threads
from stability.runs.ranges import LARGEST_COUNT, require_range
from stability.runs.real_data import Pool
from stability.runs.result import Result
from stability.runs.study import LearnerPlace, Study
from stability.runs.tables import print_result
from toy.densities.preferences import REWARDS, VERIFIERS, Reward, Verifier
from toy.densities.shapes import Distribution
from toy.learners.settings import LearnerSettings
from toy.measures.metrics import Profile, Resemblance
from toy.regime_options import RegimeOptions

__all__ = ["Experiment", "PlaneLearner", "require_room", "run_experiment"]

FIGURE_8_LAMBDAS = (0.0, 0.5, 1.0)
FLOOR_PAIRS = 32
# points a set for W1 and W2, unless there is no profile: exact transport takes n³
MOST_TRANSPORTED = 1000


@dataclass(frozen=True)
class Experiment(RegimeOptions):
    """Options of 2-D experiments; without --lambda: the rows of the paper's figure."""

    help_groups: ClassVar = dict.fromkeys(
        ("weight", "reward", "choices", "verifier", "tries", "temperature"),
        "which synthetic points are used",
    )
    weight: float | None = None
    """Fraction w of the loss that the real points have, in (0, 1), where there are both kinds.
    None: all points have the same weight."""
    reward: Reward | None = None
    """Reward used to curate synthetic points: each is the preferred one of K samples
    (Bradley–Terry), of points further right, or further inward."""
    choices: int = 2
    """K: samples of which the reward picks one."""
    verifier: Verifier | None = None
    """Only samples in the right half plane, or nearer than 2 to the origin, are used."""
    tries: int = 4
    """Samples drawn for each that the verifier is to let through; if fewer pass, fewer are used."""
    temperature: float = 1.0
    """τ: the sampler's noise is multiplied by √τ; below 1 samples are biased towards what is
    likely."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight is not None and not 0 < self.weight < 1:
            raise OptionError(f"--weight must be in (0, 1), got {self.weight}")
        if not 0 < self.temperature < float("inf"):
            raise OptionError(f"--temperature must be finite and > 0, got {self.temperature}")
        for option, needs in (("choices", "reward"), ("tries", "verifier")):
            require_range(self, **{option: (1, LARGEST_COUNT)})
            is_default = getattr(self, option) == getattr(Experiment, option)
            if getattr(self, needs) is None and not is_default:
                raise OptionError(f"--{option} has no meaning without --{needs}")
        if self.weight is not None and (
            self.regime == "synthetic" or (self.fully_synthetic and not self.lam)
        ):
            raise OptionError(
                "--weight has no meaning without real data, as in a fully synthetic row"
            )

    def regimes(self, paper_lambdas: Sequence[float] = FIGURE_8_LAMBDAS) -> list[Regime]:
        """Make the rows, with what goes around them.

        Args:
            paper_lambdas: Values of λ where none is given.

        Returns:
            One regime per row.
        """
        rows: list[Any] = super().regimes(paper_lambdas)
        if self.weight is not None:
            weight = self.weight
            rows = [r if isinstance(r, FullySynthetic) else Weighted(r, weight) for r in rows]
        if self.reward is not None:
            rows = [Curated(row, REWARDS[self.reward], self.choices) for row in rows]
        if self.verifier is not None:
            rows = [Verified(row, VERIFIERS[self.verifier], self.tries) for row in rows]
        return [self.around(row) for row in rows]


def require_room(
    options: LoopOptions,
    regimes: Sequence[Regime],
    settings: LearnerSettings | None,
    transported: int = 0,
    chains: int = 1,
) -> None:
    """Refuse an experiment that takes more memory than there is, before anything is made.

    Args:
        options: Of its loop.
        regimes: One a row.
        settings: Of the learner; None: its memory is not estimated.
        transported: Points a set for W1 and W2.
        chains: Of the learner, for each that is recorded.

    Raises:
        UsageError: Names the option, the memory that it takes and the memory that there is.
    """
    n, repeats = options.samples, options.seeds * chains
    threads = options.threads or default_threads()
    drawn = drawn_counts(regimes, n, options.retrainings + 1)
    points = sum(max(2 * n, options.largest([m], n)) for m in drawn) * repeats

    factors = {"--samples": n / LoopOptions.samples, "--lambda": max(options.lam, default=1)}
    factors |= {"--seeds": options.seeds}
    factors |= {f"--{name}": getattr(options, name, 0) for name in ("choices", "tries")}
    largest = max(factors, key=factors.__getitem__)
    needs = [Need(f"training sets and samples of {points:.3g} points", largest, 8 * points)]
    if transported:  # distances and their powers, in as many threads as there are pairs
        at_once = min(threads, FLOOR_PAIRS)
        what = f"exact transport of {transported:,} points, {at_once} at once"
        needs.append(Need(what, "--samples", 2 * 8 * transported**2 * at_once))
    if settings is not None and _on_processor(options):
        needs += settings.memory(len(drawn) * repeats, options.largest(drawn, n), threads)
    require_memory(needs)


def _on_processor(options: LoopOptions) -> bool:
    return chosen_device(options.device) != "cuda"  # MPS shares the memory of the processor


@dataclass(frozen=True)
class PlaneLearner:
    """Builds a learner of the plane in its place.

    Attributes:
        make: Chains, device, workers and `on_progress`, told the fraction of a generation that is
            done -> learner.
        weight: Of the real points, which the learner must support; None: no weights.
        temperature: τ of its samples.
        chains: Of the learner, for each that is recorded.
        extrapolates: Whether a regime extrapolates its parameters.
    """

    make: Callable[..., Any]
    weight: float | None = None
    temperature: float = 1.0
    chains: int = 1
    extrapolates: bool = False

    def build(self, place: LearnerPlace) -> Learner:
        """Build the learner.

        Args:
            place: Chains, device, threads and progress bars of the learner.

        Returns:
            The learner, at the temperature.

        Raises:
            UsageError: If it does not support weights or an extrapolation that are asked for.
        """
        import torch

        learner = self.make(
            chains=self.chains * place.chains,
            device=torch.device(place.device),
            workers=place.threads,
            on_progress=place.bars.within,
        )
        if self.weight is not None and not uses_weights(learner):
            raise UsageError(
                f"--weight is not supported by {type(learner).__name__}, whose loss cannot be "
                "weighted"
            )
        if self.extrapolates and not isinstance(learner, SupportsExtrapolation):
            raise UsageError(
                f"--regime extrapolated is not supported by {type(learner).__name__}, whose "
                "parameters cannot be extrapolated"
            )
        return tempered(learner, self.temperature)


def run_experiment(
    name: str,
    config: Any,
    experiment: Experiment,
    real: Distribution | Pool,
    truth: Distribution | np.ndarray,
    make_learner: Callable[..., Any],
    settings: LearnerSettings | None,
    paper_lambdas: Sequence[float] = FIGURE_8_LAMBDAS,
    profile: Profile | None = None,
    resemblance: bool = False,
    drawn: Distribution | None = None,
) -> Result:
    """Run, or finish, the experiment, print its tables and draw its figures.

    Args:
        name: Of the experiment, in the default folder's name.
        config: The whole configuration, a dataclass.
        experiment: Its options.
        real: Draws a chain's real data, or holds them.
        truth: Draws the points that samples are measured against, and fresh real data; an array
            (k, 2): those points, and fresh real data are of `real`.
        make_learner: As `PlaneLearner.make`.
        settings: Of the learner, which say how much memory it takes; None: not known.
        paper_lambdas: Rows without --lambda, beside fully synthetic.
        profile: What to measure of the samples beside W1 and W2, which then take at most 1000
            points.
        resemblance: Whether to show memorisation, sliced W2 and likelihood, which are always
            recorded.
        drawn: Draws the true points of the figures; None: `truth`.

    Returns:
        What came out.
    """
    transported = min(experiment.samples, MOST_TRANSPORTED) if profile else experiment.samples
    regimes = experiment.regimes(paper_lambdas)
    require_room(experiment, regimes, settings, transported)
    observers: list[Observer | ChainsObserver] = [
        Distances(transported, sliced=False),
        ParametersMoved(),
    ]
    observers += [Resemblance(shown=resemblance), Likelihood(shown=resemblance)]
    shown_truth: Any = truth if drawn is None else drawn

    def figures(result: Result) -> list[Path]:
        from toy.measures.figures import draw_figures  # matplotlib, which takes a second

        return draw_figures(result, shown_truth, experiment.seed)

    return Study(
        name=name,
        learner=PlaneLearner(
            make_learner,
            experiment.weight,
            experiment.temperature,
            extrapolates=experiment.regime == "extrapolated",
        ),
        real=real,
        truth=truth,
        fresh=truth if callable(truth) else None,
        regimes=regimes,
        observers=[profile, *observers] if profile else observers,
        finish=closing(name, experiment.quiet, print_result, figures),
        # the path of a user's own points is not recorded: its digest is, as the density
        **study_settings(experiment, *parts_of(config), without=frozenset({"data"})),
    ).run()
