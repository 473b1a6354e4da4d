"""Arguments that the Python API takes, and the words by which it refuses others."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# (wrong types are what is tested)

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from stability import (
    Accumulate,
    Curated,
    FreshReal,
    FullySynthetic,
    GaussianLearner,
    GenerationInputs,
    Mix,
    ReplaceFraction,
    RetrainingError,
    Subsample,
    TrainingSet,
    Verified,
    Weighted,
    retrain,
)
from stability.analysis.likelihood_learner import LikelihoodLearner
from stability.analysis.local_analysis import analyse
from stability.families.gaussian import Gaussian
from stability.loop.arguments import is_array_like, numeric_array, require_methods, whole_number
from stability.loop.contraction import Displacement, coupled

X = np.linspace(-1, 2, 6)[:, None]


class Table:
    """Like a DataFrame: it has a method `sample` and can be made an array."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)

    def __len__(self):
        return len(self.values)

    def sample(self, n=None, frac=None):
        raise ValueError("Please enter a value for `frac` OR `n`, not both")


GOOD = {
    "float64": X,
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "longdouble": X.astype(np.longdouble),
    "big endian": X.astype(">f8"),
    "integers": (10 * X).astype(int),
    "uint8": np.arange(6, dtype=np.uint8)[:, None],
    "truth values": X > 0,
    "not contiguous": np.repeat(X, 2)[::2, None],
    "lists": X.tolist(),
    "lists of whole numbers": [[1], [2], [4]],
    "tensor": torch.from_numpy(X),
    "tensor with a gradient": torch.from_numpy(X).requires_grad_(),
    "bfloat16": torch.from_numpy(X).bfloat16(),
    "table": Table(X),
    "objects that are numbers": np.array([[1.0], [2], [Fraction(1, 2)]], dtype=object),
    "masked, no entry": np.ma.masked_greater(X, 10),
}
BAD = {
    "text": (np.array([["a"], ["b"]]), TypeError, "an array of <U1"),
    "mixed": (np.array([[1.0], ["a"]], dtype=object), TypeError, "an array of object"),
    "mixed table": (Table(np.array([[1.0, "x"]], dtype=object)), TypeError, "an array of object"),
    "missing": (np.array([[1], [None]], dtype=object), TypeError, "an array of object"),
    "complex": (X * 1j, TypeError, "an array of complex128"),
    "dates": (np.arange("2020", "2026", dtype="M8[Y]")[:, None], TypeError, "datetime64"),
    "records": (np.zeros(3, dtype=[("a", float)]), TypeError, "an array of"),
    "ragged": ([[1.0], [1.0, 2.0]], ValueError, "rows of different lengths"),
    "masked": (np.ma.masked_greater(X, 0), ValueError, "no masked entries, got 4"),
    "empty": (np.empty((0, 1)), ValueError, "at least one point|n >= 1"),
    "no columns": (np.empty((3, 0)), ValueError, "at least one point|n >= 1"),
    "NaN": (np.array([[1.0], [math.nan]]), ValueError, "finite"),
    "inf": (np.array([[1.0], [math.inf]]), ValueError, "finite"),
}


@pytest.mark.parametrize("name", GOOD)
def test_numbers_of_any_kind_are_retrained_on(name):
    real = GOOD[name]
    first, second = retrain(GaussianLearner(1, 1), [real], [Mix(1.0)], 1, seed=0)
    expected = numeric_array(real, "real").astype(float)
    assert np.array_equal(first.training[0].points.astype(float), expected)
    mixed = second.training[0].points  # the real points are there, unchanged, beside samples
    assert np.array_equal(mixed[: len(expected)].astype(float), expected)
    assert np.array_equal(mixed[len(expected) :].astype(float), first.samples[0][: len(expected)])


@pytest.mark.parametrize("name", GOOD)
def test_numbers_of_any_kind_are_analysed(name):
    points = numeric_array(GOOD[name], "data").astype(float)
    found = analyse(Gaussian(), GOOD[name], lam=0.5)
    assert found.theta[0] == pytest.approx(points.mean(), abs=1e-6)


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_refused_by_name(name):
    data, error, words = BAD[name]
    with pytest.raises(error, match=words) as of_retrain:
        retrain(GaussianLearner(1, 1), [data], [Mix(1.0)], 1, seed=0)
    assert str(of_retrain.value).startswith("real")
    with pytest.raises(error, match=words) as of_analyse:
        analyse(Gaussian(), data, lam=0.5)
    assert str(of_analyse.value).startswith("data")
    for raised in (of_retrain, of_analyse):
        assert "\n" not in str(raised.value)


def test_data_that_draw_points_are_no_arrays():
    assert not is_array_like(Gaussian())
    assert is_array_like(Table(X))


