"""Editors that keep providers in a file: Zed, and VS Code's custom endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from mlxoss.cli.connect.clients.client import OURS, Account, Client, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import Item, puts
from mlxoss.config import API_KEY_VARIABLE

_ZED_OWN = ("language_models", "openai_compatible", OURS)
_CODE_OWN = (Item("name", OURS),)
_EFFORTS = ["low", "medium", "high"]


def _zed(account: Account, served: Served) -> Sequence[SettingsPlace]:
    model = {
        "name": served.model,
        "max_tokens": served.context_tokens,
        "reasoning_effort": "medium",
        # With the last it sends the reasoning back.
        "capabilities": {"tools": True, "images": False, "interleaved_reasoning": True},
    }
    changes = puts(_ZED_OWN, {"api_url": served.base, "available_models": [model]})
    part = SettingsPart(
        account.config("zed", "settings.json"), JsonFormat(), _ZED_OWN, lambda _: changes
    )
    return [SettingsPlace(part, (*_ZED_OWN, "api_url"), API_KEY_VARIABLE)]


def _code(account: Account, served: Served) -> Sequence[SettingsPlace]:
    """Its key lies in the file, unless VS Code's own dialogue put it into its secret storage."""
    model = {
        "id": served.model,
        "name": served.model,
        "url": f"{served.base}/responses",
        "toolCalling": True,
        "vision": False,
        "thinking": True,
        "supportsReasoningEffort": _EFFORTS,
        "maxInputTokens": served.context_tokens - served.answer_tokens,
        "maxOutputTokens": served.answer_tokens,
    }
    provider = {
        "vendor": "customendpoint",
        "apiType": "responses",
        "apiKey": served.literal_key,
        "models": [model],
    }
    changes = puts(_CODE_OWN, provider)
    file = account.support("Code", "User", "chatLanguageModels.json")
    part = SettingsPart(file, JsonFormat(list), _CODE_OWN, lambda _: changes)
    url = (*_CODE_OWN, "models", Item("", ""), "url")
    return [SettingsPlace(part, url, (*_CODE_OWN, "apiKey"))]


ZED = Client(
    "Zed",
    "brew install --cask zed",
    programs=["zed", "zeditor"],
    apps=["Zed"],
    places=_zed,
    note=f"Zed takes the key from the variable {API_KEY_VARIABLE}, which must not be empty; "
    "or type it in: agent: open settings.",
)
VSCODE = Client(
    "VS Code: models of custom endpoints",
    "brew install --cask visual-studio-code (1.122 or newer)",
    programs=["code"],
    apps=["Visual Studio Code"],
    places=_code,
    note="Choose the model in the chat's list of models; VS Code may have to be started anew.",
    has_key=True,
)
