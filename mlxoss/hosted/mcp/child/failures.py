"""Why a connection, a list or a call failed, in the API's kinds and words of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypedDict

from mcp import MCPError
from mcp_types import CONNECTION_CLOSED, PARSE_ERROR
from pydantic import ValidationError

from mlxoss.hosted.mcp.limits import McpLimits

PROTOCOL = "mcp_protocol_error"
EXECUTION = "mcp_tool_execution_error"
HTTP = "http_error"


class FailureMessage(TypedDict):
    """``mlxoss.outcomes.McpFailure`` as it goes to the server's process."""

    kind: str
    message: str
    code: int | None


@dataclass(slots=True)
class Exchange:
    """What the last HTTP request of an operation came to; ``reason`` is empty where it was well."""

    reason: str = ""
    status: int | None = None


@dataclass(slots=True)
class Ending:
    """Why the connection to the server ended, once it has: half a sentence about the server."""

    reason: str = ""


_FORM = "The server's answer does not have the protocol's form."
_NO_JSON = "Failed to parse"
"""How the SDK begins what it says in the server's place."""

_CLOSED = "Connection closed"
"""The SDK's words; their code is one that servers use for anything (JSON-RPC 2.0, 5.1)."""

exchanges: ContextVar[Exchange] = ContextVar("exchanges")
"""The SDK sends a request in the context of who asked for it."""


class ServerGone(Exception):
    """The server cannot be started or went away; the message is half a sentence about it."""


def explain(
    error: BaseException, exchange: Exchange, ending: Ending, limits: McpLimits
) -> FailureMessage:
    """The failure that ``error`` is. What it says itself is told only where the server said it."""
    if exchange.reason:
        return {"kind": HTTP, "message": exchange.reason, "code": exchange.status}
    if ending.reason:
        return {"kind": PROTOCOL, "message": f"The server {ending.reason}.", "code": None}
    for cause in _causes(error):
        match cause:
            case ServerGone():
                return {"kind": PROTOCOL, "message": f"The server {cause}.", "code": None}
            case MCPError(code=code) if code == CONNECTION_CLOSED and cause.message == _CLOSED:
                return {"kind": PROTOCOL, "message": "The server went away.", "code": None}
            case MCPError(code=code) if code == PARSE_ERROR and cause.message.startswith(_NO_JSON):
                return {"kind": PROTOCOL, "message": _FORM, "code": code}
            case MCPError(code=code):
                return {"kind": PROTOCOL, "message": _said(cause.message, limits), "code": code}
            case ValidationError():
                return {"kind": PROTOCOL, "message": _FORM, "code": None}
    name = type(error).__name__
    return {"kind": PROTOCOL, "message": f"The server cannot be used ({name}).", "code": None}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error``, or what a group of them holds."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _causes(each)
    else:
        yield error


def _said(message: str, limits: McpLimits) -> str:
    shown = "".join(char if char.isprintable() else " " for char in message).strip()
    return f"The server says: {shown[: limits.message_chars]}" if shown else "The server refuses."
