"""The command `retraining`, run in this process."""

import sys
import warnings

from stability.runs import console_script


def retraining(monkeypatch, *arguments):
    """The exit status of the command in this process."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/retraining", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    try:
        console_script.main()
    except SystemExit as leaving:
        return leaving.code
    return 0
