"""What ``mlxoss connect`` prints: a recipe to a client. Pure text.

``@URL@``, ``@BASE@`` (with ``/v1``), ``@MODEL@`` and ``@CONTEXT@`` (tokens) stand for the server's,
``@ANSWER@`` for what a client is to leave of the context for an answer; ``@KEY@`` for the key in a
shell, ``@PY_KEY@``, ``@JS_KEY@`` and ``@CONTINUE_KEY@`` for it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlxoss.cli.connect.facts import Served

_KEY_NOTE = "The server needs an API key: mlxoss key create NAME, then export MLXOSS_API_KEY=..."

_ANSWER_PART = 8
"""Of the context. Claude Code leaves up to 20,000 tokens by itself, and 3,000 more in any case:
with a context that is not much longer it finds every prompt too long."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """``about`` names the client, ``text`` is the recipe, ``mark`` begins a comment in it."""

    about: str
    text: str
    mark: str = "#"


def render_recipe(recipe: Recipe, served: Served) -> str:
    """The recipe with the server's address, model and key in it."""
    values = {
        "@URL@": served.url,
        "@BASE@": served.base,
        "@MODEL@": served.model,
        "@CONTEXT@": str(served.context_tokens),
        "@ANSWER@": str(served.context_tokens // _ANSWER_PART),
        "@KEY@": served.key,
        "@PY_KEY@": 'os.environ["MLXOSS_API_KEY"]' if served.needs_key else '"none"',
        "@JS_KEY@": "process.env.MLXOSS_API_KEY" if served.needs_key else '"none"',
        "@CONTINUE_KEY@": "${{ secrets.MLXOSS_API_KEY }}" if served.needs_key else "none",
    }
    text = recipe.text.strip("\n")
    if "@PY_KEY@" in text and served.needs_key:
        text = f"import os\n\n{text}"
    for word, value in values.items():
        text = text.replace(word, value)
    return f"{recipe.mark} {_KEY_NOTE}\n{text}" if served.needs_key else text


RECIPES = {
    "openai-python": Recipe(
        "OpenAI's SDK for Python",
        """
# pip install openai
from openai import OpenAI

client = OpenAI(base_url="@BASE@", api_key=@PY_KEY@)
response = client.responses.create(model="@MODEL@", input="Hello!")
print(response.output_text)
""",
    ),
    "openai-node": Recipe(
        "OpenAI's SDK for Node",
        """
// npm install openai
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "@BASE@", apiKey: @JS_KEY@ });
const response = await client.responses.create({ model: "@MODEL@", input: "Hello!" });
console.log(response.output_text);
""",
        "//",
    ),
    "agents": Recipe(
        "OpenAI's Agents SDK for Python",
        """
# pip install openai-agents
from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
client = AsyncOpenAI(base_url="@BASE@", api_key=@PY_KEY@)
model = OpenAIResponsesModel(model="@MODEL@", openai_client=client)
agent = Agent(name="Helper", instructions="Be short.", model=model)
print(Runner.run_sync(agent, "Hello!").final_output)
""",
    ),
    "vercel-ai": Recipe(
        "Vercel's AI SDK",
        """
// npm install ai @ai-sdk/openai
import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";

const mlxoss = createOpenAI({ baseURL: "@BASE@", apiKey: @JS_KEY@ });
const { text } = await generateText({
  model: mlxoss("@MODEL@"),
  // The SDK knows by OpenAI's own names alone that a model reasons.
  providerOptions: { openai: { forceReasoning: true } },
  prompt: "Hello!",
});
console.log(text);
""",
        "//",
    ),
    "langchain": Recipe(
        "LangChain for Python",
        """
# pip install langchain-openai
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="@MODEL@", base_url="@BASE@", api_key=@PY_KEY@)
print(model.invoke("Hello!").content)
""",
    ),
    "llamaindex": Recipe(
        "LlamaIndex",
        """
# pip install llama-index-llms-openai-like
from llama_index.llms.openai_like import OpenAILike

model = OpenAILike(
    model="@MODEL@",
    api_base="@BASE@",
    api_key=@PY_KEY@,
    context_window=@CONTEXT@,
    is_chat_model=True,
    is_function_calling_model=True,
)
print(model.complete("Hello!"))
""",
    ),
    "llm": Recipe(
        "Simon Willison's llm",
        """
# pip install llm; these lines belong into extra-openai-models.yaml beside: llm logs path
# Then: llm keys set mlxoss   (with "none" where no key is needed)
#       llm -m mlxoss "Hello!"
- model_id: mlxoss
  model_name: "@MODEL@"
  api_base: "@BASE@"
  api_key_name: mlxoss
  supports_tools: true
  supports_schema: true
""",
    ),
    "aider": Recipe(
        "aider",
        """
export OPENAI_API_BASE=@BASE@
export OPENAI_API_KEY=@KEY@
aider --model "openai/@MODEL@" --no-show-model-warnings
""",
    ),
    "zed": Recipe(
        "Zed: settings.json",
        """
// Zed takes the key from the variable MLXOSS_API_KEY, which must not be empty.
{
  "language_models": {
    "openai_compatible": {
      "mlxoss": {
        "api_url": "@BASE@",
        "available_models": [
          {
            "name": "@MODEL@",
            "max_tokens": @CONTEXT@,
            "reasoning_effort": "medium",
            "capabilities": { "tools": true, "images": false, "interleaved_reasoning": true }
          }
        ]
      }
    }
  }
}
""",
        "//",
    ),
    "continue": Recipe(
        "Continue: config.yaml",
        """
# Editors read a key from the line MLXOSS_API_KEY=... in ~/.continue/.env
name: mlxoss
version: 1.0.0
schema: v1
models:
  - name: mlxoss
    provider: openai
    model: "@MODEL@"
    apiBase: "@BASE@"
    apiKey: "@CONTINUE_KEY@"
    roles: [chat, edit, apply]
    capabilities: [tool_use]
    defaultCompletionOptions:
      contextLength: @CONTEXT@
""",
    ),
    "claude": Recipe(
        "Claude Code, and clients of Anthropic's API",
        """
# Anthropic's SDKs read the first two lines, Claude Code all. Its auto mode has calls checked by
# Anthropic's servers alone, so here it asks you instead, as with --permission-mode manual.
export ANTHROPIC_BASE_URL=@URL@
export ANTHROPIC_AUTH_TOKEN=@KEY@
export ANTHROPIC_MODEL="@MODEL@"
export CLAUDE_CODE_MAX_CONTEXT_TOKENS=@CONTEXT@
export CLAUDE_CODE_MAX_OUTPUT_TOKENS=@ANSWER@
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
claude
""",
    ),
    "codex": Recipe(
        "Codex CLI", "# Put the settings into Codex's config.toml:\nmlxoss codex --write"
    ),
}
"""By the names that are typed."""
