"""The theory of iterative retraining, and Algorithm 1 itself.

Every name below is imported when it is first used, so that `import stability` takes no time.
"""

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

# Threads of GNU OpenMP that wait for one another try 1000 times (some 50 µs) before they sleep, not
# 300,000 times (20 ms): those that spin keep their processor from the one that they wait for. Read
# once, when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# With 0 numba cannot be imported, and anything that is no number makes it print a traceback.
_numba_threads = os.environ.get("NUMBA_NUM_THREADS", "1").strip()
if not (_numba_threads.isdecimal() and int(_numba_threads) >= 1):
    del os.environ["NUMBA_NUM_THREADS"]
    warnings.warn_explicit(
        f"{_numba_threads!r} is ignored; it must be a whole number >= 1",
        UserWarning,
        "NUMBA_NUM_THREADS",
        0,
    )

if TYPE_CHECKING:
    from stability.analysis.likelihood_learner import LikelihoodLearner
    from stability.analysis.local_analysis import LocalAnalysis, analyse
    from stability.gaussian.learner import GaussianLearner
    from stability.laws.family import Family
    from stability.loop.capabilities import HasLogProb, SupportsWeights
    from stability.loop.contraction import Displacement, coupled
    from stability.loop.estimator_learner import from_estimator
    from stability.loop.likelihood_trainer import from_log_prob
    from stability.loop.regimes import (
        Accumulate,
        AccumulateFresh,
        Curated,
        Exchange,
        FreshReal,
        FullySynthetic,
        GenerationInputs,
        Mix,
        Regime,
        ReplaceFraction,
        Scheduled,
        Subsample,
        TrainingSet,
        Verified,
        Weighted,
    )
    from stability.loop.retraining import Generation, Learner, RetrainingError, retrain
    from stability.loop.streams import Purpose, stream
    from stability.observers.distances import Distances
    from stability.observers.likelihood import Likelihood
    from stability.observers.memorisation import Memorisation
    from stability.observers.moments import Moments
    from stability.observers.two_sample import ClassifierTest, TwoSample
    from stability.observers.user_function import UserFunction
    from stability.planning.monitor import check
    from stability.planning.plan_record import Plan
    from stability.planning.planner import plan
    from stability.runs.command_learner import from_commands
    from stability.runs.history import ChainRecord, History, HistoryError
    from stability.runs.loop_options import LoopOptions
    from stability.runs.observer import Floor, Observer, Quantity, View
    from stability.runs.outcome import Status
    from stability.runs.real_data import Pool
    from stability.runs.result import Result
    from stability.runs.run_directory import RunDirectory, RunDirectoryError
    from stability.runs.study import Study
    from stability.runs.table_schema import TableSchema
    from stability.statements.verdict import Verdict
    from stability.transport.assignment import assign
    from stability.transport.wasserstein import wasserstein
    from stability.transport.wasserstein_1d import gaussian_w2, w1, w2

__all__ = [
    "Accumulate",
    "AccumulateFresh",
    "ChainRecord",
    "ClassifierTest",
    "Curated",
    "Displacement",
    "Distances",
    "Exchange",
    "Family",
    "Floor",
    "FreshReal",
    "FullySynthetic",
    "GaussianLearner",
    "Generation",
    "GenerationInputs",
    "HasLogProb",
    "History",
    "HistoryError",
    "Learner",
    "Likelihood",
    "LikelihoodLearner",
    "LocalAnalysis",
    "LoopOptions",
    "Memorisation",
    "Mix",
    "Moments",
    "Observer",
    "Plan",
    "Pool",
    "Purpose",
    "Quantity",
    "Regime",
    "ReplaceFraction",
    "Result",
    "RetrainingError",
    "RunDirectory",
    "RunDirectoryError",
    "Scheduled",
    "Status",
    "Study",
    "Subsample",
    "SupportsWeights",
    "TableSchema",
    "TrainingSet",
    "TwoSample",
    "UserFunction",
    "Verdict",
    "Verified",
    "View",
    "Weighted",
    "analyse",
    "assign",
    "check",
    "coupled",
    "from_commands",
    "from_estimator",
    "from_log_prob",
    "gaussian_w2",
    "plan",
    "retrain",
    "stream",
    "w1",
    "w2",
    "wasserstein",
]

_NAMES = {
    "analysis.likelihood_learner": ("LikelihoodLearner",),
    "analysis.local_analysis": ("LocalAnalysis", "analyse"),
    "gaussian.learner": ("GaussianLearner",),
    "laws.family": ("Family",),
    "loop.capabilities": ("HasLogProb", "SupportsWeights"),
    "loop.contraction": ("Displacement", "coupled"),
    "loop.estimator_learner": ("from_estimator",),
    "loop.likelihood_trainer": ("from_log_prob",),
    "loop.regimes": (
        "Accumulate",
        "AccumulateFresh",
        "Curated",
        "Exchange",
        "FreshReal",
        "FullySynthetic",
        "Mix",
        "Regime",
        "ReplaceFraction",
        "GenerationInputs",
        "Scheduled",
        "Subsample",
        "TrainingSet",
        "Verified",
        "Weighted",
    ),
    "loop.retraining": ("Generation", "Learner", "RetrainingError", "retrain"),
    "loop.streams": ("Purpose", "stream"),
    "observers.distances": ("Distances",),
    "observers.likelihood": ("Likelihood",),
    "observers.user_function": ("UserFunction",),
    "observers.memorisation": ("Memorisation",),
    "observers.moments": ("Moments",),
    "observers.two_sample": ("ClassifierTest", "TwoSample"),
    "planning.monitor": ("check",),
    "runs.command_learner": ("from_commands",),
    "runs.history": ("ChainRecord", "History", "HistoryError"),
    "runs.loop_options": ("LoopOptions",),
    "runs.observer": ("Floor", "Observer", "Quantity", "View"),
    "runs.outcome": ("Status",),
    "runs.real_data": ("Pool",),
    "runs.result": ("Result",),
    "planning.plan_record": ("Plan",),
    "planning.planner": ("plan",),
    "runs.run_directory": ("RunDirectory", "RunDirectoryError"),
    "runs.study": ("Study",),
    "runs.table_schema": ("TableSchema",),
    "statements.verdict": ("Verdict",),
    "transport.assignment": ("assign",),
    "transport.wasserstein": ("wasserstein",),
    "transport.wasserstein_1d": ("gaussian_w2", "w1", "w2"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name == "__version__":
        from importlib.metadata import version

        return version("iterative-retraining")
    if name not in _MODULES:
        raise AttributeError(f"module 'stability' has no attribute {name!r}")

    value = getattr(import_module(f"stability.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
