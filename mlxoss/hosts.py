"""Machines that serve together: what is known of one, and how this program is run there.

By ssh, at the path that the program has here.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

LOCAL = frozenset({"127.0.0.1", "localhost"})
"""Names of a host whose rank is started without ssh."""

_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ClearAllForwardings=yes")
"""No terminal, no question, no forwarding."""


@dataclass(frozen=True, slots=True)
class Host:
    """A rank's host: where ssh finds it, and its addresses and devices for the group.

    ``rdma`` holds for each rank the devices that lead there, none to the host itself.
    """

    rank: int
    ssh: str
    ips: tuple[str, ...] = ()
    rdma: tuple[tuple[str, ...], ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether its rank is started without ssh; rank 0 is on this machine."""
        return self.rank == 0 or self.ssh in LOCAL

    def __str__(self) -> str:
        return f"rank {self.rank} ({self.ssh})"

    def to_command(self, command: str) -> str:
        """What to type here to run ``command`` there."""
        if self.is_local:
            return command
        return f"ssh {self.ssh} {shlex.quote(command) if '|' in command else command}"


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
