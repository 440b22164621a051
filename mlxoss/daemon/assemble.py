"""The daemon's parts, made from its configuration and run.

MLX takes a second to import, so that happens on the engine's thread, while the server
already answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import typer

from mlxoss import paths
from mlxoss.api_key_file import read_keys
from mlxoss.config import Config
from mlxoss.daemon import notice
from mlxoss.daemon.hosted import open_hosted
from mlxoss.daemon.power import PowerWatch
from mlxoss.daemon.tuning import apply_tuned
from mlxoss.daemon.upgrade import Upgrade, find_command
from mlxoss.engine.capacity import device_bytes, expect_room
from mlxoss.engine.checkpoint.loader import ModelSource, resolve_model
from mlxoss.engine.checkpoint.watch import ModelFiles
from mlxoss.engine.command_buffers import announce_here
from mlxoss.engine.engine import Engine
from mlxoss.engine.idling import Idling
from mlxoss.engine.wiring import choose_wiring_here, renew_wired
from mlxoss.errors import ConfigError, MlxossError, ModelUnavailable
from mlxoss.findings import DaemonProblem
from mlxoss.logs import log_failure, set_up_logging
from mlxoss.server.access.exposure import check_exposure
from mlxoss.server.http.file_limits import fit_connections, raise_file_limit, watch_descriptors
from mlxoss.server.lifecycle import run_server
from mlxoss.server.storage import open_storage
from mlxoss.service.spec import is_supervised
from mlxoss.turns.ahead.table import PrefixTable
from mlxoss.turns.ahead.warming import Ahead
from mlxoss.turns.context import ServedModel

if TYPE_CHECKING:
    from mlxoss.cluster.reach import HostReach
    from mlxoss.engine.backend import Backend
    from mlxoss.engine.mlx.model import LanguageModel
    from mlxoss.engine.prefix_cache.disk import DiskTier
    from mlxoss.engine.ranks.group import RankGroup
    from mlxoss.engine.ranks.values import Plan
    from mlxoss.harmony.encoding import Encoding
    from mlxoss.harmony.grammar.compiler import GrammarCompiler

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
    plan = _read_plan(config)
    upgrade = _watch_for_upgrades(plan)
    checks = [log_problem, watch_descriptors(config.max_connections), upgrade.problem]
    config = replace(config, max_connections=fit_connections(config.max_connections))
    source = resolve_model(config.model)
    files = ModelFiles(source.folder)
    if config.model is None:
        typer.echo(notice.demo(source.info.name), err=True)
    load_grammars = _GrammarLoader()
    config = apply_tuned(config, source, paths.data_dir())
    # MLX is imported only when the model is loaded.
    announce_here(config.command_buffers, source.weights_bytes // (len(plan.hosts) if plan else 1))
    others = None if plan is None else _make_ranks(plan, source)
    power = PowerWatch()
    engine = Engine(
        lambda: load_backend(source, files, config, others),
        max_batch=config.max_batch,
        max_queue=config.max_queue,
        idling=Idling(
            unload_s=60.0 * config.idle_unload or None,
            keep_warm_s=config.keep_warm,
            may_keep_warm=power.is_full,
        ),
    )
    if others is None:  # what other machines hold is known once they are there
        engine.expect(expect_tokens(source, config, sys.platform))
    with contextlib.ExitStack() as ending:
        if others is not None:
            engine.lead(others.ranks)
            ending.callback(others.ranks.stop)
            checks.append(others.reach.problem)
        return run_server(
            config,
            ServedModel(
                engine,
                source.info,
                load_grammars if config.guard == "on" else None,
                _open_ahead(config, power),
                open_hosted(config),
            ),
            lambda config: open_storage(paths.data_dir(), config, (*checks, files.problem)),
            on_listening=_Greeting(config, engine, source.info.name, needs_key=has_keys),
            watch=upgrade.watch,
        )


class _Greeting:
    """Tells where the server is, and a command to try once the model can answer it.

    Called on the event loop's thread. Why there is no model is left to the log.
    """

    def __init__(self, config: Config, engine: Engine, model: str, *, needs_key: bool) -> None:
        self._config = config
        self._engine = engine
        self._model = model
        self._needs_key = needs_key
        self._waiting: asyncio.Task[None] | None = None

    def __call__(self, host: str, port: int) -> None:
        base = replace(self._config, host=host, port=port).url
        typer.echo(notice.address(base, self._model), err=True)
        self._waiting = asyncio.get_running_loop().create_task(self._tell_when_loaded(base))

    async def _tell_when_loaded(self, base: str) -> None:
        with contextlib.suppress(ModelUnavailable):
            await self._engine.load()
            certificate = self._config.tls_cert
            said = notice.try_it(
                base, self._model, needs_key=self._needs_key, certificate=certificate
            )
            typer.echo(said, err=True)


_LEAST_CONTEXT = 255
"""What a model has room for that is served at all."""


def expect_tokens(source: ModelSource, config: Config, system: str) -> int:
    """What the memory will hold once the model is loaded, or somewhat less.

    ``system`` is ``sys.platform``: before MLX is imported only that tells whether there is Metal.
    """
    has_metal = system == "darwin"
    room = expect_room(
        source.footprint(has_metal=has_metal),
        config.memory_limit or device_bytes(),
        config.prefix_cache_bytes,
        config.max_batch,
        has_metal=has_metal,
    )
    return max(room.most_tokens, _LEAST_CONTEXT)


def _read_plan(config: Config) -> Plan | None:
    """The ranks that are asked for; whoever serves alone starts without what they import."""
    if config.hostfile is None and config.backend is None:
        return None
    from mlxoss.daemon.plan import read_plan

    return read_plan(config)


def _watch_for_upgrades(plan: Plan | None) -> Upgrade:
    return Upgrade(
        find_command(sys.argv[0]),
        hosts=() if plan is None else plan.hosts,
        is_supervised=is_supervised(os.environ, os.getpid()),
    )


class Others(NamedTuple):
    """The other ranks, and whether this process gets to their hosts."""

    ranks: RankGroup
    reach: HostReach


def _make_ranks(plan: Plan, source: ModelSource) -> Others:
    from mlxoss.cluster.reach import HostReach
    from mlxoss.engine.ranks.group import RankGroup
    from mlxoss.engine.ranks.shard import check_cut

    if source.folder is not None:
        check_cut(source.folder, len(plan.hosts))
    return Others(RankGroup(plan), HostReach(plan.hosts, paths.data_dir()))


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


class _GrammarLoader:
    """The server's grammar compiler, made by whichever thread needs it first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._compiler: GrammarCompiler | None = None

    def __call__(self, encoding: Encoding) -> GrammarCompiler:
        from mlxoss.harmony.grammar.compiler import GrammarCompiler
        from mlxoss.harmony.grammar.tokenizer import make_guard_tokenizer

        with self._lock:
            if self._compiler is None:
                self._compiler = GrammarCompiler(lambda: make_guard_tokenizer(encoding))
            return self._compiler


