import numpy as np
import pytest
import torch
from torch.nn import functional

from deep.networks import norm_silu_cpu
from deep.networks.norm_silu import NormSiLU

SHAPE = n, c, h, w = 3, 12, 5, 2
GROUPS = 4


def drawn(rng, *shape):
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def layer_and_input(rng):
    """A layer of any weights, and features that are far from mean 0 and variance 1."""
    layer = NormSiLU(GROUPS, c, eps=1e-3)
    with torch.no_grad():
        layer.weight.copy_(drawn(rng, c))
        layer.bias.copy_(drawn(rng, c))
    x = (3 * drawn(rng, *SHAPE) + 2).to(memory_format=torch.channels_last)
    return layer, x


def in_float64(layer, x, added):
    """The same from the definition, differentiable: group means, then silu."""
    if added is not None:
        x = x + added[:, :, None, None]
    groups = x.reshape(n, GROUPS, -1)
    centred = groups - groups.mean(2, keepdim=True)
    z = centred / (centred.square().mean(2, keepdim=True) + layer.eps).sqrt()
    z = z.reshape(SHAPE) * layer.weight.double()[:, None, None] + layer.bias.double()[:, None, None]
    return z * z.sigmoid()


@pytest.fixture
def passes(monkeypatch):
    """Counts the calls of the compiled pass."""
    calls = []
    real = norm_silu_cpu._forwards

    def counted(*arguments):
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(norm_silu_cpu, "_forwards", counted)
    return calls


@pytest.mark.parametrize("rows", [0, 1, n])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_both_ways_are_the_definition_with_all_derivatives(rng, passes, rows, layout):
    layer, x = layer_and_input(rng)
    x = x.to(memory_format=layout).requires_grad_()
    added = drawn(rng, rows, c).requires_grad_() if rows else None
    direction = drawn(rng, *SHAPE)
    inputs = [x, *layer.parameters(), *([] if added is None else [added])]

    # x is copied, since torch's way adds in place
    y = layer(x.clone(memory_format=torch.preserve_format), added)
    found = torch.autograd.grad((y * direction).sum(), inputs)
    assert len(passes) == (layout == torch.channels_last)

    expected = in_float64(layer, x.double(), None if added is None else added.double())
    wanted = torch.autograd.grad((expected * direction.double()).sum(), inputs)
    # float32 of a few hundred terms: errors are near 1e-6 of the largest entry
    assert (y - expected).abs().max() < 1e-4 * expected.abs().max()
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < 1e-4 * other.abs().max() + 1e-4


def test_without_gradient_it_is_the_same_and_leaves_the_input(rng, passes):
    layer, x = layer_and_input(rng)
    before, added = x.clone(), drawn(rng, 1, c)
    with torch.no_grad():
        quiet = layer(x, added)
    assert len(passes) == 1
    assert torch.equal(x, before)
    assert torch.equal(quiet, layer(x, added).detach())
    assert quiet.is_contiguous(memory_format=torch.channels_last)


def test_an_image_does_not_depend_on_what_is_beside_it_or_on_threads(rng):
    layer, x = layer_and_input(rng)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [layer(one[None]) for one in x]
        torch.set_num_threads(2)
        together = layer(x)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.cat(alone), together)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so_in_its_image_alone(rng, bad):
    layer, x = layer_and_input(rng)
    x[1, 5, 2, 1] = bad
    y = layer(x).detach()
    group = y.reshape(n, GROUPS, -1)[1, 5 * GROUPS // c]
    assert group.isnan().all()
    assert y[[0, 2]].isfinite().all()


def test_large_numbers_do_not_overflow():
    """SiLU is x above and 0 below, however far."""
    layer = NormSiLU(1, 2, eps=0.0)
    with torch.no_grad():
        layer.weight.fill_(1e6)
    x = torch.tensor([-1.0, 1.0]).reshape(1, 2, 1, 1).to(memory_format=torch.channels_last)
    y = layer(x).detach().flatten()
    assert y[1] == pytest.approx(1e6, rel=1e-6)
    assert abs(float(y[0])) < 1e-20


def test_other_numbers_and_layouts_go_torchs_way(rng, passes):
    layer, x = layer_and_input(rng)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = functional.conv2d(x, torch.eye(c)[:, :, None, None])  # bfloat16
        assert half.dtype == torch.bfloat16
        rounded = layer(half)
    with torch.device("meta"):
        empty = NormSiLU(GROUPS, c)(torch.empty(SHAPE))
    assert not passes
    assert empty.shape == SHAPE
    exact = layer(x)
    assert len(passes) == 1
    assert (rounded.float() - exact).abs().max() < 0.05 * exact.abs().max() + 0.05
