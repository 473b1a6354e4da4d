"""Options of regimes that the 2-D experiments have beside those of every loop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import tyro

from stability.loop.regime_data import RegimeName
from stability.loop.regimes import (
    MOST_MODELS,
    AccumulateFresh,
    Exchange,
    Extrapolated,
    FullySynthetic,
    Regime,
    Scheduled,
)
from stability.runs.loop_options import LoopOptions
from stability.runs.option_error import OptionError, option_name
from stability.runs.ranges import require_range

__all__ = ["RegimeOptions"]

Around = Literal["scheduled", "exchange", "extrapolated"]
OF_REGIME = {
    "real_fraction": "accumulate-fresh",
    "growth": "scheduled",
    "growth_power": "scheduled",
    "models": "exchange",
    "own_share": "exchange",
    "extrapolation": "extrapolated",
}
"""The regime that each option is of."""


@dataclass(frozen=True)
class RegimeOptions(LoopOptions):
    """Options of a loop in the plane that say what a retraining sees."""

    help_groups: ClassVar = dict.fromkeys(OF_REGIME, "regimes with options of their own")
    regime: RegimeName | Around = "mix"  # pyright: ignore[reportIncompatibleVariableOverride]
    """Training data of a retraining: the n real points and m new samples (mix), n samples alone
    (synthetic), the real points and every synthetic set so far (accumulate), the same with n more
    points in each round, of which the fraction 1/(1+λ) is new real data (accumulate-fresh), n new
    real points and m new samples (fresh), n points of which the share λ/(1+λ) is samples
    (replace), or n points drawn from what accumulate would see (subsample). Or mix, with samples
    that grow or shrink (scheduled), from other models too (exchange), or of a model that takes back
    what its own samples do to it (extrapolated)."""
    real_fraction: Annotated[tuple[float, ...], tyro.conf.arg(metavar="α [α ...]")] = ()
    """Real fraction of each later batch (accumulate-fresh), instead of --lambda; one or more
    values, each a row of the result."""
    growth: float = 1.0
    """Factor by which samples grow in each round (scheduled); below 1 they shrink."""
    growth_power: float = 0.0
    """Power of t + 1 that samples grow by (scheduled)."""
    models: int | None = None
    """K: models that train on each other's samples, each with real data of its own (exchange);
    must divide --seeds. None: 2."""
    own_share: float | None = None
    """Share of a model's own samples; the rest comes from all others alike (exchange). None: 1/K,
    as from any other."""
    extrapolation: float | None = None
    """w: samples are of θ − w (θ' − θ), where θ' is the model θ trained on its own samples
    (extrapolated). None: 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, regime in OF_REGIME.items():
            is_default = getattr(self, option) == getattr(RegimeOptions, option)
            if self.regime != regime and not is_default:
                raise OptionError(
                    f"{option_name(option)} has no meaning for --regime {self.regime}"
                )
        self._require_numbers()
        if self.regime == "exchange" and self.seeds % self.population:
            raise OptionError(
                f"--seeds must be a multiple of --models {self.population}, got {self.seeds}"
            )

    def _require_numbers(self) -> None:
        require_range(self, models=(2, MOST_MODELS))
        if not all(0 <= alpha <= 1 for alpha in self.real_fraction):
            raise OptionError(f"--real-fraction must be in [0, 1], got {self.real_fraction}")
        if self.real_fraction and self.lam:
            raise OptionError("--real-fraction and --lambda are two names of one thing")
        if not 0 < self.growth < math.inf:
            raise OptionError(f"--growth must be finite and > 0, got {self.growth}")
        if not abs(self.growth_power) < math.inf:
            raise OptionError(f"--growth-power must be finite, got {self.growth_power}")
        if self.regime == "scheduled":
            if self.growth == 1 and self.growth_power == 0:
                raise OptionError("--regime scheduled needs --growth or --growth-power")
            try:
                schedule = Scheduled(FullySynthetic(), self.growth, self.growth_power)
                schedule.size(self.samples, self.retrainings + 1)
            except ValueError as error:
                raise OptionError(f"--growth or --growth-power is too large: {error}") from None

        if self.own_share is not None and not 0 <= self.own_share <= 1:
            raise OptionError(f"--own-share must be in [0, 1], got {self.own_share}")
        if self.extrapolation is not None and not abs(self.extrapolation) < math.inf:
            raise OptionError(f"--extrapolation must be finite, got {self.extrapolation}")

    @property
    def population(self) -> int:
        """Models that see each other's samples."""
        return (self.models or 2) if self.regime == "exchange" else 1

    @property
    def kind(self) -> str:
        """Name of the regime that the rows are made of."""
        return "mix" if self.regime in ("scheduled", "exchange", "extrapolated") else self.regime

    def regimes(self, paper_lambdas: Sequence[float] = ()) -> list[Regime]:
        """Make the rows, without what goes around them.

        Args:
            paper_lambdas: Values of λ where none is given.

        Returns:
            One regime per row.
        """
        if self.real_fraction:
            return [AccumulateFresh(alpha) for alpha in self.real_fraction]
        return super().regimes(paper_lambdas)

    def around(self, row: Regime) -> Regime:
        """Put the regime that goes around the others around one.

        Args:
            row: Regime of a row.

        Returns:
            The regime around it; the row itself if --regime is none of those.
        """
        if self.regime == "scheduled":
            return Scheduled(row, self.growth, self.growth_power)
        if self.regime == "exchange":
            return Exchange.among(self.population, row, self.own_share)
        if self.regime == "extrapolated":
            return Extrapolated(row, 1.0 if self.extrapolation is None else self.extrapolation)
        return row
