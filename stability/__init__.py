"""The theory of iterative retraining, and Algorithm 1 itself."""

import os

# Threads of GNU OpenMP that wait for one another try 1000 times (some 50 µs) before they sleep, not
# 300,000 times (20 ms): those that spin keep their processor from the one that they wait for. Read
# once, when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

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
