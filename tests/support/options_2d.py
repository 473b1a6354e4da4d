"""The effect of each option of each 2-D command."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.learners_2d import SMALL_FLOW as SMALL
from tests.support.option_table import LOOP, Command, Refused, Same
from toy import contraction, eight_gaussians, figure8, run, two_moons
from toy.experiment import Experiment
from toy.learners.settings import DDPMConfig, MixtureConfig
from toy.width_map import WidthMap

__all__ = ["COMMANDS", "DIFFUSION", "WIDTH", "WIDTH_CASES"]

PLANE = {
    "real_fraction": {"regime": "accumulate-fresh", "lam": (), "real_fraction": (0.3,)},
    "growth": Refused({"growth": 2.0}, "growth has no meaning for regime mix"),
    "growth_power": {"regime": "scheduled", "growth": 1.5, "growth_power": 2.0},
    "models": Refused({"models": 2}, "models has no meaning for regime mix"),
    "own_share": {"regime": "exchange", "seeds": 2, "own_share": 0.1},
    "extrapolation": Refused({"extrapolation": 1.0}, "has no meaning for regime mix"),
    "weight": Refused({"weight": 0.5}, "--weight is not supported by OTCFM"),
    "reward": "right",
    "choices": {"reward": "right", "choices": 3},
    "verifier": "inner",
    "tries": {"verifier": "inner", "tries": 1},
    "temperature": 0.5,
}
TINY = Experiment(lam=(0.5,), retrainings=2, samples=40, threads=1, device="cpu")
FLOW = {
    "epochs": 2,
    "batch": 16,
    "plan": {"plan": SMALL.batch // 2},
    "learning_rate": 0.02,
    "width": 8,
    "source": "8gaussians",
    "sigma": 0.1,
    "pairs": "permutation",
    "solver": Same({"solver": "pot"}, "another exact solver: up to rounding", exact=False),
    "integrator": "dopri5",
    "ode_steps": 11,
    "tolerance": {"integrator": "dopri5", "tolerance": 1e-1},
}
DDPM = DDPMConfig(epochs=2, batch=20, width=8, diffusion_steps=10)
DIFFUSION = {
    "epochs": 3,
    "batch": 10,
    "learning_rate": 0.02,
    "width": 10,
    "layers": 2,
    "shuffle": True,
    "diffusion_steps": 11,
    "beta_first": 0.01,
    "beta_last": 0.3,
    "sampler": "ddim",
    "sampler_steps": {"sampler": "unipc", "sampler_steps": 5},
    "spacing": {"sampler": "dpm++2m", "sampler_steps": 5, "spacing": "logsnr"},
    "clip": 1.0,
}
OWN_ROWS = "has its own rows"


def any_model(model: str) -> Any:
    return run.configuration(model)


COMMANDS = {
    "two_moons": Command(
        two_moons.main,
        two_moons.TwoMoons,
        {"experiment": TINY, "flow": SMALL},
        {**LOOP, **PLANE, **FLOW, "angles": "grid"},
    ),
    "figure8": Command(
        figure8.main,
        figure8.Figure8,
        {"experiment": replace(TINY, lam=(), retrainings=2, seeds=2), "flow": SMALL},
        {
            **LOOP,
            **PLANE,
            **FLOW,
            "lam": Refused({"lam": (1.0,)}, OWN_ROWS),
            "regime": Refused({"regime": "accumulate"}, OWN_ROWS),
            "fully_synthetic": Refused({"fully_synthetic": True}, OWN_ROWS),
            "real_fraction": Refused(PLANE["real_fraction"], OWN_ROWS),
            "growth_power": Refused(PLANE["growth_power"], OWN_ROWS),
            "own_share": Refused(PLANE["own_share"], OWN_ROWS),
            "seeds": 3,
            "max_hours": Refused({"max_hours": 1e-9}, "a slope needs two generations"),
        },
    ),
    "eight_gaussians": Command(
        eight_gaussians.main,
        eight_gaussians.EightGaussians,
        {"experiment": replace(TINY, lam=(1.0,)), "diffusion": DDPM},
        {
            **LOOP,
            **PLANE,
            **DIFFUSION,
            "lam": (0.5,),
            "weight": Refused({"weight": 0.5}, "--weight is not supported by DDPM"),
            "learner": Refused({"learner": "exact"}, "has no meaning for learner exact"),
            "mixture": "ffjord",
        },
    ),
    "run": Command(
        run.main,
        any_model("mixture"),
        {"experiment": TINY, "settings": MixtureConfig(components=3, iterations=3)},
        {
            **LOOP,
            **PLANE,
            "weight": 0.3,
            # a fit by EM of so few points ends where it begins
            "from_scratch": True,
            "components": 2,
            "iterations": 1,
            "gain": 1.0,
            "floor": 0.1,
            "density": "checkerboard",
            "data": Refused({"data": Path("none.npy")}, "--data none.npy: No such file"),
            "model": Same({}, "the class of the settings: tests/toy/test_run.py, every model"),
        },
        {"density": "moons", "data": None, "model": "mixture"},
    ),
    "contraction": Command(
        contraction.main,
        contraction.configuration("vae"),
        {
            "coupled": contraction.Coupled(
                lam=(0.5,), displacements=("shift",), retrainings=2, samples=40, seeds=2, threads=1
            ),
            "settings": replace(run.MODELS["vae"].settings(), epochs=1, width=4, batch=20),
        },
        {
            **LOOP,
            "seeds": 1,
            "regime": Refused({"regime": "accumulate"}, "regime must be mix"),
            "fully_synthetic": Refused({"fully_synthetic": True}, "regime must be mix"),
            "displacements": ("wave",),
            "size": 0.1,
            "epochs": 2,
            "batch": 10,
            "learning_rate": 0.01,
            "width": 6,
            "density": "checkerboard",
            "model": Same({}, "the class of the settings: tests/toy/test_contraction.py"),
        },
        {"density": "moons", "model": "vae"},
    ),
}


WIDTH = WidthMap(retrainings=2, samples=30, epochs=1, batch=30, width=4, threads=1, device="cpu")
WIDTH_CASES = {
    **LOOP,
    "regime": Refused({"regime": "accumulate"}, "regime must be mix or synthetic"),
    "fully_synthetic": True,
    "lam": (2.0,),
    "s0": 0.2,
    "epochs": 2,
    "batch": 15,
    "width": 6,
}
