"""Vercel's AI SDK with tools that the server runs."""

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
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [base, streamed, stored, approval] = process.argv.slice(2);
const openai = createOpenAI({ baseURL: base, apiKey: "none" });
const get_weather = tool({
  description: "Get the weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => "sunny",
});
const tools = {
  code: openai.tools.codeInterpreter({}),
  web: openai.tools.webSearch({}),
  good: openai.tools.mcp({
    serverLabel: "good", connectorId: "good", requireApproval: approval,
  }),
  get_weather,
};
const options = {
  store: stored === "stored", forceReasoning: true, include: ["reasoning.encrypted_content"],
};
globalThis.AI_SDK_LOG_WARNINGS = false;
let messages = [];
const said = [], problems = [];

async function turn() {
  const asked = {
    model: openai("m"), tools, messages, stopWhen: stepCountIs(4),
    providerOptions: { openai: options },
  };
  if (streamed === "whole") return await generateText(asked);
  const result = streamText(asked);
  for await (const part of result.fullStream) {
    if (part.type === "error") problems.push(String(part.error));
  }
  const steps = await result.steps;
  return {
    steps, text: await result.text, sources: await result.sources, content: await result.content,
    response: await result.response, warnings: await result.warnings,
  };
}

for (const word of ["Set.", "Search.", "All of it.", "Add.", "Raise."]) {
  messages.push({ role: "user", content: word });
  let result = await turn();
  const parts = result.steps.flatMap((step) => step.content);
  messages.push(...result.response.messages);
  const requests = parts.filter((part) => part.type === "tool-approval-request");
  if (requests.length) {
    messages.push({
      role: "tool",
      content: requests.map((part) => (
        { type: "tool-approval-response", approvalId: part.approvalId, approved: true,
          providerExecuted: true }
      )),
    });
    result = await turn();
    parts.push(...result.steps.flatMap((step) => step.content));
    messages.push(...result.response.messages);
  }
  const named = (type) => parts.filter((part) => part.type === type).map((part) => part.toolName);
  said.push({
    answer: result.text, calls: named("tool-call"), results: named("tool-result"),
    errors: parts.filter((part) => part.type === "tool-error").map((part) => String(part.error)),
    sources: parts.filter((part) => part.type === "source").map((part) => part.url),
    outputs: parts.filter((part) => part.type === "tool-result").map((part) => part.output),
    warnings: result.warnings ?? [], requests: requests.length,
  });
}
console.log(JSON.stringify([said, problems]));
"""


def run_script(client: Find, home: Path, *words: str) -> Any:
    node = client("node")
    (home / "node_modules").symlink_to(node / "node_modules")
    (home / "script.mjs").write_text(SCRIPT)
    return json.loads(output(["node", home / "script.mjs", *words], home))


WAYS = [
    ("streamed", "stored", "never"),
    ("whole", "stored", "never"),
    ("streamed", "stored", "always"),
    ("whole", "stored", "always"),
    ("streamed", "unstored", "never"),
    ("whole", "unstored", "never"),
]
"""What it does not store it cannot allow: it sends back neither the request nor the call."""


@pytest.mark.parametrize(("streamed", "stored", "approval"), WAYS)
def test_turns_with_each_tool(
    client: Find, start: Start, tmp_path: Path, streamed: str, stored: str, approval: str
) -> None:
    live = start(PLANS)
    said, problems = run_script(client, tmp_path, live.base, streamed, stored, approval)
    assert problems == []
    answers = ["It is 41.", CITED, "It is sunny.", "It is 3.", "It is 42."]
    assert [turn["answer"] for turn in said] == answers
    assert [turn["errors"] for turn in said] == [[]] * 5
    assert [turn["requests"] for turn in said] == [0, 0, *[approval == "always"] * 2, 0]
    for turn in said:
        assert sorted(set(turn["calls"])) == sorted(set(turn["results"]))
    assert said[2]["results"] == ["code", "web", "mcp.add", "get_weather", "code"]
    assert PAGE in said[1]["sources"]
    logs = [[one["outputs"][0]["logs"].strip() for one in turn["outputs"] if "outputs" in one]
            for turn in said]  # fmt: skip
    assert logs[:3] == [["41"], [], ["42", "43"]]
    # Without its items, which are all that it does not send back, a turn's state is not known.
    assert logs[4] == ["42"] or stored == "unstored"
