"""What the page shows of tools that the server runs, in a real browser.

Everything of a tool or a model is text, whatever it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.server.browser import Browser, browsing, find_browser
from tests.support.server.harness import DATE
from tests.support.server.page import (
    asked,
    check_quiet,
    count_of,
    open_page,
    say,
    script_answers,
    shows,
    text_of,
)
from tests.support.server.response_events import (
    PLOT,
    added,
    answered,
    citation,
    failed,
    item_done,
    python_call,
    reasoned,
    run_python,
    run_web,
    web_call,
)
from tests.support.server.rounds import browse, python
from tests.support.server.scripts import HELLO, final, in_turn
from tests.support.server.tools import Scripted
from tests.support.waiting import until

PROGRAM = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed"),
]

PAGE, HOSTILE = "https://example.org/a?b=1", "javascript:alert(document.domain)"
MARKUP = "<img src=x onerror=alert(1)>"
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with browsing(PROGRAM, tmp_path_factory.mktemp("browser"), []) as browser:
        yield browser


def source(url: str) -> dict[str, Any]:
    return {"type": "url", "url": url}


def reasoning(at: int, text: str) -> bytes:
    return added(at, REASONING) + reasoned(text, at) + item_done(REASONING, at)


def test_what_was_searched_opened_and_run_is_folded(browser: Browser, serve: Serve) -> None:
    server = serve(HELLO)
    page = open_page(browser, server)
    shows(page, "#model", "tiny/gpt-oss")
    search = web_call(type="search", query="tides", sources=[source(PAGE)])
    text = "Noon 🎉 ([a](b)), then `x`.\n\nAgain ([a](c)) ([b](c))."
    cited = (
        citation(text, "([a](b))", "Tides of Oslo", PAGE),
        citation(text, "([a](c))", "Tides of Oslo", PAGE),
        citation(text, "([b](c))", "", "http://b.example/"),
    )
    answer = (
        reasoning(0, "I look.")
        + run_web(1, search)
        + run_web(2, web_call(type="open_page", url=PAGE))
        + run_web(3, web_call(type="find_in_page", pattern="spring", url=PAGE))
        + run_python(4, python_call("x = 6\nx * 7", "42", PLOT))
        + answered(5, text, *cited)
    )
    script_answers(page, [answer])
    say(page, "When?")
    shows(page, ".assistant .sources", "Tides of Oslo")
    assert text_of(page, ".assistant summary") == (
        "Reasoning|Searched tides|Opened example.org|Looked for spring|Ran Python x = 6"
    )
    assert page.run("[...document.querySelectorAll('details')].some(each => each.open)") is False
    assert text_of(page, ".call pre") == "x = 6\nx * 7|42"
    assert text_of(page, ".call ol li") == PAGE
    assert text_of(page, ".text") == "Noon 🎉1, then x.Again12."
    assert text_of(page, ".text sup a") == "1|1|2"
    assert text_of(page, ".sources li") == "Tides of Oslo example.org|http://b.example/ b.example"
    drawn = "document.querySelector('.plot')"
    until(lambda: page.run(f"{drawn}.complete && {drawn}.naturalWidth") == 1)
    links = "[...document.querySelectorAll('.message a')]"
    assert page.run(f"{links}.every(a => a.rel === 'noopener noreferrer')") is True
    assert page.run(f"{links}.every(a => a.target === '_blank')") is True
    check_quiet(page, server)


def test_a_server_s_own_tools(browser: Browser, serve: Serve, encoding: Encoding) -> None:
    turns = [
        python("print(41 + 1)"),
        browse("search", query=f"tides {MARKUP}"),
        browse("open", id="https://example.org/1"),
        final("Noon【1†L1】."),
        python("2", before="Once more."),
        final("Two."),
    ]
    scripted = Scripted()
    backend = ScriptedBackend(in_turn(encoding, turns))
    server = serve(backend, tools=scripted.tools, config=Config(date=DATE, tool_browser="exa"))
    page = open_page(browser, server)
    shows(page, "#called", "pythonnonebrowsernonemcpnone")
    say(page, "When?")
    shows(page, ".assistant .note", "tokens/s")
    assert text_of(page, ".assistant summary") == (
        "Reasoning|Ran Python print(41 + 1)|Reasoning|"
        f"Searched tides {MARKUP}|Reasoning|Opened example.org"
    )
    assert text_of(page, ".text") == "Noon1."
    assert text_of(page, ".sources a") == "Page 1"
    shows(page, "#called", "browser.open1 · ")
    say(page, "Again?")
    shows(page, ".assistant:last-child .text", "Two.")
    assert len(scripted.python.cells) == 1  # the same container
    check_quiet(page, server)


def test_what_tools_say_is_text(browser: Browser, serve: Serve) -> None:
    server = serve(HELLO)
    page = open_page(browser, server)
    text = f"See {MARKUP} [a] \ue0001\ue001 [b]."
    calls = [
        run_web(0, web_call(type="search", query=MARKUP, sources=[source(HOSTILE), source("x")])),
        run_web(1, web_call(type="open_page", url=HOSTILE)),
        run_web(2, web_call(type="open_page", url=f"https://{MARKUP}")),
        run_web(3, web_call(type="find_in_page", pattern=MARKUP, url="data:text/html,x")),
        run_python(4, python_call(MARKUP, MARKUP, "https://evil.example/x.png", HOSTILE)),
        run_python(5, python_call("1", "", f'data:image/png;base64,"{MARKUP}', "data:text/html,x")),
        run_python(6, python_call("1", "", "data:image/svg+xml;base64,PHN2Zy8+", status="failed")),
    ]
    cited = citation(text, "[a]", MARKUP, HOSTILE), citation(text, "[b]", MARKUP, "file:///etc")
    odd = {**cited[1], "start_index": 10**9, "end_index": -4}
    script_answers(page, [b"".join(calls) + answered(7, text, *cited, odd)])
    say(page, "Attack")
    shows(page, ".sources", MARKUP)
    assert count_of(page, ".message img, .message script, .message a, .message iframe") == 0
    assert text_of(page, ".call.failed summary") == "Ran Python (failed) 1"
    assert f"See {MARKUP}1 " in text_of(page, ".text")
    assert MARKUP in text_of(page, ".call pre")
    assert count_of(page, ".call") == 7
    check_quiet(page, server)


def test_a_call_that_is_stopped_is_not_finished(browser: Browser, serve: Serve) -> None:
    server = serve(HELLO)
    page = open_page(browser, server)
    call = python_call("12345 * 6789", "")
    begun = run_python(0, call).partition(b"event: response.code_interpreter_call.completed")[0]
    script_answers(page, [begun], is_open=True)
    say(page, "Compute")
    shows(page, ".call summary", "Running Python… 12345 * 6789")
    page.run("document.getElementById('stop').click()")
    shows(page, ".call summary", "Ran Python (not finished) 12345 * 6789")
    assert text_of(page, ".assistant .note") == "Stopped."
    check_quiet(page, server)


def test_a_talk_goes_on_with_what_its_tools_did(browser: Browser, serve: Serve) -> None:
    server = serve(HELLO)
    page = open_page(browser, server)
    until(lambda: page.run("document.getElementById('tooling').hidden") is True)
    calls = {
        "python": {"calls": 1200, "seconds": 3.5, "failures": 2},
        "browser.open": {"calls": 1, "seconds": 61, "failures": 0},
    }
    tools = {"python": True, "browser": "searxng", "mcp": ["oslo"], "calls": calls}
    first = reasoning(0, "Hm.") + run_python(1, python_call("1", "1", PLOT)) + answered(2, "One.")
    broken = run_python(0, python_call("2", "2")) + failed("it broke")
    script_answers(page, [first, broken, answered(0, "Three.")], {"tools": tools})
    shows(page, "#called", "python1,200 · 3.50 s · 2 failedbrowser.open1 · 61 smcpnone")
    assert page.run("document.getElementById('tooling').hidden") is False
    assert page.run("document.getElementById('leaves').hidden") is False
    for words, shown in (("A", "One."), ("B", "it broke"), ("C", "Three.")):
        if words == "C":
            page.run("document.getElementById('use-tools').click()")
        say(page, words)
        shows(page, ".message.assistant:last-child", shown)
        until(lambda: page.run("document.getElementById('send').hidden") is False)
    one, two, three = asked(page)
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert isinstance(three, dict)
    assert [tool["type"] for tool in one["tools"]] == ["code_interpreter", "web_search"]
    assert three["tools"] == []
    assert one["store"] is False
    assert "reasoning.encrypted_content" in one["include"]
    assert [each["content"] for each in one["input"]] == ["A"]
    assert [each.get("type", each.get("role")) for each in two["input"]] == [
        "user",
        "message",
        "user",
    ]
    assert [each["content"] for each in three["input"] if "type" not in each] == ["A", "C"]
