"""Predict what retraining does to an image model, and retrain it: python -m deep.contraction edm

Coupled pairs of chains, retrained a few times, give the response of the model to its data, the bias
of one retraining, the sampler's part of it, and the noise. Drift curves of every row follow from
these (`deep.response.prediction`), and are drawn with those of a run of `deep.retrain`.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from deep.formats.checkpoint_record import label_dim_of
from deep.response.claims import CLAIMS, Measured, outcomes, share_left
from deep.response.clusters import exact_network, fit_clusters
from deep.response.functionals import ImageFunctionals, feature_functionals, pixel_axes
from deep.response.memory import kept_average
from deep.response.pairs import CHAINS, Kind, PairBuilder, PairRecorder, displacement
from deep.response.prediction import CAUSES, PairMeans, drift, predict
from deep.response.samplers import fine_model, linear_sampler
from deep.retrain import PresetChoice, image_study, presets
from deep.retraining.observer import ImageStudy
from deep.retraining.presets import (
    Config,
    RetrainDDPM,
    RetrainEDM,
    RetrainOTCFM,
)
from deep.training.first_process import patient_accelerator
from deep.training.sampling import StreamNoise
from stability.loop.contraction import coupled
from stability.loop.streams import Purpose, stream
from stability.planning.labels import RegimeError, propagate
from stability.runs.atomic import atomic_write
from stability.runs.command_line import UsageError, command
from stability.runs.console import make_console, print_paths
from stability.runs.devices import chosen_device
from stability.runs.figure_style import figure_style, save_figure
from stability.runs.loop_options import recorded_options
from stability.runs.open_run import run_folder
from stability.runs.option_error import OptionError
from stability.runs.output_folder import claim_output_folder
from stability.runs.ranges import MOST_ROUNDS, require_range
from stability.runs.result import Result
from stability.runs.study import Study
from stability.runs.tables import plain_table
from stability.runs.trends import Interval, student_interval
from stability.statements.run_claims import write_verdicts
from stability.statements.verdict import Verdict

__all__ = ["CoupledDDPM", "CoupledEDM", "CoupledOTCFM", "Pairs", "commands", "main"]

MOST_COMPONENTS = 100


@dataclass(frozen=True)
class Pairs:
    """Options of the coupled pairs, from which the run is predicted."""

    pair_rounds: int = 2
    """Retrainings of the pairs: what the prediction knows of the run."""
    displacement: Kind = "fade"
    """Displacement of the real images of the second chain: darker, moved to the right, or mixed
    with their mirror images."""
    size: float = 0.4
    """Size of the displacement: a fraction of the brightness, or of the width, from 0 to 1."""
    components: int = 8
    """Principal components of the features, and of the pixels, that are followed."""
    sampler_images: int = 400
    """Images of generation 0 that are drawn by the sampler in use and by a fine one."""

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise OptionError(f"--size must be in (0, 1], got {self.size:g}")
        require_range(
            self,
            pair_rounds=(1, MOST_ROUNDS),
            components=(1, MOST_COMPONENTS),
            sampler_images=(2, 1_000_000),
        )


_FLAT: Any = tyro.conf.arg(name="")


@dataclass(frozen=True)
class CoupledEDM(RetrainEDM):
    """Predict and retrain EDM (Karras et al. 2022)."""

    pairs: Annotated[Pairs, _FLAT] = field(default_factory=Pairs)


@dataclass(frozen=True)
class CoupledDDPM(RetrainDDPM):
    """Predict and retrain DDPM (Ho et al. 2020)."""

    pairs: Annotated[Pairs, _FLAT] = field(default_factory=Pairs)


@dataclass(frozen=True)
class CoupledOTCFM(RetrainOTCFM):
    """Predict and retrain OT-CFM (Tong et al. 2023)."""

    pairs: Annotated[Pairs, _FLAT] = field(default_factory=Pairs)


CoupledConfig = CoupledEDM | CoupledDDPM | CoupledOTCFM
_KINDS: dict[str, tuple[Any, Any]] = {
    "edm": (CoupledEDM, RetrainEDM),
    "ddpm": (CoupledDDPM, RetrainDDPM),
    "otcfm": (CoupledOTCFM, RetrainOTCFM),
}


def main(config: CoupledConfig) -> None:
    """Run the pairs, predict, retrain, compare.

    Args:
        config: Options of the command.

    Raises:
        UsageError: If the options, or the files that they name, do not fit.
    """
    _require_predictable(config)
    options = config.run
    folder = run_folder(
        f"contraction-{config.name}",
        {"model": config.name} | recorded_options(config.run, config.pairs, config.network),
        options.out,
    )
    accelerator = patient_accelerator(cpu=chosen_device(options.device) == "cpu")
    if accelerator.num_processes > 1:
        raise UsageError("deep.contraction runs in one process, got several")
    try:
        run = image_study(_retrained(config, folder / "run"), accelerator)
        claim_output_folder(folder, "deep.contraction")
        console = make_console(quiet=options.quiet)
        _state_claims(console, folder)
        experiment = _Experiment(config, run)
        pairs = experiment.pairs(folder / "pairs").run()
        result = run.run()
    finally:
        accelerator.end_training()

    measured, paths = experiment.compared(pairs, result, folder)
    verdicts = outcomes(measured, experiment.regimes)
    _print(console, experiment, measured, verdicts, result)
    if verdicts:
        title = f"Claims about {folder.name}, stated before the run."
        paths = [*paths, write_verdicts(folder, "deep.contraction", title, verdicts)]
    print_paths(make_console(), paths)


def _require_predictable(config: CoupledConfig) -> None:
    """UsageError for rows or networks that have no prediction."""
    options = config.run
    if label_dim_of(config.network):
        raise UsageError("--label-dim must be 0: a prediction is of models without classes")
    if options.keep_samples != "all":
        raise UsageError("--keep-samples must be all: every generation is compared")
    if options.extrapolate:
        raise UsageError("--extrapolate has no prediction: --lambda and --fully-synthetic have one")
    for regime in options.regimes():
        try:
            propagate(regime, 10, 1)
        except RegimeError as error:
            raise UsageError(f"--regime {options.regime}: {error}") from None
        if regime.needs_fresh_real:
            raise UsageError(
                f"--regime must not draw new real images, got {options.regime}: drift is measured "
                "from those that are known"
            )


def _retrained(config: CoupledConfig, folder: Path, **changes: Any) -> Config:
    """The configuration of deep.retrain for the run itself."""
    _, kind = _KINDS[config.name]
    run = replace(config.run, out=folder, **changes)
    return kind(run, config.network, config.model, config.training)


class _Experiment:
    """Settings that pairs and run share."""

    def __init__(self, config: CoupledConfig, run: Study) -> None:
        assert isinstance(run.learner, ImageStudy)
        self.config, self._run, self._images = config, run, run.learner
        self.regimes = list(run.regimes)
        self.real = np.asarray(run.real)
        count = config.pairs.components
        self.real_variance, self._variances = pixel_axes(self.real, count)

    @property
    def draws(self) -> int:
        """Draws that measure a generation."""
        return self._run.draws or len(self.real)

    def functionals(self) -> ImageFunctionals:
        """The functionals that are followed."""
        return feature_functionals(self._images.space, self.real, self.config.pairs.components)

    def pairs(self, folder: Path) -> Study:
        """The study of the coupled pairs.

        Args:
            folder: Folder of its run.

        Returns:
            The study.
        """
        options, pairs, functionals = self.config.run, self.config.pairs, self.functionals()
        move = displacement(pairs.displacement, pairs.size, self.real, functionals)
        moves = [move] * (len(self.regimes) * options.seeds)

        def loop(learner: Any, real: Any, regimes: Any, generations: int, **others: Any) -> Any:
            return coupled(learner, real, moves, regimes, generations, **others)

        recorder = PairRecorder(
            functionals,
            moves,
            fine=fine_model(self.config.model),
            variances=self._variances,
            components=len(self.real_variance),
            draws=pairs.sampler_images,
            seed=options.seed,
        )
        own = recorded_options(pairs) | {"retrainings": pairs.pair_rounds}
        return replace(
            self._run,
            name=f"pairs-{self.config.name}",
            learner=PairBuilder(self._images),
            observers=[recorder],
            generations=pairs.pair_rounds,
            loop=loop,
            options={**(self._run.options or {}), **own},
            finish=lambda result: None,
            out=folder,
        )

    def means(self, pairs: Result) -> PairMeans:
        """Records of the pairs.

        Args:
            pairs: Run of the coupled pairs.

        Returns:
            Functionals of data, models and sampler.
        """
        names = self.functionals().names

        def of(side: str) -> NDArray:
            found = [
                [
                    np.stack(
                        [pairs.history.values(f"{side} {chain}: {name}")[row] for name in names]
                    )
                    for row in map(str, self.regimes)
                ]
                for chain in CHAINS
            ]  # (2, R, Q, P + 1, S)
            return np.moveaxis(np.array(found), (0, 3, 1, 4, 2), (0, 1, 2, 3, 4))

        sampler = [
            pairs.history.values(f"sampler: {name}")[str(self.regimes[0])][0] for name in names
        ]
        return PairMeans(
            of("data"), of("model"), np.stack(sampler, axis=1), len(self.real), self.draws
        )

    def variance(self, pairs: Result, sampler: str) -> NDArray:
        """Variances along components of pixels.

        Args:
            pairs: Run of the coupled pairs.
            sampler: `own` or `fine`.

        Returns:
            (S, K), by seed and component.
        """
        row = str(self.regimes[0])
        found = [
            pairs.history.values(f"{sampler} variance {k + 1}")[row][0]
            for k in range(len(self.real_variance))
        ]
        return np.stack(found, axis=1)

    def map_of(self, variances: NDArray) -> NDArray:
        """Variance by the width map of the sampler in use, over that of the fine one.

        Args:
            variances: Variances of the data along axes, (K,).

        Returns:
            Ratio at each variance, (K,).
        """
        network = self.config.network.build(torch.Generator().manual_seed(0))
        own, fine = (
            linear_sampler(model, network).variance(variances)
            for model in (self.config.model, fine_model(self.config.model))
        )
        return own / fine

    @torch.inference_mode()
    def clustered(self) -> NDArray:
        """Variances of bytes by the sampler in use over those by a fine one, where both draw with
        the exact network of clusters, from the latents of the pairs.

        Returns:
            Ratio along each component of pixels, (K,).
        """
        config, shape = self.config, self.real.shape[1:]
        known = config.network.build(torch.Generator().manual_seed(0))
        clusters = fit_clusters(self.real)
        seed = int(stream(config.run.seed, Purpose.OBSERVE, 0).integers(2**62))

        found, count, batch = [], config.pairs.sampler_images, config.run.sample_batch
        for model in (config.model, fine_model(config.model)):
            network, drawn = exact_network(model, clusters, known), []
            for first in range(0, count, batch):
                indices = range(first, min(first + batch, count))
                noise = StreamNoise(seed, indices, shape, torch.device("cpu"))
                drawn.append(model.to_uint8(model.sample(network, noise)).numpy())
            found.append(self._variances(np.concatenate(drawn)))
        return found[0] / found[1]

    def average_kept(self) -> float | None:
        """Weight of the average of generation 0 in that of generation 1; None with --init."""
        options = self.config.run
        if options.init is not None:
            return None  # the file's average has a past of its own
        if options.from_scratch:
            return 0.0
        lengths = options.first_images, options.images_per_retraining
        return kept_average(self.config.training, *lengths, options.carry)

    def compared(self, pairs: Result, result: Result, folder: Path) -> tuple[Measured, list[Path]]:
        """Compare measured and predicted numbers, and draw them.

        Args:
            pairs: Run of the coupled pairs.
            result: The run itself.
            folder: Folder of the figure.

        Returns:
            The numbers, and the paths of the figure and its file.
        """
        functionals, rounds = self.functionals(), len(result.history)
        means = self.means(pairs)
        by_pairs, by_own_errors = (
            predict(one, self.regimes, rounds - 1, self.draws) for one in (means, means.undisplaced)
        )
        curves = {str(regime): [] for regime in self.regimes}
        for t in range(rounds):
            for row, curve in curves.items():
                drawn = result.samples(t, row)
                curve.append([float(drift(functionals.means(x[: self.draws]))) for x in drawn])
        measured = Measured(
            pairs.history.values("share"),
            self.variance(pairs, "own"),
            self.variance(pairs, "fine"),
            self.map_of(self.real_variance),
            self.clustered(),
            self.average_kept(),
            {row: np.array(curve) for row, curve in curves.items()},
            by_pairs,
            by_own_errors,
        )
        grid = np.geomspace(*_ends(np.sqrt(self.real_variance)), 100)
        width = np.sqrt(self.real_variance), grid, self.map_of(grid**2) - 1
        from deep.response.figure import contraction_figure  # matplotlib: half a second

        with figure_style():
            figure = contraction_figure(
                measured, self.config.pairs.pair_rounds, frechet_of(result), width
            )
            paths = save_figure(figure, folder / "contraction")
        return measured, paths


def _ends(values: NDArray) -> tuple[float, float]:
    return 0.7 * float(values.min()), 1.4 * float(values.max())


def frechet_of(result: Result) -> tuple[str, dict[str, NDArray], float]:
    """Fréchet distance of a run, against held-out images where there are some.

    Args:
        result: The run.

    Returns:
        Title, values (T + 1, S) by row, and that for real images.
    """
    found = [
        q for q in result.quantities if str(q.about.get("metric", "")).startswith(("fd", "fid"))
    ]
    chosen = sorted(found, key=lambda q: (q.about["reference"] != "held-out", -q.about["images"]))[
        0
    ]
    name = f"Fréchet distance against {chosen.about['reference']}"
    return name, result.history.values(chosen.key), result.floor(chosen.key).mean


def _state_claims(console: Console, folder: Path) -> None:
    """Print the claims before anything is run, and write them once."""
    table = plain_table("claims, stated before the run")
    for column in ("claim", "words", "refuted by"):
        table.add_column(column)
    for claim in CLAIMS:
        table.add_row(claim.id, claim.words, claim.falsified_by)
    console.print(table)
    file = folder / "claims.json"
    if not file.exists():
        with atomic_write(file) as written:
            plain = [{f.name: str(getattr(c, f.name)) for f in fields(c)} for c in CLAIMS]
            written.write(json.dumps(plain, indent=1, ensure_ascii=False).encode())


def _print(
    console: Console,
    experiment: _Experiment,
    measured: Measured,
    verdicts: Sequence[Verdict],
    result: Result,
) -> None:
    for table in (_drift_table(measured), _causes_table(measured)):
        console.print(table)
    console.print(_frechet_table(result, measured.last_quarter))
    if verdicts:
        console.print(_outcome_table(verdicts))
    else:
        console.print("One seed has no standard error, and decides no claim: --seeds 5.")


def _drift_table(measured: Measured) -> Table:
    """Measured and predicted drift at the end."""
    first = measured.last_quarter
    table = plain_table(f"drift from t = {first} on, in hundredths of a variance")
    _add_columns(table, measured, ("share left", "measured", "by pairs", "by own errors"))

    for row, prediction in measured.predictions.items():
        late = student_interval(measured.drift[row][first:].mean(axis=0))
        share = share_left(measured.shares[row])
        table.add_row(
            row,
            "not learned" if share is None else _share(share),
            _plus_minus(100 * late.mean, 100 * _error(measured.drift[row][first:].mean(axis=0))),
            *(
                _plus_minus(100 * one.mean[first:].mean(), 100 * one.error[first:].mean())
                for one in (prediction, measured.by_own_errors[row])
            ),
        )

    table.caption = (
        "share of the displacement left after a retraining, with a 95 % interval; predicted from "
        "the pairs, and from their chains on true data alone; ± standard error over seeds"
    )
    return table


def _causes_table(measured: Measured) -> Table:
    """Parts of the predicted drift; a table of its own, as both fit 80 columns only so."""
    first = measured.last_quarter
    table = plain_table(f"causes of the predicted drift from t = {first} on")
    _add_columns(table, measured, CAUSES)

    for row, prediction in measured.predictions.items():
        parts = [
            _plus_minus(
                100 * prediction.causes[name][first:].mean(),
                100 * prediction.cause_errors[name][first:].mean(),
            )
            for name in CAUSES
        ]
        table.add_row(row, *parts)

    table.caption = "in hundredths of a variance; ± standard error over seeds"
    return table


def _add_columns(table: Table, measured: Measured, names: Sequence[str]) -> None:
    """A column of regimes, which are broken between words alone, and one of numbers a name."""
    words = [word for row in measured.predictions for word in row.split()]
    table.add_column("regime", min_width=max(map(len, words)))
    for name in names:
        table.add_column(name, justify="right")


def _share(share: Interval) -> str:
    shown = f"{share.mean:.3f}"
    known = math.isfinite(share.half_width)
    return f"{shown} [{share.low:.3f}, {share.high:.3f}]" if known else shown


def _error(values: NDArray) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _plus_minus(value: float, error: float, digits: int = 2) -> str:
    if error >= 100:  # digits that tell nothing
        digits = 0
    shown = f"{value:.{digits}f}"
    return shown if math.isnan(error) else f"{shown} ± {error:.{digits}f}"


def _frechet_table(result: Result, first: int) -> Table:
    """Fréchet distance at the start, in the middle and in the last quarter."""
    name, values, floor = frechet_of(result)
    last = len(result.history) - 1
    table = plain_table(name)
    times = sorted({0, last // 4, last // 2, last})
    for column in ("regime", *(f"t = {t}" for t in times), f"t ≥ {first}"):
        table.add_column(column, justify="left" if column == "regime" else "right")
    for row, curve in values.items():
        late = curve[first:].mean(axis=0)
        cells = [_plus_minus(curve[t].mean(), _error(curve[t])) for t in times]
        table.add_row(row, *cells, _plus_minus(late.mean(), _error(late)))
    table.caption = f"± standard error over seeds; as many real images get {floor:.2f}"
    return table


def _outcome_table(verdicts: Sequence[Verdict]) -> Table:
    table = plain_table("outcome of the claims")
    for column in ("claim", "case", "mean [95 % interval]", "stated", "outcome"):
        table.add_column(column)
    for one in verdicts:
        stated = f"{_SIGNS.get(one.relation, one.relation)} {one.stated:.3g}"
        table.add_row(one.claim, one.instance, one.note, stated, one.status.value)
    return table


_SIGNS = {"==": "=", "<=": "≤"}


def commands(chosen: PresetChoice) -> Any:
    """Make one subcommand a model.

    Args:
        chosen: Preset and data that the command line names.

    Returns:
        Union of the annotated configurations, for tyro.
    """
    union: Any = None
    for name, config in presets(chosen).items():
        kind, _ = _KINDS[name]
        run = replace(config.run, retrainings=20, seeds=5)
        default = kind(run, config.network, config.model, config.training)
        one = Annotated[kind, tyro.conf.subcommand(name, default=default)]
        union = one if union is None else union | one
    return union


if __name__ == "__main__":
    command(commands, main, preset=PresetChoice)
