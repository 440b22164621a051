"""``mlxoss privacy`` and ``mlxoss store clear`` beside a daemon that keeps something."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import openai

from tests.checkpoints import write_checkpoint
from tests.cli.daemon import start_daemon
from tests.cli.runner import mlxoss


def kept(home: Path) -> dict[str, dict[str, Any]]:
    done = mlxoss(home, "privacy", "--json")
    assert done.returncode == 0, done.stderr
    return {Path(entry["where"]).name: entry for entry in json.loads(done.stdout)}


def test_what_is_kept_is_told_and_wiped(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "tiny")
    database = tmp_path / "mlxoss" / "data" / "responses.db"
    with start_daemon(tmp_path, "--model", str(model)) as daemon:
        with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="x", timeout=300) as client:
            client.responses.create(model="m", input="A secret", max_output_tokens=16)
        done = mlxoss(tmp_path, "store", "clear", "--yes")
        assert done.returncode == 1
        assert f"process {daemon.process.pid}" in done.stderr
        assert daemon.stop(signal.SIGTERM) == 0
    told = kept(tmp_path)
    assert told["responses.db"]["words"]
    assert told["responses.db"]["bytes"] >= database.stat().st_size > 0
    assert "30 days" in told["responses.db"]["how_long"]
    for file in (tmp_path / "mlxoss" / "data").iterdir():
        assert file.name in told or file.name.startswith(("responses.db", "key")), file
    assert "A secret" not in "".join(daemon.said)

    assert mlxoss(tmp_path, "store", "clear", stdin=b"n\n").returncode == 1
    assert database.exists()
    done = mlxoss(tmp_path, "store", "clear", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(database.parent.glob("responses.db-*"))
    assert not database.exists()
    assert kept(tmp_path)["responses.db"]["bytes"] == 0
    assert mlxoss(tmp_path, "store", "clear", "--yes").returncode == 0


def test_privacy_for_people(tmp_path: Path) -> None:
    said = mlxoss(tmp_path, "privacy", env={"MLXOSS_RESPONSES_STORE": "off"}).stdout
    assert "holds what was said" in said
    assert "responses_store is off" in said
    assert "mlxoss store clear" in said
