"""What a template makes: a conversation and the turn to write after it."""

from __future__ import annotations

from dataclasses import dataclass

from mlxoss.core import Effort
from mlxoss.demo.training.templates.replies import Reply
from mlxoss.harmony.conversation import (
    BuiltinCall,
    BuiltinResult,
    Conversation,
    FinalText,
    FunctionCall,
    Preamble,
    Reasoning,
)

PlainTurn = tuple[Reasoning | Preamble | FunctionCall | FinalText, ...]
Turn = tuple[Reasoning | Preamble | FunctionCall | FinalText | BuiltinCall, ...]
Course = tuple[Reasoning | BuiltinCall | BuiltinResult, ...]


@dataclass(frozen=True)
class Hosted:
    """Tools that the system message declares, and what happened since the last question."""

    tools: tuple[str, ...]
    course: Course = ()


@dataclass(frozen=True)
class Example:
    """A prompt and the turn to write. ``verbatim`` marks a history of exact ids.

    ``final_prefix`` is how much of the final text is tokenised on its own, so
    that what follows has the same ids as where it is copied from. ``far`` are texts of the
    prompt that stand for much longer ones.
    """

    family: str
    conversation: Conversation
    turn: Turn
    verbatim: bool = False
    final_prefix: str = ""
    far: tuple[str, ...] = ()
    hosted: Hosted | None = None


def think(effort: Effort, thought: str, more: str) -> tuple[Reasoning, ...]:
    """No analysis at low effort, one sentence at medium, several at high."""
    if effort is Effort.LOW:
        return ()
    return (Reasoning(thought if effort is Effort.MEDIUM else f"{thought} {more}"),)


def answer(effort: Effort, reply: Reply) -> Turn:
    """The reply's thought and final."""
    return (*think(effort, reply.thought, reply.more), FinalText(reply.final))
