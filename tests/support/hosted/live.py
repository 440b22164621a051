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
from typing import Any

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
from tests.support.server.rounds import browse, called, python, think, weather
from tests.support.server.scripts import final, to_ids
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

    A plan is its turns, one for each result since that message.
    """

    encoding: Encoding
    plans: Mapping[str, Sequence[str]]
    asked: list[tuple[int, ...]] = field(default_factory=list)
    written: list[Sequence[int]] = field(default_factory=list)

    def __call__(self, request: GenerationRequest) -> Sequence[int]:
        self.asked.append(request.prompt_ids)
        said, _, after = self.prompts[-1].rpartition(_USER)[2].partition("<|end|>")
        plan = next(plan for word, plan in self.plans.items() if word in said)
        self.written.append(to_ids(self.encoding, plan[after.count(_RESULT)]))
        return self.written[-1]

    @property
    def prompts(self) -> list[str]:
        """What it was asked."""
        return [self.encoding.decode(prompt) for prompt in self.asked]

    @property
    def are_spliced(self) -> bool:
        """Whether each prompt begins with the one before and all that was written then."""
        before = [(*ids, *said) for ids, said in zip(self.asked, self.written, strict=True)]
        after = zip(before, self.asked[1:], strict=False)
        return all(prompt[: len(ids)] == ids for ids, prompt in after)

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


CODE: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
SEARCH: Any = {"type": "web_search"}
ADDER: Any = {"type": "mcp", "server_label": "good", "require_approval": "never"}
SUM = called("good__add", {"a": 1, "b": 2})
CITED = "A tree has a trunk ([words.example](http://words.example/tree))."
PLANS: Mapping[str, Sequence[str]] = {
    "Set": [python("x = 41\nx"), final("It is 41.")],
    "Raise": [python("x + 1"), final("It is 42.")],
    "Search": [
        browse("search", query="trees"),
        browse("open", id=0),
        browse("find", pattern="trunk"),
        final("A tree has a trunk 【1†L0-L2】."),
    ],
    "Add": [think("I add.") + SUM, final("It is 3.")],
    "All": [
        python("6 * 7"),
        browse("search", query="trees"),
        think("I add.") + SUM,
        weather(),
        python("6 * 7 + 1"),
        final("It is sunny."),
    ],
    "Hello": [final("Hello.")],
}
"""What ``Plans`` is asked by clients. ``All`` calls a function of the client's in the middle."""


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
