"""No option does nothing: each field of each command changes the history, is refused, or is named
here as one that does not decide a result.

`pytest tests/test_options.py -v` prints the table, a line for each command and field. Fields of the
settings of the other 2-D models and of image networks have tests beside their models.
"""

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from stability.runs.loop_options import NOT_RECORDED
from tests.support.learners_2d import SMALL_FLOW as SMALL
from toy import contraction, eight_gaussians, figure8, run, two_moons, width_map
from toy.experiment import Experiment
from toy.learners.settings import DDPMConfig, MixtureConfig
from toy.width_map import WidthMap


@dataclass(frozen=True)
class Refused:
    """A change that is refused, with these words."""

    change: dict[str, Any]
    words: str


@dataclass(frozen=True)
class Same:
    """A change that does not decide the result, and why."""

    change: dict[str, Any]
    why: str


@dataclass(frozen=True)
class Command:
    """A command, small; changes go to whichever part has such a field.

    Attributes:
        main: Runs a configuration.
        config: Its class, or what makes it of parts by name.
        parts: Its dataclasses by name; "" for fields of its own.
        cases: For each field, what it is changed to, a dictionary of changes where it needs others
            beside it, or `Refused` or `Same`.
    """

    main: Any
    config: Any
    parts: dict[str, Any]
    cases: dict[str, Any]
    own: dict[str, Any] = field(default_factory=dict)

    def history(self, folder: Path, **changes: Any) -> bytes:
        """Run it with changes; what it recorded."""
        own, changed = dict(self.own), {part: {} for part in self.parts}
        for name, value in {**changes, "out": folder}.items():
            part = next((p for p, of in self.parts.items() if hasattr(of, name)), None)
            (own if part is None else changed[part])[name] = value
        # all at once: one change may need another
        parts = {part: replace(of, **changed[part]) for part, of in self.parts.items()}
        made = parts[""] if "" in parts else self.config(**parts, **own)
        self.main(made)
        return b"".join(path.read_bytes() for path in sorted(folder.rglob("history.jsonl")))


