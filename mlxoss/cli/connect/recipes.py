"""What ``mlxoss connect`` prints: a recipe to a client.

Of a client with files of settings it is what ``--write`` puts there. In the others ``@URL@``,
``@BASE@`` (with ``/v1``), ``@PORT@``, ``@MODEL@`` and ``@CONTEXT@`` (tokens) are the server's,
``@ANSWER@`` for what a client is to leave of the context for an answer; ``@KEY@`` for the key in a
shell, ``@PY_KEY@`` and ``@JS_KEY@`` for it there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from mlxoss.cli.connect.clients.by_hand import BY_HAND
from mlxoss.cli.connect.clients.client import Account, Client
from mlxoss.cli.connect.clients.table import CLIENTS
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.printing import tilde

_KEY_NOTE = "The server needs an API key: mlxoss key create NAME, then export MLXOSS_API_KEY=..."


@dataclass(frozen=True, slots=True)
class Recipe:
    """``about`` names the client, ``text`` is the recipe, ``mark`` begins a comment in it."""

    about: str
    text: str | Callable[[Served], str]
    mark: str = "#"


def render_recipe(recipe: Recipe, served: Served) -> str:
    """The recipe with the server's address, model and key in it."""
    values = {
        "@URL@": served.url,
        "@BASE@": served.base,
        "@MODEL@": served.model,
        "@CONTEXT@": str(served.context_tokens),
        "@ANSWER@": str(served.answer_tokens),
        "@PORT@": str(urlsplit(served.url).port or 443),
        "@KEY@": served.key,
        "@PY_KEY@": 'os.environ["MLXOSS_API_KEY"]' if served.needs_key else '"none"',
        "@JS_KEY@": "process.env.MLXOSS_API_KEY" if served.needs_key else '"none"',
    }
    text = (recipe.text if isinstance(recipe.text, str) else recipe.text(served)).strip("\n")
    if "@PY_KEY@" in text and served.needs_key:
        text = f"import os\n\n{text}"
    for word, value in values.items():
        text = text.replace(word, value)
    return f"{recipe.mark} {_KEY_NOTE}\n{text}" if served.needs_key else text


_WRITTEN_OUT = {
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
    "aider": Recipe(
        "aider",
        """
export OPENAI_API_BASE=@BASE@
export OPENAI_API_KEY=@KEY@
aider --model "openai/@MODEL@" --no-show-model-warnings
""",
    ),
    "open-webui": Recipe(
        "Open WebUI",
        """
# pip install open-webui; its own settings, once they are made, go before these variables
export OPENAI_API_BASE_URL=@BASE@
export OPENAI_API_KEY=@KEY@
open-webui serve --host 127.0.0.1
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
}


def this_account() -> Account:
    """The account that this process runs in."""
    return Account(Path.home(), os.environ, sys.platform)


def settings_text(client: Client, name: str, served: Served) -> str:
    """The files of a client as they are written where there are none, without the key."""
    assert client.places is not None
    mark, lines = _mark(client, served), []
    for place in client.places(this_account(), replace(served, secret=None)):
        part = place.part
        text = next(part.form.propose("", part.wanted(part.form.read(""))))
        lines += [f"{mark} {tilde(part.file)}", text]
    command = f"{mark} Merged into what is there: mlxoss connect {name} --write"
    notes = client.note.replace("@MODEL@", served.model).splitlines()
    return "\n".join([command, *(f"{mark} {note}" for note in notes), *lines])


def _mark(client: Client, served: Served) -> str:
    assert client.places is not None
    (first, *_) = client.places(this_account(), served)
    return "//" if first.part.form.name == "JSON" else "#"


def _made() -> dict[str, Recipe]:
    """The recipes in the order in which they are listed."""
    some = Served("http://127.0.0.1:1", "model", needs_key=False)
    of_clients = {
        name: _WRITTEN_OUT.get(name)
        or Recipe(client.about, partial(settings_text, client, name), _mark(client, some))
        for name, client in CLIENTS.items()
    }
    by_hand = {name: Recipe(about, text) for name, (about, _, text) in BY_HAND.items()}
    return of_clients | by_hand | _WRITTEN_OUT


RECIPES = _made()
"""By the names that are typed."""
