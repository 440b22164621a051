"""What a client here has to know of the server: its URL, its model, whether it wants a key."""

from __future__ import annotations

from dataclasses import dataclass

from mlxoss import paths
from mlxoss.cli.notice import url as to_url
from mlxoss.cli.options import read_config
from mlxoss.config import API_KEY_VARIABLE, Config
from mlxoss.demo import DEMO_NAME
from mlxoss.keys import read_keys, read_local_token
from mlxoss.service.health import Answered, probe


@dataclass(frozen=True, slots=True)
class Served:
    """A server for recipes. ``url`` has no ``/v1``; with ``needs_key`` every request needs one."""

    url: str
    model: str
    needs_key: bool

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
    config = read_config({})
    state = paths.data_dir()
    return Served(to_url(config), _model(config), needs_key=bool(read_keys(state)))


def _model(config: Config) -> str:
    answer = probe(
        config.host,
        config.port,
        timeout_s=1.0,
        token=read_local_token(paths.data_dir()),
        certificate=config.tls_cert,
    )
    told = answer.document.get("model") if isinstance(answer, Answered) else None
    return told if isinstance(told, str) else config.model or DEMO_NAME
