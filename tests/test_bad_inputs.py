"""Bad inputs of every command: exit status 2, one line that says what is wrong, and nothing
made.
"""

import itertools
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import benchmarks.deep
import benchmarks.metrics
import benchmarks.stability
import benchmarks.throughput
import benchmarks.toy
import benchmarks.two_moons
import deep.checkpoint
import deep.contraction
import deep.degradation
import deep.measure
import deep.report
import deep.retrain
import deep.sweep
import deep.text
import deep.train
import stability.__main__
import toy.compare
import toy.contraction
import toy.critical_lambda
import toy.eight_gaussians
import toy.figure8
import toy.run
import toy.samplers
import toy.two_moons
import toy.width_map
from stability.runs.command_line import command
from stability.runs.run_directory import RunDirectory

Start = Callable[[list[str]], tuple[Any, ...]]
"""From arguments to what a module hands to `command`: what to parse, what to run and, where
there is one, the preset."""

STARTS: dict[str, Start] = {
    "stability": lambda _: (stability.__main__.Stability, stability.__main__.run),
    "toy.two_moons": lambda _: (toy.two_moons.TwoMoons, toy.two_moons.main),
    "toy.run": lambda _: (
        lambda chosen: toy.run.configuration(chosen.model),
        toy.run.main,
        toy.run.ModelChoice,
    ),
    "toy.eight_gaussians": lambda _: (
        toy.eight_gaussians.configuration,
        toy.eight_gaussians.main,
        toy.eight_gaussians.Quick,
    ),
    "toy.figure8": lambda _: (
        toy.figure8.configuration,
        toy.figure8.main,
        toy.eight_gaussians.Quick,
    ),
    "toy.width_map": lambda _: (toy.width_map.WidthMap, toy.width_map.main),
    "toy.samplers": lambda _: (toy.samplers.Samplers, toy.samplers.main),
    "toy.contraction": lambda _: (
        lambda chosen: toy.contraction.configuration(chosen.model),
        toy.contraction.main,
        toy.run.ModelChoice,
    ),
    "toy.critical_lambda": lambda _: (
        toy.critical_lambda.CriticalLambda,
        toy.critical_lambda.main,
    ),
    "toy.compare": lambda _: (toy.compare.Compare, toy.compare.main),
    "deep.train": lambda _: (deep.train._commands(), deep.train.main),
    "deep.retrain": lambda _: (
        deep.retrain.commands,
        deep.retrain.main,
        deep.retrain.PresetChoice,
    ),
    "deep.contraction": lambda _: (
        deep.contraction.commands,
        deep.contraction.main,
        deep.retrain.PresetChoice,
    ),
    "deep.sweep": lambda _: (deep.sweep.Sweep, deep.sweep.main),
    "deep.text": lambda _: (deep.text.TextRun, deep.text.main),
    "deep.checkpoint": lambda _: (deep.checkpoint.CheckpointFile, deep.checkpoint.main),
    "deep.measure": lambda _: (deep.measure.Measure, deep.measure.main),
    "deep.report": lambda _: (deep.report.Report, deep.report.main),
    "deep.degradation": lambda _: (deep.degradation.Degradation, deep.degradation.main),
    "benchmarks.deep": lambda _: (benchmarks.deep.Benchmark, benchmarks.deep.main),
    "benchmarks.metrics": lambda _: (benchmarks.metrics.Benchmark, benchmarks.metrics.main),
    "benchmarks.stability": lambda _: (benchmarks.stability.Benchmark, benchmarks.stability.main),
    "benchmarks.throughput": lambda _: (
        benchmarks.throughput.Benchmark,
        benchmarks.throughput.main,
    ),
    "benchmarks.toy": lambda _: (benchmarks.toy.Benchmark, benchmarks.toy.main),
    "benchmarks.two_moons": lambda _: (benchmarks.two_moons.Benchmark, benchmarks.two_moons.main),
}


def start(name, given):
    """The outcome of the module with these arguments."""
    config, main, *preset = STARTS[name](given)
    command(config, main, given, *preset)


NO_COUNT = ("-1", "1.5", "nan", "inf", "1e3", "0x10", "x", "''", "1000000000000000000000000", "½")
NO_SIZE = ("nan", "-inf", "-1", "x", "''", "0x1p3", "1,5")

