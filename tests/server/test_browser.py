"""Attacks from web pages on other origins, played by a real browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.browser import Browser, Page, browsing, find_browser
from tests.support.server.harness import DATE, Server, ask_chat, chat_body, running
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until

PROGRAM = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed"),
]

APP, EVIL = "http://app.example", "http://evil.example"
CHAT = json.dumps(chat_body().decode())
TURN = json.dumps(json.dumps({"type": "response.create", "model": "m", "input": "Hello!"}))

READS = {
    "a list": "fetch(BASE + '/v1/models').then(r => r.text())",
    "the health": "fetch(BASE + '/health').then(r => r.text())",
    "a turn": "fetch(BASE + '/v1/chat/completions', {method: 'POST', body: CHAT, "
    "headers: {'content-type': 'application/json'}}).then(r => r.text())",
    "a turn with a key": "fetch(BASE + '/v1/chat/completions', {method: 'POST', body: CHAT, "
    "headers: {'content-type': 'application/json', authorization: 'Bearer x'}})"
    ".then(r => r.text())",
    "a turn without a preflight": "fetch(BASE + '/v1/responses', {method: 'POST', body: "
    "new Blob([TURN])}).then(r => r.text())",
    "events": "new Promise((done, fail) => { const s = new WebSocket("
    "BASE.replace('http', 'ws') + '/v1/responses'); s.onopen = () => s.send(TURN); "
    "s.onmessage = e => { s.close(); done(e.data) }; s.onerror = fail })",
    "a deletion": "fetch(BASE + '/v1/responses/KEPT', {method: 'DELETE'}).then(r => r.text())",
}
"""What a page may try to read: scripts that give the answer, or fail."""

BLIND = {
    "a simple request": "fetch(BASE + '/v1/chat/completions', {method: 'POST', mode: 'no-cors', "
    "body: CHAT, headers: {'content-type': 'text/plain'}}).then(r => r.type + r.status)",
    "one without a type": "fetch(BASE + '/v1/chat/completions', {method: 'POST', mode: 'no-cors', "
    "body: new Blob([CHAT])}).then(r => r.type + r.status)",
    "a beacon": "String(navigator.sendBeacon(BASE + '/v1/responses', new Blob([CHAT])))",
    "a cancellation": "fetch(BASE + '/v1/responses/KEPT/cancel', {method: 'POST', "
    "mode: 'no-cors'}).then(r => r.type + r.status)",
    "a form": "new Promise(done => { document.body.innerHTML = '<iframe name=f></iframe>"
    "<form target=f method=post enctype=text/plain><input></form>'; "
    "const form = document.forms[0], frame = document.querySelector('iframe'); "
    "form.action = BASE + '/v1/chat/completions'; "
    "form[0].name = CHAT.slice(0, -1) + ', \"x\": \"'; form[0].value = '\"}'; "
    "frame.onload = () => { try { done(frame.contentDocument.body.innerText) } "
    "catch (e) { done('opaque') } }; form.submit() })",
    "a frame of no origin": "new Promise(done => { const frame = document.createElement('iframe'); "
    "frame.sandbox = 'allow-scripts'; onmessage = e => done(e.data); "
    "frame.srcdoc = `<script>fetch('${BASE}/v1/chat/completions', {method: 'POST', "
    "mode: 'no-cors', body: '${CHAT}'}).then(r => r.type + r.status, e => 'failed')"
    ".then(a => parent.postMessage(a, '*'))</` + 'script>'; document.body.append(frame) })",
    "a script": "new Promise(done => { const s = document.createElement('script'); "
    "s.src = BASE + '/v1/models'; s.onload = () => done('loaded'); "
    "s.onerror = () => done('failed'); document.body.append(s) })",
}
"""What a page cannot read in any case, and must not set off."""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>A page</title><body></body>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        return


@dataclass(frozen=True)
class Scene:
    """A browser, a server that lets no page in and one that lets in pages of ``APP``."""

    browser: Browser
    closed: Server
    opened: Server
    backends: dict[int, ScriptedBackend]

    def turns(self, server: Server) -> int:
        """How many turns have reached the server's engine."""
        until(lambda: ask(server, "GET", "/health").json["active_requests"] == 0)
        return len(self.backends[server.port].inserted)


