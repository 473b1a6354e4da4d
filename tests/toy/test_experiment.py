import json
from dataclasses import replace

import numpy as np
import pytest

from stability import (
    Accumulate,
    Curated,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    Subsample,
    Verified,
    Weighted,
)
from tests.support.figures import leave_out_figures
from tests.support.learners_2d import SMALL_FLOW
from toy.densities.preferences import inner, right
from toy.experiment import Experiment
from toy.two_moons import TwoMoons, main

TINY = Experiment(lam=(0.5,), retrainings=2, samples=40, threads=2)


def history(tmp_path, name, experiment=TINY, flow=SMALL_FLOW, **options):
    """The history of a tiny two-moons run."""
    main(TwoMoons(replace(experiment, out=tmp_path / name), flow, **options))
    return [
        json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """The history without a change, which many tests compare with."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_figures(patch)
        return history(tmp_path_factory.mktemp("default"), "run")


def w2(line):
    """The values of the first chain."""
    return line["chains"][0]["measured"]["w2"]


@pytest.mark.parametrize(
    ("options", "regimes"),
    [
        ({}, [Mix(0), Mix(0.5), Mix(1), FullySynthetic()]),  # the paper's comparison
        ({"lam": (0.2,)}, [Mix(0.2)]),
        ({"lam": (0.2, 3.0), "fully_synthetic": True}, [Mix(0.2), Mix(3.0), FullySynthetic()]),
        ({"fully_synthetic": True}, [FullySynthetic()]),
        ({"regime": "synthetic"}, [FullySynthetic()]),
        ({"regime": "accumulate", "lam": (1.0,)}, [Accumulate(1.0)]),
        ({"regime": "fresh"}, [FreshReal(0), FreshReal(0.5), FreshReal(1)]),
        (
            {"regime": "fresh", "lam": (1.0,), "fully_synthetic": True},
            [FreshReal(1.0), FullySynthetic()],
        ),
        ({"regime": "replace", "lam": (1.0,)}, [ReplaceFraction(1.0)]),
        ({"regime": "subsample", "lam": (1.0,)}, [Subsample(Accumulate(1.0))]),
        (
            {"lam": (1.0,), "fully_synthetic": True, "weight": 0.6, "reward": "right"},
            [Curated(Weighted(Mix(1.0), 0.6), right), Curated(FullySynthetic(), right)],
        ),
        ({"lam": (1.0,), "verifier": "inner", "tries": 3}, [Verified(Mix(1.0), inner, 3)]),
    ],
)
def test_options_choose_the_regimes(options, regimes):
    assert Experiment(**options).regimes() == regimes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": (-1.0,)}, "lam must be finite and >= 0, got -1"),
        ({"lam": (0.5, float("nan"))}, "lam must be finite and >= 0, got nan"),
        ({"lam": (float("inf"),)}, "got inf .no real data: fully_synthetic"),
        ({"lam": (0.5, 0.5)}, "lam must not repeat a value, got 0.5 0.5"),
        ({"lam": (0.5,), "regime": "synthetic"}, "lam has no meaning for regime synthetic"),
        ({"samples": 1}, "samples must be >= 2, got 1"),
        ({"seeds": 0}, "seeds must be >= 1, got 0"),
        ({"retrainings": -1}, "retrainings must be >= 0, got -1"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"threads": -2}, "threads must be >= 0, got -2"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**options)


def test_the_record_of_a_run(tmp_path, capsys):
    experiment = replace(TINY, lam=(0.5,), fully_synthetic=True, seeds=2)
    lines = history(tmp_path, "run", experiment)
    assert [line["t"] for line in lines] == [0, 1, 2]
    first, last = lines[0]["chains"], lines[-1]["chains"]
    mix, synthetic = {"mix": {"lam": 0.5}}, {"fully-synthetic": {}}
    assert [(c["regime"], c["seed"]) for c in last] == [
        (mix, 0),
        (mix, 1),
        (synthetic, 0),
        (synthetic, 1),
    ]
    assert [(c["n"], c["m"]) for c in first] == [(40, 0)] * 4
    assert [(c["n"], c["m"]) for c in last] == [(40, 20)] * 2 + [(0, 40)] * 2
    # chains of a seed are one model until their data differ
    assert first[0] | {"regime": ""} == first[2] | {"regime": ""}
    assert first[0]["measured"]["w1"] != first[1]["measured"]["w1"]
    assert last[0]["measured"]["w1"] != last[2]["measured"]["w1"]
    out = capsys.readouterr().out
    for path in ("history.jsonl", "distances.png", "distances.pdf", "densities.png", "samples.gif"):
        assert path in out
    written = {p.name for p in (tmp_path / "run").rglob("*") if p.is_file() and p.name != ".lock"}
    assert written == {
        *("config.json", "history.jsonl", "study.json", "timings.jsonl", "report.html"),
        *(f"generation-000{t}.npz" for t in (0, 1, 2)),
        *(f"generation-000{t}.pt" for t in (1, 2)),
        *("distances.png", "distances.pdf", "densities.png", "densities.pdf", "samples.gif"),
    }
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["config"]["lam"] == [0.5]
    assert config["config"]["epochs"] == SMALL_FLOW.epochs
    assert config["environment"]["threads"] == 2


def test_it_says_where_it_is_a_line_a_generation_and_an_answer_or_paths_alone(
    tmp_path, no_figures, capsys
):
    history(tmp_path, "run")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"run: {tmp_path / 'run'}; disk: about ")
    assert [line.split(",")[0] for line in said[1:4]] == [f"generation {t} of 2" for t in range(3)]
    assert any(
        line.startswith("One seed cannot tell whether W1 to the truth grows") for line in said
    )
    history(tmp_path, "quiet", replace(TINY, quiet=True))
    paths = capsys.readouterr().out.splitlines()
    assert paths
    assert all(line.startswith(str(tmp_path / "quiet")) for line in paths)


def test_a_finished_run_is_shown_again_and_not_repeated(tmp_path, no_figures):
    lines = history(tmp_path, "run")
    before = (tmp_path / "run" / "timings.jsonl").read_bytes()
    assert history(tmp_path, "run") == lines
    assert (tmp_path / "run" / "timings.jsonl").read_bytes() == before


def test_overwrite_runs_again(tmp_path, no_figures):
    lines = history(tmp_path, "run")
    assert history(tmp_path, "run", replace(TINY, overwrite=True, seed=1)) != lines


@pytest.mark.parametrize(
    "change",
    [
        {"lam": (1.0,)},
        {"regime": "accumulate"},
        {"regime": "fresh"},
        {"lam": (), "fully_synthetic": True},
        {"retrainings": 1},
        {"samples": 41},
        {"seeds": 2},
        {"seed": 1},
        {"latents": "shared"},
        {"from_scratch": True},
    ],
)
def test_every_option_of_the_experiment_changes_the_result(tmp_path, change, no_figures, default):
    assert history(tmp_path, "changed", replace(TINY, **change)) != default


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 2},
        {"batch": 16},
        {"learning_rate": 0.02},
        {"width": 8},
        {"source": "8gaussians"},
        {"sigma": 0.1},
        {"pairs": "permutation"},
        {"pairs": "independent"},
        {"integrator": "dopri5"},
        {"ode_steps": 11},
    ],
)
def test_every_option_of_the_flow_changes_the_result(tmp_path, change, no_figures, default):
    assert history(tmp_path, "changed", flow=replace(SMALL_FLOW, **change)) != default


def test_the_other_options_change_what_they_say(tmp_path, no_figures, default):
    assert history(tmp_path, "grid", angles="grid") != default
    loose, tight = (
        replace(SMALL_FLOW, integrator="dopri5", tolerance=tolerance) for tolerance in (1e-1, 1e-4)
    )
    assert history(tmp_path, "loose", flow=loose) != history(tmp_path, "tight", flow=tight)
    # both solvers are exact, so only rounding could differ; threads change the speed
    pot = history(tmp_path, "pot", flow=replace(SMALL_FLOW, solver="pot"))
    one_thread = history(tmp_path, "one thread", replace(TINY, threads=1))
    for line, *others in zip(default, pot, one_thread, strict=True):
        for other in others:
            assert w2(other) == pytest.approx(w2(line), rel=1e-3)


def test_an_unwritable_folder_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        history(tmp_path / "file", "run")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_samples_are_kept(tmp_path, no_figures):
    history(tmp_path, "run")
    with np.load(tmp_path / "run" / "samples" / "generation-0002.npz") as file:
        assert {name: file[name].shape for name in file.files} == {"chain-000": (40, 2)}
