"""Clients that take all they need from variables and flags: nothing is written for them."""

from __future__ import annotations

from mlxoss.cli.connect.clients.client import Client, Launch
from mlxoss.cli.connect.facts import Served


def _claude(served: Served) -> Launch:
    """As the recipe says, and for its small and large models too. Another key would go along."""
    env = {
        "ANTHROPIC_BASE_URL": served.url,
        "ANTHROPIC_AUTH_TOKEN": served.literal_key,
        "ANTHROPIC_MODEL": served.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": served.model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": served.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": served.model,
        "CLAUDE_CODE_SUBAGENT_MODEL": served.model,
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(served.context_tokens),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(served.answer_tokens),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return Launch(env, without=["ANTHROPIC_API_KEY"])


def _aider(served: Served) -> Launch:
    env = {"OPENAI_API_BASE": served.base, "OPENAI_API_KEY": served.literal_key}
    words = ["--model", f"openai/{served.model}", "--no-show-model-warnings"]
    return Launch(env, words)


def _open_webui(served: Served) -> Launch:
    """For this machine alone: by itself it lets all others in. What was set in it goes first."""
    env = {"OPENAI_API_BASE_URL": served.base, "OPENAI_API_KEY": served.literal_key}
    return Launch(env, ["serve", "--host", "127.0.0.1"])


CLAUDE = Client(
    "Claude Code, and clients of Anthropic's API",
    "npm install -g @anthropic-ai/claude-code",
    programs=["claude"],
    launch=_claude,
)
AIDER = Client("aider", "pip install aider-chat", programs=["aider"], launch=_aider)
OPEN_WEBUI = Client(
    "Open WebUI", "pip install open-webui", programs=["open-webui"], launch=_open_webui
)
