"""What a client here has to know of the server: its URL, its model, whether it wants a key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlxoss import paths
from mlxoss.api_key_file import read_keys
from mlxoss.cli.options import read_config
from mlxoss.cli.this_machine import ask_daemon, command_env
from mlxoss.config import API_KEY_VARIABLE, Config
from mlxoss.core import JsonMapping
from mlxoss.demo import DEMO_NAME
from mlxoss.service.health import Answered

_CONTEXT_TOKENS = 131_072
_NO_KEY = "none"
_SOME_KEY = "KEY"

_ANSWER_PART = 8
"""Of the context. Claude Code leaves up to 20,000 tokens by itself, and 3,000 more in any case:
with a context that is not much longer it finds every prompt too long."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server for recipes. ``url`` has no ``/v1``; with ``needs_key`` every request needs one.

    ``context_tokens`` is the model's own where the server is not there to tell; ``secret`` is the
    key that this shell has; ``is_up`` is whether it answered. It shows ``certificate``.
    """

    url: str
    model: str
    needs_key: bool
    context_tokens: int = _CONTEXT_TOKENS
    secret: str | None = field(default=None, repr=False)
    is_up: bool = False
    certificate: Path | None = None

    @property
    def base(self) -> str:
        """The URL that OpenAI's clients take."""
        return f"{self.url}/v1"

    @property
    def key(self) -> str:
        """The word in a recipe's shell for the key; any will do where none is needed."""
        return f"${API_KEY_VARIABLE}" if self.needs_key else _NO_KEY

    @property
    def literal_key(self) -> str:
        """The key itself; in what is only shown a word that stands for it."""
        return (self.secret or _SOME_KEY) if self.needs_key else _NO_KEY

    @property
    def key_env(self) -> Mapping[str, str]:
        """The variable of the key, for clients that read it."""
        return {API_KEY_VARIABLE: self.literal_key}

    @property
    def answer_tokens(self) -> int:
        """What a client is to leave of the context for an answer."""
        return self.context_tokens // _ANSWER_PART


def find_served() -> Served:
    """The server of the configuration; the running one names its model, else the settings do."""
    env = command_env()
    config, state = read_config({}, env=env), paths.data_dir(env)
    told = _ask(config, state)
    model, context = told.get("model"), told.get("context_tokens")
    return Served(
        config.url,
        model if isinstance(model, str) else config.model or DEMO_NAME,
        needs_key=bool(read_keys(state)),
        context_tokens=context if isinstance(context, int) else _CONTEXT_TOKENS,
        secret=os.environ.get(API_KEY_VARIABLE) or None,
        is_up=bool(told),
        certificate=config.tls_cert,
    )


def _ask(config: Config, state: Path) -> JsonMapping:
    """What the running server says of itself; nothing if none runs."""
    answer = ask_daemon(config, state, timeout_s=1.0)
    return answer.document if isinstance(answer, Answered) else {}
