import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student_t

from stability.loop.contraction import rate
from tests.support.figures import leave_out_page
from tests.support.learners_2d import SETTINGS
from toy.contraction import Coupled, configuration, displacement, main
from toy.densities.shapes import two_moons
from toy.learners.settings import KDEConfig, MixtureConfig

TINY = Coupled(lam=(0.5,), displacements=("shift",), retrainings=2, samples=40, seeds=2, threads=1)


def history(out, options=TINY, model="kde", density="moons", settings=None):
    config: Any = configuration(model)
    main(config(replace(options, out=out), density=density, settings=settings or SETTINGS[model]))
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


def values(lines, key, regime):
    return np.array(
        [[p["measured"][key] for p in line["chains"] if p["regime"] == regime] for line in lines]
    )


@pytest.fixture
def no_figure(monkeypatch):
    monkeypatch.setattr("toy.contraction.save_figure", lambda figure, path: [])
    leave_out_page(monkeypatch)


def test_a_gaussian_contracts_by_lambda_over_one_plus_lambda(tmp_path, no_figure):
    """A mixture of one component.

    Samples of both chains have the same z, so means differ by λ/(1+λ) and z̄ times √Σ.
    """
    options = replace(TINY, lam=(0.2, 0.5, 1.0, 2.0), samples=400)
    lines = history(tmp_path / "run", options, "mixture", "normal", MixtureConfig(components=1))
    for lam in options.lam:
        shares = values(lines, "share", {"mix": {"lam": lam}})
        # the displacement widens nothing, so only the samples' own variance of x̄, of order
        # 1/√(λn), could tell
        np.testing.assert_allclose(
            shares, np.outer((lam / (1 + lam)) ** np.arange(3), [1, 1]), atol=0.02
        )
    np.testing.assert_allclose(values(lines, "share", {"fully-synthetic": {}}), 1, atol=1e-3)


def test_a_kernel_estimate_without_real_data_keeps_every_affine_displacement(tmp_path, no_figure):
    """Scott's rule is equivariant under affine maps, so are its samples, and so is each refit:
    exactly 1.
    """
    lines = history(tmp_path / "run", replace(TINY, displacements=("shift", "stretch")))
    # float32 samples
    np.testing.assert_allclose(values(lines, "share", {"fully-synthetic": {}}), 1, atol=1e-3)
    assert (values(lines, "share", {"mix": {"lam": 0.5}})[1:] < 0.7).all()


@pytest.mark.parametrize("model", ["ot-cfm", "ddpm", "flow"])
def test_it_runs_for_networks_and_goes_on_after_a_stop(model, tmp_path, capsys, monkeypatch):
    leave_out_page(monkeypatch)
    whole = history(tmp_path / "whole", model=model)
    assert [len(line["chains"]) for line in whole] == [4, 4, 4]
    assert {"shift", "λ/(1+λ)"} <= set(capsys.readouterr().out.split())
    assert (tmp_path / "whole" / "figures" / "contraction.png").exists()
    path = tmp_path / "whole" / "history.jsonl"
    # as if killed before it was written
    (tmp_path / "whole" / "checkpoints" / "generation-0002.pt").unlink()
    before = path.read_bytes()
    assert history(tmp_path / "whole", model=model) == whole
    assert path.read_bytes() == before


def test_it_answers_with_the_row_that_is_farthest_from_the_line(tmp_path, no_figure, capsys):
    lines = history(tmp_path / "run", replace(TINY, lam=(0.5, 2.0), seeds=3))
    said = " ".join(capsys.readouterr().out.split())
    found = {}
    limits = {"λ = 0.5": 0.5 / 1.5, "λ = 2": 2 / 3, "fully synthetic": 1.0}
    data = [{"mix": {"lam": 0.5}}, {"mix": {"lam": 2.0}}, {"fully-synthetic": {}}]
    for regime, (name, limit) in zip(data, limits.items(), strict=True):
        measured = rate(values(lines, "share", regime))
        errors = abs(measured.value - limit) / max(measured.error, 1e-12)
        half = student_t.ppf(1 - 0.05 / 3 / 2, 2) * measured.error  # of three rows together
        ends = f"[{measured.value - half:.3f}, {measured.value + half:.3f}]"
        found[errors] = f"{name}, shift: {measured.value:.3f} {ends} beside {limit:.3f}"
    assert found[max(found)] in said
    assert "(95 % for all 3 rows, 3 seeds)" in said


def test_one_seed_is_told_what_it_takes(tmp_path, no_figure, capsys):
    history(tmp_path / "run", replace(TINY, seeds=1))
    assert "One seed has no standard error" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["shift", "stretch", "wave"])
def test_displacements_have_the_length_they_are_asked_for(kind, rng):
    x = two_moons(20_000, rng)
    moved = displacement(kind, 0.3, two_moons, seed=int(rng.integers(2**32)))
    length = np.sqrt(np.square(moved.move(x) - x).sum(axis=1).mean())
    # two samples of 20,000 and 10,000 points, whose second moments vary by less than 1.5 % together
    assert length == pytest.approx(0.3 * np.sqrt(x.astype(float).var(axis=0).mean()), rel=0.1)
    assert moved.move(x).dtype == x.dtype
    assert moved.feature(moved.move(x)).mean() > moved.feature(x).mean()


CHANGES: list[dict[str, Any]] = [
    {"lam": (1.0,)},
    {"displacements": ("wave",)},
    {"size": 0.1},
    {"retrainings": 1},
    {"samples": 41},
    {"seeds": 1},
    {"seed": 1},
    {"from_scratch": True},
    {"latents": "shared"},
]


def test_every_option_changes_the_result(tmp_path, no_figure):
    options = [TINY, *(replace(TINY, **change) for change in CHANGES)]
    results = [
        json.dumps(history(tmp_path / str(i), each, "vae")) for i, each in enumerate(options)
    ]
    assert len(set(results)) == len(results)


def test_a_model_that_does_not_take_up_a_displacement_says_so(tmp_path, no_figure, capsys):
    history(
        tmp_path / "run",
        replace(TINY, displacements=("wave",)),
        "mixture",
        "normal",
        MixtureConfig(components=1),
    )
    assert "not learned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": (-1.0,)}, "lam must be finite and >= 0, got -1"),
        ({"lam": (1.0, 1.0)}, "lam must not repeat a value, got 1 1"),
        ({"lam": ()}, "lam must have values"),
        ({"regime": "accumulate"}, "regime must be mix"),
        ({"fully_synthetic": True}, "regime must be mix, without fully_synthetic"),
        (
            {"displacements": ("shift", "shift")},
            "displacements must have values, none of them twice",
        ),
        ({"size": 0.0}, r"size must be in \[0.001, 100\], got 0"),
        ({"size": float("nan")}, r"size must be in \[0.001, 100\], got nan"),
        ({"retrainings": 0}, "retrainings must be >= 1, got 0"),
        ({"samples": 1}, "samples must be >= 2, got 1"),
        ({"seeds": 0}, "seeds must be >= 1"),
        ({"threads": -1}, "threads must be >= 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **options)


def test_kernel_settings_are_the_model_s(tmp_path, no_figure):
    assert history(tmp_path / "one") != history(tmp_path / "two", settings=KDEConfig(bandwidth=0.5))
