"""``mlxoss models`` against a hub of its own, through the real huggingface_hub."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxoss.model_pins import read_pins
from tests.support.cli.hub_server import FakeHub, Repo, serve_hub
from tests.support.cli.runner import environment, mlxoss
from tests.support.waiting import until

NAME = "some-org/gpt-oss-tiny"
COMMIT = "c0ffee" + "0" * 34
WEIGHTS = random.Random(7).randbytes(300_000)
CONFIG = {"model_type": "gpt_oss", "max_position_embeddings": 4096}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serve_hub() as hub:
        files = {
            "config.json": json.dumps(CONFIG).encode(),
            "README.md": b"# A model",
            "model-00001-of-00002.safetensors": WEIGHTS,
            "model-00002-of-00002.safetensors": WEIGHTS[::-1],
            "model.safetensors.index.json": b"{}",
            "pytorch_model.bin": b"a pickle" * 1000,
            "original/model.safetensors": WEIGHTS[:2000],
        }
        hub.repos[NAME] = Repo(COMMIT, files)
        yield hub


def hub_env(hub: FakeHub) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def pull(
    home: Path, hub: FakeHub, name: str = NAME, *more: str
) -> subprocess.CompletedProcess[str]:
    return mlxoss(home, "models", "pull", name, *more, env=hub_env(hub))


def snapshot(home: Path) -> Path:
    folder = home / "hf" / "hub" / "models--some-org--gpt-oss-tiny"
    return folder / "snapshots" / COMMIT


def pins(home: Path) -> dict[str, str]:
    found = read_pins(home / "mlxoss" / "data" / "models.json")
    return {name: pin.commit for name, pin in found.items()}


def weights_asked_for(hub: FakeHub) -> list[tuple[str, str | None]]:
    return [(file, asked) for file, asked in hub.downloads if not file.endswith(".json")]


def test_pull_brings_config_and_weights_and_pins_the_commit(tmp_path: Path, hub: FakeHub) -> None:
    done = pull(tmp_path, hub)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{NAME} at {COMMIT} is ready: mlxoss serve --model {NAME}\n"
    assert f"Pulling {NAME} at {COMMIT[:12]}: 600.0 kB to download." in done.stderr
    assert sorted(path.name for path in snapshot(tmp_path).iterdir()) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    assert (snapshot(tmp_path) / "model-00001-of-00002.safetensors").read_bytes() == WEIGHTS
    assert pins(tmp_path) == {NAME: COMMIT}


def test_a_second_pull_downloads_nothing(tmp_path: Path, hub: FakeHub) -> None:
    assert pull(tmp_path, hub).returncode == 0
    hub.downloads.clear()
    done = pull(tmp_path, hub)
    assert done.returncode == 0
    assert ": 0 B to download." in done.stderr
    assert hub.downloads == []


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
# huggingface_hub writes 10 MiB at a time: less than that is lost with a connection.
LONG = random.Random(8).randbytes(12_000_000)
WRITTEN = 10 * 1024 * 1024


def test_a_dropped_connection_is_taken_up_again_within_a_pull(tmp_path: Path, hub: FakeHub) -> None:
    hub.repos[NAME].files[FIRST] = LONG
    hub.cut_after[FIRST] = 11_000_000
    done = pull(tmp_path, hub)
    assert done.returncode == 0, done.stderr
    asked = [(FIRST, None), (FIRST, f"bytes={WRITTEN}-")]
    assert weights_asked_for(hub)[:2] == asked
    assert (snapshot(tmp_path) / FIRST).read_bytes() == LONG


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_pull_is_taken_up_by_the_next(
    tmp_path: Path, hub: FakeHub, number: signal.Signals
) -> None:
    hub.repos[NAME].files[SECOND] = LONG
    hub.stall_after[SECOND] = 11_000_000
    blobs = snapshot(tmp_path).parents[1] / "blobs"
    with start_pull(tmp_path, hub) as first_try:
        until(lambda: sum(p.stat().st_size for p in blobs.glob("*.incomplete")) >= WRITTEN)
        first_try.send_signal(number)
        _, complaint = first_try.communicate(timeout=300)
    assert first_try.returncode == (130 if number == signal.SIGINT else -number)
    assert b"Traceback" not in complaint
    assert pins(tmp_path) == {}

    hub.stall_after.clear()
    hub.downloads.clear()
    done = pull(tmp_path, hub)
    assert done.returncode == 0, done.stderr
    assert ": 1.5 MB to download" in done.stderr
    assert weights_asked_for(hub) == [(SECOND, f"bytes={WRITTEN}-")]
    assert (snapshot(tmp_path) / SECOND).read_bytes() == LONG
    assert not list(blobs.glob("*.incomplete"))
    assert pins(tmp_path) == {NAME: COMMIT}


def test_a_damaged_weight_is_thrown_away(tmp_path: Path, hub: FakeHub) -> None:
    hub.damaged.add("model-00001-of-00002.safetensors")
    done = pull(tmp_path, hub)
    assert done.returncode == 1
    assert last_line(done) == (
        "mlxoss: model-00001-of-00002.safetensors arrived damaged (its SHA-256 is wrong); "
        "pull again."
    )
    assert pins(tmp_path) == {}
    hub.damaged.clear()
    assert pull(tmp_path, hub).returncode == 0


def test_two_pulls_of_one_model_do_not_mix(tmp_path: Path, hub: FakeHub) -> None:
    hub.stall_after[FIRST] = 50_000
    with start_pull(tmp_path, hub) as first:
        until(lambda: bool(weights_asked_for(hub)))
        second = pull(tmp_path, hub)
        hub.released.set()
        first.communicate(timeout=300)
    assert first.returncode == 0
    assert second.returncode == 1
    assert last_line(second) == f"mlxoss: Another mlxoss is pulling {NAME} at this moment."


def test_too_little_room_is_said_with_numbers_before_any_weight(
    tmp_path: Path, hub: FakeHub
) -> None:
    hub.claimed_bytes["model-00001-of-00002.safetensors"] = 10**18
    free = shutil.disk_usage(tmp_path).free
    done = pull(tmp_path, hub)
    assert done.returncode == 1
    said = last_line(done)
    assert f"{NAME} needs 1000000.0 TB more, but only " in said
    assert f"are free in {tmp_path}/hf/hub; make room" in said
    assert f"{free / 1e9:.0f}"[:1] in said
    assert weights_asked_for(hub) == []


def test_another_kind_of_model_is_refused_before_any_weight(tmp_path: Path, hub: FakeHub) -> None:
    hub.repos[NAME].files["config.json"] = b'{"model_type": "llama"}'
    done = pull(tmp_path, hub)
    assert done.returncode == 1
    assert last_line(done) == (
        f"mlxoss: {NAME} is of the type 'llama'; mlxoss serves gpt_oss only."
    )
    assert weights_asked_for(hub) == []


@pytest.mark.parametrize("missing", ["config.json", ".safetensors"])
def test_a_repository_without_a_model_is_refused(
    tmp_path: Path, hub: FakeHub, missing: str
) -> None:
    files = hub.repos[NAME].files
    for file in [file for file in files if file.endswith(missing) and "/" not in file]:
        del files[file]
    done = pull(tmp_path, hub)
    assert done.returncode == 1
    assert "has no config.json with safetensors weights beside it" in last_line(done)


def test_what_the_hub_refuses_is_one_sentence(tmp_path: Path, hub: FakeHub) -> None:
    hub.repos["some-org/gated"] = Repo(COMMIT, hub.repos[NAME].files, gated=True)
    cases = [
        ((NAME + "-x",), f"{NAME}-x is unknown at {hub.url} (or private"),
        (("some-org/gated",), f"some-org/gated is gated: accept its terms at {hub.url}/some-org"),
        ((NAME, "--revision", "v9"), f"{NAME} has no such revision"),
        (("not an id",), "'not an id' is not a Hugging Face id"),
        (("a/b/c",), "'a/b/c' is not a Hugging Face id"),
    ]
    for arguments, sentence in cases:
        done = pull(tmp_path, hub, *arguments)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith(f"mlxoss: {sentence}"), done.stderr
        assert done.stderr.count("\n") == 1


def test_a_hub_out_of_order_is_one_sentence(tmp_path: Path, hub: FakeHub) -> None:
    hub.status = 418
    done = pull(tmp_path, hub)
    assert (
        last_line(done) == f"mlxoss: {hub.url} answered with HTTP 418 for {NAME}; try again later."
    )


def test_no_network_is_one_sentence(tmp_path: Path, hub: FakeHub) -> None:
    gone = "http://127.0.0.1:9"
    done = mlxoss(tmp_path, "models", "pull", NAME, env=hub_env(hub) | {"HF_ENDPOINT": gone})
    assert done.returncode == 1
    assert last_line(done).startswith(f"mlxoss: {gone} cannot be reached; check the network.")
    done = mlxoss(tmp_path, "models", "pull", NAME, env=hub_env(hub) | {"HF_HUB_OFFLINE": "1"})
    assert last_line(done) == "mlxoss: HF_HUB_OFFLINE is set, so nothing can be pulled."


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path, hub: FakeHub) -> None:
    (tmp_path / "hf").write_text("a file in place of the folder")
    done = pull(tmp_path, hub)
    assert done.returncode == 1
    assert last_line(done) == f"mlxoss: {NAME} cannot be stored: Not a directory."


def test_list_shows_the_demo_and_the_cache(tmp_path: Path, hub: FakeHub) -> None:
    assert pull(tmp_path, hub).returncode == 0
    hub.repos["some-org/other"] = Repo("d" * 40, {"config.json": b'{"model_type": "llama"}'})
    assert pull(tmp_path, hub, "some-org/other").returncode == 1
    shown = json.loads(mlxoss(tmp_path, "models", "list", "--json").stdout)
    assert [(row["name"], row["commit"], row["pinned"]) for row in shown] == [
        ("mlxoss-demo", None, False),
        (NAME, COMMIT, True),
    ]
    assert shown[1]["gpt_oss"] is True
    assert shown[1]["size_bytes"] > 600_000
    table = mlxoss(tmp_path, "models", "list").stdout.splitlines()
    assert table[0].split() == ["NAME", "REVISION", "SIZE", "STATE"]
    assert table[1].split()[:2] == ["mlxoss-demo", "bundled"]
    assert table[2].split() == [NAME, COMMIT[:12], "600.1", "kB", "pulled"]


def start_pull(home: Path, hub: FakeHub) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlxoss", "models", "pull", NAME]
    env = environment(home, hub_env(hub))
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.splitlines()[-1]
