"""What reports and measured links amount to. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

from mlxoss.cluster.link import LinkSpeed
from mlxoss.cluster.report import HostModel, HostReport
from mlxoss.cluster.trouble import Trouble
from mlxoss.findings import GB, OVERHEAD, Check, Level
from mlxoss.hosts import Host

_OTHER = "Choose another model, or another number of hosts: mlxoss models list"
SLOW_ROUND_TRIP_S = 0.0015
SLOW_BYTES_PER_S = 90e6
"""A gigabit cable does 118 MB/s in 0.3 ms; Wi-Fi rarely 90, in several."""


def judge_versions(here: HostReport, there: HostReport, host: Host) -> Check:
    """Whether the same software runs on both: other versions may compute other tokens."""
    differing = [
        f"{name} {there.versions.get(name, 'missing')}, not {version}"
        for name, version in here.versions.items()
        if there.versions.get(name) != version
    ]
    if not differing:
        listed = (f"{name} {version}" for name, version in there.versions.items())
        return Check("versions", Level.OK, ", ".join(listed))
    pins = " ".join(
        f"{name}=={version}" for name, version in here.versions.items() if name != "python"
    )
    command = host.to_command(f"{sys.executable} -m pip install {pins}")
    remedy = f"Bring it to the same: {command}, or brew upgrade mlxoss on both"
    return Check("versions", Level.FAIL, "; ".join(differing), remedy)


def judge_model(first: HostReport, there: HostReport, host: Host) -> Check:
    """Whether the model is there, and the very one that rank 0 has."""
    wanted, found = first.model, there.model
    if found is None:
        remedy = _pull(wanted, host) if wanted else _OTHER
        return Check("model", Level.FAIL, there.model_error or "there is none", remedy)
    if wanted is None:
        return Check("model", Level.SKIP, "there is none on rank 0 to compare it with")
    differing = _difference(wanted, found)
    if differing:
        return Check("model", Level.FAIL, f"{found.name}: {differing}", _pull(wanted, host))
    how = "read whole" if found.contents else "by parts of its files"
    at = f" at {found.commit[:12]}" if found.commit else ""
    return Check("model", Level.OK, f"{found.name}{at}, {found.digest[:12]} {how}")


def _difference(wanted: HostModel, found: HostModel) -> str | None:
    if wanted.commit and found.commit and wanted.commit != found.commit:
        return f"it is at {found.commit[:12]}, rank 0's at {wanted.commit[:12]}"
    if wanted.digest != found.digest:
        return "it is not rank 0's (its configuration, its files' sizes or parts of them)"
    if wanted.contents != found.contents:
        return "its weights are not those of rank 0's, though they look alike"
    return None


def _pull(wanted: HostModel, host: Host) -> str:
    """How to get rank 0's model to a host."""
    if wanted.commit is None:
        return f"Copy rank 0's folder to the same path: rsync -a FOLDER/ {host.ssh}:FOLDER/"
    pull = f"{sys.executable} -m mlxoss models pull {wanted.name} --revision {wanted.commit}"
    return host.to_command(pull)


def judge_memory(there: HostReport, together: int, host: Host) -> Check:
    """Whether the shards of the ``together`` ranks on that machine fit, with room to compute."""
    name, memory = "memory", there.memory
    if there.model is None:
        return Check(name, Level.SKIP, "the model's size is unknown")
    shards = there.model.shard_bytes * together
    needed = shards * OVERHEAD
    limit = memory.limit_bytes
    usable = "an unknown part" if limit is None else f"{limit / GB:.1f}"
    detail = (
        f"{_ranks(together)} about {needed / GB:.1f} GB, {usable} of "
        f"{memory.total_bytes / GB:.1f} GB can be used"
    )
    if needed > memory.total_bytes or (limit is not None and shards > limit):
        return Check(name, Level.FAIL, detail, _more_memory(needed, memory.total_bytes, host))
    if limit is None:
        remedy = f"MLX could not be asked: {host.to_command(f'{sys.executable} -m mlxoss doctor')}"
        return Check(name, Level.WARN, detail, remedy)
    if needed > limit:
        return Check(name, Level.WARN, detail, _more_memory(needed, memory.total_bytes, host))
    if memory.free_bytes is not None and needed > memory.free_bytes:
        detail += f", {memory.free_bytes / GB:.1f} GB is free"
        command = host.to_command("ps axo rss,comm | sort -rn | head")
        remedy = f"Unless mlxoss itself holds it, see what does: {command}"
        return Check(name, Level.WARN, detail, remedy)
    return Check(name, Level.OK, detail)


