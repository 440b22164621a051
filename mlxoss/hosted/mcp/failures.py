"""Which MCP servers could not be listed a short while ago, so that nobody waits for them again."""

from __future__ import annotations

from collections.abc import Callable

from mlxoss.hosted.mcp.server import McpServer
from mlxoss.outcomes import McpFailure

MOST = 64


class Failures:
    """The latest of them, ``MOST`` at most, each for ``seconds``. ``clock`` gives seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._found: dict[McpServer, tuple[float, McpFailure]] = {}

    def add(self, server: McpServer, failure: McpFailure) -> None:
        """It failed just now."""
        self._found.pop(server, None)
        self._found[server] = self._clock() + self._seconds, failure
        if len(self._found) > MOST:
            del self._found[next(iter(self._found))]

    def get(self, server: McpServer) -> McpFailure | None:
        """Why it failed, if that is not long ago."""
        until, failure = self._found.get(server, (0.0, None))
        if failure is not None and until <= self._clock():
            del self._found[server]
            return None
        return failure
