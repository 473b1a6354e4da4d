"""The report of whatever runs there are: what belongs together, what is drawn, and a page that
needs nothing else.
"""

import base64
import json
import math
import os
import re
import shutil
from contextlib import redirect_stdout
from io import BytesIO, StringIO

import numpy as np
import pytest
from PIL import Image

from deep.report import Report, main
from deep.reports.figures import (
    effect_of_lambda,
    grid_generations,
    metrics_over_generations,
    most_changed,
    parameter_distances,
    sample_grids,
    shown_series,
    tiled,
)
from deep.reports.found_runs import FoundRunError, Series, find_settings
from stability.loop.regimes import Accumulate, FullySynthetic, Mix
from stability.runs.command_line import UsageError
from stability.runs.output_folder import MARK
from tests.support.found_runs import write_run

FD = Series("fd-digits-encoder", 300, "held-out", 360)


def recorded(folder, r, metric="fd-digits-encoder_300", reference="held-out"):
    """The history's numbers of a chain, one a generation."""
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [line["chains"][r]["measured"][f"{metric} {reference}"] for line in lines]


# What belongs together


def test_seeds_are_repeats_and_regimes_rows_wherever_their_folders_are(tmp_path):
    write_run(tmp_path / "both", seed=3)
    write_run(tmp_path / "deep" / "down" / "mixed", regimes=(Mix(1.0),), seed=5, lam=[1.0])
    for lam in (10.0, 0.5):
        write_run(tmp_path / f"{lam}", regimes=(Mix(lam),), seed=3, lam=[lam])
    write_run(tmp_path / "accumulated", regimes=(Accumulate(0.1),), seed=3, regime="accumulate")
    (setting,) = find_settings(tmp_path)
    assert list(setting.rows) == [
        "λ = 0.5",
        "λ = 1",
        "λ = 10",
        "accumulate, λ = 0.1",
        "fully synthetic",
    ]
    assert [chain.run.folder.name for chain in setting.rows["λ = 1"]] == ["both", "mixed"]
    expected = [recorded(tmp_path / "both", 0), recorded(tmp_path / "deep" / "down" / "mixed", 0)]
    assert setting.values("λ = 1", FD).T.tolist() == expected
    assert setting.values("fully synthetic", FD).T.tolist() == [recorded(tmp_path / "both", 1)]


def test_runs_that_differ_in_more_are_shown_apart(tmp_path):
    write_run(tmp_path / "0")
    write_run(tmp_path / "1", batch=64)
    write_run(tmp_path / "2", model="ddpm")
    write_run(tmp_path / "3", data="there/cifar-10-python.tar.gz")
    names = [setting.name for setting in find_settings(tmp_path)]
    assert names == ["edm-digits", "edm-digits-2", "ddpm-digits", "edm-cifar-10-python"]


def test_a_run_that_is_not_finished_counts_as_far_as_it_is(tmp_path):
    write_run(tmp_path / "whole", seed=0, generations=5)
    write_run(tmp_path / "half", seed=1, generations=3, retrainings=4)
    write_run(tmp_path / "none", seed=2, generations=1)
    # cut by a kill
    (tmp_path / "none" / "history.jsonl").write_bytes(b'{"t": 0, "chains": [{"regi')
    (setting,) = find_settings(tmp_path)
    assert [run.folder.name for run in setting.runs] == ["half", "whole"]
    assert setting.values("λ = 1", FD).shape == (3, 2)


def test_other_runs_are_none_of_ours(tmp_path):
    write_run(tmp_path / "ours")
    for name, config in {
        "toy.run": {"model": "edm", "density": "moons", "seed": 0, "retrainings": 3},
        "deep.train": {"model": "edm", "data": "digits", "seed": 0},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"config": config}))
        (tmp_path / name / "history.jsonl").write_text('{"images_seen": 128, "loss": 1.0}\n')
    (setting,) = find_settings(tmp_path)
    assert [run.folder.name for run in setting.runs] == ["ours"]


# What cannot be used


