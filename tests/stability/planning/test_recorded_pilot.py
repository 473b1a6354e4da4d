"""Run folders in `plan` and `check`: what a run recorded is what they are given."""

import numpy as np
import pytest

from stability.gaussian.learner import GaussianLearner
from stability.loop.regimes import FullySynthetic, Mix
from stability.planning.functionals import of_points
from stability.planning.monitor import CheckSettings, check, named_generations
from stability.planning.planner import plan
from stability.planning.recorded_pilot import recorded_pilot
from stability.runs.command_line import UsageError
from stability.runs.data_files import read_data
from stability.runs.result import Result
from stability.runs.study import Study

N, SHIFT = 40, 30.0


class Shifted(GaussianLearner):
    """Draws far to the right of what it was fitted to."""

    def sample(self, counts, rngs):
        return [points + SHIFT for points in super().sample(counts, rngs)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of two rows and two seeds, and the real points that all its chains began with."""
    real = np.random.default_rng().standard_normal((N, 2))
    folder = tmp_path_factory.mktemp("recorded") / "run"
    Study(
        learner=lambda chains: Shifted(chains, 2),
        real=real,
        truth=real,
        seeds=2,
        regimes=[Mix(0.5), FullySynthetic()],
        generations=3,
        observers=(),
        out=folder,
        progress=False,
    ).run()
    return folder, real


def test_generations_of_a_run_are_what_it_drew(recorded):
    folder, _ = recorded
    settings = CheckSettings(regime="λ = 0.5", seed=1)
    found = named_generations([folder], settings)
    assert [name for _, name in found] == [f"run/generation-{t:04d}" for t in range(4)]
    raw = read_data(found[2][0])
    drawn = Result.open(folder).samples(2, "λ = 0.5", 1)
    np.testing.assert_array_equal(np.stack(list(raw.cells.values()), axis=1), drawn)


def test_check_judges_all_generations_of_a_run(recorded):
    folder, real = recorded
    result = check([folder], real, regime="fully synthetic", seed=0)
    assert [look.name for look in result.looks] == [f"run/generation-{t:04d}" for t in range(4)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"holds the rows λ = 0.5, fully synthetic; name one with --regime"),
        ({"regime": "λ = 0.5", "seed": 9}, "holds no seed 9 of λ = 0.5"),
    ],
)
def test_a_chain_that_is_none_is_refused(options, message, recorded):
    folder, real = recorded
    with pytest.raises(UsageError, match=message):
        check([folder], real, **options)


def test_the_training_means_of_a_run_are_those_of_its_training_sets(recorded):
    """The oracle: the points themselves, mixed as Mix(0.5) does."""
    folder, real = recorded
    pilot = recorded_pilot(folder, real, of_points(real))
    drawn = Result.open(folder).samples(1, "λ = 0.5", 0)
    training = np.concatenate([real, drawn[: N // 2]])
    refit = next(
        r for r in pilot.refits if r.repeat == 0 and r.size == N + N // 2 and r.fraction == 0.002
    )
    np.testing.assert_allclose(
        refit.training, pilot.functionals.means(training), rtol=1e-9, atol=1e-12
    )
    assert pilot.repeats == 2


def test_a_run_is_a_pilot_that_finds_the_bias(recorded):
    folder, real = recorded
    found = plan(real, run=folder, lam=0.5, generations=4)
    bias = {row["functional"]: row["delta"] for row in found.functionals}
    deviation = real.std(axis=0)
    for j in range(2):
        # 0.1 of it is 3 deviations of a point; a mean of 40 draws has an error of 0.16
        assert bias[f"x{j}"] == pytest.approx(SHIFT / deviation[j], rel=0.1)
    assert any("From the recorded run run" in line for line in found.conditions)
    with pytest.raises(UsageError, match="began with 40 real points, not 39"):
        plan(real[1:], run=folder)
