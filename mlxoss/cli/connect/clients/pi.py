"""Pi: a provider in ``models.json``, the model that it begins with in ``settings.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlxoss.cli.connect.clients.client import OURS, Account, Client, Launch, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import Put, puts
from mlxoss.config import API_KEY_VARIABLE

_OWN = ("providers", OURS)
_EXTENSION = Path(__file__).with_name("pi_provider.js")
_PROVIDER_VARIABLE = "MLXOSS_PI_PROVIDER"


def _provider(served: Served) -> Mapping[str, Any]:
    model = {
        "id": served.model,
        "reasoning": True,
        "input": ["text"],
        "contextWindow": served.context_tokens,
        "maxTokens": served.answer_tokens,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
    }
    key = f"${API_KEY_VARIABLE}" if served.needs_key else served.literal_key
    models = [model]
    return {"baseUrl": served.base, "api": "openai-responses", "apiKey": key, "models": models}


def _places(account: Account, served: Served) -> Sequence[SettingsPlace]:
    folder = account.folder("PI_CODING_AGENT_DIR", ".pi", "agent")
    provider = puts(_OWN, _provider(served))
    begin = [Put(("defaultProvider",), OURS), Put(("defaultModel",), served.model)]
    url, key = (*_OWN, "baseUrl"), (*_OWN, "apiKey")
    return [
        SettingsPlace(
            SettingsPart(folder / "models.json", JsonFormat(), _OWN, lambda _: provider), url, key
        ),
        SettingsPlace(
            SettingsPart(folder / "settings.json", JsonFormat(), None, lambda _: begin), (), ()
        ),
    ]


def _launch(served: Served) -> Launch:
    """By an extension of ours, which tells Pi what is in a variable."""
    env = {_PROVIDER_VARIABLE: json.dumps(_provider(served)), **served.key_env}
    words = ["--extension", str(_EXTENSION), "--provider", OURS, "--model", served.model]
    return Launch(env, words)


PI = Client(
    "Pi",
    "npm install -g @earendil-works/pi-coding-agent",
    programs=["pi"],
    places=_places,
    launch=_launch,
)
