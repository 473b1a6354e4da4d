import math
import re
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import chi2, norm

from stability.gaussian.learner import GaussianLearner
from stability.loop.regimes import (
    Accumulate,
    FreshReal,
    FullySynthetic,
    Mix,
    ReplaceFraction,
    TrainingSet,
)
from stability.planning.forecast import PATHS, forecast
from stability.planning.functionals import of_points
from stability.planning.labels import propagate
from stability.planning.pilot import response_curves, run_pilot
from stability.planning.pilot_plan import PilotQuestion, _doubts, sizes_of
from stability.planning.plan_inputs import load_learner, read_real_points, read_round
from stability.planning.planner import plan
from stability.planning.response import path_law
from stability.planning.response_curve import ResponseCurve, fit_curve
from stability.planning.target_score import PrecisionScore, parse_budget, precision_score
from stability.runs.command_line import UsageError
from tests.conftest import FALSE_ALARM
from tests.support.responding import Responding


def test_a_curve_takes_the_degree_that_the_points_need():
    r = np.repeat([0.0, 0.25, 0.5, 0.75, 1.0, 1.8], 3)
    groups = np.repeat(np.arange(6), 3)
    jitter = 1e-4 * np.tile([-1.0, 0.0, 1.0], 6)
    for degree, y in enumerate((0 * r - 0.3, -0.3 + 0.2 * r, -0.3 + 0.2 * r - 0.4 * r**2)):
        curve = fit_curve(
            r, r + y + jitter, groups, np.full(18, 1e-4), size=10, origin=0.0, draws=10_000
        )
        assert len(curve.coefficients) == degree + 1
        assert curve.bias[0] == pytest.approx(-0.3, abs=1e-3)
        assert curve.response[0] == pytest.approx(1.2 if degree else 1.0, abs=1e-3)
        assert (curve.low, curve.high) == (0.0, 1.8)
        assert curve.misfit < 1
        # beyond what was seen: along the tangent
        outside = curve.shift(np.array([2.8]), curve.coefficients[None])
        slope = (0, 0.2, 0.2 - 0.8 * 1.8)[degree]
        at_end = (-0.3, 0.06, 0.06 - 0.4 * 1.8**2)[degree]
        assert outside[0] == pytest.approx(at_end + slope, abs=1e-3)


def test_points_that_leave_the_curve_are_a_misfit():
    r = np.repeat([0.0, 0.25, 0.5, 0.75, 1.0, 1.8], 3)
    groups = np.repeat(np.arange(6), 3)
    jitter = 1e-4 * np.tile([-1.0, 0.0, 1.0], 6)
    curve = fit_curve(
        r,
        2 * r + np.sin(9 * r) + jitter,
        groups,
        np.full(18, 1e-4),
        size=10,
        origin=0.0,
        draws=10_000,
    )
    assert curve.misfit > 1.5


REGIMES = [Mix(0.5), Accumulate(1.0), FreshReal(1.0), ReplaceFraction(1.0), FullySynthetic()]


@pytest.mark.parametrize("regime", REGIMES, ids=str)
def test_a_forecast_on_a_straight_curve_is_the_law(regime, rng):
    """Mean and variance over the paths, against linear algebra."""
    n, generations, response, bias = 40, 5, 0.8, 0.3
    real = rng.standard_normal((n, 1))
    full = of_points(real)
    # the mean alone: with its mean square it would have the variance that follows from both
    parts = {f.name: getattr(full, f.name)[:1] for f in fields(full)}
    functionals = replace(full, **parts)
    scale = float(functionals.deviation[0])
    line = ResponseCurve(
        n, float(functionals.mean[0]), 1.0, np.array([bias, response - 1]), np.zeros((2, 2)),
        0.0, -np.inf, np.inf, np.zeros(1), np.array([scale**2]),
    )  # fmt: skip
    found = forecast(regime, functionals, [[line]], n, generations, rng)
    law = path_law(
        propagate(regime, n, generations),
        spread=scale**2,
        response=response,
        bias=bias,
        given_real=not isinstance(regime, ReplaceFraction),
    )
    gaps = found.model[0, -1] - functionals.mean[0] - law.mean[-1]
    variance = law.variance[-1]
    if isinstance(regime, FreshReal):  # new real points are about f*, known up to C/n
        unknown = 0.0
        for _ in range(generations):
            unknown = response * (1 + unknown) / 2
        variance += unknown**2 * scale**2 / n
    if isinstance(regime, ReplaceFraction):  # the real points are given, which of them stay is not
        mixed = path_law(propagate(Mix(1.0), n, generations), response=response, spread=0.0)
        assert mixed.variance[-1] == 0
        variance = float(gaps.var())
    tail = FALSE_ALARM / (4 * len(REGIMES))
    assert abs(gaps.mean()) < norm.isf(tail) * math.sqrt(variance / PATHS)
    if not isinstance(regime, ReplaceFraction):
        low, high = chi2.ppf(tail, PATHS - 1), chi2.isf(tail, PATHS - 1)
        assert low < gaps.var() * PATHS / variance < high


