"""``mlxoss privacy``: what is kept on this machine, where and for how long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlxoss.config import Config

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_UNTIL_REMOVED = "until removed"
_LAST = (
    "Nothing is sent anywhere. Only `mlxoss models pull` connects to another machine, "
    "for the model."
)
_FETCHES = "With allow_fetch the server also asks the addresses of files that requests name."
_BROWSES = (
    "With tool_browser what the model looks for goes to the search engine, and the pages that it "
    "opens are asked for."
)
_CALLS = (
    "With tool_mcp or mcp_addresses MCP servers are told what the model calls their tools with."
)


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that is kept: ``words`` says whether it holds prompts or answers."""

    what: str
    where: str
    words: bool
    how_long: str
    bytes: int
    remove: str


def privacy(as_json: _JSON = False) -> None:
    """Show what is kept where, how long, and how to remove it."""
    from mlxoss.cli.options import read_config
    from mlxoss.cli.this_machine import command_env

    env = command_env()
    config = read_config({}, env=env)
    found = list(_kept(config, env))
    if as_json:
        typer.echo(json.dumps([asdict(kept) for kept in found], indent=2))
        return
    for kept in found:
        typer.echo(_to_text(kept))
    typer.echo(" ".join(_told_of_sending(config)))


def _told_of_sending(config: Config) -> Iterator[str]:
    yield _LAST
    if config.allow_fetch:
        yield _FETCHES
    if config.tool_browser != "off":
        yield _BROWSES
    if "on" in (config.tool_mcp, config.mcp_addresses):
        yield _CALLS


def _kept(config: Config, env: Mapping[str, str]) -> Iterator[Kept]:
    from mlxoss import paths

    yield from _said_to_the_server(config, env)
    yield from _typed(env)
    yield from _logged(config, env)
    yield from _run(config, env)
    yield from _of_the_daemon(env)
    yield from _measured(paths.data_dir(env))
    yield _make("which models were pulled", [paths.pins_file(env)], _UNTIL_REMOVED, "rm")


def _said_to_the_server(config: Config, env: Mapping[str, str]) -> Iterator[Kept]:
    from mlxoss import paths
    from mlxoss.server.storage import DATABASE
    from mlxoss.store.aside import SUFFIXES, find_aside

    database = paths.data_dir(env) / DATABASE
    yield _make(
        "responses, conversations, the turns that called functions, and tokens by day and client",
        [database.with_name(database.name + suffix) for suffix in SUFFIXES],
        _store_time(config),
        "mlxoss store clear",
        words=True,
    )
    if aside := find_aside(database):
        what = "damaged databases of responses, moved aside"
        yield _make(what, aside, _UNTIL_REMOVED, "mlxoss store clear", words=True)
    snapshots = paths.snapshots_dir(env)
    yield _make(
        "the prefix cache: prompts and what was computed for them",
        [snapshots, *snapshots.glob("*")],
        _snapshots_time(config),
        "mlxoss store clear",
        words=True,
    )
    yield _make(
        "system prompts and tools that several conversations began with",
        [paths.prefix_table(env)],
        _table_time(config),
        "mlxoss store clear",
        words=True,
    )


def _typed(env: Mapping[str, str]) -> Iterator[Kept]:
    from mlxoss import paths
    from mlxoss.cli.chat.session import HISTORY_FILE, HISTORY_LINES

    lines = paths.data_dir(env) / HISTORY_FILE
    how_long = f"the last {HISTORY_LINES} lines"
    yield _make("what was typed in mlxoss chat", [lines], how_long, f"rm {lines}", words=True)


def _logged(config: Config, env: Mapping[str, str]) -> Iterator[Kept]:
    from mlxoss import paths
    from mlxoss.daemon.supervised import SERVICE_LOG, default_log

    logs = paths.log_dir(env)
    log = config.log_file or default_log(logs)
    rotated = [log, *(log.with_name(f"{log.name}.{number}") for number in range(1, 5))]
    yield _make(
        "logs: times and sizes of requests",
        [*rotated, logs / SERVICE_LOG],
        "5 files of 10 MB in turn",
        f"rm {logs}/*",
        words=config.debug_raw_preview_chars > 0,
    )


def _run(config: Config, env: Mapping[str, str]) -> Iterator[Kept]:
    """What is left of cells, where the model may run Python."""
    if config.tool_python != "on":
        return
    from mlxoss import paths
    from mlxoss.hosted.python.folder import measure
    from mlxoss.hosted.python.limits import Limits
    from mlxoss.hosted.python.tool import CONTAINERS

    limits, folder = Limits(), paths.cache_dir(env) / CONTAINERS
    held = measure(folder, limits.held * (limits.file_count + 1)).bytes
    how_long = f"{limits.idle_s / 60:.0f} minutes after the last cell; until the daemon ends"
    what = "files that the model's Python made"
    yield Kept(what, str(folder), True, how_long, held, "mlxoss restart")


