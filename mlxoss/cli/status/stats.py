"""``mlxoss stats``: tokens by day and client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mlxoss.core import JsonMapping

_DAYS = Annotated[
    int, typer.Option(metavar="N", min=1, max=400, help="How many days, today's among them.")
]
_URL = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The server; else host and port of the configuration."),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON, each API by itself.")]

_COUNTS = ("requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
_HEADS = ("requests", "in", "cached", "out", "reasoning")
_LEAST_WIDTH = 11


def stats(days: _DAYS = 7, url: _URL = None, as_json: _JSON = False) -> None:
    """Show tokens in, out and cached by day and client.

    Cached tokens are of those in, reasoning tokens of those out. Where no server runs, what it
    kept is shown.
    """
    rows = _ask(days, url)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        typer.echo("\n".join(to_table(rows)))
    else:
        typer.echo(f"Nothing was asked {'today' if days == 1 else f'in {days} days'}.")


def to_table(rows: Iterable[JsonMapping]) -> Iterator[str]:
    """Lines: a head, each day's clients, and the sum of all."""
    sums: dict[tuple[str, str], list[int]] = {}
    total = [0] * len(_COUNTS)
    for row in rows:
        counts = [int(row[name]) for name in _COUNTS]
        key = str(row["day"]), str(row["client"])
        sums[key] = _add(sums.get(key, [0] * len(counts)), counts)
        total = _add(total, counts)
    width = max(len(client) for _, client in sums)
    yield _line("day", "client".ljust(width), _HEADS)
    shown = ""
    for (day, client), counts in sorted(sums.items()):
        yield _line("" if day == shown else day, client.ljust(width), map(_number, counts))
        shown = day
    if len(sums) > 1:
        yield _line("together", " " * width, map(_number, total))


def _ask(days: int, url: str | None) -> list[Any]:
    from mlxoss.cli.client.http import find_server
    from mlxoss.errors import MlxossError

    try:
        found = find_server(url).ask("GET", f"/mlxoss/usage?days={days}")
        return list(found["data"])
    except MlxossError:
        kept = None if url is not None else _read_kept(days)
        if kept is None:
            raise
        return kept


def _read_kept(days: int) -> list[Any] | None:
    """What the database of a server that is not there holds; ``None`` where there is none."""
    import time

    from mlxoss import paths
    from mlxoss.cli.this_machine import command_env
    from mlxoss.server.storage import DATABASE
    from mlxoss.store.usage import first_day, read_file

    database = paths.data_dir(command_env()) / DATABASE
    if not database.exists():
        return None
    rows = read_file(database, first_day(time.time(), days))
    return [row.to_json() for row in rows]


def _add(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _number(count: int) -> str:
    return f"{count:,}"


def _line(day: str, client: str, counts: Iterable[str]) -> str:
    return f"{day:10}  {client}" + "".join(f" {text:>{_LEAST_WIDTH}}" for text in counts)
