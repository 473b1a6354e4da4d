import csv
from dataclasses import replace

import numpy as np
import pytest

from stability.diffusion.width_map import SAMPLERS
from toy.samplers import EVALUATIONS, FAMILIES, Samplers, bias, fewest, main


@pytest.mark.parametrize(
    ("family", "calls", "name"),
    [
        ("EDM, Heun", 35, "EDM Heun 18"),
        ("EDM, Heun", 36, "EDM Heun 18"),
        ("EDM, DPM-Solver++(2M)", 18, "EDM DPM-Solver++(2M) 18"),
        ("EDM, UniPC", 18, "EDM UniPC 18"),
        ("DDPM, DPM-Solver++(2M)", 20, "DDPM 1000, DPM-Solver++(2M) 20"),
        ("DDPM, UniPC", 20, "DDPM 1000, UniPC 20"),
        ("flow, Euler", 99, "flow, Euler 99"),
    ],
)
def test_the_samplers_are_those_of_the_width_map(family, calls, name):
    for s in (0.05, 0.7):
        expected = float(SAMPLERS[name].variance(s**2)) / s**2 - 1
        assert bias(family, calls, s) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_sampler_takes_more_calls_than_it_may(family):
    for calls in EVALUATIONS:
        sampler = FAMILIES[family](calls)
        taken = getattr(sampler, "evaluations", None) or sampler.integrator.steps  # type: ignore[attr-defined]
        assert calls - 1 <= taken <= calls


def test_the_fewest_calls_from_which_on_a_sampler_is_neutral():
    biases = np.full(len(EVALUATIONS), 0.001)
    assert fewest(biases, 0.01) == 5
    biases[3] = -0.02  # 8 calls
    assert fewest(biases, 0.01) == 9
    biases[-1] = 0.02
    assert fewest(biases, 0.01) is None


def test_the_command_writes_figure_and_numbers(tmp_path, capsys):
    config = Samplers(widths=(0.5,), evaluations=10, out=tmp_path / "run")
    main(config)
    with (config.out / "samplers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(FAMILIES) * len(EVALUATIONS)
    for row in rows[::50]:
        expected = bias(row["sampler"], int(row["evaluations"]), 0.5)
        assert float(row["bias"]) == expected
    out = capsys.readouterr().out
    assert f"{100 * bias('DDPM, UniPC', 10, 0.5):+.1f}" in out
    assert {"samplers.png", "samplers.pdf"} <= {path.name for path in config.out.iterdir()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": ()}, "widths must be 1 to 6 numbers"),
        ({"widths": (0.0,)}, "widths must be from 1e-6 to 1e6"),
        ({"tolerance": 0.0}, "tolerance must be finite and > 0, got 0"),
        ({"evaluations": 4}, "evaluations must be from 5 to 50, got 4"),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(ValueError, match=message):
        replace(Samplers(), **change)