def spoil_json(folder):
    lines = (folder / "history.jsonl").read_text().splitlines()
    (folder / "history.jsonl").write_text("\n".join([lines[0], lines[1][:40], *lines[2:], ""]))


def spoil_order(folder):
    lines = (folder / "history.jsonl").read_text().splitlines()
    (folder / "history.jsonl").write_text("\n".join([lines[0], *lines[2:], ""]))


def spoil_measurement(folder):
    text = (folder / "study.json").read_text()
    (folder / "study.json").write_text(text.replace('"reference_images"', '"images_of_reference"'))


def spoil_number(folder):
    text = (folder / "history.jsonl").read_text()
    (folder / "history.jsonl").write_text(
        re.sub('"parameter_distance": [^,]*', '"parameter_distance": "far"', text)
    )


def spoil_config(folder):
    (folder / "config.json").write_text("{")


def spoil_grid(folder):
    path = folder / "samples" / "grid-0002.npz"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_shape(folder):
    with (folder / "samples" / "grid-0000.npz").open("wb") as file:
        np.savez(file, images=np.zeros((3, 30, 1, 8, 8), np.uint8))


def repeat(folder):
    shutil.copytree(folder, folder.with_name("copy"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_json, "history.jsonl, line 2 is not JSON"),
        (spoil_order, "history.jsonl, line 2 is not generation 1 of a run"),
        (spoil_measurement, "study.json is damaged"),
        (spoil_number, "history.jsonl, line 1 is not generation 0"),
        (spoil_config, "config.json is not JSON"),
        (spoil_grid, "grid-0002.npz is damaged"),
        (
            spoil_shape,
            "grid-0000.npz holds uint8 of shape (3, 30, 1, 8, 8), not (chains, k, c, h, w)",
        ),
        (repeat, "are the same run, λ = 1 with seed 0: it would count twice"),
        (shutil.rmtree, "holds no run of deep.retrain with a finished generation"),
    ],
)
def test_bad_runs_are_one_line(tmp_path, spoil, message):
    write_run(tmp_path / "run")
    spoil(tmp_path / "run")
    with pytest.raises(UsageError) as error:
        main(Report(tmp_path, out=tmp_path / "out"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "report.html").exists()


def set_config(**changes):
    def spoil(folder):
        content = json.loads((folder / "config.json").read_text())
        content["config"] |= changes
        (folder / "config.json").write_text(json.dumps(content))

    return spoil


def own(name):
    """A regime of a user's own."""
    return {"own": {"name": name, "kind": "Own", "lam": None}}


def set_line(at, **changes):
    """In one line of history, at the top, in its first chain or in what was measured of it."""

    def spoil(folder):
        lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        first = lines[at]["chains"][0]
        for name, value in changes.items():
            places = (lines[at], first, first["measured"])
            next(place for place in places if name in place)[name] = value
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return spoil


def nested(folder):
    (folder / "history.jsonl").write_text('{"t": ' + "[" * 10**5 + "\n")


def huge(folder):
    os.truncate(folder / "history.jsonl", 2**37)


def pipe(folder):
    (folder / "history.jsonl").unlink()
    os.mkfifo(folder / "history.jsonl")


def loop(folder):
    (folder / "history.jsonl").unlink()
    (folder / "history.jsonl").symlink_to("history.jsonl")


def packed_grid(folder):
    with (folder / "samples" / "grid-0001.npz").open("wb") as file:
        np.savez_compressed(file, images=np.zeros(3 * 10**8, np.uint8))


HOSTILE = {
    "seed": set_config(seed=[0]),
    "retrainings": set_config(retrainings="3"),
    "data": set_config(data=7),
    "model": set_config(model=None),
    "nested": nested,
    "huge": huge,
    "pipe": pipe,
    "loop": loop,
    "bomb": packed_grid,
    "t": set_line(1, t=[1]),
    "no chains": set_line(0, chains=[]),
    "one chain more": set_line(2, chains=[{}]),
    "another regime": set_line(2, regime={"fully-synthetic": {}}),
    "a control character": set_line(0, regime=own("\x1b[2J")),
    "mathematics": set_line(0, regime=own("$\\frac{1$")),
    "a long name": set_line(0, regime=own("x" * 10**5)),
    "a huge number": set_line(1, parameter_distance=1e300),
    "a huge integer": set_line(1, parameter_distance=10**400),
    "infinity": set_line(1, random_parameter_distance=float("inf")),
    "no parameters": set_line(1, parameters=0),
    "a boolean": set_line(1, parameters=True),
    "no measurement": set_line(1, measured={}),
    "measured of nothing": set_line(1, measured=[None]),
    "a line of another edition": set_line(1, schema=2),
    "infinity in words": set_line(1, parameter_distance="inf"),
}


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE)
def test_hostile_runs_are_one_line(tmp_path, spoil):
    write_run(tmp_path / "run")
    spoil(tmp_path / "run")
    with pytest.raises(UsageError) as error:
        main(Report(tmp_path, out=tmp_path / "out"))
    message = str(error.value)
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 1000
    assert not (tmp_path / "out").exists()


