"""Conversations that were begun with another server go on here, over each API."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.server.begun_elsewhere import (
    ANSWER,
    CALL,
    FOREIGN,
    OUTPUT,
    REDACTED,
    RESULT,
    SEALED,
    SIGNED,
    USE,
    USER,
    Place,
    foreign_contents,
    say,
)


@pytest.fixture
def place(serve: Serve, encoding: Encoding) -> Place:
    return Place(serve, encoding)


def think(text: str = "", signature: str = SIGNED) -> Any:
    return {"type": "thinking", "thinking": text, "signature": signature}


def test_responses_reasoning_sealed_elsewhere(place: Place) -> None:
    summary = [{"type": "summary_text", "text": "A summary."}]
    content = [{"type": "reasoning_text", "text": "A thought."}]
    plain = place.respond(USER, CALL, OUTPUT)
    for sealed in (FOREIGN, "", "mlxoss1.AAAA", "ä"):
        item = SEALED | {"encrypted_content": sealed}
        assert place.respond(USER, item, CALL, OUTPUT) == plain
        with_summary = place.respond(USER, item | {"summary": summary}, CALL, OUTPUT)
        assert "<|channel|>analysis<|message|>A summary.<|end|>" in with_summary
        with_content = place.respond(USER, item | {"content": content}, CALL, OUTPUT)
        assert "<|channel|>analysis<|message|>A thought.<|end|>" in with_content


def test_messages_thinking_signed_elsewhere(place: Place) -> None:
    plain = place.message(USER, say(USE), RESULT)
    for block in (think(), think(signature=""), REDACTED, REDACTED | {"data": ""}):
        assert place.message(USER, say(block, USE), RESULT) == plain
    for signature in (SIGNED, ""):
        prompt = place.message(USER, say(think("A thought.", signature), USE), RESULT)
        assert "<|channel|>analysis<|message|>A thought.<|end|>" in prompt


def test_it_is_counted_and_said_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    assert foreign_contents(place.server) == 0
    for _ in range(3):
        place.post("/v1/responses", input=[USER, SEALED, CALL, OUTPUT, SEALED | {"id": "rs_2"}])
    place.post("/v1/messages", messages=[USER, say(REDACTED, USE), RESULT], max_tokens=9)
    assert foreign_contents(place.server) == 7
    said = [one for one in caplog.records if "encrypted content" in one.getMessage()]
    assert [one.levelno for one in said] == [logging.WARNING]


def test_before_an_answer_it_is_not_looked_at(place: Place) -> None:
    plain = place.respond(USER, CALL, OUTPUT, ANSWER, USER)
    assert place.respond(USER, SEALED, CALL, OUTPUT, ANSWER, USER) == plain
    assert place.respond(USER, CALL, OUTPUT, SEALED, ANSWER, USER) == plain
    plain = place.message(USER, say(USE), RESULT, ANSWER, USER)
    for block in (think(), think("A thought."), REDACTED):
        assert place.message(USER, say(block, USE), RESULT, ANSWER, USER) == plain
        answer = say(block, {"type": "text", "text": "Hi."})
        assert place.message(USER, say(USE), RESULT, answer, USER) == plain
    assert foreign_contents(place.server) == 0


def test_a_kept_conversation_goes_on(place: Place) -> None:
    """What is stored with content of another server does not stand in the way later."""
    first = place.post("/v1/responses", input=[USER, SEALED, CALL, OUTPUT])
    place.post("/v1/responses", input=[USER], previous_response_id=first["id"])
    kept = place.post("/v1/conversations", items=[USER, SEALED, CALL])
    place.post("/v1/responses", input=[OUTPUT], conversation=kept["id"])
    place.post("/v1/responses/compact", input=[USER, SEALED, CALL, OUTPUT])


def test_a_compaction_sealed_elsewhere_stays_an_error(place: Place) -> None:
    for kind in ("compaction", "compaction_summary", "context_compaction"):
        compaction = {"type": kind, "encrypted_content": FOREIGN}
        error = place.post("/v1/responses", 400, input=[compaction, USER])["error"]
        assert error["param"] == "input[0].encrypted_content"
        assert error["code"] == "invalid_encrypted_content"
        assert "Nothing else holds" in error["message"]