LOOP = {
    "lam": (1.0,),
    "regime": "accumulate",
    "fully_synthetic": True,
    "retrainings": 1,
    "samples": 41,
    "seeds": 2,
    "seed": 1,
    "latents": "shared",
    "from_scratch": True,
    "keep": Same({"keep": "all"}, "tests/stability/runs/test_study.py, what is kept"),
    "keep_samples": Same({"keep_samples": "2"}, "tests/stability/runs/test_study.py"),
    "max_hours": {"max_hours": 1e-9},
    "out": Same({}, "the place of the run, here a new one each time"),
    "overwrite": Same({"overwrite": True}, "tests/toy/test_experiment.py"),
    "device": Same({"device": "cpu"}, "of a machine without a GPU"),
    "threads": Same({"threads": 1}, "speed; here the same as in the default"),
}
PLANE = {
    "real_fraction": {"regime": "accumulate-fresh", "lam": (), "real_fraction": (0.3,)},
    "growth": Refused({"growth": 2.0}, "growth has no meaning for regime mix"),
    "growth_power": {"regime": "scheduled", "growth": 1.5, "growth_power": 2.0},
    "models": Refused({"models": 2}, "models has no meaning for regime mix"),
    "own_share": {"regime": "exchange", "seeds": 2, "own_share": 0.1},
    "extrapolation": Refused({"extrapolation": 1.0}, "has no meaning for regime mix"),
    "weight": Refused({"weight": 0.5}, "--weight is not supported by OTCFM"),
    "reward": "right",
    "choices": {"reward": "right", "choices": 3},
    "verifier": "inner",
    "tries": {"verifier": "inner", "tries": 1},
    "temperature": 0.5,
}
TINY = Experiment(lam=(0.5,), retrainings=2, samples=40, threads=1, device="cpu")
FLOW = {
    "epochs": 2,
    "batch": 16,
    "plan": {"plan": SMALL.batch // 2},
    "learning_rate": 0.02,
    "width": 8,
    "source": "8gaussians",
    "sigma": 0.1,
    "pairs": "permutation",
    "solver": Same({"solver": "pot"}, "another exact solver: equal up to rounding"),
    "integrator": "dopri5",
    "ode_steps": 11,
    "tolerance": {"integrator": "dopri5", "tolerance": 1e-1},
}
DDPM = DDPMConfig(epochs=2, batch=20, width=8, diffusion_steps=10)
DIFFUSION = {
    "epochs": 3,
    "batch": 10,
    "learning_rate": 0.02,
    "width": 10,
    "layers": 2,
    "shuffle": True,
    "diffusion_steps": 11,
    "beta_first": 0.01,
    "beta_last": 0.3,
    "sampler": "ddim",
    "sampler_steps": {"sampler": "unipc", "sampler_steps": 5},
    "spacing": {"sampler": "dpm++2m", "sampler_steps": 5, "spacing": "logsnr"},
    "clip": 1.0,
}
OWN_ROWS = "has its own rows"


def any_model(model: str) -> Any:
    return run.configuration(model)


COMMANDS = {
    "two_moons": Command(
        two_moons.main,
        two_moons.TwoMoons,
        {"experiment": TINY, "flow": SMALL},
        {**LOOP, **PLANE, **FLOW, "angles": "grid"},
    ),
    "figure8": Command(
        figure8.main,
        figure8.Figure8,
        {"experiment": replace(TINY, lam=(), retrainings=2, seeds=2), "flow": SMALL},
        {
            **LOOP,
            **PLANE,
            **FLOW,
            "lam": Refused({"lam": (1.0,)}, OWN_ROWS),
            "regime": Refused({"regime": "accumulate"}, OWN_ROWS),
            "fully_synthetic": Refused({"fully_synthetic": True}, OWN_ROWS),
            "real_fraction": Refused(PLANE["real_fraction"], OWN_ROWS),
            "growth_power": Refused(PLANE["growth_power"], OWN_ROWS),
            "own_share": Refused(PLANE["own_share"], OWN_ROWS),
            "seeds": 3,
            "max_hours": Refused({"max_hours": 1e-9}, "a slope needs two generations"),
        },
    ),
    "eight_gaussians": Command(
        eight_gaussians.main,
        eight_gaussians.EightGaussians,
        {"experiment": replace(TINY, lam=(1.0,)), "diffusion": DDPM},
        {
            **LOOP,
            **PLANE,
            **DIFFUSION,
            "lam": (0.5,),
            "weight": Refused({"weight": 0.5}, "--weight is not supported by DDPM"),
            "learner": Refused({"learner": "exact"}, "has no meaning for learner exact"),
            "mixture": "ffjord",
        },
    ),
    "run": Command(
        run.main,
        any_model("mixture"),
        {"experiment": TINY, "settings": MixtureConfig(components=3, iterations=3)},
        {
            **LOOP,
            **PLANE,
            "weight": 0.3,
            # a fit by EM of so few points ends where it begins
            "from_scratch": True,
            "components": 2,
            "iterations": 1,
            "gain": 1.0,
            "floor": 0.1,
            "density": "checkerboard",
            "data": Refused({"data": Path("none.npy")}, "--data none.npy: No such file"),
            "model": Same({}, "the class of the settings: tests/toy/test_run.py, every model"),
        },
        {"density": "moons", "data": None, "model": "mixture"},
    ),
    "contraction": Command(
        contraction.main,
        contraction.configuration("vae"),
        {
            "coupled": contraction.Coupled(
                lam=(0.5,), displacements=("shift",), retrainings=2, samples=40, seeds=2, threads=1
            ),
            "settings": replace(run.MODELS["vae"].settings(), epochs=1, width=4, batch=20),
        },
        {
            **LOOP,
            "seeds": 1,
            "regime": Refused({"regime": "accumulate"}, "regime must be mix"),
            "fully_synthetic": Refused({"fully_synthetic": True}, "regime must be mix"),
            "displacements": ("wave",),
            "size": 0.1,
            "epochs": 2,
            "batch": 10,
            "learning_rate": 0.01,
            "width": 6,
            "density": "checkerboard",
            "model": Same({}, "the class of the settings: tests/toy/test_contraction.py"),
        },
        {"density": "moons", "model": "vae"},
    ),
}


def fields_of(command: Command) -> list[str]:
    """All options of a command."""
    made = command.parts.get("") or command.config(**command.parts, **command.own)
    names = []
    for one in dataclasses.fields(made):
        value = getattr(made, one.name)
        nested = dataclasses.is_dataclass(value)
        names += [f.name for f in dataclasses.fields(value)] if nested else [one.name]
    return names


def outcome(case: Any) -> str:
    return {Refused: "refused", Same: "same"}.get(type(case), "changes")


TABLE = [
    pytest.param(command, name, id=f"{command}-{name}-{outcome(case)}")
    for command, of in COMMANDS.items()
    for name, case in of.cases.items()
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_table(command):
    assert sorted(COMMANDS[command].cases) == sorted(fields_of(COMMANDS[command]))


def test_options_that_do_not_decide_a_result_are_those_that_are_not_recorded():
    decided = {name for name, case in LOOP.items() if not isinstance(case, Same)}
    # max_hours ends a run early: its history is shorter, not another one
    assert set(LOOP) - decided | {"max_hours"} == NOT_RECORDED


@pytest.fixture(scope="module")
def defaults(tmp_path_factory):
    """History of each command without changes, made when it is asked for."""
    known: dict[str, bytes] = {}

    def of(command):
        if command not in known:
            known[command] = COMMANDS[command].history(tmp_path_factory.mktemp(command))
        return known[command]

    return of


@pytest.fixture
def quick(monkeypatch):
    """Without pictures and pages, which take longer than the rest of a tiny run."""
    monkeypatch.setattr("toy.measures.figures.draw_figures", lambda *arguments: [])
    monkeypatch.setattr("toy.contraction.save_figure", lambda *arguments: [])
    monkeypatch.setattr("stability.runs.result.Result.report", lambda result: result.folder)


@pytest.mark.parametrize(("command", "name"), TABLE)
def test_each_option(command, name, defaults, tmp_path, quick):
    of, case = COMMANDS[command], COMMANDS[command].cases[name]
    if isinstance(case, Refused):
        with pytest.raises(ValueError, match=case.words):
            of.history(tmp_path / "run", **case.change)
    elif isinstance(case, Same):
        found = of.history(tmp_path / "run", **case.change)
        if name != "solver":
            assert found == defaults(command)
    else:
        change = case if isinstance(case, dict) else {name: case}
        beside = {key: value for key, value in change.items() if key != name}
        without = of.history(tmp_path / "without", **beside) if beside else defaults(command)
        assert of.history(tmp_path / "run", **change) != without


WIDTH = WidthMap(retrainings=2, samples=30, epochs=1, batch=30, width=4, threads=1, device="cpu")
WIDTH_CASES = {
    **LOOP,
    "regime": Refused({"regime": "accumulate"}, "regime must be mix or synthetic"),
    "fully_synthetic": True,
    "lam": (2.0,),
    "s0": 0.2,
    "epochs": 2,
    "batch": 15,
    "width": 6,
}


def width_history(config: WidthMap) -> bytes:
    """Of one panel: the others differ in the learner alone."""
    width_map.trained_widths(config, "DDIM 100", width_map.cases(config)["DDIM 100"])
    return b"".join(p.read_bytes() for p in sorted(config.folder.rglob("history.jsonl")))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, id=f"width_map-{n}-{outcome(case)}") for n, case in WIDTH_CASES.items()],
)
def test_each_option_of_the_width_map(name, tmp_path):
    assert sorted(WIDTH_CASES) == sorted(f.name for f in dataclasses.fields(WIDTH))
    case = WIDTH_CASES[name]
    if isinstance(case, Refused):
        with pytest.raises(ValueError, match=case.words):
            replace(WIDTH, **case.change)
        return
    change = (
        case.change if isinstance(case, Same) else case if isinstance(case, dict) else {name: case}
    )
    default = width_history(replace(WIDTH, out=tmp_path / "default"))
    changed = width_history(replace(WIDTH, **change, out=tmp_path / "changed"))
    assert (changed == default) == isinstance(case, Same)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairs": "independent", "plan": 16}, "plan has no meaning for pairs independent"),
        ({"pairs": "independent", "solver": "pot"}, "solver has no meaning for pairs independent"),
        ({"integrator": "dopri5", "ode_steps": 9}, "ode_steps has no meaning for integrator"),
        ({"integrator": "euler", "tolerance": 0.1}, "tolerance has no meaning for integrator"),
    ],
)
def test_options_without_effect_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **settings)


@pytest.mark.parametrize("option", eight_gaussians.OF_A_NETWORK)
def test_a_learner_that_is_exact_takes_no_options_of_a_network(option):
    changed = replace(DDPMConfig(), **{option: DIFFUSION[option]})
    with pytest.raises(ValueError, match=f"{option} has no meaning for learner exact"):
        eight_gaussians.EightGaussians(diffusion=changed, learner="exact")
