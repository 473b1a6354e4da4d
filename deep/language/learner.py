"""Language models as a learner of the retraining loop; a point is a window of symbols."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.retraining.shared_work import one_for_all
from stability.loop.regimes import TrainingSet
from stability.runs.option_error import OptionError
from stability.runs.ranges import LARGEST_COUNT, require_range

__all__ = ["LanguageLearner", "LanguageTraining"]

BLOCK = 256
"""Windows that are drawn or judged at once; what is drawn does not depend on how many follow."""
LARGEST_NORM = 1.0
"""Longest gradient; longer ones are scaled down."""


@dataclass(frozen=True)
class LanguageTraining:
    """Training of a language model, and drawing from it. Adam and its moments go on between
    retrainings, with the weights.
    """

    first_steps: int = 500
    """Steps of generation 0."""
    steps: int = 120
    """Steps of each retraining: the same for every λ."""
    batch: int = 64
    """Windows a step, drawn with replacement."""
    learning_rate: float = 2e-3
    """Adam learning rate (constant)."""
    temperature: float = 1.0
    """τ: symbols are drawn with probabilities ∝ p^(1/τ)."""

    def __post_init__(self) -> None:
        require_range(
            self,
            first_steps=(1, LARGEST_COUNT),
            steps=(1, LARGEST_COUNT),
            batch=(1, LARGEST_COUNT),
        )
        for option in ("learning_rate", "temperature"):
            if not 0 < getattr(self, option) < float("inf"):
                raise OptionError(
                    f"--{option.replace('_', '-')} must be finite and > 0, got "
                    f"{getattr(self, option)}"
                )


class LanguageLearner:
    """R chains of a causal language model: a `stability.loop.retraining.Learner` with a density.

    Only parameters with `requires_grad` are trained, kept and stored: all of a network, or the
    matrices of LoRA beside a frozen one, which `build` must then make the same each time.

    Args:
        build: Generator -> network: tokens (n, l) int64 -> scores of the next symbol (n, l,
            symbols). The token `symbols` begins a window.
        symbols: Number of symbols.
        length: Symbols of a window.
        training: How it is trained.
        chains: R.
    """

    def __init__(
        self,
        build: Callable[[torch.Generator], nn.Module],
        symbols: int,
        length: int,
        training: LanguageTraining,
        chains: int,
    ) -> None:
        self._build, self._symbols, self._length = build, symbols, length
        self._training = training
        self._network = build(torch.Generator().manual_seed(0))
        self._states = [self._state_of(self._network, {})] * chains
        self._is_new = True

    @property
    def chains(self) -> int:
        """R, the number of chains."""
        return len(self._states)

    @property
    def parameters(self) -> int:
        """Number of parameters that are trained."""
        return sum(value.numel() for value in self._trained(self._network).values())

    def reset(self, rngs: Sequence[np.random.Generator]) -> None:
        """Draw new weights, and forget Adam's moments.

        Args:
            rngs: Generator of each chain.
        """
        seeds = [int(rng.integers(2**62)) for rng in rngs]

        def new(r: int) -> dict[str, Any]:
            return self._state_of(self._build(torch.Generator().manual_seed(seeds[r])), {})

        self._states, self._is_new = one_for_all(seeds, new), True

    def fit(self, datasets: Sequence[TrainingSet], rngs: Sequence[np.random.Generator]) -> None:
        """Train each chain from where it stands; equal chains are trained once.

        Args:
            datasets: Training set of each chain.
            rngs: Generator of each chain.
        """
        steps = self._training.first_steps if self._is_new else self._training.steps
        keys = [
            (id(state), id(data.points), str(rng.bit_generator.state))
            for state, data, rng in zip(self._states, datasets, rngs, strict=True)
        ]
        self._states = one_for_all(keys, lambda r: self._fit(r, datasets[r].points, rngs[r], steps))
        self._is_new = False

    @torch.inference_mode()
    def sample(
        self, counts: Sequence[int], rngs: Sequence[np.random.Generator]
    ) -> list[np.ndarray]:
        """Draw windows at the temperature of the settings.

        Args:
            counts: Number of windows of each chain.
            rngs: Generator of each chain.

        Returns:
            Windows of each chain r, (counts[r], length) uint8.
        """
        drawn = []
        for state, count, rng in zip(self._states, counts, rngs, strict=True):
            self._load(state)
            blocks = [self._sample_block(rng) for _ in range(-(-count // BLOCK))]
            empty = np.empty((0, self._length), np.uint8)
            drawn.append(np.concatenate([empty, *blocks])[:count])
        return drawn

    @torch.inference_mode()
    def log_prob(self, points: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log-probability of whole windows under each chain's model at temperature 1.

        Args:
            points: Windows for each chain, (k, length) uint8.

        Returns:
            Log-probabilities for each chain, (k,).
        """

        def judged(r: int) -> np.ndarray:
            self._load(self._states[r])
            parts = [
                -self._losses(torch.from_numpy(points[r][start : start + BLOCK]).long()).sum(dim=1)
                for start in range(0, len(points[r]), BLOCK)
            ]
            return torch.cat(parts).double().numpy()

        keys = [(id(state), id(x)) for state, x in zip(self._states, points, strict=True)]
        return one_for_all(keys, judged)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next fit and the next sample depend on."""
        return {"states": list(self._states), "is_new": self._is_new}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state given by `state_dict`.

        Args:
            state: The state.
        """
        self._states, self._is_new = list(state["states"]), state["is_new"]

    def _fit(
        self, r: int, points: np.ndarray, rng: np.random.Generator, steps: int
    ) -> dict[str, Any]:
        """The state of chain r after the fit. FloatingPointError if a loss is not finite."""
        self._load(self._states[r])
        self._network.train()
        parameters = list(self._trained(self._network).values())
        adam = torch.optim.Adam(parameters, lr=self._training.learning_rate, fused=True)
        if moments := self._states[r]["adam"]:
            adam.load_state_dict({**adam.state_dict(), "state": _copied(moments)})

        x = torch.from_numpy(points).long()
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        with torch.random.fork_rng(devices=[]):  # dropout, where a network has it
            torch.default_generator.manual_seed(int(rng.integers(2**62)))
            for step in range(steps):
                rows = torch.randint(len(x), (self._training.batch,), generator=generator)
                loss = self._losses(x[rows]).mean()
                if not loss.isfinite():
                    raise FloatingPointError(f"chain {r}, step {step}: the loss is {loss.item()}")
                adam.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, LARGEST_NORM)
                adam.step()

        self._network.eval()
        return self._state_of(self._network, adam.state_dict()["state"])

    def _losses(self, x: Tensor) -> Tensor:
        """−log p of each symbol of windows (n, l), given those before it; (n, l)."""
        begin = x.new_full((len(x), 1), self._symbols)
        scores = self._network(torch.cat([begin, x[:, :-1]], dim=1))
        return functional.cross_entropy(scores.transpose(1, 2), x, reduction="none")

    def _sample_block(self, rng: np.random.Generator) -> np.ndarray:
        """`BLOCK` windows, by inversion of the distribution of each symbol."""
        uniform = torch.from_numpy(rng.random((BLOCK, self._length)))
        tokens = torch.full((BLOCK, 1), self._symbols)
        for place in range(self._length):
            scores = self._network(tokens)[:, -1].double() / self._training.temperature
            edges = scores.softmax(dim=1).cumsum(dim=1)
            below = (edges < uniform[:, place : place + 1] * edges[:, -1:]).sum(dim=1)
            tokens = torch.cat([tokens, below[:, None]], dim=1)
        return tokens[:, 1:].to(torch.uint8).numpy()

    def _load(self, state: Mapping[str, Any]) -> None:
        own = self._trained(self._network)
        with torch.no_grad():
            for name, value in state["weights"].items():
                own[name].copy_(value)
        self._network.eval()

    @staticmethod
    def _trained(network: nn.Module) -> dict[str, nn.Parameter]:
        return {name: p for name, p in network.named_parameters() if p.requires_grad}

    def _state_of(self, network: nn.Module, moments: Mapping[Any, Any]) -> dict[str, Any]:
        weights = {name: p.detach().clone() for name, p in self._trained(network).items()}
        return {"weights": weights, "adam": _copied(moments)}


def _copied(moments: Mapping[Any, Any]) -> dict[Any, Any]:
    """Adam's moments of each parameter in memory of their own."""
    return {
        number: {name: value.clone() for name, value in one.items()}
        for number, one in moments.items()
    }