COUNTS = {
    "toy.two_moons": [
        "--samples",
        "--retrainings",
        "--seeds",
        "--seed",
        "--threads",
        "--batch",
        "--width",
    ],
    "toy.run --model ddpm": ["--layers", "--diffusion-steps"],
    "toy.run --model mixture": ["--components"],
    "toy.width_map": ["--epochs", "--seeds"],
    "toy.samplers": ["--evaluations"],
    "toy.contraction": ["--rounds"],
    "toy.critical_lambda": ["--seeds"],
    "deep.train edm": ["--batch", "--samples", "--num-blocks"],
    "deep.retrain edm": ["--grid", "--kid-subsets"],
    "deep.contraction edm": ["--pair-rounds", "--components", "--sampler-images"],
    "deep.sweep two_moons --fully-synthetic": ["--seeds", "--retries"],
    "deep.text": ["--length", "--heads", "--first-steps"],
    "deep.measure x.npz --reference digits": ["--k", "--threads"],
    "benchmarks.toy": ["--rounds"],
    "stability": ["--seed"],
}
SIZES = {
    "toy.two_moons": ["--lambda", "--sigma", "--learning-rate", "--temperature", "--tolerance"],
    "toy.width_map": ["--s0"],
    "toy.samplers": ["--widths", "--tolerance"],
    "deep.train edm": ["--dropout", "--rho"],
    "deep.retrain otcfm": ["--lambda", "--tolerance"],
    "deep.contraction edm": ["--size"],
    "deep.sweep edm": ["--lambda", "--cpus-per-run"],
    "toy.compare a b": ["--level"],
}

