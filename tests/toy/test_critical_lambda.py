"""Contraction over λ: where it is exact, where a loop diverges, and what the command writes."""

import csv
import math
import re

import numpy as np
import pytest

from stability.diffusion.width_map import SAMPLERS
from stability.loop.contraction import Rate
from stability.runs.option_error import OptionError
from stability.statements.literature.temperature_threshold import critical_lambda
from toy.critical_lambda import LOOPS, CriticalLambda, MeasuredRow, crossing, main, measure

WARM = "Gaussian, τ = 1.5"


def numbers(lam, contraction, error=0.01):
    return MeasuredRow(lam, 1.0, Rate(contraction, error), math.nan, Rate(0.0, 0.0))


def test_a_gaussian_contracts_by_its_synthetic_share_and_a_hot_one_diverges_beyond_two():
    """A pair at n = 200 varies by 0.03 or less: 0.07 is ten standard errors of 20 pairs."""
    config = CriticalLambda(lam=(1.0, 6.0), seeds=20)
    for name, response in (("Gaussian", 1.0), (WARM, 1.5)):
        for row in measure(LOOPS[name], config):
            assert row.theory == pytest.approx(response * row.lam / (1 + row.lam))
            assert row.contraction.value == pytest.approx(row.theory, abs=0.07)
            assert row.diverges == (name == WARM and row.lam == 6.0)
            assert row.response == pytest.approx(response, abs=0.25)


def test_critical_values_are_where_theory_passes_one():
    for loop in LOOPS.values():
        critical = loop.critical(loop.samples)
        if math.isfinite(critical):
            assert loop.rate(critical, loop.samples) == pytest.approx(1, abs=1e-6)
    assert LOOPS[WARM].critical(10) == 2
    assert LOOPS["4 symbols, τ = 0.8"].critical(10) == pytest.approx(critical_lambda(0.8))


def test_the_theory_of_a_sampler_is_the_slope_of_its_width_map():
    """By finite differences, at the width where v = (1 + λφ(v))/(1 + λ)."""
    lam, sampler, v = 4.0, SAMPLERS["DDPM 100, fixed-small"], 1.0
    for _ in range(2000):
        v = (1 + lam * float(sampler.variance(v))) / (1 + lam)
    ends = sampler.variance(np.array([v - 1e-5, v + 1e-5]))
    slope = float(np.diff(ends)[0]) / 2e-5
    rate = LOOPS["DDPM, fixed-small"].rate(lam, 60)
    assert rate == pytest.approx(lam / (1 + lam) * slope, rel=1e-5)


def test_where_a_loop_begins_to_diverge():
    rows = [numbers(1.0, 0.5), numbers(4.0, 1.1), numbers(12.0, 1.3)]
    assert crossing(rows) == "1 … 4"
    assert crossing(rows[:1]) == "none up to 1"
    assert crossing(rows[1:]) == "below 4"
    assert not numbers(1.0, 1.01).diverges  # within two standard errors of 1
    assert not numbers(1.0, math.nan).diverges


def test_the_command_writes_numbers_and_a_figure(tmp_path, capsys):
    names = ("4 symbols, τ = 0.8", "kernels, fixed", "VAE")
    config = CriticalLambda(
        loops=names, lam=(1.0, 2.0), retrainings=2, seeds=2, epochs=1, out=tmp_path / "run"
    )
    main(config)
    with (config.out / "critical_lambda.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["loop"] for row in rows] == [name for name in names for _ in range(2)]
    assert [row["theory"] == "" for row in rows] == [False] * 4 + [True] * 2
    out = capsys.readouterr().out
    assert all(f"{float(row['contraction']):.3f}" in out for row in rows if row["contraction"])
    assert re.search(r"4 symbols, τ = 0\.8\s+(none up to 2|1 … 2|below 1)\s+4", out)
    written = {path.name for path in config.out.iterdir()}
    assert {"critical_lambda.png", "critical_lambda.pdf"} <= written


@pytest.mark.parametrize("wrong", [{"lam": (0.0,)}, {"lam": (math.nan,)}, {"lam": ()}])
def test_options_are_checked(wrong):
    with pytest.raises(OptionError, match=r"lam (and loops )?must"):
        CriticalLambda(**wrong)
    with pytest.raises(OptionError, match="lam and loops must have values"):
        CriticalLambda(loops=())
