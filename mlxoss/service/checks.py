"""One check of the set-up each, for ``install`` (before anything is touched) and ``doctor``."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlxoss.errors import ServiceError
from mlxoss.findings import GB, OVERHEAD, Check, Level
from mlxoss.service.health import Answered, Health, Refused
from mlxoss.service.job import Job
from mlxoss.service.program import Program
from mlxoss.service.status import ServiceStatus, problems_of
from mlxoss.sockets import port_problem

NEEDED_DISK_BYTES = 500_000_000
"""Logs turned over in full, launchd's own, the demo model and room to spare."""
MOST_LOG_BYTES = 200_000_000


def check_program(found: Program | ServiceError) -> Check:
    """Whether the path of the command stays valid across upgrades."""
    if isinstance(found, ServiceError):
        return Check("program", Level.FAIL, str(found), found.remedy)
    if found.refusal:
        remedy = "Install it with Homebrew, `uv tool install` or pipx, or in a virtual environment."
        return Check("program", Level.FAIL, f"{found.path}: {found.refusal}", remedy)
    if found.warning:
        return Check("program", Level.WARN, f"{found.path}: {found.warning}")
    return Check("program", Level.OK, str(found.path))


def check_port(host: str, port: int, health: Health, *, ours: bool) -> Check:
    """Whether the port is free, or held by the service itself (``ours``)."""
    address = f"{host}:{port}"
    if port == 0:
        remedy = "Choose one: mlxoss config set port 8000"
        return Check("port", Level.FAIL, "port 0 would be another one at each start", remedy)
    if ours and isinstance(health, Answered):
        return Check("port", Level.OK, f"{address}, held by the service")
    problem = port_problem(host, port)
    if problem is None:
        return Check("port", Level.OK, f"{address} is free")
    remedy = f"End it (`lsof -nP -iTCP:{port} -sTCP:LISTEN` names it) or choose another --port."
    if isinstance(health, Answered):
        return Check("port", Level.FAIL, f"{address}: another mlxoss serves there", remedy)
    if isinstance(health, Refused):
        return Check("port", Level.FAIL, problem, remedy)
    return Check("port", Level.FAIL, f"{problem} ({health.why})", remedy)


def check_memory(weights_bytes: int, limit_bytes: int | None, total_bytes: int) -> Check:
    """Whether weights of that size fit; ``limit_bytes`` is what the GPU may hold, if known."""
    needed = weights_bytes * OVERHEAD
    usable = "an unknown part" if limit_bytes is None else f"{limit_bytes / GB:.1f}"
    detail = (
        f"the model needs about {needed / GB:.1f} GB, {usable} of "
        f"{total_bytes / GB:.1f} GB can be used"
    )
    if needed > total_bytes:
        return Check("memory", Level.FAIL, detail, "Choose a smaller model.")
    if limit_bytes is None:
        return Check("memory", Level.WARN, detail, "MLX could not be asked: mlxoss doctor")
    if needed > limit_bytes:
        wanted_mb = int(needed / 1_048_576) + 1
        remedy = f"sudo sysctl iogpu.wired_limit_mb={wanted_mb} (until the next boot)"
        return Check("memory", Level.WARN, detail, remedy)
    return Check("memory", Level.OK, detail)


def check_disk(folder: Path, needed_bytes: int = NEEDED_DISK_BYTES) -> Check:
    """Whether logs and state have room."""
    free = shutil.disk_usage(folder).free
    detail = f"{free / GB:.1f} GB free in {folder}"
    if free < needed_bytes:
        return Check("disk", Level.FAIL, detail, f"Make room for {needed_bytes / GB:.1f} GB.")
    return Check("disk", Level.OK, detail)


