import json
import math
from dataclasses import replace

import numpy as np
import pytest

from stability.diffusion.width_map import orbit
from stability.runs.output_folder import MARK
from toy.learners.ddpm import DDPMLearner
from toy.learners.edm import EDMLearner
from toy.learners.ot_cfm import OTCFMLearner
from toy.width_map import WidthMap, cases, main, trained_widths

TINY = WidthMap(retrainings=1, samples=30, epochs=1, batch=30, width=4, seeds=2, threads=1)


@pytest.mark.parametrize("name", cases(TINY))
def test_what_is_predicted_is_what_samples(name):
    """The learner's own sampler, by its variance at some widths."""
    case, v = cases(TINY)[name], np.array([1e-4, 0.01, 1.0])
    learner = case.make_learner(chains=1)
    if isinstance(learner, DDPMLearner | EDMLearner):
        np.testing.assert_allclose(
            case.sampler.variance(v), learner.sampler.variance(v), rtol=1e-12
        )
    else:
        assert isinstance(learner, OTCFMLearner)
        settings = learner.settings
        assert case.sampler.integrator == settings.make_integrator()  # type: ignore[attr-defined]
        assert case.sampler.correlation == {"independent": 0, "plan": 1}[settings.pairs]  # type: ignore[attr-defined]


def test_the_command_writes_figures_and_numbers(tmp_path, capsys):
    main(replace(TINY, out=tmp_path / "run"))
    widths = json.loads((tmp_path / "run" / "widths.json").read_text())
    assert list(widths) == list(cases(TINY))
    for regimes in widths.values():
        assert {name: np.shape(x) for name, x in regimes.items()} == dict.fromkeys(
            ("fully synthetic", "λ = 1"), (2, 2)
        )
        # at t = 0 both regimes are one model
        assert regimes["fully synthetic"][0] == regimes["λ = 1"][0]
        assert regimes["fully synthetic"][1] != regimes["λ = 1"][1]
    out = capsys.readouterr().out
    case = cases(TINY)["DDIM 100"]
    second = math.sqrt(case.sampler.variance(orbit(case.sampler, 0.01, math.inf, 1)[-1])) / 0.1
    assert f"{second:.3f}" in out
    farthest = max(
        (abs(np.mean(of[row][1]) - predicted), f"{name}, {row}: {np.mean(of[row][1]):.3f} [")
        for name, of in widths.items()
        for row, lam in (("fully synthetic", math.inf), ("λ = 1", 1.0))
        for sampler in [cases(TINY)[name].sampler]
        for predicted in [math.sqrt(sampler.variance(orbit(sampler, 0.01, lam, 1)[-1])) / 0.1]
    )
    assert farthest[1] in " ".join(out.split())
    for name in ("width_map.png", "width_map.pdf", "trained.png", "trained.pdf", "widths.json"):
        assert (tmp_path / "run" / name).exists()
        assert name in out.replace("\n", "")


def test_without_training_there_is_the_prediction_alone(tmp_path):
    main(WidthMap(epochs=0, out=tmp_path))
    written = {"width_map.png", "width_map.pdf"}
    assert {path.name for path in tmp_path.iterdir()} == written | {MARK}


@pytest.mark.parametrize(
    "change",
    [
        {"s0": 0.2},
        {"retrainings": 1},
        {"samples": 31},
        {"epochs": 2},
        {"batch": 15},
        {"width": 6},
        {"seeds": 1},
        {"seed": 1},
        {"lam": (2.0,)},
        {"regime": "synthetic"},
        {"fully_synthetic": True},
        {"latents": "shared"},
        {"from_scratch": True},
    ],
)
def test_every_option_changes_the_result(change, tmp_path):
    config = replace(TINY, retrainings=2)
    results = []
    for name, one in (
        ("default", config),
        ("changed", replace(config, **{"retrainings": 2} | change)),
    ):
        out = replace(one, out=tmp_path / name)
        widths = trained_widths(out, "DDIM 100", cases(out)["DDIM 100"])
        results.append({row: x.tolist() for row, x in widths.items()})
    assert results[0] != results[1]


def test_it_goes_on_where_it_stopped(tmp_path, capsys):
    config = replace(TINY, out=tmp_path)
    case = cases(config)["DDIM 100"]
    whole = trained_widths(config, "DDIM 100", case)
    folder = tmp_path / "runs" / "ddim-100"
    line = (folder / "history.jsonl").read_bytes()
    (folder / "checkpoints" / "generation-0001.pt").unlink()  # as if killed before it was written
    again = trained_widths(config, "DDIM 100", case)
    assert (folder / "history.jsonl").read_bytes() == line
    assert {row: x.tolist() for row, x in again.items()} == {
        row: x.tolist() for row, x in whole.items()
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"s0": 0.0}, "s0 must be from 1e-6 to 1e6, got 0"),
        ({"retrainings": -1}, "retrainings must be >= 0, got -1"),
        ({"epochs": -1}, "epochs must be >= 0"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"threads": -1}, "threads must be >= 0"),
        ({"batch": 0}, "batch must be >= 1"),
        ({"seeds": 0}, "seeds must be >= 1"),
        ({"samples": 1}, "samples must be >= 2, got 1"),
        ({"width": 5}, "width must be even and >= 4, got 5"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        WidthMap(**options)
