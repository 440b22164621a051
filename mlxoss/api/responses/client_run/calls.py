"""Items of tools that the client runs, and the arguments that the model calls them with.

Both ways, and lenient: the items may be a client's own, and without a grammar the arguments may be
anything. What is not as expected is left out, and nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

from pydantic_core import from_json

from mlxoss.api.params import flatten
from mlxoss.api.responses.client_run.declared import CLIENT_KINDS, ClientKind
from mlxoss.core import JsonMapping, JsonObject

_CALL = "_call"
_OUTPUTS = MappingProxyType(
    {
        "shell_call_output": "shell",
        "local_shell_call_output": "local_shell",
        "apply_patch_call_output": "apply_patch",
        "tool_search_output": "tool_search",
    }
)
_PATCH_TYPES = ("create_file", "update_file", "delete_file")
_HAS_NO_DIFF = "delete_file"


def kind_of_call(item_type: str, fields: JsonMapping) -> ClientKind | None:
    """The tool that an item calls, if it is one that the client runs."""
    for kind in CLIENT_KINDS:
        if item_type == kind + _CALL:
            is_elsewhere = kind == "tool_search" and _is_server_s(fields)
            return None if is_elsewhere else kind
    return None


def kind_of_output(item_type: str) -> str | None:
    """The tool whose output an item is, if it is one that the client runs."""
    return _OUTPUTS.get(item_type)


def _is_server_s(fields: JsonMapping) -> bool:
    """Whether OpenAI searched by itself: nobody answers that."""
    return fields.get("execution") == "server" or not isinstance(fields.get("call_id"), str)


def to_arguments(kind: ClientKind, fields: JsonMapping) -> str:
    """The call that an item with these ``fields`` tells of, as the model writes it."""
    return json.dumps(_TO_ARGUMENTS[kind](fields), ensure_ascii=False)


def _of_shell(fields: JsonMapping) -> JsonObject:
    action = _object(fields.get("action"))
    return {
        "commands": _texts(action.get("commands")),
        **_present(action, "timeout_ms", "max_output_length"),
    }


def _of_local_shell(fields: JsonMapping) -> JsonObject:
    action = _object(fields.get("action"))
    command = action.get("command")
    arguments: JsonObject = {"command": [command] if isinstance(command, str) else _texts(command)}
    if folder := action.get("working_directory"):
        arguments["workdir"] = folder
    if env := action.get("env"):
        arguments["env"] = env
    return arguments | _present(action, "timeout_ms", "user")


def _of_patch(fields: JsonMapping) -> JsonObject:
    return _present(_object(fields.get("operation")), "type", "path", "diff")


def _of_search(fields: JsonMapping) -> Any:
    arguments = fields.get("arguments")
    read = read_json(arguments) if isinstance(arguments, str) else arguments
    return {} if read is None else read


_TO_ARGUMENTS: MappingProxyType[ClientKind, Callable[[JsonMapping], Any]] = MappingProxyType(
    {
        "shell": _of_shell,
        "local_shell": _of_local_shell,
        "apply_patch": _of_patch,
        "tool_search": _of_search,
    }
)


def to_found(fields: JsonMapping) -> str:
    """What a search answered: the names of the functions that it brought."""
    tools = fields.get("tools")
    names = [name for tool in tools for name in _names_of(tool)] if isinstance(tools, list) else []
    return f"Found: {', '.join(names)}." if names else "Nothing was found."


def _names_of(tool: object, namespace: str | None = None) -> Iterator[str]:
    fields = _object(tool)
    name, parts = fields.get("name"), fields.get("tools")
    if isinstance(parts, list):
        yield from (one for part in parts for one in _names_of(part, str(name)))
    elif isinstance(name, str):
        yield flatten(name, namespace)


def read_json(text: str) -> Any:
    """``text`` as JSON; of a part of it what is whole, ``None`` for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _read_part(text, is_whole=True)


def read_growing(text: str) -> JsonMapping:
    """The beginning of an object, the text that is being written included."""
    return _object(_read_part(text, is_whole=False))


def _read_part(text: str, *, is_whole: bool) -> Any:
    try:
        return from_json(text, allow_partial=True if is_whole else "trailing-strings")
    except ValueError:
        return None


def to_shell_action(text: str) -> JsonObject:
    """The action that the model's arguments ask for, as far as they are whole."""
    arguments = _object(read_json(text))
    return {
        "commands": _texts(arguments.get("commands")),
        "timeout_ms": _number(arguments.get("timeout_ms")),
        "max_output_length": _number(arguments.get("max_output_length")),
    }


def to_local_shell_action(text: str, *, is_cut: bool) -> JsonObject:
    """As above; of a call that ``is_cut`` the command is left out, since words may be missing."""
    arguments = _object(read_json(text))
    action: JsonObject = {
        "type": "exec",
        "command": [] if is_cut else _texts(arguments.get("command")),
        "env": {k: v for k, v in _object(arguments.get("env")).items() if isinstance(v, str)},
    }
    if isinstance(folder := arguments.get("workdir"), str):
        action["working_directory"] = folder
    if (timeout := _number(arguments.get("timeout_ms"))) is not None:
        action["timeout_ms"] = timeout
    return action


def to_operation(text: str) -> JsonObject | None:
    """The change of a file that the arguments ask for, as far as they are whole; ``None`` while
    it is not known which file and how."""
    arguments = _object(read_json(text))
    kind, path, diff = (arguments.get(name) for name in ("type", "path", "diff"))
    if kind not in _PATCH_TYPES or not isinstance(path, str):
        return None
    if kind == _HAS_NO_DIFF:
        return {"type": kind, "path": path}
    return {"type": kind, "path": path, "diff": diff if isinstance(diff, str) else ""}


def _present(fields: JsonMapping, *names: str) -> JsonObject:
    return {name: fields[name] for name in names if fields.get(name) is not None}


def _object(value: object) -> JsonMapping:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
