import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm, leaky_relu

from toy.norm_act import norm_act


def tensors(rng, *shapes):
    return [torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).requires_grad_() for shape in shapes]


def composed(x, weight, bias, slope):
    return leaky_relu(torch.addcmul(bias[:, None], layer_norm(x, x.shape[-1:]), weight[:, None]), slope)


@pytest.mark.parametrize("slope", [0.02, 0.0, 1.0])
@pytest.mark.parametrize("shape", [(3, 50, 16), (1, 1, 7), (2, 19, 128)])
def test_values_and_gradients_are_those_of_the_operations_one_by_one(shape, slope, rng):
    chains, _, width = shape
    inputs = tensors(rng, shape, (chains, width), (chains, width))
    (upstream,) = tensors(rng, shape)
    one, two = norm_act(*inputs, slope=slope), composed(*inputs, slope=slope)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
    for a, b in zip(*(torch.autograd.grad(y, inputs, upstream.detach()) for y in (one, two)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_in_double_precision_it_is_composed_and_passes_a_gradient_check(rng):
    inputs = [x.detach().double().requires_grad_() for x in tensors(rng, (2, 3, 4), (2, 4), (2, 4))]
    assert torch.autograd.gradcheck(lambda *args: norm_act(*args, slope=0.02), inputs)


def test_transposed_inputs(rng):
    x, weight, bias = tensors(rng, (8, 5, 2), (2, 8), (2, 8))
    turned = x.permute(2, 1, 0)  # (2, 5, 8), not contiguous
    torch.testing.assert_close(norm_act(turned, weight, bias, 0.02), composed(turned, weight, bias, 0.02))


def test_the_number_of_threads_does_not_change_a_bit(rng):
    inputs = tensors(rng, (2, 300, 32), (2, 32), (2, 32))
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        y = norm_act(*inputs, slope=0.02)
        results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_nan_stays_nan(rng):
    x, weight, bias = (t.detach() for t in tensors(rng, (1, 2, 8), (1, 8), (1, 8)))
    x[0, 1, 3] = torch.nan
    y = norm_act(x, weight, bias, 0.02)
    assert torch.isfinite(y[0, 0]).all()
    assert torch.isnan(y[0, 1]).all()
