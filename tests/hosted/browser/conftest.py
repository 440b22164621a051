"""A browser on a stand-in for the internet, with a search engine that finds what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from mlxoss.hosted.browser.engines import SearxngEngine
from mlxoss.hosted.browser.session import BrowsingSession
from mlxoss.hosted.browser.tool import Browser, BrowserBounds
from mlxoss.hosted.browser.web import Web, WebBounds
from mlxoss.outcomes import BrowserOutcome
from tests.support.internet import Internet, give

ENGINE = "search.example"
ENGINE_ADDRESS = "93.184.216.1"


@dataclass
class Surfing:
    """Calls of one session after the other, on an event loop of their own."""

    internet: Internet
    encoding: Encoding
    runner: asyncio.Runner
    hits: list[dict[str, Any]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    browser: Browser | None = None

    def start(
        self, bounds: BrowserBounds | None = None, web_bounds: WebBounds | None = None
    ) -> Browser:
        """The browser, made now."""

        async def make() -> Browser:
            web = Web(SearxngEngine(f"http://{ENGINE}"), web_bounds)
            return Browser(web, lambda: self.encoding, bounds)

        self.browser = self.runner.run(make())
        return self.browser

    def session(
        self,
        name: str = "a",
        *,
        said: Sequence[str] = (),
        domains: Sequence[str] = (),
        next_cursor: int = 0,
    ) -> BrowsingSession:
        """A session of that browser."""
        browser = self.browser or self.start()
        return browser.session(name, next_cursor=next_cursor, said=said, allowed_domains=domains)

    def call(self, session: BrowsingSession, function: str, **arguments: Any) -> BrowserOutcome:
        """One call, to its end."""
        return self.runner.run(session.call(function, json.dumps(arguments)))

    def find_out(self, request: BaseHTTPRequestHandler) -> None:
        """The search engine."""
        self.queries.append(request.path)
        give(json.dumps({"results": self.hits}).encode(), "application/json")(request)

    def is_found(self, url: str, title: str = "A page", content: str = "What it says.") -> None:
        """Have the engine find that from now on."""
        self.hits.append({"url": url, "title": title, "content": content})


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    internet = Internet()
    internet.install(monkeypatch)
    return internet


@pytest.fixture
def surfing(internet: Internet, encoding: Encoding) -> Iterator[Surfing]:
    with asyncio.Runner() as runner:
        surfing = Surfing(internet, encoding, runner)
        with internet.site(ENGINE, surfing.find_out, address=ENGINE_ADDRESS):
            yield surfing
            if surfing.browser is not None:
                runner.run(surfing.browser.close())
