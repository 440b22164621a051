"""Images, audio and files: of tools and in earlier turns a note, in the newest message refused."""

from __future__ import annotations

from typing import Any

import pytest

from mlxoss.api.history.attachments import to_note, to_text
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.http import ask
from tests.support.server.begun_elsewhere import ANSWER, CALL, USER, Place, say

PNG = "A" * 94 + "=="
NOTE = "[image left out: this model reads text; image/png, 70 bytes]"
TOLD = {
    "a data URL": ({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}, NOTE),
    "chat's image": (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        NOTE,
    ),
    "Anthropic's": (
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
        },
        NOTE,
    ),
    "MCP's": ({"type": "image", "data": PNG, "mimeType": "image/png"}, NOTE),
    "MCP's resource": (
        {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": "AAAA"}},
        "[file left out: this model reads text; file:///a.bin, 3 bytes]",
    ),
    "MCP's link": (
        {"type": "resource_link", "uri": "file:///a.txt", "name": "a", "mimeType": "text/plain"},
        "[file left out: this model reads text; a, text/plain]",
    ),
    "an address": (
        {"type": "input_image", "image_url": "http://localhost/a.png"},
        "[image left out: this model reads text; http://localhost/a.png]",
    ),
    "audio": (
        {"type": "input_audio", "input_audio": {"data": "AAAA" * 1000, "format": "wav"}},
        "[audio left out: this model reads text; wav, 3 kB]",
    ),
    "a file": (
        {
            "type": "input_file",
            "filename": "a\nb.pdf",
            "file_data": f"data:application/pdf;base64,{'AAAA' * 500_000}",
        },
        "[file left out: this model reads text; a b.pdf, application/pdf, 1.5 MB]",
    ),
    "chat's file": (
        {"type": "file", "file": {"file_id": "file_1"}},
        "[file left out: this model reads text; file_1]",
    ),
    "a PDF": (
        {
            "type": "document",
            "title": "A report",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AAA="},
        },
        "[file left out: this model reads text; A report, application/pdf, 2 bytes]",
    ),
    "nothing known": ({"type": "input_image"}, "[image left out: this model reads text]"),
    "nonsense": (
        {"type": "input_image", "image_url": 5, "detail": {"url": [1]}},
        "[image left out: this model reads text]",
    ),
    "a long name": (
        {"type": "input_image", "image_url": "x" * 500},
        f"[image left out: this model reads text; {'x' * 120}…]",
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_a_note_tells_what_is_known(case: str) -> None:
    part, note = TOLD[case]
    assert to_note(part) == note


def test_other_parts_get_no_note() -> None:
    for part in ({"type": "text", "text": "a"}, {"type": ["image"]}, {}, "image", None, 5):
        assert to_note(part) is None
        assert to_text(part) is None


def test_documents_of_text_are_text() -> None:
    for part, text in (
        ({"type": "document", "source": {"type": "text", "data": "Words."}}, "Words."),
        ({"type": "resource", "resource": {"uri": "file:///a", "text": "Words."}}, "Words."),
        (
            {
                "type": "document",
                "title": "Title",
                "source": {"type": "content", "content": [{"type": "text", "text": "Words."}]},
            },
            "Title\nWords.",
        ),
        (
            {
                "type": "search_result",
                "title": "Title",
                "source": "http://localhost/",
                "content": [{"type": "text", "text": "Words."}, {"type": "image"}],
            },
            "Title\nhttp://localhost/\nWords.\n[image left out: this model reads text]",
        ),
    ):
        assert to_text(part) == text


@pytest.fixture
def place(serve: Serve, encoding: Encoding) -> Place:
    return Place(serve, encoding)


TAKEN: Any = {"type": "input_text", "text": "taken"}
INPUT_IMAGE: Any = TOLD["a data URL"][0]
CHAT_IMAGE: Any = TOLD["chat's image"][0]
BLOCK: Any = TOLD["Anthropic's"][0]
CHAT_CALL: Any = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
USE: Any = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


def attach(*parts: Any) -> Any:
    return {"role": "user", "content": list(parts)}


def test_what_a_tool_shows(place: Place) -> None:
    shown = f"to=assistant<|channel|>commentary<|message|>taken\n{NOTE}<|end|>"
    custom = {"type": "custom_tool_call", "call_id": "c1", "name": "f", "input": "x"}
    for call in (CALL, custom):
        output = {
            "type": f"{call['type']}_output",
            "call_id": "c1",
            "output": [TAKEN, INPUT_IMAGE],
        }
        assert shown in place.respond(USER, call, output)
        assert shown in place.respond(USER, call, output, ANSWER, USER)
    result = {"type": "tool_result", "tool_use_id": "t1"}
    blocks = [{"type": "text", "text": "taken"}, BLOCK]
    assert shown in place.message(USER, say(USE), attach(result | {"content": blocks}))
    parts = [{"type": "text", "text": "taken"}, CHAT_IMAGE]
    tool = {"role": "tool", "tool_call_id": "c1", "content": parts}
    assert shown in place.chat(USER, CHAT_CALL, tool)
    assert shown in place.chat(USER, CHAT_CALL, tool, ANSWER, USER)


def test_what_a_client_puts_behind_a_tool_s_answer(place: Place) -> None:
    output = {"type": "function_call_output", "call_id": "c1", "output": "below"}
    assert NOTE in place.respond(USER, CALL, output, attach(INPUT_IMAGE))
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "below"}
    assert NOTE in place.message(USER, say(USE), attach(result, BLOCK))
    assert NOTE in place.message(USER, say(USE), attach(result), attach(BLOCK))
    tool = {"role": "tool", "tool_call_id": "c1", "content": "below"}
    assert NOTE in place.chat(USER, CHAT_CALL, tool, attach(CHAT_IMAGE))


def test_what_earlier_messages_hold(place: Place) -> None:
    """Also where nothing was answered in between: a client went on after the refusal."""
    for rest in ((ANSWER, USER), (USER,)):
        assert NOTE in place.respond(attach(INPUT_IMAGE), *rest)
        assert NOTE in place.message(attach(BLOCK), *rest)
        assert NOTE in place.chat(attach(CHAT_IMAGE), *rest)
    drawn = {"role": "assistant", "content": [{"type": "output_image", "image_url": "a.png"}]}
    assert "[image left out: this model reads text; a.png]" in place.respond(USER, drawn, USER)


def test_the_newest_message_is_refused_by_field(place: Place) -> None:
    for path, part, field in (
        ("/v1/responses", INPUT_IMAGE, "input"),
        ("/v1/chat/completions", CHAT_IMAGE, "messages"),
    ):
        error = place.post(path, 400, **{field: [USER, ANSWER, attach(part)]})["error"]
        assert error["param"] == f"{field}[2].content[0]"
        assert error["code"] == "unsupported_content_type"
        assert "Send the message without it" in error["message"]
    error = place.post("/v1/messages", 400, messages=[attach(BLOCK)], max_tokens=9)["error"]
    assert "messages[0].content[0].type" in error["message"]
    assert "Send the message without it" in error["message"]


def test_instructions_hold_text_alone(place: Place) -> None:
    system = {"role": "system", "content": [INPUT_IMAGE]}
    assert place.post("/v1/responses", 400, input=[system, USER])["error"]["param"] == (
        "input[0].content[0]"
    )


def test_the_note_is_what_is_kept(place: Place) -> None:
    output = {"type": "function_call_output", "call_id": "c1", "output": [TAKEN, INPUT_IMAGE]}
    response = place.post("/v1/responses", input=[USER, CALL, output])
    listed = ask(place.server, "GET", f"/v1/responses/{response['id']}/input_items").json["data"]
    assert [part["text"] for part in listed[0]["output"]] == ["taken", NOTE]
    place.post("/v1/responses", input="More", previous_response_id=response["id"])
    assert NOTE in place.prompt
