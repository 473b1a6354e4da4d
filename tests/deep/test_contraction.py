"""python -m deep.contraction, on a tiny network."""

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest

import deep.metrics.feature_choice
from deep.contraction import (
    CoupledDDPM,
    CoupledEDM,
    CoupledOTCFM,
    Pairs,
    _causes_table,
    _drift_table,
    main,
)
from deep.metrics.label_encoder import EncoderTraining
from deep.models.ddpm import DDPM
from deep.models.edm import EDM
from deep.models.ot_cfm import OTCFM
from deep.networks.unet_edm import EDMNetwork
from deep.response.claims import (
    CLAIMS,
    LINEAR,
    PREDICTED,
    REMEMBERS,
    WIDENS_BYTES,
    Measured,
    outcomes,
)
from deep.response.prediction import CAUSES, Prediction
from deep.retrain import main as retrain
from deep.retraining.learner import ImageLearner
from deep.retraining.presets import Retrain, RetrainEDM
from deep.training.trainer import TrainConfig
from stability.loop.regimes import FullySynthetic, Mix
from stability.runs.command_line import UsageError
from stability.runs.console import make_console
from stability.statements.run_claims import read_verdicts
from stability.statements.verdict import Status
from tests.support.figures import leave_out_page
from tests.support.options_images import CFM_NETWORK, DDPM_NETWORK

NETWORK = EDMNetwork(
    resolution=8,
    channels=1,
    model_channels=8,
    channel_mult=(1,),
    num_blocks=1,
    attn_resolutions=(),
    dropout=0.1,
    augment_dim=0,
)


def short_encoder(seed):
    return EncoderTraining(seed=seed, steps=5, width=8)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(deep.metrics.feature_choice, "EncoderTraining", short_encoder)
    monkeypatch.setattr("deep.retraining.figures.draw_figures", lambda run: [])
    leave_out_page(monkeypatch)


PAIRS = Pairs(pair_rounds=1, components=2, sampler_images=6)


MODELS = {
    "edm": (CoupledEDM, NETWORK, EDM(augment=0.0, steps=3)),
    "ddpm": (CoupledDDPM, DDPM_NETWORK, DDPM(flip=False, timesteps=9, ddim_steps=3)),
    "otcfm": (
        CoupledOTCFM,
        CFM_NETWORK,
        OTCFM(flip=False, integrator="euler", euler_steps=3),
    ),
}


def config(folder, kind="edm", **changes):
    coupled, network, model = MODELS[kind]
    run = Retrain(
        lam=(1.0,),
        fully_synthetic=True,
        real=40,
        retrainings=2,
        seeds=2,
        images_per_retraining=32,
        first_images=96,
        grid=4,
        metrics=("fd",),
        sample_batch=40,
        threads=1,
        device="cpu",
        out=folder / "both",
        cache=folder / "cache",
    )

    return coupled(replace(run, **changes), network, model, TrainConfig(batch=16), PAIRS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deep.metrics.feature_choice, "EncoderTraining", short_encoder)
        patch.setattr("deep.retraining.figures.draw_figures", lambda run: [])
        main(config(folder))
    return folder