def test_a_pilot_finds_bias_and_response_and_forecasts_what_the_loop_does(rng):
    real = rng.standard_normal((300, 2))
    found = plan(
        real, learner=biased_learner(0.8, -0.5), lam=(0.5, 1.0), generations=6, tolerate=0.1
    )
    rows = {row["functional"]: row for row in found.functionals}
    for name in ("x0", "x1"):
        mean = rows[name]["real"]
        # s = .8 r − .5, so that at the real mean s − r = −.2 · mean − .5
        assert rows[name]["delta"] == pytest.approx(-0.5 - 0.2 * mean, abs=0.15)
        assert "δ" in rows[name]["obeys"]
    assert abs(found.rows[1]["shift"]) > 0.5
    assert found.rows[1]["keeps"] == "broken"
    assert found.verdict.startswith("None of these keeps the error of every functional")
    assert any("do not hold for this model" in sentence for sentence in found.conditions)


def test_the_forecast_of_a_pilot_is_the_law_of_its_learner(rng):
    real = rng.standard_normal((300, 2))
    functionals = of_points(real)
    pilot = run_pilot(biased_learner(0.8, -0.5), real, functionals, (300, 600), repeats=3)
    found = forecast(Mix(1.0), functionals, response_curves(pilot), 300, 6, rng)
    law = path_law(propagate(Mix(1.0), 300, 6), response=0.8, bias=-0.5)
    for q in (0, 2):  # the two means
        middle = np.median(found.model[q, -1])
        # about f* = 0; the mean of 300 real points is off by .3 with probability 2e-7
        assert middle == pytest.approx(law.mean[-1], abs=0.35)
        assert found.beyond[q] > 6


def biased_learner(response, bias):
    def make(chains):
        return Responding(chains, 2, response, bias)

    return make


class Rounding(GaussianLearner):
    """A Gaussian of a yes/no column beside a number; what it draws is rounded at one half."""

    def sample(self, counts, rngs):
        drawn = super().sample(counts, rngs)
        return [np.column_stack([x[:, 0], x[:, 1] > 0.5]).astype(float) for x in drawn]


def test_a_rare_category_that_rounding_loses(rng):
    """A fraction of .05 comes out as Φ(−(½ − p)/√(p(1 − p))) = .0195: seen from two rounds."""
    n, p = 2000, 0.05
    yes = np.zeros(n)
    yes[: round(p * n)] = 1.0
    real = np.column_stack([rng.standard_normal(n) + 2 * yes, yes])

    found = plan(
        real,
        learner=lambda chains: Rounding(chains, 2),
        lam=(0.0, 1.0),
        generations=5,
        target="x1",
        budget="target_ap >= 0.5x",
    )
    row = next(row for row in found.functionals if row["functional"] == "x1")
    sd = math.sqrt(p * (1 - p))
    assert row["delta"] * sd == pytest.approx(norm.cdf(-(0.5 - p) / sd) - p, abs=0.01)
    assert "δ" in row["obeys"]
    assert all(row["variance"] is None for row in found.rows)  # theory's prices are not shown
    none, one = (row["forecast"] for row in found.categories)
    assert none == pytest.approx(0.0195, abs=0.008)
    assert one < 0.012
    assert [row["category"] for row in found.categories] == ["x1", "x1"]


