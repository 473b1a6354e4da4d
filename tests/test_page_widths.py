"""No page is wider than its window, on a desktop and on a phone, whatever names it has to show."""

import numpy as np
import pandas as pd
import pytest

from stability import Mix, Moments, Study, check, plan
from stability.gaussian.learner import GaussianLearner
from stability.planning.check_report import write_check
from stability.planning.fail_if import parse_conditions
from stability.planning.plan_page import write_plan
from stability.runs.overview import write_overview

LONG = "column_without_a_place_to_break_it_" * 5


def table(rng, rows=60):
    return pd.DataFrame(
        {
            LONG: rng.standard_normal(rows),
            LONG + "2": rng.choice(["x" * 120, "y"], rows),
            "id": [f"{i}" * 60 for i in range(rows)],
        }
    )


def check_page(folder, rng):
    real, path = table(rng), folder / ("generation" * 20 + ".csv")
    drawn = table(rng).assign(**{LONG: 5.0, LONG + "2": "never seen " + "z" * 120})
    drawn.to_csv(path, index=False)
    result = check([path], real, target=LONG + "2")
    return write_check(folder / "out", result, parse_conditions(["degrading"]))[0]


def plan_page(folder, rng):
    real = table(rng)
    found = plan(real, known_round=(real, table(rng)), regime=["mix", "accumulate"])
    return next(p for p in write_plan(found, folder / "out") if p.suffix == ".html")


def study(folder, observers=()):
    return Study(
        learner=lambda chains: GaussianLearner(chains, 1),
        real=lambda n, rng: rng.standard_normal((n, 1)),
        samples=20,
        regimes=[Mix(1.0)],
        generations=3,
        observers=[Moments([LONG])],
        seeds=2,
        progress=False,
        out=folder,
    ).run()


def run_page(folder, rng):
    return study(folder / ("run" * 40)).report(folder / "page.html")


def overview_page(folder, rng):
    study(folder / ("run" * 40))
    write_overview(folder, folder / "page.html")
    return folder / "page.html"


@pytest.mark.parametrize("page", [check_page, plan_page, run_page, overview_page])
def test_a_page_is_not_wider_than_its_window(page, browser, tmp_path, rng):
    (tmp_path / "page").mkdir()
    browser.open(page(tmp_path / "page", rng).as_uri())
    assert np.array([browser.page_width(width) for width in (1280, 390)]).tolist() == [1280, 390]
