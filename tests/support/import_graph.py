"""The imports between the rooms of a package: python -m tests.support.import_graph

A room is a folder or a module directly in a package's folder. A level counts the rooms on the
longest path of imports below a room, itself included.
"""

import argparse
import ast
from collections.abc import Mapping
from pathlib import Path

__all__ = ["ROOT", "cycle", "imported_names", "levels", "room_imports"]

ROOT = Path(__file__).parents[2]

Graph = Mapping[str, set[str]]
"""Each room and the rooms that it imports."""


def room_imports(package: str) -> dict[str, set[str]]:
    """Read the import statements of a package, those within functions too.

    Args:
        package: Name of a folder in the project's root.

    Returns:
        Each room and the other rooms that it imports. The package's `__init__` is no room.
    """
    folder = ROOT / package
    graph: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        room = path.relative_to(folder).parts[0].removesuffix(".py")
        if room == "__init__":
            continue

        found = imported_names(path)
        rooms = {name.split(".")[1] for name in found if name.startswith(f"{package}.")}
        known = {one for one in rooms if (folder / one).is_dir() or (folder / f"{one}.py").exists()}
        graph.setdefault(room, set()).update(known - {room})
    return graph


def imported_names(path: Path) -> set[str]:
    """Read the import statements of a module, those within functions too.

    Args:
        path: File of the module.

    Returns:
        Dotted names of modules, and of names in them.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {name for node in ast.walk(tree) for name in _imported(node)}


def _imported(node: ast.AST) -> list[str]:
    """Dotted names that a statement imports; a name in a module counts as `module.name`."""
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return []


def cycle(graph: Graph) -> list[str]:
    """Find rooms that import each other in a circle.

    Args:
        graph: The rooms and what each imports.

    Returns:
        One circle, its first room again at its end; empty if there is none.
    """
    done: set[str] = set()

    def search(room: str, path: list[str]) -> list[str]:
        if room in path:
            return [*path[path.index(room) :], room]
        if room in done:
            return []
        for other in sorted(graph.get(room, ())):
            if found := search(other, [*path, room]):
                return found
        done.add(room)
        return []

    for room in graph:
        if found := search(room, []):
            return found
    return []


def levels(graph: Graph) -> dict[str, int]:
    """Count the rooms on the longest path of imports from each room.

    Args:
        graph: The rooms and what each imports, without a cycle.

    Returns:
        1 for a room that imports no other, and so on upwards.
    """
    found: dict[str, int] = {}

    def level(room: str) -> int:
        if room not in found:
            found[room] = 1 + max((level(other) for other in graph.get(room, ())), default=0)
        return found[room]

    for room in graph:
        level(room)
    return found


def show(package: str) -> str:
    """Describe a package: its rooms by level, with what each imports.

    Args:
        package: Name of a folder in the project's root.

    Returns:
        Several lines of text.
    """
    graph = room_imports(package)
    circle = cycle(graph)
    arrows = sum(map(len, graph.values()))
    if circle:
        return f"{package}: {len(graph)} rooms, {arrows} arrows, a cycle: {' -> '.join(circle)}"

    height = levels(graph)
    lines = [f"{package}: {len(graph)} rooms, {max(height.values())} levels, {arrows} arrows"]
    for room in sorted(graph, key=lambda room: (height[room], room)):
        lines.append(f"  {height[room]}  {room:18} {' '.join(sorted(graph[room]))}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print which room of a package imports which.")
    parser.add_argument("packages", nargs="*", default=["stability", "toy", "deep"])
    for name in parser.parse_args().packages:
        print(show(name))  # noqa: T201
