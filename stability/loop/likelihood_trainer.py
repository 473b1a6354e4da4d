"""Flows of any library as learners: torch modules with `log_prob` and `sample`, trained by maximum
likelihood.

The trainer is small on purpose: Adam on minibatches, that goes on with its present weights and
optimiser state, as Algorithm 1 asks. Modules of zuko and normflows work as they are.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stability.loop.arguments import require_number, whole_number
from stability.loop.block_sampling import draw_in_blocks, new_seed, require_random_draws
from stability.loop.regimes import TrainingSet

__all__ = ["ModuleLearner", "ModuleRecipe", "from_log_prob"]


@dataclass(frozen=True)
class ModuleRecipe:
    """Makes a `ModuleLearner` for so many chains; see `from_log_prob` for the fields."""

    new_module: Callable[[], nn.Module]
    first_epochs: int = 200
    epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 1e-3
    max_grad_norm: float = 10.0

    def __post_init__(self) -> None:
        for name in ("first_epochs", "epochs"):
            whole_number(getattr(self, name), name, 0)
        whole_number(self.batch_size, "batch_size", 1)
        for name in ("learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            require_number(value, name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be finite and > 0, got {value}")

    def __call__(self, chains: int) -> "ModuleLearner":
        """Make the learner.

        Args:
            chains: R >= 1.

        Returns:
            The learner.
        """
        return ModuleLearner(self, chains)

    def as_data(self) -> dict[str, Any]:
        """Describe the learner as JSON values: its module and options, which decide the result."""
        with _seeded(0):
            module = self.new_module()
        return {
            # an address in memory is another one in the next process
            "module": re.sub(r" at 0x[0-9a-f]+", "", str(module)),
            "first_epochs": self.first_epochs,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "max_grad_norm": self.max_grad_norm,
        }


def from_log_prob(
    build: Callable[[], nn.Module],
    *,
    first_epochs: int = 200,
    epochs: int = 20,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    max_grad_norm: float = 10.0,
) -> ModuleRecipe:
    """Make a learner of torch modules that have a density.

    Args:
        build: () -> a new module with random weights. It has `log_prob(points)`, one number a
            point, and `sample(count)`; or, called without arguments, it returns a distribution that
            has them, as zuko's flows do.
        first_epochs: Passes over the data of a fit that starts from new weights.
        epochs: Passes over the data of a fit that goes on.
        batch_size: Points of a minibatch.
        learning_rate: Adam learning rate (constant).
        max_grad_norm: Norm to which longer gradients are clipped.

    Returns:
        A recipe: call it with the number of chains, or hand it to a study.

    Raises:
        TypeError: If `build` makes no such module.
        ValueError: If an option is out of range.
    """
    recipe = ModuleRecipe(build, first_epochs, epochs, batch_size, learning_rate, max_grad_norm)
    if not callable(build):
        raise TypeError(f"build must be a function () -> module, got {type(build).__name__}")
    with _seeded(0):
        module = build()
    if not isinstance(module, nn.Module):
        raise TypeError(f"build must return a torch module, got {type(module).__name__}")
    law = _law(module)
    for name in ("log_prob", "sample"):
        if not callable(getattr(law, name, None)):
            raise TypeError(
                f"build must return a module with a method {name}, got {type(module).__name__}"
            )
    return recipe


class ModuleLearner:
    """R modules, one a chain: a `stability.loop.retraining.Learner` with a density.

    Args:
        recipe: How the modules are built and trained.
        chains: R >= 1.
    """

    weighs = True

    def __init__(self, recipe: ModuleRecipe, chains: int) -> None:
        self._recipe = recipe
        self._modules: list[nn.Module] = []
        with _seeded(0):
            for _ in range(whole_number(chains, "chains", 1)):
                self._modules.append(recipe.new_module())
        self._optimisers = [self._optimiser(module) for module in self._modules]
        self._fitted = False
        self._probed = False

    def _optimiser(self, module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(module.parameters(), lr=self._recipe.learning_rate)

    @property
    def chains(self) -> int:
        return len(self._modules)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The module of each chain."""
        return tuple(self._modules)

    @property
    def parameters(self) -> np.ndarray:
        """Weights of each chain as one vector, (R, P)."""
        return np.stack(
            [
                torch.cat([p.detach().reshape(-1) for p in module.parameters()]).cpu().numpy()
                for module in self._modules
            ]
        )

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Build new modules, and forget the optimisers.

        Args:
            rngs: One a chain, for the weights.
        """
        for r, rng in enumerate(rngs):
            with _seeded(new_seed(rng)):
                self._modules[r] = self._recipe.new_module()
            self._optimisers[r] = self._optimiser(self._modules[r])
        self._fitted = False

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Maximise the (weighted) mean log-likelihood of each chain's data.

        Args:
            datasets: One a chain.
            rngs: One a chain, for the order of the points and for the module's own draws.

        Raises:
            FloatingPointError: If a loss is not finite, naming chain and step.
            ArithmeticError: If `log_prob` gives another shape than one number a point.
        """
        epochs = self._recipe.epochs if self._fitted else self._recipe.first_epochs
        for r, (data, rng) in enumerate(zip(datasets, rngs, strict=True)):
            points = self._as_points(r, data.points)
            weights = torch.as_tensor(len(data.points) * data.normalised_weights).float()
            with _seeded(new_seed(rng)):
                self._train(r, points, weights, epochs, rng)
        self._fitted = True

    def _train(
        self, r: int, points: Tensor, weights: Tensor, epochs: int, rng: np.random.Generator
    ) -> None:
        """Train the module of chain r for so many passes over its points (n, …)."""
        module, optimiser = self._modules[r], self._optimisers[r]
        module.train()
        step = 0
        for _ in range(epochs):
            order = torch.from_numpy(rng.permutation(len(points)))
            for batch in order.split(self._recipe.batch_size):
                log_prob = _log_prob(module, points[batch])
                loss = -(weights[batch].to(log_prob) * log_prob).mean()
                if not torch.isfinite(loss):
                    raise FloatingPointError(
                        f"the loss of chain {r} is {loss.item()} at step {step}"
                    )
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(module.parameters(), self._recipe.max_grad_norm)
                optimiser.step()
                step += 1
        module.eval()

    def _as_points(self, r: int, points: Any) -> Tensor:
        """Points as a tensor of the module's type, on its device."""
        parameter = next(self._modules[r].parameters())
        return torch.as_tensor(np.array(points)).to(parameter)

    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw from each chain's module.

        Args:
            counts: Points a chain.
            rngs: One a chain.

        Returns:
            One array (counts[r], …) a chain.

        Raises:
            ArithmeticError: If a module returns another number of points than asked, or the same
                points at each call.
        """
        name = f"sample() of {type(self._modules[0]).__name__}"
        if not self._probed:
            self._probed = True
            require_random_draws(lambda k, s: self._drawn(0, k, s), np.random.default_rng(0), name)
        return [
            draw_in_blocks(lambda k, s, r=r: self._drawn(r, k, s), count, rng, name)
            for r, (count, rng) in enumerate(zip(counts, rngs, strict=True))
        ]

    def _drawn(self, r: int, count: int, seed: int) -> np.ndarray:
        """Points of chain r's module, from a seed."""
        module = self._modules[r]
        law = _law(module)
        with _seeded(seed), torch.no_grad():
            # a distribution takes a shape, a module a number
            shape = count if law is module else (count,)
            drawn = law.sample(shape)
        points = drawn[0] if isinstance(drawn, tuple) else drawn
        return points.detach().cpu().numpy()

    def log_prob(self, points: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Evaluate the log-density of each chain's module.

        Args:
            points: One array (k, …) a chain.

        Returns:
            One array (k,) of float64 a chain, in nats.

        Raises:
            ArithmeticError: If `log_prob` gives another shape than one number a point.
        """
        values = []
        for r, x in enumerate(points):
            with _seeded(0), torch.no_grad():
                value = _log_prob(self._modules[r], self._as_points(r, x))
            values.append(value.cpu().numpy().astype(float))
        return values

    def state_dict(self) -> dict[str, Any]:
        return {
            "fitted": self._fitted,
            "modules": [dict(module.state_dict()) for module in self._modules],
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._fitted = state["fitted"]
        for module, optimiser, weights, kept in zip(
            self._modules, self._optimisers, state["modules"], state["optimisers"], strict=True
        ):
            module.load_state_dict(weights)
            module.eval()
            optimiser.load_state_dict(kept)


def _law(module: nn.Module) -> Any:
    """Object that has `log_prob` and `sample`: the module, or the distribution that it returns."""
    return module if hasattr(module, "log_prob") else module()


def _log_prob(module: nn.Module, points: Tensor) -> Tensor:
    """Log-density (k,) of points (k, …)."""
    value = _law(module).log_prob(points)
    if value.shape != (len(points),):
        raise ArithmeticError(
            f"log_prob gave {tuple(value.shape)}, want {(len(points),)}: one number a row"
        )
    return value


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torch's global generators at a seed, and back where they were afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
