"""Folders that a terminal may read and an agent of launchd may not (``tests.support.tcc``)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from mlxoss.denied import PRIVACY
from tests.support import xnu
from tests.support.cli.mac import Mac
from tests.support.tcc import preamble
from tests.support.waiting import until

CRASH = "import os\nif 'XPC_SERVICE_NAME' in os.environ: os._exit(3)"


@pytest.fixture
def documents(mac: Mac) -> Path:
    """A Mac on which no agent may read ``~/Documents``."""
    folder = mac.home / "Documents"
    folder.mkdir()
    mac.begin_with(preamble(folder))
    return folder


def test_a_model_in_documents_is_warned_of_and_its_remedy_is_no_pull(
    mac: Mac, documents: Path
) -> None:
    model = shutil.copytree(mac.model, documents / "tiny")
    done = mac("install", "--model", str(model), "--port", str(mac.port))
    assert f"Warning: folders: model {model}: it lies in ~/Documents" in done.stdout
    assert done.returncode == 1
    assert f"it refused to start: {model}/config.json cannot be read" in done.stderr
    assert PRIVACY in done.stderr
    assert "pull" not in done.stderr
    found = mac.status()
    assert (found["verdict"], found["job"]["runs"]) == ("not running", 1)
    assert PRIVACY in found["last_exit"]["reason"]
    assert "~/Documents, which macOS closes to services" in mac("doctor").stdout
    mac.begin_with("")  # a person allows it there
    mac.ok("start")
    mac.loaded()
    assert "folders: the service reads what it needs" in mac.ok("doctor")


def test_a_model_that_is_named_from_the_folder_it_lies_in_is_warned_of(
    mac: Mac, documents: Path
) -> None:
    shutil.copytree(mac.model, documents / "tiny")
    wish = ("install", "--no-start", "--model", "tiny", "--port", str(mac.port))
    done = subprocess.run(
        [mac.command, *wish], env=mac.env, cwd=documents, capture_output=True, text=True, check=True
    )
    place = os.path.realpath(documents / "tiny")
    assert f"Warning: folders: model {place}: it lies in ~/Documents" in done.stdout
    assert mac.config()["model"] == place


def test_a_cache_of_models_in_documents_is_not_called_empty(mac: Mac, documents: Path) -> None:
    hub = documents / "hf" / "hub" / "models--some-org--tiny"
    shutil.copytree(mac.model, hub / "snapshots" / "c0ffee")
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("c0ffee")
    wish = ("install", "--model", "some-org/tiny", "--port", str(mac.port))
    done = mac(*wish, HF_HOME=str(documents / "hf"))
    assert done.returncode == 1
    assert "the models' cache (HF_HOME)" in done.stdout
    assert "refs/main cannot be read (Operation not permitted)" in done.stderr
    assert PRIVACY in done.stderr
    assert "pull" not in done.stderr


def test_a_model_that_may_not_be_read_is_not_pulled(mac: Mac, documents: Path) -> None:
    """This terminal may not read there either."""
    hub = documents / "hf" / "hub" / "models--some-org--tiny"
    shutil.copytree(mac.model, hub / "snapshots" / "c0ffee")
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("c0ffee")
    env = {"HF_HOME": str(documents / "hf"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = mac("install", "--yes", "--model", "some-org/tiny", **env, XPC_SERVICE_NAME="0")
    assert done.returncode == 1
    assert "refs/main cannot be read (Operation not permitted)" in done.stderr
    assert "cannot be reached" not in done.stderr
    assert PRIVACY in done.stderr


def test_what_launchd_opens_itself_is_refused_there(mac: Mac, documents: Path) -> None:
    done = mac("install", "--no-start", MLXOSS_HOME=str(documents / "own"))
    assert done.returncode == 1
    assert "the working folder" in done.stderr
    assert "which macOS closes to launchd" in done.stderr
    assert not mac.plist.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", "/Volumes/Stick/m"), ("log_file", "/Volumes/Stick/log"), ("model", "CLOUD/m")],
)
def test_changing_a_setting_warns_too(mac: Mac, name: str, value: str) -> None:
    value = value.replace("CLOUD", str(mac.home / "Library" / "CloudStorage" / "Box"))
    done = mac("config", "set", name, value)
    assert done.returncode == 0
    assert f"Note: {name} {value}: it lies in " in done.stderr
    assert PRIVACY in done.stderr


@pytest.mark.parametrize("command", [("install",), ("start",)])
def test_a_service_that_crashes_at_its_first_start_is_not_left_to_do_so(
    mac: Mac, command: tuple[str, ...]
) -> None:
    mac.ok("install", "--no-start", "--model", str(mac.model), "--port", str(mac.port))
    mac.begin_with(CRASH)
    done = mac(*command)
    assert done.returncode == 1
    assert "it crashed (last exit 3" in done.stderr
    assert "It was stopped, lest it start over and over" in done.stderr
    assert mac.launchctl("print", f"gui/{os.getuid()}/org.mlxoss.daemon").returncode == 113
    found = mac.status()
    assert (found["job"], found["disabled"]) == (None, True)
    mac.begin_with("")
    assert "enabled at login" in mac.ok("start")
    mac.loaded()


def test_a_port_that_another_program_has_everywhere_is_told_throughout(mac: Mac) -> None:
    """By the rules of BSD, where it could be bound beside that one."""
    mac.begin_with(xnu.PREAMBLE)
    wish = ("install", "--model", str(mac.model), "--port", str(mac.port))
    taken = f"port {mac.port} on 127.0.0.1 is in use"
    with socket.socket() as other:
        xnu.bind(other, ("0.0.0.0", mac.port))
        other.listen()
        done = mac(*wish)
        assert done.returncode == 1
        assert taken in done.stderr
        assert not mac.plist.exists()
    mac.ok(*wish)
    mac.loaded()
    mac.ok("restart")  # its own connections of before are no other's
    mac.loaded()
    mac.ok("stop")
    with socket.socket() as other:
        xnu.bind(other, ("0.0.0.0", mac.port))
        other.listen()
        done = mac("start")
        assert done.returncode == 1
        assert f"it refused to start: {taken}" in done.stderr
        until(lambda: mac.status()["last_exit"])
        assert mac.status()["last_exit"]["code"] == "port_taken"
        assert taken in mac("doctor").stdout
