"""The transformer over characters: dropout acts in training alone, and is checked."""

import numpy as np
import pytest
import torch

from deep.language.transformer import CharacterConfig
from stability.runs.option_error import OptionError

SYMBOLS, LENGTH = 3, 4


def test_dropout_acts_in_training_alone(rng):
    seed = int(rng.integers(2**31))

    def network(dropout):
        config = CharacterConfig(width=8, layers=1, heads=2, dropout=dropout)
        return config.build(SYMBOLS, LENGTH, torch.Generator().manual_seed(seed))

    with_it, without = network(0.5), network(0.0)
    tokens = torch.from_numpy(rng.integers(0, SYMBOLS, (50, LENGTH)))
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(seed)
        assert torch.equal(with_it.eval()(tokens), without.eval()(tokens))
        assert torch.equal(without.train()(tokens), without.eval()(tokens))
        # 1,600 coins fall alike twice with probability 2^-1600
        assert not torch.equal(with_it.train()(tokens), with_it(tokens))


@pytest.mark.parametrize("dropout", [-0.1, 1.0, np.nan])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    with pytest.raises(OptionError, match=r"dropout must be in \[0, 1\), got"):
        CharacterConfig(dropout=dropout)