@pytest.fixture(scope="module")
def scene(encoding: Encoding, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    assert PROGRAM is not None
    with ExitStack() as stack:
        backends = {}
        servers = []
        for origins in ((), (APP,)):
            backend = ScriptedBackend(always(encoding, HELLO))
            config = Config(date=DATE, allow_origin=origins)
            server = stack.enter_context(
                running(lambda backend=backend: backend, lambda: encoding, config=config)  # type: ignore[misc]
            )
            backends[server.port] = backend
            servers.append(server)
        web = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _Page))
        stack.callback(web.shutdown)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        names = [f"MAP {name}.example:80 127.0.0.1:{web.server_port}" for name in ("app", "evil")]
        folder = tmp_path_factory.mktemp("browser")
        browser = stack.enter_context(
            browsing(PROGRAM, folder, [*names, "MAP rebound.example 127.0.0.1"])
        )
        closed, opened = servers
        yield Scene(browser, closed, opened, backends)


def keep(server: Server) -> str:
    """The id of a response that is kept, once its turn has ended."""
    body = json.dumps({"model": "m", "input": "Hello!", "background": True}).encode()
    kept: str = ask(server, "POST", "/v1/responses", body).json["id"]
    path = f"/v1/responses/{kept}"
    until(lambda: ask(server, "GET", path).json["status"] == "completed")
    return kept


def attack(page: Page, script: str, base: str, kept: str) -> str:
    """What the page gets, ``blocked`` if nothing."""
    script = script.replace("KEPT", kept)
    whole = f"(async () => {{ const BASE = '{base}', CHAT = {CHAT}, TURN = {TURN}; try "
    result = page.run(f"{whole} {{ return await {script} }} catch (e) {{ return 'blocked' }} }})()")
    assert isinstance(result, str)
    return result


@pytest.mark.parametrize("server_name", ["closed", "opened"])
def test_a_page_of_another_origin(scene: Scene, server_name: str) -> None:
    server: Server = getattr(scene, server_name)
    kept = keep(server)
    before = scene.turns(server)
    page = scene.browser.open(f"{EVIL}/")
    for base in (server.url, f"http://localhost:{server.port}"):
        for name, script in READS.items():
            assert attack(page, script, base, kept) == "blocked", name
        for name, script in BLIND.items():
            got = attack(page, script, base, kept)
            assert got in ("opaque0", "opaque", "true", "failed", "blocked", "loaded"), (name, got)
    assert scene.turns(server) == before
    assert ask(server, "GET", f"/v1/responses/{kept}").json["status"] == "completed"


def test_a_page_that_is_let_in(scene: Scene) -> None:
    """The same scripts work where they may: what stops the others is the server."""
    server = scene.opened
    kept = keep(server)
    before = scene.turns(server)
    page = scene.browser.open(f"{APP}/")
    answers = {name: attack(page, script, server.url, kept) for name, script in READS.items()}
    assert "blocked" not in answers.values()
    assert "tiny/gpt-oss" in answers["a list"]
    assert "chat.completion" in answers["a turn"]
    assert "response.created" in answers["events"]
    assert '"deleted":true' in answers["a deletion"]
    until(lambda: scene.turns(server) == before + 4)
    assert attack(page, BLIND["one without a type"], server.url, kept) == "opaque0"
    until(lambda: scene.turns(server) == before + 5)


def test_a_page_whose_name_was_rebound(scene: Scene) -> None:
    """A document of a name that now leads here: to the browser all of it is one origin."""
    for server in (scene.closed, scene.opened):
        kept = keep(server)
        before = scene.turns(server)
        base = f"http://rebound.example:{server.port}"
        page = scene.browser.open(f"{base}/v1/models")
        assert page.run("document.body.innerText").count("host_not_allowed") == 1
        for name, script in READS.items():
            got = attack(page, script, base, kept)
            assert got == "blocked" or json.loads(got)["error"]["code"] == "host_not_allowed", name
        for script in BLIND.values():
            attack(page, script, base, kept)
        assert scene.turns(server) == before
        assert ask(server, "GET", f"/v1/responses/{kept}").json["status"] == "completed"


def test_the_server_s_own_pages(scene: Scene) -> None:
    """A document that the server itself served may talk to it."""
    page = scene.browser.open(f"{scene.closed.url}/v1/models")
    answer = attack(page, READS["a turn"], scene.closed.url, "none")
    assert json.loads(answer)["object"] == ask_chat(scene.closed).json["object"]
