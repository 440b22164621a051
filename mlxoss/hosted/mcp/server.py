"""An MCP server as it is to be reached: a command, or an address.

Both hold secrets, so neither shows more than its label; ``shown`` is what people may see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

Pairs = tuple[tuple[str, str], ...]

LEAST_SECRET_CHARS = 8
"""Shorter values are words that any text has; so are a path's that are less than twice as long."""

_PLAIN_HEADERS = frozenset({"accept", "accept-language", "content-type", "user-agent"})
_SECRET_NAME = re.compile(r"key|token|secret|pass|auth|credential|cookie|session", re.I)


@dataclass(frozen=True, slots=True, repr=False)
class CommandServer:
    """A program that speaks over stdin and stdout. ``cwd`` is absolute."""

    label: str
    command: str
    args: tuple[str, ...] = ()
    env: Pairs = ()
    cwd: str | None = None

    def __repr__(self) -> str:
        return f"CommandServer({self.label!r})"

    @property
    def shown(self) -> str:
        """The command alone: arguments may hold tokens."""
        return self.command

    @property
    def secrets(self) -> Iterator[str]:
        """Values of variables that are named like secrets.

        A folder that a variable names is no secret, and belongs into answers.
        """
        return (value for name, value in self.env if _SECRET_NAME.search(name))


@dataclass(frozen=True, slots=True, repr=False)
class AddressServer:
    """A server under a URL. ``is_public_only``: whoever named it is not its owner, and it is not
    to lead into this machine's network."""

    label: str
    url: str
    headers: Pairs = ()
    kind: Literal["http", "sse"] = "http"
    is_public_only: bool = False

    def __repr__(self) -> str:
        return f"AddressServer({self.label!r})"

    @property
    def shown(self) -> str:
        """Scheme, host and port: a path or query may be a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def secrets(self) -> Iterator[str]:
        """Headers' values and the words in them, and what the URL holds beside its host."""
        for name, value in self.headers:
            if name.lower() not in _PLAIN_HEADERS:
                yield value
                yield from value.split()
        parts = urlsplit(self.url)
        yield from (parts.username or "", parts.password or "", parts.query)
        yield from (value for _, value in parse_qsl(parts.query))
        words = [parts.path, *parts.path.split("/")]
        yield from (word for word in words if len(word) >= 2 * LEAST_SECRET_CHARS)


McpServer = CommandServer | AddressServer


def to_message(server: McpServer) -> dict[str, Any]:
    """As it goes to the process that speaks to it, by a pipe and never by its arguments."""
    return {"is_command": isinstance(server, CommandServer), **asdict(server)}


def from_message(message: Mapping[str, Any]) -> McpServer:
    """The server of such a message."""
    values = {name: value for name, value in message.items() if name != "is_command"}
    if message["is_command"]:
        env = tuple((name, value) for name, value in values.pop("env"))
        return CommandServer(args=tuple(values.pop("args")), env=env, **values)
    headers = tuple((name, value) for name, value in values.pop("headers"))
    return AddressServer(headers=headers, **values)