def test_one_bad_run_of_many_is_left_out_with_a_warning(tmp_path):
    write_run(tmp_path / "good")
    write_run(tmp_path / "bad", seed=1)
    nested(tmp_path / "bad")
    with pytest.warns(
        UserWarning, match=r"bad/history\.jsonl, line 1 holds JSON .* deeply; that run is left out"
    ):
        (setting,) = find_settings(tmp_path)
    assert [run.folder.name for run in setting.runs] == ["good"]


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/b\0c", "x" * 10**4, "[bold]"])
def test_no_name_in_a_run_leads_out_of_the_folder(tmp_path, name):
    write_run(tmp_path / "run", model=name, data=name)
    (setting,) = find_settings(tmp_path)
    assert re.fullmatch(r"[\w-]{1,81}", setting.name)


def test_no_folder(tmp_path):
    with pytest.raises(FoundRunError, match="nowhere: no such folder"):
        find_settings(tmp_path / "nowhere")


# What is drawn


@pytest.fixture
def setting(tmp_path):
    """Two regimes, two seeds."""
    for seed in (0, 1):
        write_run(tmp_path / f"{seed}", seed=seed)
    (found,) = find_settings(tmp_path)
    return found


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines}


def x(line):
    return np.asarray(line.get_xdata())


def y(line):
    return np.asarray(line.get_ydata())


def test_of_each_reference_the_one_with_a_floor_is_shown(setting):
    shown = shown_series(setting)
    assert list(shown) == ["fd-digits-encoder", "precision", "recall"]
    for several in shown.values():
        assert [(one.reference, one.images) for one in several] == [
            ("train", 100),
            ("held-out", 300),
        ]


def test_curves_are_means_over_the_seeds_with_bands_and_floor(setting, tmp_path):
    figure = metrics_over_generations(setting)
    assert len(figure.axes) == 6
    axes = next(
        axes
        for axes in figure.axes
        if axes.get_ylabel() == "FD-digits-encoder\n300 images, held-out (360)"
    )
    both = np.array([recorded(tmp_path / seed, 1) for seed in "01"])
    assert y(lines_of(axes)["fully synthetic"]) == pytest.approx(both.mean(axis=0))
    assert y(lines_of(axes)["noise floor"]) == pytest.approx([0.8, 0.8])
    edges = np.concatenate(
        [path.vertices for band in axes.collections for path in band.get_paths()]
    )
    spread = np.abs(both[0] - both[1]) / 2**0.5  # of two values
    for t, (centre, sd) in enumerate(zip(both.mean(axis=0), spread, strict=True)):
        at_t = edges[edges[:, 0] == t, 1]
        assert np.abs(at_t - (centre + sd)).min() < 1e-9
        assert np.abs(at_t - (centre - sd)).min() < 1e-9


