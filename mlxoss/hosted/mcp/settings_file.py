"""``mcp.json``: the MCP servers that are configured.

The format is that of Claude Desktop, Cursor and LM Studio (``mcpServers``), and VS Code's
(``servers``, with ``type``). What is wrong with one server leaves that one out, and says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from mlxoss.denied import why
from mlxoss.hosted.mcp.expand import expand
from mlxoss.hosted.mcp.server import AddressServer, CommandServer, McpServer, Pairs

MOST_BYTES = 1 << 20
LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
"""OpenAI's rule for ``server_label``."""

_LISTS = ("mcpServers", "servers")
_KINDS: Mapping[object, Literal["stdio", "http", "sse"]] = {
    "stdio": "stdio",
    "http": "http",
    "streamable-http": "http",
    "streamableHttp": "http",
    "sse": "sse",
}
_KNOWN = {
    True: {"type", "disabled", "command", "args", "env", "cwd"},
    False: {"type", "disabled", "url", "headers"},
}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A field's name (RFC 9110, 5.6.2)."""


@dataclass(frozen=True, slots=True)
class McpFile:
    """What is in the file. ``problems`` and ``notes`` are sentences without anybody's secrets."""

    servers: Mapping[str, McpServer] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_mcp_file(path: Path, env: Mapping[str, str]) -> McpFile:
    """The servers in ``path``, none if it is not there; variables have their values in ``env``.

    Never raises: what cannot be read is a problem.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return McpFile()
    except OSError as error:
        return McpFile(problems=(f"{path} cannot be read: {why(error)}.",))
    try:
        document = _parse(data)
    except ValueError as error:
        return McpFile(problems=(f"{path}: {error}.",))
    reading = _Reading(str(path), env)
    reading.read(document)
    return McpFile(reading.servers, tuple(reading.problems), tuple(reading.notes))


def _parse(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES} bytes")
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"it is no JSON ({error.msg} at {where})") from None
    except (UnicodeDecodeError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(document, dict):
        raise ValueError("it must be an object with 'mcpServers'")
    return document


class _Reading:
    """One pass over the file."""

    def __init__(self, path: str, env: Mapping[str, str]) -> None:
        self._path = path
        self._env = env
        self.servers: dict[str, McpServer] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []

    def read(self, document: Mapping[str, Any]) -> None:
        for name in _LISTS:
            entries = document.get(name, {})
            if not isinstance(entries, dict):
                self.problems.append(f"{self._path}: '{name}' must be an object.")
                continue
            for label, entry in entries.items():
                self._read_one(label, entry)
        if not any(name in document for name in _LISTS):
            self.problems.append(f"{self._path}: 'mcpServers' is missing.")
        for name in sorted(document.keys() - {*_LISTS}):
            self.notes.append(f"{self._path}: {name!r} does nothing here.")

    def _read_one(self, label: str, entry: object) -> None:
        try:
            if label in self.servers:
                raise ValueError("stands twice")
            if not LABEL.fullmatch(label):
                raise ValueError("must be named by a letter and up to 63 of A-Z, a-z, 0-9, _ and -")
            server = _Entry(label, entry, self._env)
            if not server.is_disabled:
                self.servers[label] = server.to_server()
        except ValueError as error:
            self.problems.append(f"{self._path}: server {label!r} {error}.")
            return
        unknown = ", ".join(sorted(map(repr, server.unknown)))
        if unknown:
            self.notes.append(f"{self._path}: server {label!r}: {unknown} does nothing here.")


class _Entry:
    """One server's fields. Raises ``ValueError`` with the end of a sentence about the server."""

    def __init__(self, label: str, entry: object, env: Mapping[str, str]) -> None:
        if not isinstance(entry, dict):
            raise ValueError("must be an object")
        self._label = label
        self._entry = entry
        self._env = env
        self._is_command = "command" in entry
        if self._is_command == ("url" in entry):
            raise ValueError("needs either 'command' or 'url'")
        self.is_disabled = entry.get("disabled", False) is True
        self.unknown = entry.keys() - _KNOWN[self._is_command]

    def to_server(self) -> McpServer:
        kind = _KINDS.get(self._entry.get("type", "stdio" if self._is_command else "http"))
        if kind is None or (kind == "stdio") != self._is_command:
            raise ValueError("has in 'type' what does not go with its other fields")
        if kind == "stdio":
            args = tuple(self._texts("args"))
            return CommandServer(
                self._label, self._text("command"), args, self._pairs("env"), self._cwd()
            )
        return AddressServer(self._label, self._url(), self._headers(), kind)

    def _url(self) -> str:
        url = self._text("url")
        try:
            parts = urlsplit(url)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname)
            parts.port  # noqa: B018 (it raises for one that is none)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("has in 'url' no http or https address")
        return url

    def _headers(self) -> Pairs:
        headers = self._pairs("headers")
        for name, value in headers:
            if not _HEADER.fullmatch(name) or not value.isprintable() or not value.isascii():
                raise ValueError(f"has in 'headers.{name}' what no header can be")
        return headers

    def _cwd(self) -> str | None:
        if "cwd" not in self._entry:
            return None
        folder = Path(self._text("cwd")).expanduser()
        if not folder.is_absolute():
            raise ValueError("has in 'cwd' no absolute path")
        return str(folder)

    def _text(self, name: str) -> str:
        text = self._expand(name, self._entry[name])
        if not text.strip():
            raise ValueError(f"has an empty '{name}'")
        return text

    def _texts(self, name: str) -> list[str]:
        values = self._entry.get(name, [])
        if not isinstance(values, list):
            raise ValueError(f"must have a list in '{name}'")
        return [self._expand(f"{name}[{index}]", value) for index, value in enumerate(values)]

    def _pairs(self, name: str) -> Pairs:
        values = self._entry.get(name, {})
        if not isinstance(values, dict):
            raise ValueError(f"must have an object in '{name}'")
        pairs = ((key, self._expand(f"{name}.{key}", value)) for key, value in values.items())
        return tuple(sorted(pairs))

    def _expand(self, name: str, value: object) -> str:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(f"must have a text in '{name}'")
        try:
            return expand(value, self._env)
        except ValueError as error:
            raise ValueError(f"has in '{name}' what {error}") from None
