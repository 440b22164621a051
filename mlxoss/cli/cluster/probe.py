"""The hidden ``mlxoss cluster probe``: what a host answers when a check asks it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from mlxoss.cli.memory import SYSCTL, free_bytes, memory_limits, weights_bytes
from mlxoss.cluster.link import listen, measure
from mlxoss.cluster.report import HostMemory, HostModel, HostReport, to_answer, to_line
from mlxoss.cluster.weights import find_commit, hash_weights
from mlxoss.core import JsonMapping
from mlxoss.engine.ranks.ring import VERSIONED
from mlxoss.errors import ConfigError, MlxossError, ModelError, ServiceError
from mlxoss.service.subprocess import RunCommand, run_command

_MOST_QUESTION = 1 << 16
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def answer_question() -> None:
    """Read a question from standard input and answer it, or end after its ``limit_s``."""
    try:
        question = json.loads(sys.stdin.readline(_MOST_QUESTION))
        # The one who asked may be gone, and nothing may stay behind here.
        signal.setitimer(signal.ITIMER_REAL, max(0.001, float(question["limit_s"])))
        asked = {"report": _report, "listen": _listen, "measure": _measure}[question["ask"]]
        _say(asked(question))
    except OSError as error:
        _say({"error": error.strerror or str(error) or type(error).__name__})
    except (ValueError, KeyError, TypeError, AttributeError):
        message = "This is for `mlxoss cluster check` to run, with a question on standard input."
        raise ConfigError(message) from None


def _say(answer: JsonMapping) -> None:
    typer.echo(to_line(answer))
    sys.stdout.flush()


def _listen(question: JsonMapping) -> JsonMapping:
    def tell(port: int) -> None:
        _say({"port": port})

    return {"bytes": listen(str(question["host"]), str(question["secret"]), tell)}


def _measure(question: JsonMapping) -> JsonMapping:
    host, port, secret = question["host"], question["port"], question["secret"]
    return asdict(measure(str(host), int(port), str(secret)))


def _report(question: JsonMapping) -> JsonMapping:
    os.environ.update(each.partition("=")[::2] for each in question["envs"])
    model = _model(question["model"], int(question["ranks"]), deep=bool(question["deep"]))
    limit, total = memory_limits()
    return to_answer(
        HostReport(
            versions=read_versions(),
            machine=read_machine(),
            memory=HostMemory(limit, total, free_bytes()),
            model=None if isinstance(model, str) else model,
            model_error=model if isinstance(model, str) else None,
            rdma=_rdma_devices(),
        )
    )


def read_versions() -> dict[str, str]:
    """The versions of what must be the same on every host."""
    found: dict[str, str] = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found | {"python": ".".join(platform.python_version_tuple()[:2])}


def _model(name: str | None, ranks: int, *, deep: bool) -> HostModel | str:
    """The model of that name, or why it cannot be used by so many ranks."""
    from mlxoss.engine.checkpoint.loader import resolve_model
    from mlxoss.engine.ranks.shard import check_cut, read_contents, shard_bytes

    try:
        source = resolve_model(name)
        folder = source.find_folder()
        check_cut(folder, ranks)
        return HostModel(
            name=source.info.name,
            commit=find_commit(folder),
            digest=read_contents(folder),
            weights_bytes=weights_bytes(folder),
            shard_bytes=shard_bytes(folder, ranks),
            contents=hash_weights(folder) if deep else None,
        )
    except (ModelError, ConfigError, OSError, ValueError) as error:
        return str(error)


def read_machine(boot_id: Path = _BOOT_ID, run: RunCommand = run_command) -> str:
    """What differs between machines that run at the same time: of this boot.

    Linux has it in the file ``boot_id``, macOS tells it by a command.
    """
    try:
        return boot_id.read_text().strip()
    except OSError:
        pass
    try:
        return run([SYSCTL, "-n", "kern.bootsessionuuid"], timeout_s=5.0).out.strip()
    except ServiceError:
        return platform.node()


def _rdma_devices() -> tuple[str, ...] | None:
    """The RDMA devices of a Mac, which ``ibv_devices`` lists under a heading."""
    command = shutil.which("ibv_devices", path=f"{os.environ.get('PATH', '')}:/usr/bin")
    if command is None:
        return None
    try:
        words = run_command([command], timeout_s=5.0).out.split()
    except MlxossError:
        return None
    return tuple(word for word in words if word.startswith("rdma_"))
