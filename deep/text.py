"""Retrain a small language model with its own text: python -m deep.text

A transformer over characters, on the help texts that Python ships; and what decoding at another
temperature does to it: python -m deep.text --temperature 0.8 --lambda 1 8
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.console import Console

from deep.content_cache import digest
from deep.language.corpus import PYDOC, Corpus, CorpusError, read_corpus
from deep.language.learner import BLOCK, LanguageLearner, LanguageTraining
from deep.language.measures import SURVIVAL, SURVIVAL_LAW, TextMeasures
from deep.language.transformer import CharacterConfig
from stability.loop.regimes import Regime, drawn_counts
from stability.runs.closing import closing
from stability.runs.command_line import UsageError, command
from stability.runs.loop_options import LoopOptions, parts_of, study_settings
from stability.runs.memory_limit import Need, require_memory
from stability.runs.ranges import require_range
from stability.runs.result import Result
from stability.runs.study import Study
from stability.runs.tables import print_tables

__all__ = ["TextLoop", "TextRun", "critical_lambda", "main"]

WITH_LAW = ("mix", "synthetic")
"""Regimes for which the law of exact frequencies is known."""
SHOWN_WINDOWS = 2
COPIES = 3
"""Copies of the parameters of a chain: themselves and Adam's two moments."""
FLOAT = 4
"""Bytes of a number."""


@dataclass(frozen=True)
class TextLoop(LoopOptions):
    """Options of the loop; points are windows of text."""

    retrainings: int = 6
    """T: generations 0 (real text only) to T."""
    samples: int = 600
    """n: real windows, and windows drawn of each generation to measure it."""

    def regimes(self, paper_lambdas: Sequence[float] = (1.0,)) -> list[Regime]:
        """Make the rows; without --lambda λ = 1 and fully synthetic.

        Args:
            paper_lambdas: Values of λ without --lambda.

        Returns:
            One regime a row.
        """
        return super().regimes(paper_lambdas)


@dataclass(frozen=True)
class TextRun:
    """Retrain a transformer over characters with its own text.

    Prints perplexity of held-out text, how varied the generated text is, and which n-grams of the
    real text are still there, beside the exact law of a model that keeps frequencies.
    """

    loop: Annotated[TextLoop, tyro.conf.arg(name="")] = field(default_factory=TextLoop)
    data: str = PYDOC
    """Text: pydoc (the help texts that Python ships), or a UTF-8 file. Its last fifth is held
    out."""
    length: int = 32
    """Characters of a window."""
    network: Annotated[CharacterConfig, tyro.conf.arg(name="")] = field(
        default_factory=CharacterConfig
    )
    training: Annotated[LanguageTraining, tyro.conf.arg(name="")] = field(
        default_factory=LanguageTraining
    )

    def __post_init__(self) -> None:
        require_range(self, length=(3, 2**12))


def critical_lambda(temperature: float) -> float:
    """Synthetic points per real one up to which uniform frequencies are locally stable.

    A categorical model that is sampled ∝ p^(1/τ) multiplies a small deviation from uniform
    frequencies by 1/τ, and a mixture with λ synthetic points a real one by λ/(1+λ): stable iff
    λ < τ/(1 − τ). Source: Marchi et al., arXiv:2404.02325, for the effect.

    Args:
        temperature: τ, > 0.

    Returns:
        τ/(1 − τ); inf for τ >= 1.
    """
    return temperature / (1 - temperature) if temperature < 1 else float("inf")


def main(config: TextRun) -> None:
    """Run, or finish, the retraining, and print the results.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If the text cannot be read, or the options do not fit.
    """
    loop = config.loop
    try:
        corpus = read_corpus(config.data, config.length)
    except CorpusError as error:
        raise UsageError(f"--data: {error}") from None
    _require_room(config, corpus)
    known = {"data_digest": digest(corpus.train, corpus.held_out, "".join(corpus.alphabet))}

    def tables(console: Console, result: Result) -> None:
        print_tables(console, result.history, result.recorded.study, result.quantities)
        _print_text(console, corpus, result)
        console.print(_about(config, corpus))

    Study(
        name="text",
        learner=partial(_learner, config, corpus),
        observers=[TextMeasures(law=_has_law(config))],
        real=corpus.real,
        truth=corpus.truth,
        fresh=corpus.real,
        regimes=loop.regimes(),
        finish=closing("text", loop.quiet, tables, _draw),
        **study_settings(loop, *parts_of(config), known),
    ).run()


