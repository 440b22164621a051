"""``mlxoss bench`` step by step: find the server, ask, compare."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mlxoss.api_key_file import read_local_token
from mlxoss.cli.bench import cases
from mlxoss.cli.bench.cases import STREAMS, Target
from mlxoss.cli.bench.ceiling import Ceiling, find_ceiling
from mlxoss.cli.bench.in_process import configured_model, find_model, load
from mlxoss.cli.bench.table import BenchReport, BenchRow, to_decode_row, to_row
from mlxoss.cli.client.http import Server, find_server
from mlxoss.cli.progress import Done, progress
from mlxoss.cli.this_machine import Machine, this_machine
from mlxoss.config import API_KEY_VARIABLE
from mlxoss.engine.checkpoint.loader import ModelSource
from mlxoss.errors import ConfigError, MlxossError
from mlxoss.service.ready import ServiceNotReady

ROUNDS = 3
_OTHER_KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The options. ``url`` is ``None`` for this machine's own server, ``model`` for its first."""

    url: str | None
    model: str | None
    tokens: int
    restart: bool
    in_process: bool | None


def measure(options: BenchOptions) -> tuple[BenchReport, ModelSource | None]:
    """Ask for everything; the report, and the model that was asked, if it is the configuration's.

    Raises ``MlxossError`` with a sentence that says what to do.
    """
    server = _find(options)
    model, is_mlxoss = _find_model(server, options.model)
    target = Target(server, model, is_mlxoss, options.tokens)
    report = BenchReport(server.url, model, ROUNDS)
    here = configured_model() if _wants_limit(options) or options.url is None else None
    loaded_here = None
    if here is not None and _wants_limit(options):
        loaded_here = find_model(here, model, asked_for=options.in_process is True)
    if isinstance(loaded_here, str):
        report.notes.append(loaded_here)
        loaded_here = None
    kinds = _kinds(target)
    steps = ROUNDS * len(kinds) + options.restart + (len(STREAMS) + 3 if loaded_here else 0)
    with progress(steps) as done:
        _measure_server(target, report, kinds, done)
        if options.restart:
            report.rows.append(_after_restart(target, report, done))
        rates = _beside_the_model(loaded_here, report, options, done) if loaded_here else None
    if here is None or here.info.name != model:
        return report, None
    _under_the_ceiling(find_ceiling(here, rates), report, options)
    return report, here


def _beside_the_model(
    source: ModelSource, report: BenchReport, options: BenchOptions, done: Done
) -> tuple[float, float]:
    """Hold the first rows against the model in-process; what the device does, measured."""
    done("loading the model in-process")
    loaded = load(source, ROUNDS, options.tokens)
    for number, streams in enumerate((*STREAMS, 1)):
        done("in-process")
        report.rows[number] = loaded.beside(report.rows[number], streams)
    done("the device")
    return loaded.device_rates()


def _under_the_ceiling(ceiling: Ceiling, report: BenchReport, options: BenchOptions) -> None:
    """Hold the first rows against the chip."""
    for number, streams in enumerate((*STREAMS, 1)):
        report.rows[number] = ceiling.beside(report.rows[number], streams, options.tokens)
    report.device += ceiling.to_lines()
    report.ceiling = ceiling.to_json()


def _wants_limit(options: BenchOptions) -> bool:
    """By default only for this machine's own server."""
    return options.url is None if options.in_process is None else options.in_process


def _kinds(target: Target) -> list[tuple[str, Callable[[], Any]]]:
    """The cases in the table's order: those of several streams, then those of one."""
    return [
        *((_streams(count), lambda count=count: cases.decode(target, count)) for count in STREAMS),
        ("cold prompt", lambda: cases.cold(target)),
        ("second turn", lambda: cases.second_turn(target)),
        ("edited last message", lambda: cases.branch(target)),
        ("tool loop", lambda: cases.tool_loop(target)),
    ]


def _streams(count: int) -> str:
    return f"{count} stream" if count == 1 else f"{count} streams"


def _measure_server(
    target: Target, report: BenchReport, kinds: list[tuple[str, Callable[[], Any]]], done: Done
) -> None:
    """Round by round, so that the moods of a busy machine meet all cases."""
    cases.decode(target, 1)  # whatever the first request has to wait for
    found: dict[str, list[Any]] = {name: [] for name, _ in kinds}
    for _ in range(report.rounds):
        for name, ask in kinds:
            done(name)
            found[name].append(ask())
    for name, _ in kinds:
        is_decode = isinstance(found[name][0], list)
        report.rows.append((to_decode_row if is_decode else to_row)(name, found[name]))


def _after_restart(target: Target, report: BenchReport, done: Done) -> BenchRow:
    """The second turn of a conversation that began before the service was restarted."""
    done("restart")

    def restart() -> Target:
        machine = this_machine()
        began = time.perf_counter()
        machine.manager.restart()
        ready = machine.wait_ready(machine.config())
        if isinstance(ready, ServiceNotReady):
            raise MlxossError(f"The service does not run: {ready.why}; try: mlxoss logs")
        server = replace(target.server, key=_key(machine))
        server.ask("POST", "/mlxoss/load")
        took_s = time.perf_counter() - began
        report.notes.append(f"The restart took {took_s:.1f} s until the model was loaded.")
        return replace(target, server=server)

    return to_row("second turn, restarted", [cases.second_turn(target, restart)])


def _find(options: BenchOptions) -> Server:
    if options.restart:
        if options.url is not None:
            raise ConfigError("--restart is for the installed service: leave --url out.")
        machine = this_machine()
        if not machine.manager.is_installed():
            raise MlxossError("There is no service to restart; try: mlxoss install")
        config = machine.config()
        return Server(config.url, _key(machine), config.tls_cert)
    server = find_server(options.url)
    if options.url is not None and server.key is None:
        return Server(options.url, os.environ.get(_OTHER_KEY) or None, key_variable=_OTHER_KEY)
    return server


def _key(machine: Machine) -> str | None:
    """A daemon's token is new at each start."""
    return os.environ.get(API_KEY_VARIABLE) or read_local_token(machine.state)


def _find_model(server: Server, wanted: str | None) -> tuple[str, bool]:
    """The model to name, and whether the server is mlxoss, by the list that it gives."""
    try:
        listed = server.ask("GET", "/v1/models")["data"]
        known = {str(entry["id"]): entry.get("owned_by") == "mlxoss" for entry in listed}
    except (MlxossError, LookupError, TypeError, AttributeError):
        if wanted is None:
            raise
        known = {}
    if wanted is None and not known:
        raise MlxossError(f"The server at {server.url} lists no model; name one with --model.")
    name = wanted or next(iter(known))
    return name, known.get(name, any(known.values()))
