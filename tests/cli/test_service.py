"""The service's commands as a user runs them: processes, a launchd of their own, a real daemon."""

from __future__ import annotations

import http.client
import json
import os
import plistlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlxoss.cli.status.view import YOUNG_S
from mlxoss.service.plist import HOMEBREW_SESSIONS
from mlxoss.service.spec import LABEL
from tests.support.cli.mac import Mac
from tests.support.cli.runner import environment
from tests.support.waiting import until

FALSE = shutil.which("false") or "/bin/false"


def stream(port: int, started: threading.Event, chunks: list[str]) -> None:
    """One streamed completion of many tokens; collects the data lines."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=200)
    body = {
        "model": "m",
        "stream": True,
        "max_tokens": 300,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
    )
    response = connection.getresponse()
    while line := response.readline():
        if line.startswith(b"data:"):
            chunks.append(line.decode().strip())
            started.set()
    connection.close()


@pytest.mark.parametrize("mac", ["", "bare-env no-gui"], indirect=True)
def test_from_install_to_purge(mac: Mac) -> None:
    assert mac("status").returncode == 3
    said = mac.install()
    assert f"is served at http://127.0.0.1:{mac.port}/v1" in said
    assert mac.config() == {"model": str(mac.model), "port": mac.port}
    found = mac.loaded()
    assert (found["verdict"], found["health"]["model"]) == ("healthy", mac.model.name)
    pid = found["job"]["pid"]

    assert "Nothing to change" in mac.install()
    assert "It runs already." in mac.ok("start")
    assert mac.status()["job"]["pid"] == pid

    assert "restarted" in mac.ok("install", "--max-batch", "2")
    assert mac.config()["max_batch"] == 2
    assert mac.loaded()["job"]["pid"] != pid
    assert "0 active of 2" in mac.ok("status")

    chunks: list[str] = []
    started = threading.Event()
    client = threading.Thread(target=stream, args=(mac.port, started, chunks))
    client.start()
    assert started.wait(150)
    assert mac.ok("restart") == "restarted\n"
    client.join()
    assert chunks[-1] == "data: [DONE]"
    assert not [chunk for chunk in chunks if '"error"' in chunk]

    log = mac.ok("logs")
    assert "mlxoss.server.lifecycle: listening on" in log
    assert (mac.folder / "logs" / "mlxoss.log").stat().st_mode & 0o777 == 0o600
    assert "pid" in mac.ok("logs", "--stderr")

    assert "It starts again at the next login." in mac.ok("stop")
    assert mac.status()["verdict"] == "not running"
    assert "started" in mac.ok("start")
    mac.loaded()

    said = mac.ok("uninstall", "--purge", "--yes")
    assert f"removed {mac.plist}" in said
    assert not mac.plist.exists()
    assert list(mac.folder.rglob("*")) == []
    assert mac.status()["verdict"] == "not installed"


def test_a_server_for_other_machines_is_not_installed_without_a_key(mac: Mac) -> None:
    done = mac("install", "--host", "0.0.0.0", "--port", str(mac.port))
    assert done.returncode != 0
    assert "Other machines can reach 0.0.0.0, and there is no API key" in done.stderr
    assert not mac.plist.exists()
    assert not (mac.folder / "config" / "config.toml").exists()


def test_a_service_that_is_too_busy_to_answer_at_once_is_no_other_program(mac: Mac) -> None:
    mac.install()
    pid = mac.loaded()["job"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    with subprocess.Popen(
        [mac.command, "install"], env=mac.env, stdout=subprocess.PIPE, text=True
    ) as again:
        time.sleep(4)
        os.kill(pid, signal.SIGCONT)
        said, _ = again.communicate()
    assert again.returncode == 0
    assert "Nothing to change" in said
    assert mac.status()["job"]["pid"] == pid


def test_a_wrong_setting_is_no_loop_and_its_reason_is_shown(mac: Mac) -> None:
    mac.install()
    mac.ok("stop")
    config = mac.folder / "config" / "config.toml"
    config.write_text(config.read_text() + "max_batch = 0\n")
    done = mac("start")
    assert done.returncode == 2
    assert "max_batch must be an integer from 1" in done.stderr
    mac.launchctl("bootstrap", f"gui/{os.getuid()}", str(mac.plist))  # as a login would

    def ended() -> dict[str, Any] | None:
        found = mac.status()
        return found if found["job"] and not found["job"]["pid"] and found["last_exit"] else None

    found = until(ended, pause_s=0.3)
    assert found is not None
    assert (found["job"]["runs"], found["job"]["last_exit"]) == (1, "0")
    assert found["last_exit"]["code"] == "config"
    shown = mac("status")
    assert shown.returncode == 3
    assert "max_batch must be an integer from 1" in " ".join(shown.stdout.split())
    assert mac.ok("config", "set", "max_batch", "2")
    assert "started" in mac.ok("start")


def test_a_port_taken_later_is_a_refusal(mac: Mac) -> None:
    mac.install()
    mac.ok("stop")
    with socket.create_server(("127.0.0.1", mac.port)):
        done = mac("start")
    assert done.returncode == 1
    assert f"it refused to start: port {mac.port} on 127.0.0.1 is in use" in done.stderr
    assert mac.status()["last_exit"]["code"] == "port_taken"


def test_nothing_is_touched_when_a_check_fails(mac: Mac) -> None:
    with socket.create_server(("127.0.0.1", mac.port)):
        done = mac("install", "--model", str(mac.model), "--port", str(mac.port))
    assert done.returncode == 1
    assert f"port {mac.port} on 127.0.0.1 is in use" in done.stderr
    assert "lsof" in done.stderr
    done = mac("install", "--model", "nobody/no-such-model")
    assert done.returncode == 1
    assert "mlxoss models pull nobody/no-such-model" in done.stderr
    done = mac("install", "--max-batch", "many")
    assert done.returncode == 2
    assert "--max-batch must be an integer" in done.stderr
    done = mac("install", "--env", "novalue")
    assert done.returncode == 2
    assert not mac.plist.exists()
    assert not (mac.folder / "config").exists()


def test_a_daemon_that_hangs_is_told_from_one_that_runs(mac: Mac) -> None:
    mac.install()
    pid = mac.loaded()["job"]["pid"]
    until(lambda: mac.status()["process"]["age_s"] >= YOUNG_S, pause_s=0.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        done = mac("status")
        assert done.returncode == 1
        assert done.stdout.startswith("mlxoss is running, but it hangs: no answer within")
        assert f"pid {pid}" in done.stdout
    finally:
        os.kill(pid, signal.SIGCONT)


def test_variables_reach_the_daemon_and_stay(mac: Mac) -> None:
    done = mac("install", "--no-start", "--env", "A=b c", MLXOSS_PORT="1234")
    assert done.returncode == 0, done.stderr
    assert "MLXOSS_PORT is set in this shell and does not reach the service" in done.stdout
    assert "next login" in done.stdout
    held = plistlib.loads(mac.plist.read_bytes())
    assert held["EnvironmentVariables"]["A"] == "b c"
    assert held["EnvironmentVariables"]["MLXOSS_HOME"] == str(mac.folder)
    assert held["ProgramArguments"] == [str(mac.command), "serve"]
    assert mac.ok("plist").encode() == mac.plist.read_bytes()
    mac.ok("install", "--no-start")
    assert plistlib.loads(mac.plist.read_bytes()) == held
    mac.ok("install", "--no-start", "--env", "A=")
    assert "A" not in plistlib.loads(mac.plist.read_bytes())["EnvironmentVariables"]
    assert mac.launchctl("lint", str(mac.plist)).returncode == 0


def test_homebrews_service_is_left_alone(mac: Mac) -> None:
    mac.ok("install", "--no-start")
    keys = plistlib.loads(mac.plist.read_bytes())
    keys["LimitLoadToSessionType"] = sorted(HOMEBREW_SESSIONS)
    mac.plist.write_bytes(plistlib.dumps(keys))
    before = mac.plist.read_bytes()
    for command in ("install", "start", "stop", "restart", "uninstall"):
        done = mac(command)
        assert done.returncode == 1, command
        assert "belongs to Homebrew" in done.stderr
        assert "brew services" in done.stderr
    assert mac.plist.read_bytes() == before
    assert any("brew services" in concern for concern in mac.status()["concerns"])


def test_doctor_names_what_is_wrong(mac: Mac) -> None:
    mac.install()
    mac.loaded()
    found = {check["name"]: check for check in json.loads(mac.ok("doctor", "--json"))}
    healthy = ("settings", "model", "memory", "definition", "service", "port", "priority", "logs")
    assert {name: found[name]["level"] for name in healthy} == dict.fromkeys(healthy, "ok")
    mac.plist.chmod(0o666)
    mac.ok("config", "set", "model", "nobody/none")
    mac.launchctl("disable", f"gui/{os.getuid()}/{LABEL}")
    done = mac("doctor")
    assert done.returncode == 1
    for words in ("may be written by others", "models pull nobody/none", "disabled at login"):
        assert words in done.stdout
    assert "-> mlxoss install" in done.stdout


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has launchd, and this would install")
def test_without_a_service_manager_one_sentence_points_to_serve(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path), "XDG_RUNTIME_DIR": ""}
    for command, code in (("install", 1), ("start", 1), ("status", 4)):
        done = subprocess.run(
            [sys.executable, "-m", "mlxoss", command],
            env=environment(tmp_path, env),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code
        assert "service" in done.stderr
        assert "mlxoss serve" in done.stderr or "without sudo" in done.stderr


def test_settings_are_read_and_changed_from_the_command_line(mac: Mac) -> None:
    assert mac.ok("config", "path") == f"{mac.folder}/config/config.toml\n"
    assert mac.ok("config", "get", "port") == "8000\n"
    assert "restart" in mac.ok("config", "set", "http-access-log", "on")
    assert mac.ok("config", "get", "http_access_log") == "true\n"
    assert mac("config", "set", "port", "70000").returncode == 2
    assert mac("config", "set", "prot", "1").returncode == 2
    assert json.loads(mac.ok("config", "list", "--json"))["http_access_log"] is True
    mac.ok("config", "set", "http_access_log", "")
    assert mac.config() == {}
    editor = mac.home / "editor"
    editor.write_text("#!/bin/sh\necho 'port = 0x' >> \"$1\"\n")
    editor.chmod(0o755)
    assert shutil.which("sh")
    done = mac("config", "edit", VISUAL=str(editor))
    assert done.returncode == 2
    assert "not valid TOML" in done.stderr


def test_status_loads_nothing_that_takes_long(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mlxoss", "status"],
        env=environment(tmp_path, {"HOME": str(tmp_path), "MLXOSS_LAUNCHCTL": FALSE}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "mlxoss.service.status" in loaded
    assert not loaded & {"pydantic", "sanic", "mlx.core", "transformers", "rich", "numpy"}
