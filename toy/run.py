"""Any density or points of one's own, any model, any regime: python -m toy.run --density
checkerboard --model flow --regime accumulate
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from stability.runs.command_line import UsageError, command
from toy.densities.mixtures import IsotropicMixture
from toy.densities.own_points import read_own_points
from toy.densities.shapes import DENSITIES
from toy.eight_gaussians import SHOWN
from toy.experiment import Experiment, run_experiment
from toy.learners.settings import (
    DDPMConfig,
    EDMConfig,
    KDEConfig,
    MixtureConfig,
    OTCFMConfig,
    SplineFlowConfig,
    VAEConfig,
)
from toy.measures.metrics import Profile
from toy.measures.modes import mode_profile

__all__ = ["MODELS", "Model", "ModelChoice", "configuration", "main", "settings_of", "with_model"]

DENSITY = "moons"
DATA = """File .npy with your own points (N, 2), instead of a density: one half is trained on, and
samples are measured against the other half."""


class Model(NamedTuple):
    """A class of models, known by name, so that nothing of it is imported before it is built.

    Attributes:
        settings: Makes its settings, whose defaults are the command's.
        module: Module of its learner in `toy.learners`.
        learner: Class of its learner there.
    """

    settings: Callable[..., Any]
    module: str
    learner: str

    def build(self, **arguments: Any) -> Any:
        """Build the learner.

        Args:
            arguments: Those of `BatchedLearner`.

        Returns:
            The learner.
        """
        return getattr(import_module(f"toy.learners.{self.module}"), self.learner)(**arguments)


MODELS: Mapping[str, Model] = {
    "ot-cfm": Model(OTCFMConfig, "ot_cfm", "OTCFMLearner"),
    "cfm": Model(partial(OTCFMConfig, pairs="independent"), "ot_cfm", "OTCFMLearner"),
    "ddpm": Model(DDPMConfig, "ddpm", "DDPMLearner"),
    "edm": Model(EDMConfig, "edm", "EDMLearner"),
    "flow": Model(SplineFlowConfig, "flow", "SplineFlowLearner"),
    "vae": Model(VAEConfig, "vae", "VAELearner"),
    "mixture": Model(MixtureConfig, "em", "MixtureLearner"),
    "kde": Model(KDEConfig, "kde", "KDELearner"),
}


def settings_of(model: str) -> tuple[type, Callable[[], Any]]:
    """Find the settings of a model.

    Args:
        model: Key of `MODELS`.

    Returns:
        Their class, and a function that makes those that the command begins with.
    """
    default = MODELS[model].settings
    return (default.func if isinstance(default, partial) else default), default  # type: ignore[return-value]


def with_model(name: str, model: str, options: tuple[str, type], *others: Any) -> type:
    """Make the configuration of a command for a model, which decides which other options there are.

    Args:
        name: Of the class.
        model: Key of `MODELS`.
        options: Name and class of the part with the options of the loop.
        others: Further fields, as of `make_dataclass`.

    Returns:
        A frozen dataclass: those options, `density`, `others`, `model`, and its `settings`.
    """
    of_model, default = settings_of(model)
    part, of_loop = options
    flat = tyro.conf.arg(name="")
    fields = [
        (part, Annotated[of_loop, flat], field(default_factory=of_loop)),
        ("density", _choice(DENSITIES, "Density of the real data."), field(default=DENSITY)),
        *others,
        ("model", _choice(MODELS, "Model that is retrained."), field(default=model)),
        ("settings", Annotated[of_model, flat], field(default_factory=default)),
    ]
    return make_dataclass(name, fields, frozen=True)


def _choice(names: Iterable[str], words: str) -> Any:
    """Type of an option that takes one of the names, with its explanation."""
    return Annotated[Literal[tuple(names)], tyro.conf.arg(help=words)]


def configuration(model: str) -> type:
    """Make the configuration of the command for a model.

    The model decides which other options there are.

    Args:
        model: Key of `MODELS`.

    Returns:
        A frozen dataclass.
    """
    data = ("data", Annotated[Path | None, tyro.conf.arg(help=DATA)], field(default=None))
    config = with_model("Run", model, ("experiment", Experiment), data)
    config.__doc__ = """Retrain any 2-D model on its own samples, on any density, in any regime.

    Prints distances to the truth, memorisation and, where the model has a density, its negative
    log-likelihood over the generations; writes history, samples and figures, and resumes where it
    stopped if it was interrupted. The last options are those of the model: --model flow --help.
    """
    return config


def main(config: Any) -> None:
    """Run the experiment.

    Args:
        config: Options, of a class made by `configuration`.
    """
    if config.data is not None:
        _run_own_points(config)
        return
    truth = DENSITIES[config.density]
    run_experiment(
        f"{config.density}-{config.model}",
        config,
        config.experiment,
        real=truth,
        truth=truth,
        make_learner=partial(MODELS[config.model].build, settings=config.settings),
        settings=config.settings,
        profile=Profile(partial(mode_profile, truth=truth), SHOWN)
        if isinstance(truth, IsotropicMixture)
        else None,
        resemblance=True,
    )


def _run_own_points(config: Any) -> None:
    """Run the experiment on points of a file, which is known by what it holds, not by its path."""
    experiment: Experiment = config.experiment
    if config.density != DENSITY:
        raise UsageError(f"--density {config.density} has no meaning with --data")
    needs_new = any(regime.needs_fresh_real for regime in experiment.regimes())
    rounds = experiment.retrainings if needs_new else 0
    needed = experiment.samples * (1 + rounds)
    own = read_own_points(config.data, needed, experiment.seed)
    run_experiment(
        f"{config.data.stem}-{config.model}",
        dataclasses.replace(config, density=f"points {own.digest}"),
        experiment,
        real=own.real,
        truth=own.truth,
        make_learner=partial(MODELS[config.model].build, settings=config.settings),
        settings=config.settings,
        resemblance=True,
        drawn=own,
    )


@dataclass(frozen=True)
class ModelChoice:
    """The model, which decides which other options there are."""

    model: Literal[tuple(MODELS)] = "ot-cfm"  # type: ignore[valid-type]
    """Class of models."""


if __name__ == "__main__":
    command(lambda chosen: configuration(chosen.model), main, preset=ModelChoice)