GAUSSIAN = GaussianLearner(1, 1)
ARGUMENTS = [
    ({"real": None}, TypeError, "real must be a list"),
    ({"real": X}, ValueError, "real must have one entry for each of the 1 chains, got 6"),
    ({"real": "abc"}, TypeError, "real must be a list"),
    ({"real": [X, X]}, ValueError, "real must have one entry"),
    ({"real": [3.0]}, ValueError, "at least one point"),
    ({"regimes": Mix(1.0)}, TypeError, "regimes must be a list"),
    ({"regimes": [Mix]}, TypeError, r"regimes\[0\] must be an instance, got the class Mix"),
    ({"regimes": ["mix"]}, TypeError, r"regimes\[0\] must have a method synthetic"),
    ({"generations": 1.5}, TypeError, "generations must be a whole number, got 1.5"),
    ({"generations": "3"}, TypeError, "generations must be a whole number, got '3'"),
    ({"generations": True}, TypeError, "generations must be a whole number, got True"),
    ({"generations": -1}, ValueError, "generations must be >= 0, got -1"),
    ({"draws": 2.0}, TypeError, "draws must be a whole number"),
    ({"seed": -1}, ValueError, "seed must be >= 0, got -1"),
    ({"seed": None}, TypeError, "seed must be a whole number, got None"),
    ({"streams": [-1]}, ValueError, "streams must be >= 0"),
    ({"streams": ["a"]}, TypeError, "streams must be a whole number"),
    ({"fresh": 3}, TypeError, "fresh must be a function"),
    ({"latents": "old"}, ValueError, "latents must be one of"),
    ({"learner": GaussianLearner}, TypeError, "learner must be an instance"),
    ({"learner": object()}, TypeError, "learner must have a method reset"),
]


@pytest.mark.parametrize(("change", "error", "words"), ARGUMENTS)
def test_arguments_of_retrain_are_named(change, error, words):
    arguments = {
        "learner": GAUSSIAN,
        "real": [X],
        "regimes": [Mix(1.0)],
        "generations": 1,
        "seed": 0,
    }
    with pytest.raises(error, match=words):
        retrain(**arguments | change)


@pytest.mark.parametrize("regime", [Mix, Accumulate, FreshReal, ReplaceFraction])
@pytest.mark.parametrize("lam", ["1", None, True, 1j, [1.0], np.ones(1), np.bool_(True)])
def test_lambda_is_a_number(regime, lam):
    with pytest.raises(TypeError, match="lam must be a real number, got "):
        regime(lam)


@pytest.mark.parametrize("lam", [1, 0.5, np.float32(0.5), np.int64(2), Fraction(1, 2)])
def test_lambda_is_any_number(lam):
    assert Mix(lam).synthetic(10) == int(10 * float(lam))


def passes(x):
    return x[:, 0] > -math.inf


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Weighted(Mix(1.0), "a"), TypeError, "weight must be a real number, got 'a'"),
        (lambda: Weighted(Mix(1.0), math.nan), ValueError, r"weight must be in \(0, 1\), got nan"),
        (lambda: Weighted(0.5, 0.5), TypeError, "regime must have a method synthetic"),
        (lambda: Subsample("mix"), TypeError, "regime must have a method synthetic"),
        (lambda: Curated(Mix, passes), TypeError, "regime must be an instance"),
        (lambda: Curated(Mix(1.0), "right"), TypeError, "reward must be a function"),
        (lambda: Curated(Mix(1.0), passes, 2.5), TypeError, "choices must be a whole number"),
        (lambda: Curated(Mix(1.0), passes, True), TypeError, "choices must be a whole number"),
        (lambda: Curated(Mix(1.0), passes, 0), ValueError, "choices must be >= 1, got 0"),
        (lambda: Verified(Mix(1.0), None), TypeError, "accepts must be a function"),
        (lambda: Verified(Mix(1.0), passes, "4"), TypeError, "tries must be a whole number"),
        (lambda: GaussianLearner(1.5, 1), TypeError, "chains must be a whole number"),
        (lambda: GaussianLearner(1, 0), ValueError, "dimension must be >= 1"),
        (lambda: GaussianLearner(1, 1, "a"), TypeError, "covariance must be an array"),
        (lambda: GaussianLearner(1, 1, [[math.nan]]), ValueError, "covariance must be finite"),
        (
            lambda: LikelihoodLearner(object(), torch.zeros(1, 2)),
            TypeError,
            "family must have a method log_prob",
        ),
        (
            lambda: LikelihoodLearner(Gaussian(), [[0.0]]),
            TypeError,
            "start must be a finite float64 tensor",
        ),
        (lambda: analyse(object(), X, 1.0), TypeError, "family must have a method log_prob"),
        (lambda: analyse(Gaussian, X, 1.0), TypeError, "family must be an instance"),
        (lambda: analyse(Gaussian(), X, "1"), TypeError, "lam must be a real number"),
        (lambda: analyse(Gaussian(), X, 1.0, n=2.5), TypeError, "n must be a whole number"),
        (lambda: analyse(Gaussian(), X, 1.0, start=["a"]), TypeError, "start must be an array"),
        (
            lambda: analyse(Gaussian(), "data.csv", 1.0),
            ValueError,
            "data must be an array of points",
        ),
    ],
)
def test_arguments_of_other_functions_are_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_arguments_of_coupled_chains_are_named():
    learner, shift = GaussianLearner(2, 1), Displacement(lambda x: x + 1, lambda x: x[:, 0])
    with pytest.raises(TypeError, match=r"real\[0\] must be an array of real numbers"):
        next(coupled(learner, [X * 1j], [shift], [Mix(1.0)], 1, seed=0))
    with pytest.raises(
        ValueError, match="displacements must have one entry for each of the 1 pairs, got 0"
    ):
        next(coupled(learner, [X], [], [Mix(1.0)], 1, seed=0))
    assert len(list(coupled(learner, [X.tolist()], [shift], [Mix(1.0)], 1, seed=0))) == 2


