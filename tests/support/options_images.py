"""The effect of each option of deep.retrain, for each of its models."""

from pathlib import Path
from typing import Any

from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.networks.unet_cfm import CFMNetwork
from deep.networks.unet_ddpm import DDPMNetwork
from deep.networks.unet_edm import EDMNetwork
from deep.retrain import main
from deep.retraining.presets import Retrain, RetrainDDPM, RetrainEDM, RetrainOTCFM
from deep.training.trainer import Decay, HalfLife, TrainConfig
from tests.support.option_table import LOOP, Beside, Command, Refused, Same

__all__ = ["COMMANDS", "RUN", "SHARED"]

RUN = Retrain(
    lam=(0.5,), retrainings=1, real=24, images_per_retraining=16, first_images=16, grid=2,
    metrics=("fd",), sample_batch=12, threads=1, device="cpu", checkpoint_seconds=0.0,
)  # fmt: skip
SMALL: dict[str, Any] = {"resolution": 8, "channels": 1, "model_channels": 8, "channel_mult": (1,)}
SMALL |= {"num_blocks": 1, "attn_resolutions": (), "dropout": 0.0}
EDM_NETWORK = EDMNetwork(**SMALL, augment_dim=0)
WIDER: dict[str, Any] = {**SMALL, "model_channels": 32, "norm_groups": 8}
DDPM_NETWORK, CFM_NETWORK = DDPMNetwork(**WIDER), CFMNetwork(**WIDER, head_channels=16)
TRAINING = TrainConfig(batch=8, learning_rate=1e-2, ema=HalfLife(100))

OF_IMAGES = {
    **LOOP,
    "samples": 20,
    "retrainings": 0,
    "keep": Same({"keep": "all"}, LOOP["keep"].why),
    "device": Same({"device": "cpu"}, LOOP["device"].why),
    "preset": Same({}, "what the others begin with: tests/deep/test_retrain.py"),
    "data": Refused({"data": "none.npz"}, "none.npz: no such file"),
    "real": 25,
    "held_out": Refused({"held_out": "none.npz"}, "none.npz: no such file"),
    "images_per_retraining": 24,
    "first_images": 24,
    "init": Refused(
        {"init": Path("none.pt"), "first_images": 150_000}, "--init none.pt: no such file"
    ),
    "carry": "ema",
    "extrapolate": (0.5,),
    "grid": Same({"grid": 3}, "images to look at: tests/deep/test_retrain.py"),
    "metrics": ("kd",),
    "k": {"metrics": ("pr",), "k": 2},
    "kid_subsets": {"metrics": ("kd",), "kid_subsets": 3},
    "inception": Refused({"inception": Path("none.pth")}, "none.pth: no such file"),
    "resize": Refused({"resize": "tensorflow"}, "resize tensorflow has no meaning without"),
    "trust_torchscript": Refused({"trust_torchscript": Path("none.ts")}, "none.ts: no such file"),
    "sample_batch": Same({"sample_batch": 24}, "memory: draws are keyed image by image"),
    "sample_precision": "bf16",
    "checkpoint_seconds": Same({"checkpoint_seconds": 60.0}, "how much a kill loses"),
    "cache": Same({}, "where generation 0 and encoders are kept"),
    "paper_lambdas": {"lam": (), "paper_lambdas": (0.25,)},
}
TRAINED = {
    "batch": 4,
    "microbatch": Same({"microbatch": 8}, "memory: gradients are added up"),
    "learning_rate": 1e-3,
    "ramp_images": 20,
    "ramp_from_zero": {"ramp_images": 20, "ramp_from_zero": False},
    "clip": 1e-3,
    "ema": Decay(0.5),
    "precision": "bf16",
    "compile": Same({}, "speed: tests/deep/training/test_precision.py"),
    "channels_last": Same({}, "speed: another order of sums on some processors"),
}
NETWORK = {
    "resolution": Refused({"resolution": 16}, "8 pixels a side; the network is for"),
    "channels": Refused({"channels": 3}, "the network is for"),
    "model_channels": 64,
    "channel_mult": (1, 2),
    "num_blocks": 2,
    "attn_resolutions": (8,),
    "dropout": 0.5,
}
OF_EDM = {
    "p_mean": 0.0,
    "p_std": 2.0,
    "augment": {"augment_dim": 9, "augment": 0.9},
    "steps": 4,
    "sampler": "dpm++2m",
    "sigma_min": 0.1,
    "sigma_max": 8.0,
    "rho": 3.0,
    "churn": 1.0,
    "churn_min": {"churn": 1.0, "churn_min": 10.0},
    "churn_max": {"churn": 1.0, "churn_max": 1.0},
    "churn_noise": {"churn": 1.0, "churn_noise": 1.5},
    "augment_dim": 9,
    "channel_mult_emb": 2,
    "sigma_data": 0.3,
    "label_dim": 10,
}
OF_DDPM = {
    "timesteps": 12,
    "norm_groups": 4,
    "norm_eps": 0.1,
    "head_channels": {"attn_resolutions": (8,), "head_channels": 8},
    "cosines_first": True,
    "freq_shift": 0,
    "downsample_padding": Beside({"channel_mult": (1, 1)}, {"downsample_padding": 1}),
    "x0_clip": 0.5,
    "clipped_noise": False,
    "solver_spacing": Beside(
        {"sampler": "unipc", "ddim_steps": None, "solver_steps": 4}, {"solver_spacing": "linear"}
    ),
    "label_dim": 10,
    "beta_first": 1e-3,
    "beta_last": 0.1,
    "flip": True,
    "sampler": "ddim-linear",
    "ddim_steps": 3,
    "solver_steps": Beside({"sampler": "unipc", "ddim_steps": None}, {"solver_steps": 5}),
}
OF_OTCFM = {
    "flip": True,
    "sigma": 0.3,
    "norm_groups": 4,
    "pairs": "permutation",
    "integrator": {"euler_steps": None, "integrator": "dopri5"},
    "tolerance": {"euler_steps": None, "integrator": "dopri5", "tolerance": 0.5},
    "euler_steps": 3,
    "head_channels": {"attn_resolutions": (8,), "head_channels": 8},
    "num_heads": Beside({"attn_resolutions": (8,)}, {"num_heads": 4, "head_channels": None}),
}
COMMANDS = {
    "retrain edm": Command(
        main,
        RetrainEDM,
        {"run": RUN, "network": EDM_NETWORK, "model": EDM(augment=0.0, steps=3),
         "training": TRAINING},
        {**OF_IMAGES, **TRAINED, **NETWORK, **OF_EDM},
    ),
    "retrain ddpm": Command(
        main,
        RetrainDDPM,
        {"run": RUN, "network": DDPM_NETWORK,
         "model": DDPM(timesteps=10, beta_last=0.3, flip=False, ddim_steps=4),
         "training": TRAINING},
        {**OF_IMAGES, **TRAINED, **NETWORK, **OF_DDPM},
    ),
    "retrain otcfm": Command(
        main,
        RetrainOTCFM,
        {"run": RUN, "network": CFM_NETWORK,
         "model": OTCFM(flip=False, integrator="euler", euler_steps=2),
         "training": TRAINING},
        {**OF_IMAGES, **TRAINED, **NETWORK, **OF_OTCFM},
    ),
}  # fmt: skip
SHARED = set(OF_IMAGES) | set(TRAINED)
