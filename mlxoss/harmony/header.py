"""Reading message headers, well formed or not.

A header is what stands before ``<|message|>``: a role, a channel, perhaps a
recipient (``to=``) in either of the two, perhaps a content type. Special
tokens split it into parts; the words inside a part are read leniently.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from mlxoss.harmony.events import Channel, MessageStart
from mlxoss.harmony.recovery import RecoveryKind

# Each pattern takes linear time on any text: none that is searched for starts with a repetition.
_ASSISTANT = re.compile(r"\s*assistant", re.IGNORECASE | re.ASCII)
_OTHER_ROLE = re.compile(
    r"\s*(?:(?:user|system|developer|tool)\b|functions\.|browser\.|python\b)", re.ASCII
)
_CHANNEL = re.compile(
    r"[\s\-\u2013\u2014_.,:;!?*'\"`]*(analysis|commentary|final)", re.IGNORECASE | re.ASCII
)
_CHANNEL_START = re.compile(r"\s*([a-z]{4,})\b", re.ASCII)
_RECIPIENT = re.compile(r"to\s*=\s*([^\s<{(]*)")
_LEADING_RECIPIENTS = re.compile(rf"(?:\s*{_RECIPIENT.pattern})*")
_FUNCTION = re.compile(r"functions\.[^\s<{(]+")
_CONTENT_TYPE = re.compile(r"\s*(?:json|code|text|python)\b(?=\s*(?:\Z|[{\[]))")
_CODE = re.compile(r"\s*code\b")
"""The type of what goes to a built-in tool, whatever follows: code begins with anything."""
_CONSTRAINT = re.compile(r"\s*[\w.+/-]*")
_ONE_WORD = re.compile(r"\s*\w[\w./-]*\s*")
_GLUED = ("json", "code", "commentary", "analysis", "final")
_FUNCTIONS = "functions."


@dataclass(frozen=True, slots=True)
class Recipients:
    """What calls may be sent to: declared ``functions`` by their bare names, and ``builtins``."""

    functions: frozenset[str]
    builtins: frozenset[str] = frozenset()


class Opening(Enum):
    """What stands before a header's text."""

    ROLE = auto()
    """The assistant's role is settled: by the prompt, or by the message before."""
    START = auto()
    """``<|start|>``: a role follows."""
    NOTHING = auto()
    """An ended message: either ``<|start|>`` was left out or this is no header."""


class Part(Enum):
    """What a part of a header says."""

    ROLE = auto()
    CHANNEL = auto()
    CONSTRAINT = auto()


class HeaderDraft:
    """A header as it grows, token by token."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.text_tokens = 0
        self._parts: list[tuple[Part, bytearray]] = [(Part.ROLE, bytearray())]

    def add(self, data: bytes) -> None:
        """Append one ordinary token's bytes to the current part."""
        self._parts[-1][1].extend(data)
        self.text_tokens += 1

    def begin(self, part: Part) -> None:
        """Let a special token start the next part."""
        self._parts.append((part, bytearray()))

    @property
    def is_bare(self) -> bool:
        """Whether there is nothing but text: no special token."""
        return len(self._parts) == 1

    def parts(self) -> list[tuple[Part, str]]:
        """The parts as text; broken UTF-8 is replaced."""
        return [(part, bytes(data).decode("utf-8", "replace")) for part, data in self._parts]


@dataclass(slots=True)
class Header:
    """What a header says.

    ``recipient`` is a declared function's bare name, ``builtin`` the recipient of a built-in
    tool's call; at most one of them is set. ``text`` is what is left once the header's own words
    are taken out: noise in a header that ``<|message|>`` closed, content in one that it did not.
    """

    is_foreign: bool = False
    channel: Channel | None = None
    recipient: str | None = None
    builtin: str | None = None
    text: str = ""
    recoveries: list[RecoveryKind] = field(default_factory=list)

    @property
    def is_call(self) -> bool:
        """Whether anything that can be called is meant."""
        return self.recipient is not None or self.builtin is not None

    def start(self) -> MessageStart:
        """The message that it begins: on the usual channel of its kind if it names none.

        A built-in tool's call is never on ``final``: nothing of it is meant for the user.
        """
        if self.builtin is not None:
            is_on_commentary = self.channel is Channel.COMMENTARY
            channel = Channel.COMMENTARY if is_on_commentary else Channel.ANALYSIS
            return MessageStart(channel, builtin=self.builtin)
        absent = Channel.FINAL if self.recipient is None else Channel.COMMENTARY
        return MessageStart(self.channel or absent, self.recipient)


def read_header(draft: HeaderDraft, names: Recipients) -> Header:
    """Read a header that ``<|message|>`` closed. Never raises."""
    header = _Reader(names, is_closed=True).read(draft)
    if not header.is_foreign:
        if header.channel is None and RecoveryKind.UNKNOWN_CHANNEL not in header.recoveries:
            header.recoveries.append(RecoveryKind.MISSING_CHANNEL)
        if header.text:
            header.recoveries.append(RecoveryKind.HEADER_TEXT)
    return header


def read_fragment(draft: HeaderDraft, names: Recipients) -> Header:
    """Read a header that anything but ``<|message|>`` closed. Never raises.

    Its text may be the message itself, so only words at the very places where
    a header has them are taken out of it.
    """
    return _Reader(names, is_closed=False).read(draft)


def is_one_word(text: str) -> bool:
    """Whether ``text`` may be a header's word that the token limit cut."""
    return _ONE_WORD.fullmatch(text) is not None


