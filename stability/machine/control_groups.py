"""The control groups of Linux that limit this process: folders in which their limits stand."""

from collections.abc import Iterator
from pathlib import Path

__all__ = ["PROC", "group_folders"]

PROC = Path("/proc/self")


def group_folders(controller: str, proc: Path = PROC) -> Iterator[Path]:
    """Folders of our control group and of those around it, as far as they are mounted.

    Args:
        controller: Of version 1, such as `cpu` or `memory`; in version 2 all have the same folder.
        proc: Folder of this process under /proc, with `cgroup` and `mountinfo`.

    Yields:
        The folders; none on other systems than Linux.
    """
    try:
        groups = (proc / "cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (proc / "mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return

    for line in mounts:
        # ID PARENT MAJOR:MINOR ROOT POINT OPTIONS ... - TYPE SOURCE SUPER_OPTIONS
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, *_, options = after.split()
        if kind == "cgroup2":
            of_controller = ""
        elif kind == "cgroup" and controller in options.split(","):
            of_controller = controller
        else:
            continue
        yield from _upwards(Path(point), root, _group(groups, of_controller))


def _group(groups: list[str], controller: str) -> str:
    """Path of our group in the hierarchy of a controller of version 1, or in that of version 2
    ("").
    """
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _upwards(point: Path, root: str, group: str) -> Iterator[Path]:
    """Folders of our group and of those around it, as far as they are mounted at `point`."""
    within = Path(group)
    relative = within.relative_to(root) if within.is_relative_to(root) else Path()
    if ".." in relative.parts:  # a group outside of our name space
        relative = Path()

    folder = point / relative
    yield folder
    while folder != point:
        folder = folder.parent
        yield folder
