"""A real headless Chromium, told by its DevTools protocol to open pages and run scripts there."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.waiting import until

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)


def find_browser() -> str | None:
    """Chromium's path, if it is there."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """A running browser; ``open`` gives a page. ``events`` are those told between two commands."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def open(self, url: str, *domains: str) -> Page:
        """A new page that has loaded ``url``; events of ``domains`` are told from the start."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in domains:
            page.call(f"{domain}.enable")
        self.call("Page.navigate", session, url=url)
        until(lambda: page.run("document.readyState + location.href") == f"complete{url}")
        return page

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """One command of the protocol."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        self._connection.send(json.dumps(command))
        while True:
            answer = json.loads(self._connection.recv(timeout=120))
            if "id" not in answer:
                self.events.append(answer)
            elif answer["id"] == number:
                assert "error" not in answer, answer
                return answer["result"]


class Page:
    """A page of some origin."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **params: Any) -> Any:
        """One command of the protocol for this page."""
        return self._browser.call(method, self._session, **params)

    def events(self, method: str) -> list[dict[str, Any]]:
        """The parameters of the events of this kind so far."""
        self.run("0")
        own = [e for e in self._browser.events if e.get("sessionId") == self._session]
        return [event["params"] for event in own if event["method"] == method]

    def write(self, text: str) -> None:
        """Type ``text`` where the focus is."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int, *, shift: bool = False) -> None:
        """Press and release a key; ``code`` is its ``keyCode``."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def run(self, script: str) -> Any:
        """The value of ``script`` there, or of what it promises."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")


@contextmanager
def browsing(program: str, folder: Path, names: Sequence[str]) -> Iterator[Browser]:
    """Run the browser; ``names`` are rules for names (``MAP a.example:80 127.0.0.1:8000``)."""
    rules = f"--host-resolver-rules={', '.join(names)}"
    command = [program, *_QUIET, rules, f"--user-data-dir={folder}", "about:blank"]
    told = folder / "DevToolsActivePort"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: told.exists() and told.read_text().count("\n") > 0)
            port, path = told.read_text().split()
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as connection:
                browser = Browser(connection)
                yield browser
                browser.call("Browser.close")
        finally:
            process.terminate()
