"""A conversation to the token ids that the model continues."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from openai_harmony import (
    Author,
    Message,
    ReasoningEffort,
    Role,
    SystemContent,
    TextContent,
    ToolDescription,
    ToolNamespaceConfig,
)

from mlxoss.core import Effort
from mlxoss.harmony.conversation import (
    Builtin,
    BuiltinCall,
    BuiltinResult,
    Conversation,
    DeveloperText,
    ExactTurn,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    PlainItem,
    Preamble,
    Reasoning,
    ResponseFormat,
    UserText,
)
from mlxoss.harmony.encoding import CHANNEL, END, MESSAGE, START, Encoding, replace_lone_surrogates
from mlxoss.harmony.events import Channel
from mlxoss.harmony.splice import close_turn, speaks_only_as
from mlxoss.harmony.text_pieces import split_long_runs
from mlxoss.harmony.tools import render_response_format, render_tools

_EFFORTS = {
    Effort.LOW: ReasoningEffort.LOW,
    Effort.MEDIUM: ReasoningEffort.MEDIUM,
    Effort.HIGH: ReasoningEffort.HIGH,
}

_ASSISTANT = "assistant"

_JSON_CONTENT = "<|constrain|>json"
"""Exactly so: the library makes the marker a special token only at the very start."""

_TEXT_CONTENT = "code"
"""What gpt-oss writes itself before text that is no JSON, and before anything that goes to a
built-in tool. A turn's grammar allows it for custom tools, and no ``<|constrain|>``."""


def render_prompt(
    encoding: Encoding, conversation: Conversation, *, most_tokens: int | None = None
) -> list[int]:
    """Ids of ``conversation``, ending with ``<|start|>assistant``.

    Only the renderer's own structure and the ids of an ``ExactTurn`` are special; every
    text in the conversation is ordinary text. Reasoning before the last ``FinalText`` is
    left out (openai-cookbook ``articles/gpt-oss/handle-raw-cot.md``), and so is what built-in
    tools were asked and answered on its channel (openai/harmony ``src/encoding.rs``). With
    ``most_tokens`` the oldest items are left out too, up to some user's message, until the
    rest fits; if even the last exchange alone does not, the ids are longer. What brings tools
    stays.
    Raises ``InvalidRequest`` for a response format that is not JSON.
    """
    # As the library does: the system's message speaks of tools wherever they are.
    has_tools = bool(conversation.functions)
    head: list[int] = []
    for message in _leading_messages(conversation):
        head += encoding.render_message(message, has_tools)
    tail = _next_turn(encoding)
    items = _items_in_force(conversation.items)
    rendered: Sequence[list[int]] = [_item_ids(encoding, item) for item in items]
    if most_tokens is not None:
        left = most_tokens - len(head) - len(tail)
        rendered = _newest(items, rendered, left)
    return [*head, *itertools.chain.from_iterable(rendered), *tail]


def render_results(
    encoding: Encoding, results: Sequence[BuiltinResult | FunctionResult]
) -> list[int]:
    """Ids to put behind a turn that ended in ``<|call|>``: its calls' ``results``, in their order,
    and ``<|start|>assistant``. They are what :func:`render_prompt` gives for the same items."""
    rendered = (_item_ids(encoding, result) for result in results)
    return [*itertools.chain.from_iterable(rendered), *_next_turn(encoding)]


def _next_turn(encoding: Encoding) -> list[int]:
    return [START, *encoding.encode_text(_ASSISTANT)]


def _leading_messages(conversation: Conversation) -> Iterator[Message]:
    yield _system(conversation)
    text = _developer_text(
        conversation.instructions, conversation.tools, conversation.response_format
    )
    if text:
        yield _message(Role.DEVELOPER, text)


def _newest(
    items: Sequence[Item], rendered: Sequence[list[int]], most_tokens: int
) -> Sequence[list[int]]:
    """All that is ``rendered`` if it fits, else from a user's message on, behind what brings
    tools: a call of them is still allowed."""
    starts = [0, *(index for index, item in enumerate(items) if isinstance(item, UserText))]
    tools = [index for index, item in enumerate(items) if _brings_tools(item)]
    kept: Sequence[list[int]] = rendered
    for start in starts:
        earlier = (rendered[index] for index in tools if index < start)
        kept = [*earlier, *rendered[start:]]
        if sum(map(len, kept)) <= most_tokens:
            break
    return kept


def _brings_tools(item: Item) -> bool:
    return isinstance(item, DeveloperText) and bool(item.tools)


