"""``mlxoss stats`` beside a server, after it, and where there never was one."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from mlxoss.cli.status.stats import to_table
from tests.support.cli.daemon import start_daemon
from tests.support.cli.runner import mlxoss


def make(day: str, client: str, endpoint: str, size: int) -> dict[str, object]:
    counts = ("requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    return {"day": day, "client": client, "endpoint": endpoint, **dict.fromkeys(counts, size)}


def test_a_table_by_day_and_client() -> None:
    rows = [
        make("2026-11-27", "claude-code", "messages", 1_000_000),
        make("2026-11-28", "claude-code", "chat", 1),
        make("2026-11-28", "claude-code", "messages", 2),
        make("2026-11-28", "curl", "chat", 4),
    ]
    lines = list(to_table(rows))
    assert [line.split() for line in lines] == [
        ["day", "client", "requests", "in", "cached", "out", "reasoning"],
        ["2026-11-27", "claude-code", *["1,000,000"] * 5],
        ["2026-11-28", "claude-code", *["3"] * 5],
        ["curl", *["4"] * 5],
        ["together", *["1,000,007"] * 5],
    ]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 100


def test_without_a_server_and_anything_kept(tmp_path: Path) -> None:
    done = mlxoss(tmp_path, "stats", env={"MLXOSS_PORT": "1"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "mlxoss serve" in done.stderr
    assert mlxoss(tmp_path, "stats", "--days", "0").returncode == 2


@pytest.mark.slow
def test_while_it_serves_and_afterwards(tmp_path: Path) -> None:
    with start_daemon(tmp_path) as daemon:
        env = {"MLXOSS_PORT": str(daemon.url).rpartition(":")[2]}
        assert mlxoss(tmp_path, "stats", env=env).stdout == "Nothing was asked in 7 days.\n"
        assert mlxoss(tmp_path, "stats", "--days", "1", env=env).stdout.endswith("today.\n")
        assert mlxoss(tmp_path, "chat", "Hi", env=env).returncode == 0
        (row,) = json.loads(mlxoss(tmp_path, "stats", "--json", env=env).stdout)
        assert (row["client"], row["endpoint"], row["requests"]) == ("mlxoss", "responses", 1)
        assert row["input_tokens"] > 0 < row["output_tokens"]
        shown = mlxoss(tmp_path, "stats", env=env).stdout
        assert time.strftime("%Y-") in shown
        assert daemon.stop(signal.SIGTERM) == 0
    assert mlxoss(tmp_path, "stats", env=env).stdout == shown
    assert mlxoss(tmp_path, "stats", "--url", "http://127.0.0.1:1", env=env).returncode == 1
    assert mlxoss(tmp_path, "store", "clear", "--yes").returncode == 0
    assert mlxoss(tmp_path, "stats", env=env).returncode == 1
