"""Tools that are to be called, as each client says it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.clients.conftest import Find, output
from tests.clients.hosted.conftest import Start
from tests.support.api.strict import check_response
from tests.support.hosted.live import ADDER, CITED, CODE, PLANS, SEARCH
from tests.support.server.rounds import WEATHER

pytestmark = pytest.mark.slow

TOOLS = [CODE, SEARCH, ADDER, WEATHER]
ANSWERS = {"Set.": "It is 41.", "Search.": CITED, "Add.": "It is 3."}

AGENTS = """
import asyncio, json, sys
from agents import (
    Agent, CodeInterpreterTool, HostedMCPTool, ModelSettings, OpenAIResponsesModel, Runner,
    WebSearchTool, set_tracing_disabled,
)
from openai import AsyncOpenAI

set_tracing_disabled(True)

async def main():
    client = AsyncOpenAI(base_url=sys.argv[1], api_key="none")
    mcp = {"type": "mcp", "server_label": "good", "require_approval": "never"}
    tools = [
        CodeInterpreterTool({"type": "code_interpreter", "container": {"type": "auto"}}),
        WebSearchTool(), HostedMCPTool(tool_config=mcp),
    ]
    said = {}
    for word, choice in [
        ("Set.", "code_interpreter"), ("Search.", "web_search"), ("Add.", "mcp"),
    ]:
        agent = Agent(
            name="Helper", model=OpenAIResponsesModel(model="m", openai_client=client),
            tools=tools, model_settings=ModelSettings(tool_choice=choice),
        )
        said[word] = (await Runner.run(agent, word)).final_output
    print(json.dumps(said))

asyncio.run(main())
"""

LANGCHAIN = """
import json, sys
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="m", base_url=sys.argv[1], api_key="none", use_responses_api=True,
    output_version="responses/v1",
)
mcp = {"type": "mcp", "server_label": "good", "require_approval": "never"}
tools = [
    {"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "web_search"}, mcp,
]
said = {}
for word, choice in [
    ("Set.", "code_interpreter"), ("Search.", {"type": "web_search"}),
    ("Add.", {"type": "mcp", "server_label": "good", "name": "add"}),
]:
    bound = model.bind_tools(tools, tool_choice=choice, parallel_tool_calls=False)
    said[word] = bound.invoke(word).text
print(json.dumps(said))
"""

VERCEL = """
import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";

globalThis.AI_SDK_LOG_WARNINGS = false;
const openai = createOpenAI({ baseURL: process.argv[2], apiKey: "none" });
const tools = {
  code: openai.tools.codeInterpreter({}),
  web: openai.tools.webSearch({}),
  good: openai.tools.mcp({ serverLabel: "good", connectorId: "good", requireApproval: "never" }),
};
const said = {};
// It knows a call of an MCP server's tool by that tool's name, so that naming the server fails.
const tool = (toolName) => ({ type: "tool", toolName });
for (const [prompt, toolChoice] of [
  ["Set.", tool("code")], ["Search.", tool("web")], ["Add.", "required"],
]) {
  const { text } = await generateText({ model: openai("m"), tools, toolChoice, prompt });
  said[prompt] = text;
}
console.log(JSON.stringify(said));
"""


@pytest.mark.parametrize("script", [AGENTS, LANGCHAIN], ids=["agents", "langchain"])
def test_in_python(client: Find, start: Start, tmp_path: Path, script: str) -> None:
    python = client("python") / "bin/python"
    live = start(PLANS)
    assert json.loads(output([python, "-c", script, live.base], tmp_path)) == ANSWERS


def test_in_node(client: Find, start: Start, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(client("node") / "node_modules")
    (tmp_path / "script.mjs").write_text(VERCEL)
    live = start(PLANS)
    said = json.loads(output(["node", tmp_path / "script.mjs", live.base], tmp_path))
    assert said == ANSWERS


MCP: Any = {"type": "mcp", "server_label": "good"}


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        ("required", "Set."),
        ({"type": "code_interpreter"}, "Set."),
        ({"type": "web_search_preview"}, "Search."),
        (MCP, "Add."),
        (MCP | {"name": "add"}, "Add."),
        ({"type": "allowed_tools", "mode": "required", "tools": [CODE, MCP]}, "Add."),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, "Search."),
    ],
)
def test_by_openai(start: Start, choice: Any, word: str) -> None:
    live = start(PLANS)
    response = live.server.client().responses.create(
        model="any", input=word, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False
    )
    check_response(response.to_dict())
    assert response.output_text == ANSWERS[word]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"tool_choice": {"type": "code_interpreter"}}, "tool_choice", "mlxoss tools enable"),
        ({"tools": [MCP | {"server_label": "other"}]}, "tools[0].server_label", "good"),
        ({"tools": [MCP | {"require_approval": {"never": 1}}]},
         "tools[0].require_approval.never", "dictionary"),
        ({"tools": [{"type": "web_search", "filters": {"allowed_domains": "a"}}]},
         "tools[0].filters.allowed_domains", "list"),
        ({"tools": [{"type": "web_search", "external_web_access": False}],
          "tool_choice": {"type": "web_search"}}, "tool_choice", "may be used"),
        ({"tool_choice": MCP | {"name": "other"}}, "tool_choice.name", "no such tool"),
        ({"max_tool_calls": 0}, "max_tool_calls", "1"),
        ({"input": [{"type": "mcp_approval_response", "approval_request_id": "x",
                     "approve": True}]}, "input[0].approval_request_id", "no earlier"),
    ],
)  # fmt: skip
def test_what_is_refused(start: Start, fields: Any, param: str, words: str) -> None:
    """Here code cannot be run."""
    client = start(PLANS, tools=("browser", "mcp")).server.client()
    asked: Any = {"model": "any", "input": "Hello!", "tools": TOOLS} | fields
    with pytest.raises(openai.BadRequestError, match=words) as caught:
        client.responses.create(**asked)
    assert caught.value.param == param


def test_what_is_not_here_is_left_out(start: Start) -> None:
    live = start(PLANS, tools=("browser",))
    response = live.server.client().responses.create(model="any", input="Hello!", tools=TOOLS)
    assert [tool.type for tool in response.tools] == ["web_search", "function"]
    assert response.output_text == "Hello."
