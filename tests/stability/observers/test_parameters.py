"""The distance that parameters moved, also after a restart."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from stability.loop.retraining import Generation
from stability.observers.parameters import ParametersMoved
from stability.runs.observer import View


def test_parameters_are_measured_from_generation_zero_even_after_a_restart():
    start, end = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])
    observe, views = ParametersMoved(), [cast(View, None)] * 2

    def at(t, parameters, observer):
        generation = Generation(t, (), ())
        measured = observer.measure(generation, SimpleNamespace(parameters=parameters), views)
        return [record["parameter_distance"] for record in measured]

    assert at(0, start, observe) == [0, 0]
    resumed = ParametersMoved()
    resumed.load_state_dict(observe.state_dict())
    for each in (observe, resumed):
        assert at(2, end, each) == [5, 0]
    with pytest.raises(ValueError, match="parameters of generation 0 are not known"):
        at(1, start, ParametersMoved())
