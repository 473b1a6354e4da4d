"""Retrain DDPM on eight Gaussians with its own samples (Figure 3): python -m toy.eight_gaussians"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, cast

import tyro

from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.command_line import command
from stability.runs.observer import OF_THE_TRUTH, Quantity
from stability.runs.option_error import OptionError, option_name
from toy.densities.mixtures import IsotropicMixture
from toy.densities.shapes import eight_gaussians, ffjord_eight_gaussians, torchcfm_eight_gaussians
from toy.experiment import Experiment, run_experiment
from toy.learners.settings import DDPMConfig
from toy.measures.claims import CurveClaim, Figure, decide
from toy.measures.metrics import Profile
from toy.measures.modes import mode_profile

__all__ = [
    "CLAIMS",
    "EightGaussians",
    "Quick",
    "QuickEightGaussians",
    "claims",
    "configuration",
    "main",
]

PAPER_LAMBDAS = (1.0,)
LEVEL = 1e-3  # of each sign test: ten seeds that agree

OF_A_NETWORK = ("epochs", "batch", "learning_rate", "width", "layers", "shuffle")
"""Settings without effect on a learner that is exact."""
MIXTURES: dict[str, IsotropicMixture] = {
    "ddpm-torch": eight_gaussians,
    "ffjord": ffjord_eight_gaussians,
    "torchcfm": torchcfm_eight_gaussians,
}
SHOWN = (
    Quantity(
        "width",
        "Within-mode sd / true sd",
        "within-mode sd / true sd",
        log=True,
        floor=OF_THE_TRUTH,
    ),
    Quantity(
        "width_median",
        "Within-mode sd by the median / true sd",
        "the same by the median",
        log=True,
        floor=OF_THE_TRUTH,
    ),
    Quantity(
        "high_quality",
        "Share of samples within 3 sd of a mode",
        "share within 3 sd of a mode",
        floor=OF_THE_TRUTH,
    ),
    Quantity(
        "entropy",
        "Entropy of the modes' weights (ln 8 = 2.079)",
        "entropy of the modes",
        floor=OF_THE_TRUTH,
    ),
)


@dataclass(frozen=True)
class EightGaussians:
    """Retrain DDPM on eight Gaussians with its own samples, as in Figure 3 of Bertrand et al.
    (2024).

    Prints the width of the modes, the share of good samples, the entropy of the modes and distances
    to the truth over the generations, writes history, samples and figures, and resumes where it
    stopped if it was interrupted. Without options: λ = 1 and fully synthetic side by side, at the
    paper's size. With --quick (beside other options): smaller, in minutes.
    """

    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = field(
        default_factory=lambda: Experiment(retrainings=100, samples=10_000)
    )
    diffusion: Annotated[DDPMConfig, tyro.conf.arg(name="")] = field(default_factory=DDPMConfig)
    learner: Literal["network", "exact"] = "network"
    """A trained network, or no learning error: a mixture fitted by likelihood, sampled by its
    exact denoiser."""
    mixture: Literal["ddpm-torch", "ffjord", "torchcfm"] = "ddpm-torch"
    """One of the three "8 Gaussians" of public code; the paper's experiment uses ddpm-torch."""

    def __post_init__(self) -> None:
        if self.learner != "exact":
            return
        (own,) = (field for field in fields(self) if field.name == "diffusion")
        default = cast(Any, own.default_factory)()
        for option in OF_A_NETWORK:
            if getattr(self.diffusion, option) != getattr(default, option):
                raise OptionError(
                    f"{option_name(option)} has no meaning for --learner exact, which "
                    "trains no network"
                )


@dataclass(frozen=True)
class QuickEightGaussians(EightGaussians):
    """Retrain DDPM on eight Gaussians with its own samples: small, in minutes (--quick); all
    options have effect.
    """

    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = field(
        default_factory=lambda: Experiment(retrainings=10, samples=2000)
    )
    diffusion: Annotated[DDPMConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: DDPMConfig(width=64, batch=250, epochs=250)
    )


def claims(regimes: Sequence[str], generations: int) -> list[CurveClaim]:
    """State the content of Figure 3, as claims about a run.

    Args:
        regimes: Names of the rows.
        generations: T, number of retrainings of the run.

    Returns:
        The claims, that the fully synthetic modes shrink first; none without that row, or without a
        retraining.
    """
    synthetic = str(FullySynthetic())
    if synthetic not in regimes or generations < 1:
        return []
    figure = Figure("Figure 3", generations // 5, LEVEL)
    others = [regime for regime in regimes if regime != synthetic]
    return [
        figure.shrinks("width", synthetic),
        *(figure.ends_below("width", synthetic, regime) for regime in others),
    ]


CLAIMS = tuple(each.claim for each in claims((str(Mix(1.0)), str(FullySynthetic())), 100))
"""The claims about the whole figure, as the index of claims has them."""


def main(config: EightGaussians) -> None:
    """Run the experiment, and test the claims.

    Args:
        config: Options of the command.
    """
    from toy.learners.ddpm import DDPMLearner  # torch, which takes a second
    from toy.learners.exact import ExactDiffusion

    truth = MIXTURES[config.mixture]
    network = partial(DDPMLearner, settings=config.diffusion)
    exact = partial(ExactDiffusion, settings=config.diffusion, truth=truth)
    experiment = config.experiment
    regimes = [str(regime) for regime in experiment.regimes(PAPER_LAMBDAS)]
    stated = claims(regimes, experiment.retrainings)
    result = run_experiment(
        "eight_gaussians",
        config,
        experiment,
        real=truth,
        truth=truth,
        make_learner=network if config.learner == "network" else exact,
        settings=config.diffusion if config.learner == "network" else None,
        paper_lambdas=PAPER_LAMBDAS,
        profile=Profile(partial(mode_profile, truth=truth), SHOWN),
    )
    if stated:
        decide("toy.eight_gaussians", stated, result, ["width"])


@dataclass(frozen=True)
class Quick:
    """The options that the others begin with."""

    consumed: ClassVar[bool] = True
    quick: bool = False
    """Smaller, in minutes."""


def configuration(chosen: Quick) -> type[EightGaussians]:
    """Choose the configuration of the command, at the paper's size or small.

    Args:
        chosen: The option --quick.

    Returns:
        A frozen dataclass.
    """
    return QuickEightGaussians if chosen.quick else EightGaussians


if __name__ == "__main__":
    command(configuration, main, preset=Quick)
