"""Figure 8: OT-CFM on two moons, W1 and W2 over retrainings, 50 runs a regime: python -m
toy.figure8
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import tyro

from stability.loop.regimes import FullySynthetic, Mix
from stability.observers.distances import EXACT
from stability.runs.command_line import command
from stability.runs.option_error import OptionError
from toy.densities.shapes import two_moons
from toy.eight_gaussians import Quick
from toy.experiment import FIGURE_8_LAMBDAS, Experiment, run_experiment
from toy.learners.settings import OTCFMConfig
from toy.measures.claims import CurveClaim, Figure, decide

__all__ = ["CLAIMS", "Figure8", "QuickFigure8", "claims", "configuration", "main"]

LEVEL = 1e-3  # of each sign test: ten seeds that agree


@dataclass(frozen=True)
class Figure8:
    """Retrain a flow (OT-CFM) on two moons with its own samples, as in Figure 8 of Bertrand et al.
    (2024).

    50 runs of λ = 0, 0.5, 1 and fully synthetic, 50 retrainings each, at the settings of python -m
    toy.two_moons. Prints W1 and W2 to the truth with mean and standard deviation, and the outcome
    of claims that are stated before the run; resumes where it stopped if it was interrupted. With
    --quick (beside other options): smaller, in minutes.
    """

    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = field(
        default_factory=lambda: Experiment(retrainings=50, seeds=50)
    )
    flow: Annotated[OTCFMConfig, tyro.conf.arg(name="")] = field(default_factory=OTCFMConfig)

    def __post_init__(self) -> None:
        if (
            self.experiment.lam
            or self.experiment.regime != "mix"
            or self.experiment.fully_synthetic
        ):
            raise OptionError(
                "--lambda, --regime and --fully-synthetic: Figure 8 has its own rows; see "
                "toy.two_moons"
            )
        if self.experiment.retrainings < 1:
            raise OptionError(
                f"--retrainings must be >= 1 for a slope, got {self.experiment.retrainings}"
            )


@dataclass(frozen=True)
class QuickFigure8(Figure8):
    """Figure 8 small, in minutes (--quick); all options have effect."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = field(
        default_factory=lambda: Experiment(retrainings=12, samples=400, seeds=12)
    )
    flow: Annotated[OTCFMConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: OTCFMConfig(epochs=100, batch=100)
    )


def claims(regimes: Sequence[str], generations: int) -> list[CurveClaim]:
    """State the content of Figure 8, as claims about a run.

    Slopes are taken from a fifth of the run on, t = 10 … 50 in full: before, the network is still
    learning.

    Args:
        regimes: Names of the mixed rows, λ = 0 first, and fully synthetic.
        generations: T, number of retrainings of the run, >= 1.

    Returns:
        The claims, those about W1 first.
    """
    *mixed, synthetic = regimes
    figure = Figure("Figure 8", generations // 5, LEVEL)
    stated = []
    for quantity in ("w1", "w2"):
        stated.append(figure.drifts(quantity, synthetic))
        for regime in mixed[1:]:
            stated.append(figure.drifts_less(quantity, regime, synthetic))
            stated.append(figure.ends_below(quantity, regime, synthetic))
            stated.append(figure.stays(quantity, regime, mixed[0]))
    return stated


_ROWS = (*(str(Mix(lam)) for lam in FIGURE_8_LAMBDAS), str(FullySynthetic()))
CLAIMS = tuple(each.claim for each in claims(_ROWS, generations=50))
"""The claims about the whole figure, as the index of claims has them."""


def main(config: Figure8) -> None:
    """Run the experiment, and test the claims.

    Args:
        config: Options of the command.
    """
    from toy.learners.ot_cfm import OTCFMLearner  # torch, which takes a second

    experiment = config.experiment
    regimes = [str(regime) for regime in experiment.regimes(FIGURE_8_LAMBDAS)]
    stated = claims(regimes, experiment.retrainings)
    result = run_experiment(
        "figure8",
        config,
        experiment,
        real=two_moons,
        truth=two_moons,
        make_learner=partial(OTCFMLearner, settings=config.flow),
        settings=config.flow,
    )
    decide("toy.figure8", stated, result, [quantity.key for quantity in EXACT])


def configuration(chosen: Quick) -> type[Figure8]:
    """Choose the configuration of the command, at the paper's size or small.

    Args:
        chosen: The option --quick.

    Returns:
        A frozen dataclass.
    """
    return QuickFigure8 if chosen.quick else Figure8


if __name__ == "__main__":
    command(configuration, main, preset=Quick)
