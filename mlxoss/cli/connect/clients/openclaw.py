"""OpenClaw. Which model its agents use is left to its own command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlxoss.cli.connect.clients.client import OURS, Account, Client, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import puts
from mlxoss.config import API_KEY_VARIABLE

_OWN = ("models", "providers", OURS)


def _provider(served: Served) -> Mapping[str, Any]:
    model = {
        "id": served.model,
        "name": served.model,
        "reasoning": True,
        "input": ["text"],
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
        "contextWindow": served.context_tokens,
        "maxTokens": served.answer_tokens,
    }
    key = f"${{{API_KEY_VARIABLE}}}" if served.needs_key else served.literal_key
    models = [model]
    return {"baseUrl": served.base, "apiKey": key, "api": "openai-responses", "models": models}


def _places(account: Account, served: Served) -> Sequence[SettingsPlace]:
    folder = account.folder("OPENCLAW_STATE_DIR", ".openclaw")
    named = account.env.get("OPENCLAW_CONFIG_PATH")
    file = account.folder("OPENCLAW_CONFIG_PATH") if named else folder / "openclaw.json"
    changes = puts(_OWN, _provider(served))
    part = SettingsPart(file, JsonFormat(), _OWN, lambda _: changes)
    return [SettingsPlace(part, (*_OWN, "baseUrl"), (*_OWN, "apiKey"))]


OPENCLAW = Client(
    "OpenClaw",
    "npm install -g openclaw",
    programs=["openclaw"],
    places=_places,
    note=f'Choose it with: openclaw models set "{OURS}/@MODEL@"',
)
