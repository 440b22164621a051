"""One host of a hostfile, and the words for what is wrong with it."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlxoss.config import did_you_mean
from mlxoss.hosts import Host

_KEYS = ("ssh", "ips", "rdma")
# What ssh takes for a destination (a name, user@name, ssh://user@name:port), and no option of it.
_DESTINATION = re.compile(
    r"(?:ssh://)?[\w.][\w.+%-]*(?:@[\w.\[][\w.:%\[\]-]*|[\w.:%\[\]-]*)/?", re.A
)
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE | re.A)
_DEVICE = re.compile(r"[\w.-]{1,64}", re.A)
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^\0\n]*")
_MOST_SHOWN = 80


def foreign_ips(host: Host) -> list[str]:
    """The addresses of ``host`` that are not this machine's."""
    return [ip for ip in host.ips if not _is_own(ip)]


def _is_own(ip: str) -> bool:
    try:
        with socket.create_server((ip, 0)):
            return True
    except OSError:
        return False


@dataclass(slots=True)
class Wrong:
    """Gathers what is wrong: ends of a sentence, each with the key that it is about."""

    findings: list[str] = field(default_factory=list)

    def must(self, key: str, wanted: str, value: object) -> None:
        """Note that ``key`` must ``wanted`` and not be the JSON ``value``."""
        shown = json.dumps(value)
        shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
        self.findings.append(f"{key} must {wanted}, not {shown}")

    def unknown(self, where: str, table: Iterable[str], known: Sequence[str]) -> None:
        """Note keys that mean nothing: most are misspelt."""
        for key in sorted(set(table) - set(known)):
            hint = did_you_mean(key, known)
            self.findings.append(f"{where}{key[:_MOST_SHOWN]} is unknown{hint}")


def read_host(rank: int, value: Any, wrong: Wrong) -> Host:
    """Read the host at that place in the list; what is wrong with it goes to ``wrong``."""
    where = f"hosts[{rank}]"
    if not isinstance(value, dict):
        wrong.must(where, "be an object with ssh and ips", value)
        return Host(rank, "")
    wrong.unknown(f"{where}.", value, _KEYS)
    ssh = value.get("ssh")
    if not isinstance(ssh, str) or not _DESTINATION.fullmatch(ssh):
        wrong.must(f"{where}.ssh", "be a name that ssh can reach", ssh)
    ips = _list(f"{where}.ips", value.get("ips", []), wrong)
    for place, ip in enumerate(ips):
        _check_address(f"{where}.ips[{place}]", ip, wrong)
    if len(set(map(str, ips))) < len(ips):
        wrong.must(f"{where}.ips", "name each address once", ips)
    devices = enumerate(_list(f"{where}.rdma", value.get("rdma", []), wrong))
    rdma = tuple(_devices(f"{where}.rdma[{place}]", each, wrong) for place, each in devices)
    return Host(rank, str(ssh), tuple(map(str, ips)), rdma)


def read_envs(value: Any, wrong: Wrong) -> tuple[str, ...]:
    """Read the variables that every rank is started with: ``NAME=VALUE`` each."""
    envs = _list("envs", value, wrong)
    for place, each in enumerate(envs):
        if not isinstance(each, str) or not _ENV.fullmatch(each):
            wrong.must(f"envs[{place}]", "be NAME=VALUE", each)
    return tuple(map(str, envs))


def _list(where: str, value: Any, wrong: Wrong) -> list[Any]:
    if isinstance(value, list):
        return value
    wrong.must(where, "be a list", value)
    return []


def _check_address(where: str, value: Any, wrong: Wrong) -> None:
    """An IPv4 address or a name: MLX looks for the port behind the first colon."""
    wanted = "be an IPv4 address or a host name without a port"
    if not isinstance(value, str):
        wrong.must(where, wanted, value)
        return
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        if not _NAME.fullmatch(value):
            wrong.must(where, wanted, value)
        return
    if address.version != 4 or address.is_unspecified or address.is_multicast:
        wrong.must(where, wanted, value)


def _devices(where: str, value: Any, wrong: Wrong) -> tuple[str, ...]:
    """``null``, a device, or the devices of several cables."""
    devices = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(each, str) and _DEVICE.fullmatch(each) for each in devices):
        wrong.must(where, "be null, a device or a list of devices", value)
    return tuple(map(str, devices))
