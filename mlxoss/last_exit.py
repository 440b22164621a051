"""How the daemon tells that starting it again cannot help.

The service manager restarts the daemon after every exit but 0 (``launchd.plist(5)``,
``KeepAlive`` with ``SuccessfulExit`` false). So a daemon that must not be restarted
exits with 0, and leaves its reason in a file that ``mlxoss status`` reads.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mlxoss.files import replace_file

FILE_NAME = "last-exit.json"


@dataclass(frozen=True, slots=True)
class LastExit:
    """Why a daemon ended on its own.

    ``code`` is a word for programs (``config``, ``port_taken``, ``model``), ``reason`` one sentence
    for people, ``pid`` the process that ended and ``at`` the Unix time in seconds.
    """

    code: str
    reason: str
    pid: int
    at: float


def write_last_exit(folder: Path, last: LastExit) -> None:
    """Leave ``last`` in ``folder`` (made if missing), readable by its owner only.

    The file is replaced whole, so that a reader never sees half of it. Raises ``OSError``.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(folder / FILE_NAME, json.dumps(asdict(last)).encode())


def read_last_exit(folder: Path) -> LastExit | None:
    """Return what the last daemon left in ``folder``; ``None`` if nothing legible is there."""
    try:
        found = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return LastExit(
            str(found["code"]), str(found["reason"]), int(found["pid"]), float(found["at"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear_last_exit(folder: Path) -> None:
    """Forget the last exit: called once a daemon has bound its port."""
    (folder / FILE_NAME).unlink(missing_ok=True)