def test_a_pilot_has_points_of_two_rounds_only(rng):
    real = rng.standard_normal((50, 2))
    seen = []

    class Watched(GaussianLearner):
        def fit(self, datasets, rngs):
            seen.append(len(datasets[0].points))
            super().fit(datasets, rngs)

    rules = (("mix", 1.0, Mix(1.0)),)
    assert sizes_of(rules, 50, 4) == (50, 100)
    assert sizes_of((("accumulate", 1.0, Accumulate(1.0)),), 50, 9) == (50, 200)
    pilot = run_pilot(
        lambda chains: Watched(chains, 2), real, of_points(real), (50, 100), repeats=2, seed=3
    )
    assert len(seen) == len(pilot.refits) == 2 * 12
    assert pilot.sizes == (50, 100)
    again = run_pilot(
        lambda chains: GaussianLearner(chains, 2), real, of_points(real), (50, 100),
        repeats=2, seed=3,
    )  # fmt: skip
    assert all(
        np.array_equal(one.model, two.model)
        for one, two in zip(pilot.refits, again.refits, strict=True)
    )


def test_one_round_gives_a_range_over_the_response(rng):
    """The draws are the data moved by half a deviation: the bias is known without noise."""
    real = rng.standard_normal((400, 2))
    real = (real - real.mean(axis=0)) / real.std(axis=0)
    samples = np.tile(real, (10, 1)) + np.array([0.5, 0.0])
    found = plan(real, known_round=(real, samples), lam=1.0, generations=8)
    shifts = [row["shift"] for row in found.rows]
    for shift, response in zip(shifts, (0.5, 1.0, 1.2), strict=True):
        law = path_law(propagate(Mix(1.0), 400, 8), response=response, bias=0.5)
        assert shift == pytest.approx(law.mean[-1], rel=0.05)
    assert shifts[0] < shifts[1] < shifts[2]
    assert "over responses J from 0.5 to 1.2" in found.verdict


def test_a_category_that_was_not_drawn_has_an_interval_of_what_may_have_been_missed():
    """None of m draws: at 95 %, the model's fraction is at most 3/m."""
    k, m = 10, 600
    real = pd.DataFrame({"c": ["rare"] * k + ["often"] * (m - k)})
    drawn = pd.DataFrame({"c": ["often"] * m})
    found = plan(real, known_round=(real, drawn), lam=1.0, generations=1)
    row = next(row for row in found.functionals if row["functional"] == "c = rare")
    deviation = math.sqrt(k / m * (1 - k / m))
    assert row["delta"] == pytest.approx(-k / m / deviation)
    missed = -math.log(0.05) / m / deviation
    assert row["delta_high"] - row["delta"] == pytest.approx(missed, rel=1e-3)


def test_the_score_of_draws(rng):
    labels = np.arange(400) % 10 == 0
    points = np.column_stack([labels + 0.01 * rng.standard_normal(400), labels]).astype(float)
    score = precision_score(points, ("x", "fraud"), "fraud")
    assert score.reference == pytest.approx(1)
    assert score(points) == pytest.approx(1)
    lost = points.copy()
    lost[:, 1] = 0
    assert score(lost) == pytest.approx(0.1)  # that of guessing
    assert score(np.concatenate([points, lost])) == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("target", "words"),
    [("amount", "must have two values"), ("other", "must be the name of a column")],
)
def test_a_target_that_is_no_class_is_refused(target, words, rng):
    points = np.column_stack([rng.standard_normal(50), np.arange(50) % 2])
    with pytest.raises(ValueError, match=words):
        precision_score(points, ("amount", "fraud"), target)


def test_budgets():
    assert parse_budget("target_ap >= 0.95x").relative
    assert not parse_budget("target_ap>=.4").relative
    for text in ("target_ap > 0.9x", "f1 >= 0.9", "target_ap >= 0x", ""):
        with pytest.raises(ValueError, match="budget must be like"):
            parse_budget(text)


SYNTH = """
import numpy as np
import pandas as pd
class Synth:
    def __init__(self, seed):
        self.seed = seed
    def fit(self, table):
        self.table = table
    def sample(self, count, seed):
        rng = np.random.default_rng(seed)
        return self.table.iloc[rng.integers(len(self.table), size=count)]
"""


