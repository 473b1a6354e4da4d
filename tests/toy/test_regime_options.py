import json
from dataclasses import replace

import numpy as np
import pytest

from stability import AccumulateFresh, Curated, Exchange, FullySynthetic, Mix, Scheduled
from stability.loop.regimes import Extrapolated
from stability.runs.command_line import UsageError
from toy.densities.preferences import right
from toy.experiment import Experiment
from toy.learners.settings import DDPMConfig, EDMConfig
from toy.run import configuration, main

TINY = Experiment(lam=(0.5,), retrainings=2, samples=40, threads=1)
EXTRAPOLATED = {"regime": "extrapolated", "extrapolation": 0.5}


@pytest.mark.parametrize(
    ("options", "regimes"),
    [
        (
            {"regime": "accumulate-fresh", "lam": (1.0, 3.0)},
            [AccumulateFresh(0.5), AccumulateFresh(0.25)],
        ),
        (
            {"regime": "accumulate-fresh", "real_fraction": (0.2, 0.8)},
            [AccumulateFresh(0.2), AccumulateFresh(0.8)],
        ),
        (
            {"regime": "scheduled", "growth_power": 2.0, "lam": (1.0,), "fully_synthetic": True},
            [Scheduled(Mix(1.0), power=2.0), Scheduled(FullySynthetic(), power=2.0)],
        ),
        (
            {"regime": "scheduled", "growth": 0.9, "fully_synthetic": True},
            [Scheduled(FullySynthetic(), 0.9)],
        ),
        (
            {"regime": "exchange", "models": 3, "seeds": 6, "lam": (1.0,), "reward": "right"},
            [Exchange.among(3, Curated(Mix(1.0), right))],
        ),
        (
            {"regime": "exchange", "own_share": 0.0, "seeds": 2, "lam": (1.0,)},
            [Exchange(Mix(1.0), ((0.0, 1.0), (1.0, 0.0)))],
        ),
        ({**EXTRAPOLATED, "lam": (1.0,)}, [Extrapolated(Mix(1.0), 0.5)]),
        (
            {"regime": "extrapolated"},
            [Extrapolated(row, 1.0) for row in (Mix(0), Mix(0.5), Mix(1), FullySynthetic())],
        ),
    ],
)
def test_options_choose_the_regimes(options, regimes):
    assert Experiment(**options).regimes() == regimes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"real_fraction": (0.5,)}, "real_fraction has no meaning for regime mix"),
        ({"growth": 2.0}, "growth has no meaning for regime mix"),
        ({"growth_power": 2.0}, "growth_power has no meaning for regime mix"),
        ({"models": 2}, "models has no meaning for regime mix"),
        ({"own_share": 0.5}, "own_share has no meaning for regime mix"),
        ({"extrapolation": 1.0}, "extrapolation has no meaning for regime mix"),
        ({"regime": "scheduled"}, "scheduled needs growth or growth_power"),
        ({"regime": "scheduled", "growth": 0.0}, "growth must be finite and > 0, got 0"),
        ({"regime": "scheduled", "growth": 1e300}, "growth_power is too large"),
        ({"regime": "scheduled", "growth_power": float("nan")}, "growth_power must be finite"),
        ({"regime": "exchange"}, "seeds must be a multiple of models 2, got 1"),
        ({"regime": "exchange", "models": 1}, "models must be >= 2, got 1"),
        ({"regime": "exchange", "seeds": 2, "own_share": 1.5}, r"own_share must be in \[0, 1\]"),
        ({"regime": "extrapolated", "extrapolation": float("inf")}, "extrapolation must be finite"),
        (
            {"regime": "accumulate-fresh", "real_fraction": (1.5,)},
            r"real_fraction must be in \[0, 1\]",
        ),
        (
            {"regime": "accumulate-fresh", "real_fraction": (0.5,), "lam": (1.0,)},
            "two names of one thing",
        ),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**options)


def history(out, model, settings, experiment):
    config = configuration(model)
    main(config(replace(experiment, out=out), settings=settings))
    return (out / "history.jsonl").read_bytes()


TINY_MODELS = {
    "ddpm": DDPMConfig(epochs=2, batch=20, width=8, diffusion_steps=10),
    "edm": EDMConfig(epochs=2, batch=20, width=8, sampler_steps=4),
}


@pytest.mark.parametrize("model", TINY_MODELS)
def test_a_network_is_extrapolated(model, tmp_path, no_figures):
    """By 0 it is another regime with the same samples; by ½ it is not."""
    found = {
        w: history(
            tmp_path / str(w),
            model,
            TINY_MODELS[model],
            replace(TINY, regime="extrapolated", extrapolation=w),
        )
        for w in (0.0, 0.5)
    }
    plain = history(tmp_path / "plain", model, TINY_MODELS[model], TINY)

    def measured(lines):
        return [json.loads(line)["chains"][0]["measured"]["w2"] for line in lines.splitlines()]

    assert measured(found[0.0]) == measured(plain)
    assert (np.array(measured(found[0.5])) != measured(plain)).all()


@pytest.mark.parametrize(
    "options",
    [
        EXTRAPOLATED,
        {"regime": "exchange", "seeds": 4},
        {"regime": "accumulate-fresh"},
        {"regime": "scheduled", "growth": 1.5},
    ],
    ids=lambda options: options["regime"],
)
def test_a_run_that_was_interrupted_ends_like_one_that_was_not(options, tmp_path, no_figures):
    experiment, settings = replace(TINY, **options), TINY_MODELS["edm"]
    whole = history(tmp_path / "whole", "edm", settings, experiment)
    history(tmp_path / "parts", "edm", settings, replace(experiment, max_hours=1e-9))
    assert history(tmp_path / "parts", "edm", settings, experiment) == whole


def test_a_model_without_parameters_is_refused(tmp_path):
    experiment = replace(TINY, **EXTRAPOLATED, out=tmp_path / "run")
    config = configuration("kde")
    with pytest.raises(UsageError, match="--regime extrapolated is not supported by KDELearner"):
        main(config(experiment))