def test_parameter_distances_are_per_parameter_beside_a_random_network(setting):
    lines = lines_of(parameter_distances(setting).axes[0])
    assert x(lines["λ = 1"]).tolist() == [1, 2, 3]
    assert y(lines["λ = 1"]) == pytest.approx(0.4e-5 * np.sqrt([1, 2, 3]))
    assert y(lines["fully synthetic"]) == pytest.approx(0.8e-5 * np.sqrt([1, 2, 3]))
    assert y(lines["random initialisation"]) == pytest.approx([30.5e-5, 30.5e-5])


def test_effect_of_lambda_is_that_of_the_last_generation(setting, tmp_path):
    axes = effect_of_lambda(setting).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "∞"]
    assert axes.get_title() == "t = 3"
    means = [float(y(line)[0]) for line in axes.lines if line.get_marker() in ("o", "^")]
    of = "fd-digits-encoder_100", "train"
    assert means == pytest.approx(
        [np.mean([recorded(tmp_path / s, r, *of)[3] for s in "01"]) for r in (0, 1)]
    )


def test_one_seed_has_no_band_and_thirteen_lambdas_have_different_colours(tmp_path):
    lams = (0.0, 0.001, 0.01, *(i / 10 for i in range(1, 11)))
    write_run(tmp_path, regimes=(*map(Mix, lams), FullySynthetic()))
    (setting,) = find_settings(tmp_path)
    axes = metrics_over_generations(setting).axes[0]
    assert not axes.collections
    curves = [line for name, line in lines_of(axes).items() if name != "noise floor"]
    assert len({str(line.get_color()) for line in curves}) == 14
    assert curves[-1].get_linestyle() == "--"


@pytest.mark.parametrize("c", [1, 3])
def test_images_are_tiled_row_by_row(c, rng):
    images = rng.integers(0, 256, (5, c, 4, 6), dtype=np.uint8)
    square = tiled(images, side=2)
    assert square.shape == ((9, 13) if c == 1 else (9, 13, 3))
    for i, (top, left) in enumerate([(0, 0), (0, 7), (5, 0), (5, 7)]):
        found = square[top : top + 4, left : left + 6].reshape(4, 6, c).transpose(2, 0, 1)
        assert (found == images[i]).all()
    assert (square[4] == 128).all()
    assert (square[:, 6] == 128).all()
    assert (tiled(images, side=4) == square).all()  # five do not fill more than a square of four


def test_sample_grids_are_of_the_first_seed(setting, tmp_path):
    figure = sample_grids(setting)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes[:4]] == ["t = 0", "t = 1", "t = 2", "t = 3"]
    grids = {}
    for t in (0, 2, 3):
        with np.load(tmp_path / "0" / "samples" / f"grid-{t:04}.npz") as file:
            grids[t] = file["images"].astype(int)
    change = ((grids[3] - grids[0]) ** 2).sum(axis=(2, 3, 4)).max(axis=0)
    side = min(4, math.isqrt(len(change)))
    first = sorted(range(len(change)), key=lambda i: -change[i])[: side * side]
    expected = tiled(grids[2][1][first].astype(np.uint8), 4)
    assert (figure.axes[6].images[0].get_array() == expected).all()


def test_images_that_changed_most_are_shown():
    """In one row a single image changes, in the other one none: it stands first."""
    still = np.zeros((10, 1, 2, 2), np.uint8)
    moved = still.copy()
    moved[7] = 200
    assert most_changed([(still, still), (still, moved)], side=4).tolist() == [7, *range(7), 8]


def test_without_stored_grids_there_are_no_samples(tmp_path):
    write_run(tmp_path, grids=False)
    (setting,) = find_settings(tmp_path)
    assert sample_grids(setting) is None
    assert grid_generations(setting) == []


