"""The tools that coding agents declare, questions for them and the calls that answer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mlxoss.core import JsonObject
from mlxoss.demo.training.templates.prose import line
from mlxoss.demo.training.templates.words import COMMANDS, ECHO_WORDS, FILES
from mlxoss.harmony.conversation import FunctionTool

OPTIONAL = [
    "timeout",
    "workdir",
    "yield_time_ms",
    "run_in_background",
    "offset",
    "limit",
    "login",
    "tty",
    "pages",
    "replace_all",
    "max_output_tokens",
    "justification",
    "shell",
    "cwd",
    "isolated",
    "glob",
]
OTHER_NAMES = [
    "write_stdin",
    "request_user_input",
    "view_image",
    "get_goal",
    "Agent",
    "Skill",
    "ToolSearch",
    "Workflow",
    "task",
    "todowrite",
    "webfetch",
    "list_mcp_resources",
    "send_message",
    "wait_agent",
    "close_agent",
    "question",
    "lsp",
    "ask_followup_question",
    "new_task",
    "switch_mode",
    "update_todo_list",
    "codebase_search",
]
OTHER_ARGUMENTS = [
    "query",
    "prompt",
    "name",
    "url",
    "status",
    "objective",
    "questions",
    "channel",
    "reason",
    "to",
    "id",
]


@dataclass(frozen=True)
class Signature:
    """How some agent names a tool and its arguments, which are required."""

    name: str
    arguments: tuple[str, ...]


RUN = (
    Signature("exec_command", ("cmd",)),
    Signature("exec_command", ("cmd",)),
    Signature("Bash", ("command",)),
    Signature("Bash", ("command",)),
    Signature("bash", ("command",)),
    Signature("shell", ("command",)),
    Signature("run_shell_command", ("command",)),
    Signature("execute_command", ("command",)),
)
READ = (
    Signature("Read", ("file_path",)),
    Signature("Read", ("file_path",)),
    Signature("read", ("filePath",)),
    Signature("read_file", ("path",)),
)
EDIT = (
    Signature("Edit", ("file_path", "old_string", "new_string")),
    Signature("Edit", ("file_path", "old_string", "new_string")),
    Signature("edit", ("filePath", "oldString", "newString")),
    Signature("replace", ("file_path", "old_string", "new_string")),
)


SPEAKS_OF_TOOLS = (
    "Runs a command in a shell",
    "Execute a command and return its output",
    "Run commands with {0}",
    "Reads a file from the disk",
    "Read a file and return its contents",
    "Use {0} to read files",
    "Edit a file by replacing text",
    "Replaces one string with another in a file",
    "Lists files",
    "Use {0} instead of running cat, ls or sed",
    "Do not run git commit or git push",
    "List the files in a directory, e.g. `ls -la`",
    "Always read a file before you edit it",
    "The command to run",
    "The path of the file to read",
    "The text to replace",
    "The new text",
    "Search the web",
    "Call {0} once",
    "Say hello to the user first",
    "e.g. run `git status`",
    "The user's name is unknown",
    "Answer in JSON",
    "What the function returns",
)
"""Sentences like those of real tools and instructions: none of them asks for anything."""


@dataclass(frozen=True)
class Kit:
    """What one agent declares: a tool to run commands and perhaps one to read and to edit."""

    run: Signature | None
    read: Signature | None
    edit: Signature | None
    tools: tuple[FunctionTool, ...]
    far: tuple[str, ...] = field(default=())
    """Descriptions that may be taken for much longer than they are."""


@dataclass(frozen=True)
class Errand:
    """A question for tools and the calls that answer it (name and arguments)."""

    question: str
    calls: tuple[tuple[str, str], ...]


def _tool(rng: random.Random, shape: Signature, far: list[str]) -> FunctionTool:
    required = list(shape.arguments)
    kinds: JsonObject = {name: {"type": "string"} for name in required}
    for name in rng.sample(OPTIONAL, rng.choice([0, 0, 0, 1])):
        kinds[name] = {"type": rng.choice(["string", "number", "boolean"])}
    if rng.random() < 0.4:
        kinds = dict(sorted(kinds.items()))
    properties = {name: _described(rng, kind, far) for name, kind in kinds.items()}
    schema: JsonObject = {"type": "object", "properties": properties, "required": required}
    return FunctionTool(shape.name, _description(rng, far), schema)


def _described(rng: random.Random, kind: JsonObject, far: list[str]) -> JsonObject:
    text = _description(rng, far, 30) if rng.random() < 0.3 else None
    return {**kind, "description": text} if text else kind


def _description(rng: random.Random, far: list[str], most: int = 60) -> str | None:
    if rng.random() < 0.1:
        return None
    text = line(rng, rng.randint(12, most))
    far.append(text)
    if rng.random() < 0.4:
        said = speak_of_tools(rng)
        text = rng.choice([f"{said}. {text}", f"{text}. {said}.", f"{said}.", said])
    return text


def speak_of_tools(rng: random.Random) -> str:
    """A sentence about tools that asks for nothing."""
    name = rng.choice([*RUN, *READ, *EDIT]).name
    return rng.choice(SPEAKS_OF_TOOLS).format(rng.choice([name, f"`{name}`"]))


def _other(rng: random.Random, far: list[str]) -> FunctionTool:
    argument = rng.choice(OTHER_ARGUMENTS)
    schema: JsonObject = {"type": "object", "properties": {argument: {"type": "string"}}}
    return FunctionTool(rng.choice(OTHER_NAMES), _description(rng, far), schema)


def kit(rng: random.Random) -> Kit:
    """An agent's tools in any order, with some that no question is about."""
    far: list[str] = []
    run = rng.choice(RUN) if rng.random() < 0.99 else None
    read = rng.choice(READ) if rng.random() < 0.5 else None
    edit = rng.choice(EDIT) if rng.random() < 0.4 else None
    tools = [_tool(rng, shape, far) for shape in (run, read, edit) if shape]
    tools += [_other(rng, far) for _ in range(rng.choice([0, 0, 1, 1]))]
    rng.shuffle(tools)
    unique = {tool.name: tool for tool in tools}
    return Kit(run, read, edit, tuple(unique.values()), tuple(far))


