"""Checks a group before it is started: every host at once, then the links one by one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mlxoss.cluster.hostfile import Hostfile
from mlxoss.cluster.hosts import foreign_ips
from mlxoss.cluster.judge import (
    judge_link,
    judge_memory,
    judge_model,
    judge_place,
    judge_rdma,
    judge_versions,
    on_one_machine,
    ways,
)
from mlxoss.cluster.link import COME_S, PATIENCE_S, LinkSpeed
from mlxoss.cluster.remote import Asking, Remote
from mlxoss.cluster.report import HostReport, parse_report
from mlxoss.cluster.trouble import Trouble
from mlxoss.core import JsonMapping
from mlxoss.findings import Check, Level
from mlxoss.hosts import Host

REPORT_S = 30.0
DEEP_S = 3600.0
"""How long a host may take to read all of its weights."""
_LINK_S = COME_S + 2 * PATIENCE_S


@dataclass(frozen=True, slots=True)
class Finding:
    """A check of one rank."""

    rank: int
    check: Check


@dataclass(frozen=True, slots=True)
class Measured:
    """A link from one rank to another's address."""

    source: int
    target: int
    ip: str
    link: LinkSpeed


@dataclass(frozen=True, slots=True)
class ClusterFindings:
    """All findings in the order of the ranks; the reports and links that could be had."""

    findings: list[Finding] = field(default_factory=list)
    reports: dict[int, HostReport] = field(default_factory=dict)
    links: list[Measured] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the group cannot work like this."""
        return any(finding.check.level is Level.FAIL for finding in self.findings)


def check_cluster(
    hostfile: Hostfile, backend: str, model: str | None, *, deep: bool = False, links: bool = True
) -> ClusterFindings:
    """Check the hosts for ``model`` (as the setting) over ``backend``. Never raises.

    ``deep`` has each host read all weights. Without ``links`` no link is measured.
    """
    found, hosts = ClusterFindings(), hostfile.hosts
    envs, ranks = list(hostfile.envs), len(hosts)
    question = {"ask": "report", "model": model, "ranks": ranks, "deep": deep, "envs": envs}
    with ThreadPoolExecutor(len(hosts)) as pool:
        limit_s = DEEP_S if deep else REPORT_S
        told = list(pool.map(lambda host: _ask_report(host, question, limit_s), hosts))
    found.reports.update((n, each) for n, each in enumerate(told) if isinstance(each, HostReport))
    found.findings.append(Finding(0, judge_place(foreign_ips(hosts[0]))))
    for host, answer in zip(hosts, told, strict=True):
        checks = _judge_host(host, answer, found.reports, backend)
        found.findings.extend(Finding(host.rank, check) for check in checks)
    if links:
        _check_links(hosts, backend, found)
    return found


def _ask_report(host: Host, question: JsonMapping, limit_s: float) -> HostReport | Trouble:
    answer = Remote(host).ask(question, limit_s)
    if isinstance(answer, Trouble):
        return answer
    report = parse_report(answer)
    if report is None:
        versions = answer.get("versions")
        return Trouble(
            f"its mlxoss is of another version: {versions}", "Bring both to one version."
        )
    return report


def _judge_host(
    host: Host,
    answer: HostReport | Trouble,
    reports: Mapping[int, HostReport],
    backend: str,
) -> list[Check]:
    if isinstance(answer, Trouble):
        return [Check("reach", Level.FAIL, answer.detail, answer.remedy)]
    first = reports[min(reports)]
    checks = [
        _judge_reach(host),
        judge_versions(first, answer, host),
        judge_model(first, answer, host),
        judge_memory(answer, on_one_machine(reports)[host.rank], host),
    ]
    return [*checks, judge_rdma(answer, host)] if backend != "ring" else checks


def _judge_reach(host: Host) -> Check:
    if host.is_local:
        return Check("reach", Level.OK, "without ssh")
    held = os.environ.get("SSH_AUTH_SOCK")
    # launchd's own agent is there for its jobs too.
    if held and "com.apple.launchd" not in held and Remote(host).needs_agent():
        detail = "ssh gets there only by the agent of this shell, which a service does not have"
        remedy = f"Let a key without a passphrase in: ssh-copy-id -i FILE {host.ssh}"
        return Check("reach", Level.WARN, detail, remedy)
    return Check("reach", Level.OK, "by ssh without a password")


def _check_links(hosts: Sequence[Host], backend: str, found: ClusterFindings) -> None:
    """One after the other: two at once would share a cable."""
    for source, target, ip in ways(hosts, backend):
        way = f"to rank {target.rank} at {ip}"
        if not {source.rank, target.rank} <= found.reports.keys():
            check = Check("link", Level.SKIP, f"{way}: not both hosts could be asked")
        else:
            link = measure_link(Remote(source), Remote(target), ip)
            check = judge_link(way, link, over_tcp=backend == "ring")
            if isinstance(link, LinkSpeed):
                found.links.append(Measured(source.rank, target.rank, ip, link))
        found.findings.append(Finding(source.rank, check))


def measure_link(source: Remote, target: Remote, ip: str) -> LinkSpeed | Trouble:
    """Have ``target`` listen on its address ``ip`` and ``source`` measure the way there."""
    secret = secrets.token_hex(16)
    key = f"hosts[{target.host.rank}].ips"
    with Asking(target, {"ask": "listen", "host": ip, "secret": secret}, _LINK_S) as listening:
        told = listening.answer()
        if isinstance(told, Trouble):
            return told
        if "port" not in told:
            return Trouble(
                f"{ip} cannot be listened on there ({told.get('error')})", f"Correct {key}."
            )
        asked = {"ask": "measure", "host": ip, "port": told["port"], "secret": secret}
        answer = source.ask(asked, _LINK_S)
    if isinstance(answer, Trouble):
        return answer
    if "error" in answer:
        remedy = (
            f"See whether they share a network: {source.host.to_command(f'ping {ip}')}; macOS may "
            "keep programs from it: System Settings > Network > Firewall, and > Privacy & Security "
            "> Local Network"
        )
        return Trouble(f"no way there ({answer['error']})", remedy)
    return LinkSpeed(**answer)
