"""Cline's command line. It keeps one provider that is compatible with OpenAI, with its key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlxoss.cli.connect.clients.client import Account, Client, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import Change, Put, Settings, puts

_KIND = "openai-compatible"
_SETTINGS = ("providers", _KIND, "settings")
_WRITTEN = "2026-01-01T00:00:00.000Z"
"""It wants a time of the last change; this one says the same whenever it is written."""


def _places(account: Account, served: Served) -> Sequence[SettingsPlace]:
    settings = {
        "provider": _KIND,
        "apiKey": served.literal_key,
        "model": served.model,
        "baseUrl": served.base,
    }

    def wanted(now: Settings) -> list[Change]:
        there = now.get("providers", {}).get(_KIND, {}) if isinstance(now, dict) else {}
        new = [Put(("version",), 1)] if "version" not in now else []
        made = {"updatedAt": _WRITTEN, "tokenSource": "manual"}
        rest = {name: value for name, value in made.items() if name not in there}
        chosen = Put(("lastUsedProvider",), _KIND)
        return [*new, chosen, *puts(_SETTINGS, settings), *puts(_SETTINGS[:-1], rest)]

    data = account.env.get("CLINE_DATA_DIR") or account.folder("CLINE_DIR", ".cline") / "data"
    file = Path(data) / "settings" / "providers.json"
    part = SettingsPart(file, JsonFormat(), None, wanted)
    return [SettingsPlace(part, (*_SETTINGS, "baseUrl"), (*_SETTINGS, "apiKey"))]


CLINE = Client(
    "Cline's command line",
    "npm install -g cline",
    programs=["cline"],
    places=_places,
    has_key=True,
)
