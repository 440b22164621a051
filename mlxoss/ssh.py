"""How this program is run on another machine: by ssh, at the path that it has here."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ClearAllForwardings=yes")
"""No terminal, no question, no forwarding."""


def over_ssh(host: str, command: str, *, connect_s: int, options: Sequence[str] = ()) -> list[str]:
    """What to run here so that a shell on ``host`` runs ``command``.

    ssh gives up a host that is not reached within ``connect_s``; ``options`` are more of its own.
    """
    return ["ssh", *_OPTIONS, "-o", f"ConnectTimeout={connect_s}", *options, "--", host, command]


def own_command(*arguments: str, python: str = sys.executable) -> list[str]:
    """The words that run ``mlxoss`` with ``arguments``, on any machine that has it at this path."""
    return [python, "-P", "-m", "mlxoss", *arguments]


def to_exec(words: Sequence[str]) -> str:
    """``words`` as a shell's line that leaves no shell behind."""
    return f"exec {shlex.join(words)}"
