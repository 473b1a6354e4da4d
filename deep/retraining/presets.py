"""Configuration of a run, and the paper's settings by model and data set.

Where the paper's text and its official driver disagree, the text is followed: a batch of 128 on
FFHQ-64 (the driver has 256), and new latents in every generation (the driver's EDM draws from the
same ones). Only what goes on beside EDM's weights is as in the driver, the average alone: the
official files have nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import tyro

from deep.data import DIGITS
from deep.metrics.feature_choice import require_one_network
from deep.metrics.image_metrics import METRICS, Metric
from deep.metrics.inception import Resize
from deep.models.augment import LABELS
from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.networks import unet_cfm, unet_ddpm, unet_edm
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork
from deep.training.precision import Precision
from deep.training.presets import PRESETS as TRAININGS
from deep.training.trainer import Carry, TrainConfig
from stability.loop.regimes import Extrapolated, Regime
from stability.runs.help_page import COMMON
from stability.runs.loop_options import KEEPING, LoopOptions
from stability.runs.option_error import OptionError
from stability.runs.ranges import LARGEST_COUNT, MOST_IMAGES, MOST_SUBSETS, require_range

__all__ = [
    "PAPER_LAMBDAS",
    "PRESETS",
    "Config",
    "Preset",
    "Retrain",
    "RetrainDDPM",
    "RetrainEDM",
    "RetrainOTCFM",
]

Preset = Literal["digits", "cifar10", "ffhq64"]
PAPER_LAMBDAS = (0.0, 0.001, 0.01, *(i / 10 for i in range(1, 11)))
"""The legend of Figure 5; the values of Figures 2 and 6 are not in the text."""


@dataclass(frozen=True)
class Retrain(LoopOptions):
    """Options that every retraining of an image model has; points are images."""

    help_groups: ClassVar = (
        dict.fromkeys(("preset", "data"), COMMON)
        | dict.fromkeys(("real", "held_out"), "real images")
        | dict.fromkeys(
            ("images_per_retraining", "first_images", "init", "carry", "extrapolate"), "retraining"
        )
        | dict.fromkeys(
            ("metrics", "k", "kid_subsets", "inception", "resize", "trust_torchscript"), "measuring"
        )
        | dict.fromkeys(("grid", "sample_batch", "sample_precision"), "sampling")
        | dict.fromkeys(("checkpoint_seconds", "cache"), KEEPING)
    )
    retrainings: int = 5
    """T: generations 0 (real images only) to T."""
    samples: int = 0
    """Images drawn of each generation to measure it; 0: n."""
    preset: Preset = "digits"
    """Settings that the other options start from: of the paper for CIFAR-10 and FFHQ-64, or for
    a laptop. Without it: cifar10 where --data is a CIFAR-10 archive, digits otherwise."""
    data: str = DIGITS
    """Real images: digits (embedded), or a CIFAR-10 archive, a zip or a folder of PNGs or JPEGs,
    an .npz or .npy file."""
    real: int = 0
    """n: real images to train on, chosen at random; 0: all, or half of the digits. The others
    are held out."""
    held_out: str | None = None
    """Real images that are not trained on, to measure against, instead of those that --real
    leaves. Without it: CIFAR-10's test batch where there is one."""
    images_per_retraining: int = 16_000
    """Training images a retraining, counted with repetition: the same for every λ."""
    first_images: int = 150_000
    """Training images of generation 0, and of each with --from-scratch."""
    init: Path | None = None
    """Generation 0 is this checkpoint instead: an official file, or one of this project, of a
    network of this shape."""
    carry: Carry = "optimizer"
    """State carried besides the weights: Adam, average and learning-rate warm-up (optimizer), or
    the average alone, from which the weights start again (ema, as in the official EDM
    command)."""
    grid: int = 36
    """Images that every generation draws from the same latents, to be looked at."""
    metrics: Annotated[tuple[Metric, ...], tyro.conf.arg(metavar="{fd,kd,pr,w2} [...]")] = METRICS
    """Metrics to compute: Fréchet distance, kernel distance, precision to coverage, W2 (for at
    most 2000 images)."""
    k: int = 3
    """Neighbours of precision, recall, density and coverage, the point itself not counted: the k
    of fls is 1 more."""
    kid_subsets: int = 0
    """0: kernel distance of all pairs. Otherwise the mean over so many random subsets, as
    torch-fidelity (100) does."""
    inception: Path | None = None
    """File of the FID Inception's weights. Without it, features are those of a small encoder
    trained on the labels; where there are none, on telling how images are turned."""
    resize: Resize = "half-pixel"
    """Resizing of that network's images: as pytorch-fid does (and the paper), or as
    torch-fidelity."""
    trust_torchscript: Path | None = None
    """File of a TorchScript network from uint8 images to features. It is code and will be run:
    only if you trust it."""
    sample_batch: int = 100
    """Images that a process draws, or whose features it computes, at once."""
    sample_precision: Precision = "fp32"
    """Precision of the network's convolutions and matrix products in sampling."""
    checkpoint_seconds: float = 60.0
    """Least time between two savings of an unfinished training or sampling; finished ones are
    saved at once."""
    extrapolate: tuple[float, ...] = ()
    """Weights w of negative extrapolation: for each, every row once more with samples of
    θ − w (θ′ − θ), θ′ being the weights θ trained on their own samples, as long as in a
    retraining."""
    cache: Path | None = None
    """Folder for generation 0, features and encoder. Default: iterative-retraining in the user's
    caches."""
    paper_lambdas: tyro.conf.Fixed[tyro.conf.Suppress[tuple[float, ...]]] = (1.0,)
    """Rows where no --lambda is given, beside fully synthetic."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(
            self,
            real=(0, LARGEST_COUNT),
            images_per_retraining=(1, MOST_IMAGES),
            first_images=(1, MOST_IMAGES),
            grid=(1, LARGEST_COUNT),
            k=(1, LARGEST_COUNT),
            kid_subsets=(0, MOST_SUBSETS),
            sample_batch=(1, LARGEST_COUNT),
        )

        if not 0 <= self.checkpoint_seconds < math.inf:
            raise OptionError(
                f"--checkpoint-seconds must be finite and >= 0, got {self.checkpoint_seconds}"
            )
        if self.init and self.from_scratch:
            raise OptionError(
                f"--from-scratch has no meaning with --init {self.init}: choose one start"
            )

        weights = self.extrapolate
        if not all(math.isfinite(w) and w for w in weights) or len(set(weights)) < len(weights):
            raise OptionError(
                "--extrapolate must have finite weights, none of them 0 or twice, got "
                f"{' '.join(f'{w:g}' for w in weights)}"
            )

        if not self.metrics:
            raise OptionError(f"--metrics must name at least one of {', '.join(METRICS)}")
        require_one_network(self)

    @staticmethod
    def least_samples() -> int:
        """The least value of `samples`: 0 stands for n."""
        return 0

    def regimes(self, paper_lambdas: Sequence[float] | None = None) -> list[Regime]:
        """Make the rows; without --lambda those of the preset.

        Args:
            paper_lambdas: Values of λ without --lambda; None: those of the preset.

        Returns:
            One regime a row; those that extrapolate come after all others.
        """
        rows = super().regimes(self.paper_lambdas if paper_lambdas is None else paper_lambdas)
        return rows + [Extrapolated(row, w) for w in self.extrapolate for row in rows]


@dataclass(frozen=True)
class RetrainEDM:
    """Retrain EDM (Karras et al. 2022) with its own samples: Figures 1, 2, 6, 7 and 9."""

    name: ClassVar[str] = "edm"
    run: Annotated[Retrain, tyro.conf.arg(name="")] = field(default_factory=Retrain)
    network: Annotated[EDMNetwork, tyro.conf.arg(name="")] = unet_edm.CIFAR10
    model: Annotated[EDM, tyro.conf.arg(name="")] = field(default_factory=EDM)
    training: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.model.augment and self.network.augment_dim != LABELS:
            raise OptionError(
                f"--augment {self.model.augment} needs --augment-dim {LABELS}, the length of its "
                "labels"
            )


@dataclass(frozen=True)
class RetrainDDPM:
    """Retrain DDPM (Ho et al. 2020) with its own samples: Figure 5."""

    name: ClassVar[str] = "ddpm"
    run: Annotated[Retrain, tyro.conf.arg(name="")] = field(default_factory=Retrain)
    network: Annotated[DDPMNetwork, tyro.conf.arg(name="")] = unet_ddpm.CIFAR10
    model: Annotated[DDPM, tyro.conf.arg(name="")] = field(default_factory=DDPM)
    training: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class RetrainOTCFM:
    """Retrain OT-CFM (Tong et al. 2023) with its own samples: Figures 2, 6 and 9."""

    name: ClassVar[str] = "otcfm"
    run: Annotated[Retrain, tyro.conf.arg(name="")] = field(default_factory=Retrain)
    network: Annotated[CFMNetwork, tyro.conf.arg(name="")] = unet_cfm.CIFAR10
    model: Annotated[OTCFM, tyro.conf.arg(name="")] = field(default_factory=OTCFM)
    training: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


Config: TypeAlias = RetrainEDM | RetrainDDPM | RetrainOTCFM


def _of(training: str, run: Retrain, **changes: object) -> Config:
    """The network, the model and the settings of a training preset for retraining.

    Args:
        changes: Of the last two.
    """
    preset = TRAININGS[training]
    run = replace(run, data=preset.run.data)
    options = {option.name for option in fields(preset.model)}
    of_model = {name: value for name, value in changes.items() if name in options}
    model = replace(preset.model, **of_model)
    settings = replace(
        preset.training, **{name: changes[name] for name in changes.keys() - of_model.keys()}
    )
    kinds: dict[str, Any] = {kind.name: kind for kind in (RetrainEDM, RetrainDDPM, RetrainOTCFM)}
    return kinds[preset.name](run, preset.network, model, settings)


def _paper(training: str, preset: Preset, **changes: object) -> Retrain:
    images = TRAININGS[training].run.images
    paper = Retrain(
        preset=preset, retrainings=20, images_per_retraining=1_000_000, first_images=images
    )
    return replace(paper, paper_lambdas=PAPER_LAMBDAS, checkpoint_seconds=600.0, **changes)


_SLOWER = Retrain(images_per_retraining=10_000)  # these networks take twice as long as EDM's

PRESETS: Mapping[tuple[str, Preset], Config] = {
    ("edm", "digits"): _of("edm", Retrain()),
    ("ddpm", "digits"): _of("ddpm", replace(_SLOWER, first_images=100_000), ddim_steps=40),
    ("otcfm", "digits"): _of("otcfm", replace(_SLOWER, first_images=120_000), tolerance=1e-3),
    ("edm", "cifar10"): _of(
        "edm-cifar10", _paper("edm-cifar10", "cifar10", carry="ema"), batch=256
    ),
    ("edm", "ffhq64"): _of(
        "edm-ffhq64",
        _paper("edm-ffhq64", "ffhq64", carry="ema", images_per_retraining=1_400_000),
        batch=128,
    ),
    ("ddpm", "cifar10"): _of("ddpm-cifar10", _paper("ddpm-cifar10", "cifar10", retrainings=5)),
    ("otcfm", "cifar10"): _of("otcfm-cifar10", _paper("otcfm-cifar10", "cifar10")),
}
"""By model and --preset."""
