"""Codex CLI itself against a server: turns, edits by its tools, and what stops it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mlxoss.cli.codex import write_settings
from mlxoss.cli.served import Served
from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from tests.clients.install import FOLDER
from tests.fakes import ScriptedBackend
from tests.server.conftest import Serve
from tests.server.harness import MODEL, Server
from tests.server.scripts import final, to_ids

CODEX = FOLDER / "node_modules/.bin/codex"
pytestmark = pytest.mark.skipif(
    not CODEX.exists(), reason="no Codex: python -m tests.clients.install"
)

LARGE = dataclasses.replace(MODEL, context_tokens=131_072)
THOUGHT = "<|channel|>analysis<|message|>The file is missing, so I make it.<|end|>"
PATCH = "*** Begin Patch\n*** Add File: made.txt\n+by a patch\n*** End Patch\n"


def call(name: str, arguments: str) -> str:
    header = f"<|start|>assistant<|channel|>commentary to=functions.{name} <|constrain|>json"
    return f"{THOUGHT}{header}<|message|>{arguments}<|call|>"


CALLS = {
    "by a command": (call("exec_command", json.dumps({"cmd": "echo by a command > made.txt"}))),
    "by a patch": call("apply_patch", PATCH),
}


def then_done(
    encoding: Encoding, first: str, seen: list[str]
) -> Callable[[GenerationRequest], Sequence[int]]:
    """A script that writes ``first`` until its result is in the prompt, then ends the turn."""

    def script(request: GenerationRequest) -> Sequence[int]:
        seen.append(encoding.decode(request.prompt_ids))
        has_result = "to=assistant<|channel|>commentary" in seen[-1]
        return to_ids(encoding, final("Made it.") if has_result else first)

    return script


def run_codex(home: Path, server: Server, prompt: str) -> subprocess.CompletedProcess[str]:
    """``codex exec`` with the settings that ``mlxoss codex --write`` makes."""
    write_settings(home / "codex/config.toml", Served(server.url, MODEL.name, needs_key=False))
    (home / "work").mkdir()
    return subprocess.run(
        [CODEX, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
         "--json", "-C", home / "work", prompt],
        env={**os.environ, "CODEX_HOME": str(home / "codex"), "RUST_LOG": "error"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("how", CALLS)
def test_a_file_is_made_by_a_tool_call(
    encoding: Encoding, serve: Serve, tmp_path: Path, how: str
) -> None:
    prompts: list[str] = []
    backend = ScriptedBackend(then_done(encoding, CALLS[how], prompts))
    done = run_codex(tmp_path, serve(backend, model=LARGE), "Make the file made.txt.")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "work/made.txt").read_text().strip() == how, done.stdout
    assert "Made it." in done.stdout
    assert "metadata" not in done.stdout + done.stderr  # it knows the model by /v1/models
    # Codex stores nothing here: its sealed reasoning comes back and is put into the prompt.
    assert THOUGHT in prompts[-1]


def test_a_context_that_is_too_short_ends_the_turn_at_once(
    encoding: Encoding, serve: Serve, tmp_path: Path
) -> None:
    backend = ScriptedBackend(then_done(encoding, final("Hello."), []))
    small = dataclasses.replace(MODEL, context_tokens=500)
    done = run_codex(tmp_path, serve(backend, model=small), "Hello!")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "context" in done.stdout
    assert "Reconnecting" not in done.stdout
    assert backend.inserted == []
