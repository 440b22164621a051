"""A conversation to the token ids that the model continues."""

from __future__ import annotations

from collections.abc import Iterator

from openai_harmony import (
    Author,
    Message,
    ReasoningEffort,
    Role,
    SystemContent,
    TextContent,
)

from mlxoss.core import Effort
from mlxoss.harmony.conversation import (
    Conversation,
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    Item,
    Preamble,
    Reasoning,
    UserText,
)
from mlxoss.harmony.encoding import START, Encoding, replace_lone_surrogates
from mlxoss.harmony.events import Channel
from mlxoss.harmony.runs import split_long_runs
from mlxoss.harmony.tools import render_response_format, render_tools

_EFFORTS = {
    Effort.LOW: ReasoningEffort.LOW,
    Effort.MEDIUM: ReasoningEffort.MEDIUM,
    Effort.HIGH: ReasoningEffort.HIGH,
}

_JSON_CONTENT = "<|constrain|>json"
"""Exactly so: the library makes the marker a special token only at the very start."""


def render_prompt(encoding: Encoding, conversation: Conversation) -> list[int]:
    """Ids of ``conversation``, ending with ``<|start|>assistant``.

    Only the renderer's own structure becomes special ids; every text in the
    conversation is ordinary text. Reasoning before the last ``FinalText`` is left out
    (openai-cookbook ``articles/gpt-oss/handle-raw-cot.md``). Raises ``InvalidRequest``
    for a response format that is not JSON.
    """
    has_tools = bool(conversation.tools)
    ids: list[int] = []
    for message in _messages(conversation):
        ids += encoding.render_message(message, has_tools)
    return [*ids, START, *encoding.encode_text("assistant")]


def _messages(conversation: Conversation) -> Iterator[Message]:
    yield _system(conversation)
    text = _developer_text(conversation)
    if text:
        yield _message(Role.DEVELOPER, text)
    for item in _without_old_reasoning(conversation.items):
        yield _item_message(item)


def _system(conversation: Conversation) -> Message:
    content = (
        SystemContent.new()
        .with_conversation_start_date(conversation.date.isoformat())
        .with_reasoning_effort(_EFFORTS[conversation.effort])
    )
    return Message.from_role_and_content(Role.SYSTEM, content)


def _developer_text(conversation: Conversation) -> str:
    sections = []
    if conversation.instructions:
        sections.append(_instructions(conversation.instructions))
    if conversation.tools:
        sections.append(render_tools(conversation.tools))
    if conversation.response_format:
        sections.append(render_response_format(conversation.response_format))
    return "\n\n".join(sections)


def _instructions(text: str) -> str:
    return f"# Instructions\n\n{text}"


def _without_old_reasoning(items: tuple[Item, ...]) -> Iterator[Item]:
    last_final = max(
        (index for index, item in enumerate(items) if isinstance(item, FinalText)), default=-1
    )
    for index, item in enumerate(items):
        if index > last_final or not isinstance(item, Reasoning):
            yield item


def _item_message(item: Item) -> Message:
    match item:
        case DeveloperText(text):
            return _message(Role.DEVELOPER, _instructions(text))
        case UserText(text, name):
            return _message(Role.USER, text, name=name)
        case Reasoning(text):
            return _message(Role.ASSISTANT, text).with_channel(Channel.ANALYSIS)
        case Preamble(text):
            return _message(Role.ASSISTANT, text).with_channel(Channel.COMMENTARY)
        case FinalText(text):
            return _message(Role.ASSISTANT, text).with_channel(Channel.FINAL)
        case FunctionCall(name, arguments):
            return (
                _message(Role.ASSISTANT, arguments)
                .with_channel(Channel.COMMENTARY)
                .with_recipient(replace_lone_surrogates(f"functions.{name}"))
                .with_content_type(_JSON_CONTENT)
            )
        case FunctionResult(name, output):
            return (
                _message(Role.TOOL, output, name=f"functions.{name}")
                .with_channel(Channel.COMMENTARY)
                .with_recipient("assistant")
            )


def _message(role: Role, text: str, name: str | None = None) -> Message:
    author = Author(role=role, name=replace_lone_surrogates(name) if name else None)
    pieces = split_long_runs(replace_lone_surrogates(text))
    return Message(author=author, content=[TextContent(text=piece) for piece in pieces])
