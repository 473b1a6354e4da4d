"""The theory of iterative retraining, and Algorithm 1 itself."""

from stability.gaussian import GaussianLearner
from stability.regimes import (
    Accumulate,
    Curated,
    FreshReal,
    FullySynthetic,
    Mix,
    Regime,
    ReplaceShare,
    RoundInputs,
    Subsample,
    TrainingSet,
    Verified,
    Weighted,
)
from stability.retraining import Generation, Learner, RetrainingError, retrain
from stability.run_directory import RunDirectory
from stability.streams import Purpose, stream

__all__ = [
    "Accumulate",
    "Curated",
    "FreshReal",
    "FullySynthetic",
    "GaussianLearner",
    "Generation",
    "Learner",
    "Mix",
    "Purpose",
    "Regime",
    "ReplaceShare",
    "RetrainingError",
    "RoundInputs",
    "RunDirectory",
    "Subsample",
    "TrainingSet",
    "Verified",
    "Weighted",
    "retrain",
    "stream",
]
