import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from deep.networks.dropout import Dropout
from tests.conftest import FALSE_ALARM

SHAPE = n, c, h, w = 20, 30, 10, 10
EACH = FALSE_ALARM / 4  # a case has four tests


def masks(rng, p, dtype=torch.float32):
    """Factors of two passes."""
    layer = Dropout(p).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        return [layer(torch.ones(SHAPE, dtype=dtype)) for _ in range(2)]


@pytest.mark.parametrize("p", [0.13, 0.5, 0.999])
def test_numbers_are_kept_with_the_probability_and_independently(rng, p):
    """Exact binomial tests, with the probability as 16 bits have it."""
    factors, others = masks(rng, p)
    kept = round(2**16 * (1 - p)) / 2**16
    assert kept == pytest.approx(1 - p, abs=2**-17)
    for found in (factors, others):
        torch.testing.assert_close(found[found > 0], torch.full_like(found[found > 0], 1 / kept))
        assert binomtest(int((found > 0).sum()), found.numel(), kept).pvalue > EACH

    # beside each other in memory, and in two passes: both are kept with probability kept²
    pairs = (factors[:, ::2] > 0) & (factors[:, 1::2] > 0)
    assert binomtest(int(pairs.sum()), pairs.numel(), kept**2).pvalue > EACH
    both = (factors > 0) & (others > 0)
    assert binomtest(int(both.sum()), both.numel(), kept**2).pvalue > EACH


def test_torch_generator_decides_and_layout_does_not(rng):
    layer = Dropout(0.5).train()
    x = torch.from_numpy(rng.uniform(1, 2, SHAPE))
    found = []
    for given in (x, x.to(memory_format=torch.channels_last)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            found.append(layer(given))
    assert torch.equal(*found)
    torch.testing.assert_close(found[0][found[0] > 0], (2 * x)[found[0] > 0])


def test_the_gradient_passes_where_numbers_were_kept(rng):
    x = torch.from_numpy(rng.uniform(1, 2, SHAPE)).requires_grad_()
    with torch.random.fork_rng(devices=[]):
        y = Dropout(0.25).train()(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.where(y > 0, 1 / 0.75, 0.0).double())


def test_other_numbers_and_devices(rng):
    for factors in masks(rng, 0.5, torch.bfloat16):
        assert factors.dtype == torch.bfloat16
        assert set(factors.unique().tolist()) == {0.0, 2.0}
    with torch.device("meta"):
        assert Dropout(0.5).train()(torch.empty(SHAPE)).shape == SHAPE
    for layer in (Dropout(0.5).eval(), Dropout(0.0).train()):
        x = torch.ones(SHAPE)
        assert layer(x) is x
    assert isinstance(Dropout(0.5), nn.Dropout)
