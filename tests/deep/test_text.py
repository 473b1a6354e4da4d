"""python -m deep.text, on a text of its own."""

import math

import pytest

from deep.language.corpus import PYDOC
from deep.language.learner import LanguageTraining
from deep.language.measures import ENTROPY, PERPLEXITY, SURVIVAL, SURVIVAL_LAW
from deep.language.transformer import CharacterConfig
from deep.text import TextLoop, TextRun, critical_lambda, main
from stability.runs.recorded_run import read_run


def config(folder, temperature=1.0, **loop):
    (folder / "a.txt").write_text("the cat sat on the mat. " * 30)
    return TextRun(
        TextLoop(samples=12, retrainings=1, threads=1, out=folder / "run", **loop),
        data=str(folder / "a.txt"),
        length=6,
        network=CharacterConfig(width=8, layers=1, heads=2),
        training=LanguageTraining(first_steps=2, steps=1, batch=4, temperature=temperature),
    )


def test_critical_lambda():
    assert critical_lambda(0.8) == pytest.approx(4)
    assert critical_lambda(0.5) == 1
    assert math.isinf(critical_lambda(1.0))


def test_a_run_is_measured_printed_and_drawn(tmp_path, capsys):
    main(config(tmp_path))
    printed = " ".join(capsys.readouterr().out.split())
    assert "t = 1, fully synthetic:" in printed
    assert "decoding temperature τ = 1" in printed
    assert "critical" not in printed
    recorded = read_run(tmp_path / "run")
    assert [chain.row for chain in recorded.history[0].chains] == ["λ = 1", "fully synthetic"]
    for line in recorded.history:
        for chain in line.chains:
            assert {PERPLEXITY, ENTROPY, SURVIVAL, SURVIVAL_LAW} <= set(chain.measured)
            assert chain.measured[PERPLEXITY] >= 1
    assert (tmp_path / "run" / "figures" / "text.png").stat().st_size > 0


def test_at_another_temperature_there_is_a_critical_lambda_and_no_law(tmp_path, capsys):
    main(config(tmp_path, temperature=0.8, lam=(1.0,)))
    assert "critical at λ = τ/(1 − τ) = 4" in " ".join(capsys.readouterr().out.split())
    (line, _) = read_run(tmp_path / "run").history
    assert SURVIVAL_LAW not in line.chains[0].measured


def test_the_defaults_are_the_help_texts_and_less_than_a_million_parameters():
    run = TextRun()
    assert run.data == PYDOC
    import torch

    network = run.network.build(64, run.length, torch.Generator())
    assert sum(value.numel() for value in network.parameters()) < 1_000_000
