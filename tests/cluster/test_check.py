"""Hosts that are checked over a real ssh: what is wrong with each is told, with its remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlxoss.checks import Check, Level
from mlxoss.cluster.check import Found, check_cluster
from mlxoss.cluster.hostfile import read_hostfile
from mlxoss.cluster.hosts import Host
from mlxoss.cluster.remote import Remote
from mlxoss.cluster.trouble import Trouble
from tests.checkpoints import TinyModel, write_checkpoint
from tests.cli.runner import environment
from tests.cluster.sshd import Network
from tests.service.box import free_port

NAME = "some-org/gpt-oss-tiny"
COMMITS = ("a" * 40, "b" * 40)
NOISE = 'sh -c \'echo Welcome.; printf "no newline: "; eval "$SSH_ORIGINAL_COMMAND"\''


def write_hostfile(folder: Path, hosts: Sequence[object], **more: object) -> Path:
    path = folder / "hosts.json"
    path.write_text(json.dumps({"hosts": hosts, **more}))
    return path


def group(*names: str) -> list[dict[str, Any]]:
    return [{"ssh": name, "ips": [f"127.0.0.{n + 1}"]} for n, name in enumerate(names)]


def check(path: Path, model: str | None = None, *, deep: bool = False) -> Found:
    hostfile = read_hostfile(path)
    return check_cluster(hostfile, hostfile.backend or "ring", model, deep=deep, links=False)


def of(found: Found, rank: int, name: str) -> Check:
    (each,) = (f.check for f in found.findings if f.rank == rank and f.check.name == name)
    if each.level is Level.FAIL:
        assert each.remedy
    return each


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
    folder = write_checkpoint(tmp_path / "tiny")
    env = environment(tmp_path / "home", {"PATH": network.path})
    network.serve("mac-b", {"MLXOSS_HOME": tmp_path / "b"}, NOISE)
    path = write_hostfile(tmp_path, group("mac-a", "mac-b"))
    command = [sys.executable, "-m", "mlxoss", "cluster", "check"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    told = json.loads(run(str(path), "--model", str(folder), "--deep", "--json"))
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

    config = tmp_path / "home" / "mlxoss" / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"hostfile = {json.dumps(str(path))}\n")
    screen = run()  # the configured one, with the model that is bundled
    assert screen.startswith(f"2 hosts over ring, {path}\n")
    assert "1 mac-b  reach     by ssh without a password\n" in screen
    assert "mlxoss-demo" in screen


def test_why_hosts_are_not_reached(network: Network, tmp_path: Path) -> None:
    port = network.serve("mac-b")
    other = network.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    network.know("unknown", Port=port, UserKnownHostsFile="/dev/null")
    network.know("strange", Port=port, IdentityFile=other)
    network.know("closed", Port=free_port())
    network.know("no-name", HostName="no-such-host.invalid")
    names = ("unknown", "strange", "closed", "no-name")
    found = check(write_hostfile(tmp_path, group("mac-a", *names)))
    expected = {
        "unknown": ("Host key verification failed", "ssh unknown exit"),
        "strange": ("Permission denied (publickey)", "ssh-copy-id strange"),
        "closed": ("Connection refused", "Remote Login"),
        "no-name": ("Could not resolve hostname", "hosts[4].ssh"),
    }
    for rank, (detail, remedy) in enumerate(expected.values(), 1):
        told = of(found, rank, "reach")
        assert told.level is Level.FAIL
        assert detail in told.detail
        assert remedy in str(told.remedy)
    assert found.failed
    assert found.reports.keys() == {0}


def test_another_revision_of_the_model_or_none(network: Network, tmp_path: Path) -> None:
    plain = write_checkpoint(tmp_path / "plain")
    wider = write_checkpoint(tmp_path / "wider", TinyModel(hidden=96))
    homes = {name: tmp_path / name for name in ("a", "b", "c", "d", "e")}
    here = cache(homes["a"], COMMITS[0], plain)
    cache(homes["b"], COMMITS[1], plain)
    cache(homes["c"], COMMITS[0], wider)
    flipped = cache(homes["d"], COMMITS[0], plain) / "model.safetensors"
    data = bytearray(flipped.read_bytes())
    data[-1] ^= 1
    flipped.write_bytes(data)
    for name in "bcde":
        network.serve(f"mac-{name}", {"HF_HOME": homes[name]})
    network.script("env-of-a", "")
    path = write_hostfile(tmp_path, group("mac-a", "mac-b", "mac-c", "mac-d", "mac-e"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(homes["a"]))
        found, deep = check(path, NAME), check(path, NAME, deep=True)
    pull = f"mlxoss models pull {NAME} --revision {COMMITS[0]}"
    assert of(found, 0, "model").level is Level.OK
    assert COMMITS[0][:12] in of(found, 0, "model").detail
    told = of(found, 1, "model")
    assert (told.level, told.remedy) == (Level.FAIL, f"ssh mac-b {pull}")
    assert f"it is at {COMMITS[1][:12]}, rank 0's at {COMMITS[0][:12]}" in told.detail
    assert "names or sizes are not those of rank 0's" in of(found, 2, "model").detail
    assert of(found, 3, "model").level is Level.OK
    assert "though they look alike" in of(deep, 3, "model").detail
    told = of(found, 4, "model")
    assert (told.level, told.remedy) == (Level.FAIL, f"ssh mac-e {pull}")
    assert f"{NAME} is not on this machine" in told.detail
    model = found.reports[0].model
    assert model is not None
    assert model.weights_bytes == (here / "model.safetensors").stat().st_size


def test_variables_of_the_hostfile_hold_on_every_host(network: Network, tmp_path: Path) -> None:
    cache(tmp_path / "hf", COMMITS[0], write_checkpoint(tmp_path / "plain"))
    network.serve("mac-b", {"HF_HOME": "/nowhere"})
    envs = [f"HF_HOME={tmp_path / 'hf'}"]
    found = check(write_hostfile(tmp_path, group("mac-a", "mac-b"), envs=envs), NAME)
    assert of(found, 1, "model").level is Level.OK


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


def test_a_key_that_only_this_shells_agent_has(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.serve("mac-b")
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            add = ["sh", "-c", f"until ssh-add -q {network.key}; do sleep 0.05; done"]
            subprocess.run(add, check=True, timeout=20, stderr=subprocess.DEVNULL)
            path = write_hostfile(tmp_path, group("mac-a", "mac-b"))
            assert of(check(path), 1, "reach").level is Level.OK
            network.key.unlink()
            told = of(check(path), 1, "reach")
        finally:
            agent.terminate()
    assert told.level is Level.WARN
    assert "which a service does not have" in told.detail
    assert "ssh-copy-id" in str(told.remedy)


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


def test_a_host_that_hangs_is_given_up(network: Network) -> None:
    network.serve("asleep", force="sleep 600")
    told = Remote(Host(1, "asleep")).ask({"ask": "report"}, 0.1)
    assert isinstance(told, Trouble)
    assert told.detail.startswith("it did not answer within")


def test_a_probe_ends_by_itself(network: Network) -> None:
    """Nobody measures, and whoever asked cannot tell it to stop."""
    network.serve("mac-b")
    told = Remote(Host(1, "mac-b")).ask({"ask": "measure", "envs": []}, 3.0)
    assert isinstance(told, Trouble)
    with_question = {"ask": "listen", "host": "127.0.0.1", "secret": "s"}
    done = subprocess.run(
        [sys.executable, "-m", "mlxoss", "cluster", "probe"],
        input=json.dumps({**with_question, "limit_s": 1.0}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -14
    assert '{"port": ' in done.stdout


@pytest.mark.parametrize("question", ["", "{}", "[]", '{"ask": "rm", "limit_s": 1}', "x" * 99])
def test_a_probe_refuses_what_is_no_question(question: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlxoss", "cluster", "probe"],
        env=environment(tmp_path),
        input=question,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "for `mlxoss cluster check` to run" in done.stderr
