"""Hosts that are checked over a real ssh: what is wrong with each is told, with its remedy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mlxoss.cli.cluster.table import to_table
from mlxoss.cluster.check import check_cluster
from mlxoss.cluster.hostfile import read_hostfile
from mlxoss.findings import Level
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.cli.runner import environment
from tests.support.cluster.groups import check, group, of, write_hostfile
from tests.support.cluster.sshd import Network

NAME = "some-org/gpt-oss-tiny"
SMALL = TinyModel(hidden=8)
COMMITS = ("a" * 40, "b" * 40)
NOISE = 'sh -c \'echo Welcome.; printf "no newline: "; eval "$SSH_ORIGINAL_COMMAND"\''


def cache(home: Path, commit: str, checkpoint: Path) -> Path:
    """Put a checkpoint where the Hugging Face cache has a model at that commit."""
    folder = home / "hub" / f"models--{NAME.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    for file in checkpoint.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    return snapshot


def test_two_hosts_that_are_fit(network: Network, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", SMALL)
    env = environment(tmp_path / "home", {"PATH": network.path})
    network.serve("mac-b", {"MLXOSS_HOME": tmp_path / "b"}, NOISE)
    path = write_hostfile(tmp_path, group("mac-a", "mac-b"))
    config = tmp_path / "home" / "mlxoss" / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"hostfile = {json.dumps(str(path))}\n")
    command = [sys.executable, "-m", "mlxoss", "cluster", "check", "--model", str(folder)]
    done = subprocess.run(
        [*command, "--deep", "--json"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    told = json.loads(done.stdout)
    assert (told["hostfile"], told["backend"], told["ok"]) == (str(path), "ring", True)
    names = [(each["rank"], each["name"]) for each in told["checks"]]
    of_host = ["reach", "versions", "model", "memory"]
    assert names == [
        (0, "place"),
        *((rank, name) for rank in (0, 1) for name in of_host),
        *[(0, "link"), (1, "link")],
    ]
    assert {each["level"] for each in told["checks"]} <= {"ok", "warn"}
    first, second = (each["report"] for each in told["hosts"])
    assert first == second | {"memory": first["memory"]}
    assert first["model"]["contents"]
    for link, ip in zip(told["links"], ("127.0.0.2", "127.0.0.1"), strict=True):
        assert link["ip"] == ip
        assert 0 < link["link"]["round_trip_s"] < 1
        assert link["link"]["bytes_per_s"] > 1e6


def test_another_revision_of_the_model_or_none(network: Network, tmp_path: Path) -> None:
    plain = write_checkpoint(tmp_path / "plain", SMALL)
    wider = write_checkpoint(tmp_path / "wider", TinyModel(hidden=16))
    homes = {name: tmp_path / name for name in "abcde"}
    homes["e"].mkdir()
    here = cache(homes["a"], COMMITS[0], plain)
    cache(homes["b"], COMMITS[1], plain)
    cache(homes["c"], COMMITS[0], wider)
    flipped = cache(homes["d"], COMMITS[0], plain) / "model.safetensors"
    data = bytearray(flipped.read_bytes())
    data[-1] ^= 1
    flipped.write_bytes(data)
    for name in "bcde":
        network.serve(f"mac-{name}", {"HF_HOME": homes[name]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(homes["a"]))
        paths = {
            name: write_hostfile(homes[name], group("mac-a", f"mac-{name}")) for name in "bcde"
        }
        found = {name: check(path, NAME) for name, path in paths.items()}
        deep = check(paths["d"], NAME, deep=True)
    pull = f"{sys.executable} -m mlxoss models pull {NAME} --revision {COMMITS[0]}"
    assert of(found["b"], 0, "model").level is Level.OK
    assert COMMITS[0][:12] in of(found["b"], 0, "model").detail
    told = of(found["b"], 1, "model")
    assert (told.level, told.remedy) == (Level.FAIL, f"ssh mac-b {pull}")
    assert f"it is at {COMMITS[1][:12]}, rank 0's at {COMMITS[0][:12]}" in told.detail
    assert "it is not rank 0's" in of(found["c"], 1, "model").detail
    assert of(found["d"], 1, "model").level is Level.OK
    assert "though they look alike" in of(deep, 1, "model").detail
    told = of(found["e"], 1, "model")
    assert (told.level, told.remedy) == (Level.FAIL, f"ssh mac-e {pull}")
    assert f"{NAME} is not on this machine" in told.detail
    model = found["b"].reports[0].model
    assert model is not None
    assert model.weights_bytes == (here / "model.safetensors").stat().st_size


def test_a_model_that_so_many_ranks_cannot_share(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", SMALL)
    names = ("mac-a", "127.0.0.1", "localhost")
    told = of(check(write_hostfile(tmp_path, group(*names)), str(folder)), 2, "model")
    assert told.level is Level.FAIL
    assert "2 key-value heads cannot be shared evenly by 3 ranks" in told.detail
    assert "another number of hosts" in str(told.remedy)


def test_variables_of_the_hostfile_hold_on_every_host(network: Network, tmp_path: Path) -> None:
    cache(tmp_path / "hf", COMMITS[0], write_checkpoint(tmp_path / "plain", SMALL))
    network.serve("mac-b", {"HF_HOME": "/nowhere"})
    envs = [f"HF_HOME={tmp_path / 'hf'}"]
    path = write_hostfile(tmp_path, group("mac-a", "mac-b"), envs=envs)
    found = check(path, NAME)
    assert of(found, 1, "model").level is Level.OK
    screen = click.unstyle(to_table(read_hostfile(path), "ring", found))
    assert screen.startswith(f"2 hosts over ring, {path}\n")
    assert "\nrank 1  mac-b\n  ok    reach     by ssh without a password\n" in screen
    assert re.search(r"\nReady: each rank holds 0\.\d GB of 0\.\d GB of weights\.$", screen)


def test_other_software(network: Network, tmp_path: Path) -> None:
    metadata = tmp_path / "older" / "mlx_lm-0.1.2.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: mlx-lm\nVersion: 0.1.2\n")
    ancient = tmp_path / "ancient" / "mlxoss"
    ancient.mkdir(parents=True)
    (ancient / "__init__.py").touch()
    (ancient / "__main__.py").write_text("raise SystemExit(\"Error: No such command 'cluster'.\")")
    network.serve("older", {"PYTHONPATH": tmp_path / "older"})
    network.serve("ancient", {"PYTHONPATH": tmp_path / "ancient"})
    network.serve("bare", force=f"sh -c 'exec {tmp_path}/no-python'")
    found = check(write_hostfile(tmp_path, group("mac-a", "older", "ancient", "bare")))
    told = of(found, 1, "versions")
    assert told.level is Level.FAIL
    assert "mlx-lm 0.1.2, not " in told.detail
    assert f"ssh older {sys.executable} -m pip install mlxoss==" in str(told.remedy)
    told = of(found, 2, "reach")
    assert (told.level, told.detail) == (Level.FAIL, "its mlxoss is too old to be asked")
    told = of(found, 3, "reach")
    assert (told.level, told.detail) == (Level.FAIL, f"there is no {sys.executable} to run")


def test_addresses_that_are_not_the_hosts_own(network: Network, tmp_path: Path) -> None:
    network.serve("mac-b")
    hosts = group("mac-a", "mac-b")
    hosts[0]["ips"] = ["192.0.2.1"]
    hostfile = read_hostfile(write_hostfile(tmp_path, hosts))
    found = check_cluster(hostfile, "ring", None)
    told = of(found, 0, "place")
    assert told.level is Level.FAIL
    assert "192.0.2.1 not of this machine" in told.detail
    assert of(found, 0, "link").level in (Level.OK, Level.WARN)
    told = of(found, 1, "link")
    assert told.level is Level.FAIL
    assert "192.0.2.1 cannot be listened on there" in told.detail
    assert told.remedy == "Correct hosts[0].ips."


def test_devices_for_jaccl(network: Network, tmp_path: Path) -> None:
    listed = "device node GUID\\n------ ----\\nrdma_en2 8a\\nrdma_en3 8b\\n"
    network.script("ibv_devices", f"printf '{listed}'")
    hosts = group("mac-a", "mac-b")
    network.serve("mac-b")
    for host, rdma in zip(
        hosts, ([None, ["rdma_en2", "rdma_en9"]], ["rdma_en2", None]), strict=True
    ):
        host["rdma"] = rdma
    found = check(write_hostfile(tmp_path, hosts, backend="jaccl"))
    told = of(found, 0, "rdma")
    assert told.level is Level.FAIL
    assert told.detail == "rdma_en9 missing, there is rdma_en2, rdma_en3"
    assert of(found, 1, "rdma").level is Level.SKIP
