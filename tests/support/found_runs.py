"""Run directories in the format of deep.retrain, filled with made-up numbers."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from deep.metrics.image_metrics import Measurement
from stability.loop.regimes import FullySynthetic, Mix, TrainingSet
from stability.loop.retraining import Generation
from stability.runs.atomic import atomic_write
from stability.runs.history import SCHEMA, ChainRecord, HistoryLine
from stability.runs.observer import Floor, Quantity
from stability.runs.run_directory import RunDirectory
from stability.runs.run_layout import EDITION
from stability.runs.study_file import StudyFile, write_study_file

LATENTS = 30
REFERENCES = (("train", 1437, 300, False), ("train", 1437, 100, True), ("held-out", 360, 300, True))


BOTH = (Mix(1.0), FullySynthetic())


def level(regime, t):
    """The made-up Fréchet distance without the seed's part: fully synthetic runs away, the
    others do not.
    """
    return 2.0 + (
        1.5 * t if regime == FullySynthetic() else 0.2 * getattr(regime, "lam", 0) * t / (1 + t)
    )


def measured(regime, t, wobble):
    """The metrics of a generation, against the references of `deep.metrics.image_metrics`.

    Args:
        wobble: Of the seed.
    """
    fd = level(regime, t) + wobble
    for reference, real, images, floored in REFERENCES:
        for name, value, floor in (
            ("fd-digits-encoder", fd, 0.8),
            ("kd-digits-encoder", fd / 100, 0.0),
            ("precision", 0.9 - 0.01 * fd, 0.93),
            ("recall", 0.8 - 0.03 * fd, 0.91),
        ):
            floors = (floor, 0.1) if floored else (None, None)
            yield Measurement(f"{name}_{images}", images, reference, real, value, None, *floors)


def _key(one):
    return f"{one.metric} {one.reference}"


def study_of_made_up_runs():
    """Their description in study.json."""
    quantities, floors = [], {}
    for one in measured(Mix(0.0), 0, 0.0):
        about = {
            "metric": one.metric.removesuffix(f"_{one.images}"),
            "images": one.images,
            "reference": one.reference,
            "reference_images": one.reference_images,
            "features": "FD-digits-encoder",
        }
        quantities.append(Quantity(_key(one), about=about))
        if one.floor is not None:
            floors[_key(one)] = Floor(one.floor, one.floor_error or 0.0)
    return StudyFile(quantities, floors)


def write_run(folder: Path, regimes=BOTH, seed=0, generations=4, grids=True, **options):
    """A run with so many generations of which the last has the number `retrainings`, unless
    options say otherwise.
    """
    config = {
        "model": "edm",
        "data": "digits",
        "seed": seed,
        "retrainings": generations - 1,
        "lam": [],
        EDITION: SCHEMA,
        **options,
    }
    rng = np.random.default_rng(seed)
    digits = load_digits(return_X_y=True)[0][:LATENTS].reshape(-1, 1, 8, 8) * 15  # (k, 1, 8, 8)
    wobbles = 0.1 * rng.standard_normal((len(regimes), generations))
    with RunDirectory(
        folder, config, {"python": "3.11", "packages": {"torch": "2.13"}, "threads": 1}
    ) as run:
        write_study_file(folder, study_of_made_up_runs())
        for t in range(generations):
            chains, images = [], []
            for r, regime in enumerate(regimes):
                noise = 12 * t * (regime == FullySynthetic()) * rng.standard_normal(digits.shape)
                images.append(np.clip(digits + noise, 0, 255).astype(np.uint8))
                alone = t > 0 and regime == FullySynthetic()
                values = {
                    "parameter_distance": 0.4 * t**0.5 * (1 + alone),
                    "parameters": 100_000,
                    "images_seen": 1000 * t,
                    "random_parameter_distance": 30.0 + seed,
                }
                values |= {_key(one): one.value for one in measured(regime, t, wobbles[r, t])}
                chains.append(ChainRecord(regime, 0, 1437, 0, values))
            line = HistoryLine(t, tuple(chains)).to_data()
            samples = tuple(images)
            training = tuple(TrainingSet(x, real=len(x)) for x in samples)
            run.record(
                Generation(t=t, training=training, samples=samples), line, {}, {}, seconds=1.0
            )
            if grids:
                with atomic_write(run.samples / f"grid-{t:04d}.npz") as file:
                    np.savez(file, allow_pickle=False, images=np.stack(images))