def check_definition(path: Path, wanted: bytes, *, homebrew: bool) -> Check:
    """Whether the installed definition is what installing would write now."""
    if homebrew:
        return Check("definition", Level.OK, f"{path}, kept by Homebrew")
    try:
        mode, held = stat.S_IMODE(path.lstat().st_mode), path.read_bytes()
    except OSError:
        return Check("definition", Level.SKIP, "not installed", "mlxoss install")
    if path.is_symlink():
        detail = f"{path} is a symbolic link, which launchd passes over at login"
        return Check("definition", Level.FAIL, detail, "mlxoss install")
    if mode & 0o022:
        detail = f"{path} may be written by others (mode {mode:04o})"
        return Check("definition", Level.FAIL, detail, "mlxoss install")
    if held != wanted:
        detail = f"{path} differs from what this version would write"
        return Check("definition", Level.WARN, detail, "mlxoss install")
    return Check("definition", Level.OK, str(path))


def check_service(status: ServiceStatus) -> Check:
    """Whether the service runs, and by its own account well."""
    detail = str(status.verdict)
    match status.verdict.value:
        case "healthy":
            return Check("service", Level.OK, detail)
        case "not installed":
            return Check("service", Level.SKIP, detail, "mlxoss install")
    reason = status.concerns[0] if status.concerns else "it does not answer"
    return Check("service", Level.FAIL, f"{detail}: {reason}", "mlxoss logs; mlxoss restart")


def check_problems(status: ServiceStatus) -> Iterator[Check]:
    """What the daemon itself says is wrong although it serves."""
    for problem in problems_of(status.health):
        detail, remedy = str(problem.get("message", "")), str(problem.get("remedy", ""))
        yield Check(str(problem.get("code", "problem")), Level.WARN, detail, remedy)


def check_login(status: ServiceStatus) -> Check:
    """Whether it will start at the next login, as far as can be told."""
    if status.definition is None:
        return Check("login", Level.SKIP, "not installed")
    if status.disabled:
        return Check("login", Level.FAIL, "disabled at login", "mlxoss start")
    detail = "enabled; System Settings > General > Login Items can switch it off too"
    return Check("login", Level.OK, detail if status.manager == "launchd" else "enabled")


def check_program_in_use(status: ServiceStatus, program: Program | ServiceError) -> Check:
    """Whether the service runs the command that this one is."""
    name = "program in use"
    if status.definition is None:
        return Check(name, Level.SKIP, "not installed")
    held = status.definition.program
    if not Path(held).exists():
        return Check(name, Level.FAIL, f"{held} is gone", "mlxoss install")
    if isinstance(status.job, Job) and status.job.program not in (None, held):
        detail = f"{status.job.program} was loaded, {held} is installed"
        return Check(name, Level.WARN, detail, "mlxoss restart")
    if isinstance(program, Program) and str(program.path) != held:
        return Check(name, Level.WARN, f"{held}, not {program.path}", "mlxoss install")
    return Check(name, Level.OK, held)


def check_priority(status: ServiceStatus) -> Check:
    """Whether launchd took it for an interactive process; a background one is throttled."""
    name = "priority"
    if not isinstance(status.job, Job) or status.job.priority is None:
        return Check(name, Level.SKIP, "not running under launchd")
    priority = status.job.priority
    if priority.startswith("interactive"):
        return Check(name, Level.OK, priority)
    return Check(name, Level.FAIL, f"{priority}: the GPU is throttled", "mlxoss install")


def check_logs(files: Sequence[Path]) -> Check:
    """Whether logs stay within bounds."""
    size = sum(file.stat().st_size for file in files if file.exists())
    detail = f"{size / 1e6:.1f} MB in {len(files)} files"
    if size > MOST_LOG_BYTES:
        return Check("logs", Level.WARN, detail, "mlxoss restart (it cuts launchd's log)")
    return Check("logs", Level.OK, detail)


def check_rival(rival: str | None) -> Check:
    """Whether another service runs the same program."""
    if rival:
        remedy = "brew services stop mlxoss"
        return Check("other services", Level.FAIL, f"{rival} runs mlxoss too", remedy)
    return Check("other services", Level.OK, "none")
