import numpy as np
import pytest
import torch

from tests.conftest import FIXTURES
from tests.support.plain_networks import plain_temporal
from toy.learners.temporal_network import BatchedTemporalNetwork


def published():
    state = torch.load(FIXTURES / "toy_ddpm_tiny.pt", weights_only=True)["model"]
    return np.load(FIXTURES / "toy_ddpm_tiny_io.npz"), state


def test_ddpm_torchs_network_with_its_weights():
    data, state = published()
    network = BatchedTemporalNetwork(3, width=32)
    network.load_state_of(1, state)
    x, t = (torch.from_numpy(data[name]).expand(3, *data[name].shape) for name in ("x", "t"))
    np.testing.assert_allclose(
        network.forward(network.theta, x, t)[1], data["eps"], rtol=1e-4, atol=1e-5
    )
    assert {name: tuple(value.shape) for name, value in network.state_of(1).items()} == {
        name: tuple(value.shape) for name, value in state.items()
    }
    for name, value in network.state_of(1).items():
        assert torch.equal(value, state[name])
    assert not network.theta[[0, 2]].any()


def test_its_size():
    assert BatchedTemporalNetwork(1).theta.shape == (1, 67_074)


@pytest.mark.parametrize("layers", [1, 3])
def test_each_chain_is_its_own_network(layers, rng):
    network = BatchedTemporalNetwork(4, width=6, times=9, layers=layers)
    network.reset(rng.spawn(4))
    network.theta += torch.from_numpy(
        0.1 * rng.standard_normal(tuple(network.theta.shape), dtype=np.float32)
    )
    x = torch.from_numpy(rng.standard_normal((4, 7, 2), dtype=np.float32))
    t = torch.from_numpy(rng.integers(9, size=(4, 7)))
    y = network.forward(network.theta, x, t)
    for chain in range(4):
        expected = plain_temporal(network, chain, 6, layers)(x[chain], t[chain])
        torch.testing.assert_close(y[chain], expected, rtol=1e-4, atol=1e-5)
    some = network.forward(network.theta[[2, 0]], x[[2, 0]], t[[2, 0]])
    torch.testing.assert_close(some, y[[2, 0]], rtol=1e-4, atol=1e-5)
    for time in (0, 8):
        one = network.forward(network.theta, x, time)
        torch.testing.assert_close(one, network.forward(network.theta, x, torch.full((4, 7), time)))


def test_initial_parameters(rng):
    network = BatchedTemporalNetwork(200, width=20)
    network.reset(rng.spawn(200))
    states = [network.state_of(chain) for chain in range(200)]
    for name, value in states[0].items():
        all_of = torch.stack([state[name] for state in states])
        if value.ndim == 2:
            bound = (6 / sum(value.shape)) ** 0.5
            # the largest of k uniform numbers is below 0.99 of the bound with probability 0.99^k <=
            # 0.99^8000
            assert 0.99 * bound < all_of.abs().max() <= bound
        else:
            assert (all_of == float("norm" in name and name.endswith("weight"))).all()
    same = BatchedTemporalNetwork(2, width=20)
    same.reset([np.random.default_rng(5), np.random.default_rng(5)])
    assert torch.equal(same.theta[0], same.theta[1])
    assert not torch.equal(network.theta[0], network.theta[1])


@pytest.mark.parametrize(
    "sizes", [{"chains": 0}, {"width": 5}, {"width": 2}, {"times": 0}, {"layers": 0}]
)
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match="must be >= 1, width even and >= 4"):
        BatchedTemporalNetwork(**({"chains": 1} | sizes))


def test_states_of_another_network_are_refused():
    network, (_, state) = BatchedTemporalNetwork(1, width=32), published()
    with pytest.raises(ValueError, match="state must hold exactly"):
        BatchedTemporalNetwork(1, width=30).load_state_of(0, state)
    with pytest.raises(
        ValueError, match=r"temp_fc\.2\.fc1\.weight must equal temp_fc\.0\.fc1\.weight"
    ):
        network.load_state_of(0, state | {"temp_fc.2.fc1.weight": state["temp_fc.2.fc2.weight"]})
