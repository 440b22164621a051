"""How ``mlxoss cluster check`` shows what it found: a table for people, or JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import typer

from mlxoss.cli.printing import LEVEL_COLOURS, fitted
from mlxoss.cluster.check import ClusterFindings, Finding
from mlxoss.cluster.hostfile import Hostfile
from mlxoss.findings import GB, Check, Level


def to_json(hostfile: Hostfile, backend: str, found: ClusterFindings) -> str:
    """Everything as one JSON object; what could not be had is ``null``."""
    reports = {rank: asdict(report) for rank, report in found.reports.items()}
    document = {
        "hostfile": str(hostfile.path),
        "backend": backend,
        "ok": not found.failed,
        "checks": [_flat(hostfile, finding) for finding in found.findings],
        "hosts": [
            {"rank": host.rank, "ssh": host.ssh, "report": reports.get(host.rank)}
            for host in hostfile.hosts
        ],
        "links": [asdict(link) for link in found.links],
    }
    return json.dumps(document, indent=2)


def _flat(hostfile: Hostfile, finding: Finding) -> dict[str, object]:
    host = hostfile.hosts[finding.rank].ssh
    return {"rank": finding.rank, "host": host, **asdict(finding.check)}


def to_table(
    hostfile: Hostfile, backend: str, found: ClusterFindings, *, terminal: bool = False
) -> str:
    """For each host a line for each check in columns, its remedy below it; what it comes to."""
    lines = [f"{len(hostfile.hosts)} hosts over {backend}, {hostfile.path}"]
    for host in hostfile.hosts:
        lines.append(typer.style(f"rank {host.rank}  {host.ssh}", bold=True))
        checks = (finding.check for finding in found.findings if finding.rank == host.rank)
        lines.extend(row for check in checks for row in _rows(check, terminal=terminal))
    return "\n".join([*lines, _sum(found)])


def _rows(check: Check, *, terminal: bool) -> Iterator[str]:
    text = f"  {check.level:4}  {check.name:8}  {check.detail}"
    line = fitted(text, indent=18, terminal=terminal)
    yield "  " + typer.style(line[2:6], fg=LEVEL_COLOURS[check.level]) + line[6:]
    if check.remedy and check.level is not Level.OK:
        yield fitted(f"        -> {check.remedy}", indent=11, terminal=terminal)


def _sum(found: ClusterFindings) -> str:
    failed = sum(finding.check.level is Level.FAIL for finding in found.findings)
    if failed:
        return f"{failed} of {len(found.findings)} checks failed."
    model = found.reports[0].model
    assert model is not None  # else a check has failed
    each = model.shard_bytes / GB
    return f"Ready: each rank holds {each:.1f} GB of {model.weights_bytes / GB:.1f} GB of weights."
