"""Retrain OT-CFM on two moons with its own samples (Section 5, Figures 4 and 8): python -m
toy.two_moons
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal

import tyro

from stability.runs.command_line import command
from toy.densities.shapes import two_moons
from toy.experiment import Experiment, run_experiment
from toy.learners.settings import OTCFMConfig

__all__ = ["TwoMoons", "main"]


@dataclass(frozen=True)
class TwoMoons:
    """Retrain a flow (OT-CFM) on two moons with its own samples, as in Figures 4 and 8 of Bertrand
    et al. (2024).

    Prints W1 and W2 to the truth over the generations, writes history, samples and figures, and
    resumes where it stopped if it was interrupted. Without options: λ = 0, 0.5, 1 and fully
    synthetic side by side.
    """

    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = field(default_factory=Experiment)
    flow: Annotated[OTCFMConfig, tyro.conf.arg(name="")] = field(default_factory=OTCFMConfig)
    angles: Literal["random", "grid"] = "random"
    """Positions of the real data along the moons: independent, or on a regular grid as in
    torchdyn's generator."""


def main(config: TwoMoons) -> None:
    """Run the experiment.

    Args:
        config: Options of the command.
    """
    from toy.learners.ot_cfm import OTCFMLearner  # torch, which takes a second

    run_experiment(
        "two_moons",
        config,
        config.experiment,
        real=partial(two_moons, grid=config.angles == "grid"),
        truth=two_moons,
        make_learner=partial(OTCFMLearner, settings=config.flow),
        settings=config.flow,
    )


if __name__ == "__main__":
    command(TwoMoons, main)
