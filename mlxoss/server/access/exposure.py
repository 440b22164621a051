"""Whether other machines reach the server, and what that takes."""

from __future__ import annotations

import socket

from mlxoss.addresses import LOOPBACK, is_loopback
from mlxoss.config import Config
from mlxoss.errors import ConfigError


def check_exposure(config: Config, *, has_keys: bool) -> None:
    """Refuse to serve other machines without a key (``ConfigError``).

    A host that no address is found for is left to whoever binds it.
    """
    if has_keys or config.insecure_no_auth or config.host == LOOPBACK:
        return
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
    except OSError:
        return
    if all(is_loopback(str(address[0])) for *_, address in found):
        return
    raise ConfigError(
        f"Other machines can reach {config.host}, and there is no API key. Make one first with: "
        "mlxoss key create NAME (to let everyone in without a key, write out "
        "--insecure-no-auth)",
        key="host",
    )
