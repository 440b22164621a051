"""Clients that keep a list of models in YAML: Continue, llm and Raycast."""

from __future__ import annotations

from collections.abc import Sequence

from mlxoss.cli.connect.clients.client import OURS, Account, Client, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import Change, Item, Put, Settings, puts
from mlxoss.cli.connect.yaml_format import YamlFormat
from mlxoss.config import API_KEY_VARIABLE

_CONTINUE_OWN = ("models", Item("name", OURS))
_LLM_OWN = (Item("model_id", OURS),)
_RAYCAST_OWN = ("providers", Item("id", OURS))
_HEAD = {"name": OURS, "version": "1.0.0", "schema": "v1"}
_ABILITIES = {
    "temperature": {"supported": True},
    "vision": {"supported": False},
    "system_message": {"supported": True},
    "tools": {"supported": True},
    "reasoning_effort": {"supported": True},
}


def _continue(account: Account, served: Served) -> Sequence[SettingsPlace]:
    key = f"${{{{ secrets.{API_KEY_VARIABLE} }}}}" if served.needs_key else served.literal_key
    model = {
        "provider": "openai",
        "model": served.model,
        "apiBase": served.base,
        "apiKey": key,
        "roles": ["chat", "edit", "apply"],
        "capabilities": ["tool_use"],
        "defaultCompletionOptions": {"contextLength": served.context_tokens},
    }

    def wanted(now: Settings) -> list[Change]:
        """A file of its own has to have a head."""
        head = [Put((name,), value) for name, value in _HEAD.items() if name not in now]
        return [*head, *puts(_CONTINUE_OWN, model)]

    file = account.folder("CONTINUE_GLOBAL_DIR", ".continue") / "config.yaml"
    part = SettingsPart(file, YamlFormat(), _CONTINUE_OWN, wanted)
    return [SettingsPlace(part, (*_CONTINUE_OWN, "apiBase"), (*_CONTINUE_OWN, "apiKey"))]


def _llm(account: Account, served: Served) -> Sequence[SettingsPlace]:
    model = {
        "model_name": served.model,
        "api_base": served.base,
        "api_key_name": OURS,
        "supports_tools": True,
        "supports_schema": True,
    }
    own = account.env.get("LLM_USER_PATH")
    folder = account.folder("LLM_USER_PATH") if own else account.support("io.datasette.llm")
    changes = puts(_LLM_OWN, model)
    part = SettingsPart(
        folder / "extra-openai-models.yaml", YamlFormat(list), _LLM_OWN, lambda _: changes
    )
    return [SettingsPlace(part, (*_LLM_OWN, "api_base"), ())]


def _raycast(account: Account, served: Served) -> Sequence[SettingsPlace]:
    model = {
        "id": served.model,
        "name": served.model,
        "context": served.context_tokens,
        "abilities": _ABILITIES,
    }
    if served.needs_key:
        model["provider"] = OURS
    keys = {"api_keys": {OURS: served.literal_key}} if served.needs_key else {}
    provider = {"name": OURS, "base_url": served.base, **keys, "models": [model]}
    changes = puts(_RAYCAST_OWN, provider)
    file = account.config("raycast", "ai", "providers.yaml")
    part = SettingsPart(file, YamlFormat(), _RAYCAST_OWN, lambda _: changes)
    return [SettingsPlace(part, (*_RAYCAST_OWN, "base_url"), (*_RAYCAST_OWN, "api_keys", OURS))]


CONTINUE = Client(
    "Continue",
    "npm install -g @continuedev/cli, or its extension for VS Code or JetBrains",
    programs=["cn"],
    places=_continue,
    note=f"Editors read the key from the line {API_KEY_VARIABLE}=... in ~/.continue/.env",
)
LLM = Client(
    "Simon Willison's llm",
    "pip install llm, or: brew install llm",
    programs=["llm"],
    places=_llm,
    note='Then: llm keys set mlxoss   (with "none" where no key is needed)\n'
    '      llm -m mlxoss "Hello!"',
)
RAYCAST = Client(
    "Raycast: custom providers",
    "brew install --cask raycast",
    apps=["Raycast"],
    places=_raycast,
    note="Custom Providers have to be switched on in Raycast's settings, under AI.",
    has_key=True,
)