class _Reader:
    """One reading of one header."""

    def __init__(self, names: Recipients, *, is_closed: bool) -> None:
        self._names = names
        self._is_closed = is_closed
        self._header = Header()
        self._recipients: list[str] = []
        self._named: list[str] = []
        self._rest: list[str] = []
        self._is_blank = True

    def read(self, draft: HeaderDraft) -> Header:
        parts = draft.parts()
        role = self._read_role(draft, parts[0][1])
        if self._header.is_foreign:
            self._note(RecoveryKind.FOREIGN_ROLE)
            return self._header
        self._read_words(self._channel_in_role(role, parts[1:]))
        for part, text in parts[1:]:
            if part is Part.CHANNEL:
                text = self._read_channel(text)
            if self._is_closed:
                self._named += _FUNCTION.findall(text)
            if part is Part.CONSTRAINT:
                text = self._read_constraint(text)
            self._read_words(text)
        self._settle_recipient()
        text = "".join(self._rest)
        match = _CONTENT_TYPE.match(text)
        if match is None and self._header.builtin is not None:
            match = _CODE.match(text)
        text = text[match.end() :] if match else text
        self._header.text = text.strip() if self._is_closed else text.lstrip()
        return self._header

    def _note(self, kind: RecoveryKind) -> None:
        self._header.recoveries.append(kind)

    def _read_role(self, draft: HeaderDraft, text: str) -> str:
        """Judge whose message this is and return what follows the role's word."""
        is_header = self._is_closed or not draft.is_bare
        if draft.opening is Opening.ROLE:
            return text
        if draft.opening is Opening.NOTHING and is_header:
            self._note(RecoveryKind.MISSING_START)
        if match := _ASSISTANT.match(text):
            return text[match.end() :]
        if draft.opening is Opening.NOTHING:
            self._header.is_foreign = is_header and _OTHER_ROLE.match(text) is not None
        elif not text.strip() or _RECIPIENT.match(text.lstrip()) or _CHANNEL.match(text):
            self._note(RecoveryKind.MISSING_ROLE)
        else:
            self._header.is_foreign = True
        return text

    def _channel_in_role(self, text: str, rest: list[tuple[Part, str]]) -> str:
        """Take a channel out of the role part, where ``<|channel|>`` was left out."""
        if any(part is Part.CHANNEL for part, _ in rest):
            return text
        match = _CHANNEL.match(text)
        if match is None:
            return text
        if not (self._is_closed or _RECIPIENT.match(text[match.end() :].lstrip())):
            return text
        self._note(RecoveryKind.MISSING_CHANNEL)
        self._header.channel = Channel(match[1].lower())
        return text[match.end() :]

    def _read_channel(self, text: str) -> str:
        """Take a channel part's first word and return what follows it."""
        channel, rest = _split_channel(text)
        if channel is None:
            if text.strip():
                self._note(RecoveryKind.UNKNOWN_CHANNEL)
            return text
        if self._header.channel is not None:
            self._note(RecoveryKind.REPEATED_CHANNEL)
            self._rest.clear()
            self._is_blank = True
        if _CHANNEL.match(text) is None:
            self._note(RecoveryKind.UNKNOWN_CHANNEL)
        self._header.channel = channel
        return rest

    def _read_constraint(self, text: str) -> str:
        """Take out the content type, but not a recipient in its place."""
        if _RECIPIENT.match(text.lstrip()):
            return text
        match = _CONSTRAINT.match(text)
        return text[match.end() :] if match else text

    def _read_words(self, text: str) -> None:
        """Take out the recipients; keep the rest."""
        if self._is_closed:
            self._recipients += _RECIPIENT.findall(text)
            text = _RECIPIENT.sub(" ", text)
        elif self._is_blank and (match := _LEADING_RECIPIENTS.match(text)):
            self._recipients += _RECIPIENT.findall(match[0])
            text = text[match.end() :]
        self._is_blank = self._is_blank and not text.strip()
        self._rest.append(text)

    def _settle_recipient(self) -> None:
        if len(self._recipients) > 1:
            self._note(RecoveryKind.REPEATED_RECIPIENT)
        for word in (*self._recipients, *self._named):
            if self._take_recipient(word):
                if self._header.channel is Channel.FINAL:
                    self._note(RecoveryKind.CALL_CHANNEL)
                return
        if self._recipients:
            self._note(RecoveryKind.UNKNOWN_RECIPIENT)

    def _take_recipient(self, word: str) -> bool:
        """Whether ``word`` names what can be called; then the header says so.

        A function and a built-in tool may have the same name: ``functions.`` tells them apart.
        """
        function = _known_name(word, self._names.functions)
        builtin = _known_name(word, self._names.builtins)
        is_same = function == builtin and _FUNCTIONS not in word
        if builtin is not None and (function is None or is_same):
            self._header.builtin, official = builtin, builtin
        elif function is not None:
            self._header.recipient, official = function, f"{_FUNCTIONS}{function}"
        else:
            return False
        if word != official or not self._recipients:
            self._note(RecoveryKind.RECIPIENT_FORM)
        return True


def _split_channel(text: str) -> tuple[Channel | None, str]:
    """The channel that ``text`` starts with, glued, cut short or not, and what follows."""
    if match := _CHANNEL.match(text):
        return Channel(match[1].lower()), text[match.end() :]
    if match := _CHANNEL_START.match(text):
        for channel in Channel:
            if channel.value.startswith(match[1]):
                return channel, text[match.end() :]
    return None, text


def _known_name(word: str, names: Collection[str]) -> str | None:
    """The one of ``names`` that ``word`` says, exactly or with something glued to it."""
    for name in (word.removeprefix(_FUNCTIONS), word):
        if name in names:
            return name
    name = word.strip(".,:;\"'`").removeprefix(_FUNCTIONS).removeprefix(_FUNCTIONS)
    for tail in ("", *_GLUED):
        if name.endswith(tail) and name.removesuffix(tail) in names:
            return name.removesuffix(tail)
    return None
