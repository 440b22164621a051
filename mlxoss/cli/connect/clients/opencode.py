"""opencode, and Kilo's CLI, which began as a copy of it and reads the same settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlxoss.cli.connect.clients.client import OURS, Account, Client, Launch, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import Put, puts
from mlxoss.config import API_KEY_VARIABLE

_OWN = ("provider", OURS)


def _provider(served: Served) -> Mapping[str, Any]:
    """Of OpenAI's kind, which asks for responses; only told so does it know that it reasons."""
    model = {
        "name": served.model,
        "reasoning": True,
        "tool_call": True,
        "limit": {"context": served.context_tokens, "output": served.answer_tokens},
        "options": {"forceReasoning": True, "reasoningSummary": "auto"},
    }
    key = f"{{env:{API_KEY_VARIABLE}}}" if served.needs_key else served.literal_key
    return {
        "npm": "@ai-sdk/openai",
        "name": OURS,
        "options": {"baseURL": served.base, "apiKey": key},
        "models": {served.model: model},
    }


def _model(served: Served) -> str:
    return f"{OURS}/{served.model}"


def _places(account: Account, served: Served, name: str) -> Sequence[SettingsPlace]:
    folder = account.config(name)
    files = [folder / f"{name}.jsonc", folder / f"{name}.json"]
    file = next((each for each in files if each.exists()), files[-1])
    changes = [Put(("model",), _model(served)), *puts(_OWN, _provider(served))]
    part = SettingsPart(file, JsonFormat(), _OWN, lambda _: changes)
    return [SettingsPlace(part, (*_OWN, "options", "baseURL"), (*_OWN, "options", "apiKey"))]


def _launch(served: Served, variable: str) -> Launch:
    content = {"model": _model(served), "provider": {OURS: _provider(served)}}
    return Launch({variable: json.dumps(content), **served.key_env})


OPENCODE = Client(
    "opencode",
    "npm install -g opencode-ai, or: brew install opencode",
    programs=["opencode"],
    places=lambda account, served: _places(account, served, "opencode"),
    launch=lambda served: _launch(served, "OPENCODE_CONFIG_CONTENT"),
)
KILO = Client(
    "Kilo's CLI",
    "npm install -g @kilocode/cli",
    programs=["kilo"],
    places=lambda account, served: _places(account, served, "kilo"),
    launch=lambda served: _launch(served, "KILO_CONFIG_CONTENT"),
)
