"""The daemon's parts, made from its configuration and run.

MLX takes a second to import, so that happens on the engine's thread, while the server
already answers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import typer

from mlxoss import paths
from mlxoss.cli import notice
from mlxoss.config import Config
from mlxoss.engine.engine import Engine
from mlxoss.engine.loader import ModelSource, resolve_model
from mlxoss.engine.model_files import ModelFiles
from mlxoss.errors import ConfigError, MlxossError
from mlxoss.keys import read_keys
from mlxoss.logs import log_failure, set_up_logging
from mlxoss.problems import Problem
from mlxoss.server.access.exposure import check_exposure
from mlxoss.server.http.file_limits import fit_connections, raise_file_limit, watch_descriptors
from mlxoss.server.lifecycle import run_server
from mlxoss.server.storage import open_storage
from mlxoss.turns.context import ServedModel

if TYPE_CHECKING:
    from mlxoss.engine.backend import Backend
    from mlxoss.engine.disk_tier import DiskTier
    from mlxoss.engine.model import LanguageModel
    from mlxoss.engine.ranks.group import Ranks
    from mlxoss.engine.ranks.values import Plan
    from mlxoss.harmony.guards import Guards

logger = logging.getLogger(__name__)


def run_in_front(config: Config) -> int:
    """As ``run``; what keeps it from serving is logged too if the log goes to a file."""
    try:
        return run(config)
    except MlxossError as error:
        if config.log_file and logging.root.handlers:
            logger.error("%s", error)
        raise


def run(config: Config) -> int:
    """Serve until told to stop; return the process's exit code.

    Raises ``MlxossError`` where that cannot begin; to say why is left to the caller.
    """
    set_up_logging(config.log_level, config.log_file, http_access=config.http_access_log)
    has_keys = bool(read_keys(paths.data_dir()))
    check_exposure(config, has_keys=has_keys)
    raise_file_limit(config.max_connections)
    checks = [log_problem, watch_descriptors(config.max_connections)]
    config = replace(config, max_connections=fit_connections(config.max_connections))
    plan = _read_plan(config)
    source = resolve_model(config.model)
    files = ModelFiles(source.folder)
    if config.model is None:
        typer.echo(notice.demo(source.info.name), err=True)
    guards = _Guards()
    ranks = None if plan is None else _make_ranks(plan, source)
    engine = Engine(
        lambda: _load_backend(source, files, config, ranks),
        max_batch=config.max_batch,
        max_queue=config.max_queue,
        idle_unload_s=60.0 * config.idle_unload or None,
    )
    with contextlib.ExitStack() as ending:
        if ranks is not None:
            engine.lead(ranks)
            ending.callback(ranks.stop)
        return run_server(
            config,
            ServedModel(engine, source.info, guards if config.guard == "on" else None),
            lambda config: open_storage(paths.data_dir(), config, (*checks, files.problem)),
            on_listening=lambda host, port: typer.echo(
                notice.address(
                    notice.url(replace(config, host=host, port=port)),
                    source.info.name,
                    needs_key=has_keys,
                    certificate=config.tls_cert,
                ),
                err=True,
            ),
        )


def _read_plan(config: Config) -> Plan | None:
    """The ranks that are asked for; whoever serves alone starts without what they import."""
    if config.hostfile is None and config.backend is None:
        return None
    from mlxoss.cli.sharing import read_plan

    return read_plan(config)


def _make_ranks(plan: Plan, source: ModelSource) -> Ranks:
    from mlxoss.engine.ranks.group import Ranks
    from mlxoss.engine.ranks.shard import check_cut

    if source.folder is not None:
        check_cut(source.folder, len(plan.hosts))
    return Ranks(plan)


def leave(code: int) -> NoReturn:
    """End the process with the exit ``code`` without taking the interpreter down.

    A thread that used MLX frees its caches after Python considers it ended, and asks for
    the interpreter's lock to do so; were the interpreter on its way out by then, the
    process would abort.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Guards:
    """The server's guards, made by whichever thread needs them first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guards: Guards | None = None

    def __call__(self) -> Guards:
        from mlxoss.harmony.guards import Guards

        with self._lock:
            if self._guards is None:
                self._guards = Guards()
            return self._guards


def log_problem() -> Problem | None:
    """Whether the log is lost."""
    failure = log_failure()
    if failure is None:
        return None
    message = f"The log {failure.file} cannot be written ({failure.why}): lines are lost."
    remedy = "Make room, or the folder writable; nothing needs to be restarted."
    return Problem("log_lost", message, remedy, failure.since)


def _load_backend(
    source: ModelSource, files: ModelFiles, config: Config, ranks: Ranks | None
) -> Backend:
    from mlxoss.engine.batch import MlxBackend
    from mlxoss.engine.memory import Budget, budget_bytes, limit_reuse, make_room
    from mlxoss.engine.prefixes import PrefixCache

    budget = Budget(config.memory_limit or budget_bytes(), config.prefix_cache_bytes)
    if ranks is not None:
        from mlxoss.engine.ranks.leading import load_leading

        files.note()
        return load_leading(ranks, source, budget, config.max_batch)
    limit_reuse()
    budget.check_weights(source.weights_bytes)
    files.note()
    model = source.load(fp16=config.fp16)
    limit_bytes = budget.spare_bytes()
    disk = _open_disk(source, model, config.snapshots_limit_bytes) if limit_bytes else None
    return MlxBackend(
        model,
        max_batch=config.max_batch,
        prefixes=PrefixCache(limit_bytes, disk=disk),
        room=make_room(model, budget.total_bytes - limit_bytes, config.max_batch),
    )


def _open_disk(source: ModelSource, model: LanguageModel, limit_bytes: int) -> DiskTier | None:
    """The prefix cache's disk tier; without a limit what an earlier one left is removed."""
    from mlxoss.engine.checkpoint import read_revision
    from mlxoss.engine.disk_files import wipe
    from mlxoss.engine.disk_tier import DiskTier
    from mlxoss.engine.host_arrays import read_form

    try:
        folder = paths.snapshots_dir()
        form = read_form(model) if limit_bytes else None
        if form is None:
            wipe(folder)
            return None
        paths.make_private_folder(folder)
        return DiskTier(folder, limit_bytes, read_revision(source.find_folder()), form)
    except (OSError, ConfigError) as error:
        logger.warning("no snapshots are kept on the disk: %s", error)
        return None
