"""Progress bars with an estimate of the time left, on standard error; nothing where that is no
terminal.
"""

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stability.runs.console import make_console

__all__ = ["progress_bar"]


def progress_bar(show: bool = True) -> Progress:
    """A context whose tasks count images. Processes beside the first one pass show=False."""
    console = make_console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not (show and console.is_terminal),
    )