def test_a_table_and_a_synthesizer_from_files(tmp_path, rng, capsys):
    from stability.planning.__main__ import main

    (tmp_path / "synth.py").write_text(SYNTH)
    rows = ["amount,city,fraud"]
    for i in range(120):
        rows.append(f"{rng.normal():.4f},{'ABC'[i % 3]},{int(i % 8 == 0)}")
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")

    main([
        "plan", str(tmp_path / "data.csv"), "--learner", f"{tmp_path / 'synth.py'}:Synth",
        "--lambda", "0.5", "--generations", "3", "--repeats", "2", "--target", "fraud",
        "--budget", "target_ap >= 0.5x", "--out", str(tmp_path / "out"),
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert "city = A" in printed
    assert re.search(r"average precision for\s+fraud = 1", printed)
    assert (tmp_path / "out" / "plan.html").exists()


ARRAYS = """
import numpy as np
class Fresh:
    def fit(self, table):
        assert list(table.columns) == ["a", "b"]
        self.mean = table.to_numpy().mean(axis=0)
    def sample(self, count, seed):
        drawn = np.random.default_rng(seed).standard_normal((count, 2)) + self.mean
        return drawn[np.argsort(drawn[:, 0])], np.zeros(count)
class Fixed(Fresh):
    def sample(self, count, seed):
        return super().sample(count, 7)[0]
class Narrow(Fresh):
    def sample(self, count, seed):
        return super().sample(count, seed)[0][:, :1]
"""


def test_arrays_of_a_model_that_was_fitted_to_a_table_have_its_columns(tmp_path, rng):
    """As scikit-learn's mixtures, which draw rows grouped by component, with labels."""
    (tmp_path / "arrays.py").write_text(ARRAYS)
    table = pd.DataFrame({"a": rng.standard_normal(40), "b": 1000 + rng.standard_normal(40)})
    table.to_csv(tmp_path / "data.csv", index=False)

    points = read_real_points(tmp_path / "data.csv")
    learner = load_learner(f"{tmp_path / 'arrays.py'}:Fresh", points.schema)(1)
    learner.fit([TrainingSet(points.values, 40)], [rng])
    ((drawn,), means) = learner.sample([2000], [rng]), table.mean().to_numpy()
    # a mean of 2000 unit normals is within 6/√2000 = 0.134 with probability 1 − 2e-9 each
    assert points.schema is not None  # it is a table
    rows = points.schema.decode(drawn)
    assert abs(np.array([rows[name].mean() for name in table]) - means).max() < 0.134


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Fixed", r"the pilot: sample\(\) of Fixed gives the same rows on each call"),
        (
            "Narrow",
            r"the pilot: sample\(\) of Narrow gave no table like the one of fit: table must",
        ),
    ],
)
def test_samplers_that_cannot_be_used_are_one_line(name, words, tmp_path, rng, capsys):
    from stability.planning.__main__ import main

    (tmp_path / "arrays.py").write_text(ARRAYS)
    np.savetxt(
        tmp_path / "data.csv", rng.standard_normal((20, 2)), "%.5f", ",", header="a,b", comments=""
    )
    with pytest.raises(SystemExit) as left:
        main(["plan", str(tmp_path / "data.csv"), "--learner", f"{tmp_path / 'arrays.py'}:{name}"])
    said = capsys.readouterr()
    assert (left.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert re.search(words, said.err)


def test_a_plan_says_what_reading_left_out(tmp_path, rng):
    """A row index in the samples; neighbours that are alike in the real data."""
    walk = rng.standard_normal(400).cumsum()
    real, drawn = pd.DataFrame({"x": walk}), pd.DataFrame({"x": rng.permutation(walk)})
    real.to_csv(tmp_path / "real.csv", index=False)
    drawn.to_csv(tmp_path / "drawn.csv")
    files = [tmp_path / "real.csv", tmp_path / "drawn.csv"]
    found = plan(files[0], known_round=tuple(files), lam=1.0, generations=1)
    said = " ".join(found.conditions)
    assert re.search("Note: rows depend on each other .* of x in file order", said)
    assert "Note: column 1 of drawn.csv is unnamed" in said
    assert {row["delta"] for row in found.functionals} == {0.0}  # the same rows


def test_a_pilot_of_fits_that_may_go_on_says_that_its_own_start_from_scratch(rng):
    class Mean:
        def fit(self, points):
            self.mean = points.mean(axis=0)

        def sample(self, count, seed):
            return np.random.default_rng(seed).standard_normal((count, 1)) + self.mean

    real = rng.standard_normal((20, 1))
    for learner, says in ((lambda chains: GaussianLearner(chains, 1), True), (Mean, False)):
        found = plan(real, learner=learner, lam=1.0, generations=1, repeats=2)
        assert ("from_scratch=True" in " ".join(found.conditions)) == says


@pytest.mark.parametrize(
    ("reference", "at_start", "words"),
    [
        (0.2, 0.95, ""),
        (0.14, 0.95, "hardly predict y = 1"),  # guessing scores 0.1
        (0.2, 1.2, "better than real rows"),
    ],
)
def test_a_score_that_says_little_has_its_reason_beside_it(reference, at_start, words):
    points = np.column_stack([np.arange(100) % 10 == 0, np.arange(100.0)])
    target = PrecisionScore("y = 1", "y", 0, np.array([1]), points, reference)
    question = PilotQuestion((), 2, 0, target=target)
    rows: list[Any] = [SimpleNamespace(score=np.full((3, 400), at_start))] * 2
    said = _doubts(question, rows)
    assert len(said) == bool(words)
    assert words in " ".join(said)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,a\n1,2\n3,4\n", r"duplicate column 'a' \(columns 1 and 2\)"),
        ("a,b\n1,2\n", "at least 2 rows"),
        ("a,b\n", "0 rows"),
        ("a,b\n1,inf\n2,3\n", "infinite"),
    ],
)
def test_tables_that_cannot_be_planned_with(content, words, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        read_real_points(path)


def test_other_bad_inputs_are_one_line(tmp_path, rng):
    real = rng.standard_normal((20, 2))
    (tmp_path / "data.xls").touch()
    np.save(tmp_path / "pickle.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    for data, words in (
        (tmp_path / "data.xls", "want a folder or one of .csv"),
        (tmp_path / "pickle.npy", "pickle"),
        (np.array([[1.0, np.nan], [1, 2]]), "must be finite"),
    ):
        with pytest.raises(UsageError, match=words):
            read_real_points(data)
    with pytest.raises(UsageError, match="must have 2 columns"):
        read_round((real, np.ones((5, 3))), read_real_points(real))
    for learner, words in (
        ("synth", "must be like synth.py:Synth"),
        (f"{tmp_path}/no.py:Synth", "there is no file"),
        (3, "must be a class"),
    ):
        with pytest.raises(UsageError, match=words):
            load_learner(learner, None)
    for arguments, words in (
        ({"real": real}, "give learner .*, known_round or run"),
        ({"real": real, "learner": object, "bias": 0.1}, "bias is for a plan from theory"),
        ({"real": 10, "target": "y"}, "target needs the real data"),
        ({"real": np.ones((5, 2)), "known_round": (real, real)}, "every column is constant"),
    ):
        with pytest.raises(ValueError, match=words):
            plan(**arguments)


def pictures(folder, counts, rng):
    """Random pictures of 3 × 3 pixels, so many a class; the class "" has no folder."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = rng.integers(256, size=(3, 3, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def test_class_folders_are_planned_as_shares(tmp_path, rng):
    real = pictures(tmp_path / "real", {"cat": 12, "dog": 4, "emu": 4}, rng)
    drawn = pictures(tmp_path / "gen", {"cat": 15, "dog": 5, "fox": 5}, rng)
    points = read_real_points(real)
    assert points.names[:4] == ("class cat", "class dog", "class emu", "x0")
    np.testing.assert_array_equal(points.values[:, :3].mean(axis=0), [0.6, 0.2, 0.2])
    points, train, samples = read_round((real, drawn), points)
    np.testing.assert_array_equal(train[:, :3].mean(axis=0), [0.6, 0.2, 0.2])
    np.testing.assert_array_equal(samples[:, :3].mean(axis=0), [0.6, 0.2, 0.0])
    assert "class fox is in no folder of the real data" in " ".join(points.notes)

    found = plan(real, known_round=(real, drawn), features="pixels", generations=1)
    (emu,) = (row for row in found.functionals if row["functional"] == "class emu")
    assert (emu["real"], emu["delta"]) == pytest.approx((0.2, -0.2 / np.sqrt(0.2 * 0.8)))


def test_where_pictures_have_no_class_folders_one_line_says_so(tmp_path, rng):
    real = pictures(tmp_path / "real", {"cat": 3, "dog": 3}, rng)
    flat = pictures(tmp_path / "flat", {"": 6}, rng)
    points, *both = read_round((real, flat), read_real_points(real))
    assert {x.shape for x in both} == {(6, 27)} == {points.values.shape}
    found = plan(real, lam=1.0, known_round=(real, flat), features="pixels", generations=1)
    (note,) = (line for line in found.conditions if "class" in line.lower())
    assert note == f"Note: no class folders in {flat}: classes are not planned."
