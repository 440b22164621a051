"""``mlxoss launch``: which program is run, with what variables and words, and when it is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mlxoss.cli.connect.clients.table import CLIENTS
from mlxoss.cli.connect.facts import Served
from tests.server.conftest import Serve, _nothing_logged_as_error, leaning, logged_errors, serve
from tests.support.cli.mac import Mac
from tests.support.cli.runner import mlxoss
from tests.support.server.harness import MODEL, Server
from tests.support.server.scripts import HELLO

__all__ = ["_nothing_logged_as_error", "leaning", "logged_errors", "serve"]

TELL = (
    "#!{python}\nimport json, os, sys\n"
    "print(json.dumps({{'words': sys.argv[1:], 'env': dict(os.environ)}}))\nsys.exit(7)\n"
)
LAUNCHED = [name for name, client in CLIENTS.items() if client.launch]


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


def environment(home: Path, server: Server | None) -> dict[str, str]:
    """With programs that say how they were run."""
    folder = home / "bin"
    folder.mkdir(exist_ok=True)
    for name in LAUNCHED:
        program = folder / CLIENTS[name].programs[0]
        program.write_text(TELL.format(python=sys.executable))
        program.chmod(0o755)
    port = str(server.port) if server else "1"
    return {"PATH": str(folder), "HOME": str(home), "XDG_CONFIG_HOME": "", "MLXOSS_PORT": port}


def launch(home: Path, server: Server, *words: str, **env: str) -> Any:
    done = mlxoss(home, "launch", *words, env=environment(home, server) | env)
    assert done.returncode == 7, done.stderr  # the client's own
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_client_is_run_with_its_words_and_nothing_is_written(
    server: Server, tmp_path: Path, name: str
) -> None:
    told = launch(tmp_path, server, name, "--help", "-p", "a b", "--", "--url")
    assert told["words"][-5:] == ["--help", "-p", "a b", "--", "--url"]
    assert server.url in json.dumps(told).replace("\\", "")
    assert MODEL.name in json.dumps(told) or name == "open-webui"  # which asks what there is
    assert not [path for path in tmp_path.iterdir() if path.name not in ("bin", "mlxoss")]


def test_claude_code_gets_its_variables(server: Server, tmp_path: Path) -> None:
    env = launch(tmp_path, server, "claude", ANTHROPIC_API_KEY="theirs")["env"]
    assert env["ANTHROPIC_BASE_URL"] == server.url
    assert env["ANTHROPIC_AUTH_TOKEN"] == "none"
    assert "ANTHROPIC_API_KEY" not in env  # it would be sent along
    assert env["ANTHROPIC_MODEL"] == env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == MODEL.name
    assert env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == str(MODEL.context_tokens)
    assert env["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == str(MODEL.context_tokens // 8)


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_key_is_never_among_the_words(name: str) -> None:
    served = Served("http://h:1", "m", needs_key=True, secret="mlx-secret")
    make = CLIENTS[name].launch
    assert make is not None
    made = make(served)
    assert not [word for word in made.words if "mlx-secret" in word]
    assert "mlx-secret" in made.env.values()


def test_a_key_that_is_needed_is_asked_for(server: Server, tmp_path: Path) -> None:
    mlxoss(tmp_path, "key", "create", "mine")
    env = environment(tmp_path, server)
    done = mlxoss(tmp_path, "launch", "pi", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "export MLXOSS_API_KEY=$(mlxoss key create pi)" in done.stderr


def test_what_cannot_be_launched_says_why(tmp_path: Path) -> None:
    env = environment(tmp_path, None)
    for words, status, said in (
        (["none"], 2, "No client is called 'none'. There are: claude, "),
        (["zed"], 2, "Zed takes its server from a file: mlxoss connect zed --write"),
        (["pi"], 1, "No server at http://127.0.0.1:1, and no service is installed to start."),
    ):
        done = mlxoss(tmp_path, "launch", *words, env=env)
        assert (done.returncode, done.stdout) == (status, "")
        assert said in done.stderr
    (tmp_path / "bin/pi").unlink()
    done = mlxoss(tmp_path, "launch", "pi", env=env)
    assert done.returncode == 1
    assert "Pi is not installed. It comes by: npm install -g " in done.stderr


@pytest.mark.slow
def test_a_service_that_is_down_is_started(mac: Mac, tmp_path: Path) -> None:
    mac.install()
    mac.ok("stop")
    programs = environment(tmp_path, None)["PATH"]
    done = mac("launch", "pi", "Hello!", PATH=programs)
    assert done.returncode == 7, done.stderr
    assert done.stderr == "Starting the service ...\n"
    told = json.loads(done.stdout)
    assert told["words"][-1] == "Hello!"
    provider = json.loads(told["env"]["MLXOSS_PI_PROVIDER"])
    assert provider["baseUrl"] == f"http://127.0.0.1:{mac.port}/v1"
    (served,) = provider["models"]
    health = mac.loaded()["health"]
    assert served["id"] == health["model"]
    assert served["contextWindow"] == health["context_tokens"]
