"""Groups of hosts to check, and what was found of one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlxoss.cluster.check import ClusterFindings, check_cluster
from mlxoss.cluster.hostfile import read_hostfile
from mlxoss.findings import Check, Level


def write_hostfile(folder: Path, hosts: Sequence[object], **more: object) -> Path:
    path = folder / "hosts.json"
    path.write_text(json.dumps({"hosts": hosts, **more}))
    return path


def group(*names: str) -> list[dict[str, Any]]:
    return [{"ssh": name, "ips": [f"127.0.0.{n + 1}"]} for n, name in enumerate(names)]


def check(path: Path, model: str | None = None, *, deep: bool = False) -> ClusterFindings:
    hostfile = read_hostfile(path)
    return check_cluster(hostfile, hostfile.backend or "ring", model, deep=deep, links=False)


def of(found: ClusterFindings, rank: int, name: str) -> Check:
    (each,) = (f.check for f in found.findings if f.rank == rank and f.check.name == name)
    if each.level is Level.FAIL:
        assert each.remedy
    return each
