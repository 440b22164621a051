"""Where the other ranks come in: open while they are awaited, shut to strangers."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from mlxoss.engine.ranks.channel import RankChannel, welcome

logger = logging.getLogger(__name__)

GREETING_S = 5.0
"""How long who connects may take to prove that it is a rank."""

MOST_AT_ONCE = 16
"""How many may be trying; more are turned away."""

Admit = Callable[[int, RankChannel], bool]
"""Given a rank and its connection, listen to it on this thread for as long as it is there; False
if that rank is not awaited."""


class RankListener:
    """A listening socket at ``host``, on any free port. Raises ``OSError`` if it cannot be.

    Leaving the context closes it; who has come in stays.
    """

    def __init__(self, host: str, secret: bytes, admit: Admit) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family, backlog=MOST_AT_ONCE)
        self._secret = secret
        self._admit = admit
        self._trying = threading.Semaphore(MOST_AT_ONCE)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def open(self) -> None:
        """Let come in who can."""
        threading.Thread(target=self._accept, name="ranks' door", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Wakes who accepts. A Mac calls it an error for a socket that listens, and wakes it too.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, (host, *_) = self._socket.accept()
            except OSError:
                return  # closed
            if not self._trying.acquire(blocking=False):
                sock.close()
                continue
            arguments = (sock, str(host))
            threading.Thread(target=self._greet, args=arguments, name="rank", daemon=True).start()

    def _greet(self, sock: socket.socket, host: str) -> None:
        try:
            sock.settimeout(GREETING_S)
            rank = welcome(sock, self._secret)
            sock.settimeout(None)
        except OSError as error:
            logger.warning("a connection from %s was refused: %s", host, error)
            sock.close()
            return
        finally:
            self._trying.release()
        channel = RankChannel(sock)
        if not self._admit(rank, channel):
            logger.warning("a second rank %d from %s was refused", rank, host)
        channel.close()
