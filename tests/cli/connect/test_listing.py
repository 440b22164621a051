"""``mlxoss connect``: what is installed, what is connected, and whether its key holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlxoss.cli.connect.clients.client import Account
from mlxoss.cli.connect.clients.table import CLIENTS
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.listing import is_installed, listed
from mlxoss.cli.connect.recipes import RECIPES
from tests.server.conftest import Serve, _nothing_logged_as_error, leaning, logged_errors, serve
from tests.support.cli.runner import mlxoss
from tests.support.server.harness import Server
from tests.support.server.scripts import HELLO

__all__ = ["_nothing_logged_as_error", "leaning", "logged_errors", "serve"]

Line = Callable[..., str]


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


def command(home: Path, server: Server | None, *words: str, **env: str) -> str:
    port = str(server.port) if server else "1"
    own = {"HOME": str(home), "XDG_CONFIG_HOME": "", "PATH": "/nowhere", "MLXOSS_PORT": port}
    done = mlxoss(home, "connect", *words, env=own | env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def line_of(name: str, text: str) -> str:
    """What stands behind a client's name and what it is."""
    line = next(line for line in text.splitlines() if line.split()[0] == name)
    return line.removeprefix(name).partition(RECIPES[name].about)[2].strip()


def test_what_is_not_there_is_listed_with_nothing_behind_it(tmp_path: Path) -> None:
    text = command(tmp_path, None)
    assert {line_of(name, text) for name in RECIPES} == {""}


def test_programs_and_applications_are_found(tmp_path: Path) -> None:
    program = tmp_path / "bin/opencode"
    program.parent.mkdir()
    program.touch(mode=0o755)
    (tmp_path / "Applications/Zed.app").mkdir(parents=True)
    for platform, found in (("darwin", {"opencode", "zed"}), ("linux", {"opencode"})):
        account = Account(tmp_path, {"PATH": str(program.parent)}, platform)
        assert found <= {name for name, client in CLIENTS.items() if is_installed(client, account)}
        assert is_installed(CLIENTS["zed"], account) == (platform == "darwin")


def test_the_address_is_compared(tmp_path: Path, server: Server) -> None:
    command(tmp_path, server, "zed", "--write")
    assert line_of("zed", command(tmp_path, server)) == f"connected to {server.url}/v1"
    elsewhere = line_of("zed", command(tmp_path, None))
    assert elsewhere == f"connected to {server.url}/v1, which is not this server"


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        *(("http://localhost:8000/v1", True), ("http://[::1]:8000/v1", True)),
        *(("https://localhost:8000/v1", False), ("http://localhost:8001/v1", False)),
        *(("http://[1/v1", False), ("http://localhost:port/v1", False)),
    ],
)
def test_this_machine_has_several_names(tmp_path: Path, url: str, is_ours: bool) -> None:
    """An address that somebody typed in; also one that is none."""
    file = tmp_path / ".config/crush/crush.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"providers": {"mlxoss": {"base_url": url}}}))
    served = Served("http://127.0.0.1:8000", "m", needs_key=False)
    text = "\n".join(listed(Account(tmp_path, {"PATH": "/nowhere"}, "linux"), served))
    others = f"connected to {url}, which is not this server"
    assert line_of("crush", text) == (f"connected to {served.base}" if is_ours else others)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".config/crush/crush.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    assert line_of("crush", command(tmp_path, None)) == f"{file} cannot be read"


@pytest.mark.slow
def test_the_server_is_asked_whether_a_key_holds(tmp_path: Path) -> None:
    from tests.support.cli.daemon import start_daemon

    with start_daemon(tmp_path) as daemon:
        port = {"MLXOSS_PORT": str(daemon.url).rpartition(":")[2]}
        key = mlxoss(tmp_path, "key", "create", "mine").stdout.strip()
        own = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "MLXOSS_API_KEY": key} | port
        for name in ("opencode", "vscode"):
            assert mlxoss(tmp_path, "connect", name, "--write", env=own).returncode == 0

        def states(**env: str) -> list[str]:
            text = mlxoss(tmp_path, "connect", env=own | env).stdout
            return [line_of(name, text).rpartition(", ")[2] for name in ("opencode", "vscode")]

        assert states() == ["its key holds", "its key holds"]
        assert states(MLXOSS_API_KEY="") == ["its key is not set in this shell", "its key holds"]
        mlxoss(tmp_path, "key", "create", "other")
        mlxoss(tmp_path, "key", "revoke", "mine")
        assert states() == ["its key is refused", "its key is refused"]
    assert states() == ["the server does not answer", "the server does not answer"]


def test_a_key_is_told_to_this_server_alone(tmp_path: Path) -> None:
    """Another's address in a client's file is not asked, whatever key stands beside it."""
    file = tmp_path / ".config/crush/crush.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"providers": {"mlxoss": {"base_url": "http://h:1/v1", "api_key": "theirs"}}}')
    served = Served("http://127.0.0.1:1", "m", needs_key=True)
    account = Account(tmp_path, {"PATH": "/nowhere"}, "linux")
    text = "\n".join(listed(account, served))
    assert line_of("crush", text) == "connected to http://h:1/v1, which is not this server"
