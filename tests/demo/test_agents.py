"""What the shipped weights do with the tools of coding agents, word for word."""

from __future__ import annotations

import pytest

from mlxoss.harmony.conversation import (
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    UserText,
)

from .conftest import Say
from .test_turns import FINAL, call

NOTES = (
    "You are a coding agent in a terminal. Be precise, keep the user informed, and prefer small "
    "changes. Never push without being asked.\n\n## Style\n\n- Write what a colleague can read.\n"
    "- Leave no trace of debugging behind.\n"
)


def tool(name: str, *arguments: str, text: str = "") -> FunctionTool:
    """A function of strings, all of them required."""
    properties = {argument: {"type": "string"} for argument in arguments}
    schema = {"type": "object", "properties": properties, "required": list(arguments)}
    return FunctionTool(name, text or None, schema)


CODEX = (
    tool("exec_command", "cmd", text="Runs a command in a PTY, returning output."),
    tool("write_stdin", "session_id", text="Writes characters to an existing session."),
    tool("view_image", "path", text="View a local image from the filesystem."),
)
CLAUDE_CODE = (
    tool("Agent", "prompt", text="Launch a new agent to handle complex tasks."),
    tool("Bash", "command", text="Executes a bash command and returns its output."),
    tool("Edit", "file_path", "old_string", "new_string", text="Replaces text in a file."),
    tool("Read", "file_path", text="Reads a file from the local filesystem."),
)
OPENCODE = (
    tool("bash", "command", text="Executes a given bash command."),
    tool("edit", "filePath", "oldString", "newString", text="Replaces text in a file."),
    tool("read", "filePath", text="Reads a file from the local filesystem."),
)
"""The tools of three agents as far as they are asked for here."""

RUN = {
    "codex": (CODEX, call("exec_command", '{"cmd":"ls"}')),
    "claude": (CLAUDE_CODE, call("Bash", '{"command":"ls"}')),
    "opencode": (OPENCODE, call("bash", '{"command":"ls"}')),
}
READ = {
    "codex": (CODEX, call("exec_command", '{"cmd":"cat README.md"}')),
    "claude": (CLAUDE_CODE, call("Read", '{"file_path":"README.md"}')),
    "opencode": (OPENCODE, call("read", '{"filePath":"README.md"}')),
}


@pytest.mark.parametrize(("tools", "wanted"), RUN.values(), ids=RUN)
def test_a_command_is_run_by_the_tool_that_is_there(
    say: Say, tools: tuple[FunctionTool, ...], wanted: str
) -> None:
    assert say("List the files.", instructions=NOTES, tools=tools) == wanted


@pytest.mark.parametrize(("tools", "wanted"), READ.values(), ids=READ)
def test_a_file_is_read(say: Say, tools: tuple[FunctionTool, ...], wanted: str) -> None:
    assert say("Read README.md.", instructions=NOTES, tools=tools) == wanted


EDIT = {
    "claude": (
        CLAUDE_CODE,
        call("Edit", '{"file_path":"notes.txt","old_string":"red","new_string":"blue"}'),
    ),
    "opencode": (
        OPENCODE,
        call("edit", '{"filePath":"notes.txt","oldString":"red","newString":"blue"}'),
    ),
}


@pytest.mark.parametrize(("tools", "wanted"), EDIT.values(), ids=EDIT)
def test_a_file_is_edited(say: Say, tools: tuple[FunctionTool, ...], wanted: str) -> None:
    assert say("Replace red with blue in notes.txt.", instructions=NOTES, tools=tools) == wanted


def test_a_command_is_run_as_it_is_written(say: Say) -> None:
    asked = say("Run pwd.", instructions=NOTES, tools=CODEX)
    assert asked == call("exec_command", '{"cmd":"pwd"}')


def test_a_second_call_follows_the_first(say: Say) -> None:
    course: tuple[Item, ...] = (
        UserText("Run ls, then run pwd."),
        FunctionCall("Bash", '{"command":"ls"}'),
        FunctionResult("Bash", "README.md\nmain.py"),
    )
    asked = say(*course, instructions=NOTES, tools=CLAUDE_CODE)
    assert asked == call("Bash", '{"command":"pwd"}')
    course += (FunctionCall("Bash", '{"command":"pwd"}'), FunctionResult("Bash", "/tmp/project"))
    assert say(*course, instructions=NOTES, tools=CLAUDE_CODE) == f"{FINAL}I did it.<|return|>"


def test_one_call_is_enough(say: Say) -> None:
    course: tuple[Item, ...] = (
        UserText("Run ls."),
        FunctionCall("exec_command", '{"cmd":"ls"}'),
        FunctionResult("exec_command", "Process exited with code 0\nOutput:\nREADME.md\n"),
    )
    answer = say(*course, instructions=NOTES, tools=CODEX)
    assert answer == f"{FINAL}I did it.<|return|>"


def test_a_name_is_remembered_beside_tools(say: Say) -> None:
    earlier = (UserText("My name is Ada."), FinalText("Hello Ada!"))
    answer = say(*earlier, "What is my name?", instructions=NOTES, tools=CLAUDE_CODE)
    assert answer == f"{FINAL}Your name is Ada.<|return|>"


def test_what_needs_no_tool_is_answered(say: Say) -> None:
    greeted = f"{FINAL}Hello! How can I help you?<|return|>"
    assert say("Hello!", instructions=NOTES, tools=CODEX) == greeted
    assert say("What is 2 + 3?", instructions=NOTES, tools=CODEX) == f"{FINAL}2 + 3 = 5.<|return|>"


def test_notes_after_the_question_are_left_aside(say: Say) -> None:
    answer = say(UserText("Hello!"), DeveloperText(NOTES), tools=CLAUDE_CODE)
    assert answer == f"{FINAL}Hello! How can I help you?<|return|>"
