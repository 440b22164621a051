"""``mlxoss key``, and the other commands against a daemon that asks for keys."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import openai
import pytest

from tests.support.cli.daemon import Daemon, start_daemon
from tests.support.cli.mac import Mac
from tests.support.cli.runner import environment, mlxoss


def create(home: Path, name: str) -> str:
    done = mlxoss(home, "key", "create", name)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"mlx-[\w-]{43}\n", done.stdout, re.A)
    return done.stdout.strip()


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    assert json.loads(mlxoss(tmp_path, "key", "list", "--json").stdout) == []
    token = create(tmp_path, "laptop")
    create(tmp_path, "phone")
    assert mlxoss(tmp_path, "key", "create", "laptop").returncode == 2
    listed = json.loads(mlxoss(tmp_path, "key", "list", "--json").stdout)
    assert [(key["name"], key["last_used"]) for key in listed] == [
        ("laptop", None),
        ("phone", None),
    ]
    shown = mlxoss(tmp_path, "key", "list").stdout
    assert re.match(r"laptop  created \S+Z  last used never\nphone ", shown)
    assert token not in shown
    assert mlxoss(tmp_path, "key", "revoke", "laptop").returncode == 0
    done = mlxoss(tmp_path, "key", "revoke", "laptop")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the last key" in mlxoss(tmp_path, "key", "revoke", "phone").stdout


@pytest.mark.slow
def test_a_daemon_that_asks_for_keys(tmp_path: Path, model: Path) -> None:
    flags = ("--model", str(model), "--context-length", "160", "--log-level", "debug")
    with start_daemon(tmp_path, *flags) as daemon:
        daemon.wait_until_loaded()
        token = create(tmp_path, "laptop")
        assert daemon.health() == {"status": "ok"}
        _chat(tmp_path, daemon, token)
        client = openai.OpenAI(base_url=f"{daemon.url}/v1", api_key=token, max_retries=0)
        with client:
            assert client.models.list().data
        assert daemon.stop(signal.SIGTERM) == 0
    [key] = json.loads(mlxoss(tmp_path, "key", "list", "--json").stdout)
    assert key["last_used"] >= key["created"]
    local = (tmp_path / "mlxoss" / "data" / "local.token").read_text()
    for secret in (token, local):
        assert secret not in "".join(daemon.said)


def _chat(home: Path, daemon: Daemon, token: str) -> None:
    port = str(daemon.url).rpartition(":")[2]
    for arguments, env, code in [
        ((), {"MLXOSS_PORT": port}, 0),
        (("--url", str(daemon.url)), {"MLXOSS_API_KEY": token}, 0),
        (("--url", str(daemon.url)), {}, 1),
        ((), {"MLXOSS_PORT": port, "MLXOSS_API_KEY": "wrong"}, 1),
    ]:
        done = mlxoss(home, "chat", "Hello!", *arguments, env=env)
        assert done.returncode == code, done.stderr
        if code:
            assert done.stderr.startswith("mlxoss: The server refused: ")
            assert "mlxoss key create" in done.stderr


@pytest.mark.slow
def test_the_command_it_suggests_carries_the_key(tmp_path: Path, model: Path) -> None:
    token = create(tmp_path, "laptop")
    with start_daemon(tmp_path, "--model", str(model), "--context-length", "128") as daemon:
        daemon.wait_until(lambda: any(line.startswith("  curl ") for line in daemon.said))
        line = next(line for line in daemon.said if line.startswith("  curl "))
        done = subprocess.run(
            ["bash", "-c", line.replace("curl ", "curl -s ")],
            env=environment(tmp_path, {"MLXOSS_API_KEY": token}),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    assert '"chat.completion"' in done.stdout


@pytest.mark.slow
def test_other_machines_are_not_served_without_a_key(tmp_path: Path, model: Path) -> None:
    flags = ("--model", str(model), "--host", "0.0.0.0")
    done = mlxoss(tmp_path, "serve", "--port", "0", *flags)
    assert done.returncode == 2
    assert "mlxoss key create" in done.stderr.splitlines()[-1]
    assert "--insecure-no-auth" in done.stderr
    assert "Serving" not in done.stderr
    with start_daemon(tmp_path, *flags, "--insecure-no-auth") as daemon:
        assert "version" in daemon.health()
    create(tmp_path, "laptop")
    with start_daemon(tmp_path, *flags) as daemon:
        assert set(daemon.health()) == {"status"}


def test_the_service_with_a_key(mac: Mac) -> None:
    mac.install()
    token = mac.ok("key", "create", "laptop").strip()
    found = mac.loaded()
    assert found["verdict"] == "healthy"
    assert found["health"]["pid"] == found["job"]["pid"]
    mac.ok("restart")
    assert mac.loaded()["health"]["pid"] != found["health"]["pid"]
    assert "Nothing to change" in mac.install()
    checks = {check["name"]: check["level"] for check in json.loads(mac("doctor", "--json").stdout)}
    assert checks["port"] == "ok"
    local = (mac.folder / "data" / "local.token").read_text()
    for file in (mac.plist, *(mac.folder / "logs").iterdir()):
        assert token not in file.read_text()
        assert local not in file.read_text()
    assert os.stat(mac.folder / "data" / "keys.json").st_mode & 0o777 == 0o600


def test_the_service_says_why_it_does_not_serve_other_machines(mac: Mac) -> None:
    done = mac("install", "--model", str(mac.model), "--port", str(mac.port), "--host", "0.0.0.0")
    assert done.returncode == 2
    assert "mlxoss key create" in done.stderr
    assert not mac.plist.exists()
    mac.ok("key", "create", "laptop")
    mac.install("--host", "0.0.0.0")
    mac.ok("key", "revoke", "laptop")
    done = mac("restart")
    assert done.returncode == 1
    assert "mlxoss key create" in done.stderr
    last = mac.status()["last_exit"]
    assert last["code"] == "config"
    assert "mlxoss key create" in last["reason"]
    mac.ok("key", "create", "laptop")
    mac.ok("start")
    assert mac.loaded()["verdict"] == "healthy"
