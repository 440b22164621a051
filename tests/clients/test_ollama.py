"""Ollama's client for Node against its door: it keeps what it is told, ids of calls too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.clients.conftest import Find, output
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.server.messages import ANSWERS
from tests.support.server.scripts import CALL, by_last_words, to_ids

pytestmark = pytest.mark.slow

SCRIPT = """
import { Ollama } from 'ollama'

const client = new Ollama({ host: process.argv[2] })
const say = (value) => console.log(JSON.stringify(value))
say((await client.list()).models.map((model) => model.name))
say((await client.show({ model: 'gpt-oss:20b' })).capabilities)
say((await client.ps()).models.length)

const messages = [{ role: 'user', content: 'Weather?' }]
const weather = { name: 'get_weather', parameters: { type: 'object' } }
const tools = [{ type: 'function', function: weather }]
const told = { role: 'assistant', content: '', thinking: '', tool_calls: [] }
for await (const { message } of await client.chat({ model: 'm', messages, tools, stream: true })) {
  told.content += message.content
  told.thinking += message.thinking ?? ''
  told.tool_calls.push(...(message.tool_calls ?? []))
}
say([told.content, told.thinking, told.tool_calls[0].function.arguments])
messages.push(told, { role: 'tool', tool_name: 'get_weather', content: 'sunny' })
say((await client.chat({ model: 'm', messages, tools })).message.content)
try {
  await client.chat({ model: 'm', messages, options: { mirostat: 2 } })
} catch (error) {
  say([error.name, error.status_code])
}
"""


def test_node(client: Find, serve: Serve, encoding: Encoding, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(client("node") / "node_modules")
    script = tmp_path / "talk.mjs"
    script.write_text(SCRIPT)
    backend = ScriptedBackend(by_last_words(encoding, ANSWERS))
    told = output(["node", script, serve(backend).url], tmp_path)
    assert [json.loads(line) for line in told.splitlines()] == [
        ["tiny/gpt-oss"],
        ["completion", "tools", "thinking"],
        1,
        ["Let me look.", "I need the weather.", {"city": "Oslo"}],
        "It is sunny in Oslo.",
        ["ResponseError", 400],
    ]
    written = str(to_ids(encoding, CALL.removesuffix("<|call|>")))[1:-1]
    assert written in str(backend.inserted[-1].prompt_ids)
