"""``mlxoss install`` asked for a model that is not there, or too large; and ``doctor --speed``."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import termios
import threading
from pathlib import Path

import pytest

from tests.support.checkpoints import TinyModel, write_checkpoint, write_outline
from tests.support.cli.hub_server import Repo, serve_hub
from tests.support.cli.mac import Mac

NAME = "some-org/gpt-oss-tiny"


def answered(mac: Mac, answer: str, *arguments: str, **env: str) -> tuple[int, str]:
    """Run the command on a terminal of its own and type ``answer``; its code and its screen."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [mac.command, *arguments], env=mac.env | env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # the terminal's other side was closed
            while part := os.read(ours, 65536):
                shown.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        os.write(ours, answer.encode())  # a terminal keeps what is typed ahead
        code = process.wait(180)
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(ours)
    return code, shown.decode()


def test_a_missing_model_is_offered_and_pulled(mac: Mac, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    with serve_hub() as hub:
        hub.repos[NAME] = Repo("c0ffee" + "0" * 34, files)
        env = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
        wish = ("install", "--model", NAME, "--port", str(mac.port))
        code, shown = answered(mac, "n\n", *wish, **env)
        assert code == 1, shown
        assert f"{NAME} is not on this machine. Pull it?" in shown
        assert f"mlxoss models pull {NAME}" in shown
        assert hub.downloads == []
        assert not mac.plist.exists()

        code, shown = answered(mac, "y\n", *wish, **env)
    assert code == 0, (shown, mac.daemon_said())
    assert "Pulling" in shown
    assert re.search(r"\d+%\|", shown), shown
    assert f"{NAME} is served at" in shown
    assert "Faster? mlxoss tune measures" in shown
    found = mac.loaded()
    assert found["health"]["model"] == NAME
    assert found["health"]["memory"]["active_bytes"] > 0
    mac.ok("uninstall")


@pytest.mark.parametrize("flags", [(), ("--no-start",)])
def test_without_a_terminal_nothing_is_asked(mac: Mac, flags: tuple[str, ...]) -> None:
    done = mac("install", "--model", NAME, *flags, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "Pull it?" not in done.stdout + done.stderr
    assert f"mlxoss models pull {NAME}" in done.stderr


def test_a_model_that_cannot_fit_is_refused_before_anything_is_touched(
    mac: Mac, tmp_path: Path
) -> None:
    # Sparse: 6.6 TB of weights that take no room.
    folder = write_outline(tmp_path / "huge", TinyModel(hidden=1 << 18))
    done = mac("install", "--model", str(folder))
    assert done.returncode == 1
    assert re.search(r"the model needs about \d{4,}\.\d GB", done.stderr)
    assert "Choose a smaller model." in done.stderr
    assert not mac.plist.exists()
    assert not (mac.folder / "config").exists()


def test_the_services_speed_is_compared_with_a_run_in_front(mac: Mac) -> None:
    mac.install("--responses-store", "on")
    mac.loaded()
    done = mac("doctor", "--speed", "--json")
    found = {check["name"]: check for check in json.loads(done.stdout)}["speed"]
    # Which of the two was quicker says nothing about mlxoss on a busy machine.
    assert found["level"] in ("ok", "fail"), found
    assert re.search(r"[\d.]+ s in the service, [\d.]+ s in front", found["detail"])
    assert mac.status()["verdict"] == "healthy"
    mac.ok("uninstall")
    assert json.loads(mac("doctor", "--speed", "--json").stdout)[-1]["level"] == "skip"


def test_what_is_installed_is_told_in_json(mac: Mac) -> None:
    found = json.loads(mac.ok("start", "--json"))
    assert found["definition"] == str(mac.plist)
    assert found["done"] == [f"wrote {mac.plist}", "registered and started"]
    assert found["health"]["model"] == "mlxoss-demo"
    again = json.loads(mac.install("--json"))
    assert again["settings_changed"] is True
    assert again["done"] == ["restarted"]
    assert again["address"] == f"http://127.0.0.1:{mac.port}/v1"
    mac.loaded()
    for line in mac.ok("logs", "--json").splitlines():
        assert json.loads(line).keys() == {"time", "level", "logger", "message"}
    assert json.loads(mac.ok("plist", "--json"))["path"] == str(mac.plist)
    assert json.loads(mac.ok("config", "get", "port", "--json")) == {"port": mac.port}


def test_settings_spoilt_while_it_runs_are_named_and_it_is_still_found(mac: Mac) -> None:
    mac.install()
    mac.loaded()
    config = mac.folder / "config" / "config.toml"
    config.write_text(config.read_text() + "max_batch = 0\n")
    found = mac.status()
    assert found["verdict"] == "healthy"
    assert any("max_batch must be an integer" in concern for concern in found["concerns"])
    assert "max_batch must be an integer" in mac("restart").stderr
    assert mac.status()["job"]["pid"] == found["job"]["pid"]


def test_config_is_about_what_the_service_reads(mac: Mac) -> None:
    mac.ok("install", "--no-start")
    elsewhere = str(mac.home / "elsewhere")
    done = mac("config", "path", MLXOSS_HOME=elsewhere)
    assert done.stdout == f"{mac.folder}/config/config.toml\n"
    assert elsewhere in done.stderr
    mac.ok("config", "set", "port", "8001", MLXOSS_HOME=elsewhere)
    assert mac.config()["port"] == 8001
