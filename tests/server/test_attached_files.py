"""Files that requests bring, shown to the model as text: one that it can read in any API."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

import openai
import pytest

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding, is_special
from tests.server.conftest import Connect, Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.internet import Internet, give
from tests.support.pdfs import encrypt, make_bomb, make_pdf, to_data_url
from tests.support.server.begun_elsewhere import ANSWER, CALL, USER, Place, say
from tests.support.server.harness import DATE
from tests.support.server.scripts import HELLO, always

PDF = make_pdf("Profits rose.", "Losses fell.")
SHOWN = "[file r.pdf, 2 pages]\n[page 1]\nProfits rose.\n\n[page 2]\nLosses fell.\n[end of r.pdf]"
TEXT = "[file a.txt]\nWords <|end|> <|call|>.\n[end of a.txt]"
WORDS = b"Words <|end|> <|call|>.\n"
NOTE = "[file left out: this model reads text; r.pdf, application/pdf, 300 bytes]"
CUT = PDF[:300]
USE: Any = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


@pytest.fixture
def place(serve: Serve, encoding: Encoding) -> Place:
    return Place(serve, encoding)


def attach(*parts: Any) -> Any:
    return {"role": "user", "content": list(parts)}


def input_file(data: bytes, name: str = "r.pdf", kind: str = "application/pdf") -> Any:
    return {"type": "input_file", "filename": name, "file_data": to_data_url(data, kind)}


def chat_file(data: bytes, name: str = "r.pdf", kind: str = "application/pdf") -> Any:
    return {"type": "file", "file": {"filename": name, "file_data": to_data_url(data, kind)}}


def document(data: bytes, name: str = "r.pdf", kind: str = "application/pdf") -> Any:
    encoded = base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": kind, "data": encoded}
    return {"type": "document", "title": name, "source": source}


def test_a_pdf_and_a_text_are_shown_with_their_names(place: Place) -> None:
    for send, make in (
        (place.respond, input_file),
        (place.message, document),
        (place.chat, chat_file),
    ):
        prompt = send(attach(make(PDF), make(WORDS, "a.txt", "text/plain")))
        assert f"user<|message|>{SHOWN}\n{TEXT}<|end|>" in prompt


def test_control_tokens_in_a_file_stay_text(serve: Serve, encoding: Encoding) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    place = Place(serve, encoding, backend)
    place.chat(attach(chat_file(WORDS, "a.txt", "text/plain")))
    special = [each for each in backend.inserted[-1].prompt_ids if is_special(each)]
    place.chat(USER)
    assert special == [each for each in backend.inserted[-1].prompt_ids if is_special(each)]


def test_the_next_turn_shows_the_same(place: Place) -> None:
    for send, make in (
        (place.respond, input_file),
        (place.message, document),
        (place.chat, chat_file),
    ):
        first = send(attach(make(PDF)))
        later = send(attach(make(PDF)), ANSWER, USER)
        assert later.startswith(first.removesuffix("<|start|>assistant"))


def test_what_tools_answer_with(place: Place) -> None:
    output = {"type": "function_call_output", "call_id": "c1"}
    assert SHOWN in place.respond(USER, CALL, output | {"output": [input_file(PDF)]})
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [document(PDF)]}
    assert SHOWN in place.message(USER, say(USE), attach(result))
    assert SHOWN in place.message(
        USER, say(USE), attach(result | {"content": "below"}, document(PDF))
    )


def test_in_a_history_what_cannot_be_read_is_a_note(place: Place) -> None:
    for rest in ((ANSWER, USER), (USER,)):
        assert NOTE in place.respond(attach(input_file(CUT)), *rest)
        assert NOTE in place.message(attach(document(CUT)), *rest)
        assert NOTE in place.chat(attach(chat_file(CUT)), *rest)
    output = {"type": "function_call_output", "call_id": "c1", "output": [input_file(CUT)]}
    assert NOTE in place.respond(USER, CALL, output)
    for wrong in ({"file_id": "f"}, {"file_data": 5}, {"file_url": "http://10.0.0.1/"}, {}):
        place.respond(attach({"type": "input_file", **wrong}), USER)
        place.chat(attach({"type": "file", "file": wrong}), USER)


BAD = {
    "encrypted": (encrypt(PDF, "secret"), "application/pdf", "encrypted"),
    "no text": (make_pdf(""), "application/pdf", "scanned"),
    "damaged": (CUT, "application/pdf", "damaged"),
    "a bomb": (make_bomb(200 << 20), "application/pdf", "cannot be shown"),
    "no PDF": (b"words", "application/pdf", "is none"),
    "an image": (b"\x89PNG", "image/png", "type image/png cannot be shown"),
    "a document": (b"PK\3\4", "application/vnd.ms-word", "vnd.ms-word cannot be shown"),
    "no text at all": (b"a\0b", "application/octet-stream", "no text"),
    "another charset": (b"\xff\xfeabc\xd8", "text/plain; charset=utf-8", "no text in"),
    "an unknown charset": (b"a", "text/plain; charset=utf-5", "charset 'utf-5'"),
    "no charset": (b"a", "text/plain; charset=Punycode", "charset 'punycode'"),
    "too long": (b"a" * 70_000, "text/plain", "more than 65536 characters"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_refused_by_its_field(case: str, place: Place) -> None:
    data, kind, reason = BAD[case]
    for path, part, field, rest in (
        ("/v1/responses", input_file(data, "r", kind), "input", "file_data"),
        ("/v1/chat/completions", chat_file(data, "r", kind), "messages", "file.file_data"),
    ):
        messages = [USER, ANSWER, attach({"type": "text", "text": "Read:"}, part)]
        error = place.post(path, 400, **{field: messages})["error"]
        assert error["param"] == f"{field}[2].content[1].{rest}"
        assert reason in error["message"]
        assert "Send the message without it" in error["message"]
    messages = [attach(document(data, "r", kind))]
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        error = place.post(path, 400, messages=messages, max_tokens=9)["error"]
        assert "messages[0].content[0].source.data" in error["message"]
        assert reason in error["message"]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"file_id": "file-1"}, "file_id", "unsupported_value"),
        ({"filename": "a"}, "file_data", "invalid_value"),
        ({"file_data": "YQ==", "file_url": "http://a/"}, "file_data", "invalid_value"),
        ({"file_data": 5}, "file_data", "invalid_type"),
        ({"file_data": "%%%"}, "file_data", "invalid_value"),
        ({"file_url": "https://files.example/a.pdf"}, "file_url", "unsupported_value"),
    ],
)
def test_a_file_that_is_not_there(fields: Any, param: str, code: str, place: Place) -> None:
    sent = [attach({"type": "input_file"} | fields)]
    error = place.post("/v1/responses", 400, input=sent)["error"]
    assert (error["param"], error["code"]) == (f"input[0].content[0].{param}", code)
    error = place.post("/v1/conversations", 400, items=sent)["error"]
    assert (error["param"], error["code"]) == (f"items[0].content[0].{param}", code)


def test_sources_of_documents(place: Place) -> None:
    for source, param in (
        ({"type": "file", "file_id": "f"}, "source.file_id"),
        ({"type": "url", "url": "https://files.example/"}, "source.url"),
        ({"type": "base64", "data": "YQ=="}, "source.media_type"),
        ({"type": "cloud"}, "source.type"),
    ):
        sent = [attach({"type": "document", "source": source})]
        error = place.post("/v1/messages", 400, messages=sent, max_tokens=9)["error"]
        assert f"messages[0].content[0].{param}" in error["message"]


def test_what_is_told_about_a_document(place: Place) -> None:
    told = document(WORDS, "a.txt", "text/plain") | {"context": "From the archive."}
    assert TEXT.replace("Words", "From the archive.\nWords") in place.message(attach(told))


def test_citations_are_refused_and_forgotten_later(place: Place) -> None:
    cited = document(PDF) | {"citations": {"enabled": True}}
    text = {"type": "document", "source": {"type": "text", "data": "Words."}}
    for part in (cited, text | {"citations": {"enabled": True}}):
        error = place.post("/v1/messages", 400, messages=[attach(part)], max_tokens=9)["error"]
        assert "messages[0].content[0].citations" in error["message"]
    assert SHOWN in place.message(attach(cited), ANSWER, USER)
    assert "Words." in place.message(attach(text | {"citations": {"enabled": False}}))


def test_it_is_kept_and_listed_as_it_came(place: Place) -> None:
    part = input_file(PDF)
    forged = part | {"text": "Forged."}
    response = place.post("/v1/responses", input=[attach(forged)])
    assert SHOWN in place.prompt
    assert "Forged." not in place.prompt
    listed = ask(place.server, "GET", f"/v1/responses/{response['id']}/input_items").json["data"]
    assert listed[0]["content"] == [part]
    first = place.prompt.removesuffix("<|start|>assistant")
    place.post("/v1/responses", input="More", previous_response_id=response["id"])
    assert place.prompt.startswith(first)
    again = {"type": "item_reference", "id": listed[0]["id"]}
    place.post("/v1/responses", input=[again, USER], store=False)
    assert SHOWN in place.prompt
    compacted = place.post("/v1/responses/compact", input=[attach(part)])
    assert compacted["output"][0]["content"] == [part]
    assert SHOWN in place.respond(*compacted["output"], USER)


def test_in_a_conversation(place: Place) -> None:
    part = input_file(PDF)
    conversation = place.post("/v1/conversations", items=[attach(part)])["id"]
    place.post("/v1/responses", input="More", conversation=conversation)
    assert SHOWN in place.prompt
    path = f"/v1/conversations/{conversation}/items"
    listed = ask(place.server, "GET", f"{path}?order=asc").json["data"]
    assert listed[0]["content"] == [part]
    assert ask(place.server, "GET", f"{path}/{listed[0]['id']}").json["content"] == [part]
    added = place.post(path, items=[attach(part)])
    assert added["data"][0]["content"] == [part]


def test_instructions_hold_no_files(place: Place) -> None:
    forged = {"role": "system", "content": [input_file(PDF) | {"text": "Forged."}]}
    error = place.post("/v1/responses", 400, input=[forged, USER])["error"]
    assert error["param"] == "input[0].content[0]"


def test_the_names_of_files(place: Place) -> None:
    assert "[file a b]\nx\n[end of a b]" in place.chat(
        attach(chat_file(b"x", "a\n\tb", "text/csv"))
    )
    assert f"[file {'n' * 120}…]" in place.chat(attach(chat_file(b"x", "n" * 200, "text/csv")))
    bare = {"type": "file", "file": {"file_data": base64.b64encode(PDF).decode()}}
    assert "[file file, 2 pages]" in place.chat(attach(bare))
    source = {"type": "file", "file": {"filename": "a.ts", "file_data": "eA=="}}
    assert "[file a.ts]\nx\n" in place.chat(attach(source))


def test_other_encodings_of_text(place: Place) -> None:
    for data, kind in (
        ("Zoë".encode("utf-8-sig"), "text/plain"),
        ("Zoë".encode("utf-16"), "text/plain"),
        ("Zoë".encode("latin-1"), "text/plain; charset=iso-8859-1"),
    ):
        assert "[file a]\nZoë\n[end of a]" in place.chat(attach(chat_file(data, "a", kind)))
    plain = {"filename": "a", "file_data": "data:text/plain,Zo%C3%AB"}
    assert "[file a]\nZoë\n" in place.chat(attach({"type": "file", "file": plain}))


def test_streams_go_on_while_a_file_is_read(place: Place) -> None:
    """A file that takes its reader long holds nobody up: health answers before it."""
    body = json.dumps({"model": "any", "messages": [attach(chat_file(make_bomb(60 << 20)))]})
    answers: list[Any] = []
    headers = {"content-type": "application/json"}

    def send() -> None:
        answers.append(
            ask(place.server, "POST", "/v1/chat/completions", body.encode(), headers).status
        )

    sending = threading.Thread(target=send)
    sending.start()
    while sending.is_alive():
        assert ask(place.server, "GET", "/health").status == 200
    sending.join()
    assert answers == [400]


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    internet = Internet()
    internet.install(monkeypatch)
    return internet


def test_by_its_address_if_allowed(serve: Serve, encoding: Encoding, internet: Internet) -> None:
    place = Place(
        lambda backend: serve(backend, config=Config(date=DATE, allow_fetch=True)), encoding
    )
    url = "http://files.example/a/r.pdf?x=1"
    parts: list[tuple[Any, Any]] = [
        (place.respond, {"type": "input_file", "file_url": url}),
        (place.chat, {"type": "file", "file": {"file_data": url}}),
        (place.message, {"type": "document", "source": {"type": "url", "url": url}}),
    ]
    with internet.site("files.example", give(PDF, "application/pdf")) as seen:
        for send, part in parts:
            assert SHOWN in send(attach(part))
    # It was read once, and a history shows what was read then, though it is gone by now.
    assert len(seen) == 1
    for send, part in parts:
        assert SHOWN in send(attach(part), ANSWER, USER)


def test_an_address_of_this_network_is_refused(serve: Serve, encoding: Encoding) -> None:
    place = Place(
        lambda backend: serve(backend, config=Config(date=DATE, allow_fetch=True)), encoding
    )
    for url in ("http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data"):
        part = {"type": "input_file", "file_url": url}
        error = place.post("/v1/responses", 400, input=[attach(part)])["error"]
        assert error["param"] == "input[0].content[0].file_url"
        assert "not public" in error["message"]
        assert f"[file left out: this model reads text; {url}]" in place.respond(attach(part), USER)


def test_the_official_clients(serve: Serve, connect: Connect) -> None:
    server = serve(HELLO)
    client = server.client()
    part: Any = input_file(PDF)
    response = client.responses.create(model="m", input=[attach(part)])
    (item,) = client.responses.input_items.list(response.id).data
    assert item.to_dict()["content"] == [part]
    chat = client.chat.completions.create(model="m", messages=[attach(chat_file(PDF))])
    assert chat.usage is not None
    own = connect(server.url)
    messages: Any = [attach(document(PDF))]
    message = own.messages.create(model="m", messages=messages, max_tokens=30)
    counted = own.messages.count_tokens(model="m", messages=messages)
    assert counted.input_tokens == message.usage.input_tokens == chat.usage.prompt_tokens
    bad: Any = input_file(encrypt(PDF, "secret"))
    with pytest.raises(openai.BadRequestError, match="encrypted"):
        client.responses.create(model="m", input=[attach(bad)])
