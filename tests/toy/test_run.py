import json
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stability.loop.regime_data import BY_LAMBDA
from stability.runs.command_line import UsageError, parse
from stability.runs.result import Result
from tests.support.figures import leave_out_figures
from tests.support.learners_2d import SETTINGS
from toy.compare import read_plane_run
from toy.densities.shapes import DENSITIES
from toy.experiment import Experiment
from toy.learners.settings import MixtureConfig
from toy.run import MODELS, ModelChoice, configuration, main

TINY = Experiment(lam=(0.5,), retrainings=1, samples=40, threads=1)


def history(out, model, experiment=TINY, density="moons", **settings):
    config: Any = configuration(model)
    main(
        config(
            replace(experiment, out=out),
            density=density,
            settings=replace(SETTINGS[model], **settings),
        )
    )
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """Model -> its history without a change, which many tests compare with."""

    @cache
    def of(model):
        with pytest.MonkeyPatch.context() as patch:
            leave_out_figures(patch)
            return history(tmp_path_factory.mktemp(model) / "run", model)

    return of


ONCE = list(zip(MODELS, [*BY_LAMBDA, "synthetic", "mix"], strict=True))


@pytest.mark.parametrize(("model", "regime"), ONCE)
def test_every_model_runs(model, regime, tmp_path, capsys, no_figures):
    """Regimes, densities and models meet in one line each: each model is here once, in another
    regime and density.
    """
    names = list(DENSITIES)
    density = names[list(MODELS).index(model) % len(names)]
    lam = () if regime == "synthetic" else (0.5,)
    lines = history(tmp_path / "run", model, replace(TINY, regime=regime, lam=lam), density)
    assert [line["t"] for line in lines] == [0, 1]
    (chain,) = lines[-1]["chains"]
    assert {"w1", "w2", "sliced", "memorised", "parameter_distance"} <= set(chain["measured"])
    assert ("nll" in chain["measured"]) == (model in ("flow", "mixture", "kde"))
    assert ("width" in chain["measured"]) == density.startswith("8gaussians")
    assert "Sliced" in capsys.readouterr().out


def test_the_pictures_of_a_run(tmp_path):
    history(tmp_path / "run", "mixture", density="8gaussians")
    written = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"distances.png", "profile.png", "densities.png", "samples.gif"} <= written


@pytest.mark.parametrize("density", DENSITIES)
def test_every_density_runs(density, tmp_path, no_figures):
    lines = history(tmp_path / "run", "kde", density=density)
    assert len(lines) == 2


CHANGES: list[dict[str, Any]] = [
    {"regime": "replace"},
    {"regime": "subsample"},
    {"regime": "accumulate"},
    {"regime": "accumulate-fresh"},
    {"regime": "accumulate-fresh", "lam": (), "real_fraction": (0.3,)},
    {"regime": "scheduled", "growth": 1.5},
    {"regime": "scheduled", "growth_power": 2.0},
    {"regime": "exchange", "seeds": 2},
    {"regime": "exchange", "seeds": 2, "own_share": 0.1},
    {"regime": "exchange", "seeds": 3, "models": 3},
    {"weight": 0.3},
    {"reward": "right"},
    {"reward": "inward"},
    {"reward": "right", "choices": 3},
    {"verifier": "right-half"},
    {"verifier": "inner"},
    {"verifier": "inner", "tries": 1},
    {"temperature": 0.5},
]


