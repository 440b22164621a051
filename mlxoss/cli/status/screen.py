"""How ``mlxoss status`` looks: one screen of 80 columns, or JSON. Pure."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlxoss.cli.enabled_tools import tools_rows
from mlxoss.cli.printing import WIDTH, tilde, to_bytes
from mlxoss.cli.status.ranks import ranks_rows
from mlxoss.cli.status.running import running_rows
from mlxoss.cli.status.view import View
from mlxoss.config import Config
from mlxoss.core import JsonMapping, JsonObject
from mlxoss.service.job import Job, JobState
from mlxoss.service.status import EXIT_STATUS, ServiceStatus, Verdict, problems_of

if TYPE_CHECKING:
    from mlxoss.cluster.reach import Reach

_NAME_WIDTH = 14
COLOURS = {
    Verdict.HEALTHY: "green",
    Verdict.UNHEALTHY: "red",
    Verdict.STOPPED: "yellow",
    Verdict.NOT_INSTALLED: "yellow",
    Verdict.UNKNOWN: "red",
}


def to_lines(view: View) -> list[str]:
    """Return the screen's lines after the headline."""
    lines: list[str] = []
    for name, text in _rows(view):
        lines += textwrap.wrap(
            text,
            WIDTH,
            initial_indent=name.ljust(_NAME_WIDTH),
            subsequent_indent=" " * _NAME_WIDTH,
            break_long_words=False,
            break_on_hyphens=False,
        )
    for concern in (*_problems(view), *view.status.concerns):
        lines += ["", *_wrapped(concern)]
    return lines


def _wrapped(text: str) -> list[str]:
    """Lines of the screen's width; what can be copied, a path or a command, stays whole."""
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _problems(view: View) -> Iterator[str]:
    for problem in problems_of(view.status.health):
        since = problem.get("since")
        began = f"since {to_moment(since, view.at)}: " if isinstance(since, (int, float)) else ""
        yield f"Problem {began}{problem.get('message', '')} {problem.get('remedy', '')}".strip()


def to_json(view: View) -> JsonObject:
    """Return everything as JSON values."""
    status = view.status
    return {
        "verdict": str(view.verdict),
        "exit_status": EXIT_STATUS[view.verdict],
        "manager": status.manager,
        "definition": str(status.path),
        "installed": status.definition is not None,
        "homebrew": bool(status.definition and status.definition.homebrew),
        "disabled": status.disabled,
        "job": asdict(status.job) if isinstance(status.job, Job) else None,
        "process": asdict(view.process) if view.process else None,
        "since": view.since,
        "health": dict(view.report) or None,
        "reach": asdict(view.reach) if view.reach else None,
        "last_exit": asdict(status.last_exit) if status.last_exit else None,
        "concerns": list(status.concerns),
        "address": f"{view.config.url}/v1",
        "config_file": str(view.config_file),
        "log": str(view.log),
        "tuned": view.tuned,
    }


def _rows(view: View) -> Iterator[tuple[str, str]]:
    yield from _service_rows(view)
    report = view.report
    if report:
        model = f"{report.get('model')} ({report.get('status')})"
        yield "model", model + (f": {report['error']}" if report.get("error") else "")
        yield "requests", _requests(report, view.config)
        yield from running_rows(report.get("running"))
        yield "speed", _speed(report)
        yield from tools_rows(report.get("tools"))
    yield from _memory_rows(view)
    if view.tuned:
        yield "tuned", view.tuned
    yield from ranks_rows(report.get("ranks"))
    if view.reach:
        yield from _reach_rows(view.reach, view.at)
    yield from _awake_rows(report.get("awake"))
    yield "address", f"{view.config.url}/v1"
    yield "settings", tilde(view.config_file)
    yield "log", tilde(view.log)


