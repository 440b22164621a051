"""Tools that OpenAI names and the client runs, as functions that the model is shown.

gpt-oss knows none of them by itself: each has a description here and a schema of its arguments.
What it is to do differently at OpenAI (a container there, a search by their server) is not this
server's to run, and left out as their other hosted tools are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from mlxoss.api.history.tool_course import CallableTool
from mlxoss.api.turn_rules import function_rule
from mlxoss.api.validation import StrictModel, to_param, validate
from mlxoss.core import JsonObject
from mlxoss.harmony.conversation import FunctionTool

Location = tuple[int | str, ...]
ClientKind = Literal["shell", "local_shell", "apply_patch", "tool_search"]

CLIENT_KINDS: tuple[ClientKind, ...] = ("shell", "local_shell", "apply_patch", "tool_search")
_RENAMED = "builtin_"


class LocalSkill(StrictModel):
    """Instructions in a folder of the client's, told to the model by name and place."""

    name: str
    description: str
    path: str


class EnvironmentParam(StrictModel):
    """Where a shell runs: ``local`` is the client's own machine, anything else is OpenAI's."""

    type: str
    skills: list[Any] | None = None


class _DirectParam(StrictModel):
    allowed_callers: list[str] | None = None

    @property
    def is_for_model(self) -> bool:
        """Whether not only a program at OpenAI may call it."""
        return self.allowed_callers is None or "direct" in self.allowed_callers


class ShellToolParam(_DirectParam):
    """A shell that takes several commands."""

    type: Literal["shell"]
    environment: EnvironmentParam | None = None


class LocalShellToolParam(StrictModel):
    """A shell that takes one command in words: OpenAI's older one."""

    type: Literal["local_shell"]


class ApplyPatchToolParam(_DirectParam):
    """Creates, changes and deletes files by patches."""

    type: Literal["apply_patch"]


class ToolSearchToolParam(StrictModel):
    """A search of the client's for tools that it holds back."""

    type: Literal["tool_search"]
    execution: Literal["server", "client"] | None = None
    description: str | None = None
    parameters: JsonObject | None = None


ClientToolParam = ShellToolParam | LocalShellToolParam | ApplyPatchToolParam | ToolSearchToolParam


