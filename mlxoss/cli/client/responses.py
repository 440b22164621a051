"""A client of one streamed response, which the server keeps nothing of.

The items of each answer go back with the next request, reasoning sealed: so a talk goes on with the
tokens that it had, in the container and with the pages of its tools.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mlxoss.cli.client.calls import read_call
from mlxoss.cli.client.citations import CitedAnswer
from mlxoss.cli.client.http import Server
from mlxoss.cli.client.pieces import (
    EndPiece,
    Piece,
    ProgressPiece,
    ReasoningPiece,
    RunningPiece,
    Source,
)
from mlxoss.core import JsonObject
from mlxoss.errors import MlxossError

RESPONSES = "/v1/responses"

_TOOLS = (
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "web_search"},
)
"""A server leaves out those that are not enabled there."""
_INCLUDE = (
    "reasoning.encrypted_content",
    "code_interpreter_call.outputs",
    "web_search_call.action.sources",
)
_RUNNING: MappingProxyType[str, str] = MappingProxyType(
    {
        "response.code_interpreter_call.interpreting": "python",
        "response.web_search_call.searching": "browser",
        "response.mcp_call.in_progress": "mcp",
    }
)


def to_question(text: str) -> JsonObject:
    """What a user said, as an item."""
    return {"type": "message", "role": "user", "content": text}


def stream_response(
    server: Server,
    items: Sequence[JsonObject],
    effort: str | None = None,
    *,
    uses_tools: bool = True,
    tells_progress: bool = False,
) -> Generator[Piece, None, None]:
    """The answer to ``items``; with ``tells_progress`` how far the prompt is goes before it.

    With ``uses_tools`` the model may use the server's tools for code and the web, where they are
    enabled. Raises as ``Server`` does; closing the iterator makes the server stop.
    """
    body: dict[str, object] = {
        "model": "default",
        "input": list(items),
        "stream": True,
        "store": False,
        "include": list(_INCLUDE),
    }
    if uses_tools:
        body["tools"] = list(_TOOLS)
    if effort is not None:
        body["reasoning"] = {"effort": str(effort)}
    if tells_progress:
        body["return_progress"] = True
    reader = _Reader()
    for event in server.stream(RESPONSES, body):
        yield from reader.read(event)
    if not reader.has_ended:
        raise MlxossError("The answer broke off: the server did not say how it ended.")


class _Reader:
    """Reads one stream's events."""

    def __init__(self) -> None:
        self.has_ended = False
        self._answer = CitedAnswer()
        self._is_preamble = False
        self._code = ""

    def read(self, event: Any) -> Iterator[Piece]:
        """The pieces that ``event`` brings; ``MlxossError`` where it tells of a failure."""
        match event.get("type"):
            case "response.output_text.delta" if not self._is_preamble:
                yield from self._answer.add(event["delta"])
            case "response.output_text.annotation.added" if not self._is_preamble:
                self._answer.cite(event["annotation"])
            case kind:
                yield from self._answer.flush()
                yield from self._read_other(kind, event)

    def _read_other(self, kind: str, event: Any) -> Iterator[Piece]:
        match kind:
            case "mlxoss.prompt_progress":
                yield _to_progress(event["prompt_progress"])
            case "response.output_item.added":
                self._is_preamble = event["item"].get("phase") == "commentary"
            case "response.reasoning_text.delta" | "response.output_text.delta":
                yield ReasoningPiece(event["delta"])
            case "response.code_interpreter_call_code.done":
                self._code = event["code"]
            case _ if kind in _RUNNING:
                did = _RUNNING[kind]
                yield RunningPiece(did, self._code if did == "python" else "")
            case "response.output_item.done":
                yield from read_call(event["item"])
            case _:
                yield from self._read_end(kind, event)

    def _read_end(self, kind: str, event: Any) -> Iterator[Piece]:
        match kind:
            case "response.completed" | "response.incomplete":
                self.has_ended = True
                yield _to_end(event["response"], self._answer.sources)
            case "response.failed":
                raise _failed(event["response"].get("error"))
            case "error":
                raise _failed(event)


def _to_progress(told: Mapping[str, Any]) -> ProgressPiece:
    elapsed_s = told["time_ms"] / 1000
    return ProgressPiece(told["total"], told["cache"], told["processed"], elapsed_s)


def _failed(error: Mapping[str, Any] | None) -> MlxossError:
    return MlxossError(f"The server failed: {(error or {}).get('message')}")


def _to_end(response: Mapping[str, Any], sources: tuple[Source, ...]) -> EndPiece:
    details = response.get("incomplete_details") or {}
    is_cut = details.get("reason") == "max_output_tokens"
    return EndPiece(tuple(map(_to_input, response["output"])), sources, is_cut=is_cut)


def _to_input(item: JsonObject) -> JsonObject:
    """``item`` as it goes back: an image was for the eyes, and is large."""
    if item["type"] != "code_interpreter_call":
        return item
    outputs = [each for each in item.get("outputs") or () if each["type"] == "logs"]
    return {**item, "outputs": outputs}
