"""Configuration of a training, and the official ones by name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias

import tyro

from deep.data import DIGITS
from deep.models.augment import LABELS
from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.networks import unet_cfm, unet_ddpm, unet_edm
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork
from deep.training.precision import Precision
from deep.training.trainer import Carry, Decay, HalfLife, TrainConfig
from stability.runs.loop_options import RunOptions
from stability.runs.option_error import OptionError
from stability.runs.ranges import LARGEST_COUNT, MOST_IMAGES, require_range

__all__ = ["NOT_RECORDED", "PRESETS", "Config", "Run", "TrainDDPM", "TrainEDM", "TrainOTCFM"]


NOT_RECORDED = frozenset(("checkpoint_seconds", "sample_batch", "cache"))
"""Options of image commands that do not decide the result."""


@dataclass(frozen=True)
class Run(RunOptions):
    """Data, length and start of a training."""

    data: str = DIGITS
    """Training images: digits (embedded), or a CIFAR-10 archive, a zip or a folder of PNGs or
    JPEGs, an .npz or .npy file."""
    images: int = 200_000
    """Training images to see, counted with repetition."""
    init: Path | None = None
    """Go on from this checkpoint: an official file, or one of this project. The network must be
    of the same shape."""
    carry: Carry | None = None
    """With --init, state carried besides the weights: Adam, average and learning-rate warm-up
    (optimizer), or the average alone as the official EDM command has it (ema); none:
    optimizer."""
    samples: int = 100
    """Images to draw at the end."""
    sample_batch: int = 100
    """Images that a process draws at once."""
    sample_precision: Precision = "fp32"
    """Precision of the network's convolutions and matrix products in sampling."""
    checkpoint_seconds: float = 60.0
    """Least time between two checkpoints, from which an interrupted run resumes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(
            self,
            images=(1, MOST_IMAGES),
            samples=(1, LARGEST_COUNT),
            sample_batch=(1, LARGEST_COUNT),
        )
        if not 0 <= self.checkpoint_seconds < math.inf:
            raise OptionError(
                f"--checkpoint-seconds must be finite and >= 0, got {self.checkpoint_seconds}"
            )
        if self.carry and not self.init:
            raise OptionError(
                f"--carry {self.carry} needs --init: a new network has nothing to carry"
            )


@dataclass(frozen=True)
class TrainEDM:
    """Train EDM: a network that denoises, sampled by Heun's method (Karras et al. 2022)."""

    name: ClassVar[str] = "edm"
    run: Annotated[Run, tyro.conf.arg(name="")] = field(default_factory=Run)
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
class TrainDDPM:
    """Train DDPM: a network that predicts the noise, sampled by DDIM or step by step (Ho et al.
    2020).
    """

    name: ClassVar[str] = "ddpm"
    run: Annotated[Run, tyro.conf.arg(name="")] = field(default_factory=Run)
    network: Annotated[DDPMNetwork, tyro.conf.arg(name="")] = unet_ddpm.CIFAR10
    model: Annotated[DDPM, tyro.conf.arg(name="")] = field(default_factory=DDPM)
    training: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class TrainOTCFM:
    """Train OT-CFM: a flow along straight paths from noise to images paired optimally (Tong et
    al. 2023).
    """

    name: ClassVar[str] = "otcfm"
    run: Annotated[Run, tyro.conf.arg(name="")] = field(default_factory=Run)
    network: Annotated[CFMNetwork, tyro.conf.arg(name="")] = unet_cfm.CIFAR10
    model: Annotated[OTCFM, tyro.conf.arg(name="")] = field(default_factory=OTCFM)
    training: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


Config: TypeAlias = TrainEDM | TrainDDPM | TrainOTCFM

_CIFAR10 = "cifar-10-python.tar.gz"
_DIGITS_TRAINING = TrainConfig(
    batch=128, learning_rate=2e-3, ramp_images=10_000, ema=HalfLife(20_000, share=0.1)
)
_DDPM_TRAINING = TrainConfig(
    batch=128, learning_rate=2e-4, ramp_images=640_000, ramp_from_zero=False, clip=1.0, ema=Decay()
)
_OTCFM_TRAINING = TrainConfig(
    batch=128, learning_rate=2e-4, ramp_images=640_000, clip=1.0, ema=Decay(ramp=False)
)

PRESETS: Mapping[str, Config] = {
    "edm": TrainEDM(
        run=Run(images=250_000),
        network=replace(unet_edm.DIGITS, augment_dim=0, dropout=0.0),
        model=EDM(augment=0.0),
        training=_DIGITS_TRAINING,
    ),
    "ddpm": TrainDDPM(
        run=Run(images=120_000),
        # two levels: at t = 800 an error of ε is 26 times as large in the image
        network=replace(unet_ddpm.DIGITS, channel_mult=(1, 2), attn_resolutions=(4,), dropout=0.0),
        model=DDPM(flip=False),
        training=_DIGITS_TRAINING,
    ),
    "otcfm": TrainOTCFM(
        run=Run(images=120_000),
        network=replace(unet_cfm.DIGITS, dropout=0.0),
        model=OTCFM(flip=False),
        training=_DIGITS_TRAINING,
    ),
    "edm-cifar10": TrainEDM(
        run=Run(data=_CIFAR10, images=200_000_000),
        network=unet_edm.CIFAR10,
        training=TrainConfig(batch=512, learning_rate=1e-3, ramp_images=10_000_000),
    ),
    "edm-ffhq64": TrainEDM(
        run=Run(data="ffhq-64x64.zip", images=200_000_000),
        network=unet_edm.FFHQ64,
        model=EDM(augment=0.15, steps=40),
        training=TrainConfig(batch=256, learning_rate=2e-4, ramp_images=10_000_000),
    ),
    "ddpm-cifar10": TrainDDPM(
        run=Run(data=_CIFAR10, images=2040 * 390 * 128), training=_DDPM_TRAINING
    ),
    "otcfm-cifar10": TrainOTCFM(
        run=Run(data=_CIFAR10, images=400_001 * 128), training=_OTCFM_TRAINING
    ),
}
"""Official settings of the CIFAR-10 and FFHQ-64 models; small networks for the digits, on a
laptop."""
