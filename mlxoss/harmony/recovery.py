"""The departures from Harmony's format that the parser puts right."""

from __future__ import annotations

from enum import StrEnum


class RecoveryKind(StrEnum):
    """What was odd about a message. The values are stable: they are shown as counters.

    A turn in the form of openai/harmony ``docs/format.md`` counts none.
    """

    MISSING_START = "missing_start"
    """A header after ``<|end|>`` without ``<|start|>``."""
    MISSING_ROLE = "missing_role"
    """``<|start|>`` without a role; taken as the assistant's."""
    FOREIGN_ROLE = "foreign_role"
    """A message in the name of a user or a tool; left out."""
    MISSING_CHANNEL = "missing_channel"
    """A header without ``<|channel|>``, or nothing after it."""
    UNKNOWN_CHANNEL = "unknown_channel"
    """A channel that Harmony does not have, or a misspelt one."""
    REPEATED_CHANNEL = "repeated_channel"
    """Several channels in one header; the last one counts."""
    HEADER_TEXT = "header_text"
    """Words in a header that mean nothing; left out."""
    REPEATED_RECIPIENT = "repeated_recipient"
    """Several recipients; the first declared function counts."""
    RECIPIENT_FORM = "recipient_form"
    """A declared function not written as ``to=functions.NAME``."""
    UNKNOWN_RECIPIENT = "unknown_recipient"
    """A recipient that is no declared function; the message is text, not a call."""
    CALL_CHANNEL = "call_channel"
    """A call in the final channel."""
    CALL_END = "call_end"
    """A call that ends the turn without ``<|call|>``, or another message ended by it; a built-in
    tool's call that the turn goes on after."""
    MISSING_MESSAGE = "missing_message"
    """A header with content but without ``<|message|>``."""
    MISSING_END = "missing_end"
    """A message cut off by the next one's header."""
    STRAY_TEXT = "stray_text"
    """Text after ``<|end|>`` that belongs to no header."""
    STRAY_TOKEN = "stray_token"  # noqa: S105 (no secret)
    """A special token that means nothing where it stands; left out."""