def log_problem() -> DaemonProblem | None:
    """Whether the log is lost."""
    failure = log_failure()
    if failure is None:
        return None
    message = f"The log {failure.file} cannot be written ({failure.why}): lines are lost."
    remedy = "Make room, or the folder writable; nothing needs to be restarted."
    return DaemonProblem("log_lost", message, remedy, failure.since)


def load_backend(
    source: ModelSource, files: ModelFiles, config: Config, others: Others | None
) -> Backend:
    """The model in memory, alone or shared with ``others``. The engine's thread; seconds.

    Raises ``ModelError``, and ``RanksLost`` with others.
    """
    from mlxoss.engine.mlx.batch import MlxBackend
    from mlxoss.engine.mlx.device import budget_bytes, check_device, computes_on_metal
    from mlxoss.engine.mlx.last_logits import LastLogits
    from mlxoss.engine.mlx.memory import Budget, limit_reuse, make_room
    from mlxoss.engine.prefix_cache.cache import PrefixCache

    wiring = choose_wiring_here(config.wired)
    renew_wired(wiring)
    check_device()
    budget = Budget(config.memory_limit or budget_bytes(), config.prefix_cache_bytes)
    if others is not None:
        from mlxoss.engine.ranks.leading import load_leading

        others.reach.try_them()
        files.note()
        return load_leading(
            others.ranks,
            source,
            budget,
            config.max_batch,
            fused=config.fused_experts,
            plain_caches=config.plain_caches,
        )
    limit_reuse(budget.total_bytes)
    has_metal = computes_on_metal()
    budget.check_footprint(source.footprint(has_metal=has_metal), config.max_batch)
    files.note()
    model = source.load(fp16=config.fp16, fused=config.fused_experts)
    limit_bytes = budget.spare_bytes()
    disk = _open_disk(source, model, config.snapshots_limit_bytes) if limit_bytes else None
    network = LastLogits(model, compiled=config.compiled_layers, plain_caches=config.plain_caches)
    if has_metal:
        network.use_once(config.max_batch)
    backend = MlxBackend(
        network,
        max_batch=config.max_batch,
        prefixes=PrefixCache(limit_bytes, disk=disk),
        room=make_room(model, budget.total_bytes - limit_bytes, config.max_batch),
    )
    backend.wire(wiring)
    return backend


def _open_ahead(config: Config, power: PowerWatch) -> Ahead | None:
    """What is computed before it is asked for; where that is off, what is known of it goes."""
    try:
        path = paths.prefix_table()
        if config.warms_prefixes:
            return Ahead(PrefixTable(path), power.is_full)
        path.unlink(missing_ok=True)
    except (OSError, ConfigError) as error:
        logger.warning("no prefixes are computed ahead: %s", error)
    return None


def _open_disk(source: ModelSource, model: LanguageModel, limit_bytes: int) -> DiskTier | None:
    """The prefix cache's disk tier; without a limit what an earlier one left is removed."""
    from mlxoss.engine.checkpoint.folder import read_revision
    from mlxoss.engine.prefix_cache.arrays import read_form
    from mlxoss.engine.prefix_cache.disk import DiskTier
    from mlxoss.engine.prefix_cache.disk_files import wipe

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
