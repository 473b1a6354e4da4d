import pytest
import torch

from toy.learners.temporal_network import BatchedTemporalNetwork


def example(rng, chains, points, width=6, times=9, layers=3):
    """A network and a batch: x, t, y, weights; some weights are 0."""
    network = BatchedTemporalNetwork(chains, width, times, layers)
    network.reset(rng.spawn(chains))
    network.theta += torch.from_numpy(
        0.2 * rng.standard_normal(tuple(network.theta.shape), dtype="float32")
    )
    x, y = torch.from_numpy(rng.standard_normal((2, chains, points, 2), dtype="float32"))
    weights = (
        torch.from_numpy(rng.uniform(size=(chains, points)).astype("float32"))
        .mul(1.2)
        .sub(0.2)
        .clamp(min=0)
    )
    return (
        network,
        x,
        torch.from_numpy(rng.integers(times, size=(chains, points))),
        y,
        weights / points,
    )


def loss_and_gradient(network, x, t, y, weights, dtype=torch.float32):
    """In float32 compiled, in float64 composed of torch's operations."""
    network._embedding = network._embedding.to(dtype)
    theta = network.theta.to(dtype).requires_grad_()
    loss = network.squared_error(theta, x.to(dtype), t, y.to(dtype), weights.to(dtype))
    return loss.detach(), torch.autograd.grad(
        loss @ torch.arange(1, len(loss) + 1).to(dtype), theta
    )[0]


@pytest.mark.parametrize(
    ("chains", "points", "sizes"),
    [
        (1, 1, {}),
        (3, 40, {}),
        (2, 1100, {}),
        (2, 60, {"width": 32, "times": 100}),
        (1, 30, {"layers": 1}),
    ],
)
def test_loss_and_gradient_are_those_of_the_operations_one_by_one(chains, points, sizes, rng):
    inputs = example(rng, chains, points, **sizes)
    loss, gradient = loss_and_gradient(*inputs)
    exact_loss, exact_gradient = loss_and_gradient(*inputs, torch.float64)
    torch.testing.assert_close(loss.double(), exact_loss, rtol=1e-4, atol=1e-6)
    tolerance = 1e-4 * exact_gradient.abs().max().item()
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=1e-3, atol=tolerance)


def test_predictions_are_those_of_the_operations_one_by_one(rng):
    network, x, t, *_ = example(rng, chains=2, points=1100)
    compiled = network.forward(network.theta, x, t)
    composed = network.forward(network.theta.requires_grad_(), x, t)
    assert composed.requires_grad
    assert not compiled.requires_grad
    torch.testing.assert_close(compiled, composed.detach(), rtol=1e-3, atol=1e-4)


def test_the_number_of_threads_does_not_change_a_bit(rng):
    inputs = example(rng, chains=2, points=1100)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(
            (*loss_and_gradient(*inputs), inputs[0].forward(inputs[0].theta, *inputs[1:3]))
        )
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_a_chain_does_not_depend_on_those_beside_it(rng):
    network, *batch = example(rng, chains=3, points=30)
    all_of = network.squared_error(network.theta, *batch)
    alone = network.squared_error(network.theta[1:2], *(tensor[1:2] for tensor in batch))
    assert torch.equal(all_of[1:2], alone)


def test_nan_stays_nan_in_its_chain(rng):
    network, x, t, y, weights = example(rng, chains=2, points=20)
    x[1, 3, 0] = torch.nan
    weights[1, 3] = 1
    loss, gradient = loss_and_gradient(network, x, t, y, weights)
    assert torch.isfinite(loss[0])
    assert torch.isfinite(gradient[0]).all()
    assert torch.isnan(loss[1])
    assert torch.isnan(gradient[1]).any()
    predicted = network.forward(network.theta, x, t)
    assert torch.isnan(predicted).any(dim=2).nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("outside", [-1, 9])
def test_times_outside_the_table_are_refused(outside, rng):
    network, x, t, *rest = example(rng, chains=2, points=20, times=9)
    t[1, 5] = outside
    with pytest.raises(ValueError, match=r"t must be in 0 … 8, got"):
        network.forward(network.theta, x, t)
    with pytest.raises(ValueError, match=r"t must be in 0 … 8, got"):
        network.squared_error(network.theta, x, t, *rest)
