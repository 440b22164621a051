"""Crush. It knows the models that answer by responses by name: here it asks for completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlxoss.cli.connect.clients.client import OURS, Account, Client, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import puts
from mlxoss.config import API_KEY_VARIABLE

_OWN = ("providers", OURS)


def _provider(served: Served) -> Mapping[str, Any]:
    model = {
        "id": served.model,
        "name": served.model,
        "cost_per_1m_in": 0,
        "cost_per_1m_out": 0,
        "cost_per_1m_in_cached": 0,
        "cost_per_1m_out_cached": 0,
        "context_window": served.context_tokens,
        "default_max_tokens": served.answer_tokens,
        "can_reason": True,
        "reasoning_levels": ["low", "medium", "high"],
        "default_reasoning_effort": "medium",
        "supports_attachments": False,
    }
    return {
        "name": OURS,
        "type": "openai-compat",
        "base_url": served.base,
        "api_key": f"${API_KEY_VARIABLE}" if served.needs_key else served.literal_key,
        "models": [model],
    }


def _places(account: Account, served: Served) -> Sequence[SettingsPlace]:
    chosen = {"model": served.model, "provider": OURS}
    sizes = [*puts(("models", "large"), chosen), *puts(("models", "small"), chosen)]
    changes = [*puts(_OWN, _provider(served)), *sizes]
    part = SettingsPart(
        account.config("crush", "crush.json"), JsonFormat(), _OWN, lambda _: changes
    )
    return [SettingsPlace(part, (*_OWN, "base_url"), (*_OWN, "api_key"))]


CRUSH = Client(
    "Crush",
    "npm install -g @charmland/crush, or: brew install charmbracelet/tap/crush",
    programs=["crush"],
    places=_places,
)
