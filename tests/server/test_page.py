"""The page at ``/`` in a real browser: it chats, stops, shows the server, and asks for a key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxoss.api_key_file import create_key
from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.browser import Browser, browsing, find_browser
from tests.support.server.harness import DATE, MODEL, chat_body, set_at_last
from tests.support.server.page import (
    ENTER,
    ESCAPE,
    check_quiet,
    count_of,
    open_page,
    say,
    shows,
    text_of,
)
from tests.support.server.scripts import HELLO, always, by_last_words, endless
from tests.support.server.steps import Steps
from tests.support.waiting import until

PROGRAM = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed"),
]

MARKUP = (
    "<|channel|>analysis<|message|>Secret <b>thoughts</b>.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Look: <img src=x onerror=alert(1)> and `a < b`."
    "\n\n```html\n<script>alert(2)</script>\n```\n\nThat is **all**.<|return|>"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with browsing(PROGRAM, tmp_path_factory.mktemp("browser"), []) as browser:
        yield browser


def test_a_message_is_answered(browser: Browser, serve: Serve, encoding: Encoding) -> None:
    backend = ScriptedBackend(by_last_words(encoding, {"markup": MARKUP, "Hello": HELLO}))
    server = serve(backend)
    page = open_page(browser, server)
    shows(page, "#model", "tiny/gpt-oss")
    page.run("document.getElementById('effort').value = 'high'")
    page.run("document.getElementById('question').focus()")
    page.write("Hello,")
    page.press(*ENTER, shift=True)
    assert page.run("document.getElementById('question').value") == "Hello,\n"
    page.write("you!")
    page.press(*ENTER)
    shows(page, ".assistant .note", "tokens/s")
    assert text_of(page, ".user") == "Hello,\nyou!"
    assert text_of(page, ".assistant .text") == "Hello, wörld 🎉!"
    assert text_of(page, ".assistant details div") == "They greet me."
    assert page.run("document.querySelector('details').open") is False
    assert "Reasoning: high" in encoding.decode(backend.inserted[0].prompt_ids)
    say(page, "markup")
    shows(page, ".assistant:last-child .note", "tokens/s")
    prompt = encoding.decode(backend.inserted[1].prompt_ids)
    assert "Hello, wörld" in prompt
    assert "They greet me" not in prompt
    shows(page, "#requests td", "/v1/responses")
    until(lambda: count_of(page, "#requests tr") == 2)
    shows(page, "#running", "0 of 8")
    page.run("document.getElementById('fresh').click()")
    assert count_of(page, ".message") == 0
    check_quiet(page, server)


def test_markup_stays_text(browser: Browser, serve: Serve) -> None:
    server = serve(MARKUP)
    page = open_page(browser, server)
    say(page, "Hello!")
    shows(page, ".note", "tokens/s")
    assert "<img src=x onerror=alert(1)>" in text_of(page, ".text p")
    assert text_of(page, ".text pre code") == "<script>alert(2)</script>"
    assert text_of(page, ".text p > code") == "a < b"
    assert text_of(page, ".text p > b") == "all"
    assert text_of(page, "details div") == "Secret <b>thoughts</b>."
    assert count_of(page, ".message img, .message script") == 0
    check_quiet(page, server)


@pytest.mark.parametrize("how", ["key", "button"])
def test_stop(browser: Browser, serve: Serve, encoding: Encoding, how: str) -> None:
    backend = endless(encoding)
    server = serve(backend)
    page = open_page(browser, server)
    say(page, "Hello!")
    until(lambda: len(text_of(page, ".assistant .text")) > 20)
    assert page.run("document.getElementById('send').hidden") is True
    shows(page, "#running", "1 of 8")
    if how == "key":
        page.press(*ESCAPE)
    else:
        page.run("document.getElementById('stop').click()")
    shows(page, ".note", "Stopped.")
    until(lambda: backend.active == 0)
    assert page.run("document.getElementById('send').hidden") is False
    shows(page, "#requests .left", "499")
    check_quiet(page, server)


def test_what_goes_wrong_is_told(
    browser: Browser, serve: Serve, encoding: Encoding, logged_errors: object
) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    server = serve(backend)
    page = open_page(browser, server)
    backend.token_errors[(200006, 5)] = RuntimeError("it broke")
    say(page, "Hello!")
    shows(page, ".failure", "it broke")
    shows(page, "#requests .bad", "500")
    backend.token_errors.clear()
    say(page, "Hello!")
    shows(page, ".note", "tokens/s")
    check_quiet(page, server)


def test_a_key_is_asked_for(browser: Browser, serve: Serve, tmp_path: Path) -> None:
    server = serve(HELLO, folder=tmp_path)
    token = create_key(tmp_path, "laptop", 0)
    page = open_page(browser, server)
    until(lambda: page.run("document.getElementById('unlock').hidden") is False)
    assert text_of(page, "#model") == ""
    page.run("document.getElementById('key').focus()")
    for wrong in ("sk-wrong", "mlx-пароль…"):
        page.write(wrong)
        page.press(*ENTER)
        until(lambda: page.run("document.getElementById('wrong').hidden") is False)
        page.run("document.getElementById('wrong').hidden = true")
        until(lambda: page.run("document.getElementById('wrong').hidden") is False)
    page.write(token)
    page.press(*ENTER)
    shows(page, "#model", "tiny/gpt-oss")
    assert page.run("document.getElementById('unlock').hidden") is True
    say(page, "Hello!")
    shows(page, ".note", "tokens/s")
    stored = page.run("JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])")
    assert stored == f'[{{"mlxoss-key":"{token}"}},{{}},""]'
    check_quiet(page, server)


def test_a_hidden_page_asks_for_nothing(browser: Browser, serve: Serve) -> None:
    server = serve(HELLO)
    page = open_page(browser, server)
    shows(page, "#model", "tiny/gpt-oss")
    page.run(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    # What it would have asked by itself comes before this.
    waited = "new Promise(done => setTimeout(done, 1500))"
    page.run(waited)
    before = len(page.events("Network.requestWillBeSent"))
    page.run(waited)
    assert len(page.events("Network.requestWillBeSent")) == before
    page.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: len(page.events("Network.requestWillBeSent")) > before)


def test_words_are_shown_only_when_asked(browser: Browser, serve: Serve) -> None:
    page = open_page(browser, serve(HELLO))
    say(page, "Hello!")
    shows(page, "#requests td", "200")
    assert count_of(page, "#requests .words") == 0
    asked = serve(HELLO, config=Config(date=DATE, debug_raw_preview_chars=60))
    page = open_page(browser, asked)
    say(page, "Say <b>that</b>!")
    shows(
        page, "#requests .words td", "Say <b>that</b>!<|end|><|start|>assistant<|channel|>analysis"
    )


def test_today_s_tokens_by_client(browser: Browser, serve: Serve) -> None:
    server = serve(HELLO)
    page = open_page(browser, server)
    assert page.run("document.getElementById('unused').hidden") is False
    say(page, "Hello!")
    shows(page, "#today td", "browser|")
    assert page.run("document.getElementById('unused').hidden") is True
    for user_agent in ("curl/8.7.1", "curl/8.7.1"):
        headers = {"user-agent": user_agent, "content-type": "application/json"}
        body = chat_body(max_tokens=1)
        assert ask(server, "POST", "/v1/chat/completions", body, headers).status == 200
    shows(page, "#today td", "curl|")
    assert count_of(page, "#today tr") == 2
    check_quiet(page, server)


@pytest.mark.parametrize("width", [400, 870, 1280])
def test_nothing_is_cut_off(browser: Browser, serve: Serve, width: int) -> None:
    server = serve(HELLO)
    page = open_page(browser, server)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    say(page, "Hello!" + "x" * 500)
    shows(page, ".note", "tokens/s")
    shows(page, "#today td", "browser")
    today = "document.querySelector('.today')"
    assert page.run(f"{today}.scrollWidth <= {today}.clientWidth") is True
    shows(page, "#requests td", "200")
    assert page.run("document.documentElement.scrollWidth") == width
    tools = "document.querySelector('.tools')"
    assert page.run(f"{tools}.scrollWidth <= {tools}.clientWidth") is True


def test_every_control_has_a_name(browser: Browser, serve: Serve) -> None:
    page = open_page(browser, serve(HELLO))
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "textbox", "combobox", "log", "meter", "table", "image")
    found = [n for n in nodes if not n["ignored"] and n["role"]["value"] in roles]
    assert len(found) >= 6
    assert [n["role"]["value"] for n in found if not n.get("name", {}).get("value")] == []


def test_no_other_page_frames_it(browser: Browser, serve: Serve) -> None:
    """One on another origin could have its visitor press buttons unseen."""
    server, other = serve(HELLO), serve(HELLO)
    assert "frame-ancestors 'none'" in ask(server, "GET", "/").headers["content-security-policy"]
    page = browser.open(f"{other.url}/v1/models", "Log")
    page.run(
        "(() => { const f = document.createElement('iframe'); document.body.append(f); "
        f"return new Promise(done => {{ f.onload = done; f.src = '{server.url}/' }}) }})()"
    )
    until(lambda: "frame-ancestors" in str(page.events("Log.entryAdded")))


def test_a_long_prompt_is_a_bar(browser: Browser, serve: Serve, encoding: Encoding) -> None:
    steps = Steps()
    backend = ScriptedBackend(always(encoding, HELLO), gate=steps, chunk_tokens=30, cached_tokens=7)
    backend.gate.clear()
    server = serve(backend)
    page = open_page(browser, server)
    with set_at_last(steps):
        shows(page, "#model", MODEL.name)
        say(page, "A long prompt. " * 200)
        shows(page, "#underway", "prefill")
        steps.go()
        shows(page, "#underway progress + .far", "37 of ")
        assert page.run("document.querySelector('#underway progress').value") == 37
        estimates = "[0.2, 2.4, 89, 151].map(parts.estimate).join(', ')"
        told = page.run(f"import('/mlxoss/parts.js').then(parts => {estimates})")
        assert told == "about 1 s, about 2 s, about 89 s, about 3 min"
        steps.set()
        shows(page, ".message.assistant .text", "Hello, w")
        until(lambda: page.run("document.getElementById('now').hidden") is True)
    check_quiet(page, server)
