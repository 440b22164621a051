"""Whether this very process may reach the hosts of a group: it tries, since nothing else tells.

macOS 15 and newer keep a program from the hosts of its own network until a person allows it. What
Terminal or ssh starts is allowed, and so is ssh itself; a launch agent is not (Apple's TN3179). So
a check in a terminal can find all well, and ssh started by the daemon get there, while the daemon's
own connections fail at once with "No route to host". What it found outlives it in a file, since a
daemon that reaches nobody ends before anybody can ask it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from mlxoss.files import replace_file
from mlxoss.findings import Check, DaemonProblem, Level
from mlxoss.hosts import Host

logger = logging.getLogger(__name__)

UNREACHED = "host_unreached"
"""The problem's code."""

REMEDY = (
    "See whether it is on and in this network. If a terminal gets there and the service does not, "
    "macOS (15 and newer) keeps the service from it: allow it in System Settings > Privacy & "
    "Security > Local Network, then `mlxoss restart`. Reported, of exo among others: where it is "
    "allowed already, but not since a reboot, to switch that off and on again helped; and, where "
    "it is never listed, another build of Python (uv's)."
)

REACH_FILE = "reach.json"
_PORT = 22
"""ssh's; a host that refuses the connection was reached as well."""

_TRY_S = 3.0


@dataclass(frozen=True, slots=True)
class Tried:
    """An address of a rank's host; ``why`` it was not reached, ``None`` if it was."""

    rank: int
    host: str
    ip: str
    why: str | None

    @property
    def where(self) -> str:
        """Which it is, for people."""
        return f"rank {self.rank} ({self.host}) at {self.ip}"


@dataclass(frozen=True, slots=True)
class Reach:
    """What was found at the Unix time ``at``, in the order of the ranks."""

    at: float
    tried: tuple[Tried, ...]

    @property
    def unreached(self) -> list[Tried]:
        """Those that were not."""
        return [each for each in self.tried if each.why is not None]


def try_hosts(hosts: Sequence[Host]) -> Reach:
    """Try every address of every other machine, all at once. Seconds at most; never raises."""
    ways = [(host, ip) for host in hosts if not host.is_local for ip in host.ips]
    with ThreadPoolExecutor(max(1, len(ways))) as pool:
        whys = pool.map(lambda way: _try(way[1]), ways)
        tried = (
            Tried(host.rank, host.ssh, ip, why) for (host, ip), why in zip(ways, whys, strict=True)
        )
        return Reach(time.time(), tuple(tried))


def _try(ip: str) -> str | None:
    try:
        with socket.create_connection((ip, _PORT), _TRY_S):
            return None
    except TimeoutError:
        return f"no answer within {_TRY_S:.0f} s"
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            return None
        return os.strerror(error.errno) if error.errno else str(error)


def write_reach(folder: Path, reach: Reach) -> None:
    """Leave it in ``folder``, readable by its owner alone. Raises ``OSError``."""
    replace_file(folder / REACH_FILE, json.dumps(asdict(reach)).encode())


def read_reach(folder: Path, hosts: Sequence[Host]) -> Reach | None:
    """What a daemon last found of these very ``hosts``; ``None`` if nothing legible is there."""
    try:
        found = json.loads((folder / REACH_FILE).read_text(encoding="utf-8"))
        tried = tuple(
            Tried(int(each["rank"]), str(each["host"]), str(each["ip"]), _text(each["why"]))
            for each in found["tried"]
        )
        reach = Reach(float(found["at"]), tried)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = [(host.rank, host.ssh, ip) for host in hosts if not host.is_local for ip in host.ips]
    return reach if [(each.rank, each.host, each.ip) for each in tried] == known else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def judge_reach(hosts: Sequence[Host], reach: Reach | None) -> list[tuple[int, Check]]:
    """A check for each address, by its rank: whether the service gets there, if it has tried."""
    if reach is None:
        detail = "not tried yet: the service does so when it starts with this hostfile"
        check = Check("service", Level.SKIP, detail)
        return [(host.rank, check) for host in hosts if not host.is_local]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(reach.at))
    return [(each.rank, _judge(each, when)) for each in reach.tried]


def _judge(each: Tried, when: str) -> Check:
    if each.why is None:
        return Check("service", Level.OK, f"the service itself got to {each.ip} ({when})")
    detail = f"the service itself does not get to {each.ip}: {each.why} ({when})"
    return Check("service", Level.WARN, detail, REMEDY)


class HostReach:
    """What this process finds of ``hosts``. ``try_them`` may run on any thread."""

    def __init__(self, hosts: Sequence[Host], folder: Path) -> None:
        self._hosts = hosts
        self._folder = folder
        self._found: Reach | None = None

    def try_them(self) -> Reach:
        """Try all, and leave what was found for whoever asks later."""
        found = self._found = try_hosts(self._hosts)
        if found.unreached:
            logger.warning("%s", tell_unreached(found))
        with contextlib.suppress(OSError):
            write_reach(self._folder, found)
        return found

    def problem(self) -> DaemonProblem | None:
        """Which were not reached."""
        if self._found is None or not self._found.unreached:
            return None
        return DaemonProblem(UNREACHED, tell_unreached(self._found), REMEDY, self._found.at)


def tell_unreached(reach: Reach) -> str:
    """One sentence on those that were not."""
    listed = "; ".join(f"{each.where}: {each.why}" for each in reach.unreached)
    return f"The service itself does not get to {listed}."
