"""Each search engine against a stand-in that behaves as its documentation says."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mlxoss.hosted.browser.engines import KEYED, SearchEngine, SearxngEngine
from mlxoss.hosted.browser.failed import BrowserCallFailed
from mlxoss.hosted.browser.pages import Hit
from mlxoss.hosted.browser.web import Web, WebBounds
from tests.support.certificates import make_pair
from tests.support.internet import Answer, Internet, give, lead_to
from tests.support.waiting import HANG_S

KEY = "canary-key-1234"
A, B = "https://a.example/1", "https://docs.b.example/2"


@dataclass(frozen=True)
class Documented:
    """An engine as documented: where it is, what it wants, and what it answers."""

    host: str
    path: str
    check: Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]
    answer: Any


def rows(text: str, **more: Any) -> list[dict[str, Any]]:
    """Two hits whose text stands in the field ``text``."""
    first = {"url": A, "title": "First", text: "About <strong>a</strong> &amp; more.", **more}
    return [first, {"url": B, "title": None, text: None}]


def of_brave(request: BaseHTTPRequestHandler, fields: dict[str, Any]) -> None:
    assert request.command == "GET"
    assert request.headers["x-subscription-token"] == KEY
    assert request.headers["accept"] == "application/json"
    assert (fields["q"], fields["count"]) == (["lamps (site:a.example OR site:b.example)"], ["20"])


def of_exa(request: BaseHTTPRequestHandler, fields: dict[str, Any]) -> None:
    assert request.command == "POST"
    assert request.headers["x-api-key"] == KEY
    assert fields == {
        "query": "lamps",
        "numResults": 20,
        "contents": {"highlights": {"maxCharacters": 500}},
        "includeDomains": ["a.example", "b.example"],
    }


def of_tavily(request: BaseHTTPRequestHandler, fields: dict[str, Any]) -> None:
    assert request.command == "POST"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    domains = ["a.example", "b.example"]
    assert fields == {"query": "lamps", "max_results": 20, "include_domains": domains}


def of_you(request: BaseHTTPRequestHandler, fields: dict[str, Any]) -> None:
    assert request.command == "POST"
    assert request.headers["x-api-key"] == KEY
    domains = ["a.example", "b.example"]
    assert fields == {"query": "lamps", "count": 20, "include_domains": domains}


DOCUMENTED = {
    "brave": Documented(
        "api.search.brave.com",
        "/res/v1/web/search",
        of_brave,
        {"type": "search", "web": {"type": "search", "results": rows("description")}},
    ),
    "exa": Documented(
        "api.exa.ai",
        "/search",
        of_exa,
        {"requestId": "1", "results": [{**rows("x")[0], "highlights": ["About a", "more."]}]},
    ),
    "tavily": Documented(
        "api.tavily.com",
        "/search",
        of_tavily,
        {"query": "lamps", "answer": None, "results": rows("content", score=0.9)},
    ),
    "you": Documented(
        "ydc-index.io",
        "/v1/search",
        of_you,
        {"results": {"web": rows("description", snippets=["One.", "Two."])}, "metadata": {}},
    ),
}
TEXTS = {
    "brave": "About a & more.",
    "exa": "About a … more.",
    "tavily": "About a & more.",
    "you": "One. … Two.",
}


def fields_of(request: BaseHTTPRequestHandler) -> dict[str, Any]:
    if request.command == "GET":
        return parse_qs(urlsplit(request.path).query)
    assert request.headers["content-type"] == "application/json"
    found: dict[str, Any] = json.loads(request.rfile.read(int(request.headers["content-length"])))
    return found


def search(engine: SearchEngine, *domains: str, bounds: WebBounds | None = None) -> list[Hit]:
    async def run() -> list[Hit]:
        web = Web(engine, bounds)
        try:
            return await web.search("lamps", domains)
        finally:
            web.close()

    return asyncio.run(run())


@contextmanager
def secure_site(
    internet: Internet, name: str, answer: Answer, folder: Path, patch: pytest.MonkeyPatch
) -> Iterator[list[BaseHTTPRequestHandler]]:
    pair = make_pair(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    patch.setenv("SSL_CERT_FILE", str(pair.certificate))
    with internet.site(name, answer, tls=context) as seen:
        yield seen


def status(code: int, body: bytes = b"canary-key-1234 is wrong") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.parametrize("name", sorted(KEYED))
def test_one_with_a_key(
    name: str,
    internet: Internet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told, engine = DOCUMENTED[name], KEYED[name](KEY)
    wrong: list[AssertionError] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        try:
            assert urlsplit(request.path).path == told.path
            told.check(request, fields_of(request))
        except AssertionError as error:
            wrong.append(error)
        give(json.dumps(told.answer).encode(), "application/json")(request)

    with (
        caplog.at_level(logging.DEBUG),
        secure_site(internet, told.host, answer, tmp_path, monkeypatch),
    ):
        hits = search(engine, "https://a.example/", "b.example")
    assert wrong == []
    assert hits[0] == Hit(A, "First", TEXTS[name])
    assert hits[1:] in ([], [Hit(B, "", "")])
    assert KEY not in caplog.text + repr(engine) + repr(engine.to_request("a", ()))


@pytest.mark.parametrize("name", sorted(KEYED))
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(401), "it refuses the key; mlxoss tools enable browser --"),
        (status(403), "it refuses the key"),
        (status(429), "too many requests"),
        (status(402), "too many requests"),
        (status(500), "it answers with the status 500"),
        (status(200), "it gives no JSON"),
        (status(200, b"[" * 100_000), "it gives no JSON"),
        (status(200, b"[]"), "it gives an answer of another form"),
        (status(200, b'{"results": 1, "web": 1}'), "it gives an answer of another form"),
        (status(200, bytes(5 << 20)), "longer than"),
        (lead_to("https://elsewhere.example/"), "it answers with the status 302"),
    ],
)
def test_one_that_fails(
    name: str,
    answer: Answer,
    reason: str,
    internet: Internet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told in words without the key, which goes nowhere else."""

    def read_and_answer(request: BaseHTTPRequestHandler) -> None:
        fields_of(request)
        answer(request)

    host = DOCUMENTED[name].host
    with (
        secure_site(internet, host, read_and_answer, tmp_path, monkeypatch) as seen,
        pytest.raises(BrowserCallFailed) as caught,
    ):
        search(KEYED[name](KEY))
    assert len(seen) == 1
    assert internet.asked == [host]
    assert str(caught.value).startswith(f"Error during search: {name}: ")
    assert reason in str(caught.value)
    assert KEY not in str(caught.value) + caplog.text


