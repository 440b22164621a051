"""What items say that tell of others' work: searches, shells, MCP servers, …

This server ran none of it: another server did, or the client. The model is told in short what was
done and found.
Shapes come from OpenAI's API reference (responses, input items) and from Codex. They are not
validated: what is not as expected is not told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from mlxoss.api.history.attachments import to_note
from mlxoss.core import JsonMapping

Fields = JsonMapping

_SUFFIXES = ("_output", "_call")
_FAILED = frozenset({"failed", "incomplete"})
_LEAST_SEALED_CHARS = 80
_SEALED = re.compile(r"[A-Za-z0-9+/=_.-]+")
_SEALED_HEAD = "gAAAA"
"""How Fernet's tokens begin, which OpenAI's contents are."""

SEALED_NOTE = "[left out: another server sealed it]"


def to_tool_name(kind: str) -> str:
    """The name of the tool that an item of the type ``kind`` tells of."""
    for suffix in _SUFFIXES:
        kind = kind.removesuffix(suffix)
    return kind


def to_record(kind: str, fields: Fields) -> str | None:
    """What was done and found; ``None`` for an item that is not for the model."""
    tell = _TELLERS.get(kind)
    if tell is None:
        return None
    lines = [line for line in tell(fields) if line]
    error = _text(fields.get("error"))
    if error:
        lines.append(f"It failed: {error}")
    elif _text(fields.get("status")) in _FAILED:
        lines.append("It failed.")
    return "\n".join(lines)


def is_record(kind: str) -> bool:
    """Whether items of the type tell what was done, or found."""
    return kind in _TELLERS


def to_agent_text(fields: Fields) -> str:
    """What an ``agent_message`` says to the model, its parts as lines."""
    content = fields.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(_text(_object(part).get("text")) for part in _list(content))


def read_sealed(content: str) -> str:
    """The text of a part of the type ``encrypted_content``: where its client had nobody to seal
    it, as Codex has not with servers like this one, it is the plain text."""
    is_sealed = _SEALED.fullmatch(content) and (
        content.startswith(_SEALED_HEAD) or len(content) >= _LEAST_SEALED_CHARS
    )
    return SEALED_NOTE if is_sealed else content


def _web_search(fields: Fields) -> Iterator[str]:
    action = _object(fields.get("action"))
    url = _text(action.get("url"))
    match action.get("type"):
        case "open_page":
            yield f"Opened the web page {url}."
        case "find_in_page" | "find":
            yield f"Looked for '{_text(action.get('pattern'))}' on the web page {url}."
        case _:
            queries = [_text(one) for one in (action.get("query"), *_list(action.get("queries")))]
            asked = "; ".join(dict.fromkeys(filter(None, queries)))
            yield f"Searched the web for: {asked}." if asked else "Searched the web."
    sources = [_text(_object(source).get("url")) for source in _list(action.get("sources"))]
    if any(sources):
        yield f"Sources: {', '.join(filter(None, sources))}"


def _file_search(fields: Fields) -> Iterator[str]:
    yield f"Searched files for: {'; '.join(map(_text, _list(fields.get('queries'))))}."
    for result in map(_object, _list(fields.get("results"))):
        yield f"{_text(result.get('filename'))}: {_text(result.get('text'))}"


def _shell_output(fields: Fields) -> Iterator[str]:
    for part in map(_object, _list(fields.get("output"))):
        said = [_text(part.get(name)).rstrip("\n") for name in ("stdout", "stderr")]
        yield from said
        outcome = _object(part.get("outcome"))
        code = outcome.get("exit_code")
        is_silent = code is not None and not any(said)
        if code or is_silent or outcome.get("type") == "timeout":
            yield "It took too long." if code is None else f"Exit code: {code}"


def _patch_output(fields: Fields) -> Iterator[str]:
    said = list(_output(fields))
    is_silent = not any(said) and _text(fields.get("status")) not in _FAILED
    yield from ["Done."] if is_silent else said


def _computer(fields: Fields) -> Iterator[str]:
    actions = fields.get("actions") or [fields.get("action")]
    yield f"Used the computer: {'; '.join(map(_text, _list(actions)))}"


def _code(fields: Fields) -> Iterator[str]:
    yield f"Ran this code:\n{_text(fields.get('code'))}"
    for output in map(_object, _list(fields.get("outputs"))):
        yield to_note(output) or _text(output.get("logs"))


def _image(fields: Fields) -> Iterator[str]:
    yield f"Made an image of: {_text(fields.get('revised_prompt')) or 'what was asked for'}"
    yield to_note({"type": "image"}) or ""


def _mcp(fields: Fields) -> Iterator[str]:
    name, server = _text(fields.get("name")), _text(fields.get("server_label"))
    arguments = _text(fields.get("arguments"))
    yield f"Called the tool {name} of the MCP server {server} with: {arguments}"
    yield from _output(fields)


def _program(fields: Fields) -> Iterator[str]:
    yield f"Ran this program:\n{_text(fields.get('code'))}"


def _output(fields: Fields) -> Iterator[str]:
    found = fields.get("output", fields.get("result"))
    parts = found if isinstance(found, list) else [found]
    for part in parts:
        inner = _text(part.get("text")) if isinstance(part, Mapping) else ""
        yield to_note(part) or inner or _text(part)


_TELLERS: MappingProxyType[str, Callable[[Fields], Iterator[str]]] = MappingProxyType(
    {
        "web_search_call": _web_search,
        "file_search_call": _file_search,
        "local_shell_call_output": _output,
        "shell_call_output": _shell_output,
        "apply_patch_call_output": _patch_output,
        "computer_call": _computer,
        "computer_call_output": _output,
        "code_interpreter_call": _code,
        "image_generation_call": _image,
        "mcp_call": _mcp,
        "program": _program,
        "program_output": _output,
    }
)


def _text(value: object) -> str:
    """``value`` as it is told: text as it is, anything else as JSON, nothing as nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _object(value: object) -> Fields:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
