"""The language learner: causal, exact in its probabilities, and the same after a stop."""

import numpy as np
import pytest
import torch
from torch import nn

from deep.language.learner import BLOCK, LanguageLearner, LanguageTraining
from deep.language.transformer import CharacterConfig
from stability.loop.regimes import FullySynthetic, Mix
from stability.loop.retraining import retrain
from tests.support.states import equal

CONFIG = CharacterConfig(width=8, layers=1, heads=2)
TRAINING = LanguageTraining(first_steps=3, steps=2, batch=8)
SYMBOLS, LENGTH = 3, 4


def build(generator):
    return CONFIG.build(SYMBOLS, LENGTH, generator)


def learner_of(chains=2, training=TRAINING, make=build):
    return LanguageLearner(make, SYMBOLS, LENGTH, training, chains)


def real_windows(rng, n=40):
    return rng.integers(0, SYMBOLS, (n, LENGTH)).astype(np.uint8)


def run(learner, real, after=None, generations=2):
    regimes = [Mix(0.5), FullySynthetic()]
    return retrain(learner, [real, real], regimes, generations, seed=1, streams=[0, 0], after=after)


def every_window():
    grid = np.meshgrid(*[np.arange(SYMBOLS)] * LENGTH, indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=1).astype(np.uint8)


def test_a_score_depends_on_what_stands_before_alone(rng):
    network = build(torch.Generator().manual_seed(int(rng.integers(2**31)))).eval()
    tokens = torch.from_numpy(rng.integers(0, SYMBOLS, (5, LENGTH)))
    other = tokens.clone()
    other[:, 2:] = (other[:, 2:] + 1) % SYMBOLS
    with torch.inference_mode():
        one, two = network(tokens), network(other)
    torch.testing.assert_close(one[:, :2], two[:, :2], atol=1e-6, rtol=1e-5)


def test_probabilities_of_all_windows_add_up_to_one(rng):
    learner = learner_of()
    list(run(learner, real_windows(rng)))
    for logs in learner.log_prob([every_window()] * 2):
        assert np.exp(logs).sum() == pytest.approx(1, abs=1e-4)


class Fixed(nn.Module):
    """The next symbol has these log-probabilities, whatever stood before."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(torch.log(torch.tensor(scores)))

    def forward(self, tokens):
        return self.scores.expand(*tokens.shape, -1)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_symbols_are_drawn_with_their_probabilities_at_the_temperature(temperature, rng):
    shares = np.array([0.5, 0.3, 0.2])
    training = LanguageTraining(temperature=temperature)
    learner = learner_of(1, training, lambda generator: Fixed(shares.astype(np.float32)))
    (drawn,) = learner.sample([5000], [rng])
    expected = shares ** (1 / temperature)
    expected /= expected.sum()
    found = np.bincount(drawn.ravel(), minlength=SYMBOLS) / drawn.size
    # Hoeffding: one of 6 shares of 20,000 symbols off by 0.025 has probability 6 · 2e^{−25} = 2e-10
    assert np.abs(found - expected).max() < 0.025


def test_a_draw_does_not_depend_on_how_many_follow(rng):
    learner = learner_of(1)
    learner.reset([rng])
    seed = int(rng.integers(2**31))
    few, many = (
        learner.sample([count], [np.random.default_rng(seed)])[0] for count in (7, BLOCK + 3)
    )
    np.testing.assert_array_equal(few, many[:7])


def test_a_stop_changes_nothing(rng):
    real = real_windows(rng)
    whole = learner_of()
    *_, last = run(whole, real)
    first = learner_of()
    generations = run(first, real)
    next(generations)
    generation = next(generations)
    second = learner_of()
    second.load_state_dict(first.state_dict())
    (end,) = run(second, real, after=generation)
    for one, two in zip(last.samples, end.samples, strict=True):
        np.testing.assert_array_equal(one, two)
    assert equal(whole.state_dict(), second.state_dict())


def test_a_frozen_part_stays_and_is_not_stored(rng):
    class Half(Fixed):
        def __init__(self, scores):
            super().__init__(scores)
            self.base = nn.Parameter(torch.zeros(SYMBOLS), requires_grad=False)

        def forward(self, tokens):
            return super().forward(tokens) + self.base

    learner = learner_of(2, TRAINING, lambda generator: Half([0.4, 0.3, 0.3]))
    assert learner.parameters == SYMBOLS
    list(run(learner, real_windows(rng)))
    assert all(set(state["weights"]) == {"scores"} for state in learner.state_dict()["states"])
    assert not learner._network.get_parameter("base").any()


def test_it_learns_frequencies(rng):
    """Windows of one symbol alone: nearly all that is drawn is that symbol."""
    real = np.full((40, LENGTH), 2, np.uint8)
    learner = learner_of(2, LanguageTraining(first_steps=200, steps=1, batch=8, learning_rate=0.05))
    (generation,) = run(learner, real, generations=0)
    assert (generation.samples[0] == 2).mean() > 0.9


def test_a_loss_that_is_not_finite_names_chain_and_step(rng):
    learner = learner_of(1, TRAINING, lambda generator: Fixed([float("nan"), 1.0, 1.0]))
    from stability.loop.regimes import TrainingSet

    with pytest.raises(FloatingPointError, match="chain 0, step 0: the loss is nan"):
        learner.fit([TrainingSet(real_windows(rng), real=40)], [rng])
