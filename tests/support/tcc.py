"""macOS's privacy settings (TCC), on any machine: folders that an agent of launchd may not read.

What opens or lists something there gets EPERM, whoever it is; looking whether it is there (stat) is
allowed, as it is on a Mac. A terminal, which a person has allowed there, is let in. Python's own
opens only: what a library opens in C is not seen.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

_OPENS = {"open", "os.listdir", "os.scandir"}


def guard(folder: str) -> None:
    """Close ``folder`` to this process if it is an agent: for the first lines of a program."""
    if "XPC_SERVICE_NAME" not in os.environ:
        return
    closed = os.path.realpath(folder)

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event not in _OPENS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path == closed or path.startswith(closed + os.sep):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)

    sys.addaudithook(refuse)


def preamble(folder: Path) -> str:
    """The first lines of a program that is closed out of ``folder``."""
    root = str(Path(__file__).parents[2])
    lines = ["import sys", f"sys.path.insert(0, {root!r})", "from tests.support.tcc import guard"]
    return "\n".join([*lines, f"guard({str(folder)!r})", ""])
