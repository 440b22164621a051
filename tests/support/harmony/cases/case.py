"""What a case of the parser's tables says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlxoss.harmony.events import Channel, MessageStart, TurnEndReason
from mlxoss.harmony.recovery import RecoveryKind as R

ANALYSIS = MessageStart(Channel.ANALYSIS)
FINAL = MessageStart(Channel.FINAL)
PREAMBLE = MessageStart(Channel.COMMENTARY)


def call(name: str, channel: Channel = Channel.COMMENTARY) -> MessageStart:
    return MessageStart(channel, name)


def builtin(recipient: str, channel: Channel = Channel.ANALYSIS) -> MessageStart:
    return MessageStart(channel, builtin=recipient)


@dataclass(frozen=True)
class Case:
    """``messages`` and the turn's end for ``turn``; ``LENGTH`` if no token ends it."""

    turn: str
    messages: tuple[tuple[MessageStart, str], ...]
    reason: TurnEndReason = TurnEndReason.RETURN
    recoveries: Mapping[R, int] = field(default_factory=dict)


RETURN, CALL, LENGTH = TurnEndReason.RETURN, TurnEndReason.CALL, TurnEndReason.LENGTH
