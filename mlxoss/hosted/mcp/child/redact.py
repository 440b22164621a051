"""Takes secrets out of what leaves the process: a server may send back what it was told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlxoss.hosted.mcp.server import LEAST_SECRET_CHARS

REDACTED = "[redacted]"


class Redactor:
    """Knows the secrets of one server."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {secret for secret in secrets if len(secret) >= LEAST_SECRET_CHARS}
        self._secrets = sorted(found, key=len, reverse=True)

    def text(self, text: str) -> str:
        """``text`` without them."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def message(self, value: Any) -> Any:
        """The same for every text in a JSON value; the names in it stay."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {name: self.message(each) for name, each in value.items()}
            case list():
                return [self.message(each) for each in value]
            case _:
                return value