def lines(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_it_states_its_claims_and_decides_each(whole):
    stated = json.loads((whole / "both" / "claims.json").read_text())
    assert [one["words"] for one in stated] == [claim.words for claim in CLAIMS]
    decided = read_verdicts(whole / "both").verdicts
    assert {one.instance for one in decided if one.claim == PREDICTED.id} == {
        "λ = 1",
        "fully synthetic",
    }
    assert {one.claim for one in decided} <= {claim.id for claim in CLAIMS}
    assert (whole / "both" / "contraction.png").exists()


def test_the_run_is_that_of_deep_retrain(whole, tmp_path):
    both = config(whole)
    # the same encoder: trained anew, its weights may differ by rounding
    alone = replace(both.run, out=tmp_path / "alone")
    retrain(RetrainEDM(alone, both.network, both.model, both.training))
    assert lines(tmp_path / "alone") == lines(whole / "both" / "run")


def test_pairs_begin_as_the_run_does_and_differ_by_a_displacement(whole):
    recorded = lines(whole / "both" / "pairs")
    assert len(recorded) == 2
    first = [chain["measured"] for chain in recorded[0]["chains"]]
    # both rows of a seed are one model in generation 0, and its data are the real images
    assert first[:2] == first[2:]
    assert first[0] != first[1]
    assert first[0]["data true: feature 1"] == pytest.approx(0, abs=1e-6)
    assert first[0]["model true: feature 1"] != first[0]["model displaced: feature 1"]
    # without real data the second training set is the first model's draws
    second = recorded[1]["chains"][2]["measured"]
    for chain in ("true", "displaced"):
        names = f"data {chain}: feature 1", f"model {chain}: feature 1"
        assert second[names[0]] == pytest.approx(first[2][names[1]], abs=1e-9)


def test_a_finished_experiment_is_compared_again_without_training(whole, monkeypatch):
    before = (whole / "both" / "verdicts.json").read_bytes()
    monkeypatch.setattr("deep.training.trainer.Trainer.fit", None)
    main(config(whole))
    assert (whole / "both" / "verdicts.json").read_bytes() == before


@pytest.mark.parametrize("kind", ["ddpm", "otcfm"])
def test_other_models_are_predicted_and_resumed_alike(kind, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("deep.contraction.save_figure", lambda figure, name: [])
    short = {"kind": kind, "retrainings": 1, "fully_synthetic": False, "cache": whole / "cache"}
    main(config(tmp_path, **short))
    recorded = lines(tmp_path / "both" / "pairs")
    first = recorded[0]["chains"][0]["measured"]
    assert first["model true: feature 1"] != first["model displaced: feature 1"]
    assert first["data true: feature 1"] == pytest.approx(0, abs=1e-6)
    decided = read_verdicts(tmp_path / "both").verdicts
    assert PREDICTED.id in {one.claim for one in decided if one.instance == "λ = 1"}

    # broken off in the second training of the pairs, then in that of the run: four fits in all
    fit, calls = ImageLearner.fit, []

    def broken(self, *args):
        calls.append(1)
        if len(calls) in (2, 5):
            raise InterruptedError
        fit(self, *args)

    monkeypatch.setattr(ImageLearner, "fit", broken)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            main(config(tmp_path, **short, out=tmp_path / "again"))
    main(config(tmp_path, **short, out=tmp_path / "again"))
    assert len(calls) == 6
    for part in ("pairs", "run"):
        assert lines(tmp_path / "again" / part) == lines(tmp_path / "both" / part)


def constant(shares, average_kept: float | None = 0.25):
    """Numbers of five seeds of which only the shares after one retraining matter."""
    flat = np.ones((3, 5))
    zeros = np.zeros(3)
    same = Prediction(zeros, zeros + 1, {}, {}, (zeros, zeros + 1))
    noise = 0.01 * np.array([-1, 0.5, 0, 0.5, 0])  # of mean 0, and of another order in each row
    left = {
        str(row): np.stack([flat[0], share + np.roll(noise, k)])
        for k, (row, share) in enumerate(shares.items())
    }
    return Measured(
        left,
        np.ones((5, 2)),
        np.ones((5, 2)),
        np.ones(2),
        np.array([1.1, 1.2]),
        average_kept,
        dict.fromkeys(left, flat),
        dict.fromkeys(left, same),
        dict.fromkeys(left, same),
    )


@pytest.mark.parametrize(
    ("middle", "linear", "remembers"),
    [
        (0.625, Status.HOLDS, Status.HOLDS),
        (0.7, Status.VIOLATED, Status.HOLDS),
        (0.5, Status.VIOLATED, Status.VIOLATED),
    ],
)
def test_the_first_retraining_is_held_against_memory_and_data(middle, linear, remembers):
    rows = {Mix(0.0): 0.25, Mix(1.0): middle, FullySynthetic(): 1.0}
    decided = {
        (one.claim, one.instance): one.status for one in outcomes(constant(rows), list(rows))
    }
    assert decided[LINEAR.id, "λ = 1"] is linear
    assert (LINEAR.id, "λ = 0") not in decided
    assert decided[REMEMBERS.id, "λ = 1, a = 0.250"] is remembers
    assert decided[REMEMBERS.id, "λ = 0, a = 0.250"] is Status.HOLDS
    assert decided[REMEMBERS.id, "fully synthetic, a = 0.250"] is Status.HOLDS


def test_claims_without_their_rows_or_their_change_are_left_out():
    rows = {Mix(1.0): 0.6, FullySynthetic(): 1.0}
    whole = constant(rows, None)
    decided = {one.claim for one in outcomes(whole, list(rows))}
    assert not decided & {LINEAR.id, REMEMBERS.id}
    assert WIDENS_BYTES.id in decided
    # a sampler that changes nothing has no relative error
    still = replace(whole, clustered=np.full(2, 1.001))
    assert WIDENS_BYTES.id not in {one.claim for one in outcomes(still, list(rows))}


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_tables_of_a_terminal_lose_no_word(scale):
    """80 columns, and numbers as large as where little was learned."""
    curve, rows = np.full((3, 2), 0.0912), ("λ = 1", "accumulate-fresh, λ = 0.5", "fully synthetic")
    causes = {name: curve[:, 0] * scale * (-1) ** i for i, name in enumerate(CAUSES)}
    errors = {name: value * 0 + 0.0912 * scale for name, value in causes.items()}
    total = np.sum(list(causes.values()), axis=0)
    prediction = Prediction(total, scale * curve[:, 0], causes, errors, (curve[:, 0], curve[:, 0]))
    measured = Measured(
        dict.fromkeys(rows, curve),
        curve,
        curve,
        curve[0],
        curve[0],
        None,
        dict.fromkeys(rows, curve),
        dict.fromkeys(rows, prediction),
        dict.fromkeys(rows, prediction),
    )

    for table, heads in (
        (_drift_table(measured), ("share left", "measured", "by pairs", "by own errors")),
        (_causes_table(measured), CAUSES),
    ):
        shown = StringIO()
        make_console(width=80, file=shown).print(table)
        assert "…" not in shown.getvalue()
        assert all(word in shown.getvalue() for head in heads for word in head.split())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep_samples": "2"}, "--keep-samples must be all"),
        ({"regime": "fresh", "fully_synthetic": False}, "--regime must not draw new real images"),
    ],
)
def test_what_has_no_prediction_is_refused(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        main(config(tmp_path, **changes))
    assert not (tmp_path / "both").exists()