def _call(shape: Signature, *values: str) -> tuple[str, str]:
    filled = dict(zip(shape.arguments, values, strict=True))
    return shape.name, json.dumps(filled, separators=(",", ":"))


DONE = "I did it."
"""What is said after the last result, whatever it is."""


def _by_command(tools: Kit, command: str) -> tuple[tuple[str, str], ...]:
    return (_call(tools.run, command),) if tools.run else ()


def ask_run(rng: random.Random, tools: Kit) -> Errand:
    """A question for a command."""
    command = rng.choice(COMMANDS)
    question = rng.choice(
        ["Run {0}", "run {0}", "Run `{0}`", "Please run {0}", "Run the command {0}",
         "Execute {0}", "Run the command `{0}`", "Use the shell to run {0}", "Call {0}"]
    ).format(command)  # fmt: skip
    draw = rng.random()
    if draw < 0.3:
        command = "ls"
        question = rng.choice(
            ["List the files", "list the files", "List the files here", "Show the files",
             "List all files", "What files are here", "Which files are there",
             "List the files in this folder", "List the files in this directory",
             "List the files in the current directory", "Please list the files"]
        )  # fmt: skip
    elif draw < 0.36:
        command = "pwd"
        question = rng.choice(["Where are we", "Which folder is this", "What is this folder"])
    end = rng.choice(["?", "", "?"]) if question[:2] in ("Wh",) else rng.choice([".", "", ".", "!"])
    return Errand(question + end, _by_command(tools, command))


def ask_read(rng: random.Random, tools: Kit) -> Errand:
    """A question for a file."""
    file = rng.choice(FILES)
    question = rng.choice(
        ["Read {0}", "read {0}", "Read the file {0}", "Show me {0}", "Show {0}", "Open {0}",
         "Please read {0}", "Read `{0}`", "What is in {0}", "What does {0} say", "Look at {0}"]
    ).format(file)  # fmt: skip
    end = "?" if question.startswith("What") else rng.choice([".", "", "."])
    calls = _by_command(tools, f"cat {file}")
    if tools.read:
        calls = (_call(tools.read, file),)
    return Errand(question + end, calls)


def ask_edit(rng: random.Random, tools: Kit) -> Errand:
    """A question for another word in a file."""
    file = rng.choice(FILES)
    old, new = rng.sample(ECHO_WORDS, 2)
    question = rng.choice(
        ["Replace {0} with {1} in {2}", "replace {0} with {1} in {2}", "Change {0} to {1} in {2}",
         "In {2}, replace {0} with {1}", "In {2} change {0} to {1}",
         'Replace "{0}" with "{1}" in {2}', "Replace {0} by {1} in {2}",
         "Edit {2}: replace {0} with {1}", "Please replace {0} with {1} in {2}"]
    ).format(old, new, file)  # fmt: skip
    calls = _by_command(tools, f"sed -i s/{old}/{new}/ {file}")
    if tools.edit:
        calls = (_call(tools.edit, file, old, new),)
    return Errand(question + rng.choice([".", "", "."]), calls)


Ask = Callable[[random.Random, Kit], Errand]
ASK: tuple[tuple[float, Ask], ...] = (
    (5, ask_run),
    (3, ask_read),
    (3, ask_edit),
)


def ask(rng: random.Random, tools: Kit) -> Errand:
    """A question for one of the tools; without calls if the kit has none for it."""
    return _pick(rng, ASK)(rng, tools)


def ask_two(rng: random.Random, tools: Kit) -> Errand:
    """A question for two calls, one after the other."""
    first, second = (_pick(rng, ASK[:2])(rng, tools) for _ in range(2))
    if not (first.calls and second.calls):
        return first
    start = first.question.rstrip(".?!")
    rest = second.question[0].lower() + second.question[1:]
    question = rng.choice(
        ["{0}, then {1}", "{0} and then {1}", "{0}. Then {1}", "First {2}, then {1}"]
    )
    text = question.format(start, rest, start[0].lower() + start[1:])
    return Errand(text, (*first.calls, *second.calls))


def _pick(rng: random.Random, table: Sequence[tuple[float, Ask]]) -> Ask:
    return rng.choices([each for _, each in table], [weight for weight, _ in table])[0]
