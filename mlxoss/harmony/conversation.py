"""A conversation as the renderer takes it: Harmony's view, free of any API's JSON."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlxoss.core import Effort
from mlxoss.harmony.events import Channel

JsonSchema = Mapping[str, Any] | bool


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function the model may call. ``parameters`` is its JSON schema, ``None`` for none."""

    name: str
    description: str | None = None
    parameters: JsonSchema | None = None


@dataclass(frozen=True, slots=True)
class Builtin:
    """A tool that gpt-oss was trained with; the system message shows it, not the developer's.

    ``name`` is ``python``, which is called by text, or ``browser``, which is called by the names of
    its ``tools`` (``browser.search``) with JSON. ``description`` stands under its heading.
    """

    name: str
    description: str
    tools: tuple[FunctionTool, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """What a call of it may be sent to."""
        return tuple(f"{self.name}.{tool.name}" for tool in self.tools) or (self.name,)


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """A schema shown under ``# Response Formats``."""

    name: str
    schema: JsonSchema
    description: str | None = None


@dataclass(frozen=True, slots=True)
class DeveloperText:
    """A system or developer message that comes after the first ones; it stays in place.

    ``tools`` may be called from there on. What was in front of them stays as it was, so that a
    prompt that was computed up to there is known again.
    """

    text: str
    tools: tuple[FunctionTool, ...] = ()


@dataclass(frozen=True, slots=True)
class UserText:
    """What the user said. ``name`` tells apart several users."""

    text: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Earlier analysis. Rendered only while its turn has no final yet.

    ``token_ids`` are the very ids of the text as the model wrote it, when they are
    known; then they are rendered and the text is not encoded again.
    """

    text: str
    token_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Preamble:
    """Earlier commentary for the user, before or between calls."""

    text: str


@dataclass(frozen=True, slots=True)
class FinalText:
    """An earlier answer. It ends its turn: reasoning before it is dropped."""

    text: str


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """An earlier call; ``arguments`` verbatim as the model wrote them.

    ``is_text`` when they are the free text that a custom tool takes, not JSON.
    """

    name: str
    arguments: str
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """What the function ``name`` answered."""

    name: str
    output: str


@dataclass(frozen=True, slots=True)
class BuiltinCall:
    """An earlier call of a built-in tool: code for ``python``, JSON for ``browser.*``, verbatim.

    As reasoning it is rendered only while its loop has no final yet.
    """

    recipient: str
    text: str
    channel: Channel = Channel.ANALYSIS


@dataclass(frozen=True, slots=True)
class BuiltinResult:
    """What a built-in tool answered, on the channel of its call. Dropped along with it.

    ``token_ids`` are the very ids of the text as it was computed, when they are known.
    """

    author: str
    text: str
    channel: Channel = Channel.ANALYSIS
    token_ids: tuple[int, ...] | None = None


TurnItem = Reasoning | Preamble | FinalText | FunctionCall | BuiltinCall
"""What an assistant turn consists of."""


@dataclass(frozen=True, slots=True)
class ExactTurn:
    """An earlier assistant turn, or the part of one, exactly as the model wrote it.

    ``token_ids`` are what followed ``<|start|>assistant``, the stop token included if
    one was sampled; ``items`` say the same. The ids are rendered verbatim while no
    ``FinalText`` is in the turn or follows it; then its items are rendered instead,
    since its reasoning has to go.
    """

    token_ids: tuple[int, ...]
    items: tuple[TurnItem, ...]


PlainItem = DeveloperText | UserText | FunctionResult | BuiltinResult | TurnItem
Item = PlainItem | ExactTurn


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything a prompt is made of.

    ``instructions`` is the leading system and developer text, joined; ``tools`` are those that
    may be called from the beginning; ``builtins`` those of the model's own that this server runs;
    ``date`` is the conversation's, so that its prefix stays the same next day.
    """

    items: tuple[Item, ...]
    date: datetime.date
    instructions: str | None = None
    tools: tuple[FunctionTool, ...] = ()
    response_format: ResponseFormat | None = None
    effort: Effort = Effort.MEDIUM
    builtins: tuple[Builtin, ...] = ()

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of all functions that the prompt shows, wherever it does."""
        later = (item.tools for item in self.items if isinstance(item, DeveloperText))
        return tuple(tool.name for tools in (self.tools, *later) for tool in tools)

    @property
    def builtin_recipients(self) -> tuple[str, ...]:
        """What calls of the built-in tools that the prompt shows may be sent to."""
        return tuple(recipient for one in self.builtins for recipient in one.recipients)
