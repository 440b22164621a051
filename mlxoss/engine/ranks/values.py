"""The values of a group of ranks that others need: where they run, and how they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mlxoss.hosts import Host


@dataclass(frozen=True, slots=True)
class Plan:
    """What the ranks are to be: their ``hosts`` in order, the first one this machine.

    ``backend`` is MLX's, ``envs`` are variables for every rank. A rank of which nothing is heard
    for ``timeout_s`` is lost, and so is a group that takes as long for one step. ``model``,
    ``memory_limit``, ``prefix_bytes``, ``wired`` and ``command_buffers`` are as the settings of
    those names.
    """

    hosts: tuple[Host, ...]
    backend: str
    timeout_s: float
    envs: Mapping[str, str]
    model: str | None
    memory_limit: int | None = None
    prefix_bytes: int | None = None
    wired: str = "auto"
    command_buffers: str = "auto"


@dataclass(frozen=True, slots=True)
class Seat:
    """What one rank is told at its start, on its standard input."""

    rank: int
    size: int
    ips: tuple[str, ...]
    backend: str
    rdma: tuple[tuple[tuple[str, ...], ...], ...]
    leader: tuple[str, int]
    secret: str
    timeout_s: float
    envs: Mapping[str, str]
    model: str | None
    memory_limit: int | None
    prefix_bytes: int | None
    wired: str
    command_buffers: str

    def to_line(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def parse_seat(line: bytes) -> Seat:
    """``Seat.to_line`` backwards. Raises ``ValueError``."""
    try:
        found = json.loads(line)
        host, port = found.pop("leader")
        ips = tuple(found.pop("ips"))
        rdma = tuple(tuple(map(tuple, each)) for each in found.pop("rdma"))
        return Seat(leader=(host, port), ips=ips, rdma=rdma, **found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"this is for mlxoss to run, with a line on standard input: {error}"
        ) from error


@dataclass(frozen=True, slots=True)
class RankStatus:
    """A reading of one rank. ``memory`` is MLX's own count in bytes, empty before it is known.

    ``silent_s`` is since when nothing was heard of it.
    """

    rank: int
    host: str
    pid: int | None
    memory: Mapping[str, int]
    silent_s: float


@dataclass(frozen=True, slots=True)
class RanksStatus:
    """A reading of the group.

    ``communication_s_per_step`` is what the sums of a step of one sequence took when they were
    last measured, one after the other with nothing between; ``None`` before that. Waiting for a
    rank that computes more slowly is not in it.
    """

    backend: str
    communication_s_per_step: float | None
    ranks: tuple[RankStatus, ...]