# The page


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of three seeds of which one is not finished, and what the command printed."""
    folder, said = tmp_path_factory.mktemp("runs"), StringIO()
    for seed in range(3):
        write_run(folder / f"{seed}", seed=seed, comment="<script>alert('λ & more')</script>")
    config = (folder / "2" / "config.json").read_text()
    (folder / "2" / "config.json").write_text(
        config.replace('"retrainings": 3', '"retrainings": 9')
    )
    with redirect_stdout(said):
        main(Report(folder))
    return folder / "report" / "report.html", said.getvalue()


@pytest.fixture
def page(report):
    return report[0]


def sources(text):
    return re.findall(r'(?:src|href|srcset|action|data|poster)="([^"]*)"', text)


def test_page_and_figures_are_written_and_listed(report):
    page, said = report
    written = {
        f"edm-digits-{name}.{kind}"
        for name in ("metrics", "lambda", "parameters", "samples")
        for kind in ("png", "pdf")
    } | {"report.html"}
    assert {path.name for path in page.parent.iterdir()} == written | {MARK}
    assert all(str(page.parent / name) in said for name in written)
    assert "edm-digits, t = 3, against held-out (360)" in said
    for name in written - {"report.html"}:
        assert (
            (page.parent / name)
            .read_bytes()
            .startswith(b"\x89PNG" if name.endswith("png") else b"%PDF")
        )


def test_page_needs_nothing_else(page):
    text = page.read_text(encoding="utf-8")
    found = sources(text)
    assert len(found) == 2 * 4 + 4  # samples of two regimes in four generations, and figures
    assert all(source.startswith("data:image/") for source in found)
    assert not re.search(
        r"@import|url\(|fetch\(|XMLHttpRequest|https?://|//[\w.]+/",
        re.sub(r'src="[^"]*"', "", text),
    )
    for source in found:
        kind, content = source.removeprefix("data:").split(";base64,")
        if kind == "image/svg+xml":
            svg = base64.b64decode(content).decode()
            outside = [link for link in sources(svg) if not link.startswith(("#", "data:"))]
            assert not outside
            assert "<script" not in svg


def test_page_shows_numbers_samples_and_configuration_and_runs_nothing_from_files(page):
    text = page.read_text(encoding="utf-8")
    folder = page.parents[1]
    values = np.array([recorded(folder / str(seed), 1)[3] for seed in range(3)])
    assert f"{values.mean():.4g} ± {values.std(ddof=1):.2g}" in text
    assert "&lt;script&gt;alert" in text
    assert text.count("<script") == 1
    assert "<th>torch</th><td>2.13</td>" in text
    assert "1 of 3 runs are not finished." in text
    assert "<td>3 of 9</td>" in text
    source = re.search(
        r'src="data:image/png;base64,([^"]*)" data-t="2" alt="samples of fully synthetic, t = 2"',
        text,
    )
    assert source
    shown = np.asarray(Image.open(BytesIO(base64.b64decode(source[1]))))
    with np.load(folder / "0" / "samples" / "grid-0002.npz") as file:
        assert (shown == tiled(file["images"][1], 5)).all()


SHOWN = (
    "[...document.images].filter(i => i.dataset.t && i.checkVisibility() && "
    "i.naturalWidth).map(i => i.alt)"
)


def test_the_slider_goes_through_the_generations(page, browser):
    def at(t):
        return [f"samples of {regime}, t = {t}" for regime in ("λ = 1", "fully synthetic")]

    browser.open(page.as_uri())
    assert browser.value(SHOWN) == at(3)
    browser.value("document.querySelector('input[type=range]').focus()")
    browser.press("ArrowLeft", 37)
    assert browser.value(SHOWN) == at(2)
    assert browser.value("document.querySelector('output').value") == "t = 2"
    browser.press("Home", 36)
    assert browser.value(SHOWN) == at(0)
    browser.value("location.hash = '#t=1'")
    while browser.value(SHOWN) != at(1):  # the event comes after the assignment
        pass
    assert browser.value("document.querySelector('input[type=range]').value") == "1"
    assert browser.value("[...document.images].every(i => i.hidden || i.naturalWidth > 0)") is True
    assert (
        browser.value(
            "performance.getEntriesByType('resource').filter(r => !/^data:/.test(r.name)).length"
        )
        == 0
    )


def test_an_address_can_name_the_generation(page, browser):
    browser.open(f"{page.as_uri()}#t=1")
    assert {alt.split("t = ")[1] for alt in browser.value(SHOWN)} == {"1"}