def test_a_query_for_brave_fits() -> None:
    """It takes 400 characters; hits of other domains are dropped anyway."""
    engine = KEYED["brave"](KEY)
    for query, domains in (
        ("q" * 500, ["a.example"]),
        ("q", ["d" * 60 + str(i) for i in range(9)]),
    ):
        asked = parse_qs(urlsplit(engine.to_request(query, domains).url).query)["q"][0]
        assert len(asked) <= 400
        assert asked.endswith(" (site:a.example)") or asked == "q"


@pytest.mark.parametrize("name", sorted(KEYED))
def test_one_that_finds_nothing(
    name: str, internet: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {"brave": {"type": "search"}, "you": {"results": {}}}.get(name, {"results": []})

    def answer(request: BaseHTTPRequestHandler) -> None:
        fields_of(request)
        give(json.dumps(nothing).encode(), "application/json")(request)

    with secure_site(internet, DOCUMENTED[name].host, answer, tmp_path, monkeypatch):
        assert search(KEYED[name](KEY)) == []


@pytest.mark.parametrize("name", sorted(KEYED))
def test_one_whose_name_leads_inside(name: str, internet: Internet) -> None:
    internet.names[DOCUMENTED[name].host] = ["127.0.0.1"]
    with pytest.raises(BrowserCallFailed, match="not public"):
        search(KEYED[name](KEY))


def searxng(formats: tuple[str, ...] = ("html", "json")) -> Answer:
    """As its webapp does: the format first, then whether there is a query."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        place = urlsplit(request.path)
        fields = parse_qs(place.query)
        if place.path != "/searx/search":
            status(404)(request)
        elif fields.get("format", ["html"])[0] not in formats:
            status(403)(request)
        elif "q" not in fields:
            status(400)(request)
        else:
            found = {"query": fields["q"][0], "results": [*rows("content"), {"title": "none"}]}
            give(json.dumps(found).encode(), "application/json")(request)

    return answer


def test_searxng_on_this_machine(internet: Internet) -> None:
    """It is the user's own, so it may be where nothing else is asked."""
    with internet.site("x.example", searxng()):
        (port,) = internet.ports.values()
        for host in ("127.0.0.1", "localhost"):
            engine = SearxngEngine(f"http://{host}:{port}/searx/")
            assert search(engine) == [Hit(A, "First", "About a & more."), Hit(B, "", "")]
            assert search(engine, "b.example") == [Hit(B, "", "")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (searxng(("html",)), "its settings.yml needs json in the list search.formats"),
        (status(429), "its limiter refuses this machine"),
        (lead_to("https://x.example/"), "the setting searxng_url has to name"),
        (status(502), "the status 502"),
    ],
)
def test_searxng_that_fails(answer: Answer, reason: str, internet: Internet) -> None:
    with internet.site("x.example", answer):
        (port,) = internet.ports.values()
        with pytest.raises(BrowserCallFailed) as caught:
            search(SearxngEngine(f"http://127.0.0.1:{port}/searx"))
    assert reason in str(caught.value)


def test_searxng_that_is_not_there(internet: Internet) -> None:
    with internet.site("x.example", searxng()):
        (port,) = internet.ports.values()
    with pytest.raises(BrowserCallFailed, match="ConnectionRefusedError"):
        search(SearxngEngine(f"http://127.0.0.1:{port}"), bounds=WebBounds(search_s=HANG_S))
