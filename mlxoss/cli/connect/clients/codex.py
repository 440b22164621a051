"""Codex: its command line, and its app, which reads the same file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from mlxoss.cli.connect.clients.client import OURS, Account, Client, Launch, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.toml_format import Toml
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import Change, Drop, Put
from mlxoss.config import API_KEY_VARIABLE

_OWN = ("model_providers", OURS)
_PRINT_KEY = f'echo "${{{API_KEY_VARIABLE}:-none}}"'
# Other ways to a key, which Codex refuses to have beside a command.
_OTHER_KEYS = ("env_key", "experimental_bearer_token", "requires_openai_auth", "aws")


def codex_changes(served: Served) -> list[Change]:
    """What Codex has to be told. Other settings of the provider stay, as ``http_headers``."""
    return [
        Put(("model",), served.model),
        Put(("model_provider",), OURS),
        Put((*_OWN, "name"), OURS),
        Put((*_OWN, "base_url"), served.base),
        Put((*_OWN, "wire_api"), "responses"),
        # Codex asks /v1/models only of providers whose key comes from a command.
        Put((*_OWN, "auth", "command"), "/bin/sh"),
        Put((*_OWN, "auth", "args"), ["-c", _PRINT_KEY]),
        # Last: from a table that had nothing else its comments would go too.
        *(Drop((*_OWN, key)) for key in _OTHER_KEYS),
    ]


def _places(account: Account, served: Served) -> Sequence[SettingsPlace]:
    file = account.folder("CODEX_HOME", ".codex") / "config.toml"
    part = SettingsPart(file, Toml(), _OWN, lambda _: codex_changes(served))
    return [SettingsPlace(part, (*_OWN, "base_url"), API_KEY_VARIABLE)]


def _launch(served: Served) -> Launch:
    """JSON's texts and lists are TOML's too."""
    words: list[str] = []
    for change in codex_changes(served):
        if isinstance(change, Put):
            words += ["-c", f"{'.'.join(map(str, change.keys))}={json.dumps(change.value)}"]
    return Launch(served.key_env, words)


CODEX = Client(
    "Codex CLI",
    "npm install -g @openai/codex, or: brew install --cask codex",
    programs=["codex"],
    places=_places,
    launch=_launch,
)
CODEX_APP = replace(
    CODEX,
    about="Codex's app, which reads the file of its command line",
    source="its download page",
    programs=(),
    apps=["Codex"],
    launch=None,
    note="Start the app anew: it reads the file when it starts.",
)
