"""Whether a daemon with these settings would let anybody in, told before it is started."""

from __future__ import annotations

from pathlib import Path

from mlxoss.api_key_file import read_keys
from mlxoss.config import Config
from mlxoss.server.access.exposure import check_exposure
from mlxoss.tls import make_server_context


def check_reach(config: Config, state: Path) -> None:
    """Raise ``ConfigError`` for what the daemon would refuse to start with; ``state`` has its keys.

    Other machines that need a key while there is none, or TLS that cannot be.
    """
    check_exposure(config, has_keys=bool(read_keys(state)))
    make_server_context(config.tls_cert, config.tls_key)
