"""Models of transformers in the loop, where the library is installed; and one line where not."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest

from deep.language.causal import causal_builder
from deep.language.learner import LanguageLearner, LanguageTraining
from stability.loop.regimes import FullySynthetic, Mix
from stability.loop.retraining import retrain

SYMBOLS, LENGTH = 3, 4


@pytest.mark.parametrize(("rank", "missing"), [(0, "transformers"), (2, "peft")])
def test_a_missing_library_is_one_line(rank, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", sys)  # any module
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError) as refusal:
        causal_builder(object(), SYMBOLS, LENGTH, rank)
    assert str(refusal.value) == (
        f"{missing} is not installed; it is an optional dependency: pip install transformers peft"
    )


@dataclass
class Config:
    """The fields of a configuration that are compared."""

    vocab_size: int = 4
    max_position_embeddings: int = 4


@pytest.mark.parametrize(
    ("config", "rank", "words"),
    [
        (Config(vocab_size=3), 0, "config.vocab_size must be > 3"),
        (Config(max_position_embeddings=3), 0, "config.max_position_embeddings must be >= 4"),
        (Config(), -1, "lora_rank must be >= 0, got -1"),
    ],
)
def test_what_does_not_fit_is_refused(config, rank, words, monkeypatch):
    for name in ("transformers", "peft"):
        monkeypatch.setitem(sys.modules, name, sys)
    with pytest.raises(ValueError, match=words):
        causal_builder(config, SYMBOLS, LENGTH, rank)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_model_of_the_library_is_retrained(rank, rng):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    if rank:
        pytest.importorskip("peft", reason="needs peft")
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=SYMBOLS + 1, n_positions=LENGTH
    )
    build = causal_builder(config, SYMBOLS, LENGTH, rank)
    training = LanguageTraining(first_steps=3, steps=2, batch=8)
    learner = LanguageLearner(build, SYMBOLS, LENGTH, training, 2)
    real = rng.integers(0, SYMBOLS, (20, LENGTH)).astype(np.uint8)
    *_, last = retrain(
        learner, [real, real], [Mix(1.0), FullySynthetic()], 1, seed=1, streams=[0, 0]
    )
    assert last.samples[0].shape == (20, LENGTH)
    names = set(learner.state_dict()["states"][0]["weights"])
    assert names
    assert all("lora" in name for name in names) == bool(rank)

    grid = np.meshgrid(*[np.arange(SYMBOLS)] * LENGTH, indexing="ij")
    windows = np.stack([axis.ravel() for axis in grid], axis=1).astype(np.uint8)
    for logs in learner.log_prob([windows, windows]):
        assert np.exp(logs).sum() == pytest.approx(1, abs=1e-4)
