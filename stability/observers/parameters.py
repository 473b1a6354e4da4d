"""Distance of the parameters from those of generation 0."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stability.loop.retraining import Generation
from stability.runs.observer import Quantity, View

__all__ = ["ParametersMoved"]


class ParametersMoved:
    """‖θ_t − θ_0‖ of a learner with `parameters`, (R, P)."""

    quantities = (
        Quantity("parameter_distance", "Distance of the parameters", "‖θ − θ₀‖", shown=False),
    )

    def __init__(self) -> None:
        self._origin: np.ndarray | None = None

    def measure(
        self, generation: Generation, learner: Any, views: Sequence[View]
    ) -> list[dict[str, float]]:
        """Measure all chains.

        Args:
            generation: The generation; number 0 sets the origin.
            learner: Learner with `parameters`, (R, P), after its fit.
            views: Not used.

        Returns:
            Euclidean distance of each chain's parameters from the origin, one mapping a chain.

        Raises:
            ValueError: If generation 0 was not seen and no state was loaded.
        """
        parameters = learner.parameters
        if generation.t == 0:
            self._origin = parameters.copy()
        if self._origin is None:
            raise ValueError(
                "the parameters of generation 0 are not known: observe it, or load the observer's "
                "state"
            )
        moved = np.linalg.norm(parameters.astype(float) - self._origin, axis=1)
        return [{"parameter_distance": float(distance)} for distance in moved]

    def state_dict(self) -> dict[str, Any]:
        return {"origin": self._origin}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._origin = state["origin"]
