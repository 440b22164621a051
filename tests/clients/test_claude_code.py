"""Claude Code itself against a server: turns, tools it holds back, images, sessions it resumes."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.clients.conftest import Demo, Find, as_shell, recipe_of, run_client, run_shell
from tests.server.conftest import Serve
from tests.support.clients import mcp_server
from tests.support.clients.scripted import LARGE, Steps, call
from tests.support.http import ask
from tests.support.server.begun_elsewhere import foreign_contents
from tests.support.server.harness import Server

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def claude(client: Find) -> Path:
    """Before the server: without the client none is started."""
    return client("claude")


def test_answers(claude: Path, demo: Demo, tmp_path: Path) -> None:
    """With a short prompt of its own: its usual one takes the demo minutes on a CPU."""
    place, recipe = claude / "node_modules/.bin", demo.recipe("claude")
    short = ("--system-prompt", "Be short.", "--tools", "")
    key = {"MLXOSS_API_KEY": demo.key}
    with demo.answering("/v1/messages"):
        said = run_shell(recipe, place, tmp_path, "-p", "What is 2 + 3?", *short, **key)
    assert said.strip()


def test_knows_a_context_that_is_too_short(
    claude: Path, serve: Serve, encoding: Encoding, tmp_path: Path
) -> None:
    backend = Steps(encoding, []).backend()
    recipe = as_shell(recipe_of(serve(backend), "claude"))
    path = f"{claude / 'node_modules/.bin'}:{os.environ['PATH']}"
    done = run_client(("sh", "-c", recipe, "sh", "-p", "Hello!"), tmp_path, PATH=path)
    assert done.returncode == 1
    assert done.stdout.startswith("Prompt is too long")
    assert backend.inserted == []


def test_writes(claude: Path, serve: Serve, encoding: Encoding, tmp_path: Path) -> None:
    made = tmp_path / "made.txt"
    wanted = {"file_path": str(made), "content": "by a call\n"}
    model = Steps(encoding, [call("Write", wanted)])
    recipe = recipe_of(serve(model.backend(), model=LARGE), "claude")
    place = claude / "node_modules/.bin"
    words = ("-p", "Make made.txt.", "--permission-mode", "acceptEdits")
    assert run_shell(recipe, place, tmp_path, *words) == "Made it.\n"
    assert made.read_text() == "by a call\n"
    assert model.are_spliced


class Place:
    """Claude Code in a folder of its own, with an MCP server of many tools."""

    def __init__(self, client: Path, home: Path) -> None:
        self.client, self.home = client / "node_modules/.bin", home
        server = {"command": sys.executable, "args": [mcp_server.__file__, "30"]}
        self.settings = home / "mcp.json"
        self.settings.write_text(json.dumps({"mcpServers": {"words": server}}))

    def ask(self, server: Server, *words: str, **env: str) -> str:
        """What it prints; the server may refuse it nothing, not even once."""
        tools = ("--mcp-config", str(self.settings), "--allowedTools", "mcp__words,Read")
        recipe = recipe_of(server, "claude")
        said = run_shell(recipe, self.client, self.home, "-p", *words, *tools, **env)
        counts = ask(server, "GET", "/metrics").body.decode()
        assert 'endpoint="POST /v1/messages",status="400"' not in counts
        return said


@pytest.fixture
def place(claude: Path, tmp_path: Path) -> Place:
    return Place(claude, tmp_path)


LOOK_UP = call("mcp__words__look_up_7", {"word": "sun"})


def test_finds_a_tool_that_it_held_back(place: Place, serve: Serve, encoding: Encoding) -> None:
    search = call("ToolSearch", {"query": "select:mcp__words__look_up_7"})
    model = Steps(encoding, [search, LOOK_UP])
    server = serve(model.backend(), model=LARGE)
    assert place.ask(server, "What does sun mean?") == "Made it.\n"
    first, second, third = model.texts
    assert "type ToolSearch = " in first
    assert "type mcp__words__look_up" not in first
    assert "Found the function mcp__words__look_up_7<|end|>" in second
    assert second.count("type mcp__words__look_up") == 1
    assert second.count("type mcp__words__look_up_7 = ") == 1
    assert "It means SUN." in third
    assert model.are_spliced  # all that was computed before the search is of use


def test_sends_all_tools_where_it_may_not_search(
    place: Place, serve: Serve, encoding: Encoding
) -> None:
    model = Steps(encoding, [LOOK_UP])
    server = serve(model.backend(), model=LARGE)
    said = place.ask(server, "What does sun mean?", ENABLE_TOOL_SEARCH="false")
    assert said == "Made it.\n"
    assert model.texts[0].count("type mcp__words__look_up_") == 30
    assert "It means SUN." in model.texts[1]
    assert model.are_spliced


def test_reads_an_image(place: Place, serve: Serve, encoding: Encoding) -> None:
    """The model is told that there is one, and the session goes on with it in the history."""
    image = place.home / "pixel.png"
    image.write_bytes(PIXEL)
    model = Steps(encoding, [call("Read", {"file_path": str(image)})])
    server = serve(model.backend(), model=LARGE)
    assert place.ask(server, "What is on it?") == "Made it.\n"
    assert "[image left out: this model reads text; image/png" in model.texts[1]
    assert place.ask(server, "--continue", "And now?") == "Made it.\n"
    assert "[image left out: this model reads text; image/png" in model.texts[-1]


def test_streams_as_in_a_terminal(place: Place, serve: Serve, encoding: Encoding) -> None:
    """Then it asks for thinking by another word."""
    server = serve(Steps(encoding, []).backend(), model=LARGE)
    said = place.ask(server, "Hello!", "--output-format", "stream-json", "--verbose")
    assert json.loads(said.splitlines()[-1])["result"] == "Made it."


@pytest.mark.parametrize("how", ["--continue", "--resume"])
def test_goes_on_with_a_session(place: Place, serve: Serve, encoding: Encoding, how: str) -> None:
    search = call("ToolSearch", {"query": "select:mcp__words__look_up_7"})
    model = Steps(encoding, [search, LOOK_UP])
    server = serve(model.backend(), model=LARGE)
    begun: Any = json.loads(place.ask(server, "What does sun mean?", "--output-format", "json"))
    words = [how] if how == "--continue" else [how, begun["session_id"]]
    assert place.ask(server, *words, "And now?") == "Made it.\n"
    assert model.texts[-1].count("type mcp__words__look_up_7 = ") == 1
    assert "It means SUN." in model.texts[-1]
    assert "<|start|>user<|message|>And now?" in model.texts[-1]


def test_goes_on_with_a_session_of_another_server(
    place: Place, serve: Serve, encoding: Encoding
) -> None:
    """Another server sealed its thinking, in a loop of tools that was broken off as well."""
    search = call("ToolSearch", {"query": "select:mcp__words__look_up_7"})
    elsewhere = serve(Steps(encoding, [search, LOOK_UP]).backend(), model=LARGE)
    words = ("What does sun mean?", "--max-turns", "1")
    path = f"{place.client}:{os.environ['PATH']}"
    command = ["sh", "-c", as_shell(recipe_of(elsewhere, "claude")), "sh", "-p", *words]
    run_client([*command, "--mcp-config", place.settings], place.home, PATH=path)
    model = Steps(encoding, [search, LOOK_UP])
    server = serve(model.backend(), model=LARGE)
    assert place.ask(server, "--continue", "And now?") == "Made it.\n"
    assert "What does sun mean?" in model.texts[-1]
    assert "It means SUN." in model.texts[-1]
    assert foreign_contents(server) > 0
    assert place.ask(server, "--continue", "And then?") == "Made it.\n"
