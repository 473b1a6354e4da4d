"""Any model family as a learner for Algorithm 1: exact maximum likelihood by Newton's method,
many chains at once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, hessian, vmap

from stability.analysis.operators import climb
from stability.laws.capabilities import in_domain
from stability.laws.family import Family
from stability.laws.law import Member, draw
from stability.loop.arguments import require_methods, whole_number
from stability.loop.regimes import TrainingSet

__all__ = ["LikelihoodLearner"]

_MOST_STEPS = 20


class LikelihoodLearner:
    """Fits p_θ to each data set by climbing from the present θ to the maximum in whose basin it
    lies (eqs. (1)–(3)).

    `theta` (R, P) are the present parameters. All chains take Newton steps side by side; one whose
    steps do not gain goes back to its start and climbs alone, safeguarded, as
    `operators.finite_map` does.

    Args:
        family: Its `log_prob` must go through `torch.func.vmap`, for θ and points alike.
        start: (R, P) float64, where the first fit of each of R chains begins;
        steps: Newton steps of a fit, which then ends wherever it is; None: as many as the maximum
            takes. One that stops early has an ε_OPT > 0 (Assumption 3).

    Raises:
        ValueError: If an argument is not that, or not finite.
    """

    weighs = True

    def __init__(self, family: Family, start: Tensor, steps: int | None = None) -> None:
        require_methods(family, "family", "log_prob", "sample")
        self.steps = None if steps is None else whole_number(steps, "steps", 1)
        if not isinstance(start, Tensor):
            raise TypeError(
                f"start must be a finite float64 tensor (R, P), R >= 1, got {type(start).__name__}"
            )
        if (
            start.ndim != 2
            or not len(start)
            or start.dtype != torch.float64
            or not torch.isfinite(start).all()
        ):
            raise ValueError(f"start must be a finite float64 tensor (R, P), R >= 1, got {start}")
        self.family = family
        self._start = start.clone()
        self.theta = start.clone()

    @property
    def chains(self) -> int:
        return len(self.theta)

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Return to `start`.

        Args:
            rngs: Generators of the chains; not used.
        """
        self.theta = self._start.clone()

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Maximise the (weighted) mean log-likelihood.

        Args:
            datasets: Training set of each chain, R of them.
            rngs: Generators of the chains; not used.

        Raises:
            FloatingPointError: Naming the chain, if it has no maximum.
        """
        points, weights = _stacked(datasets)
        most = _MOST_STEPS if self.steps is None else self.steps
        theta, done = _newton(self.family, points, weights, self.theta, most)
        if self.steps is not None:
            self.theta = theta
            return
        for r in torch.nonzero(~done)[:, 0].tolist():
            try:
                used = weights[r] > 0
                theta[r] = climb(
                    self.family, points[r][used], weights[r][used], self.theta[r]
                ).theta
            except (ArithmeticError, ValueError) as error:
                raise FloatingPointError(f"chain {r}: {error}") from error
        self.theta = theta

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw from p_θ of each chain, with a torch generator that the chain's own generator seeds.

        Args:
            counts: Number of points of each chain.
            rngs: Generators of the chains.

        Returns:
            Points of each chain, (counts[r], d).
        """
        generators = [torch.Generator().manual_seed(int(rng.integers(2**63))) for rng in rngs]
        return [
            draw(Member(self.family, theta), count, generator).numpy()
            for theta, count, generator in zip(self.theta, counts, generators, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"theta": self.theta.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.theta = state["theta"].clone()


def _stacked(datasets: Sequence[TrainingSet]) -> tuple[Tensor, Tensor]:
    """Points (R, k, d), shorter sets filled up with their first point; weights (R, k) of sum 1,
    0 on the filling.
    """
    longest = max(len(data.points) for data in datasets)
    rows, weights = [], torch.zeros(len(datasets), longest, dtype=torch.float64)
    for r, data in enumerate(datasets):
        x = torch.as_tensor(np.asarray(data.points, dtype=float))
        rows.append(torch.cat([x, x[:1].expand(longest - len(x), -1)]) if len(x) < longest else x)
        weights[r, : len(x)] = torch.from_numpy(data.normalised_weights)
    return torch.stack(rows), weights


def _newton(
    family: Family, points: Tensor, weights: Tensor, start: Tensor, most: int
) -> tuple[Tensor, Tensor]:
    """At most so many full Newton steps from `start` (R, P): where they ended, and (R,) which
    chains they brought to a maximum.
    """

    def objective(theta: Tensor, x: Tensor, w: Tensor) -> Tensor:
        return w @ family.log_prob(theta, x)

    value_of, gradient_of, hessian_of = (
        vmap(f) for f in (objective, grad(objective), hessian(objective))
    )
    theta, done, going = (
        start.clone(),
        torch.zeros(len(start), dtype=torch.bool),
        torch.arange(len(start)),
    )
    value = value_of(theta, points, weights)
    for _ in range(most):
        if not len(going):
            break
        at, x, w = theta[going], points[going], weights[going]
        gradient, curvature = gradient_of(at, x, w), hessian_of(at, x, w)
        root, failed = torch.linalg.cholesky_ex(-curvature)
        step = torch.cholesky_solve(
            gradient[:, :, None], torch.where(failed[:, None, None] == 0, root, 1.0)
        )[:, :, 0]
        gain = (gradient * step).sum(1) / 2
        # the step is at rounding level: take it and stop
        last = gain <= 1e-16 * (1 + value[going].abs())
        inside = torch.tensor([_inside(family, row) for row in at + step])
        new = torch.where(
            inside, value_of(torch.where(inside[:, None], at + step, at), x, w), -torch.inf
        )
        rounding = 1e-12 * (1 + value[going].abs())
        good = (failed == 0) & inside & (last | (new >= value[going] + 1e-4 * gain - rounding))
        theta[going[good]] = (at + step)[good]
        value[going[good]] = new[good]
        done[going[good & last]] = True
        going = going[good & ~last]
    return theta, done


def _inside(family: Family, theta: Tensor) -> bool:
    return bool(torch.isfinite(theta).all()) and in_domain(family, theta)
