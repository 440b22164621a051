"""A whole server whose tools are real: cells in the sandbox, a browser, an MCP server's process.

The web is a stand-in: an engine that always finds one page, and that page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from mlxoss.config import Config
from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from mlxoss.hosted.browser.engines import SearxngEngine
from mlxoss.hosted.browser.tool import Browser
from mlxoss.hosted.browser.web import Web
from mlxoss.hosted.mcp.servers import open_mcp
from mlxoss.hosted.python.limits import Limits
from mlxoss.hosted.python.tool import Containers, make_root
from mlxoss.hosted.tools import McpServers
from tests.support.fakes import ScriptedBackend
from tests.support.internet import Internet, give
from tests.support.mcp.running import PATIENT, good, write_servers
from tests.support.server.scripts import to_ids
from tests.support.waiting import HANG_S

ENGINE, ENGINE_ADDRESS = "search.example", "93.184.216.1"
SITE = "words.example"
PAGE = f"http://{SITE}/tree"
TEXT = "A tree is a plant with a trunk.\nIt grows for years."
_USER = "<|start|>user<|message|>"
_RESULT = " to=assistant<|channel|>"


@dataclass
class Plans:
    """A model with a plan for each word: it does what that of the last user's message says.

    A plan is its turns, one for each result since that message. ``prompts`` are what it was asked.
    """

    encoding: Encoding
    plans: Mapping[str, Sequence[str]]
    prompts: list[str] = field(default_factory=list)

    def __call__(self, request: GenerationRequest) -> Sequence[int]:
        self.prompts.append(self.encoding.decode(request.prompt_ids))
        message = self.prompts[-1].rpartition(_USER)[2]
        plan = next(plan for word, plan in self.plans.items() if word in message)
        return to_ids(self.encoding, plan[message.count(_RESULT)])

    def backend(self) -> ScriptedBackend:
        return ScriptedBackend(self)


@contextmanager
def find_trees(internet: Internet) -> Iterator[list[BaseHTTPRequestHandler]]:
    """A web whose engine finds ``PAGE`` whatever it is asked; what the page was asked by."""
    hit = {"url": PAGE, "title": "Trees", "content": "Of trees."}
    found = json.dumps({"results": [hit]}).encode()
    page = f"<title>Trees</title><p>{TEXT}</p>".encode()
    with (
        internet.site(ENGINE, give(found, "application/json"), address=ENGINE_ADDRESS),
        internet.site(SITE, give(page, "text/html")) as seen,
    ):
        yield seen


def open_cells(cache: Path, **limits: float) -> Containers:
    """Cells in the sandbox, without packages. Starting takes as long as a busy machine wants."""
    bounds = replace(Limits(start_s=HANG_S), **limits)  # type: ignore[arg-type]
    return Containers(make_root(cache), None, bounds)


def open_web(encoding: Encoding) -> Browser:
    """A browser that asks the engine of ``find_trees``."""
    return Browser(Web(SearxngEngine(f"http://{ENGINE}")), lambda: encoding)


def open_servers(home: Path) -> McpServers:
    """The SDK's own server as ``good``; ``home`` is what MLXOSS_HOME names."""
    write_servers(home, {"good": good()})
    servers = open_mcp(Config(tool_mcp="on"), PATIENT)
    assert servers is not None
    return servers
