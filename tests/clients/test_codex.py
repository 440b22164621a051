"""Codex CLI itself against a server: turns, tools of each kind, and what stops it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.cli.connect.test_codex_settings import SPELLINGS
from tests.clients.conftest import Demo, Find
from tests.server.conftest import Serve
from tests.support.clients import mcp_server
from tests.support.clients.codex import add, configure, run_codex
from tests.support.clients.scripted import LARGE, THOUGHT, OneCall, call
from tests.support.server.harness import MODEL
from tests.support.server.scripts import final

PATCH = "*** Begin Patch\n*** Add File: made.txt\n+by a patch\n*** End Patch\n"
CALLS = {
    "by a command": call("exec_command", {"cmd": "echo by a command > made.txt"}),
    "by a patch": call("apply_patch", PATCH),
}


@pytest.fixture(scope="module")
def codex(client: Find) -> Path:
    """Before the server: without the client none is started."""
    return client("codex")


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


@pytest.mark.parametrize("spelling", ["dots of ours", "dots and a header", "inline", "scattered"])
def test_settings_among_others_are_read(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path, spelling: str
) -> None:
    codex, model = client("codex"), OneCall(encoding, CALLS["by a command"])
    file = tmp_path / "codex/config.toml"
    file.parent.mkdir()
    text = SPELLINGS[spelling].replace("[tools]\nweb = true", "[features]\ngoals = false")
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    configure(tmp_path, serve(model.backend(), model=LARGE))
    run = run_codex(codex, tmp_path, "Make the file made.txt.")
    run.check()
    assert run.answer == "Made it."


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
    """By ``mlxoss codex --write`` and a key, with a prompt that is short: its own takes long on a
    CPU."""
    folder = tmp_path / "codex"
    demo.mlxoss("codex", "--write", CODEX_HOME=str(folder))
    (tmp_path / "short.md").write_text("Be short.")
    short = {"model_instructions_file": str(tmp_path / "short.md"), "features": {"goals": False}}
    add(folder / "config.toml", agents={"enabled": False}, **short)
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
