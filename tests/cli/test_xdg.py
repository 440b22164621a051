"""Commands look where the service looks, whatever this shell's variables name."""

from __future__ import annotations

import json
import plistlib
from pathlib import Path

import pytest

from mlxoss.service.plist import HOMEBREW_SESSIONS
from tests.support.cli.mac import Mac

NAMES = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HF_HOME")


@pytest.fixture
def shell(mac: Mac) -> dict[str, str]:
    """A shell's variables: those of a friend of dotfiles."""
    mac.env |= dict.fromkeys(("MLXOSS_HOME", *NAMES), "")
    return {name: str(mac.home / "dots" / name.lower()) for name in NAMES}


def serve_by_homebrew(mac: Mac) -> None:
    """The definition as ``brew services`` writes it: its environment is a PATH."""
    mac.ok("install", "--no-start")
    keys = plistlib.loads(mac.plist.read_bytes())
    keys["LimitLoadToSessionType"] = sorted(HOMEBREW_SESSIONS)
    keys["EnvironmentVariables"] = {"PATH": keys["EnvironmentVariables"]["PATH"]}
    mac.plist.write_bytes(plistlib.dumps(keys))


def variables(mac: Mac, **env: str) -> dict[str, str]:
    found = json.loads(mac("doctor", "--json", **env).stdout)
    (check,) = (check for check in found if check["name"] == "variables")
    assert isinstance(check, dict)
    return check


def test_under_homebrew_commands_look_where_the_daemon_looks(
    mac: Mac, shell: dict[str, str]
) -> None:
    serve_by_homebrew(mac)
    config, data = mac.home / ".config" / "mlxoss", mac.home / ".local" / "share" / "mlxoss"
    done = mac("config", "set", "port", str(mac.port), **shell)
    assert f"Note: the service reads {config}/config.toml; this shell would" in done.stderr
    assert (config / "config.toml").read_text() == f"port = {mac.port}\n"
    mac.ok("key", "create", "laptop", **shell)
    assert "laptop" in mac.ok("key", "list")
    kept = {each["where"] for each in json.loads(mac.ok("privacy", "--json", **shell))}
    assert str(config / "config.toml") in kept
    assert all(Path(where).is_relative_to(mac.home / ".local") for where in kept if "key" in where)
    assert f"127.0.0.1:{mac.port}" in mac.ok("connect", "llm", **shell)
    assert f"127.0.0.1:{mac.port}" in mac("chat", "Hi", **shell).stderr
    done = mac("models", "list", **shell)
    assert f"the service has its models in {mac.home}/.cache/huggingface/hub" in done.stderr
    assert not (mac.home / "dots").exists()
    assert data.is_dir()


def test_doctor_tells_that_shell_and_service_differ(mac: Mac, shell: dict[str, str]) -> None:
    serve_by_homebrew(mac)
    assert variables(mac)["level"] == "ok"
    found = variables(mac, **shell)
    assert found["level"] == "warn"
    assert "XDG_CONFIG_HOME" in found["detail"]
    settings = f"settings in {mac.home}/.config/mlxoss/config.toml, not {mac.home}/dots/"
    assert settings in found["detail"]
    assert "brew services stop mlxoss" in found["remedy"]


def test_a_later_shell_without_the_services_variables(mac: Mac, shell: dict[str, str]) -> None:
    mac.ok("install", "--no-start", **shell)
    mac.ok("config", "set", "port", str(mac.port))
    mac.ok("key", "create", "laptop")
    dots = mac.home / "dots"
    assert (dots / "xdg_config_home" / "mlxoss" / "config.toml").exists()
    assert [each.name for each in (dots / "xdg_data_home" / "mlxoss").glob("*keys*")]
    assert variables(mac, **shell)["level"] == "ok"
    found = variables(mac)
    assert found["level"] == "warn"
    assert "`mlxoss install` gives the service this shell's" in found["remedy"]


def test_a_shell_that_names_our_folder_means_it(mac: Mac, shell: dict[str, str]) -> None:
    mac.ok("install", "--no-start")
    own = mac.home / "own"
    mac.ok("key", "create", "laptop", MLXOSS_HOME=str(own))
    assert "laptop" not in mac.ok("key", "list")
    assert "laptop" in mac.ok("key", "list", MLXOSS_HOME=str(own))


def test_installing_from_another_shell_tells_what_it_leaves_behind(
    mac: Mac, shell: dict[str, str]
) -> None:
    mac.ok("install", "--no-start", "--port", str(mac.port))
    said = mac.ok("install", "--no-start", **shell)
    left = "~/.config/mlxoss/config.toml, and stays there"
    assert (
        f"Note: settings: now in ~/dots/xdg_config_home/mlxoss/config.toml; it was {left}" in said
    )
    assert "Note:" not in mac.ok("install", "--no-start", **shell)
