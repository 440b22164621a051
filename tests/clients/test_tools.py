"""What users of the SDKs do beyond a recipe: streams and loops of tools, on the demo model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.clients.conftest import Demo, Find, output

ASKED = "What's the weather like in Paris?"
ANSWER = "The weather in Paris: sunny, 21 degrees"

AGENTS = """
import asyncio, json, os
from agents import (
    Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(True)
calls = []

class Sum(BaseModel):
    sum: int

@function_tool
def get_weather(city: str) -> str:
    "Get the weather in a city."
    calls.append(city)
    return "sunny, 21 degrees"

async def turns(kind):
    client = AsyncOpenAI(base_url="@BASE@", api_key=os.environ["KEY"])
    common = dict(
        model=kind(model="mlxoss-demo", openai_client=client),
        model_settings=ModelSettings(temperature=0),
    )
    agent = Agent(name="Helper", tools=[get_weather], **common)
    run = Runner.run_streamed(agent, "@ASKED@")
    seen = [e.name async for e in run.stream_events() if e.type == "run_item_stream_event"]
    again = [*run.to_input_list(), {"role": "user", "content": "What is 2 + 3?"}]
    last = await Runner.run(agent, again)
    typed = await Runner.run(Agent(name="Adder", output_type=Sum, **common), "What is 2 + 3?")
    common["model_settings"] = ModelSettings(temperature=0, tool_choice="required")
    desk = Agent(name="Desk", handoffs=[agent], **common)
    handed = await Runner.run(desk, "@ASKED@")
    return [
        run.final_output, seen, last.final_output, typed.final_output.model_dump(),
        handed.last_agent.name,
    ]

async def main():
    kinds = [OpenAIResponsesModel, OpenAIChatCompletionsModel]
    print(json.dumps([[await turns(kind) for kind in kinds], calls]))

asyncio.run(main())
"""

LANGCHAIN = """
import json, os
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

@tool
def get_weather(city: str) -> str:
    "Get the weather in a city."
    return "sunny, 21 degrees"

said = []
for responses in (False, True):
    model = ChatOpenAI(
        model="mlxoss-demo", base_url="@BASE@", api_key=os.environ["KEY"], temperature=0,
        use_responses_api=responses,
    )
    messages = [HumanMessage("@ASKED@")]
    call = model.bind_tools([get_weather]).invoke(messages)
    messages += [call, get_weather.invoke(call.tool_calls[0])]
    parts = [part.text for part in model.bind_tools([get_weather]).stream(messages)]
    said.append([call.tool_calls[0]["args"], "".join(parts), len(parts) > 3])
schema = {
    "title": "sum", "description": "A sum.", "type": "object", "required": ["sum"],
    "properties": {"sum": {"type": "integer"}}, "additionalProperties": False,
}
whole = model.with_structured_output(schema, method="json_schema").invoke("What is 2 + 3?")
print(json.dumps([said, sorted(whole)]))
"""

LLAMAINDEX = """
import asyncio, json, os
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike

calls = []

def get_weather(city: str) -> str:
    "Get the weather in a city."
    calls.append(city)
    return "sunny, 21 degrees"

async def main():
    model = OpenAILike(
        model="mlxoss-demo", api_base="@BASE@", api_key=os.environ["KEY"], temperature=0,
        context_window=4096, is_chat_model=True, is_function_calling_model=True,
    )
    hello = [part.delta for part in model.stream_complete("Hello!")]
    answer = await FunctionAgent(tools=[get_weather], llm=model).run("@ASKED@")
    print(json.dumps(["".join(hello), len(hello) > 3, str(answer), calls]))

asyncio.run(main())
"""

VERCEL = """
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const mlxoss = createOpenAI({ baseURL: "@BASE@", apiKey: process.env.KEY });
const calls = [];
const get_weather = tool({
  description: "Get the weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => { calls.push(city); return "sunny, 21 degrees"; },
});
const said = [], sums = [];
for (const [model, openai] of [
  [mlxoss("mlxoss-demo"), { forceReasoning: true, reasoningSummary: "auto" }],
  [mlxoss.chat("mlxoss-demo"), {}],
]) {
  const result = streamText({
    model, tools: { get_weather }, stopWhen: stepCountIs(3), prompt: "@ASKED@",
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber ? "auto" : "required" }),
    temperature: openai.forceReasoning ? undefined : 0, providerOptions: { openai },
  });
  for await (const part of result.fullStream) if (part.type === "error") throw part.error;
  const steps = await result.steps;
  said.push([await result.text, steps[0].reasoningText ?? null, await result.warnings]);
  const schema = z.object({ sum: z.number().int() });
  const sum = { model, output: Output.object({ schema }), prompt: "What is 2 + 3?" };
  sums.push(typeof (await generateText(sum)).output.sum);
}
console.log(JSON.stringify([said, calls, sums]));
"""

NODE = """
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "@BASE@", apiKey: process.env.KEY });
const calls = [];
const get_weather = {
  type: "function",
  function: {
    name: "get_weather", description: "Get the weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    parse: JSON.parse,
    function: ({ city }) => { calls.push(city); return "sunny, 21 degrees"; },
  },
};
const runner = client.chat.completions.runTools({
  model: "mlxoss-demo", temperature: 0, stream: true, tools: [get_weather],
  messages: [{ role: "user", content: "@ASKED@" }],
});
const answer = await runner.finalContent();
const stream = client.responses.stream({ model: "mlxoss-demo", temperature: 0, input: "Hello!" });
console.log(JSON.stringify([answer, calls, (await stream.finalResponse()).output_text]));
"""


def fill_in(script: str, demo: Demo) -> str:
    return script.replace("@BASE@", f"{demo.url}/v1").replace("@ASKED@", ASKED)


def in_python(python: Path, script: str, demo: Demo, home: Path) -> Any:
    command = [python / "bin/python", "-c", fill_in(script, demo)]
    return json.loads(output(command, home, KEY=demo.key))


def in_node(node: Path, script: str, demo: Demo, home: Path) -> Any:
    (home / "node_modules").symlink_to(node / "node_modules")
    (home / "script.mjs").write_text(fill_in(script, demo))
    return json.loads(output(["node", home / "script.mjs"], home, KEY=demo.key))


def test_agents(client: Find, demo: Demo, tmp_path: Path) -> None:
    runs, calls = in_python(client("python"), AGENTS, demo, tmp_path)
    assert calls.count("Paris") >= 2
    for answer, seen, next_answer, typed, handed_to in runs:
        assert answer == ANSWER
        assert [name for name in seen if name != "reasoning_item_created"] == [
            "tool_called",
            "tool_output",
            "message_output_created",
        ]
        assert "reasoning_item_created" in seen
        assert next_answer == "2 + 3 = 5."
        assert list(typed) == ["sum"]
        assert handed_to == "Helper"


def test_langchain(client: Find, demo: Demo, tmp_path: Path) -> None:
    said, fields = in_python(client("python"), LANGCHAIN, demo, tmp_path)
    assert said == [[{"city": "Paris"}, ANSWER, True]] * 2
    assert fields == ["sum"]


def test_llamaindex(client: Find, demo: Demo, tmp_path: Path) -> None:
    hello, is_streamed, answer, calls = in_python(client("llamaindex"), LLAMAINDEX, demo, tmp_path)
    assert (hello, is_streamed) == ("Hello! How can I help you?", True)
    assert (answer, calls) == (ANSWER, ["Paris"])


def test_vercel(client: Find, demo: Demo, tmp_path: Path) -> None:
    said, calls, sums = in_node(client("node"), VERCEL, demo, tmp_path)
    assert len(calls) >= 2
    assert sums == ["number", "number"]
    (sampled, thought, warnings), plain = said
    assert sampled  # it lets no temperature be set, so it may be anything
    assert thought
    assert warnings == []
    assert plain == [ANSWER, None, []]


def test_openai_node(client: Find, demo: Demo, tmp_path: Path) -> None:
    answer, calls, hello = in_node(client("node"), NODE, demo, tmp_path)
    assert (answer, calls) == (ANSWER, ["Paris"])
    assert hello == "Hello! How can I help you?"