def _of_the_daemon(env: Mapping[str, str]) -> Iterator[Kept]:
    from mlxoss import paths
    from mlxoss.api_key_file import KEYS_FILE, TOKEN_FILE, USES_FILE
    from mlxoss.cli.options import config_file
    from mlxoss.last_exit import FILE_NAME
    from mlxoss.paths import mcp_file
    from mlxoss.server.storage import KEY_FILE

    data = paths.data_dir(env)
    yield _make("the key of sealed contents", [data / KEY_FILE], _UNTIL_REMOVED, "rm")
    yield _make(
        "names and hashes of API keys, and when they were used",
        [data / KEYS_FILE, data / USES_FILE],
        "until revoked",
        "mlxoss key revoke NAME",
    )
    yield _make("this machine's own token", [data / TOKEN_FILE], "until the next start", "rm")
    yield _make("why the daemon last ended", [data / FILE_NAME], "until it starts again", "rm")
    yield from _found_of_hosts(data)
    yield from _keys_of_engines(data)
    yield from _settings_of_clients(data)
    if (servers := mcp_file(env)).exists():
        yield _make("MCP servers and their secrets", [servers], _UNTIL_REMOVED, "rm")
    yield _make("settings", [config_file(env=env).path], _UNTIL_REMOVED, "mlxoss config edit")


def _measured(data: Path) -> Iterator[Kept]:
    from mlxoss.cli.bench.saved import BENCH_FILE
    from mlxoss.tuned import TUNED_FILE

    runs, tuned = data / BENCH_FILE, data / TUNED_FILE
    yield _make("speeds of bench runs that were saved", [runs], _UNTIL_REMOVED, f"rm {runs}")
    yield _make("what mlxoss tune measured", [tuned], _UNTIL_REMOVED, "mlxoss tune --reset")


def _settings_of_clients(data: Path) -> Iterator[Kept]:
    from mlxoss.cli.connect.records import RECORDS_FILE

    if (file := data / RECORDS_FILE).exists():
        what = "clients' settings before and after mlxoss connect, with the keys in them"
        yield _make(what, [file], "until they are removed", "mlxoss connect NAME --remove")


def _keys_of_engines(data: Path) -> Iterator[Kept]:
    from mlxoss.hosted.browser.keys import SEARCH_KEYS_FILE

    if (file := data / SEARCH_KEYS_FILE).exists():
        remove = "mlxoss tools disable browser"
        yield _make("the keys of search engines", [file], "until they are removed", remove)


def _found_of_hosts(data: Path) -> Iterator[Kept]:
    from mlxoss.cluster.reach import REACH_FILE

    if (file := data / REACH_FILE).exists():
        what = "whether the daemon got to the hosts that share its model"
        yield _make(what, [file], "until it starts again", "rm")


def _store_time(config: Config) -> str:
    from mlxoss.cli.printing import to_bytes
    from mlxoss.store.usage import KEPT_DAYS
    from mlxoss.store.values import Bounds

    if config.responses_store == "off":
        return "not kept any more (responses_store is off); what was before stays"
    days = Bounds().max_age_s / 86400
    return (
        f"{days:.0f} days after their last use; at most {config.responses_store_max_items} of "
        f"each, {to_bytes(config.responses_store_max_bytes)} together; tokens (no words) "
        f"{KEPT_DAYS} days"
    )


def _snapshots_time(config: Config) -> str:
    from mlxoss.cli.printing import to_bytes
    from mlxoss.engine.prefix_cache.disk_files import MAX_AGE_S

    if not config.snapshots_limit_bytes:
        return (
            "not kept (prefix_cache_disk is 0, or responses_store off); the next start removes it"
        )
    return (
        f"{MAX_AGE_S / 86400:.0f} days after their last use, whatever a request's store says; at "
        f"most {to_bytes(config.snapshots_limit_bytes)}"
    )


def _table_time(config: Config) -> str:
    from mlxoss.turns.ahead.table import MOST_COUNTED

    if not config.warms_prefixes:
        return (
            "not kept (warm_prefixes is off, or nothing else of prompts); the next start removes it"
        )
    return f"the {MOST_COUNTED} most used, whatever a request's store says"


def _make(what: str, files: list[Path], how_long: str, remove: str, *, words: bool = False) -> Kept:
    size = sum(file.stat().st_size for file in files if file.is_file())
    return Kept(what, str(files[0]), words, how_long, size, remove)


def _to_text(kept: Kept) -> str:
    from mlxoss.cli.printing import tilde

    holds = " (holds what was said)" if kept.words else ""
    remove = f"rm {tilde(kept.where)}" if kept.remove == "rm" else kept.remove
    return (
        f"{kept.what}{holds}\n  where     {tilde(kept.where)} ({kept.bytes} bytes)\n"
        f"  how long  {kept.how_long}\n  remove    {remove}\n"
    )