def _object(required: tuple[str, ...], **properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _text(description: str) -> JsonObject:
    return {"type": "string", "description": description}


def _count(description: str) -> JsonObject:
    return {"type": "integer", "minimum": 1, "description": description}


_TIMEOUT = _count("How long it may take, in milliseconds.")

_SHELL = (
    "Runs commands in a shell on the user's machine and answers with what they print. Each command "
    "may run on its own: join those that need each other with &&."
)
_SHELL_ARGUMENTS = _object(
    ("commands",),
    commands={"type": "array", "items": {"type": "string"}, "minItems": 1},
    timeout_ms=_TIMEOUT,
    max_output_length=_count("How many characters of the output are wanted at most."),
)
_SKILLS = "Skills, each a folder. Before a task that one is for, read the file SKILL.md in it:"

_LOCAL_SHELL = (
    "Runs one command on the user's machine and answers with what it prints. There is no shell "
    'around it: for pipes and the like the command is ["bash", "-lc", "..."].'
)
_LOCAL_SHELL_ARGUMENTS = _object(
    ("command",),
    command={
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "description": "The program and its arguments.",
    },
    workdir=_text("The folder to run it in."),
    env={
        "type": "object",
        "additionalProperties": {"type": "string"},
        "minProperties": 1,
        "description": "Environment variables to set.",
    },
    timeout_ms=_TIMEOUT,
)

_PATCH = """\
Creates, changes or deletes one file.
The diff of create_file is the whole file, each of its lines behind a +.
The diff of update_file has one or more sections. A section begins with a line @@, which may name \
the class or function that it is in (@@ def main():). Its other lines are as they are in the file \
behind a space, - for a line to remove, + for one to add. About three unchanged lines before and \
after each change say where it is; there are no line numbers. A section that reaches the end of \
the file may close with *** End of File.
There are no other headers: the path stands beside the diff."""
_PATH = _text("The file's path.")
_DIFF = _text("What to write, as said above; not for delete_file.")
_PATCH_TYPES = ("create_file", "update_file", "delete_file")
_PATCH_ARGUMENTS = _object(
    ("type", "path"), type={"type": "string", "enum": [*_PATCH_TYPES]}, path=_PATH, diff=_DIFF
)


def _operation(kind: str, **more: JsonObject) -> JsonObject:
    return _object(("type", "path", *more), type={"const": kind}, path={"type": "string"}, **more)


_PATCH_RULE: JsonObject = {
    "anyOf": [
        _operation("create_file", diff={"type": "string"}),
        _operation("update_file", diff={"type": "string"}),
        _operation("delete_file"),
    ]
}
"""What is shown as one object is held to what each kind of it needs."""


@dataclass(frozen=True, slots=True)
class ClientTool:
    """A tool that the client runs. ``public`` is what the response lists of it.

    Its arguments are shown as ``shown`` and held to ``rule``; ``field`` is where in the request
    they come from, below the tool's own place.
    """

    kind: ClientKind
    description: str | None
    shown: JsonObject | None
    rule: JsonObject | None
    public: JsonObject
    field: tuple[str, ...] = ()

    def named(self, name: str, location: Location) -> CallableTool:
        """The function that the model calls by ``name``."""
        param = to_param((*location, *self.field))
        call = function_rule(name, self.rule, strict=None, param=param)
        return CallableTool(FunctionTool(name, self.description, self.shown), call)


def names_of_client_tools(taken: Collection[str]) -> Mapping[ClientKind, str]:
    """The names by which the model knows these tools, declared or only in the history.

    They are those of OpenAI, which a client's own texts use too; where the client has a function
    of that name, which is ``taken``, ``builtin_`` stands in front.
    """
    names: dict[ClientKind, str] = {}
    for kind in CLIENT_KINDS:
        name: str = kind
        while name in taken:
            name = _RENAMED + name
        names[kind] = name
    return MappingProxyType(names)


def read_client_tool(value: JsonObject, location: Location) -> ClientTool | None:
    """The tool at ``location``; ``None`` for what only OpenAI can run.

    Raises InvalidRequest that names its field. Its ``type`` is of ``CLIENT_KINDS``.
    """
    match value["type"]:
        case "shell":
            return _read_shell(validate(ShellToolParam, value, location), location)
        case "apply_patch":
            patch = validate(ApplyPatchToolParam, value, location)
            if not patch.is_for_model:
                return None
            public = patch.model_dump(exclude_none=True)
            return ClientTool("apply_patch", _PATCH, _PATCH_ARGUMENTS, _PATCH_RULE, public)
        case "tool_search":
            return _read_search(validate(ToolSearchToolParam, value, location))
    shell = validate(LocalShellToolParam, value, location)
    arguments = _LOCAL_SHELL_ARGUMENTS
    return ClientTool("local_shell", _LOCAL_SHELL, arguments, arguments, shell.model_dump())


def _read_shell(shell: ShellToolParam, location: Location) -> ClientTool | None:
    environment = shell.environment
    if not shell.is_for_model or (environment is not None and environment.type != "local"):
        return None
    skills = tuple(_skill_lines(environment, (*location, "environment", "skills")))
    description = "\n".join((_SHELL, _SKILLS, *skills) if skills else (_SHELL,))
    public = shell.model_dump(exclude_none=True)
    return ClientTool("shell", description, _SHELL_ARGUMENTS, _SHELL_ARGUMENTS, public)


def _skill_lines(environment: EnvironmentParam | None, location: Location) -> Iterator[str]:
    skills = environment.skills if environment else None
    for position, value in enumerate(skills or ()):
        skill = validate(LocalSkill, value, (*location, position))
        yield f"- {skill.name} ({skill.path}): {skill.description}"


def _read_search(search: ToolSearchToolParam) -> ClientTool | None:
    if search.execution != "client":
        return None
    public = search.model_dump(exclude_none=True)
    arguments = search.parameters
    field = ("parameters",)
    return ClientTool("tool_search", search.description, arguments, arguments, public, field)