def _service_rows(view: View) -> Iterator[tuple[str, str]]:
    status, job = view.status, view.status.job
    if not isinstance(job, Job):
        if status.definition:
            yield "service", f"installed in {tilde(status.path)}"
        return
    parts = [f"{status.manager} ({job.where})" if "/" in job.where else job.where]
    if job.pid is not None:
        parts.append(f"pid {job.pid}")
    if view.process and view.since is not None:
        parts.append(f"since {to_moment(view.since, view.at)} ({to_duration(view.process.age_s)})")
    if job.state is not JobState.RUNNING:
        parts.append(str(job.state))
    yield "service", ", ".join(parts)
    if job.runs:
        yield "started", _starts(status, job)


def _starts(status: ServiceStatus, job: Job) -> str:
    text = f"{'once' if job.runs == 1 else f'{job.runs} times'} since it was loaded"
    if job.last_exit is not None:
        ended = f"exit status {job.last_exit}" if job.last_exit[0].isdigit() else job.last_exit
        if status.last_exit and job.last_code == 0 and not job.alive:
            ended = status.last_exit.reason
        text += f"; it last ended with: {ended}"
    return text


def _requests(report: JsonMapping, config: Config) -> str:
    most_queued = report.get("max_queued_requests", config.max_queue)
    queued = f"{report.get('queued_requests', 0)} queued of {most_queued}"
    if report.get("queued_requests"):
        queued += f" (oldest for {report.get('oldest_wait_s', 0.0):.1f} s)"
    most_active = report.get("max_active_requests", config.max_batch)
    active = f"{report.get('active_requests', 0)} active of {most_active}"
    if pauses := report.get("pauses"):
        active += f", {report.get('paused_requests', 0)} paused ({pauses} pauses so far)"
    return f"{active}, {queued}, {report.get('refused_requests', 0)} refused"


def _speed(report: JsonMapping) -> str:
    prefill, decode = report.get("prefill_tokens_per_s"), report.get("decode_tokens_per_s")
    if not prefill and not decode:
        return "idle for the last minute"
    return f"prefill {prefill or 0:.0f} tok/s, decode {decode or 0:.1f} tok/s (last minute)"


def _memory_rows(view: View) -> Iterator[tuple[str, str]]:
    parts = _details(view.report.get("memory"))
    if view.process and not any(part.startswith("process ") for part in parts):
        parts.append(f"process {to_bytes(view.process.memory_bytes)}")
    if parts:
        yield "memory", ", ".join(parts)
    for name, key in (("prefix cache", "prefix_cache"), ("store", "store")):
        if found := _details(view.report.get(key)):
            yield name, ", ".join(found)


def _reach_rows(reach: Reach, now: float) -> Iterator[tuple[str, str]]:
    at = to_moment(reach.at, now)
    for each in reach.tried:
        found = f"not reached by the service, {each.why}" if each.why else "reached by the service"
        yield "reach", f"{each.where}: {found} ({at})"


_AWAKE = {
    "held": "the Mac is kept from idle sleep (keep_awake)",
    "ready": "the Mac may sleep; while requests run it is kept from idle sleep (keep_awake)",
    "off": "the Mac may sleep, also while requests run (keep_awake = off)",
    "unsupported": "only a Mac is kept from idle sleep while requests run (keep_awake)",
    "failed": "the Mac may sleep, though keep_awake is on",
}


def _awake_rows(found: object) -> Iterator[tuple[str, str]]:
    if isinstance(found, Mapping) and (said := _AWAKE.get(str(found.get("state")))):
        yield "sleep", said


def _details(found: object) -> list[str]:
    """A report's sub-object as words: ``active_bytes`` 5000000 becomes ``active 5.0 MB``."""
    if not isinstance(found, Mapping):
        return []
    return [_detail(str(key), value) for key, value in found.items() if value is not None]


def _detail(key: str, value: object) -> str:
    if key.endswith("bytes") and isinstance(value, int):
        return f"{key.removesuffix('bytes').replace('_', ' ').strip()} {to_bytes(value)}".strip()
    return f"{key.replace('_', ' ')} {value}"


def to_duration(seconds: int) -> str:
    """An age for people: its two largest units."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def to_moment(at: float, now: float) -> str:
    """A Unix time in seconds as local time, with the date where it is a day ago."""
    return time.strftime("%H:%M:%S" if now - at < 86400 else "%Y-%m-%d %H:%M", time.localtime(at))
