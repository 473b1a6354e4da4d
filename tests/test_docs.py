"""The commands and programs of README and documentation do what they say."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import stability
from docs.reference_pages import reference
from tests.support.console_command import module_command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUICK = re.compile(r"<!-- quick -->\n+```(\w*)\n(.*?)```", re.DOTALL)
PRINTED = re.compile(r"([^`#]*?)(?:```text\n(.*?)```|`(.*?)`)", re.DOTALL)
"""The words after a program and what it prints: a block, or a line after the word "prints"."""
PAGES_OF_MODULES = cache(reference)
LINK = re.compile(r"\]\(([^)#\s]+)\)")


def quick_blocks():
    """Language, code, and what the page says that a program prints: "" where that is left to
    chance.
    """
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for i, found in enumerate(QUICK.finditer(text)):
            after = PRINTED.match(text, found.end())
            words, block, line = after.groups() if after else ("chance", "", "")
            told = "chance" not in words and (block or words.strip() == "prints")
            shown = (block or line) if told and found[1] == "python" else ""
            yield pytest.param(found[1], found[2], shown, id=f"{page.relative_to(ROOT)}-{i}")


@pytest.mark.parametrize(("language", "code", "shown"), list(quick_blocks()))
def test_quick_blocks_run(language, code, shown, tmp_path, monkeypatch, capsys):
    """Programs and commands in this process, which has imported most of what they need; the first
    command of the README as a user runs it, below.
    """
    monkeypatch.chdir(tmp_path)
    if language == "python":
        exec(compile(code, "<documentation>", "exec"), {"__name__": "__main__"})
        printed = capsys.readouterr().out
        assert printed
        assert not shown or printed.split() == shown.split()
        return
    for line in filter(None, code.splitlines()):
        program, option, module, *arguments = line.split()
        assert (program, option) == ("python", "-m")
        done = module_command(monkeypatch, capsys, module, *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_what_programs_print_is_on_their_pages():
    assert sum(bool(block.values[2]) for block in quick_blocks()) >= 9


def test_some_blocks_are_marked_in_readme_and_docs():
    names = [str(parameters.id) for parameters in quick_blocks()]
    assert any(name.startswith("README") for name in names)
    assert sum(name.startswith("docs") for name in names) >= 3


def test_the_readme_shows_what_its_command_prints(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    command, shown = re.findall(
        r"<!-- quick -->\n+```\n(.*?)\n```\n+```text\n(.*?)```", text, re.DOTALL
    )[0]
    done = subprocess.run(
        [sys.executable, *command.split()[1:]],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        cwd=tmp_path,
        check=True,
    )
    assert " ".join(shown.split()) in " ".join(done.stdout.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve()
        made = path.parent == ROOT / "docs" / "reference" and path.stem in PAGES_OF_MODULES(ROOT)
        assert "://" in target or made or path.exists(), target


@pytest.mark.parametrize("package", ["stability", "toy", "deep"])
def test_the_reference_has_a_page_for_each_module_and_a_table_of_them(package):
    pages = PAGES_OF_MODULES(ROOT)
    for file in (ROOT / package).rglob("[!_]*.py"):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        assert f"::: {module}\n" in pages[module]
        assert f"({module}.md)" in pages[package]
    assert (
        "| [`wasserstein`](stability.transport.wasserstein.md) | `wasserstein`"
        in pages["stability"]
    )


def test_the_reference_begins_with_names_that_are_public():
    text = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\[`(\w+)`\]\[", text))
    assert len(names) > 20
    assert names - {"w1"} <= set(stability.__all__)


def test_the_two_set_up_commands_of_the_readme_install_what_continuous_integration_does():
    readme, script = (
        (ROOT / "README.md").read_text(encoding="utf-8"),
        (ROOT / ".ci" / "run").read_text(),
    )
    assert (
        readme.count(
            "python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e"
        )
        == 2
    )
    assert "python -m pytest" in readme
    assert "python -m pytest" in script
    assert "-c constraints.txt" in script
