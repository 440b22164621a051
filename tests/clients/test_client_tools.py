"""Tools that clients run: the Agents SDK's shell and patches of real files, Codex's search."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.clients.conftest import Find, output
from tests.server.conftest import Serve
from tests.support.clients import mcp_server
from tests.support.clients.codex import add, configure, run_codex
from tests.support.clients.scripted import LARGE, Steps, call
from tests.support.http import ask

AGENTS = """
import asyncio, json, os, subprocess, sys
from agents import (
    Agent, ApplyPatchTool, LocalShellTool, ModelSettings, OpenAIResponsesModel, Runner, ShellTool,
    apply_diff, set_tracing_disabled,
)
from agents import ShellCallOutcome, ShellCommandOutput, ShellResult
from openai import AsyncOpenAI

set_tracing_disabled(True)
streamed, stored, tool = sys.argv[1:]

def run_all(request):
    action, outputs = request.data.action, []
    for command in action.commands:
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        outcome = ShellCallOutcome("exit", done.returncode)
        outputs.append(ShellCommandOutput(done.stdout, done.stderr, outcome))
    length = action.max_output_length
    return ShellResult(outputs, max_output_length=length, provider_data={"where": "here"})

def run_one(request):
    return subprocess.run(request.data.action.command, capture_output=True, text=True).stdout

class Editor:
    def create_file(self, operation):
        open(operation.path, "w").write(apply_diff("", operation.diff, mode="create"))

    def update_file(self, operation):
        text = open(operation.path).read()
        open(operation.path, "w").write(apply_diff(text, operation.diff))
        return "Updated."

    def delete_file(self, operation):
        os.remove(operation.path)
        raise RuntimeError("It was there.")

async def main():
    client = AsyncOpenAI(base_url="@BASE@", api_key="none")
    shells = {"shell": ShellTool(executor=run_all), "local_shell": LocalShellTool(executor=run_one)}
    agent = Agent(
        name="Helper",
        model=OpenAIResponsesModel(model="m", openai_client=client),
        model_settings=ModelSettings(
            store=stored == "stored", response_include=["reasoning.encrypted_content"]
        ),
        tools=[shells[tool], ApplyPatchTool(editor=Editor())],
    )
    if streamed == "streamed":
        run = Runner.run_streamed(agent, "Make a file.")
        seen = [e.name async for e in run.stream_events() if e.type == "run_item_stream_event"]
    else:
        run = await Runner.run(agent, "Make a file.")
        seen = []
    again = [*run.to_input_list(), {"role": "user", "content": "And now?"}]
    last = await Runner.run(agent, again)
    print(json.dumps([run.final_output, seen, last.final_output]))

asyncio.run(main())
"""
MADE = {"type": "create_file", "path": "made.txt", "diff": "+one\n+two"}
CHANGED = {"type": "update_file", "path": "made.txt", "diff": "@@\n one\n-two\n+2"}
GONE = {"type": "delete_file", "path": "gone.txt"}
SHELLS: dict[str, Any] = {
    "shell": {"commands": ["cat made.txt", "exit 3"], "max_output_length": 500},
    "local_shell": {"command": ["cat", "made.txt"]},
}


@pytest.mark.slow
@pytest.mark.parametrize(("streamed", "stored"), [("streamed", "unstored"), ("whole", "stored")])
@pytest.mark.parametrize("tool", SHELLS)
def test_the_agents_sdk(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path,
    streamed: str, stored: str, tool: str,
) -> None:  # fmt: skip
    python = client("python") / "bin/python"
    patches = [call("apply_patch", one) for one in (MADE, CHANGED, GONE)]
    model = Steps(encoding, [*patches, call(tool, SHELLS[tool])])
    server = serve(model.backend(), model=LARGE)
    (tmp_path / "gone.txt").write_text("x")
    script = AGENTS.replace("@BASE@", f"{server.url}/v1")
    answer, seen, last = json.loads(
        output([python, "-c", script, streamed, stored, tool], tmp_path)
    )
    assert (answer, last) == ("Made it.", "Made it.")
    assert (tmp_path / "made.txt").read_text() == "one\n2"
    assert not (tmp_path / "gone.txt").exists()
    assert [name for name in seen if name == "tool_called"] == ["tool_called"] * 4 * bool(seen)
    for said in ("Updated.", "It was there.", "one\n2"):
        assert said in model.texts[4]
    assert "It failed." in model.texts[4]
    assert ("Exit code: 3" in model.texts[4]) == (tool == "shell")
    # The last prompt is of a new turn, where the reasoning before the answer is left out.
    model.prompts.pop()
    model.written.pop()
    assert model.are_spliced


@pytest.mark.slow
def test_codex_searches_its_tools(
    client: Find, encoding: Encoding, serve: Serve, tmp_path: Path
) -> None:
    """With a user's catalog that lets this model search: MCP servers' tools are held back."""
    codex = client("codex")
    search = call("tool_search", {"query": "look a word up", "limit": 2})
    model = Steps(encoding, [search, call("mcp__words__look_up", {"word": "tree"})])
    server = serve(model.backend(), model=LARGE)
    catalog = {"models": ask(server, "GET", "/v1/models").json["models"]}
    catalog["models"][0]["supports_search_tool"] = True
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    file = configure(tmp_path, server)
    words = {"command": sys.executable, "args": [str(Path(mcp_server.__file__))]}
    add(file, mcp_servers={"words": words}, model_catalog_json=str(tmp_path / "catalog.json"))
    run = run_codex(codex, tmp_path, "What is a tree?")
    run.check()
    (called,) = run.items("mcp_tool_call")
    assert (called["server"], called["tool"], called["status"]) == ("words", "look_up", "completed")
    assert "type tool_search = (_: {" in model.texts[0]
    assert "look_up" not in model.texts[0]
    assert "Found: mcp__words__look_up" in model.texts[1]
    assert "type mcp__words__look_up = (_: {" in model.texts[1]
    assert "It means TREE." in model.texts[2]
    assert model.are_spliced
    assert run.answer == "Made it."
