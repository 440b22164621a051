"""Reads the file that names the hosts of a group, in mlx.launch's format (mlx 0.32).

A JSON list of hosts, or an object with ``hosts`` and maybe ``backend`` and ``envs``::

    {"backend": "ring", "envs": ["NAME=VALUE"],
     "hosts": [{"ssh": "mac-a", "ips": ["10.0.0.1"], "rdma": [null, "rdma_en5"]}, ...]}

mlx.launch passes over what it does not know and finds other mistakes only while the group starts,
so everything is checked here, and everything that is wrong is told at once. The first host is the
machine that serves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxoss.cluster.hosts import Wrong, read_envs, read_host
from mlxoss.core import JsonObject
from mlxoss.errors import ConfigError
from mlxoss.hosts import Host

BACKENDS = ("ring", "jaccl")
MOST_HOSTS = 64
_MOST_BYTES = 1 << 20
_KEYS = ("backend", "envs", "hosts")


@dataclass(frozen=True, slots=True)
class Hostfile:
    """The hosts of a group by rank. ``backend`` is ``None`` where the file names none."""

    path: Path
    hosts: tuple[Host, ...]
    backend: str | None = None
    envs: tuple[str, ...] = ()


def read_hostfile(path: Path, backend: str | None = None) -> Hostfile:
    """Read and check the file for a group over ``backend``, else its own, else ``ring``.

    Raises ``ConfigError`` that names the file and every finding by its key.
    """
    wrong = Wrong()
    document = _parse(path)
    table = document if isinstance(document, dict) else {"hosts": document}
    wrong.unknown("", table, _KEYS)
    named = _backend(table.get("backend"), wrong)
    hosts = _hosts(table.get("hosts"), wrong)
    envs = read_envs(table.get("envs", []), wrong)
    if not wrong.findings:
        used = backend or named or BACKENDS[0]
        (_check_ring if used == "ring" else _check_jaccl)(hosts, wrong)
    if wrong.findings:
        raise _refuse(path, "; ".join(wrong.findings))
    return Hostfile(path.absolute(), hosts, named, envs)


def _refuse(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"The hostfile {path} cannot be used: {why}.", key="hostfile", source=str(path)
    )


def _parse(path: Path) -> Any:
    try:
        if not path.is_file():
            raise _refuse(path, "it is no file" if path.exists() else "it does not exist")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _refuse(path, "it is larger than 1 MiB")
        return json.loads(data.decode("utf-8"), object_pairs_hook=_each_once)
    except OSError as error:
        raise _refuse(path, f"it cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise _refuse(path, f"it is not JSON ({error})") from None


def _each_once(pairs: list[tuple[str, Any]]) -> JsonObject:
    """An object whose keys differ: of two alike, JSON readers take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _backend(value: Any, wrong: Wrong) -> str | None:
    if value in (None, "") or value in BACKENDS:
        return value or None
    wrong.must("backend", f"be one of {', '.join(BACKENDS)}", value)
    return None


def _hosts(value: Any, wrong: Wrong) -> tuple[Host, ...]:
    if not isinstance(value, list) or not 2 <= len(value) <= MOST_HOSTS:
        wrong.must("hosts", f"be a list of 2 to {MOST_HOSTS} hosts", value)
        return ()
    return tuple(read_host(rank, each, wrong) for rank, each in enumerate(value))


def _check_ring(hosts: Sequence[Host], wrong: Wrong) -> None:
    """Each rank connects to every address of the next one, and wants as many from the last."""
    for host in hosts:
        if len(host.ips) != len(hosts[0].ips) or not host.ips:
            count = len(hosts[0].ips)
            wanted = f"have {count} as hosts[0].ips has" if count else "name an address"
            wrong.must(f"hosts[{host.rank}].ips", f"{wanted} for ring", list(host.ips))


def _check_jaccl(hosts: Sequence[Host], wrong: Wrong) -> None:
    """Rank 0's first address is where all meet; a device for every rank that one talks to."""
    if not hosts[0].ips:
        wrong.must("hosts[0].ips", "name an address for jaccl", [])
    for host in hosts:
        where = f"hosts[{host.rank}].rdma"
        if len(host.rdma) != len(hosts):
            wrong.must(where, f"have {len(hosts)} entries, one for each rank", list(host.rdma))
            continue
        if host.rdma[host.rank]:
            own = f"{where}[{host.rank}]"
            wrong.must(own, "be null, as it is the host itself", host.rdma[host.rank])
        for peer, devices in enumerate(host.rdma):
            if peer != host.rank and not devices:
                wrong.must(f"{where}[{peer}]", f"name the device to rank {peer}", None)
