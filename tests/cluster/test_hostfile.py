"""Hostfiles that mlx.launch writes and takes, and those that people write."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlxoss.cluster.hostfile import Hostfile, read_hostfile
from mlxoss.errors import ConfigError
from mlxoss.hosts import Host

A: dict[str, Any] = {"ssh": "mac-a", "ips": ["10.0.0.1"]}
B: dict[str, Any] = {"ssh": "you@mac-b.local", "ips": ["10.0.0.2"]}
C: dict[str, Any] = {"ssh": "ssh://mac-c:2222", "ips": ["mac-c.local"]}
# Each of four has devices to its two neighbours only.
SQUARE = [["a" if abs(other - rank) in (1, 3) else None for other in range(4)] for rank in range(4)]


def write(folder: Path, document: object) -> Path:
    path = folder / "hosts.json"
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def rdma(*rows: Sequence[object], backend: str = "jaccl") -> dict[str, object]:
    hosts = [{**A, "ssh": f"mac-{n}", "rdma": row} for n, row in enumerate(rows)]
    return {"backend": backend, "hosts": hosts}


def test_a_plain_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, [A, B, C])
    monkeypatch.chdir(tmp_path)
    found = read_hostfile(Path("hosts.json"))
    assert found.path == path
    assert (found.backend, found.envs) == (None, ())
    assert [host.ssh for host in found.hosts] == ["mac-a", "you@mac-b.local", "ssh://mac-c:2222"]
    assert [host.ips for host in found.hosts] == [("10.0.0.1",), ("10.0.0.2",), ("mac-c.local",)]


def test_an_object_with_everything(tmp_path: Path) -> None:
    document = rdma([None, "rdma_en2"], [["rdma_en2", "rdma_en3"], None])
    path = write(tmp_path, document | {"envs": ["MLX_METAL_FAST_SYNCH=1", "EMPTY="]})
    first = Host(0, "mac-0", ("10.0.0.1",), ((), ("rdma_en2",)))
    second = Host(1, "mac-1", ("10.0.0.1",), (("rdma_en2", "rdma_en3"), ()))
    envs = ("MLX_METAL_FAST_SYNCH=1", "EMPTY=")
    assert read_hostfile(path) == Hostfile(path, (first, second), "jaccl", envs)


@pytest.mark.parametrize(
    ("document", "backend"),
    [
        ([{**A, "ssh": "127.0.0.1"}, {**A, "ssh": "127.0.0.1"}], None),
        ({"hosts": [A, B], "backend": ""}, None),
        ({"hosts": [A, B], "backend": "jaccl"}, "ring"),
        (rdma([None, "a", None], [None, None, "b"], ["c", "d", None], backend="ring"), None),
        (rdma(*(["a"] * n + [None] + ["a"] * (3 - n) for n in range(4))), None),
    ],
)  # fmt: skip
def test_what_mlx_takes_is_taken(tmp_path: Path, document: Any, backend: str | None) -> None:
    path = write(tmp_path, document)
    found = read_hostfile(path, backend)
    listed = document["hosts"] if isinstance(document, dict) else document
    assert [host.ssh for host in found.hosts] == [host["ssh"] for host in listed]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"", ["it is not JSON"]),
        (b"[{]", ["it is not JSON"]),
        (b"\xff\xfe[", ["it is not JSON"]),
        (b"[" * 200_000, ["it is not JSON"]),
        (b" " * 1_048_577, ["larger than 1 MiB"]),
        (b'{"hosts": [], "hosts": []}', ["the key 'hosts' stands twice"]),
        ("mac-a,mac-b", ["hosts must be a list of 2 to 64 hosts"]),
        (None, ["hosts must be a list"]),
        ({}, ["hosts must be a list of 2 to 64 hosts, not null"]),
        ([], ["hosts must be a list of 2 to 64 hosts, not []"]),
        ([A], ["hosts must be a list of 2 to 64 hosts"]),
        ([A] * 65, ["hosts must be a list of 2 to 64 hosts", "..."]),
        ({"host": [A, B]}, ["host is unknown (did you mean 'hosts'?)", "hosts must be a list"]),
        ([A, "mac-b"], ['hosts[1] must be an object with ssh and ips, not "mac-b"']),
        ([A, {"ips": ["10.0.0.2"]}], ["hosts[1].ssh must be a name that ssh can reach, not null"]),
        ([A, {**B, "ssh": "-oProxyCommand=x"}], ["hosts[1].ssh must", '"-oProxyCommand=x"']),
        ([A, {**B, "ssh": "ssh://-oProxyCommand=x"}], ["hosts[1].ssh must"]),
        ([A, {**B, "ssh": "you@-oProxyCommand=x"}], ["hosts[1].ssh must"]),
        ([A, {**B, "ssh": "mac b"}], ["hosts[1].ssh must"]),
        ([A, {**B, "ssh": "mac-b; rm -r x"}], ["hosts[1].ssh must"]),
        ([A, {**B, "ssh": "mac-b\n"}], ["hosts[1].ssh must"]),
        ([A, {**B, "ssh": ""}], ["hosts[1].ssh must"]),
        ([A, {**B, "ip": ["10.0.0.2"]}], ["hosts[1].ip is unknown (did you mean 'ips'?)"]),
        ([A, {"ssh": "mac-b"}], ["hosts[1].ips must have 1 as hosts[0].ips has for ring, not []"]),
        ([{"ssh": "a"}, {"ssh": "b"}], ["hosts[0].ips must name an address for ring", "hosts[1]"]),
        ([A, {**B, "ips": ["10.0.0.2", "10.0.0.3"]}], ["hosts[1].ips must have 1"]),
        ([A, {**B, "ips": "10.0.0.2"}], ["hosts[1].ips must be a list"]),
        ([A, {**B, "ips": ["10.0.0.2"] * 2}], ["hosts[1].ips must name each address once"]),
        ([A, {**B, "ips": [10]}], ["hosts[1].ips[0] must be an IPv4 address or a host name"]),
        ([A, {**B, "ips": [["10.0.0.2"]]}], ["hosts[1].ips[0] must"]),
        ([A, {**B, "ips": ["10.0.0.256"]}], ["hosts[1].ips[0] must"]),
        ([A, {**B, "ips": ["10.0.0.2:5000"]}], ["hosts[1].ips[0] must", "without a port"]),
        ([A, {**B, "ips": ["fe80::1"]}], ["hosts[1].ips[0] must be an IPv4 address"]),
        ([A, {**B, "ips": ["0.0.0.0"]}], ["hosts[1].ips[0] must"]),
        ([A, {**B, "ips": [""]}], ["hosts[1].ips[0] must"]),
        ({"hosts": [A, B], "backend": "mpi"}, ["backend must be one of ring, jaccl, not"]),
        ({"hosts": [A, B], "backend": ["ring"]}, ["backend must be one of"]),
        ({"hosts": [A, B], "envs": "A=1"}, ["envs must be a list"]),
        ({"hosts": [A, B], "envs": ["A"]}, ['envs[0] must be NAME=VALUE, not "A"']),
        ({"hosts": [A, B], "envs": ["A=1", "B-C=1"]}, ["envs[1] must be NAME=VALUE"]),
        ({"hosts": [A, B], "envs": [1]}, ["envs[0] must be NAME=VALUE, not 1"]),
        (rdma([], ["a", None]), ["hosts[0].rdma must have 2 entries, one for each rank"]),
        (rdma(*SQUARE), ["hosts[0].rdma[2] must name the device to rank 2", "hosts[3].rdma[1]"]),
        (rdma([None, "a"], ["a", "b"]), ["hosts[1].rdma[1] must be null, as it is the host"]),
        (rdma([None, None], ["a", None]), ["hosts[0].rdma[1] must name the device to rank 1"]),
        (rdma([None, []], ["a", None]), ["hosts[0].rdma[1] must name the device to rank 1"]),
        (rdma([None, 7], ["a", None]), ["hosts[0].rdma[1] must be null, a device or a list"]),
        (rdma([None, ["a", None]], ["a", None]), ["hosts[0].rdma[1] must be null, a device"]),
        (
            [{"ssh": 1, "ips": 2, "rdma": 3, "x": 4}, 5],
            ["hosts[0].x is", "hosts[0].ssh must", "hosts[0].ips must", "hosts[0].rdma", "[1]"],
        ),
    ],
)  # fmt: skip
def test_everything_that_is_wrong_is_named(
    tmp_path: Path, document: object, expected: list[str]
) -> None:
    path = write(tmp_path, document)
    with pytest.raises(ConfigError) as caught:
        read_hostfile(path)
    said = str(caught.value)
    assert said.startswith(f"The hostfile {path} cannot be used: ")
    for part in expected:
        assert part in said
    assert len(said) < len(str(path)) + 1000
    assert said.isprintable()


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, expected in {"gone": "it does not exist", ".": "no file", "pipe": "no file"}.items():
        with pytest.raises(ConfigError, match=expected):
            read_hostfile(tmp_path / name)
