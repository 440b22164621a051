"""LangChain's models with tools that the server runs."""

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
import json, sys
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

base, streamed, version, stored = sys.argv[1:]

@tool
def get_weather(city: str) -> str:
    "Get the weather in a city."
    return "sunny"

model = ChatOpenAI(
    model="m", base_url=base, api_key="none", use_responses_api=True, output_version=version,
    store=stored == "stored",
    include=["reasoning.encrypted_content", "code_interpreter_call.outputs"],
).bind_tools([
    {"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "web_search"},
    {"type": "mcp", "server_label": "good", "require_approval": "never"}, get_weather,
])

def turn(messages):
    if streamed == "whole":
        return model.invoke(messages)
    whole = None
    for part in model.stream(messages):
        whole = part if whole is None else whole + part
    return whole

messages, said = [], []
for word in ("Set.", "Search.", "All of it.", "Add.", "Raise."):
    messages.append(HumanMessage(word))
    messages.append(turn(messages))
    calls = messages[-1].tool_calls
    if calls:
        messages.append(get_weather.invoke(calls[0]))
        messages.append(turn(messages))
    blocks = messages[-1].content_blocks
    said.append([
        messages[-1].text, [block["type"] for block in blocks], [call["name"] for call in calls],
        [a["url"] for block in blocks for a in block.get("annotations") or []],
    ])
print(json.dumps(said))
"""


def run_script(client: Find, home: Path, *words: str) -> Any:
    python = client("python") / "bin/python"
    return json.loads(output([python, "-c", SCRIPT, *words], home))


@pytest.mark.parametrize("streamed", ["streamed", "whole"])
@pytest.mark.parametrize(
    ("version", "stored"), [("responses/v1", "stored"), ("v1", "stored"), ("v1", "unstored")]
)
def test_turns_with_each_tool(
    client: Find, start: Start, tmp_path: Path, streamed: str, version: str, stored: str
) -> None:
    live = start(PLANS)
    said = run_script(client, tmp_path, live.base, streamed, version, stored)
    answers = ["It is 41.", CITED, "It is sunny.", "It is 3.", "It is 42."]
    assert [turn[0] for turn in said] == answers
    assert [turn[2] for turn in said] == [[], [], ["get_weather"], [], []]
    assert said[1][3] == [PAGE]
    assert "42" in live.model.prompts[-1].rpartition("python to=assistant")[2]
