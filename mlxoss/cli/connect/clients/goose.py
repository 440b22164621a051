"""Goose: a provider in a file of its own, and the choice of it in ``config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlxoss.cli.connect.clients.client import OURS, Account, Client, Launch, SettingsPlace
from mlxoss.cli.connect.facts import Served
from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.undo import SettingsPart
from mlxoss.cli.connect.values import Put, puts
from mlxoss.cli.connect.yaml_format import YamlFormat
from mlxoss.config import API_KEY_VARIABLE


def _provider(served: Served) -> Mapping[str, Any]:
    return {
        "name": OURS,
        "engine": "openai",
        "display_name": OURS,
        "description": "gpt-oss on this machine",
        "api_key_env": API_KEY_VARIABLE,
        "requires_auth": served.needs_key,
        "base_url": f"{served.base}/chat/completions",
        "models": [{"name": served.model, "context_limit": served.context_tokens}],
        "supports_streaming": True,
    }


def _places(account: Account, served: Served) -> Sequence[SettingsPlace]:
    folder = account.config("goose")
    provider = puts((), _provider(served))
    chosen = [Put(("GOOSE_PROVIDER",), OURS), Put(("GOOSE_MODEL",), served.model)]
    file = folder / "custom_providers" / f"{OURS}.json"
    return [
        SettingsPlace(
            SettingsPart(file, JsonFormat(), (), lambda _: provider),
            ("base_url",),
            API_KEY_VARIABLE,
        ),
        SettingsPlace(
            SettingsPart(folder / "config.yaml", YamlFormat(), None, lambda _: chosen), (), ()
        ),
    ]


def _launch(served: Served) -> Launch:
    env = {
        "GOOSE_PROVIDER": "openai",
        "GOOSE_MODEL": served.model,
        "GOOSE_CONTEXT_LIMIT": str(served.context_tokens),
        "OPENAI_HOST": served.url,
        "OPENAI_API_KEY": served.literal_key,
    }
    return Launch(env)


GOOSE = Client(
    "Goose",
    "brew install block-goose-cli",
    programs=["goose"],
    apps=["Goose"],
    places=_places,
    launch=_launch,
)
