import json
from dataclasses import replace

import pytest

from stability import FullySynthetic, Mix
from tests.support.console_command import module_command
from tests.support.figures import leave_out_figures
from tests.support.warm_process import start
from toy.eight_gaussians import EightGaussians, QuickEightGaussians, main
from toy.experiment import Experiment
from toy.learners.settings import DDPMConfig

MODULE = "toy.eight_gaussians"
TINY = Experiment(lam=(1.0,), retrainings=1, samples=40, threads=1)
SMALL = DDPMConfig(epochs=2, batch=20, width=8, diffusion_steps=10)


def history(tmp_path, name, experiment=TINY, diffusion=SMALL, **options):
    main(EightGaussians(replace(experiment, out=tmp_path / name), diffusion, **options))
    return [
        json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """The history without a change, which many tests compare with."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_figures(patch)
        return history(tmp_path_factory.mktemp("default"), "run")


def test_the_record_of_a_run(tmp_path, capsys):
    lines = history(tmp_path, "run", replace(TINY, lam=(), seeds=2))
    assert [list(chain["regime"]) for chain in lines[-1]["chains"]] == 2 * [["mix"]] + 2 * [
        ["fully-synthetic"]
    ]
    assert [(c["n"], c["m"]) for c in lines[-1]["chains"]] == [(40, 40)] * 2 + [(0, 40)] * 2
    for chain in lines[-1]["chains"]:
        measured = chain["measured"]
        assert len(measured["weights"]) == 8
        assert sum(measured["weights"]) == pytest.approx(1)
        assert {
            "width",
            "width_median",
            "high_quality",
            "covered",
            "entropy",
            "shift",
            "w1",
            "w2",
        } <= set(measured)
    out = capsys.readouterr().out
    for words in (
        "Within-mode sd / true sd",
        "Entropy of the modes",
        "W2 to the truth",
        "profile.png",
        "samples.gif",
    ):
        assert words in out
    assert (tmp_path / "run" / "figures" / "profile.pdf").exists()


@pytest.mark.parametrize(
    "change",
    [
        *({"diffusion": replace(SMALL, **change)} for change in (
            {"epochs": 3},
            {"batch": 10},
            {"learning_rate": 0.02},
            {"width": 10},
            {"layers": 2},
            {"shuffle": True},
            {"diffusion_steps": 11},
            {"beta_first": 0.01},
            {"beta_last": 0.3},
            {"sampler": "fixed-small"},
            {"sampler": "ddim"},
            {"clip": 1.0},
        )),
        {"learner": "exact", "diffusion": DDPMConfig(diffusion_steps=10)},
        {"mixture": "ffjord"},
        {"mixture": "torchcfm"},
        {"experiment": replace(TINY, seed=1)},
    ],
)  # fmt: skip
def test_every_option_changes_the_result(tmp_path, change, no_figures, default):
    assert history(tmp_path, "changed", **change) != default


def test_the_defaults_are_the_papers():
    config = EightGaussians()
    assert (config.experiment.samples, config.experiment.retrainings, config.diffusion.epochs) == (
        10_000,
        100,
        200,
    )
    assert config.experiment.regimes((1.0,)) == [Mix(1.0), FullySynthetic()]
    quick = QuickEightGaussians()
    assert quick.experiment.retrainings < 100
    assert quick.diffusion.width < 128


def test_quick_is_a_preset_that_other_options_change(tmp_path, no_figures, monkeypatch, capsys):
    out = tmp_path / "run"
    options = [
        "--retrainings",
        "1",
        "--samples",
        "30",
        "--epochs",
        "1",
        "--threads",
        "1",
        "--out",
        str(out),
    ]
    done = module_command(monkeypatch, capsys, MODULE, *options, "--quick")
    assert (done.returncode, done.stderr) == (0, "")
    assert "fully synthetic" in done.stdout
    config = json.loads((out / "config.json").read_text())["config"]
    assert (config["retrainings"], config["samples"], config["width"]) == (
        1,
        30,
        QuickEightGaussians().diffusion.width,
    )


def test_bad_input_is_one_line_and_status_2():
    command = start("-m", MODULE, "--beta-last", "1.5")
    out, err = command.communicate()
    assert (command.returncode, out, err.count("\n")) == (2, "", 1)
    assert "--beta-last must be in (0, 1), got 1.5" in err
