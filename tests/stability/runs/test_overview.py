"""One page over all runs of a folder."""

import json
import re

import numpy as np
import pytest

from stability.gaussian.learner import GaussianLearner
from stability.loop.regimes import FullySynthetic, Mix
from stability.observers.moments import Moments
from stability.runs.command_line import UsageError
from stability.runs.overview import OpenRuns, find_runs, main, write_overview
from stability.runs.study import Study


def normal(n, rng):
    return rng.standard_normal((n, 1))


def run(out, **changes):
    fields = {
        "learner": lambda chains: GaussianLearner(chains, 1),
        "real": normal,
        "samples": 20,
        "regimes": [Mix(1.0), FullySynthetic()],
        "generations": 3,
        "observers": [Moments()],
        "progress": False,
    }
    return Study(**(fields | {"out": out} | changes)).run()


def entries(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])["entries"]


def test_runs_of_any_depth_are_entries_and_seeds_of_a_sweep_are_one(tmp_path):
    result = run(tmp_path / "study", seeds=2)
    sweep = [run(tmp_path / "sweep" / "a" / f"seed-{seed}", seed=seed) for seed in (4, 5, 6)]
    problems, count = write_overview(tmp_path, tmp_path / "page.html")
    assert (problems, count) == ([], 4)

    one, two = entries(tmp_path / "page.html")
    assert (one["name"], one["runs"], one["state"]) == ("study", 1, "finished")
    assert (two["name"], two["runs"]) == ("sweep/a", 3)
    assert [row["seeds"] for row in two["rows"]] == [3, 3]
    values = np.stack([r.history.values("mean_shift")["λ = 1"][:, 0] for r in sweep], axis=1)
    curve = two["rows"][0]["of"]["mean_shift"]
    np.testing.assert_allclose(curve["mean"], values.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(curve["sd"], values.std(axis=1, ddof=1), rtol=1e-5)
    floor = result.floor("mean_shift")
    assert one["quantities"]["mean_shift"]["floor"] == pytest.approx([floor.mean, floor.sd], 1e-5)


def test_the_page_reaches_nothing_and_no_name_ends_its_script(tmp_path):
    run(tmp_path / "a<script>b&'c")
    page = tmp_path / "page.html"
    write_overview(tmp_path, page)
    text = page.read_text(encoding="utf-8")
    assert entries(page)[0]["name"] == "a<script>b&'c"
    assert text.count("</script>") == 2
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)\s*=\s*[\"']?(http|//)", text)


def test_damaged_runs_are_left_out_with_a_line(tmp_path, capsys):
    run(tmp_path / "good")
    run(tmp_path / "bad")
    (tmp_path / "bad" / "history.jsonl").write_text("{}\n")
    main(OpenRuns(tmp_path, browser=False))
    said = capsys.readouterr()
    assert "1 runs" in said.out
    assert re.fullmatch(r"warning: left out: .*bad.*history.jsonl, line 1.*\n", said.err)
    assert [entry["name"] for entry in entries(tmp_path / "overview.html")] == ["good"]


def test_where_there_are_no_runs_it_says_so(tmp_path):
    with pytest.raises(UsageError, match="holds no run with a finished generation"):
        write_overview(tmp_path, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="there is no such folder"):
        find_runs(tmp_path / "nothing")


def test_the_axis_and_the_slider_end_with_the_curves_that_are_shown(browser, tmp_path):
    run(tmp_path / "long", generations=6)
    run(tmp_path / "short", generations=2)
    write_overview(tmp_path, tmp_path / "page.html")
    browser.open((tmp_path / "page.html").as_uri())

    def ends():
        ticks = (
            "[...document.querySelectorAll('#plot text[text-anchor=middle]')].at(-2).textContent"
        )
        return browser.value("document.getElementById('t').max"), browser.value(ticks)

    assert ends() == ("6", "6")
    for box in (0, 1):  # the two curves of the long run
        browser.value(f"document.querySelectorAll('input[type=checkbox]')[{box}].click()")
    assert ends() == ("2", "2")
