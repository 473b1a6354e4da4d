import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deep.metrics.parameter_distance import parameter_distance

vectors = arrays(float, 7, elements=st.floats(-100, 100))


def split(vector):
    """The same numbers as two tensors of different shapes."""
    return {"a": torch.as_tensor(vector[:6].reshape(2, 3)), "b": torch.as_tensor(vector[6:])}


@given(x=vectors, y=vectors)
def test_it_is_the_euclidean_distance_of_all_parameters(x, y):
    found = parameter_distance(split(x), split(y))
    assert found.norm == pytest.approx(np.linalg.norm(x - y), rel=1e-12)
    assert found.count == 7
    assert found.per_parameter == pytest.approx(np.linalg.norm(x - y) / 7, rel=1e-12)


def test_small_steps_of_large_float32_parameters_are_not_lost():
    theta = {"a": torch.full((1000,), 1.0)}
    origin = {"a": torch.full((1000,), 1.0 + 2**-20)}
    assert parameter_distance(theta, origin).norm == pytest.approx(2**-20 * 1000**0.5, rel=1e-12)


def test_parameters_of_a_network():
    network = torch.nn.utils.skip_init(torch.nn.Linear, 3, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
    theta = dict(network.named_parameters())
    origin = {name: torch.zeros_like(value) for name, value in theta.items()}
    assert parameter_distance(theta, origin).norm == pytest.approx(8**0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o | {"c": torch.zeros(1)}, "parameter c is in one set only"),
        (lambda o: {"a": o["a"]}, "parameter b is in one set only"),
        (lambda o: o | {"b": torch.zeros(2)}, r"parameter b has shapes \(1,\) and \(2,\)"),
        (lambda o: o | {"b": torch.tensor([torch.nan])}, "parameter b is not finite"),
    ],
)
def test_sets_that_do_not_fit_together(change, message):
    with pytest.raises(ValueError, match=message):
        parameter_distance(split(np.zeros(7)), change(split(np.zeros(7))))


def test_no_parameters():
    with pytest.raises(ValueError, match="no parameters"):
        parameter_distance({}, {})
