"""A turn's token ids to events.

Tolerant, since models leave the format: a departure is put right and counted,
never an error. What stands where:

- A recipient counts if it is a declared function, on any channel, in the role
  or in the channel part, with or without ``functions.``, or a built-in tool's.
  Any other recipient is ignored: the message stays text of its channel.
- A header without a known channel is ``final``; a function's call is ``commentary``,
  a built-in tool's ``analysis``, also where it names ``final``.
- Any of ``<|start|> <|channel|> <|end|> <|call|> <|return|>`` ends a body.
  ``<|message|>``, ``<|constrain|>`` and reserved tokens in a body are skipped:
  they could open nothing, and splitting a call there would break its arguments.
- A header that ends without ``<|message|>`` may hold the message itself. On a
  known final channel or for a call it is taken as such. Else the end decides:
  text that the model closed with a stop token was meant as its answer; text
  before more of the turn, or cut by a limit, is taken as reasoning, so that
  reasoning with a lost header is never shown as an answer (models write refusals
  this way: openai/harmony#80). A lone word cut by a limit is dropped as a cut header.
- Text after ``<|end|>`` with no header is the same case, but continues the
  kind of the turn's last visible message if there is one, as a message of its
  own: messages are never reopened.
- A message in another role's name (user, tool) is left out: those are not the
  assistant's words.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Collection

from mlxoss.harmony.encoding import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    FIRST_SPECIAL,
    MESSAGE,
    RETURN,
    START,
    Encoding,
)
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    Event,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)
from mlxoss.harmony.header import (
    Header,
    HeaderDraft,
    Opening,
    Part,
    Recipients,
    is_one_word,
    read_fragment,
    read_header,
)
from mlxoss.harmony.recovery import RecoveryKind

_MODEL_STOPS = (TurnEndReason.RETURN, TurnEndReason.CALL)
_CUTS = (TurnEndReason.LENGTH, TurnEndReason.STOP)


class TurnParser:
    """Parses one turn; make a new one for each.

    The prompt ended with ``<|start|>assistant``, so the first id belongs to a
    header. ``functions`` are the declared functions' bare names, ``builtins`` the
    recipients of the built-in tools that the prompt shows. Not safe to share
    between threads.

    ``recoveries`` counts departures from the format by ``RecoveryKind``;
    ``reasoning_tokens`` counts the ids of reasoning text, headers excluded.
    """

    def __init__(
        self, encoding: Encoding, functions: Collection[str], builtins: Collection[str] = ()
    ) -> None:
        self.recoveries: Counter[str] = Counter()
        self.reasoning_tokens = 0
        self._token_bytes = encoding.token_bytes
        self._names = Recipients(frozenset(functions), frozenset(builtins))
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._draft: HeaderDraft | None = HeaderDraft(Opening.ROLE)
        self._open: MessageStart | None = None
        self._is_reasoning = False
        self._visible: MessageStart | None = None
        self._has_ended = False

    def feed(self, token_id: int) -> list[Event]:
        """Take the next id and return what it completes. Never raises on any integer.

        ``<|return|>`` and ``<|call|>`` end the turn; later ids are ignored.
        """
        if self._has_ended:
            return []
        if not 0 <= token_id < FIRST_SPECIAL:
            return self._feed_special(token_id)
        if self._draft is not None:
            self._draft.add(self._token_bytes(token_id))
            return []
        if self._open is None:
            return []
        if self._is_reasoning:
            self.reasoning_tokens += 1
        return [ContentDelta(self._utf8.decode(self._token_bytes(token_id)), token_id)]

    def finish(self, reason: TurnEndReason) -> list[Event]:
        """End the turn where it stands: close what is open, then ``TurnEnd``.

        After a ``TurnEnd`` it returns nothing. ``TurnEnd(CALL)`` tells which
        token came last; the turn may still hold no call.
        """
        if self._has_ended:
            return []
        self._has_ended = True
        return [*self._close(reason), TurnEnd(reason)]

    def _feed_special(self, token_id: int) -> list[Event]:
        if token_id == RETURN:
            return self.finish(TurnEndReason.RETURN)
        if token_id == CALL:
            return self.finish(TurnEndReason.CALL)
        if token_id == START:
            return self._begin_header(Opening.START)
        if token_id == END:
            return self._begin_header(Opening.NOTHING)
        if token_id == CHANNEL:
            return self._begin_channel()
        if token_id == MESSAGE and self._draft is not None:
            return self._open_body(self._draft)
        if token_id == CONSTRAIN and self._draft is not None:
            self._draft.begin(Part.CONSTRAINT)
        else:
            self._note(RecoveryKind.STRAY_TOKEN)
        return []

    def _begin_header(self, opening: Opening) -> list[Event]:
        if self._draft is None and opening is Opening.START:
            self._note(RecoveryKind.MISSING_END)
        events = self._close(None)
        self._draft = HeaderDraft(opening)
        return events

    def _begin_channel(self) -> list[Event]:
        events: list[Event] = []
        if self._draft is None:
            self._note(RecoveryKind.MISSING_END)
            events = self._close(None)
            self._draft = HeaderDraft(Opening.ROLE)
        self._draft.begin(Part.CHANNEL)
        return events

    def _open_body(self, draft: HeaderDraft) -> list[Event]:
        header = read_header(draft, self._names)
        self._note(*header.recoveries)
        self._draft = None
        if header.is_foreign:
            return []
        return [self._start(header.start())]

    def _start(self, message: MessageStart) -> MessageStart:
        self._open = message
        self._is_reasoning = message.is_reasoning
        if not (message.is_call or self._is_reasoning):
            self._visible = message
        return message

    def _close(self, reason: TurnEndReason | None) -> list[Event]:
        """Close what is open. ``reason`` is ``None`` when the turn goes on."""
        if self._draft is not None:
            return self._close_fragment(self._draft, reason)
        return [] if self._open is None else self._close_body(self._open, reason)

    def _close_body(self, message: MessageStart, reason: TurnEndReason | None) -> list[Event]:
        wrong_end = TurnEndReason.RETURN if message.is_call else TurnEndReason.CALL
        if reason is wrong_end or (reason is None and message.builtin is not None):
            self._note(RecoveryKind.CALL_END)
        self._open = None
        leftover = self._utf8.decode(b"", final=True)
        end = MessageEnd(is_cut=reason is TurnEndReason.LENGTH)
        return [*([ContentDelta(leftover)] if leftover else []), end]

    def _close_fragment(self, draft: HeaderDraft, reason: TurnEndReason | None) -> list[Event]:
        header = read_fragment(draft, self._names)
        is_cut = reason in _CUTS
        is_stray = draft.is_bare and draft.opening is Opening.NOTHING
        has_text = bool(header.text) and not (is_cut and is_one_word(header.text))
        is_named = header.channel is not None or header.is_call
        is_message = not header.is_foreign and (has_text or (is_named and reason in _MODEL_STOPS))
        if is_message or not (is_cut or (is_stray and not draft.text_tokens)):
            kind = RecoveryKind.STRAY_TEXT if is_stray else RecoveryKind.MISSING_MESSAGE
            self._note(kind, *header.recoveries)
        if not is_message:
            return []
        message = self._start(self._fragment_start(header, reason, is_stray=is_stray))
        if message.is_reasoning:
            self.reasoning_tokens += draft.text_tokens
        deltas = [ContentDelta(header.text)] if has_text else []
        return [message, *deltas, *self._close_body(message, reason)]

    def _fragment_start(
        self, header: Header, reason: TurnEndReason | None, *, is_stray: bool
    ) -> MessageStart:
        if header.is_call:
            return header.start()
        is_answer = reason in _MODEL_STOPS
        if header.channel is not None and (header.channel is Channel.FINAL or is_answer):
            return MessageStart(header.channel)
        if is_stray and self._visible is not None:
            return self._visible
        return MessageStart(Channel.FINAL if is_answer else Channel.ANALYSIS)

    def _note(self, *kinds: RecoveryKind) -> None:
        self.recoveries.update(kind.value for kind in kinds)
