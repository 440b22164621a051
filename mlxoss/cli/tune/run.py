"""``mlxoss tune`` step by step: may it measure, what, and what becomes of it."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlxoss import paths
from mlxoss.api_key_file import read_local_token
from mlxoss.cli.client.http import Server
from mlxoss.cli.options import read_config
from mlxoss.cli.progress import progress
from mlxoss.cli.this_machine import ask_daemon, installed_machine, look_where_it_looks
from mlxoss.cli.tune.candidates import Candidate, Place, find_candidates
from mlxoss.cli.tune.search import Searched, search, trials_of
from mlxoss.cli.tune.service import Beside, without_model
from mlxoss.cli.tune.trials import PROGRAM, Measure, measure_with
from mlxoss.config import Config
from mlxoss.core import JsonObject
from mlxoss.daemon.power import power_problem
from mlxoss.engine.capacity import device_bytes
from mlxoss.engine.checkpoint.folder import read_revision
from mlxoss.engine.checkpoint.loader import ModelSource, resolve_model
from mlxoss.engine.trial_values import TrialOrder
from mlxoss.errors import MlxossError, ServiceError
from mlxoss.service.health import Health, Refused
from mlxoss.system.memory import machine_bytes
from mlxoss.tuned import Tuned, tuned_for, write_tuned

_FORCE = "To measure all the same: mlxoss tune --anyway"


@dataclass(frozen=True, slots=True)
class Tuning:
    """Whom it is for: the service's settings, environment and data folder, or this shell's where
    there is no service; and the model."""

    config: Config
    env: Mapping[str, str]
    data: Path
    source: ModelSource


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What came of it: the search, what was written, and sentences for people."""

    found: Searched
    tuned: Tuned | None
    notes: list[str]

    def to_json(self) -> JsonObject:
        """As JSON values."""
        return {
            "settings": None if self.tuned is None else dict(self.tuned.settings),
            "control": self.found.control.to_json(),
            "tried": [one.to_json() for one in self.found.tried],
            "drift": self.found.drift,
            "notes": self.notes,
        }


def find_tuning() -> Tuning:
    """Raises ``ConfigError``, ``ModelError``, or ``MlxossError`` where several hosts share it."""
    config, env, data = _find_settings()
    if config.hostfile is not None:
        raise MlxossError("Several hosts share the model, and tune measures one machine.")
    return Tuning(config, env, data, resolve_model(config.model, env=env))


def _find_settings() -> tuple[Config, Mapping[str, str], Path]:
    machine = None
    with contextlib.suppress(ServiceError):
        machine = installed_machine()
    if machine is None:
        return read_config({}), os.environ, paths.data_dir()
    look_where_it_looks(machine.env)
    return machine.config(), machine.env, machine.state


def tune(tuning: Tuning, *, anyway: bool, program: Sequence[str] = PROGRAM) -> TuneReport:
    """Measure and keep what gains. ``program`` is what runs a trial.

    Raises ``MlxossError`` where it cannot, or should not unless it is to do so ``anyway``.
    """
    if not anyway and (problem := power_problem()):
        raise MlxossError(f"{problem} {_FORCE}")
    config, source = tuning.config, tuning.source
    folder = source.find_folder()
    revision = read_revision(folder)
    usual = TrialOrder(
        folder=str(folder),
        weights_bytes=source.weights_bytes,
        command_buffers=config.command_buffers,
        fused_experts=config.fused_experts,
        compiled_layers=config.compiled_layers,
        plain_caches=config.plain_caches,
        fp16=config.fp16,
        wired=config.wired,
        keep_warm=config.keep_warm,
    )
    place = Place(machine_bytes(), tuning.env)
    candidates = find_candidates(config, source.weights_bytes, place)
    budget = config.memory_limit or device_bytes()
    with _alone(tuning) as beside:
        found = _search(candidates, measure_with(usual, program, tuning.env), budget)
    notes = list(_notes(found, candidates))
    if not beside.quiet:
        notes.append("A request came meanwhile, so the figures are doubtful: nothing was kept.")
        return TuneReport(found, None, notes)
    return TuneReport(found, _keep(tuning, found, revision), notes)


def reset(tuning: Tuning) -> bool:
    """Forget what was found for this model; whether there was anything. Raises ``MlxossError``."""
    return _write(tuning, None)


def _search(candidates: Sequence[Candidate], measure: Measure, budget_bytes: int) -> Searched:
    with progress(trials_of(candidates)) as done:
        return search(candidates, measure, budget_bytes, done)


@contextlib.contextmanager
def _alone(tuning: Tuning) -> Iterator[Beside]:
    """The service's model out of memory meanwhile."""
    config, token = tuning.config, read_local_token(tuning.data)
    server = Server(config.url, token, config.tls_cert)
    with without_model(server, _ask(tuning)) as beside:
        yield beside


def _ask(tuning: Tuning) -> Health:
    if not tuning.config.port:
        return Refused("no port is set")
    return ask_daemon(tuning.config, tuning.data, timeout_s=3.0)


def _keep(tuning: Tuning, found: Searched, revision: str) -> Tuned:
    """Write the winner down, or that nothing gained: that counts for as long."""
    settings = {} if found.kept is None else dict(found.kept.candidate.changes)
    figures = {"control": found.control.to_json()}
    if found.kept is not None:
        figures["kept"] = found.kept.to_json()
    today = datetime.date.today().isoformat()
    tuned = Tuned(today, tuned_for(revision), settings, figures)
    _write(tuning, tuned)
    return tuned


def _write(tuning: Tuning, tuned: Tuned | None) -> bool:
    try:
        return write_tuned(tuning.data, tuning.source.info.name, tuned)
    except OSError as error:
        raise MlxossError(f"{tuning.data} cannot be written: {error.strerror}.") from None


def _notes(found: Searched, candidates: Sequence[Candidate]) -> Iterator[str]:
    if not candidates:
        yield "Nothing is left to try: all of it is set in the configuration."
    if found.has_drifted:
        how = "faster" if found.drift > 0 else "slower"
        yield f"The machine itself was {abs(found.drift):.1%} {how} at the end than at first."
