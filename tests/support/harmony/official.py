"""Conversations and tools as openai-harmony renders them, to compare ours with."""

from __future__ import annotations

from collections.abc import Sequence

import openai_harmony
from openai_harmony import (
    DeveloperContent,
    HarmonyEncoding,
    Message,
    Role,
    SystemContent,
    ToolNamespaceConfig,
)

from mlxoss.harmony.conversation import (
    Builtin,
    BuiltinCall,
    BuiltinResult,
    Conversation,
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    Preamble,
    Reasoning,
    UserText,
)


def official_prompt(
    library: HarmonyEncoding, conversation: Conversation, *, keeps_analysis: bool = False
) -> list[int]:
    """The library's ids of ``conversation``; it drops analysis by its own rule, or none."""
    config = openai_harmony.RenderConversationConfig(auto_drop_analysis=not keeps_analysis)
    ids: list[int] = library.render_conversation_for_completion(
        to_official(conversation), Role.ASSISTANT, config
    )
    return ids


def official_tools(library: HarmonyEncoding, tools: Sequence[FunctionTool]) -> str:
    """The library's ``# Tools`` section."""
    text: str = library.decode(library.render(_developer_message(None, tools)))
    return text.removeprefix("<|start|>developer<|message|>").removesuffix("<|end|>")


def to_official(ours: Conversation) -> openai_harmony.Conversation:
    """``ours`` by the library's own means, developer content included."""
    system = (
        SystemContent.new()
        .with_conversation_start_date(ours.date.isoformat())
        .with_reasoning_effort(openai_harmony.ReasoningEffort(ours.effort.title()))
    )
    for builtin in ours.builtins:
        system = system.with_tools(_to_official_builtin(builtin))
    messages = [Message.from_role_and_content(Role.SYSTEM, system)]
    if ours.instructions or ours.tools:
        messages.append(_developer_message(ours.instructions, ours.tools))
    messages += [to_official_message(item) for item in ours.items]
    return openai_harmony.Conversation.from_messages(messages)


def _to_official_builtin(ours: Builtin) -> ToolNamespaceConfig:
    """The library's own, with our description where one holds that the library cannot know."""
    (theirs,) = (
        one
        for one in (ToolNamespaceConfig.python(), ToolNamespaceConfig.browser())
        if one.name == ours.name
    )
    return theirs.model_copy(update={"description": ours.description})


def _developer_message(instructions: str | None, tools: Sequence[FunctionTool] = ()) -> Message:
    content = DeveloperContent.new()
    if instructions:
        content = content.with_instructions(instructions)
    if tools:
        content = content.with_function_tools(
            [
                openai_harmony.ToolDescription.new(
                    tool.name, tool.description or "", tool.parameters
                )
                for tool in tools
            ]
        )
    return Message.from_role_and_content(Role.DEVELOPER, content)


def to_official_message(item: Item) -> Message:
    """One item with every field of the header that ``docs/format.md`` shows."""
    raw: dict[str, object]
    match item:
        case DeveloperText(text, tools):
            return _developer_message(text, tools)
        case UserText(text, name):
            raw = {"role": "user", "name": name, "content": text}
        case Preamble(text):
            raw = {"role": "assistant", "content": text, "channel": "commentary"}
        case FinalText(text):
            raw = {"role": "assistant", "content": text, "channel": "final"}
        case FunctionCall(name, arguments, is_text):
            kind = "code" if is_text else "<|constrain|>json"
            raw = {"role": "assistant", "content": arguments, "channel": "commentary"}
            raw |= {"recipient": f"functions.{name}", "content_type": kind}
        case FunctionResult(name, output):
            raw = {"role": "tool", "name": f"functions.{name}", "content": output}
            raw |= {"channel": "commentary", "recipient": "assistant"}
        case BuiltinCall(recipient, text, channel):
            raw = {"role": "assistant", "content": text, "channel": channel.value}
            raw |= {"recipient": recipient, "content_type": "code"}
        case BuiltinResult(author, text, channel):
            raw = {"role": "tool", "name": author, "content": text}
            raw |= {"channel": channel.value, "recipient": "assistant"}
        case Reasoning(text):
            raw = {"role": "assistant", "content": text, "channel": "analysis"}
        case _:
            raise TypeError(f"the library has no message for {item!r}")
    return Message.from_dict(raw)
