"""A run of a tenth of a second, with all that a run writes:

    python -m tests.support.small_run --out FOLDER

Two chains of a Gaussian, three generations, and a figure of them in all its formats.
"""

import sys
from pathlib import Path

import numpy as np

from stability import FullySynthetic, GaussianLearner, Mix, retrain
from stability.runs.figure_style import Figure, save_figure
from stability.runs.run_directory import RunDirectory

CONFIG = {"lam": [0.5], "seed": 0}


def finish(path: Path) -> None:
    """Run, or finish, it in the folder `path`."""
    real = [np.random.default_rng(r).standard_normal((10, 2)) for r in range(2)]
    learner = GaussianLearner(2, 2)
    with RunDirectory(path, CONFIG) as run:
        found = run.latest()
        if found:
            learner.load_state_dict(found.learner)
        after = found.generation if found else None
        for generation in retrain(
            learner, real, [Mix(0.5), FullySynthetic()], 2, seed=1, draws=10, after=after
        ):
            run.record(
                generation, {"mean": learner.mean.tolist()}, learner.state_dict(), {}, seconds=0.0
            )

        figure = Figure(figsize=(1, 1))
        figure.subplots().plot([line["mean"][0][0] for line in run.history()])
        figure.axes[0].plot(run.load_samples(1)[0])
        save_figure(figure, run.figures / "loss")


if __name__ == "__main__":
    finish(Path(sys.argv[sys.argv.index("--out") + 1]))
