"""Codex CLI itself against a server: turns, tools of each kind, and what stops it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from mlxoss.cli.connect.codex import write_settings
from mlxoss.cli.connect.facts import Served
from mlxoss.harmony.encoding import Encoding
from tests.clients.conftest import Demo, Find, run_client
from tests.server.conftest import Serve
from tests.support.clients import mcp_server
from tests.support.clients.scripted import LARGE, THOUGHT, OneCall, call
from tests.support.server.harness import MODEL, Server
from tests.support.server.scripts import final

PATCH = "*** Begin Patch\n*** Add File: made.txt\n+by a patch\n*** End Patch\n"
CALLS = {
    "by a command": call("exec_command", {"cmd": "echo by a command > made.txt"}),
    "by a patch": call("apply_patch", PATCH),
}
# What it says to every run whose folder is below that of temporary files.
OF_THE_FOLDER = "could not create PATH aliases"


@pytest.fixture(scope="module")
def codex(client: Find) -> Path:
    """Before the server: without the client none is started."""
    return client("codex")


@dataclasses.dataclass
class Run:
    """What ``codex exec --json`` said."""

    done: subprocess.CompletedProcess[str]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.done.stdout.splitlines()]

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The finished items of a kind."""
        ended = [each["item"] for each in self.events if each["type"] == "item.completed"]
        return [item for item in ended if item["type"] == kind]

    @property
    def answer(self) -> str:
        return str(self.items("agent_message")[-1]["text"])

    def check(self) -> None:
        """It ended well, and had nothing to complain of."""
        assert self.done.returncode == 0, self.done.stdout + self.done.stderr
        assert self.items("error") == []
        complaints = [line for line in self.done.stderr.splitlines() if "warn" in line.lower()]
        assert [line for line in complaints if OF_THE_FOLDER not in line] == []


def run_codex(codex: Path, home: Path, *words: str, **env: str) -> Run:
    """``codex exec`` with the settings in ``home``."""
    (home / "work").mkdir(exist_ok=True)
    command = [codex / "node_modules/.bin/codex", "exec", "--skip-git-repo-check",
               "--dangerously-bypass-approvals-and-sandbox", "--json", "-C", home / "work",
               *words]  # fmt: skip
    return Run(run_client(command, home, CODEX_HOME=str(home / "codex"), **env))


def configure(home: Path, server: Server) -> Path:
    """The settings that ``mlxoss codex --write`` makes for this server."""
    file = home / "codex/config.toml"
    write_settings(file, Served(server.url, MODEL.name, needs_key=False))
    return file


def add(file: Path, **settings: Any) -> None:
    document = tomlkit.parse(file.read_text())
    document.update({**settings, **document})
    file.write_text(tomlkit.dumps(document))


@pytest.mark.parametrize("how", CALLS)
def test_a_file_is_made_by_a_tool_call(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path, how: str
) -> None:
    codex, model = client("codex"), OneCall(encoding, CALLS[how])
    configure(tmp_path, serve(model.backend(), model=LARGE))
    run = run_codex(codex, tmp_path, "Make the file made.txt.")
    run.check()
    assert (tmp_path / "work/made.txt").read_text().strip() == how, run.done.stdout
    assert run.answer == "Made it."
    # Codex stores nothing here: its sealed reasoning comes back and is put into the prompt.
    assert THOUGHT in model.last_prompt
    assert model.is_spliced


def test_a_tool_of_an_mcp_server_is_called(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path
) -> None:
    """Codex declares those of one server as a namespace."""
    codex, model = client("codex"), OneCall(encoding, call("mcp__words__look_up", {"word": "tree"}))
    file = configure(tmp_path, serve(model.backend(), model=LARGE))
    words = {"command": sys.executable, "args": [str(Path(mcp_server.__file__))]}
    add(file, mcp_servers={"words": words})
    run = run_codex(codex, tmp_path, "What is a tree?")
    run.check()
    (called,) = run.items("mcp_tool_call")
    assert (called["server"], called["tool"], called["status"]) == ("words", "look_up", "completed")
    assert "It means TREE." in model.last_prompt
    assert model.is_spliced
    assert run.answer == "Made it."


def test_a_context_that_is_too_short_ends_the_turn_at_once(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path
) -> None:
    codex, backend = client("codex"), OneCall(encoding, final("Hello.")).backend()
    configure(tmp_path, serve(backend, model=dataclasses.replace(MODEL, context_tokens=500)))
    run = run_codex(codex, tmp_path, "Hello!")
    assert run.done.returncode == 1, run.done.stdout + run.done.stderr
    assert "context" in run.done.stdout
    assert "Reconnecting" not in run.done.stdout
    assert backend.inserted == []


def test_turns_with_the_demo_model(codex: Path, demo: Demo, tmp_path: Path) -> None:
    """By ``mlxoss codex --write`` and a key, with instructions short enough for this model."""
    folder = tmp_path / "codex"
    demo.mlxoss("codex", "--write", CODEX_HOME=str(folder))
    (tmp_path / "short.md").write_text("Be short.")
    add(folder / "config.toml", model_instructions_file=str(tmp_path / "short.md"))
    runs = []
    for words in (("Hello!",), ("resume", "--last", "Hello!")):
        with demo.answering("/v1/responses"):
            runs.append(run_codex(codex, tmp_path, *words, MLXOSS_API_KEY=demo.key))
        runs[-1].check()
        assert runs[-1].answer
    # It counts all of a session: the first turn found nothing in the prefix cache.
    usage = [run.events[-1]["usage"] for run in runs]
    assert usage[0]["cached_input_tokens"] == 0
    assert usage[1]["cached_input_tokens"] >= 0.9 * usage[0]["input_tokens"]