def _has_law(config: TextRun) -> bool:
    """Tell whether the survival of n-grams under exact frequencies is known."""
    return config.loop.regime in WITH_LAW and config.training.temperature == 1


def _require_room(config: TextRun, corpus: Corpus) -> None:
    """UsageError if the run takes more memory than there is."""
    loop, network = config.loop, config.network
    n = loop.samples
    drawn = [max(m, n) for m in drawn_counts(loop.regimes(), n)]
    windows = sum(loop.largest([m], n) for m in drawn) * loop.seeds
    parameters = _parameters(config, corpus)
    activations = FLOAT * network.layers * network.width * corpus.length
    together = max(config.training.batch, BLOCK)
    require_memory(
        [
            Need(f"{windows:.3g} windows", "--samples", windows * corpus.length),
            Need(
                f"networks of {parameters:.3g} parameters",
                "--width",
                COPIES * FLOAT * parameters * len(drawn) * loop.seeds,
            ),
            Need(f"{together:,} windows at once", "--batch", activations * together),
        ]
    )


def _parameters(config: TextRun, corpus: Corpus) -> int:
    """Number of parameters of the network."""
    with torch.device("meta"):
        network = config.network.build(len(corpus.alphabet), corpus.length, torch.Generator())
    return sum(value.numel() for value in network.parameters())


def _learner(config: TextRun, corpus: Corpus, chains: int) -> LanguageLearner:
    symbols = len(corpus.alphabet)
    build = partial(config.network.build, symbols, corpus.length)
    return LanguageLearner(build, symbols, corpus.length, config.training, chains)


def _print_text(console: Console, corpus: Corpus, result: Result) -> None:
    """The first windows of the first and of the last generation of each row."""
    for t in dict.fromkeys((0, len(result.history) - 1)):
        for regime in result.history.regimes:
            for window in np.asarray(result.samples(t, regime, seed=0))[:SHOWN_WINDOWS]:
                console.print(f"t = {t}, {regime}: {corpus.decoded(window)}", soft_wrap=True)


def _about(config: TextRun, corpus: Corpus) -> str:
    """Explain the tables: size of the network, and the critical λ of the temperature."""
    tau = config.training.temperature
    words = f"{_parameters(config, corpus):,} parameters; decoding temperature τ = {tau:g}"
    critical = critical_lambda(tau)
    if np.isfinite(critical):
        words += f", for frequencies critical at λ = τ/(1 − τ) = {critical:.3g}"
    return words


def _draw(result: Result) -> list[Path]:
    """Draw each quantity over the generations; the exact law dotted beside the survival."""
    from stability.runs.curves import draw_curve, quantity_curves
    from stability.runs.figure_style import figure_style, regime_looks, save_figure

    shown = [one for one in result.quantities if one.shown and one.key != SURVIVAL_LAW]
    study = result.recorded.study
    with figure_style():
        figure = quantity_curves(result.history, study, shown)
        if any(one.key == SURVIVAL_LAW for one in result.quantities):
            place = [one.key for one in shown].index(SURVIVAL)
            axes = figure.axes[place]
            laws = result.history.values(SURVIVAL_LAW)
            for row, look in regime_looks(list(laws)).items():
                draw_curve(axes, laws[row], **{**look, "marker": "", "linestyle": ":"})
            axes.set_title("dotted: exact frequencies", fontsize="small")
        return save_figure(figure, result.folder / "figures" / "text")


if __name__ == "__main__":
    command(TextRun, main)
