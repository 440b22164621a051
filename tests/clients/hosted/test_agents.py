"""OpenAI's Agents SDK with tools that the server runs, and one of its own beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Find, output
from tests.clients.hosted.conftest import Start
from tests.support.hosted.live import CITED, PAGE, PLANS

pytestmark = pytest.mark.slow

SCRIPT = """
import asyncio, json, sys
from agents import (
    Agent, CodeInterpreterTool, HostedMCPTool, ModelSettings, OpenAIResponsesModel, Runner,
    WebSearchTool, function_tool, set_tracing_disabled,
)
from openai import AsyncOpenAI

set_tracing_disabled(True)
base, streamed, stored, approve = sys.argv[1:]
asked = []

@function_tool
def get_weather(city: str) -> str:
    "Get the weather in a city."
    return "sunny"

def on_approval(request):
    asked.append([request.data.server_label, request.data.name, request.data.arguments])
    return {"approve": approve == "allow", "reason": "Not today."}

async def turn(agent, given):
    if streamed == "streamed":
        run = Runner.run_streamed(agent, given)
        seen = [e.name async for e in run.stream_events() if e.type == "run_item_stream_event"]
    else:
        run, seen = await Runner.run(agent, given), None
    return run, seen

async def main():
    client = AsyncOpenAI(base_url=base, api_key="none")
    mcp = {"type": "mcp", "server_label": "good", "require_approval": "always"}
    agent = Agent(
        name="Helper",
        model=OpenAIResponsesModel(model="m", openai_client=client),
        model_settings=ModelSettings(
            store=stored == "stored",
            response_include=[
                "reasoning.encrypted_content", "code_interpreter_call.outputs",
                "web_search_call.action.sources",
            ],
        ),
        tools=[
            CodeInterpreterTool({"type": "code_interpreter", "container": {"type": "auto"}}),
            WebSearchTool(),
            HostedMCPTool(tool_config=mcp, on_approval_request=on_approval),
            get_weather,
        ],
    )
    said, given = [], []
    for word in ("Set.", "Search.", "All of it.", "Raise."):
        run, seen = await turn(agent, [*given, {"role": "user", "content": word}])
        given = run.to_input_list()
        raw = [item for response in run.raw_responses for item in response.output]
        said.append({
            "answer": run.final_output, "seen": seen, "items": [i.type for i in run.new_items],
            "logs": [o.logs for i in raw if i.type == "code_interpreter_call" for o in i.outputs],
            "cited": [a.url for i in raw if i.type == "message" for a in i.content[0].annotations],
        })
    print(json.dumps([said, asked]))

asyncio.run(main())
"""


def run_script(client: Find, home: Path, *words: str) -> Any:
    python = client("python") / "bin/python"
    return json.loads(output([python, "-c", SCRIPT, *words], home))


@pytest.mark.parametrize("streamed", ["streamed", "whole"])
@pytest.mark.parametrize("stored", ["stored", "unstored"])
def test_turns_with_each_tool(
    client: Find, start: Start, tmp_path: Path, streamed: str, stored: str
) -> None:
    live = start(PLANS)
    said, asked = run_script(client, tmp_path, live.base, streamed, stored, "allow")
    assert [turn["answer"] for turn in said] == ["It is 41.", CITED, "It is sunny.", "It is 42."]
    ((label, name, arguments),) = asked
    assert (label, name, json.loads(arguments)) == ("good", "add", {"a": 1, "b": 2})
    logs = [[text.strip() for text in turn["logs"]] for turn in said]
    assert logs == [["41"], [], ["42", "43"], ["42"]]
    assert said[1]["cited"] == [PAGE]
    items = said[2]["items"]
    assert items.count("tool_call_item") == 5  # two cells, a search, a sum, a function
    for kind in ("mcp_approval_request_item", "mcp_approval_response_item"):
        assert items.count(kind) == 1
    assert "mcp_list_tools_item" in said[0]["items"]
    assert "mcp_list_tools_item" not in items
    if streamed == "streamed":
        assert said[1]["seen"].count("tool_called") == 3


def test_a_call_that_is_not_allowed(client: Find, start: Start, tmp_path: Path) -> None:
    live = start(PLANS)
    said, asked = run_script(client, tmp_path, live.base, "streamed", "stored", "deny")
    assert [turn["answer"] for turn in said] == ["It is 41.", CITED, "It is sunny.", "It is 42."]
    assert len(asked) == 1
    told = next(prompt for prompt in live.model.prompts if "Not today." in prompt)
    assert "did not allow" in told
