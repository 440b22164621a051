"""The page at ``/`` as a test drives it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.support.server.browser import Browser, Page
from tests.support.server.harness import Server
from tests.support.waiting import until

ENTER, ESCAPE = ("Enter", 13), ("Escape", 27)


def open_page(browser: Browser, server: Server) -> Page:
    page = browser.open(f"{server.url}/", "Runtime", "Log", "Network")
    page.call("Page.bringToFront")
    return page


def say(page: Page, text: str) -> None:
    page.run("document.getElementById('question').focus()")
    page.write(text)
    page.press(*ENTER)


def text_of(page: Page, selector: str) -> str:
    found: str = page.run(
        f"[...document.querySelectorAll({selector!r})].map(e => e.textContent).join('|')"
    )
    return found


def count_of(page: Page, selector: str) -> int:
    found: int = page.run(f"document.querySelectorAll({selector!r}).length")
    return found


def shows(page: Page, selector: str, text: str) -> None:
    until(lambda: text in text_of(page, selector))


def check_quiet(page: Page, server: Server) -> None:
    """Nothing was complained about, and nobody else was asked for anything."""
    assert page.events("Runtime.exceptionThrown") == []
    assert page.events("Runtime.consoleAPICalled") == []
    assert page.events("Log.entryAdded") == []
    urls = [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]
    assert {f"{server.url}/health", f"{server.url}/mlxoss/requests"} <= set(urls)
    assert [url for url in urls if not url.startswith((f"{server.url}/", "data:"))] == []


def script_answers(
    page: Page, answers: Sequence[bytes], health: object = None, *, is_open: bool = False
) -> None:
    """Let the page's next requests for a response be answered by ``answers``, in pieces that end
    anywhere; ``health`` is added to what the server tells.

    One that ``is_open`` does not end by itself. ``asked`` gives the bodies of these requests.
    """
    texts = json.dumps([answer.decode() for answer in answers])
    page.run(
        f"""(() => {{
        const ask = window.fetch, answers = {texts}, more = {json.dumps(health or {})};
        window.askedBodies = [];
        window.fetch = async (path, options) => {{
            if (path === '/health') {{
                const told = await (await ask(path, options)).json();
                return new Response(JSON.stringify({{ ...told, ...more }}));
            }}
            if (path !== '/v1/responses') return ask(path, options);
            window.askedBodies.push(options.body);
            const bytes = new TextEncoder().encode(answers.shift());
            return new Response(new ReadableStream({{
                start(stream) {{
                    for (let at = 0; at < bytes.length; at += 61) {{
                        stream.enqueue(bytes.slice(at, at + 61));
                    }}
                    const left = () => stream.error(options.signal.reason);
                    if ({json.dumps(is_open)}) options.signal.addEventListener('abort', left);
                    else stream.close();
                }},
            }}));
        }};
        }})()"""
    )


def asked(page: Page) -> list[object]:
    """The bodies of the requests that ``script_answers`` took."""
    return [json.loads(body) for body in page.run("window.askedBodies")]
