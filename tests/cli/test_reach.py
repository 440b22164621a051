"""Where the daemon listens and with what, as the commands on its machine see it."""

from __future__ import annotations

import json
import socket
import ssl
import stat
import urllib.request
from pathlib import Path

import pytest

from mlxoss.service.spec import LABEL
from mlxoss.sockets import port_problem
from tests.support.certificates import make_pair
from tests.support.cli.daemon import start_daemon
from tests.support.cli.mac import Mac
from tests.support.cli.runner import mlxoss


def test_a_service_that_speaks_tls(mac: Mac) -> None:
    pair, other = make_pair(mac.home / "tls"), make_pair(mac.home / "other")
    path = mac.home / "socket"
    for key, words in [((), "tls_key is not set"), (("--tls-key", str(other.key)), "does not fit")]:
        flags = ("--tls-cert", str(pair.certificate), *key)
        done = mac("install", "--model", str(mac.model), "--port", str(mac.port), *flags)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
        assert not mac.plist.exists()
    flags = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    said = mac.install(*flags, "--unix-socket", str(path), "--context-length", "160")
    address = f"https://127.0.0.1:{mac.port}"
    assert f"is served at {address}/v1" in said
    found = mac.loaded()
    assert (found["verdict"], found["address"]) == ("healthy", f"{address}/v1")
    assert f"{address}/v1" in mac.ok("status")
    assert mac("chat", "Hello!").returncode == 0
    trust = ssl.create_default_context(cafile=str(pair.certificate))
    with urllib.request.urlopen(f"https://localhost:{mac.port}/health", context=trust) as answer:
        assert answer.status == 200
    assert mac("chat", "Hello!", "--url", address).returncode == 1  # nobody knows its signer
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert path.lstat().st_mode & 0o777 == 0o600
    # A certificate that came after the daemon's start is not the one that it shows.
    before = pair.certificate.read_bytes()
    pair.certificate.write_bytes(other.certificate.read_bytes())
    assert mac("status").returncode == 1
    shown = " ".join(mac("status").stdout.split())
    assert "does not show the certificate of tls_cert" in shown
    assert "does not fit" in mac("restart").stderr
    assert mac.status()["last_exit"]["code"] == "config"
    assert not path.exists()
    pair.certificate.write_bytes(before)
    mac.ok("start")
    assert mac.loaded()["verdict"] == "healthy"


@pytest.mark.slow
@pytest.mark.skipif(port_problem("::1", 0) is not None, reason="this machine has no IPv6")
def test_the_usual_addresses(tmp_path: Path) -> None:
    with start_daemon(tmp_path) as daemon:
        port = int(str(daemon.url).rpartition(":")[2])
        assert daemon.url == f"http://127.0.0.1:{port}"
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=120):
                pass
        env = {"MLXOSS_PORT": str(port)}
        done = mlxoss(tmp_path, "serve", env=env)
        assert (done.returncode, f"127.0.0.1:{port}" in done.stderr) == (1, True)
        done = mlxoss(tmp_path, "serve", "--host", "::1", env=env)
        assert (done.returncode, f"[::1]:{port}" in done.stderr) == (1, True)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        env = {"MLXOSS_PORT": str(other.getsockname()[1])}
        done = mlxoss(tmp_path, "serve", env=env)
        assert done.returncode == 1
        assert "cannot listen on [::1]:" in done.stderr
        assert "host = 127.0.0.1" in done.stderr
        done = mlxoss(tmp_path, "serve", env=env | {"XPC_SERVICE_NAME": LABEL})
        assert (done.returncode, "on ::1 is in use" in done.stderr) == (0, True)


def test_settings_that_keep_it_from_starting_are_told_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "mlxoss" / "config"

    def change(name: str, value: str) -> str:
        done = mlxoss(tmp_path, "config", "set", name, value)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "there is no API key" in change("host", "0.0.0.0")
    assert mlxoss(tmp_path, "serve", "--port", "0").returncode == 2
    assert change("insecure_no_auth", "true") == ""
    assert change("insecure_no_auth", "") != ""
    assert mlxoss(tmp_path, "key", "create", "laptop").returncode == 0
    assert change("port", "8001") == ""
    assert "tls_key is not set" in change("tls_cert", str(make_pair(folder).certificate))
    assert change("tls_key", str(folder / "key.pem")) == ""
    done = mlxoss(tmp_path, "config", "list", "--json")
    assert json.loads(done.stdout)["tls_key"] == str(folder / "key.pem")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--tls-cert", "CERT"), "tls_key is not set"),
        (("--tls-cert", "CERT", "--tls-key", "CERT"), "does not fit"),
        (("--unix-socket", "CERT"), "no socket"),
    ],
)
def test_what_is_wrong_is_said_before_it_serves(
    tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    certificate = str(make_pair(tmp_path / "tls").certificate)
    done = mlxoss(
        tmp_path, "serve", "--port", "0", *[f.replace("CERT", certificate) for f in flags]
    )
    assert done.returncode == 2
    assert words in done.stderr
    supervised = {"XPC_SERVICE_NAME": LABEL, "MLXOSS_PORT": "0"}
    supervised |= {
        "MLXOSS_" + flag[2:].upper().replace("-", "_"): certificate for flag in flags[::2]
    }
    done = mlxoss(tmp_path, "serve", env=supervised)
    assert (done.returncode, words in done.stderr) == (0, True)
