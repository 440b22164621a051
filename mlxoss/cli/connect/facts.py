"""What a client here has to know of the server: its URL, its model, whether it wants a key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlxoss import paths
from mlxoss.api_key_file import read_keys, read_local_token
from mlxoss.cli.options import read_config
from mlxoss.cli.this_machine import command_env
from mlxoss.config import API_KEY_VARIABLE, Config
from mlxoss.core import JsonMapping
from mlxoss.demo import DEMO_NAME
from mlxoss.service.health import Answered, probe

_CONTEXT_TOKENS = 131_072


@dataclass(frozen=True, slots=True)
class Served:
    """A server for recipes. ``url`` has no ``/v1``; with ``needs_key`` every request needs one.

    ``context_tokens`` is the model's own where the server is not there to tell.
    """

    url: str
    model: str
    needs_key: bool
    context_tokens: int = _CONTEXT_TOKENS

    @property
    def base(self) -> str:
        """The URL that OpenAI's clients take."""
        return f"{self.url}/v1"

    @property
    def key(self) -> str:
        """The word in a recipe's shell for the key; any will do where none is needed."""
        return f"${API_KEY_VARIABLE}" if self.needs_key else "none"


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
    )


def _ask(config: Config, state: Path) -> JsonMapping:
    """What the running server says of itself; nothing if none runs."""
    answer = probe(
        config.host,
        config.port,
        timeout_s=1.0,
        token=read_local_token(state),
        certificate=config.tls_cert,
    )
    return answer.document if isinstance(answer, Answered) else {}
