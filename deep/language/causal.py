"""Causal language models of the library transformers, built from a configuration, for the loop.

Nothing is downloaded: weights are drawn anew. All of them are trained, or the matrices of LoRA
beside frozen ones (Hu et al. 2022), for which the library peft is needed.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["CausalNetwork", "causal_builder"]

HOW = "it is an optional dependency: pip install transformers peft"


class CausalNetwork(nn.Module):
    """A causal model of transformers as `deep.language.learner.LanguageLearner` calls it.

    Args:
        model: Called with `input_ids`, returns an object with `logits`.
        symbols: Number of symbols; scores of further tokens are left out.
    """

    def __init__(self, model: nn.Module, symbols: int) -> None:
        super().__init__()
        self.model, self.symbols = model, symbols

    def forward(self, tokens: Tensor) -> Tensor:
        """Score the next symbol at every place.

        Args:
            tokens: Symbols so far, the beginning first, (n, l) int64.

        Returns:
            Unnormalised log-probabilities, (n, l, symbols).
        """
        return self.model(input_ids=tokens, use_cache=False).logits[..., : self.symbols]


def causal_builder(
    config: Any, symbols: int, length: int, lora_rank: int = 0
) -> Callable[[torch.Generator], nn.Module]:
    """Make the `build` of a `LanguageLearner` from a configuration of transformers.

    Args:
        config: Such as `GPT2Config(n_layer=2, n_head=4, n_embd=64, vocab_size=65, n_positions=32)`:
            its vocabulary must hold the symbols and the token `symbols`, which begins a window.
        symbols: Number of symbols.
        length: Symbols of a window.
        lora_rank: Rank of the matrices that are trained beside frozen weights, which are the same
            in every network that is built; 0: all weights are trained.

    Returns:
        Generator -> network.

    Raises:
        ModuleNotFoundError: If transformers is missing, or peft where LoRA is asked for.
        ValueError: If the configuration is too small, or the rank negative.
    """
    transformers = _library("transformers")
    peft = _library("peft") if lora_rank else None
    if lora_rank < 0:
        raise ValueError(f"lora_rank must be >= 0, got {lora_rank}")
    if config.vocab_size <= symbols:
        raise ValueError(
            f"config.vocab_size must be > {symbols}, the symbols and one that begins a window, got "
            f"{config.vocab_size}"
        )
    places = getattr(config, "max_position_embeddings", None)
    if places is not None and places < length:
        raise ValueError(f"config.max_position_embeddings must be >= {length}, got {places}")

    def build(generator: torch.Generator) -> nn.Module:
        seed = int(torch.randint(2**31, (), generator=generator))
        with torch.random.fork_rng(devices=[]):  # the library draws from torch's global generator
            torch.default_generator.manual_seed(0 if peft else seed)
            model = transformers.AutoModelForCausalLM.from_config(config)
            if peft is not None:
                torch.default_generator.manual_seed(seed)
                chosen = peft.LoraConfig(r=lora_rank, target_modules="all-linear")
                with warnings.catch_warnings():
                    # it notices by itself that GPT-2 keeps its matrices transposed
                    warnings.filterwarnings("ignore", message="fan_in_fan_out")
                    # of peft's calls of transformers
                    warnings.simplefilter("ignore", FutureWarning)
                    model = peft.get_peft_model(model, chosen)
        return CausalNetwork(model.eval(), symbols)

    return build


def _library(name: str) -> Any:
    """Import a library. ModuleNotFoundError that says on one line how to install it."""
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(f"{name} is not installed; {HOW}", name=name) from None
