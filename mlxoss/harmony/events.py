"""What a turn consists of, as the parser reports it.

A turn is any number of messages, each ``MessageStart ContentDelta* MessageEnd``,
then exactly one ``TurnEnd``. Messages never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Channel(StrEnum):
    """Harmony's channels (openai/harmony ``docs/format.md``)."""

    ANALYSIS = "analysis"
    COMMENTARY = "commentary"
    FINAL = "final"


class TurnEndReason(StrEnum):
    """What ended the turn.

    ``CALL`` and ``RETURN`` are the model's own stop tokens; ``LENGTH`` is the
    token limit; ``STOP`` a stop string of the request in the final text.
    """

    RETURN = "return"
    CALL = "call"
    LENGTH = "length"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class MessageStart:
    """A message begins.

    ``recipient`` is the bare name of a declared function (without
    ``functions.``) when the message is a call, whatever its channel; else
    ``None``. Commentary without a recipient is a preamble: text for the user.
    ``builtin`` is the recipient of a call of a built-in tool (``python``, ``browser.search``);
    then ``recipient`` is ``None``.
    """

    channel: Channel
    recipient: str | None = None
    builtin: str | None = None

    @property
    def is_reasoning(self) -> bool:
        """Whether the text is the model's own reasoning, not meant for the user."""
        return self.channel is Channel.ANALYSIS and not self.is_call

    @property
    def is_call(self) -> bool:
        """Whether the text is a call's: arguments, free input or code."""
        return self.recipient is not None or self.builtin is not None


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """Text of the open message.

    One per content token, so that log probabilities can be matched to tokens:
    ``text`` is empty while a UTF-8 sequence is incomplete. ``token_id`` is
    ``None`` for text that no single token stands for (a recovered fragment).
    """

    text: str
    token_id: int | None = None


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """Nothing is added to the open message. ``is_cut`` when the token limit ended it."""

    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """Nothing follows. ``stop`` is the stop string that ended it, if one did."""

    reason: TurnEndReason
    stop: str | None = None


Event = MessageStart | ContentDelta | MessageEnd | TurnEnd
