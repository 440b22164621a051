from __future__ import annotations

import pytest

from mlxoss.harmony.encoding import (
    CALL,
    CONSTRAIN,
    FIRST_SPECIAL,
    MESSAGE,
    VOCAB_SIZE,
    Encoding,
)
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)
from mlxoss.harmony.parser import TurnParser
from tests.support.harmony.cases.case import Case
from tests.support.harmony.cases.clean import CLEAN
from tests.support.harmony.cases.turns import ALL
from tests.support.harmony.turns import FUNCTIONS, Turn, encode_turn, parse

FUNCTION_CALL = 'commentary to=functions.get_weather <|constrain|>json<|message|>{"a": 1}<|call|>'


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_reads_the_turn(encoding: Encoding, case: Case) -> None:
    turn, parser = parse(encoding, encode_turn(encoding, case.turn))
    assert _texts(turn) == list(case.messages)
    assert turn.reason is case.reason
    assert parser.recoveries == case.recoveries


@pytest.mark.parametrize("reason", [TurnEndReason.LENGTH, TurnEndReason.STOP])
@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_a_turn_cut_anywhere_is_a_prefix(
    encoding: Encoding, case: Case, reason: TurnEndReason
) -> None:
    ids = encode_turn(encoding, case.turn)
    whole, _ = parse(encoding, ids, reason)
    for count in range(len(ids)):
        cut, _ = parse(encoding, ids[:count], reason)
        assert cut.reason is reason
        assert whole.visible_text.startswith(cut.visible_text.rstrip("\ufffd")), count
        assert len(cut.calls) <= len(whole.calls), count
        for (name, arguments), (whole_name, whole_arguments) in zip(
            cut.calls, whole.calls, strict=False
        ):
            assert name == whole_name, count
            assert whole_arguments.startswith(arguments.rstrip("\ufffd")), count


@pytest.mark.parametrize("case", CLEAN.values(), ids=CLEAN)
def test_a_clean_turn_cut_anywhere_recovers_nothing(encoding: Encoding, case: Case) -> None:
    ids = encode_turn(encoding, case.turn)
    for count in range(len(ids) + 1):
        _, parser = parse(encoding, ids[:count])
        assert not parser.recoveries, count


def test_events_come_as_soon_as_they_can(encoding: Encoding) -> None:
    parser = TurnParser(encoding, FUNCTIONS)
    header = encode_turn(encoding, "<|channel|>commentary to=functions.f code")
    assert [parser.feed(token_id) for token_id in header] == [[]] * len(header)
    assert parser.feed(MESSAGE) == [MessageStart(Channel.COMMENTARY, "f")]
    [brace] = encoding.encode_text("{}")
    assert parser.feed(brace) == [ContentDelta("{}", brace)]
    assert parser.feed(CALL) == [MessageEnd(), TurnEnd(TurnEndReason.CALL)]
    assert parser.feed(brace) == []


def test_a_character_of_several_tokens_comes_with_its_last(encoding: Encoding) -> None:
    parser = TurnParser(encoding, ())
    for token_id in encode_turn(encoding, "<|channel|>final<|message|>"):
        parser.feed(token_id)
    ids = encoding.encode_text("𒀀")
    assert len(ids) > 2
    deltas = [parser.feed(token_id) for token_id in ids]
    texts = [""] * (len(ids) - 1) + ["𒀀"]
    assert deltas == [[ContentDelta(text, i)] for text, i in zip(texts, ids, strict=True)]


@pytest.mark.parametrize("following", ["<|end|>", "<|channel|>", "<|start|>", "<|return|>", ""])
def test_a_broken_character_ends_with_its_message(encoding: Encoding, following: str) -> None:
    first, *_ = encoding.encode_text("𒀀")
    head = encode_turn(encoding, "<|channel|>final<|message|>a")
    turn, _ = parse(encoding, [*head, first, *encode_turn(encoding, following)])
    assert turn.messages[0].text == "a\ufffd"
    assert turn.messages[0].token_ids == (head[-1], first, None)


def test_a_broken_character_does_not_reach_the_next_message(encoding: Encoding) -> None:
    first, *rest = encoding.encode_text("𒀀")
    head = encode_turn(encoding, "<|channel|>final<|message|>")
    turn, _ = parse(encoding, [*head, first, *head, *rest, *encoding.encode_text("b")])
    assert turn.messages[0].text == "\ufffd"
    assert set(turn.messages[1].text) == {"\ufffd", "b"}


def test_reasoning_tokens_are_those_of_analysis_bodies(encoding: Encoding) -> None:
    reasoning, answer = "Let me think 🎉.", "It is four."
    turn = (
        f"<|channel|>analysis<|message|>{reasoning}<|end|>"
        f"<|start|>assistant<|channel|>analysis to=functions.f<|message|>{answer}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{answer}<|return|>"
    )
    _, parser = parse(encoding, encode_turn(encoding, turn))
    assert parser.reasoning_tokens == len(encoding.encode_text(reasoning))


def test_recovered_reasoning_counts_too(encoding: Encoding) -> None:
    _, parser = parse(encoding, encode_turn(encoding, "I must think first.<|end|>"))
    assert parser.reasoning_tokens == len(encoding.encode_text("I must think first."))


def test_ids_outside_the_vocabulary_are_skipped(encoding: Encoding) -> None:
    strange = [-1, VOCAB_SIZE, VOCAB_SIZE - 1, FIRST_SPECIAL, 2**40]
    ids = encode_turn(encoding, "<|channel|>final<|message|>ab<|return|>")
    for place in range(len(ids)):
        turn, parser = parse(encoding, [*ids[:place], *strange, *ids[place:]])
        assert turn.visible_text == "ab"
        assert parser.recoveries == {"stray_token": len(strange)}


@pytest.mark.parametrize("last", ["final<|message|>x<|return|>", FUNCTION_CALL])
def test_no_single_lost_token_loses_text(encoding: Encoding, last: str) -> None:
    ids = encode_turn(
        encoding, f"<|channel|>analysis<|message|>I think<|end|><|start|>assistant<|channel|>{last}"
    )
    whole, _ = parse(encoding, ids)
    for place, token_id in enumerate(ids[:-1]):
        if token_id >= FIRST_SPECIAL:
            turn, parser = parse(encoding, [*ids[:place], *ids[place + 1 :]])
            assert _texts(turn) == _texts(whole), place
            assert parser.recoveries or token_id == CONSTRAIN


def _texts(turn: Turn) -> list[tuple[MessageStart, str]]:
    return [(message.start, message.text) for message in turn.messages]


NOISE = {
    "channels": "<|channel|>",
    "constraints": "<|constrain|>",
    "named channels": "<|channel|>final",
    "recipients": " to=a",
    "half recipients": " to",
    "spaces": " " * 16,
    "functions": "functions.",
}


@pytest.mark.parametrize("end", ["<|message|>x<|return|>", "<|return|>"])
@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_a_header_without_end_is_read(encoding: Encoding, noise: str, end: str) -> None:
    """In linear time: else this takes minutes."""
    ids = encode_turn(encoding, noise)
    turn, _ = parse(encoding, [*(ids * (50_000 // len(ids))), *encode_turn(encoding, end)])
    assert turn.reason is TurnEndReason.RETURN
