"""``mlxoss load`` and ``mlxoss unload``: the running server's model, in memory or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

_URL = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The server; else host and port of the configuration."),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


_WARM = Annotated[
    bool,
    typer.Option("--warm", help="Compute what most conversations begin with, too, and wait."),
]


def load(url: _URL = None, warm: _WARM = False, as_json: _JSON = False) -> None:
    """Have the running server load its model now.

    Waits until it is there. It stays until --idle-unload minutes pass without a request, or
    until mlxoss unload.
    """
    _run("load?warm=true" if warm else "load", url, as_json, "The model is loaded")


def unload(url: _URL = None, as_json: _JSON = False) -> None:
    """Have the running server give its model's memory back.

    The next request loads it again. Requests that run are answered first; those that wait, or
    come meanwhile, have it loaded again. Interrupting it takes the wish back.
    """
    _run("unload", url, as_json, "The model is unloaded")


def _run(name: str, url: str | None, as_json: bool, sentence: str) -> None:
    from mlxoss.cli.client.http import find_server

    server = find_server(url)
    health = server.ask("GET", "/health")
    running = _number(health, "active_requests")
    if name == "unload" and running:
        what = "1 request" if running == 1 else f"{running} requests"
        typer.echo(f"Waiting for {what} to finish ...", err=True)
    done = server.ask("POST", f"/mlxoss/{name}", patient=True)
    said = [sentence, *_warmed(done), _memory(health, done)]
    typer.echo(json.dumps(done) if as_json else f"{'; '.join(said)}.")


def _warmed(done: Any) -> Iterator[str]:
    if isinstance(done, dict) and "warmed" in done:
        count = _number(done, "warmed")
        yield f"{count} {'beginning' if count == 1 else 'beginnings'} of prompts computed ahead"


def _number(report: Any, name: str) -> int:
    found = report.get(name, 0) if isinstance(report, dict) else 0
    return found if isinstance(found, int) else 0


def _memory(before: Any, after: Any) -> str:
    from mlxoss.cli.printing import to_bytes

    was, now = (_number(report.get("memory", {}), "process_bytes") for report in (before, after))
    return f"the server holds {to_bytes(now)} (before: {to_bytes(was)})"