LINES = """
toy.two_moons --samples 300000
toy.two_moons --samples 1000000000000
toy.two_moons --lambda 1e12
toy.two_moons --lambda 1e300
toy.two_moons --lambda 1e400
toy.two_moons --lambda 1e9 --samples 50
toy.two_moons --lambda 1 1
toy.two_moons --batch 1000000000
toy.two_moons --width 1000000000
toy.two_moons --threads 1000000000
toy.two_moons --seeds 1000000000
toy.two_moons --ode-steps 1000000000
toy.two_moons --retrainings 1000000000
toy.two_moons --seed 18446744073709551616
toy.two_moons --reward right --lambda 1 --choices 1000000000
toy.two_moons --verifier inner --lambda 1 --tries 1000000000
toy.two_moons --choices 3
toy.two_moons --regime scheduled --growth 1e300
toy.two_moons --regime scheduled --growth 1.5 --retrainings 40
toy.two_moons --regime exchange --seeds 3
toy.two_moons --regime extrapolated --extrapolation nan
toy.two_moons --tries 3
toy.two_moons --plan 3
toy.two_moons --weight 0
toy.two_moons --weight 1
toy.two_moons --integrator dopri5 --tolerance 1e-300
toy.two_moons --integrator rk4
toy.two_moons --regime synthetic --lambda 1
toy.two_moons --regime nothing
toy.two_moons --angles none
toy.two_moons --device tpu
toy.two_moons --latents none
toy.two_moons --seed 1 --seed 2
toy.two_moons --seed 1 --seed=2
toy.two_moons --from-scratch --from_scratch
toy.two_moons --lambda 0 --lambda 1
toy.two_moons --out
toy.two_moons --out=
toy.two_moons --out ''
toy.two_moons --out a_file
toy.two_moons --out a_file/below
toy.two_moons --out dangling
toy.two_moons --out NAME_TOO_LONG
toy.two_moons --out /proc/none
toy.two_moons --out /
toy.two_moons --bogus
toy.two_moons --bogus=1
toy.two_moons -x
toy.two_moons surplus
toy.two_moons --λ 1
toy.two_moons --tyro-print-completion bash
toy.two_moons --tyro_write_completion bash file
toy.two_moons --fully-synthetic=yes
toy.two_moons ''
toy.run --model kde --model flow
toy.run --model nothing
toy.run --model
toy.run --model kde --width 3
toy.run --density nowhere
toy.run --model mixture --components 1000000000
toy.run --model mixture --gain 0
toy.run --model mixture --floor nan
toy.run --model kde --bandwidth -1
toy.run --model kde --samples 1000000000
toy.run --model ddpm --layers 1000000000
toy.run --model ddpm --width 5
toy.run --model ddpm --beta-first 1
toy.run --model ddpm --clip 0
toy.run --model flow --bins 1
toy.run --model flow --box 0
toy.run --model flow --couplings 1000000
toy.run --model vae --width 1000000
toy.run --model edm --sampler-steps 1
toy.run --model edm --churn -1
toy.run --model edm --batch 1000000000
toy.run --model edm --sigma-data 0
toy.eight_gaussians --layers 1000000
toy.eight_gaussians --samples 1000000000
toy.eight_gaussians --mixture none
toy.eight_gaussians --learner none
toy.figure8 --lambda 1
toy.figure8 --regime fresh
toy.figure8 --retrainings 0
toy.figure8 --samples 300000
toy.width_map --s0 1e300
toy.width_map --s0 0
toy.width_map --width 5
toy.width_map --batch 1000000000
toy.width_map --samples 1
toy.width_map --out a_file
toy.contraction --lambda 1e12
toy.contraction --lambda 1 1
toy.contraction --size 0
toy.contraction --size 1e9
toy.contraction --displacements shift shift
toy.contraction --displacements none
toy.contraction --samples 1000000000
toy.critical_lambda --lambda 0
toy.critical_lambda --lambda nan
toy.critical_lambda --retrainings 1
toy.critical_lambda --loops Poisson
toy.compare
toy.compare a
toy.compare nowhere nowhere
toy.compare a_file a_file
toy.compare . .
toy.compare a b c
toy.compare a b --level 1
deep.train
deep.train nothing
deep.train edm --init nowhere
deep.train edm --init a_file
deep.train edm --augment 0.5
deep.train edm --augment 2
deep.train edm --carry ema
deep.train edm --data nowhere.zip
deep.train edm --data a_file
deep.train edm --data ''
deep.train edm --out a_file
deep.train edm --sigma-min 3 --sigma-max 2
deep.train edm --model-channels 65536
deep.train edm --model-channels 5
deep.train edm --channel-mult 0
deep.train edm --channel-mult-emb 1000000000
deep.train edm --resolution 9
deep.train edm --attn-resolutions 5
deep.train edm --num-blocks 1000000000
deep.train edm --batch 1000000000
deep.train edm --samples 2000000000
deep.train edm --images 0
deep.train edm --precision fp8
deep.train edm --checkpoint-seconds inf
deep.train ddpm --timesteps 1000000000
deep.train ddpm --ddim-steps 1
deep.train ddpm --beta-first 0
deep.train otcfm --tolerance 1e-300
deep.train otcfm --euler-steps 0
deep.train otcfm --head-channels 7
deep.retrain
deep.retrain nothing
deep.retrain --preset
deep.retrain edm --preset nothing
deep.retrain ddpm --preset ffhq64
deep.retrain edm --lambda 1e12
deep.retrain edm --lambda 0 0
deep.retrain edm --grid 1000000000
deep.retrain edm --real 1000000
deep.retrain edm --held-out nowhere
deep.retrain edm --init nowhere
deep.retrain edm --init a_file
deep.retrain edm --init nowhere --from-scratch
deep.retrain edm --inception a_file
deep.retrain edm --k 100000
deep.retrain edm --metrics
deep.retrain edm --metrics fid
deep.retrain edm --inception a --trust-torchscript b
deep.retrain edm --data nowhere
deep.retrain edm --out a_file
deep.retrain edm --out dangling
deep.retrain edm --label-dim 9
deep.retrain edm --label-dim 257
deep.retrain ddpm --label-dim -1
deep.retrain otcfm --label-dim 10
deep.contraction
deep.contraction edm --size 0
deep.contraction edm --displacement none
deep.contraction edm --regime fresh
deep.contraction edm --keep-samples 2
deep.contraction edm --label-dim 10
deep.contraction edm --init nowhere
deep.contraction edm --out a_file
deep.text --data nowhere
deep.text --data a_file
deep.text --temperature 0
deep.text --width 10 --heads 3
deep.text --samples 2000000000
deep.sweep
deep.sweep nothing
deep.sweep two_moons
deep.sweep two_moons --lambda 1 1
deep.sweep two_moons --fully-synthetic --gpus-per-run 2
deep.sweep edm --fully-synthetic --gpus-per-run 1.5
deep.sweep two_moons --fully-synthetic --seeds 1000000000
deep.sweep two_moons --fully-synthetic --out a_file
deep.sweep two_moons --fully-synthetic --cpus-per-run 100000
deep.checkpoint
deep.checkpoint nowhere
deep.checkpoint a_file
deep.checkpoint .
deep.checkpoint a_file --convert x.pt
deep.checkpoint a_file --export x.safetensors
deep.checkpoint a_file --resolution 0
deep.checkpoint a_file --resolution 1000000000
deep.checkpoint a_file --head-channels 0
deep.measure
deep.measure x.npz
deep.measure nowhere.npz --reference digits
deep.measure a_file --reference digits
deep.measure nowhere.npz --reference digits --metrics fid
deep.measure nowhere.npz --reference digits --inception a --trust-torchscript b
deep.report
deep.report nowhere
deep.report a_file
deep.report .
deep.degradation
deep.degradation nowhere
deep.degradation .
deep.degradation . --level 0
deep.degradation . --level nan
deep.degradation . --reference none
benchmarks.deep --batch 0
benchmarks.deep --configuration none
benchmarks.metrics --n 0
benchmarks.metrics --dimension 1e3
benchmarks.stability --chains 0
benchmarks.stability --chains 10000000000
benchmarks.throughput --presets none
benchmarks.throughput --steps 0
benchmarks.toy --replicas
benchmarks.toy --replicas 2 0
benchmarks.two_moons --points 0
benchmarks.two_moons --threads 99999999999
stability nothing
stability --lambda 1
stability theorem1 --lambda -1
stability theorem1 --lambda nan
stability theorem1 --family none
stability --family student_t
stability --seed 18446744073709551616
stability proposition1 --out a_file
stability proposition1 --out ''
""".strip().splitlines()


