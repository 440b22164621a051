"""How many files this process may have open, connections among them."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable

from mlxoss.findings import DaemonProblem

_SPARE_FILES = 256


def fit_connections(wanted: int) -> int:
    """How many of ``wanted`` connections to take, so that files are left for all else.

    So connections alone never use them up, and a new one that is too many is told so.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, soft - min(_SPARE_FILES, soft // 2)))


def raise_file_limit(max_connections: int) -> None:
    """Let this process open as many files as its connections take, as far as it may.

    launchd gives a process 256 at first, and any number if it asks.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + _SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def watch_descriptors(
    wanted: int, clock: Callable[[], float] = time.time
) -> Callable[[], DaemonProblem | None]:
    """A check of whether files can be opened, and ``wanted`` connections taken."""
    began, fitting = clock(), fit_connections(wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = DaemonProblem(
        "few_connections",
        f"Of {wanted} connections only {fitting} are taken at a time: this process may open "
        f"no more than {soft} files.",
        "Raise that limit where it is started (`ulimit -n`), or lower max_connections.",
        began,
    )

    def check() -> DaemonProblem | None:
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                return DaemonProblem("no_files", *_EXHAUSTED, clock())
        return few if fitting < wanted else None

    return check


_EXHAUSTED = (
    "No more files can be opened, so new connections wait and nothing is stored.",
    "It goes on by itself when some are closed; `mlxoss restart` closes all.",
)
