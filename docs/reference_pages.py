"""Hook of MkDocs: the reference is made from the code, a page a module and a page a package.

The page of a package lists its rooms, their modules, and the public names of each with a line on
what it is. `docs/reference/index.md`, which is written by hand, shows the names to begin with.
"""

import ast
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGES = ("stability", "toy", "deep")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages of the reference.

    Args:
        files: The documentation's.
        config: Of MkDocs.

    Returns:
        The same, with a page for each package and for each module.
    """
    root = Path(config.docs_dir).parent
    for name, text in reference(root).items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def reference(root: Path) -> dict[str, str]:
    """The pages: name of a package or a module -> Markdown.

    Args:
        root: Folder of the repository.
    """
    pages = {}
    for package in PACKAGES:
        rooms = [root / package, *sorted((root / package).rglob("*/"))]
        parts = [f"# {package}\n\n{_first_line(root / package / '__init__.py')}\n"]
        for room in rooms:
            modules = [file for file in sorted(room.glob("*.py")) if file.stem != "__init__"]
            if not modules:
                continue
            if room != root / package:
                title = _first_line(room / "__init__.py")
                parts.append(f"\n## {_dotted(room, root)}\n\n{title}\n")
            parts.append("\n| module | names | |\n|---|---|---|\n")
            for file in modules:
                module = _dotted(file.with_suffix(""), root)
                pages[module] = f"---\ntitle: {module}\n---\n\n::: {module}\n"
                names = ", ".join(f"`{name}`" for name in _public(file))
                link = f"[`{file.stem}`]({module}.md)"
                parts.append(f"| {link} | {names} | {_first_line(file)} |\n")
        pages[package] = "".join(parts)
    return pages


def _dotted(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).parts)


def _first_line(file: Path) -> str:
    """The first paragraph of a module's docstring, on one line that a table can hold."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file.exists() else ""
    return " ".join((text or "").split("\n\n")[0].split()).replace("|", "\\|")


def _public(file: Path) -> list[str]:
    """Functions and classes that a module offers: those in `__all__`, where it has one."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    defined = [
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            offered = ast.literal_eval(node.value)
            return [name for name in defined if name in offered]
    return defined
