import numpy as np
import pytest
import torch

from tests.conftest import FIXTURES
from tests.support.plain_networks import plain_mlp
from toy.learners.mlp import BatchedMLP


def test_torchcfm_network_with_its_weights():
    data = np.load(FIXTURES / "otcfm_mlp.npz")
    state = {
        name.removeprefix("state."): torch.from_numpy(data[name])
        for name in data
        if name.startswith("state.")
    }
    network = BatchedMLP(3, (3, 64, 64, 64, 2))
    assert network.theta.shape == (3, 8706)
    network.load_state_of(1, state)
    x = torch.from_numpy(np.concatenate([data["x"], np.reshape(data["t"], (-1, 1))], axis=1))
    velocity = network.forward(network.layers(), x.expand(3, -1, -1))
    np.testing.assert_allclose(velocity[1], data["velocity"], rtol=1e-5, atol=1e-6)
    for name, value in network.state_of(1).items():
        assert torch.equal(value, state[name])
    assert not network.theta[[0, 2]].any()


def test_each_chain_is_its_own_network(rng):
    network = BatchedMLP(4, (2, 5, 3))
    network.reset(rng.spawn(4))
    x = torch.from_numpy(rng.standard_normal((4, 7, 2), dtype=np.float32))  # (R, n, in)
    y = network.forward(network.layers(), x)
    assert y.shape == (4, 7, 3)
    for chain in range(4):
        torch.testing.assert_close(y[chain], plain_mlp(network, chain)(x[chain]))
    some = network.forward(network.layers(network.theta[[2, 0]]), x[[2, 0]])
    torch.testing.assert_close(some, y[[2, 0]])


def test_initial_parameters_fill_the_default_range(rng):
    network = BatchedMLP(200, (4, 100, 2))
    network.reset(rng.spawn(200))
    (w1, b1), (w2, b2) = network.layers()
    for tensor, bound in ((w1, 0.5), (b1, 0.5), (w2, 0.1), (b2, 0.1)):
        # the largest of k uniform numbers is below 0.95 of the bound with probability 0.95^k <=
        # 0.95^400 < 1e-8
        assert 0.95 * bound < tensor.abs().max() <= bound
    rows = network.theta
    network = BatchedMLP(2, (4, 100, 2))
    one, two = (np.random.default_rng(5) for _ in range(2))
    network.reset([one, two])
    assert torch.equal(network.theta[0], network.theta[1])
    assert not torch.equal(rows[0], rows[1])


@pytest.mark.parametrize(("chains", "sizes"), [(0, (2, 2)), (1, (2,)), (1, (2, 0, 2))])
def test_bad_sizes(chains, sizes):
    with pytest.raises(ValueError, match="must be >= 1"):
        BatchedMLP(chains, sizes)


def test_a_state_of_another_network_is_refused():
    with pytest.raises(ValueError, match="state must hold exactly"):
        BatchedMLP(1, (2, 3)).load_state_of(0, BatchedMLP(1, (2, 4)).state_of(0))
