"""The theory of iterative retraining, and Algorithm 1 itself."""

from stability.gaussian import GaussianLearner
from stability.regimes import Accumulate, FreshReal, FullySynthetic, Mix, Regime, RoundInputs, TrainingSet
from stability.retraining import Generation, Learner, RetrainingError, retrain
from stability.run_directory import RunDirectory
from stability.streams import Purpose, stream

__all__ = [
    "Accumulate",
    "FreshReal",
    "FullySynthetic",
    "GaussianLearner",
    "Generation",
    "Learner",
    "Mix",
    "Purpose",
    "Regime",
    "RetrainingError",
    "RoundInputs",
    "RunDirectory",
    "TrainingSet",
    "retrain",
    "stream",
]