def _system(conversation: Conversation) -> Message:
    content = (
        SystemContent.new()
        .with_conversation_start_date(conversation.date.isoformat())
        .with_reasoning_effort(_EFFORTS[conversation.effort])
    )
    for builtin in conversation.builtins:
        content = content.with_tools(_namespace(builtin))
    return Message.from_role_and_content(Role.SYSTEM, content)


def _namespace(builtin: Builtin) -> ToolNamespaceConfig:
    tools = [
        ToolDescription(
            name=tool.name,
            description=tool.description or "",
            parameters=dict(tool.parameters) if isinstance(tool.parameters, Mapping) else None,
        )
        for tool in builtin.tools
    ]
    return ToolNamespaceConfig(name=builtin.name, description=builtin.description, tools=tools)


def _developer_text(
    instructions: str | None,
    tools: Sequence[FunctionTool],
    response_format: ResponseFormat | None = None,
) -> str:
    sections = []
    if instructions:
        sections.append(f"# Instructions\n\n{instructions}")
    if tools:
        sections.append(render_tools(tools))
    if response_format:
        sections.append(render_response_format(response_format))
    return "\n\n".join(sections)


def _items_in_force(items: Sequence[Item]) -> list[Item]:
    """``items`` without what is thought, called and answered in the analysis before the last final.

    Turns up to there fall apart into their items, so that their reasoning can go.
    """
    last_turn = max((i for i, item in enumerate(items) if _holds_final(item)), default=-1)
    flat: list[Item] = []
    for index, item in enumerate(items):
        flat += item.items if isinstance(item, ExactTurn) and index <= last_turn else (item,)
    last_final = max((i for i, item in enumerate(flat) if _holds_final(item)), default=-1)
    return [item for i, item in enumerate(flat) if i > last_final or not _is_analysis(item)]


def _is_analysis(item: Item) -> bool:
    match item:
        case Reasoning():
            return True
        case BuiltinCall() | BuiltinResult():
            return item.channel is Channel.ANALYSIS
        case _:
            return False


def _holds_final(item: Item) -> bool:
    if isinstance(item, ExactTurn):
        return any(isinstance(part, FinalText) for part in item.items)
    return isinstance(item, FinalText)


def _item_ids(encoding: Encoding, item: Item) -> list[int]:
    assistant = encoding.encode_text(_ASSISTANT)
    match item:
        case ExactTurn(token_ids, items):
            if speaks_only_as(assistant, token_ids):
                closed = close_turn(token_ids)
                return [START, *assistant, *closed] if closed else []
            return [one for part in items for one in _item_ids(encoding, part)]
        case Reasoning(_, tuple(token_ids)):
            channel = encoding.encode_text(Channel.ANALYSIS)
            return [START, *assistant, CHANNEL, *channel, MESSAGE, *token_ids, END]
        case BuiltinResult(_, _, _, tuple(token_ids)):
            *head, end = _item_ids(encoding, replace(item, text="", token_ids=None))
            return [*head, *token_ids, end]
        case _:
            return encoding.render_message(_item_message(item), has_function_tools=False)


def _item_message(item: PlainItem) -> Message:
    match item:
        case DeveloperText(text, tools):
            return _message(Role.DEVELOPER, _developer_text(text, tools))
        case UserText(text, name):
            return _message(Role.USER, text, name=name)
        case Reasoning(text):
            return _message(Role.ASSISTANT, text).with_channel(Channel.ANALYSIS)
        case Preamble(text):
            return _message(Role.ASSISTANT, text).with_channel(Channel.COMMENTARY)
        case FinalText(text):
            return _message(Role.ASSISTANT, text).with_channel(Channel.FINAL)
        case FunctionCall(name, arguments, is_text):
            return (
                _message(Role.ASSISTANT, arguments)
                .with_channel(Channel.COMMENTARY)
                .with_recipient(replace_lone_surrogates(f"functions.{name}"))
                .with_content_type(_TEXT_CONTENT if is_text else _JSON_CONTENT)
            )
        case BuiltinCall(recipient, text, channel):
            return (
                _message(Role.ASSISTANT, text)
                .with_channel(channel)
                .with_recipient(recipient)
                .with_content_type(_TEXT_CONTENT)
            )
        case BuiltinResult(author, text, channel):
            return (
                _message(Role.TOOL, text, name=author)
                .with_channel(channel)
                .with_recipient("assistant")
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