def _lines() -> Iterator[str]:
    yield from LINES
    for options, values in ((COUNTS, NO_COUNT), (SIZES, NO_SIZE)):
        for start, names in options.items():
            yield from (
                f"{start} {name} {value}" for name, value in itertools.product(names, values)
            )


INPUTS = list(_lines())
ALWAYS = {*INPUTS[::6], *{line.split()[0]: line for line in reversed(INPUTS)}.values()}
"""What the default suite tries: some of each command."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder with what bad paths lead to."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "a_file").write_text("nothing of ours")
    (folder / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    monkeypatch.chdir(folder)
    return folder


def _listing(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.parent.rglob("*"))


def _arguments(line: str) -> tuple[str, list[str]]:
    name, *given = shlex.split(line)
    return name, [argument.replace("NAME_TOO_LONG", "n" * 300) for argument in given]


def test_the_list_is_as_long_as_it_should_be():
    assert len(set(INPUTS)) == len(INPUTS) >= 300
    assert {line.split()[0] for line in INPUTS} == set(STARTS)


@pytest.mark.parametrize(
    "line",
    [line if line in ALWAYS else pytest.param(line, marks=pytest.mark.slow) for line in INPUTS],
)
def test_a_bad_input_is_one_line_and_makes_nothing(line, folder, capsys):
    name, given = _arguments(line)
    before = _listing(folder)
    with warnings.catch_warnings(), pytest.raises(SystemExit) as leaving:
        start(name, given)
    out, err = capsys.readouterr()
    assert leaving.value.code == 2, err
    assert out == ""
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    assert len(err.strip()) > len("error: ")
    assert _listing(folder) == before


@pytest.mark.parametrize(
    "line",
    [
        "toy.run --model kde --model flow",
        pytest.param("deep.retrain", marks=pytest.mark.slow),
        pytest.param("toy.two_moons --out a_file", marks=pytest.mark.slow),
        pytest.param("benchmarks.toy --rounds x", marks=pytest.mark.slow),
    ],
)
def test_the_same_of_a_process(line, folder):
    name, given = _arguments(line)
    before = _listing(folder)
    done = subprocess.run(
        [sys.executable, "-m", name, *given],
        capture_output=True,
        text=True,
        env=_environment(),
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert _listing(folder) == before


@pytest.mark.parametrize(
    "line",
    [
        "deep.train edm --init a_file",
        "deep.retrain edm --init a_file",
        "deep.retrain edm --inception a_file",
        "deep.retrain edm --k 100000",
    ],
)
def test_an_overwrite_that_is_refused_keeps_the_old_run(line, folder, capsys):
    with RunDirectory(folder / "old", {"model": "of before"}, {}) as run:
        (run.path / "history.jsonl").write_text("{}\n")
    before = _listing(folder)

    name, given = _arguments(f"{line} --out old --overwrite --device cpu --threads 1")
    with warnings.catch_warnings(), pytest.raises(SystemExit) as leaving:
        start(name, given)
    assert leaving.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert _listing(folder) == before


@pytest.mark.parametrize("value", ["0", "-1", "x", ""])
def test_a_number_of_numba_threads_that_is_none_is_ignored_in_one_line(value, folder):
    done = subprocess.run(
        [sys.executable, "-c", "import stability.transport.assignment"],
        capture_output=True,
        text=True,
        env=_environment(NUMBA_NUM_THREADS=value),
        check=True,
    )
    assert done.stderr.count("\n") == 1
    assert f"{value!r} is ignored; it must be a whole number >= 1" in done.stderr


def _environment(**changes: str) -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | changes