def _ranks(together: int) -> str:
    return "its rank needs" if together == 1 else f"the {together} ranks on it need"


def _more_memory(needed: float, total_bytes: int, host: Host) -> str:
    if needed > total_bytes:
        return "Share the model among more hosts, or choose a smaller one."
    wanted_mb = int(needed / 1_048_576) + 1
    command = f"sudo sysctl iogpu.wired_limit_mb={wanted_mb}"
    command = command if host.is_local else f"ssh -t {host.ssh} {command}"
    return f"{command} (until the next boot)"


def judge_rdma(there: HostReport, host: Host) -> Check:
    """Whether the devices that the hostfile names are there."""
    wanted = sorted({device for devices in host.rdma for device in devices})
    listed = ", ".join(wanted)
    if there.rdma is None:
        remedy = f"See for yourself: {host.to_command('ibv_devices')}"
        return Check("rdma", Level.SKIP, f"not checked: no ibv_devices to ask for {listed}", remedy)
    missing = [device for device in wanted if device not in there.rdma]
    if not missing:
        return Check("rdma", Level.OK, listed)
    remedy = (
        "RDMA over Thunderbolt 5 needs macOS 26.2 and `rdma_ctl enable`, once, in Recovery; "
        f"what there is: {host.to_command('ibv_devices')}"
    )
    found = ", ".join(there.rdma) or "none"
    return Check("rdma", Level.FAIL, f"{', '.join(missing)} missing, there is {found}", remedy)


def judge_link(way: str, found: LinkSpeed | Trouble, *, over_tcp: bool) -> Check:
    """Whether a link is there and quick; speed counts only where the group uses it (ring)."""
    if isinstance(found, Trouble):
        return Check("link", Level.FAIL, f"{way}: {found.detail}", found.remedy)
    detail = f"{way}: {found.round_trip_s * 1e3:.2f} ms to and fro, {_rate(found.bytes_per_s)}"
    slow = found.round_trip_s > SLOW_ROUND_TRIP_S or found.bytes_per_s < SLOW_BYTES_PER_S
    if slow and over_tcp:
        remedy = (
            "That is as slow as Wi-Fi: put the addresses of a cable (Thunderbolt, Ethernet) in "
            "ips; mlx.distributed_config sets them up"
        )
        return Check("link", Level.WARN, detail, remedy)
    return Check("link", Level.OK, detail)


def _rate(bytes_per_s: float) -> str:
    if bytes_per_s >= GB:
        return f"{bytes_per_s / GB:.1f} GB/s"
    return f"{bytes_per_s / 1e6:.0f} MB/s"


def on_one_machine(reports: Mapping[int, HostReport]) -> dict[int, int]:
    """For each rank how many ranks, itself included, its machine holds."""
    machines = [report.machine for report in reports.values()]
    return {rank: machines.count(report.machine) for rank, report in reports.items()}


def judge_place(foreign: Sequence[str]) -> Check:
    """Whether rank 0, which serves, is this machine; ``foreign`` are its addresses that are not."""
    if not foreign:
        return Check("place", Level.OK, "this machine, which serves")
    detail = f"{', '.join(foreign)} not of this machine, but the first host is the one that serves"
    remedy = "Put this machine first in the file, or run this on the first host."
    return Check("place", Level.FAIL, detail, remedy)


def ways(hosts: Sequence[Host], backend: str) -> Iterator[tuple[Host, Host, str]]:
    """Who connects to whom at which address, in the order in which the group does."""
    if backend == "ring":
        for host in hosts:
            right = hosts[(host.rank + 1) % len(hosts)]
            yield from ((host, right, ip) for ip in right.ips)
    else:
        yield from ((host, hosts[0], hosts[0].ips[0]) for host in hosts[1:])