def test_every_choice_of_data_changes_the_result(tmp_path, no_figures):
    experiment = replace(TINY, retrainings=2)
    results = [
        json.dumps(history(tmp_path / str(i), "mixture", replace(experiment, **change))[-1])
        for i, change in enumerate([{}, *CHANGES])
    ]
    assert len(set(results)) == len(results)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 0.0}, r"weight must be in \(0, 1\), got 0.0"),
        (
            {"weight": 0.5, "regime": "synthetic", "lam": ()},
            "weight has no meaning without real data",
        ),
        (
            {"weight": 0.5, "fully_synthetic": True, "lam": ()},
            "weight has no meaning without real data",
        ),
        ({"choices": 3}, "choices has no meaning without reward"),
        ({"reward": "right", "choices": 0}, "choices must be >= 1, got 0"),
        ({"tries": 3}, "tries has no meaning without verifier"),
        ({"verifier": "inner", "tries": 0}, "tries must be >= 1, got 0"),
        ({"temperature": 0.0}, "temperature must be finite and > 0, got 0.0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **options)


def test_a_weight_is_refused_by_models_that_cannot_take_it(tmp_path):
    with pytest.raises(UsageError, match="--weight is not supported by DDPM"):
        history(tmp_path / "run", "ddpm", replace(TINY, weight=0.5))


@pytest.mark.parametrize(
    ("model", "change"),
    [
        *product(["flow"], [{"epochs": 2}, {"batch": 8}, {"learning_rate": 0.01}, {"width": 4}]),
        *product(["flow"], [{"couplings": 1}, {"bins": 3}, {"box": 9.0}]),
        *product(["vae"], [{"epochs": 2}, {"batch": 8}, {"learning_rate": 0.01}, {"width": 4}]),
        *product(
            ["mixture"], [{"components": 2}, {"iterations": 1}, {"gain": 1.0}, {"floor": 0.1}]
        ),
        ("kde", {"bandwidth": 0.3}),
    ],
)
def test_every_setting_of_a_model_changes_the_result(model, change, tmp_path, no_figures, default):
    assert history(tmp_path / "changed", model, **change) != default(model)


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        ([], "ot-cfm"),
        (["--model", "vae", "--epochs", "3"], "vae"),
        (["--bandwidth", "0.3", "--model=kde"], "kde"),
        (["--lambda", "0.5", "1", "--model", "flow", "--couplings", "2"], "flow"),
    ],
)
def test_the_model_decides_what_options_there_are(arguments, model):
    config = parse(lambda chosen: configuration(chosen.model), arguments, ModelChoice)
    assert config.model == model
    assert type(config.settings) is type(configuration(model)().settings)


@pytest.mark.parametrize("arguments", [["--model", "nothing"], ["--model"]])
def test_a_model_that_is_none_is_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(lambda chosen: configuration(chosen.model), arguments, ModelChoice)
    assert leaving.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--model" in said


def test_plain_flow_matching_has_independent_pairs():
    config: Any = configuration("cfm")()
    assert config.settings.pairs == "independent"
    assert config.model == "cfm"


def test_a_finished_run_that_lost_samples_is_opened_and_draws_what_it_can(tmp_path):
    out, experiment = tmp_path / "run", replace(TINY, retrainings=3)
    lines = history(out, "kde", experiment)
    before = {path.name: path.read_bytes() for path in (out / "figures").iterdir()}
    (out / "samples" / "generation-0001.npz").unlink()
    lost = "generation-0001.npz is missing, and no checkpoint has its samples any more"
    with (
        pytest.warns(UserWarning, match=f"{lost}$"),
        pytest.warns(UserWarning, match="leave out t = 1"),
    ):
        assert history(out, "kde", experiment) == lines
    after = {path.name: path.read_bytes() for path in (out / "figures").iterdir()}
    assert after.keys() == before.keys()
    assert after["distances.pdf"] == before["distances.pdf"]
    assert after["samples.gif"] != before["samples.gif"]


def test_own_points_are_run_and_a_file_of_other_points_is_another_run(
    rng, tmp_path, monkeypatch, no_figures
):
    monkeypatch.chdir(tmp_path)
    settings = MixtureConfig(components=2, iterations=2)
    experiment = Experiment(lam=(0.5,), retrainings=1, samples=30, threads=1, device="cpu")
    made = configuration("mixture")

    def run_it():
        main(made(experiment=experiment, settings=settings, data=Path("points.npy")))
        return {path.name for path in Path("runs").iterdir()}

    np.save("points.npy", points := rng.standard_normal((200, 2)))
    first = run_it()
    assert len(first) == 1
    (name,) = first
    assert name.startswith("points-mixture-")
    result = Result.open(Path("runs") / name)
    assert len(result.history) == 2
    assert np.isfinite(result.samples(generation=0, seed=0)[0]).all()

    assert run_it() == first
    recorded = read_plane_run(Path("runs") / name).config
    assert recorded["density"].startswith("points ")
    assert "data" not in recorded
    np.save("points.npy", points + 1)
    assert len(run_it()) == 2
    with pytest.raises(UsageError, match="--density rings has no meaning with --data"):
        main(made(experiment=experiment, settings=settings, data=Path("x"), density="rings"))


def test_a_run_of_any_model_can_be_compared(tmp_path, no_figures):
    history(tmp_path / "run", "kde")
    recorded = read_plane_run(tmp_path / "run").config
    assert recorded["density"] == "moons"
    assert recorded["model"] == "kde"
