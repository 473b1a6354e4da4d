"""Compiles the Coq files and their spoiled copies with `coqc`, where it is installed."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from stability.proofs.coq.theorems import ALLOWED_AXIOMS, Development, Spoiled

__all__ = [
    "MISSING",
    "Checked",
    "Rejection",
    "check_file",
    "coq_version",
    "reject",
    "theorem_names",
]

MISSING = "Coq and Coquelicot are needed: apt install coq libcoq-coquelicot"
"""Advice for a machine where `coq_version` is empty."""

_SECONDS = 120
"""Longest time for one file; the slowest takes about two seconds."""
_NAME = re.compile(r"^([A-Za-z_][\w.']*)\s*(?::|$)")
_REQUIRE = re.compile(r"^(?:From .*)?Require .*\.$", re.MULTILINE)
_STEP = re.compile(r"^(?:Theorem|Lemma) ([\w']+)|\b(Proof|Qed)\.", re.MULTILINE)

_MARK, _NEXT = "proof: ", "next copy"
"""Marks that a spoiled copy prints where a proof begins, and `coqc` between two copies."""
_FAILED = "The command has indeed failed with message:"


@dataclass(frozen=True)
class Checked:
    """Result of Coq on one file.

    Attributes:
        theorems: Names of the theorems that it holds.
        axioms: Names of the axioms that they rest on, sorted; () if it was not accepted.
        fault: Why it is not accepted, in one line; "" if it is.
        seconds: Time that Coq took.
    """

    theorems: tuple[str, ...]
    axioms: tuple[str, ...]
    fault: str
    seconds: float


@dataclass(frozen=True)
class Rejection:
    """Result of Coq on a spoiled copy.

    Attributes:
        broken: Name of the theorem or lemma whose proof no longer goes through; "" if the copy was
            accepted, or was refused for another reason than a proof.
        message: End of Coq's error.
    """

    broken: str
    message: str


_VERSIONS: dict[str, str] = {}
"""Path of `coqc` -> version; no `functools.cache`, which a mutation would empty."""


_REJECTIONS: dict[tuple[str, Spoiled], Rejection] = {}
"""Text of a file and a spoiled copy -> what Coq said; as long as this process lives."""


def coq_version() -> str:
    """Version of the installed Coq, e.g. "8.16.1"; "" if Coq or its library Coquelicot is
    missing.
    """
    coqc = shutil.which("coqc")
    if coqc is None:
        return ""
    if coqc not in _VERSIONS:
        _VERSIONS[coqc] = _probe(coqc)
    return _VERSIONS[coqc]


def _probe(coqc: str) -> str:
    """Version of a `coqc` that finds Coquelicot, else ""."""
    try:
        asked = subprocess.run(
            [coqc, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        done, _ = _compile("probe", "From Coquelicot Require Import Coquelicot.\n")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    version = re.search(r"version (\S+)", asked.stdout)
    return version[1] if version and done.returncode == 0 else ""


def theorem_names(source: str) -> tuple[str, ...]:
    """Names of the theorems in a Coq file, in order.

    Args:
        source: Text of the file.
    """
    return tuple(re.findall(r"^Theorem ([\w']+)", source, re.MULTILINE))


def check_file(development: Development) -> Checked:
    """Compile a file and compare its axioms with the allowed ones.

    Args:
        development: The file.

    Returns:
        The theorems with their axioms, or the fault: an error of Coq, a theorem whose axioms are
        not printed, or an axiom that is not in `ALLOWED_AXIOMS`.

    Raises:
        OSError: If `coqc` cannot be run.
    """
    source = development.source
    names = theorem_names(source)
    try:
        done, seconds = _compile(development.name, source)
    except subprocess.TimeoutExpired:
        return Checked(names, (), f"coqc took more than {_SECONDS} s", _SECONDS)
    if done.returncode != 0:
        return Checked(names, (), _message(done.stderr) or "coqc failed", seconds)

    axioms = _axioms(done.stdout)
    foreign = sorted(set(axioms) - ALLOWED_AXIOMS)
    missing = [name for name in names if name not in _printed(source)]
    fault = ""
    if foreign:
        fault = f"rests on {', '.join(foreign)}"
    elif missing or not names:
        fault = f"axioms are not printed for {', '.join(missing) or 'any theorem'}"
    return Checked(names, axioms, fault, seconds)


def reject(development: Development, spoiled: Spoiled) -> Rejection:
    """Check a spoiled copy, which Coq must reject inside a proof.

    One `coqc` checks all spoiled copies of a text, since most of its time goes into loading Coq's
    library; the others' results are kept.

    Args:
        development: The file.
        spoiled: What is replaced in it.

    Returns:
        The proof that broke.

    Raises:
        ValueError: If the text to replace does not occur exactly once.
        OSError: If `coqc` cannot be run.
    """
    source = development.source

    if (source, spoiled) not in _REJECTIONS:
        copies = list(dict.fromkeys([spoiled, *development.spoiled]))
        texts = [_spoiled_text(source, development.name, copy) for copy in copies]
        try:
            found = _rejections(_REQUIRE.findall(source), texts)
        except subprocess.TimeoutExpired:
            return Rejection("", f"undecided: coqc took more than {_SECONDS} s")
        _REJECTIONS.update({(source, copy): each for copy, each in zip(copies, found, strict=True)})

    return _REJECTIONS[source, spoiled]


def _spoiled_text(source: str, name: str, spoiled: Spoiled) -> str:
    """A spoiled copy that prints the name of each proof as it begins, and a blank as it ends.

    Proofs that end before the change have no marks: one that breaks is no rejection of the copy.
    """
    if source.count(spoiled.old) != 1:
        raise ValueError(
            f"{name}.v: {spoiled.old!r} must occur once, occurs {source.count(spoiled.old)} times"
        )

    changed, theorem = source.index(spoiled.old), ""
    copy = source.replace(spoiled.old, spoiled.new)

    def marked(step: re.Match[str]) -> str:
        nonlocal theorem
        theorem = step[1] or theorem
        if step[2] == "Proof" and copy.find("Qed.", step.end()) >= changed:
            return f'{step[0]} idtac "{_MARK}{theorem}".'
        if step[2] == "Qed" and step.end() >= changed:
            return f'{step[0]} Goal True. idtac "{_MARK}". Abort.'
        return step[0]

    return _STEP.sub(marked, copy)


def _rejections(requires: Sequence[str], copies: Sequence[str]) -> list[Rejection]:
    """The proof that broke in each copy, in order. TimeoutExpired if `coqc` takes too long."""
    found: list[Rejection] = []
    while len(found) < len(copies):
        left = range(len(found), len(copies))
        # a command that fails leaves no trace in what follows; the first that does not ends the run
        driver = [f'Fail Load "copy{k}". Goal True. idtac "{_NEXT}". Abort.' for k in left]
        done, _ = _compile(
            "copies",
            "\n".join([*requires, *driver]),
            {f"copy{k}.v": copies[k] for k in left},
            ["-test-mode"],  # prints why a command under `Fail` failed
        )

        failed = done.stdout.split(f"{_NEXT}\n")[:-1]
        for printed in failed:
            marks, _, message = printed.partition(_FAILED)
            proofs = re.findall(rf"^{_MARK}(.*)$", marks, re.MULTILINE)
            found.append(Rejection(proofs[-1] if proofs else "", _end(message)))

        if len(found) < len(copies):
            accepted = "has not failed" in done.stderr
            found.append(Rejection("", "accepted" if accepted else _message(done.stderr)))

    return found


def _compile(
    name: str,
    source: str,
    others: Mapping[str, str] = MappingProxyType({}),
    options: Sequence[str] = (),
) -> tuple["subprocess.CompletedProcess[str]", float]:
    """Run `coqc` on a text in a temporary folder, beside other files: what it printed, and its
    seconds.
    """
    coqc = shutil.which("coqc")
    if coqc is None:
        raise FileNotFoundError(MISSING)
    with tempfile.TemporaryDirectory(prefix="coq-") as folder:
        for file, text in {f"{name}.v": source, **others}.items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        started = time.perf_counter()
        # -q: the user's coqrc does not count
        done = subprocess.run(
            [coqc, "-q", "-w", "none", *options, f"{name}.v"],
            cwd=folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
        )
        return done, time.perf_counter() - started


def _printed(source: str) -> set[str]:
    """Names of the theorems whose axioms the file prints at its end."""
    printed = r"^Definition theorems := (.*?)\.\nPrint Assumptions theorems\.\s*\Z"
    found = re.search(printed, source, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"@([\w']+)", found[1])) if found else set()


def _axioms(printed: str) -> tuple[str, ...]:
    """Full names in what `Print Assumptions` printed."""
    names = [match[1] for line in printed.splitlines() if (match := _NAME.match(line))]
    # a module that is imported is left out of the names
    short = {axiom.rpartition(".")[2]: axiom for axiom in ALLOWED_AXIOMS}
    return tuple(sorted({short.get(name, name) for name in names} - {"Axioms"}))


def _message(error: str) -> str:
    """The end of Coq's message, where it names the fault."""
    _, _, message = error.partition("Error:")
    return _end(message)


def _end(message: str) -> str:
    return " ".join(message.split())[-160:]