@pytest.mark.parametrize(
    ("regime", "words"),
    [
        (Curated(Mix(1.0), lambda x: x[:3, 0]), r"returned shape \(3,\), expected \(12,\)"),
        (Curated(Mix(1.0), lambda x: np.full(len(x), math.nan)), "returned NaN"),
        (Verified(Mix(1.0), lambda x: True), r"returned shape \(\), expected \(24,\)"),
    ],
)
def test_what_a_selector_returns_is_checked(regime, words, rng):
    synthetic = rng.standard_normal((regime.synthetic(6), 1))
    inputs = GenerationInputs(X, TrainingSet(X, 6), synthetic, lambda k: X[:k], rng)
    with pytest.raises(ArithmeticError, match=words):
        regime.next(inputs)


class Spoiled(GaussianLearner):
    """Returns whatever `spoil` makes of its samples."""

    spoil = staticmethod(lambda samples: samples)

    def sample(self, counts, rngs):
        return self.spoil(super().sample(counts, rngs))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda samples: None, "returned NoneType, not a list of samples"),
        (lambda samples: "samples", "returned str, not a list"),
        (lambda samples: [], "returned 0 sets of samples for 1 chains"),
        (
            lambda samples: [None],
            "its samples for chain 0 must be an array of real numbers, got NoneType",
        ),
        (lambda samples: [samples[0].astype(str)], "must be an array of real numbers"),
        (lambda samples: [samples[0] * 1j], "an array of complex128"),
        (lambda samples: [samples[0][:-1]], r"shape \(5, 1\) for chain 0, expected \(6, 1\)"),
        (lambda samples: [samples[0][:, 0]], r"shape \(6,\) for chain 0, expected \(6, 1\)"),
        (lambda samples: [samples[0] * math.nan], "NaN or Inf for chain 0"),
    ],
)
def test_samples_that_are_none_stop_the_run_by_name(spoil, words):
    learner = Spoiled(1, 1)
    learner.spoil = spoil
    with pytest.raises(RetrainingError, match=rf"generation 0: .*{words}"):
        list(retrain(learner, [X], [FullySynthetic()], 1, seed=0))


def test_tensors_and_lists_from_a_learner_are_arrays_in_a_generation():
    expected = [g.samples[0] for g in retrain(Spoiled(1, 1), [X], [Mix(1.0)], 1, seed=0)]
    for spoil in (lambda x: [torch.from_numpy(x[0])], lambda x: [x[0].tolist()], tuple):
        learner = Spoiled(1, 1)
        learner.spoil = spoil
        for generation, samples in zip(
            retrain(learner, [X], [Mix(1.0)], 1, seed=0), expected, strict=True
        ):
            assert isinstance(generation.samples[0], np.ndarray)
            assert np.array_equal(generation.samples[0], samples)


class Standardising(GaussianLearner):
    """Centres its data in place, a common mistake: the real data would be others in the next
    round.
    """

    def fit(self, datasets, rngs):
        for data in datasets:
            data.points[:] -= data.points.mean()
        super().fit(datasets, rngs)


def test_a_learner_that_changes_its_data_is_stopped():
    with pytest.raises(
        RetrainingError, match="generation 0: the learner changed the training data of chain 1"
    ):
        list(
            retrain(
                Standardising(2, 1),
                [np.array([[-1.0], [1.0]]), X.copy()],
                [Mix(1.0)] * 2,
                1,
                seed=0,
            )
        )


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), torch.tensor(3)])
def test_whole_numbers_are_of_any_type(value):
    assert whole_number(value, "n", 3) == 3


def test_a_method_that_is_none_is_missing():
    class Half:
        fit = None

    with pytest.raises(TypeError, match="learner must have a method fit, got Half without it"):
        require_methods(Half(), "learner", "fit")
