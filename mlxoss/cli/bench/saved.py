"""The run that later ones are compared with: one for each server and model, in the data folder."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlxoss import paths
from mlxoss.cli.bench.table import BenchReport
from mlxoss.errors import MlxossError
from mlxoss.files import replace_file

BENCH_FILE = "bench.json"


def save(report: BenchReport, today: datetime.date) -> Path:
    """Keep it in place of an earlier one. Raises ``MlxossError``."""
    file, runs = _file(), _read()
    speeds = {row.case: row.speed for row in report.rows}
    runs[_key(report)] = {"date": today.isoformat(), "speeds": speeds}
    try:
        replace_file(file, json.dumps(runs, indent=2).encode())
    except OSError as error:
        raise MlxossError(f"The run cannot be kept in {file}: {error.strerror}.") from None
    return file


def compare(report: BenchReport) -> None:
    """Say of each row how it was in the run that was saved, if there is one."""
    saved: Any = _read().get(_key(report))
    try:
        speeds, date = saved["speeds"], str(saved["date"])
        rows = [
            replace(row, since_saved=row.speed / float(speeds[row.case]))
            if row.case in speeds
            else row
            for row in report.rows
        ]
    except (TypeError, LookupError, ValueError, ArithmeticError):
        return
    report.rows[:] = rows
    report.notes.append(f"Compared with the run that was saved on {date}.")


def _file() -> Path:
    return paths.data_dir() / BENCH_FILE


def _read() -> dict[str, Any]:
    """What is kept; a file that is damaged is as none."""
    try:
        found = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(report: BenchReport) -> str:
    return f"{report.model} at {report.url}"
