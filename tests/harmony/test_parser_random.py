"""Random ids and random turns; a failure prints how to run it again."""

from __future__ import annotations

import codecs

import openai_harmony as harmony
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlxoss.harmony.encoding import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    FIRST_SPECIAL,
    MESSAGE,
    RETURN,
    START,
    VOCAB_SIZE,
    Encoding,
)
from mlxoss.harmony.events import Channel, TurnEndReason
from mlxoss.harmony.parser import TurnParser
from tests.support.harmony.cases.builtins import BUILTINS
from tests.support.harmony.turns import FUNCTIONS, Turn, encode_turn, parse, to_turn

randomised = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def token_ids(encoding: Encoding) -> st.SearchStrategy[int]:
    """Any id, weighted toward those that the parser looks at."""
    words = "assistant user analysis commentary final to = functions .f python browser .open { } \n"
    meaningful = [i for word in words.split(" ") for i in encoding.encode_text(word)]
    return st.one_of(
        st.sampled_from([START, END, MESSAGE, CHANNEL, CONSTRAIN]),
        st.sampled_from([START, END, MESSAGE, CHANNEL, CONSTRAIN, RETURN, CALL]),
        st.sampled_from(meaningful),
        st.sampled_from(encoding.encode_text("𒀀 🏳️‍🌈 語")),
        st.integers(0, FIRST_SPECIAL - 1),
        st.integers(FIRST_SPECIAL, VOCAB_SIZE - 1),
        st.integers(-(2**70), 2**70),
    )


@randomised
@given(data=st.data())
def test_any_ids_give_well_formed_events(encoding: Encoding, data: st.DataObject) -> None:
    ids = data.draw(st.lists(token_ids(encoding), max_size=120))
    reason = data.draw(st.sampled_from(TurnEndReason))
    turn, parser = parse(encoding, ids, reason, builtins=BUILTINS)
    known = [token_id for token_id in ids if 0 <= token_id < FIRST_SPECIAL]
    emitted = [i for message in turn.messages for i in message.token_ids if i is not None]
    assert _is_subsequence(emitted, known)
    assert parser.reasoning_tokens <= len(known)
    assert {message.start.recipient for message in turn.messages} <= {None, *FUNCTIONS}
    asked = [message.start for message in turn.messages if message.start.builtin is not None]
    assert {start.builtin for start in asked} <= set(BUILTINS)
    assert Channel.FINAL not in {start.channel for start in asked}
    if "<|" not in encoding.decode(known):
        assert "<|" not in "".join(message.text for message in turn.messages)


def _is_subsequence(part: list[int], whole: list[int]) -> bool:
    rest = iter(whole)
    return all(token_id in rest for token_id in part)


message_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["<|end|>", "<|call|>{}", "to=functions.f", "🧑🏽‍🚀" * 3, "{\n}", "日本語"]
)


def clean_messages() -> st.SearchStrategy[list[harmony.Message]]:
    def message(channel: str, text: str) -> harmony.Message:
        return harmony.Message.from_role_and_content(harmony.Role.ASSISTANT, text).with_channel(
            channel
        )

    def calling(recipient: str, text: str, content_type: str | None) -> harmony.Message:
        channel = "analysis" if recipient in BUILTINS else "commentary"
        call = message(channel, text).with_recipient(recipient)
        return call if content_type is None else call.with_content_type(content_type)

    texts = st.builds(message, st.sampled_from(["analysis", "commentary"]), message_texts)
    calls = st.builds(
        calling,
        st.sampled_from([*(f"functions.{name}" for name in FUNCTIONS), *BUILTINS]),
        message_texts,
        st.sampled_from([None, "<|constrain|>json", "code"]),
    )
    finals = st.builds(message, st.just("final"), message_texts)
    return st.tuples(st.lists(texts, max_size=4), finals | calls).map(
        lambda parts: [*parts[0], parts[1]]
    )


def render(encoding: Encoding, messages: list[harmony.Message]) -> list[int]:
    """What a model writes after ``<|start|>assistant``."""
    ids = [i for message in messages for i in encoding.render_message(message, True)]
    start = encode_turn(encoding, "<|start|>assistant")
    assert ids[: len(start)] == start
    return [*ids[len(start) : -1], RETURN if ids[-1] == END else ids[-1]]


@randomised
@given(messages=clean_messages())
def test_a_clean_turn_reads_as_the_library_reads_it(
    encoding: Encoding, library: harmony.HarmonyEncoding, messages: list[harmony.Message]
) -> None:
    ids = render(encoding, messages)
    turn, parser = parse(encoding, ids, builtins=BUILTINS)
    assert not parser.recoveries
    assert _as_tuples(turn) == _read_by_library(library, ids)
    assert [(text, channel) for text, channel, _ in _as_tuples(turn)] == [
        ("".join(part.text for part in message.content), message.channel) for message in messages
    ]
    for message in turn.messages:
        body = [i for i in message.token_ids if i is not None]
        assert message.text == encoding.decode(body)
        assert len(body) == len(message.token_ids)


def _as_tuples(turn: Turn) -> list[tuple[str, str | None, str | None]]:
    return [
        (
            message.text,
            message.start.channel.value,
            f"functions.{message.start.recipient}"
            if message.start.recipient
            else message.start.builtin,
        )
        for message in turn.messages
    ]


def _read_by_library(
    library: harmony.HarmonyEncoding, ids: list[int]
) -> list[tuple[str, str | None, str | None]]:
    parser = harmony.StreamableParser(library, harmony.Role.ASSISTANT)
    for token_id in ids:
        parser.process(token_id)
    return [
        ("".join(part.text for part in message.content), message.channel, message.recipient)
        for message in parser.messages
    ]


@randomised
@given(data=st.data())
def test_bytes_decode_as_the_whole_would(encoding: Encoding, data: st.DataObject) -> None:
    """Whatever pieces of characters a body consists of."""
    pieces = encoding.encode_text("𒀀🏳️‍🌈語é")
    body = data.draw(st.lists(st.sampled_from(pieces) | st.integers(0, FIRST_SPECIAL - 1)))
    parser = TurnParser(encoding, ())
    events = [
        event
        for token_id in (*encode_turn(encoding, "<|channel|>final<|message|>"), *body, RETURN)
        for event in parser.feed(token_id)
    ]
    whole = b"".join(encoding.token_bytes(token_id) for token_id in body)
    assert to_turn(events).visible_text == codecs.decode(whole, "utf-8", "replace")
