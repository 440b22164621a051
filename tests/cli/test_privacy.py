"""``mlxoss privacy`` and ``mlxoss store clear`` beside a daemon that keeps something."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import openai
import pytest

from mlxoss.cluster.reach import Reach, write_reach
from tests.support.checkpoints import write_checkpoint
from tests.support.cli.daemon import start_daemon
from tests.support.cli.runner import mlxoss

SECRETS = "A secret. " * 200


def kept(home: Path) -> dict[str, dict[str, Any]]:
    done = mlxoss(home, "privacy", "--json")
    assert done.returncode == 0, done.stderr
    return {Path(entry["where"]).name: entry for entry in json.loads(done.stdout)}


@pytest.mark.slow
def test_what_is_kept_is_told_and_wiped(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "tiny")
    database = tmp_path / "mlxoss" / "data" / "responses.db"
    snapshots = tmp_path / "mlxoss" / "cache" / "prefixes"
    with start_daemon(tmp_path, "--model", str(model)) as daemon:
        with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="x", timeout=300) as client:
            for _ in range(2):
                said = client.responses.create(model="m", input=SECRETS, max_output_tokens=16)
            assert said.usage is not None
            assert said.usage.input_tokens_details.cached_tokens == said.usage.input_tokens - 1
        done = mlxoss(tmp_path, "store", "clear", "--yes")
        assert done.returncode == 1
        assert f"process {daemon.process.pid}" in done.stderr
        assert daemon.stop(signal.SIGTERM) == 0
    told = kept(tmp_path)
    assert told["responses.db"]["words"]
    assert told["responses.db"]["bytes"] >= database.stat().st_size > 0
    assert "30 days" in told["responses.db"]["how_long"]
    assert told["prefixes"]["words"]
    assert told["prefixes"]["bytes"] == sum(file.stat().st_size for file in snapshots.iterdir()) > 0
    assert "8.6 GB" in told["prefixes"]["how_long"]
    for file in (tmp_path / "mlxoss" / "data").iterdir():
        assert file.name in told or file.name.startswith(("responses.db", "key")), file
    assert "A secret" not in "".join(daemon.said)

    assert mlxoss(tmp_path, "store", "clear", stdin=b"n\n").returncode == 1
    assert database.exists()
    done = mlxoss(tmp_path, "store", "clear", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(database.parent.glob("responses.db-*"))
    assert not database.exists()
    assert kept(tmp_path)["responses.db"]["bytes"] == kept(tmp_path)["prefixes"]["bytes"] == 0
    assert list(snapshots.iterdir()) == []
    assert mlxoss(tmp_path, "store", "clear", "--yes").returncode == 0


@pytest.mark.slow
def test_the_next_start_knows_the_prompts_of_the_one_before(tmp_path: Path) -> None:
    model = str(write_checkpoint(tmp_path / "tiny"))
    message: Any = {"role": "user", "content": SECRETS}
    known, entries = [], []
    for flags in ([], [], ["--prefix-cache-disk", "0"]):
        with start_daemon(tmp_path, "--model", model, *flags) as daemon:
            with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="x", timeout=300) as client:
                said = client.chat.completions.create(model="m", messages=[message], max_tokens=2)
            usage = said.usage.model_dump() if said.usage else {}
            known.append(usage["prompt_tokens_details"]["cached_tokens"] - usage["prompt_tokens"])
            entries.append(daemon.health()["prefix_cache"]["disk_entries"])
            assert daemon.stop(signal.SIGTERM) == 0
    assert known[1:] == [-1, known[0]]
    assert entries[0] == entries[1] > 0 == entries[2]
    folder = tmp_path / "mlxoss" / "cache" / "prefixes"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


def test_privacy_for_people(tmp_path: Path) -> None:
    said = mlxoss(tmp_path, "privacy", env={"MLXOSS_RESPONSES_STORE": "off"}).stdout
    assert "holds what was said" in said
    assert "responses_store is off" in said
    assert "prefix_cache_disk is 0, or responses_store off" in said
    assert "mlxoss store clear" in said
    assert "addresses" not in said
    told = mlxoss(tmp_path, "privacy", env={"MLXOSS_ALLOW_FETCH": "on"}).stdout
    assert "also asks the addresses of files that requests name" in told


def test_what_was_found_of_a_groups_hosts_is_told_where_there_is_any(tmp_path: Path) -> None:
    what = "whether the daemon got to the hosts"
    assert what not in mlxoss(tmp_path, "privacy").stdout
    data = tmp_path / "mlxoss" / "data"
    data.mkdir(parents=True, exist_ok=True)
    write_reach(data, Reach(0.0, ()))
    assert what in mlxoss(tmp_path, "privacy").stdout


def test_what_cells_leave_is_told_where_the_model_may_run_python(tmp_path: Path) -> None:
    what = "files that the model's Python made (holds what was said)"
    assert what not in mlxoss(tmp_path, "privacy").stdout
    said = mlxoss(tmp_path, "privacy", env={"MLXOSS_TOOL_PYTHON": "on"}).stdout
    assert what in said
    assert "20 minutes after the last cell" in said
