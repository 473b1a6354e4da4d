"""Run directories in the format of deep.retrain, filled with made-up numbers."""

import dataclasses
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from deep.metrics.image_metrics import Measurement
from stability.loop.regimes import FullySynthetic, Mix, TrainingSet
from stability.loop.retraining import Generation
from stability.runs.atomic import atomic_write
from stability.runs.run_directory import RunDirectory

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
    """Of a generation, against the references of `deep.metrics.image_metrics`;

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
        **options,
    }
    rng = np.random.default_rng(seed)
    digits = load_digits(return_X_y=True)[0][:LATENTS].reshape(-1, 1, 8, 8) * 15  # (k, 1, 8, 8)
    wobbles = 0.1 * rng.standard_normal((len(regimes), generations))
    with RunDirectory(
        folder, config, {"python": "3.11", "packages": {"torch": "2.13"}, "threads": 1}
    ) as run:
        for t in range(generations):
            chains, images = [], []
            for r, regime in enumerate(regimes):
                noise = 12 * t * (regime == FullySynthetic()) * rng.standard_normal(digits.shape)
                images.append(np.clip(digits + noise, 0, 255).astype(np.uint8))
                lam = getattr(regime, "lam", None) if t else 0.0
                chains.append(
                    {
                        "regime": str(regime),
                        "replica": 0,
                        "n": 1437,
                        "m": 0,
                        "lambda": lam,
                        "share": 0.0,
                        "parameter_distance": 0.4 * t**0.5 * (1 + (lam is None)),
                        "parameters": 100_000,
                        "images_seen": 1000 * t,
                        "measurements": [
                            dataclasses.asdict(one) for one in measured(regime, t, wobbles[r, t])
                        ],
                    }
                )
            line = {
                "features": "FD-digits-encoder",
                "chains": chains,
                "random_parameter_distance": 30.0 + seed,
            }
            samples = tuple(images)
            training = tuple(TrainingSet(x, real=len(x)) for x in samples)
            run.record(
                Generation(t=t, training=training, samples=samples), line, {}, {}, seconds=1.0
            )
            if grids:
                with atomic_write(run.samples / f"grid-{t:04d}.npz") as file:
                    np.savez(file, allow_pickle=False, images=np.stack(images))
